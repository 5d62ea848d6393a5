//! Deliveries in progress, so that one can be stopped: another supersedes it, or the operator says so.
//!
//! A superseded delivery is stopped by its id. If its attempt has not begun yet, it begins stopped.
//! The operator stops only what is in progress.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::act::{LiveBudget, LiveOutput};
use crate::pipeline::followers::Followers;
use crate::pipeline::ongoing::{AttemptEnd, Cancel, Ongoing, OngoingAttempt, RunningAttempt, StopTarget};
use crate::store::DeliveryId;

/// Maximum remembered deliveries that were stopped before they began. A lease begins within
/// microseconds. A delivery stopped after its end is evicted when as many have followed it.
const EARLY: usize = 256;

/// Deliveries in progress.
#[derive(Debug, Default)]
pub struct Running {
    known: Mutex<Known>,
    /// Notified when an attempt begins.
    begins: Notify,
    /// Memory for the output of all attempts.
    budget: Arc<LiveBudget>,
}

#[derive(Debug, Default)]
struct Known {
    /// Begun attempts.
    begun: HashMap<DeliveryId, Arc<Ongoing>>,
    /// Deliveries that were stopped before they began.
    early: VecDeque<DeliveryId>,
    followers: Followers,
}

/// An attempt in progress, ended on drop.
#[derive(Debug)]
pub struct Attempting {
    running: Arc<Running>,
    ongoing: Arc<Ongoing>,
    /// Cancelled when the daemon stops.
    abort: CancellationToken,
    /// Cancelled when this attempt is to stop, alone or with all others.
    pub stop: CancellationToken,
}

impl Running {
    /// Registers an attempt. `abort` stops it along with all others.
    pub fn begin(self: &Arc<Self>, attempt: OngoingAttempt, abort: &CancellationToken) -> Attempting {
        let (stop, delivery) = (abort.child_token(), attempt.delivery);
        let mut known = self.known();
        let early = known.early.iter().position(|early| *early == delivery);
        if let Some(at) = early {
            known.early.remove(at);
            stop.cancel();
        }
        let ongoing = Arc::new(Ongoing {
            attempt,
            output: LiveOutput::new(&self.budget),
            started: OnceLock::new(),
            end: OnceLock::new(),
            stop: stop.clone(),
            replaced: AtomicBool::new(early.is_some()),
            cancel: OnceLock::new(),
        });
        known.begun.insert(delivery, Arc::clone(&ongoing));
        known.followers.begins(&ongoing);
        self.begins.notify_one();
        Attempting {
            running: Arc::clone(self),
            ongoing,
            abort: abort.clone(),
            stop,
        }
    }

    /// Waits until an attempt begins, or has begun since the last call.
    pub async fn next_begins(&self) {
        self.begins.notified().await;
    }

    /// Lists the attempts in progress, the oldest first.
    pub fn list(&self) -> Vec<RunningAttempt> {
        let known = self.known();
        let begun = known.begun.values().map(|ongoing| RunningAttempt {
            attempt: ongoing.attempt.clone(),
            stopped_by: ongoing.cancel.get().map(|cancel| Arc::clone(&cancel.by)),
        });
        let mut running: Vec<RunningAttempt> = begun.collect();
        drop(known);
        running.sort_unstable_by_key(|one| (one.attempt.since, one.attempt.delivery));
        running
    }

    /// True if no attempt is in progress.
    pub fn is_empty(&self) -> bool {
        self.known().begun.is_empty()
    }

    /// Stops a leased delivery that another one supersedes, whether its attempt has begun or is
    /// about to.
    pub fn replace(&self, delivery: DeliveryId) {
        let mut known = self.known();
        if let Some(ongoing) = known.begun.get(&delivery) {
            ongoing.replaced.store(true, Ordering::Release);
            ongoing.stop.cancel();
            return;
        }
        if known.early.len() == EARLY {
            known.early.pop_front();
        }
        known.early.push_back(delivery);
    }

    /// Interrupts the attempts in progress that belong to a concurrency group. Returns their number.
    pub fn interrupt_groups(&self) -> usize {
        let known = self.known();
        let in_groups = known.begun.values().filter(|ongoing| ongoing.attempt.in_group);
        in_groups.map(|ongoing| ongoing.stop.cancel()).count()
    }

    /// Stops the attempts in progress of a delivery or an event, and returns them, each with true if
    /// this is the decision that stands. If one is being stopped already, the first one does.
    pub fn cancel(&self, target: StopTarget, cancel: &Cancel) -> Vec<(OngoingAttempt, bool)> {
        let known = self.known();
        let mut stopped: Vec<(OngoingAttempt, bool)> = known
            .begun
            .values()
            .filter(|ongoing| ongoing.attempt.is_meant(target))
            .map(|ongoing| {
                let is_first = ongoing.cancel.set(cancel.clone()).is_ok();
                ongoing.stop.cancel();
                (ongoing.attempt.clone(), is_first)
            })
            .collect();
        stopped.sort_unstable_by_key(|(attempt, _)| attempt.delivery);
        stopped
    }

    /// Calls `with` with the followers and the begun attempts.
    pub(super) fn with_followers<T>(
        &self,
        with: impl FnOnce(&mut Followers, &HashMap<DeliveryId, Arc<Ongoing>>) -> T,
    ) -> T {
        let mut known = self.known();
        let Known { begun, followers, .. } = &mut *known;
        with(followers, begun)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock()
    }
}

impl Attempting {
    /// True if the attempt is stopped because the daemon stops.
    pub fn is_daemon_stopping(&self) -> bool {
        self.abort.is_cancelled()
    }

    /// True if the attempt is stopped because another delivery supersedes it.
    pub fn is_replaced(&self) -> bool {
        self.ongoing.replaced.load(Ordering::Acquire) && !self.abort.is_cancelled()
    }

    /// Output of the attempt's command.
    pub(super) fn output(&self) -> &LiveOutput {
        &self.ongoing.output
    }

    /// Notes that an action of this kind begins.
    pub(super) fn start(&self, kind: &'static str) {
        self.ongoing.started.set(kind).ok();
        self.ongoing.output.wake();
    }

    /// Notes the end, after its record was written.
    pub(super) fn end(&self, end: AttemptEnd) {
        self.ongoing.end.set(end).ok();
        self.ongoing.output.wake();
    }

    /// The operator's decision, if the operator stops the attempt.
    pub fn cancel(&self) -> Option<&Cancel> {
        self.ongoing.cancel.get()
    }
}

impl Drop for Attempting {
    fn drop(&mut self) {
        self.end(AttemptEnd::UNKNOWN);
        let mut known = self.running.known();
        known.followers.ends(&self.ongoing);
        let delivery = self.ongoing.attempt.delivery;
        // A delivery that was dropped and replayed may have begun again.
        let is_own = |ongoing: &Arc<Ongoing>| Arc::ptr_eq(ongoing, &self.ongoing);
        if known.begun.get(&delivery).is_some_and(is_own) {
            known.begun.remove(&delivery);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Timestamp;
    use crate::event::EventId;
    use crate::pipeline::ongoing::AfterStop;

    const RETRY: AfterStop = AfterStop::Retry;

    fn attempt(delivery: DeliveryId, event: EventId) -> OngoingAttempt {
        OngoingAttempt {
            event,
            delivery,
            rule: "build".into(),
            action: 0,
            for_failure: false,
            number: 1,
            since: Timestamp::EPOCH,
            in_group: false,
        }
    }

    fn ids() -> ([DeliveryId; 2], EventId) {
        let ids = [1, 2].map(|at| DeliveryId::new(Timestamp::from_millis(at)));
        (ids, EventId::new(Timestamp::EPOCH))
    }

    fn cancel(by: &str, after: AfterStop) -> Cancel {
        Cancel { by: by.into(), after }
    }

    #[test]
    fn one_is_stopped_also_a_moment_before_it_begins_and_the_others_go_on() {
        let running = Arc::new(Running::default());
        let abort = CancellationToken::new();
        let ([first, second], event) = ids();
        let begin = |delivery| running.begin(attempt(delivery, event), &abort);
        let going = begin(first);
        running.replace(second);
        assert!(begin(second).is_replaced());
        // The stop was for one attempt.
        let again = begin(second);
        assert!(!going.is_replaced() && !again.is_replaced());
        running.replace(first);
        assert!(going.is_replaced() && !again.is_replaced());
        abort.cancel();
        assert!(again.stop.is_cancelled() && !again.is_replaced());
    }

    #[test]
    fn what_is_stopped_after_its_end_is_forgotten() {
        let running = Arc::new(Running::default());
        for at in 0..1000 {
            let delivery = DeliveryId::new(Timestamp::from_millis(at));
            drop(running.begin(attempt(delivery, ids().1), &CancellationToken::new()));
            running.replace(delivery);
        }
        assert_eq!(running.known().early.len(), EARLY);
        assert!(running.known().begun.is_empty());
    }

    #[test]
    fn only_attempts_in_groups_are_interrupted_and_none_counts_as_replaced() {
        let (running, abort) = (Arc::new(Running::default()), CancellationToken::new());
        let ([first, second], event) = ids();
        let alone = running.begin(attempt(first, event), &abort);
        let in_group = OngoingAttempt {
            in_group: true,
            ..attempt(second, event)
        };
        let in_group = running.begin(in_group, &abort);
        assert_eq!(running.interrupt_groups(), 1);
        assert!(in_group.stop.is_cancelled() && !alone.stop.is_cancelled());
        assert!(!in_group.is_replaced() && !in_group.is_daemon_stopping());
    }

    #[test]
    fn the_operator_stops_what_is_in_progress_and_the_first_decision_stands() {
        let (running, abort) = (Arc::new(Running::default()), CancellationToken::new());
        let ([first, second], event) = ids();
        let going = [first, second].map(|delivery| running.begin(attempt(delivery, event), &abort));
        let stop = |target, by: &str, after| running.cancel(target, &cancel(by, after)).len();
        assert_eq!(stop(StopTarget::Delivery(first), "ann", AfterStop::Drop), 1);
        let [one, other] = &going;
        assert!(one.stop.is_cancelled() && !one.is_replaced() && !other.stop.is_cancelled());
        let bobs = running.cancel(StopTarget::Event(event), &cancel("bob", RETRY));
        let firsts: Vec<bool> = bobs.iter().map(|(_, is_first)| *is_first).collect();
        assert_eq!(firsts, [false, true]);
        assert_eq!(one.cancel(), Some(&cancel("ann", AfterStop::Drop)));
        assert_eq!(other.cancel(), Some(&cancel("bob", RETRY)));
        drop(going);
        assert_eq!(stop(StopTarget::Event(event), "ann", RETRY), 0);
        // What begins later is not stopped.
        assert_eq!(running.begin(attempt(first, event), &abort).cancel(), None);
    }

    #[test]
    fn the_end_of_an_overtaken_attempt_leaves_the_next_one_in_place() {
        let (running, abort) = (Arc::new(Running::default()), CancellationToken::new());
        let ([first, _], event) = ids();
        let overtaken = running.begin(attempt(first, event), &abort);
        let _next = running.begin(attempt(first, event), &abort);
        drop(overtaken);
        let stopped = running.cancel(StopTarget::Delivery(first), &cancel("ann", RETRY));
        assert_eq!(stopped.len(), 1);
    }
}
