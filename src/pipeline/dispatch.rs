//! From the queue to the workers: leases what is due and there is room for, and runs an attempt for each (`attempt`).
//!
//! Every attempt is a task that this room owns and awaits. So many deliveries run at once as the rules file says
//! (`deliveries`); all others wait in the store, their bodies on disk. The store shares the slots among the rules, so that
//! a slow one does not hold up the others.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::act::ActionRunner;
use crate::base::clock::Clock;
use crate::base::live::Live;
use crate::pipeline::outcome_waiters::OutcomeWaiters;
use crate::pipeline::payload_cache::PayloadCache;
use crate::pipeline::running::Running;
use crate::pipeline::supersede::Supersede;
use crate::report;
use crate::rules::RuleSet;
use crate::store::{Concurrency, DeliveryId, Leased, Store};
use crate::sys::heartbeat::Heartbeat;

/// How long dispatch waits before it asks a store again that could not answer.
pub(super) const STORE_PAUSE: Duration = Duration::from_secs(1);
/// How soon dispatch looks again after it has leased something: for more of it, or for what is due next.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// The longest that dispatch sleeps without looking: a net under the wake-ups and under a clock that is set back, and how
/// soon it sees what another program has written, such as `hookyard events replay`. A look in vain takes microseconds.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Runs deliveries.
pub struct Dispatcher {
    /// Where deliveries wait.
    pub store: Arc<dyn Store>,
    /// The rules in force.
    pub live: Arc<Live<RuleSet>>,
    /// Runs actions.
    pub actor: Arc<ActionRunner>,
    /// The time; steady, or what waits would wait longer when the machine's clock is set back.
    pub clock: Clock,
    /// Rung by intake when a delivery was written down.
    pub wake: Arc<Notify>,
    /// Senders that wait.
    pub waiting: Arc<OutcomeWaiters>,
    /// What was taken last, decoded.
    pub payload_cache: Arc<PayloadCache>,
    /// What is under way.
    pub running: Arc<Running>,
    /// Sees to what gives way to what has waited for quiet.
    pub supersede: Supersede,
    /// The rules of deliveries that are between two of their actions.
    pub begun: Mutex<HashMap<DeliveryId, Arc<RuleSet>>>,
    /// Beats with every look at the queue.
    pub heartbeat: Arc<Heartbeat>,
}

impl Dispatcher {
    /// Runs deliveries until `stop`, or until the store has ended by itself; then leases no more and waits for those that run.
    /// `abort` stops those, too: their attempts are interrupted, and their deliveries stay in the store.
    pub async fn run(self: Arc<Self>, stop: CancellationToken, abort: CancellationToken) {
        let mut running = JoinSet::new();
        let mut marking = JoinSet::new();
        marking.spawn(Arc::clone(&self).mark_begun());
        while !stop.is_cancelled() {
            self.heartbeat.beat();
            // Registered before looking, so that what comes between looking and sleeping still wakes us.
            let mut woken = pin!(self.wake.notified());
            woken.as_mut().enable();
            let Some(pause) = self.lease_into(&mut running, &abort).await else {
                break;
            };
            let mut idle = pin!(tokio::time::sleep(pause.at_most));
            loop {
                tokio::select! {
                    () = &mut woken => break,
                    () = &mut idle => break,
                    () = stop.cancelled() => break,
                    Some(ended) = running.join_next() => {
                        report_end(ended);
                        // What has ended makes room. Whether anything is due does not depend on it.
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

    /// Leases what is due and there is room for; how long to wait before looking again, `None` if the store has ended.
    async fn lease_into(
        self: &Arc<Self>,
        running: &mut JoinSet<()>,
        abort: &CancellationToken,
    ) -> Option<DispatchPause> {
        let room = self.live.current().room;
        if running.len() >= room.slots {
            return Some(DispatchPause::for_room(LONGEST_SLEEP));
        }
        Some(match self.store.lease(room, self.clock.now()).await {
            Ok(Leased {
                leases,
                held_back,
                displaced,
            }) => {
                // Most often something else wakes us before, and then one question is saved.
                let at_most = if leases.is_empty() {
                    self.until_next_due(room).await
                } else {
                    LOOK_AGAIN
                };
                for lease in leases {
                    let attempting = self.running.begin(lease.delivery, abort);
                    running.spawn(Arc::clone(self).deliver(lease, attempting));
                }
                self.supersede.of(&displaced);
                DispatchPause {
                    at_most,
                    for_room: held_back,
                }
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

    /// How long until something is due for which there is room.
    async fn until_next_due(&self, room: Concurrency) -> Duration {
        match self.store.next_due(room).await {
            // A clock that was set back would make this very long; the bound makes it look again.
            Ok(Some(due)) => due.since(self.clock.now()).min(LONGEST_SLEEP),
            Ok(None) => LONGEST_SLEEP,
            Err(_) => STORE_PAUSE,
        }
    }
}

/// What dispatch waits for before it looks again.
struct DispatchPause {
    at_most: Duration,
    /// Or until something has ended: something is due that there was no room for.
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

/// A worker that panicked outside its action is a bug worth a line, and no reason to stop.
fn report_end(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        report::worker_failed(&error.to_string());
    }
}
