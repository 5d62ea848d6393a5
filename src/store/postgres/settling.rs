//! Ends of leases: settlements with their attempts, releases, and attempts that begin. The effects are
//! decided in `decide/settlement.rs`, and planned in `settlements.rs`.
//!
//! The locks and all ends of leases travel together, and mostly nothing follows but the commit. A
//! settlement whose row has another lease is refused, unless an earlier try has written it.

use std::collections::HashSet;
use std::sync::Arc;

use super::PostgresStore;
use super::adding::Adding;
use super::changes::Changes;
use super::ends::Me;
use super::failure::Failure;
use super::groups::begin_next;
use super::link::Link;
use super::node::Node;
use super::pipeline::pipeline;
use super::settlements::{Found, Plan};
use super::settling_call::{Answers, SettlingCall};
use super::tally::Tally;
use super::text::{clean, clean_shared};
use super::worker::Batch;
use super::{adding, changes, debounce, ends, expansion, failures, forgetting, groups};
use crate::base::clock::Timestamp;
use crate::store::{DeliveryId, Enqueued, Expansion, Settled, Settlement, StoreError};

const STATEMENTS: &[&[&str]] = &[
    ends::STATEMENTS,
    expansion::STATEMENTS,
    failures::STATEMENTS,
    forgetting::STATEMENTS,
    groups::STATEMENTS,
    changes::STATEMENTS,
    debounce::STATEMENTS,
    adding::STATEMENTS,
    &[Tally::STATEMENT],
];

/// The work of the connection for settlements.
pub(super) struct Settling {
    node: Arc<Node>,
}

impl Settling {
    pub fn new(node: &Arc<Node>) -> Self {
        Self {
            node: Arc::clone(node),
        }
    }

    /// Writes a plan. Its first statements travel together.
    async fn carry_out(&self, link: &Link, slot: i16, plan: &mut Plan<'_>) -> Result<(), Failure> {
        let me = Me {
            id: self.node.id(),
            name: &self.node.target.node,
        };
        let (stripes, has_expansions) = (plan.stripes(), plan.has_expansions());
        let groups: Vec<&str> = plan.groups.iter().map(|group| &**group).collect();
        let groups_now = if has_expansions { &[][..] } else { &groups };
        let ((), (), (), (), ended, continued, released, (), begun) = pipeline!(
            link.run("BEGIN"),
            plan.may_forget.lock(link),
            groups::lock(link, &stripes),
            plan.marks.mark(link, me, &plan.since),
            plan.ends.write(link, me),
            plan.continues.write(link, me),
            plan.releases.release(link, me),
            plan.releases.let_go(link, me),
            begin_next(link, groups_now),
        )?;
        let rows: HashSet<i64> = ended.into_iter().chain(continued).collect();
        let mut found = plan.found(&rows);
        found.waits |= released > 0 || begun > 0;
        drop((stripes, groups));
        let changes = self.follow_up(link, me, plan, &mut found).await?;
        let groups: Vec<&str> = plan.groups.iter().map(|group| &**group).collect();
        let groups_then = if has_expansions { &groups } else { &[][..] };
        let tally = found.tally + changes.tally();
        let ((), (), (), (), begun, (), ()) = pipeline!(
            changes.add(link),
            changes.add_ended(link),
            changes.end(link),
            changes.mark_stopped(link),
            begin_next(link, groups_then),
            tally.add(link, (me.id, slot)),
            link.run("COMMIT"),
        )?;
        found.waits |= begun > 0 || changes.new.iter().any(|new| new.state.is_pending());
        self.note_written(plan, &found);
        Ok(())
    }

    /// Writes what follows from the ends of deliveries, if anything does. Answers calls whose rows were
    /// not found, and expansions.
    async fn follow_up<'c>(
        &self,
        link: &Link,
        me: Me<'_>,
        plan: &mut Plan<'c>,
        found: &mut Found<'c>,
    ) -> Result<Changes<'c>, Failure> {
        let (settled, forgotten, ()) = pipeline!(
            found.missing.settled(link, me, &found.missing_ids),
            found.forgetting.forget(link),
            found.failures.write(link),
        )?;
        found.tally.dedup_keys -= i64::try_from(forgotten).unwrap_or(i64::MAX);
        let expanded = plan.answer_missing(found, &settled);
        let mut answers = expansion::expanded(link, &expanded).await?;
        let mut changes = Changes::default();
        if !found.expanding.is_empty() {
            let (Adding { changes: added, .. }, new) =
                expansion::expand(link, me.id, &found.expanding).await?;
            changes = added;
            answers.extend(new);
        }
        for (call, answer) in answers {
            if let Some(place) = plan.answers.get_mut(call) {
                *place = Ok(answer);
            }
        }
        Ok(changes)
    }

    /// Updates the memory after a commit.
    fn note_written(&self, plan: &Plan<'_>, found: &Found<'_>) {
        let mut leases = self.node.leases.lock();
        for &(delivery, lease) in found.ended.iter().chain(&plan.released) {
            leases.end(delivery, lease);
        }
        for &(delivery, lease) in &plan.marked {
            if let Some(leased) = leases.get_mut(delivery).filter(|leased| leased.lease == lease) {
                leased.begins_by_itself = false;
                leased.is_recorded = true;
            }
        }
        drop(leases);
        if found.waits {
            self.node.news.announce();
        }
    }
}

impl Batch for Settling {
    type Call = SettlingCall;
    type Output = Vec<Enqueued>;

    async fn write(
        &self,
        link: &Link,
        slot: i16,
        calls: &[SettlingCall],
        _may_be_there: bool,
    ) -> Result<Answers, Failure> {
        for statements in STATEMENTS {
            link.prepare(statements).await?;
        }
        // Leases end in memory only after a commit. Those that an earlier try has ended in the queue
        // are found again, and what has ended them is looked up.
        let mut plan = Plan::of(calls, &self.node.leases.lock());
        if !plan.is_empty() {
            self.carry_out(link, slot, &mut plan).await?;
        }
        Ok(plan.answers)
    }

    fn size(call: &SettlingCall) -> usize {
        match call {
            SettlingCall::Settle { settled, .. } => {
                let attempt = settled.attempt.as_ref();
                attempt.map_or(0, |attempt| attempt.stdout.len() + attempt.stderr.len())
            }
            _ => 0,
        }
    }
}

impl PostgresStore {
    pub(super) async fn expand_leased(&self, mut expansion: Expansion) -> Result<Vec<Enqueued>, StoreError> {
        clean(&mut expansion.reason);
        for group in expansion
            .deliveries
            .iter_mut()
            .filter_map(|delivery| delivery.group.as_mut())
        {
            clean_shared(&mut group.name);
        }
        let (event, at) = (expansion.event, expansion.at);
        let new = expansion.deliveries.iter();
        let ids = new
            .map(|delivery| DeliveryId::of_new(delivery, event, at))
            .collect();
        self.settling.call(SettlingCall::Expand { expansion, ids }).await
    }

    pub(super) async fn settle_leased(&self, mut settled: Settled) -> Result<(), StoreError> {
        if let Some(attempt) = &mut settled.attempt {
            clean(&mut attempt.outcome);
            clean(&mut attempt.detail);
        }
        let mut at = Timestamp::from_millis(0);
        match &mut settled.settlement {
            Settlement::Superseded { reason, .. } => clean(reason),
            Settlement::Dead {
                reason,
                failure,
                at: ended_at,
                ..
            } => {
                at = *ended_at;
                clean(reason);
                for failure in failure.iter_mut() {
                    clean(&mut failure.action);
                    clean(&mut failure.reason);
                    clean(&mut failure.output);
                }
            }
            _ => {}
        }
        let made = DeliveryId::new(at);
        self.settling
            .call(SettlingCall::Settle { settled, made })
            .await
            .map(drop)
    }

    pub(super) async fn begin_leased(&self, delivery: DeliveryId) -> Result<(), StoreError> {
        self.settling.call(SettlingCall::Begin(delivery)).await.map(drop)
    }

    pub(super) async fn mark_leased(&self, leased_by: Timestamp) -> Result<(), StoreError> {
        self.settling
            .call(SettlingCall::MarkBegun(leased_by))
            .await
            .map(drop)
    }

    pub(super) async fn release_leased(&self, delivery: DeliveryId) -> Result<(), StoreError> {
        self.settling
            .call(SettlingCall::Release(delivery))
            .await
            .map(drop)
    }
}
