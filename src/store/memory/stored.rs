//! One delivery of the store in memory.

use std::sync::Arc;

use crate::base::clock::Timestamp;
use crate::store::decide::interruption::record;
use crate::store::decide::settlement::LeaseSnapshot;
use crate::store::decide::turns::LeaseCost;
use crate::store::{
    AttemptRecord, Delivery, DeliveryFailure, DeliveryState, Group, Interruption, Superseded,
};

/// A delivery with its attempts.
#[derive(Clone, Debug)]
pub(super) struct StoredDelivery {
    /// The delivery as history lists it.
    pub delivery: Delivery,
    /// Due time before the lease.
    pub due: Timestamp,
    /// The attempts, oldest first.
    pub attempts: Vec<AttemptRecord>,
    pub group: Option<Group>,
    /// The reason why the delivery is no longer to be performed.
    pub superseded: Option<String>,
    /// The failure of another delivery for which this one was made.
    pub failure: Option<Arc<DeliveryFailure>>,
    /// Time of the lease.
    pub leased_at: Timestamp,
    /// Cost of the lease.
    pub cost: LeaseCost,
    /// Start of the attempt that is recorded as begun.
    pub begun: Option<Timestamp>,
    /// Set if the latest attempt was interrupted.
    pub interrupted: Option<Interruption>,
    /// True if the delivery may have ended the last daemon.
    pub suspect: bool,
}

impl StoredDelivery {
    /// Makes a delivery in its first state.
    pub fn new(delivery: Delivery, group: Option<Group>, at: Timestamp) -> Self {
        Self {
            due: delivery.state.due().unwrap_or(at),
            delivery,
            attempts: Vec::new(),
            group,
            superseded: None,
            failure: None,
            leased_at: at,
            cost: LeaseCost::Slot,
            begun: None,
            interrupted: None,
            suspect: false,
        }
    }

    /// Makes the delivery for the failure of this one.
    pub fn for_failure(&self, failure: &DeliveryFailure, due: Timestamp, at: Timestamp) -> Self {
        let delivery = Delivery {
            id: self.delivery.id.of_failure(),
            action: 0,
            attempt: 1,
            state: DeliveryState::Ready { due },
            failure_of: Some(self.delivery.id),
            ..self.delivery.clone()
        };
        Self {
            failure: Some(Arc::new(failure.clone())),
            ..Self::new(delivery, None, at)
        }
    }

    pub fn is_running(&self) -> bool {
        matches!(self.delivery.state, DeliveryState::Running)
    }

    /// The due time, if the delivery waits for nothing else.
    pub fn due_at(&self) -> Option<Timestamp> {
        match self.delivery.state {
            DeliveryState::Ready { due } | DeliveryState::Debounced { due, .. } => Some(due),
            _ => None,
        }
    }

    /// The delivery as it is leased.
    pub fn snapshot(&self) -> LeaseSnapshot {
        LeaseSnapshot {
            action: self.delivery.action,
            attempt: self.delivery.attempt,
            due: self.due,
            interrupted: self.interrupted,
            for_failure: self.failure.is_some(),
        }
    }

    /// Makes the delivery ready, as a decision says.
    pub fn make_ready(&mut self, next: LeaseSnapshot) {
        self.delivery.action = next.action;
        self.delivery.attempt = next.attempt;
        self.interrupted = next.interrupted;
        self.due = next.due;
        self.delivery.state = DeliveryState::Ready { due: next.due };
    }

    /// True if an attempt begins only with `begin`, rather than with its lease.
    pub fn begins_by_itself(&self) -> bool {
        self.suspect || self.interrupted.is_some()
    }

    /// Applies a reopen of the store after a clean stop or a crash.
    pub fn reopen(&mut self, clean: bool) {
        let unmarked = clean && self.is_running() && !self.begins_by_itself();
        let begun = self.begun.take().or(unmarked.then_some(self.leased_at));
        let mut next = self.snapshot();
        if let Some(since) = begun {
            self.attempts
                .push(record(next.action, next.attempt, since, clean));
            next.interrupt(since, !clean);
        }
        if self.is_running() {
            self.make_ready(next);
        }
        self.suspect = !clean;
    }

    /// Ends a delivery that is not leased.
    pub fn supersede(&mut self, at: Timestamp, reason: &'static str) -> Superseded {
        self.delivery.state = DeliveryState::Superseded {
            at,
            reason: reason.to_owned(),
        };
        Superseded {
            delivery: self.delivery.id,
            event: self.delivery.event,
            rule: Arc::clone(&self.delivery.rule),
            reason,
        }
    }
}
