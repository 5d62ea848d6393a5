//! Settlements of deliveries without an attempt: superseded, interrupted too often, undeliverable.

use crate::pipeline::Dispatcher;
use crate::pipeline::attempt::jitter;
use crate::pipeline::resumption::{Resumption, resume};
use crate::report;
use crate::rules::Rule;
use crate::store::{DeliveryFailure, Lease, Settled, Settlement};

impl Dispatcher {
    /// Settles a delivery that was superseded while it was not running.
    pub(super) fn superseded(&self, lease: &Lease) -> Settled {
        let reason = lease.superseded.clone().unwrap_or_default();
        report::superseded(&self.metrics, lease.received.id, &lease.rule, &reason);
        Settled::unattempted(
            lease.delivery,
            Settlement::Superseded {
                at: self.clock.now(),
                reason,
            },
        )
    }

    /// Settles a delivery whose latest attempt was interrupted. `None` if the next attempt begins.
    pub(super) fn resume(&self, lease: &Lease, rule: &Rule) -> Option<Settled> {
        let for_failure = lease.failure.is_some();
        let (action, retry) = rule.step(for_failure, lease.action)?;
        let now = self.clock.now();
        match resume(lease.interrupted?, lease.attempt, retry, now, jitter(lease)) {
            Resumption::Begin => None,
            Resumption::Wait { due } => {
                let (event, delivery) = (lease.received.id, lease.delivery);
                report::put_off(event, delivery, &lease.rule, "interrupted before", due);
                Some(Settled::unattempted(delivery, Settlement::Wait { due }))
            }
            Resumption::GiveUp { reason } => {
                let alarm = (!rule.on_failure.is_empty()).then(|| action.name().to_owned());
                let awaited = !for_failure && rule.is_awaited();
                Some(self.undeliverable(lease, reason, alarm, awaited))
            }
        }
    }

    /// Settles a delivery whose next action is gone from its rule.
    pub(super) fn without_action(&self, lease: &Lease, rule: &Rule) -> Settled {
        let of = if lease.failure.is_some() {
            "on_failure of the"
        } else {
            "the"
        };
        let action = format!("action {}", lease.action + 1);
        let reason = format!("{action} is gone from {of} rule `{}`", rule.name);
        let alarm = (!rule.on_failure.is_empty()).then_some(action);
        self.undeliverable(lease, reason, alarm, false)
    }

    /// Settles a delivery that no attempt can help. `alarm` names the failed action if the rule has
    /// `on_failure`. `forget_dedup_keys` lets the sender's own retry in.
    pub(super) fn undeliverable(
        &self,
        lease: &Lease,
        reason: String,
        alarm: Option<String>,
        forget_dedup_keys: bool,
    ) -> Settled {
        report::undeliverable(&self.metrics, lease.received.id, &lease.rule, &reason);
        let alarm = alarm.filter(|_| lease.failure.is_none());
        let failure = alarm.map(|action| {
            Box::new(DeliveryFailure {
                action,
                reason: reason.clone(),
                output: String::new(),
            })
        });
        let settlement = Settlement::Dead {
            at: self.clock.now(),
            reason,
            forget_dedup_keys,
            failure,
        };
        Settled::unattempted(lease.delivery, settlement)
    }
}
