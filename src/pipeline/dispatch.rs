//! The dispatch loop: leases due deliveries up to the limit and runs an attempt for each.
//!
//! Every attempt is a task that this module owns and awaits. At most `deliveries` (rules file) run
//! at the same time. All others wait in the store, with their bodies on disk. The store shares the
//! slots among the rules, so that a slow rule does not hold up the others. Light rules have slots of
//! their own, because their deliveries hold no process and no connection. `attempt.rs` runs the
//! attempts.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::act::{ActionRunner, TargetState};
use crate::base::clock::Clock;
use crate::base::heartbeat::Heartbeat;
use crate::base::live::Live;
use crate::pipeline::decode_limits::DecodeLimits;
use crate::pipeline::live_output::{OutputCursor, OutputReader};
use crate::pipeline::ongoing::{AfterStop, Cancel, OngoingAttempt, RunningAttempt, StopTarget};
use crate::pipeline::outcome_waiters::OutcomeWaiters;
use crate::pipeline::put_off::PutOff;
use crate::pipeline::running::Running;
use crate::pipeline::supersede::Supersede;
use crate::report::{self, Metrics};
use crate::rules::RuleSet;
use crate::store::{DeliveryId, Leased, News, Pauses, Store, StoreError, StoreOrder, Wanted};

/// Pause after a store error before the next call.
pub(super) const STORE_PAUSE: Duration = Duration::from_secs(1);
/// Time until the next look after something was leased, for more of it or for what is due next.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Maximum sleep between two looks, which costs microseconds. It covers missed wake-ups, a clock
/// that is set back, and writes by other programs such as `hookyard events replay`.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Interval at which the nodes of the store are counted.
const COUNT_NODES_EVERY: Duration = Duration::from_secs(10);

/// Runs deliveries from the store's queue.
pub struct Dispatcher {
    pub(super) store: Arc<dyn Store>,
    pub(super) metrics: Arc<Metrics>,
    /// Rules in force.
    pub(super) live: Arc<Live<RuleSet>>,
    /// Rules and targets that the operator has paused.
    pub(super) pauses: Arc<Live<Pauses>>,
    pub(super) runner: Arc<ActionRunner>,
    /// Clock of the store, by which deliveries are leased.
    pub(super) clock: Clock,
    /// Tells when the queue has changed.
    pub(super) news: News,
    /// Senders that wait for an outcome.
    pub(super) waiters: Arc<OutcomeWaiters>,
    /// Attempts in progress.
    pub(super) running: Arc<Running>,
    /// Reasons for which deliveries were put off.
    pub(super) put_off: PutOff,
    /// Ends deliveries that a debounced one supersedes.
    pub(super) supersede: Supersede,
    /// Rules of deliveries that are between two of their actions.
    pub(super) begun: Mutex<HashMap<DeliveryId, Arc<RuleSet>>>,
    /// Limits on the decoding of payloads for attempts.
    pub(super) decode_limits: DecodeLimits,
    /// Beats with every look at the queue.
    pub(super) heartbeat: Arc<Heartbeat>,
}

impl Dispatcher {
    /// Runs deliveries until `stop`, or until the store has failed for good. Then leases no more
    /// and waits for running attempts. `abort` interrupts those, and their deliveries stay in the
    /// store.
    pub async fn run(self: Arc<Self>, stop: CancellationToken, abort: CancellationToken) {
        let mut running = JoinSet::new();
        let mut marking = JoinSet::new();
        marking.spawn(Arc::clone(&self).mark_begun());
        marking.spawn(Arc::clone(&self).obey());
        marking.spawn(Arc::clone(&self).share_rates());
        while !stop.is_cancelled() {
            self.heartbeat.beat();
            let Some(pause) = self.lease_into(&mut running, &abort).await else {
                break;
            };
            // News from between looking and waiting are still there.
            let mut news = pin!(self.news.look());
            let mut idle = pin!(tokio::time::sleep(pause.at_most));
            loop {
                tokio::select! {
                    () = &mut news => break,
                    () = &mut idle => break,
                    () = stop.cancelled() => break,
                    Some(ended) = running.join_next() => {
                        report_end(ended);
                        // The end of an attempt frees a slot. It does not make anything else due.
                        if pause.for_room {
                            break;
                        }
                    }
                }
            }
            while let Some(ended) = running.try_join_next() {
                report_end(ended);
            }
        }
        while let Some(ended) = running.join_next().await {
            report_end(ended);
        }
    }

    /// Divides the rates of targets by the number of nodes that share the store. Ends at once if that
    /// is a store of one node.
    async fn share_rates(self: Arc<Self>) {
        loop {
            match self.store.nodes().await {
                Ok(nodes) if nodes.is_empty() => return,
                Ok(nodes) => self
                    .runner
                    .share_rates(u32::try_from(nodes.len()).unwrap_or(u32::MAX)),
                // The last number stands until the store answers again.
                Err(_) => {}
            }
            tokio::time::sleep(COUNT_NODES_EVERY).await;
        }
    }

    /// Obeys the orders of the store, without an end.
    async fn obey(self: Arc<Self>) {
        loop {
            match self.news.order().await {
                StoreOrder::Stop(delivery) => self.running.replace(delivery),
                StoreOrder::StopGroups => {
                    let stopped = self.running.interrupt_groups();
                    report::cut_off(stopped);
                }
            }
        }
    }

    /// Leases due deliveries up to the limit. Returns the time until the next look, `None` if the
    /// store has failed for good.
    async fn lease_into(
        self: &Arc<Self>,
        running: &mut JoinSet<()>,
        abort: &CancellationToken,
    ) -> Option<DispatchPause> {
        let wanted = self.wanted();
        if wanted.light_rules.is_empty() && running.len() >= wanted.concurrency.slots {
            return Some(DispatchPause::for_room(LONGEST_SLEEP));
        }
        Some(match self.store.lease(wanted.clone(), self.clock.now()).await {
            Ok(leased) => {
                // Usually a wake-up comes before LOOK_AGAIN, which saves this query.
                let at_most = if leased.leases.is_empty() {
                    self.until_next_due(wanted).await
                } else {
                    LOOK_AGAIN
                };
                if leased.leases.is_empty() && running.is_empty() {
                    self.decode_limits.events.clear();
                }
                let for_room = leased.held_back;
                self.begin(leased, running, abort);
                DispatchPause { at_most, for_room }
            }
            Err(error) => {
                report::store_failed("lease", &error.to_string());
                if !error.may_pass() {
                    return None;
                }
                DispatchPause::for_room(STORE_PAUSE)
            }
        })
    }

    /// Limits of the rules in force, without the paused rules.
    fn wanted(&self) -> Wanted {
        Wanted {
            paused: Arc::clone(&self.pauses.current().rules),
            ..self.live.current().wanted.clone()
        }
    }

    /// Puts pauses in force. Attempts that run go on to the end of their action.
    pub fn adopt_pauses(&self, pauses: Pauses) {
        self.runner.pause_targets(pauses.targets());
        self.pauses.replace(pauses);
        // Deliveries of a resumed rule may be due.
        self.news.announce();
    }

    /// Begins the attempts at leased deliveries.
    fn begin(self: &Arc<Self>, leased: Leased, running: &mut JoinSet<()>, abort: &CancellationToken) {
        let now = self.clock.now();
        for lease in leased.leases {
            self.put_off.forget(lease.delivery);
            let attempting = self.running.begin(OngoingAttempt::of(&lease, now), abort);
            running.spawn(Arc::clone(self).deliver(lease, attempting));
        }
        self.supersede.of(&leased.displaced);
    }

    /// Lists the attempts in progress, the oldest first.
    pub fn running(&self) -> Vec<RunningAttempt> {
        self.running.list()
    }

    /// The reasons for which deliveries were put off, as far as they are known.
    pub fn put_off(&self) -> HashMap<DeliveryId, Arc<str>> {
        self.put_off.reasons()
    }

    /// Lists the targets that have failed or for whose turn deliveries wait.
    pub fn targets(&self) -> Vec<TargetState> {
        self.runner.targets()
    }

    /// Stops the attempts in progress of a delivery or an event, and returns them. Commands get TERM,
    /// and KILL after their grace.
    pub fn cancel(&self, target: StopTarget, cancel: &Cancel) -> Vec<OngoingAttempt> {
        let stopped = self.running.cancel(target, cancel);
        for (attempt, _) in stopped.iter().filter(|(_, is_first)| *is_first) {
            let then = match cancel.after {
                AfterStop::Retry => "retry",
                AfterStop::Drop => "drop",
            };
            report::stopping_attempt(attempt.event, attempt.delivery, &attempt.rule, &cancel.by, then);
        }
        stopped.into_iter().map(|(attempt, _)| attempt).collect()
    }

    /// Follows the output of a delivery: from `after` on, or from the begin of the attempt in progress.
    pub fn follow(&self, delivery: DeliveryId, after: Option<OutputCursor>) -> OutputReader {
        OutputReader::new(&self.running, delivery, after)
    }

    /// Leases what is due now and begins the attempts, in place of [`Self::run`]. Returns their
    /// number. For rules that are tested, where the clock is moved by hand.
    pub async fn begin_due(self: &Arc<Self>, running: &mut JoinSet<()>) -> Result<usize, StoreError> {
        let wanted = self.wanted();
        let leased = self.store.lease(wanted, self.clock.now()).await?;
        let number = leased.leases.len();
        self.begin(leased, running, &CancellationToken::new());
        Ok(number)
    }

    /// Returns the time until a delivery is due for which there is a slot.
    async fn until_next_due(&self, wanted: Wanted) -> Duration {
        match self.store.next_due(wanted).await {
            // If the clock was set back this time is very long, so it is limited.
            Ok(Some(due)) => due.since(self.clock.now()).min(LONGEST_SLEEP),
            Ok(None) => LONGEST_SLEEP,
            Err(_) => STORE_PAUSE,
        }
    }
}

/// Pause of the dispatch loop.
struct DispatchPause {
    at_most: Duration,
    /// True if the end of an attempt ends the pause, too: a due delivery is waiting for a slot.
    for_room: bool,
}

impl DispatchPause {
    fn for_room(at_most: Duration) -> Self {
        Self {
            at_most,
            for_room: true,
        }
    }
}

/// Reports a worker that panicked outside its action. This is a bug, but no reason to stop.
fn report_end(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        report::worker_failed(&error.to_string());
    }
}
