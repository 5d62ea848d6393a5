//! A batch of calls that end or mark leases, as it is planned from the leases in memory.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use super::adding;
use super::ends::{Continues, Ends, LeaseColumns, Pin};
use super::expansion::Expanding;
use super::failures::Failures;
use super::forgetting::Forgetting;
use super::leases::{LeasedDelivery, Leases};
use super::settling_call::{Answers, SettlingCall};
use super::tally::Tally;
use crate::base::clock::Timestamp;
use crate::store::decide::retention::is_dead_letter;
use crate::store::decide::settlement::{Effect, settle};
use crate::store::{
    AttemptRecord, DeliveryFailure, DeliveryId, DeliveryState, Expansion, Settled, Settlement, StoreError,
};

/// A settlement, or an expansion, of a lease that this node holds.
pub(super) struct Planned<'c> {
    /// Index of the call.
    call: usize,
    delivery: DeliveryId,
    leased: LeasedDelivery,
    end: Option<PlannedEnd<'c>>,
}

/// Consequences of the end of a delivery.
struct PlannedEnd<'c> {
    is_dead_letter: bool,
    forget_dedup_keys: bool,
    /// The failure for which another delivery is made, with the id and due time of that delivery.
    failure: Option<(DeliveryId, &'c DeliveryFailure, Timestamp)>,
    expansion: Option<(&'c Expansion, &'c [DeliveryId])>,
}

/// A batch of calls.
#[derive(Default)]
pub(super) struct Plan<'c> {
    pub answers: Answers,
    pub marks: LeaseColumns,
    pub since: Vec<i64>,
    /// Leases whose attempts are recorded as begun.
    pub marked: Vec<(DeliveryId, i64)>,
    pub ends: Ends<'c>,
    pub continues: Continues<'c>,
    pub releases: LeaseColumns,
    /// Groups in which others may begin.
    pub groups: BTreeSet<Arc<str>>,
    /// Names of stripes.
    stripes: Vec<String>,
    planned: Vec<Planned<'c>>,
    pub released: Vec<(DeliveryId, i64)>,
    /// Keys that may be forgotten, to be locked first.
    pub may_forget: Forgetting,
    /// Deliveries whose leases an earlier call ends.
    over: HashSet<DeliveryId>,
}

/// Consequences of the rows that were found leased.
#[derive(Default)]
pub(super) struct Found<'c> {
    pub forgetting: Forgetting,
    pub failures: Failures<'c>,
    pub expanding: Vec<Expanding<'c>>,
    /// Settlements whose rows were not found, with their calls.
    pub missing: LeaseColumns,
    pub missing_ids: Vec<Uuid>,
    missing_planned: Vec<usize>,
    pub tally: Tally,
    /// True if deliveries wait again.
    pub waits: bool,
    /// Leases that have ended.
    pub ended: Vec<(DeliveryId, i64)>,
}

impl<'c> Plan<'c> {
    /// Plans calls in their order. Each finds the leases that those before it leave.
    pub fn of(calls: &'c [SettlingCall], leases: &Leases) -> Self {
        let mut plan = Self::default();
        for (index, call) in calls.iter().enumerate() {
            plan.answers.push(Ok(Vec::new()));
            match call {
                SettlingCall::Settle { settled, made } => plan.settle(index, settled, *made, leases),
                SettlingCall::Expand { expansion, ids } => plan.expand(index, expansion, ids, leases),
                SettlingCall::Release(delivery) => plan.release(*delivery, leases),
                SettlingCall::Begin(delivery) => {
                    if let Some(leased) = plan.leased(*delivery, leases) {
                        plan.mark(*delivery, leased);
                    }
                }
                SettlingCall::MarkBegun(leased_by) => plan.mark_begun(*leased_by, leases),
            }
        }
        plan
    }

    /// True if nothing is to be written.
    pub fn is_empty(&self) -> bool {
        self.planned.is_empty() && self.marked.is_empty() && self.released.is_empty()
    }

    pub fn has_expansions(&self) -> bool {
        let mut ends = self.planned.iter().filter_map(|planned| planned.end.as_ref());
        ends.any(|end| end.expansion.is_some())
    }

    /// Names whose stripes are locked.
    pub fn stripes(&self) -> Vec<&str> {
        let groups = self.groups.iter().map(|group| &**group);
        groups.chain(self.stripes.iter().map(String::as_str)).collect()
    }

    /// A lease that no earlier call ends.
    fn leased<'l>(&self, delivery: DeliveryId, held: &'l Leases) -> Option<&'l LeasedDelivery> {
        held.get(delivery).filter(|_| !self.over.contains(&delivery))
    }

    /// A lease that this call ends.
    fn end_lease(&mut self, delivery: DeliveryId, held: &Leases) -> Option<LeasedDelivery> {
        let leased = self.leased(delivery, held)?.clone();
        self.over.insert(delivery);
        if let Some(group) = &leased.group {
            self.groups.insert(Arc::clone(group));
        }
        Some(leased)
    }

    fn settle(&mut self, call: usize, settled: &'c Settled, made: DeliveryId, held: &Leases) {
        let delivery = settled.delivery;
        let Some(leased) = self.end_lease(delivery, held) else {
            self.refuse(call, delivery);
            return;
        };
        let attempt = settled.attempt.as_ref();
        let end = match settle(leased.snapshot, &settled.settlement) {
            Effect::Continue(next) => {
                let pin = match settled.settlement {
                    Settlement::Next { .. } => Pin::Here,
                    // A backlog of what was put off must stay free for other nodes.
                    Settlement::Retry { .. } | Settlement::Wait { .. } => Pin::AsBefore,
                    _ => Pin::NoNode,
                };
                self.continues.add(&leased, attempt, &next, pin);
                None
            }
            Effect::End {
                state,
                forget_dedup_keys,
                failure,
            } => {
                if forget_dedup_keys {
                    self.may_forget.add(leased.event, &leased.rule);
                }
                let failure = failure.map(|(failure, due)| (made, failure, due));
                let expansion = None;
                Some(self.end(&leased, attempt, &state, forget_dedup_keys, failure, expansion))
            }
        };
        self.planned.push(Planned {
            call,
            delivery,
            leased,
            end,
        });
    }

    fn expand(&mut self, call: usize, expansion: &'c Expansion, ids: &'c [DeliveryId], held: &Leases) {
        let delivery = expansion.delivery;
        let Some(leased) = self.end_lease(delivery, held) else {
            self.refuse(call, delivery);
            return;
        };
        let (at, reason) = (expansion.at, expansion.reason.clone());
        let state = DeliveryState::Superseded { at, reason };
        let end = self.end(&leased, None, &state, false, None, Some((expansion, ids)));
        self.stripes.extend(adding::stripes(expansion.deliveries.iter()));
        self.planned.push(Planned {
            call,
            delivery,
            leased,
            end: Some(end),
        });
    }

    fn end(
        &mut self,
        leased: &LeasedDelivery,
        attempt: Option<&'c AttemptRecord>,
        state: &DeliveryState,
        forget_dedup_keys: bool,
        failure: Option<(DeliveryId, &'c DeliveryFailure, Timestamp)>,
        expansion: Option<(&'c Expansion, &'c [DeliveryId])>,
    ) -> PlannedEnd<'c> {
        self.ends.add(leased, attempt, state);
        PlannedEnd {
            is_dead_letter: is_dead_letter(state, leased.snapshot.for_failure),
            forget_dedup_keys,
            failure,
            expansion,
        }
    }

    fn release(&mut self, delivery: DeliveryId, leases: &Leases) {
        if let Some(leased) = self.end_lease(delivery, leases) {
            self.releases.add(&leased);
            self.released.push((delivery, leased.lease));
        }
    }

    fn mark_begun(&mut self, leased_by: Timestamp, leases: &Leases) {
        for (delivery, leased) in leases.iter() {
            let has_begun = !leased.begins_by_itself && leased.since <= leased_by.as_millis();
            if has_begun && !self.over.contains(delivery) {
                self.mark(*delivery, leased);
            }
        }
    }

    fn mark(&mut self, delivery: DeliveryId, leased: &LeasedDelivery) {
        let mark = (delivery, leased.lease);
        if leased.is_recorded || self.marked.contains(&mark) {
            return;
        }
        self.marks.add(leased);
        self.since.push(leased.since);
        self.marked.push(mark);
    }

    fn refuse(&mut self, call: usize, delivery: DeliveryId) {
        if let Some(answer) = self.answers.get_mut(call) {
            *answer = Err(StoreError::NotLeased { delivery });
        }
    }

    /// Divides the settlements by whether their rows were found leased.
    pub fn found(&self, rows: &HashSet<i64>) -> Found<'c> {
        let mut found = Found::default();
        for (index, planned) in self.planned.iter().enumerate() {
            let Planned { delivery, leased, .. } = planned;
            if !rows.contains(&leased.seq) {
                found.missing.add(leased);
                found.missing_ids.push((*delivery).into());
                found.missing_planned.push(index);
                continue;
            }
            found.ended.push((*delivery, leased.lease));
            let Some(end) = &planned.end else {
                found.waits = true;
                continue;
            };
            found.tally.pending -= 1;
            found.tally.dead += i64::from(end.is_dead_letter);
            found.tally.done += i64::from(!end.is_dead_letter);
            if end.forget_dedup_keys {
                found.forgetting.add(leased.event, &leased.rule);
            }
            if let Some((made, failure, due)) = end.failure {
                found.failures.add(made, *delivery, failure, due);
                found.tally.pending += 1;
                found.waits = true;
            }
            if let Some((expansion, ids)) = end.expansion {
                let call = planned.call;
                found.expanding.push(Expanding { call, expansion, ids });
            }
        }
        found
    }

    /// Answers the calls whose rows were not found. `settled` are the rows that an earlier try has
    /// settled; expansions among them are returned.
    pub fn answer_missing(&mut self, found: &mut Found<'c>, settled: &[i64]) -> Vec<Expanding<'c>> {
        let mut expanded = Vec::new();
        for index in std::mem::take(&mut found.missing_planned) {
            let Some(planned) = self.planned.get(index) else {
                continue;
            };
            let (call, delivery, lease) = (planned.call, planned.delivery, planned.leased.lease);
            if !settled.contains(&planned.leased.seq) {
                // The caller releases the lease.
                self.refuse(call, delivery);
                continue;
            }
            found.ended.push((delivery, lease));
            if let Some((expansion, ids)) = planned.end.as_ref().and_then(|end| end.expansion) {
                expanded.push(Expanding { call, expansion, ids });
            }
        }
        expanded
    }
}
