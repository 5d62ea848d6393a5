//! Changes of the queue that a transaction has decided on, and writes at its end: new deliveries, and
//! those that end or stop because of them.

use std::sync::Arc;

use uuid::Uuid;

use super::failure::Failure;
use super::link::{Link, Parameters};
use super::tally::Tally;
use crate::base::clock::Timestamp;
use crate::event::EventId;
use crate::store::{DeliveryId, DeliveryState, NewDelivery};

const ADD: &str = "INSERT INTO queue (seq, id, event, rule, item, state, due, unverified, group_key, group_limit, \
         group_overlap, debounced_since) \
     SELECT * FROM unnest($1::int8[], $2::uuid[], $3::uuid[], $4::text[], $5::int4[], $6::text[], $7::int8[], $8::text[], \
         $9::text[], $10::int4[], $11::text[], $12::int8[])";

const ADD_ENDED: &str = "INSERT INTO ended (seq, id, event, rule, item, state, due, unverified, group_key, group_limit, \
         ended_at, reason, action, attempt, replays) \
     SELECT a.*, 0, 1, 0 FROM unnest($1::int8[], $2::uuid[], $3::uuid[], $4::text[], $5::int4[], $6::text[], $7::int8[], \
         $8::text[], $9::text[], $10::int4[], $11::int8[], $12::text[]) AS a";

/// Ends deliveries that are not leased.
const END: &str = "WITH said AS MATERIALIZED (SELECT * FROM unnest($1::int8[], $2::int8[], $3::text[]) AS s(seq, at, reason)), \
     gone AS (DELETE FROM queue q USING said s WHERE q.seq = s.seq AND q.node IS NULL AND q.state <> 'dropped' RETURNING q.*), \
     written AS (INSERT INTO ended (id, seq, event, rule, item, state, action, attempt, due, ended_at, reason, unverified, \
             replays, group_key, group_limit, failure_of) \
         SELECT g.id, g.seq, g.event, g.rule, g.item, 'superseded', g.action, g.attempt, g.due, s.at, s.reason, g.unverified, \
             g.replays, g.group_key, g.group_limit, g.failure_of FROM gone g JOIN said s USING (seq) RETURNING 1) \
     SELECT 1 / (CASE WHEN count(*) = cardinality($1) THEN 1 ELSE 0 END) FROM written";

/// Marks leased deliveries: their runners are to stop, and after a crash no attempt begins.
const STOP: &str = "WITH written AS (UPDATE queue q SET superseded = s.reason \
         FROM unnest($1::int8[], $2::text[]) AS s(seq, reason) \
         WHERE q.seq = s.seq AND q.node IS NOT NULL AND q.state = 'ready' RETURNING 1) \
     SELECT 1 / (CASE WHEN count(*) = cardinality($1) THEN 1 ELSE 0 END) FROM written";

pub(super) const STATEMENTS: &[&str] = &[ADD, ADD_ENDED, END, STOP];

/// A row of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueueRow {
    /// A row that was there before, by its number.
    Written(i64),
    /// A row of this transaction, by its index in [`Changes::new`].
    New(usize),
}

/// A new delivery.
#[derive(Debug)]
pub(super) struct NewRow<'c> {
    pub seq: i64,
    pub id: DeliveryId,
    pub event: EventId,
    pub delivery: &'c NewDelivery,
    pub state: DeliveryState,
}

/// Changes of the queue.
#[derive(Debug, Default)]
pub(super) struct Changes<'c> {
    pub new: Vec<NewRow<'c>>,
    /// Rows of deliveries that end.
    ended: Vec<i64>,
    ended_at: Vec<i64>,
    ended_reasons: Vec<&'static str>,
    /// Rows of leased deliveries that are to stop.
    stopped: Vec<i64>,
    /// True if another node has one of them.
    pub stops_elsewhere: bool,
    stop_reasons: Vec<&'static str>,
}

impl Changes<'_> {
    /// Ends a delivery that is not leased.
    pub fn supersede(&mut self, row: QueueRow, at: Timestamp, reason: &'static str) {
        match row {
            QueueRow::Written(seq) => {
                self.ended.push(seq);
                self.ended_at.push(at.as_millis());
                self.ended_reasons.push(reason);
            }
            QueueRow::New(index) => {
                if let Some(new) = self.new.get_mut(index) {
                    let reason = reason.to_owned();
                    new.state = DeliveryState::Superseded { at, reason };
                }
            }
        }
    }

    /// Marks a leased delivery as one that is to stop.
    pub fn stop(&mut self, row: QueueRow, reason: &'static str) {
        if let QueueRow::Written(seq) = row
            && !self.stopped.contains(&seq)
        {
            self.stopped.push(seq);
            self.stop_reasons.push(reason);
        }
    }

    /// The changes of the sums.
    pub fn tally(&self) -> Tally {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let new_ended = self.new.iter().filter(|new| !new.state.is_pending()).count();
        Tally {
            pending: count(self.new.len() - new_ended) - count(self.ended.len()),
            done: count(new_ended + self.ended.len()),
            ..Tally::default()
        }
    }

    /// Writes the new deliveries that have not ended.
    pub async fn add(&self, link: &Link) -> Result<(), Failure> {
        let columns = Columns::of(self.new.iter().filter(|new| new.state.is_pending()));
        if columns.seqs.is_empty() {
            return Ok(());
        }
        let overlaps: &(dyn tokio_postgres::types::ToSql + Sync) = &columns.overlaps;
        let parameters = columns.parameters([overlaps, &columns.since]);
        link.execute(ADD, &parameters).await.map(drop)
    }

    /// Writes the new deliveries that have ended at once.
    pub async fn add_ended(&self, link: &Link) -> Result<(), Failure> {
        let columns = Columns::of(self.new.iter().filter(|new| !new.state.is_pending()));
        if columns.seqs.is_empty() {
            return Ok(());
        }
        let ended_at: &(dyn tokio_postgres::types::ToSql + Sync) = &columns.ended_at;
        let parameters = columns.parameters([ended_at, &columns.reasons]);
        link.execute(ADD_ENDED, &parameters).await.map(drop)
    }

    /// Ends the deliveries that were superseded.
    pub async fn end(&self, link: &Link) -> Result<(), Failure> {
        if self.ended.is_empty() {
            return Ok(());
        }
        let row: Parameters<'_> = &[&self.ended, &self.ended_at, &self.ended_reasons];
        link.query(END, row).await.map(drop)
    }

    /// Marks the deliveries that are to stop.
    pub async fn mark_stopped(&self, link: &Link) -> Result<(), Failure> {
        if self.stopped.is_empty() {
            return Ok(());
        }
        let row: Parameters<'_> = &[&self.stopped, &self.stop_reasons];
        link.query(STOP, row).await.map(drop)
    }
}

/// Columns of new deliveries.
#[derive(Default)]
struct Columns<'c> {
    seqs: Vec<i64>,
    ids: Vec<Uuid>,
    events: Vec<Uuid>,
    rules: Vec<&'c str>,
    items: Vec<Option<i32>>,
    states: Vec<&'static str>,
    due: Vec<i64>,
    unverified: Vec<Option<&'c str>>,
    groups: Vec<Option<&'c str>>,
    limits: Vec<i32>,
    overlaps: Vec<Option<&'static str>>,
    since: Vec<Option<i64>>,
    ended_at: Vec<Option<i64>>,
    reasons: Vec<Option<&'c str>>,
}

impl<'c> Columns<'c> {
    fn of<'r: 'c>(rows: impl Iterator<Item = &'c NewRow<'r>>) -> Self {
        let mut columns = Self::default();
        for NewRow {
            seq,
            id,
            event,
            delivery,
            state,
        } in rows
        {
            let since = match state {
                DeliveryState::Debounced { since, .. } => Some(since.as_millis()),
                _ => None,
            };
            let group = delivery.group.as_ref();
            let limit = group.map_or(0, |group| i32::try_from(group.limit).unwrap_or(i32::MAX));
            columns.seqs.push(*seq);
            columns.ids.push((*id).into());
            columns.events.push((*event).into());
            columns.rules.push(&delivery.rule);
            columns.items.push(item_column(delivery.item));
            columns.states.push(state.name());
            columns.due.push(state.due().unwrap_or(delivery.due).as_millis());
            columns.unverified.push(delivery.unverified.as_deref());
            columns.groups.push(group.map(|group| &*group.name));
            columns.limits.push(limit);
            let overlap = group.map(|group| group.overlap.name());
            columns.overlaps.push(since.and(overlap));
            columns.since.push(since);
            columns.ended_at.push(state.ended_at().map(Timestamp::as_millis));
            columns.reasons.push(state.reason());
        }
        columns
    }

    /// The columns that both tables have, and two more.
    fn parameters<'p>(
        &'p self,
        [eleventh, twelfth]: [&'p (dyn tokio_postgres::types::ToSql + Sync); 2],
    ) -> [&'p (dyn tokio_postgres::types::ToSql + Sync); 12] {
        [
            &self.seqs,
            &self.ids,
            &self.events,
            &self.rules,
            &self.items,
            &self.states,
            &self.due,
            &self.unverified,
            &self.groups,
            &self.limits,
            eleventh,
            twelfth,
        ]
    }
}

/// The column `item`.
pub(super) fn item_column(item: Option<u32>) -> Option<i32> {
    item.map(|item| i32::try_from(item).unwrap_or(i32::MAX))
}

/// The group of a new delivery, as its rows name it.
pub(super) fn group_name(delivery: &NewDelivery) -> Option<&Arc<str>> {
    delivery.group.as_ref().map(|group| &group.name)
}
