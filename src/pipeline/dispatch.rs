//! From the queue to the workers: lease → act → outcome → settlement → write.
//!
//! Every attempt is a task that this room owns and awaits. A panicking action is a failed attempt. At most
//! [`MAX_RUNNING`] deliveries run at once; all others wait in the store, their bodies on disk.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::fresh::Fresh;
use super::running::{Attempting, Running};
use super::settlement::{Standing, settle};
use super::waiting::Waiting;
use crate::act::{Action, Actor, Occasion, Outcome, Verdict};
use crate::clock::Clock;
use crate::live::Live;
use crate::payload::{self, Decode, Event};
use crate::report;
use crate::rules::{Endpoint, Rule, RuleSet};
use crate::store::lane::reason;
use crate::store::{AttemptRecord, DeliveryId, Lease, Settled, Settlement, Store, StoreError};

/// How many deliveries run at once.
pub const MAX_RUNNING: usize = 64;
/// How long dispatch waits before it asks a store again that could not answer.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// How soon dispatch looks again after it has leased something: for more of it, or for what is due next.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// The longest that dispatch sleeps without looking: a net under the wake-ups and under a clock that is set back, and how
/// soon it sees what another program has written, such as `hookyard events replay`. A look in vain takes microseconds.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Runs deliveries.
pub struct Dispatch {
    /// Where deliveries wait.
    pub store: Arc<dyn Store>,
    /// The rules in force.
    pub live: Arc<Live<RuleSet>>,
    /// Runs actions.
    pub actor: Arc<Actor>,
    /// The time; steady, or what waits would wait longer when the machine's clock is set back.
    pub clock: Clock,
    /// Rung by intake when a delivery was written down.
    pub wake: Arc<Notify>,
    /// Senders that wait.
    pub waiting: Arc<Waiting>,
    /// What was taken last, decoded.
    pub fresh: Arc<Fresh>,
    /// What is under way.
    pub running: Arc<Running>,
    /// The rules of deliveries that are between two of their actions.
    pub begun: Mutex<HashMap<DeliveryId, Arc<RuleSet>>>,
}

impl Dispatch {
    /// Runs deliveries until `stop`, or until the store has ended by itself; then leases no more and waits for those that run. `abort` stops those, too:
    /// their deliveries stay in the store as if the attempt had not begun.
    pub async fn run(self: Arc<Self>, stop: CancellationToken, abort: CancellationToken) {
        let mut running = JoinSet::new();
        while !stop.is_cancelled() {
            // Registered before looking, so that what comes between looking and sleeping still wakes us.
            let mut woken = pin!(self.wake.notified());
            woken.as_mut().enable();
            let Some(idle) = self.lease_into(&mut running, &abort).await else {
                break;
            };
            let full = running.len() >= MAX_RUNNING;
            let mut idle = pin!(tokio::time::sleep(idle));
            loop {
                tokio::select! {
                    () = &mut woken => break,
                    () = &mut idle => break,
                    () = stop.cancelled() => break,
                    Some(ended) = running.join_next() => {
                        report_end(ended);
                        // What has ended makes room. Whether anything is due does not depend on it.
                        if full {
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
    ) -> Option<Duration> {
        let room = MAX_RUNNING.saturating_sub(running.len());
        if room == 0 {
            return Some(LONGEST_SLEEP);
        }
        Some(match self.store.lease(room, self.clock.now()).await {
            Ok(leases) if leases.is_empty() => self.until_next_due().await,
            Ok(leases) => {
                for lease in leases {
                    let attempting = self.running.begin(lease.delivery, abort);
                    running.spawn(Arc::clone(self).deliver(lease, attempting));
                }
                // Most often something else wakes us before, and then one question is saved.
                LOOK_AGAIN
            }
            Err(error) => {
                report::store_failed("lease", &error.to_string());
                if !error.may_pass() {
                    return None;
                }
                STORE_PAUSE
            }
        })
    }

    /// How long until something is due.
    async fn until_next_due(&self) -> Duration {
        match self.store.next_due().await {
            // A clock that was set back would make this very long; the bound makes it look again.
            Ok(Some(due)) => due.since(self.clock.now()).min(LONGEST_SLEEP),
            Ok(None) => LONGEST_SLEEP,
            Err(_) => STORE_PAUSE,
        }
    }

    /// One attempt: what was leased is settled, whatever happens in between.
    async fn deliver(self: Arc<Self>, lease: Lease, attempting: Attempting) {
        let rules = self.rules_for(&lease);
        let settled = match rules.rule(&lease.rule) {
            _ if lease.superseded.is_some() => Some(self.superseded(&lease)),
            None => Some(self.undeliverable(
                &lease,
                format!("the rule `{}` is gone from the rules file", lease.rule),
            )),
            Some((endpoint, rule)) if lease.action < rule.actions.len() => {
                self.attempt(&lease, endpoint, rule, &attempting).await
            }
            Some((_, rule)) => Some(self.undeliverable(
                &lease,
                format!(
                    "action {} is gone from the rule `{}`",
                    lease.action + 1,
                    rule.name
                ),
            )),
        };
        let Some(settled) = settled else {
            // The daemon is stopping: the attempt does not count and the delivery waits for the next start.
            if let Err(error) = self.store.release(lease.delivery).await {
                report::store_failed("release", &error.to_string());
            }
            return;
        };
        let end = match &settled.settlement {
            Settlement::Done { .. } => Some(true),
            // A sender that waits is told that it was not done.
            Settlement::Superseded { .. } | Settlement::Dead { .. } => Some(false),
            Settlement::Next { .. } | Settlement::Retry { .. } | Settlement::Wait { .. } => None,
        };
        if matches!(settled.settlement, Settlement::Next { .. }) {
            // Before the write: it may be leased again before the write returns.
            self.begun().insert(lease.delivery, Arc::clone(&rules));
        }
        if self.write(settled).await
            && let Some(done) = end
        {
            self.waiting.end(lease.received.id, &lease.rule, done);
            self.fresh.remove(lease.received.id);
        }
        if end.is_none() || lease.in_lane {
            // It waits again, perhaps for sooner than anybody sleeps; or another's turn has come.
            self.wake.notify_one();
        }
    }

    /// The rules that a delivery goes by: those in force when it began, as long as it goes on from action to action. One
    /// that waited for another attempt, or for a restart, goes by those in force now: they may have been mended for it.
    fn rules_for(&self, lease: &Lease) -> Arc<RuleSet> {
        let begun = self.begun().remove(&lease.delivery);
        // One that stands at its first action has not begun, or begins anew.
        begun
            .filter(|_| lease.action > 0)
            .unwrap_or_else(|| self.live.current())
    }

    fn begun(&self) -> MutexGuard<'_, HashMap<DeliveryId, Arc<RuleSet>>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the action that the delivery has reached.
    async fn attempt(
        &self,
        lease: &Lease,
        endpoint: &Endpoint,
        rule: &Rule,
        attempting: &Attempting,
    ) -> Option<Settled> {
        let (action, retry) = (rule.actions.get(lease.action)?, rule.retries.get(lease.action)?);
        let started = self.clock.now();
        let outcome = match self.event(lease) {
            Ok(event) => {
                let stop = attempting.stop.clone();
                self.perform(lease, &event, endpoint, action, stop).await
            }
            Err(message) => Outcome::new(Verdict::Dead, message, Duration::ZERO),
        };
        let now = self.clock.now();
        let standing = Standing {
            action: lease.action,
            actions: rule.actions.len(),
            attempt: lease.attempt,
            retry,
            awaited: rule.is_awaited(endpoint),
        };
        let settlement = settle(standing, &outcome.verdict, &outcome.detail, now, die(lease));
        // Stopped, and not because the daemon stops; or it has failed by itself just before.
        let is_over = settlement.as_ref().is_some_and(Settlement::is_end);
        let settlement = if attempting.is_replaced() && !is_over {
            Settlement::Superseded {
                at: now,
                reason: reason::REPLACED.to_owned(),
            }
        } else {
            settlement?
        };
        if let Settlement::Wait { due } = settlement {
            report::put_off(
                lease.received.id,
                lease.delivery,
                &lease.rule,
                &outcome.detail,
                due,
            );
            return Some(Settled {
                delivery: lease.delivery,
                attempt: None,
                settlement,
            });
        }
        self.waiting.note(
            lease.received.id,
            &lease.rule,
            lease.action,
            (action.name(), &outcome),
        );
        report::attempt(&report::Attempt {
            event: lease.received.id,
            delivery: lease.delivery,
            rule: &lease.rule,
            action: action.name(),
            number: lease.attempt,
            outcome: outcome.verdict.name(),
            detail: &outcome.detail,
            duration: outcome.duration,
            settlement: &settlement,
        });
        let attempt = AttemptRecord {
            action: lease.action,
            number: lease.attempt,
            started,
            duration: outcome.duration,
            outcome: outcome.verdict.name().to_owned(),
            detail: outcome.detail,
            stdout: outcome.output.stdout.bytes(),
            stderr: outcome.output.stderr.bytes(),
        };
        Some(Settled {
            delivery: lease.delivery,
            attempt: Some(attempt),
            settlement,
        })
    }

    /// Performs the action; its panic ends nothing but itself.
    async fn perform(
        &self,
        lease: &Lease,
        event: &Event,
        endpoint: &Endpoint,
        action: &Action,
        abort: CancellationToken,
    ) -> Outcome {
        let occasion = Occasion {
            event,
            rule: &lease.rule,
            delivery: lease.delivery.to_string(),
            attempt: lease.attempt,
            verified: lease.unverified.is_none(),
            replays: lease.replays,
            withheld: &endpoint.credentials,
        };
        let mut performing = pin!(self.actor.perform(action, &occasion, abort));
        let guarded = poll_fn(|context| {
            // What the action had in hand is dropped with it; what it shares with others is behind locks.
            let poll = AssertUnwindSafe(|| performing.as_mut().poll(context));
            catch_unwind(poll).unwrap_or_else(|_| {
                Poll::Ready(Outcome::new(
                    Verdict::FAILED,
                    "the action panicked",
                    Duration::ZERO,
                ))
            })
        });
        guarded.await
    }

    /// The event as it was taken.
    fn event(&self, lease: &Lease) -> Result<Event, String> {
        let received = Arc::clone(&lease.received);
        if let Some(payload) = self.fresh.payload(received.id) {
            return Ok(Event { received, payload });
        }
        let decode =
            Decode::from_name(&lease.decode).ok_or_else(|| format!("unknown decoding `{}`", lease.decode))?;
        // It was within `max_body` when it was taken; one that was lowered since does not make a dead letter of it.
        let payload = payload::decode(decode, &received.headers, &received.body, u64::MAX)
            .map_err(|error| format!("the stored body cannot be decoded: {error}"))?;
        Ok(Event { received, payload })
    }

    /// A delivery that another has replaced while it was not under way.
    fn superseded(&self, lease: &Lease) -> Settled {
        let reason = lease.superseded.clone().unwrap_or_default();
        report::superseded(lease.received.id, &lease.rule, &reason);
        Settled {
            delivery: lease.delivery,
            attempt: None,
            settlement: Settlement::Superseded {
                at: self.clock.now(),
                reason,
            },
        }
    }

    /// A delivery that no attempt can help.
    fn undeliverable(&self, lease: &Lease, reason: String) -> Settled {
        report::undeliverable(lease.received.id, &lease.rule, &reason);
        let settlement = Settlement::Dead {
            at: self.clock.now(),
            reason,
            // The rule that would say whether its sender waits is gone; a retry that is let in finds no rule either.
            forget_nonces: false,
        };
        Settled {
            delivery: lease.delivery,
            attempt: None,
            settlement,
        }
    }

    /// Writes a settlement down, trying until the store takes it: what was done must not be done again for want of
    /// a note. Gives up only when the store is closed.
    async fn write(&self, settled: Settled) -> bool {
        loop {
            match self.store.settle(settled.clone()).await {
                Ok(()) => return true,
                Err(StoreError::NotLeased { delivery }) => {
                    report::overtaken(delivery);
                    // What the store still holds for us is out of date.
                    if let Err(error) = self.store.release(delivery).await {
                        report::store_failed("release", &error.to_string());
                    }
                    return false;
                }
                Err(error) if !error.may_pass() => {
                    report::store_failed("settle", &error.to_string());
                    return false;
                }
                Err(error) => {
                    report::store_failed("settle", &error.to_string());
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
    }
}

/// A number in 0.0..1.0 for the jitter, from the delivery's id, whose last bits are random.
fn die(lease: &Lease) -> f64 {
    let text = lease.delivery.to_string();
    let spread = text.bytes().fold(lease.attempt, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u32::from(byte))
    });
    f64::from(spread % 1000) / 1000.0
}

/// A worker that panicked outside its action is a bug worth a line, and no reason to stop.
fn report_end(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        report::worker_failed(&error.to_string());
    }
}
