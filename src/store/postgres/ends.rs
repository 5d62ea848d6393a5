//! Ends of leases in the queue: deliveries that end, that go on, or that were given back, with their
//! attempts.
//!
//! A lease is ended by its node and number. A row that has another lease, or none, is left as it is.

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::failure::Failure;
use super::leases::LeasedDelivery;
use super::link::Link;
use crate::base::clock::Timestamp;
use crate::store::decide::settlement::LeaseSnapshot;
use crate::store::{AttemptRecord, DeliveryState};

/// Condition of a row that has this lease of the node `$1`. No index serves it: a plan that was made
/// while few rows were leased would find them by the node for ever after.
macro_rules! leased {
    ($state:literal) => {
        concat!(
            "q.seq = s.seq AND q.node IS NOT DISTINCT FROM $1 AND q.lease IS NOT DISTINCT FROM s.lease AND q.state = '",
            $state,
            "'"
        )
    };
}

/// Inserts the attempts of the rows of `written`.
macro_rules! attempts {
    () => {
        "attempted AS (INSERT INTO attempts (delivery, node, action, number, started_at, duration, outcome, detail, stdout, stderr) \
             SELECT w.id, $2::text, s.made_action, s.number, s.started_at, s.duration, s.outcome, s.detail, s.stdout, s.stderr \
             FROM written w JOIN said s USING (seq) WHERE s.outcome IS NOT NULL)"
    };
}

const END: &str = concat!(
    "WITH said AS MATERIALIZED (SELECT * FROM unnest($3::int8[], $4::int8[], $5::int4[], $6::int4[], $7::int8[], $8::int8[], \
         $9::text[], $10::text[], $11::bytea[], $12::bytea[], $13::text[], $14::int8[], $15::text[]) \
         AS s(seq, lease, made_action, number, started_at, duration, outcome, detail, stdout, stderr, state, at, reason)), \
     written AS (DELETE FROM queue q USING said s WHERE ",
    leased!("ready"),
    " RETURNING q.*), \
     history AS (INSERT INTO ended (id, seq, event, rule, item, state, action, attempt, due, ended_at, reason, unverified, \
             replays, group_key, group_limit, failure_of, node, settled) \
         SELECT w.id, w.seq, w.event, w.rule, w.item, s.state, w.action, w.attempt, w.due, s.at, s.reason, w.unverified, \
             w.replays, w.group_key, w.group_limit, w.failure_of, w.node, w.lease FROM written w JOIN said s USING (seq)), ",
    attempts!(),
    " SELECT seq FROM written"
);

/// `pin`: 1 for this node, 2 as it was, else for any node. What has made an attempt and goes on did not
/// end its node.
const CONTINUE: &str = concat!(
    "WITH said AS MATERIALIZED (SELECT * FROM unnest($3::int8[], $4::int8[], $5::int4[], $6::int4[], $7::int8[], $8::int8[], \
         $9::text[], $10::text[], $11::bytea[], $12::bytea[], $13::int4[], $14::int4[], $15::int8[], $16::int4[], $17::int8[], \
         $18::int4[]) AS s(seq, lease, made_action, number, started_at, duration, outcome, detail, stdout, stderr, \
         action, attempt, due, interruptions, interrupted_at, pin)), \
     written AS (UPDATE queue q SET action = s.action, attempt = s.attempt, due = s.due, interruptions = s.interruptions, \
         interrupted_at = s.interrupted_at, begun_at = NULL, settled = q.lease, settled_by = q.node, \
         node = NULL, lease = NULL, leased_at = NULL, suspect = q.suspect AND s.outcome IS NULL, \
         pinned = CASE s.pin WHEN 1 THEN $1 WHEN 2 THEN q.pinned END FROM said s WHERE ",
    leased!("ready"),
    " RETURNING q.id, q.seq), ",
    attempts!(),
    " SELECT seq FROM written"
);

/// Also ends what is left of a lease whose delivery was dropped and replayed: its number is negative, so
/// that no settlement finds it.
const RELEASE: &str = "UPDATE queue q SET node = NULL, lease = NULL, leased_at = NULL, begun_at = NULL \
     FROM unnest($2::int8[], $3::int8[]) AS s(seq, lease) WHERE q.seq = s.seq AND q.node IS NOT DISTINCT FROM $1 \
     AND ((q.lease IS NOT DISTINCT FROM s.lease AND q.state = 'ready') OR q.lease IS NOT DISTINCT FROM -s.lease)";

/// Ends the occupancy of deliveries that the operator has dropped and whose attempts are over.
const LET_GO: &str = concat!(
    "DELETE FROM queue q USING unnest($2::int8[], $3::int8[]) AS s(seq, lease) WHERE ",
    leased!("dropped")
);

const MARK: &str = concat!(
    "UPDATE queue q SET begun_at = s.since FROM unnest($2::int8[], $3::int8[], $4::int8[]) AS s(seq, lease, since) WHERE ",
    leased!("ready")
);

/// Leases that an earlier settlement has ended.
const SETTLED: &str = "SELECT a.seq FROM unnest($2::uuid[], $3::int8[], $4::int8[]) AS a(id, seq, lease) WHERE \
     EXISTS (SELECT 1 FROM ended e WHERE e.id = a.id AND e.node = $1 AND e.settled = a.lease) OR \
     EXISTS (SELECT 1 FROM queue q WHERE q.seq = a.seq AND q.settled_by = $1 AND q.settled = a.lease)";

pub(super) const STATEMENTS: &[&str] = &[END, CONTINUE, RELEASE, LET_GO, MARK, SETTLED];

/// Names of this node, by which leases and attempts are written.
#[derive(Clone, Copy)]
pub(super) struct Me<'n> {
    pub id: i64,
    pub name: &'n str,
}

/// Leases, by their rows and numbers.
#[derive(Debug, Default)]
pub(super) struct LeaseColumns {
    seqs: Vec<i64>,
    leases: Vec<i64>,
}

impl LeaseColumns {
    pub fn add(&mut self, leased: &LeasedDelivery) {
        self.seqs.push(leased.seq);
        self.leases.push(leased.lease);
    }

    /// Gives deliveries back. Returns the number of those that were leased.
    pub async fn release(&self, link: &Link, me: Me<'_>) -> Result<u64, Failure> {
        if self.seqs.is_empty() {
            return Ok(0);
        }
        link.execute(RELEASE, &[&me.id, &self.seqs, &self.leases]).await
    }

    /// Deletes the rows of dropped deliveries.
    pub async fn let_go(&self, link: &Link, me: Me<'_>) -> Result<(), Failure> {
        if self.seqs.is_empty() {
            return Ok(());
        }
        let row: [&(dyn ToSql + Sync); 3] = [&me.id, &self.seqs, &self.leases];
        link.execute(LET_GO, &row).await.map(drop)
    }

    /// Records that attempts have begun, at these times.
    pub async fn mark(&self, link: &Link, me: Me<'_>, since: &Vec<i64>) -> Result<(), Failure> {
        if self.seqs.is_empty() {
            return Ok(());
        }
        let row: [&(dyn ToSql + Sync); 4] = [&me.id, &self.seqs, &self.leases, since];
        link.execute(MARK, &row).await.map(drop)
    }

    /// The rows of those that an earlier try has settled. `ids` are the deliveries.
    pub async fn settled(&self, link: &Link, me: Me<'_>, ids: &Vec<Uuid>) -> Result<Vec<i64>, Failure> {
        if self.seqs.is_empty() {
            return Ok(Vec::new());
        }
        let row: [&(dyn ToSql + Sync); 4] = [&me.id, ids, &self.seqs, &self.leases];
        let rows = link.query(SETTLED, &row).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}

/// Columns of leases that end, with their attempts.
#[derive(Debug, Default)]
struct AttemptColumns<'c> {
    leases: LeaseColumns,
    actions: Vec<i32>,
    numbers: Vec<i32>,
    started: Vec<i64>,
    durations: Vec<i64>,
    /// Null if no attempt was made.
    outcomes: Vec<Option<&'c str>>,
    details: Vec<&'c str>,
    stdout: Vec<&'c [u8]>,
    stderr: Vec<&'c [u8]>,
}

impl<'c> AttemptColumns<'c> {
    fn add(&mut self, leased: &LeasedDelivery, attempt: Option<&'c AttemptRecord>) {
        self.leases.add(leased);
        let duration =
            |attempt: &AttemptRecord| i64::try_from(attempt.duration.as_millis()).unwrap_or(i64::MAX);
        self.actions
            .push(attempt.map_or(0, |attempt| int4(attempt.action)));
        self.numbers
            .push(attempt.map_or(0, |attempt| int4(attempt.number)));
        self.started
            .push(attempt.map_or(0, |attempt| attempt.started.as_millis()));
        self.durations.push(attempt.map_or(0, duration));
        self.outcomes.push(attempt.map(|attempt| &*attempt.outcome));
        self.details.push(attempt.map_or("", |attempt| &attempt.detail));
        self.stdout.push(attempt.map_or(&[], |attempt| &attempt.stdout));
        self.stderr.push(attempt.map_or(&[], |attempt| &attempt.stderr));
    }

    /// The parameters after the node's, in the order of the columns.
    fn parameters(&self) -> [&(dyn ToSql + Sync); 10] {
        [
            &self.leases.seqs,
            &self.leases.leases,
            &self.actions,
            &self.numbers,
            &self.started,
            &self.durations,
            &self.outcomes,
            &self.details,
            &self.stdout,
            &self.stderr,
        ]
    }

    /// Writes them by a statement with further columns. Returns the rows that had these leases.
    async fn write(
        &self,
        link: &Link,
        me: Me<'_>,
        sql: &'static str,
        further: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<i64>, Failure> {
        if self.leases.seqs.is_empty() {
            return Ok(Vec::new());
        }
        let node: [&(dyn ToSql + Sync); 2] = [&me.id, &me.name];
        let row = [&node[..], &self.parameters(), further].concat();
        let rows = link.query(sql, &row).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}

/// Leased deliveries that end.
#[derive(Debug, Default)]
pub(super) struct Ends<'c> {
    attempts: AttemptColumns<'c>,
    states: Vec<&'static str>,
    at: Vec<i64>,
    reasons: Vec<Option<String>>,
}

impl<'c> Ends<'c> {
    pub fn add(
        &mut self,
        leased: &LeasedDelivery,
        attempt: Option<&'c AttemptRecord>,
        state: &DeliveryState,
    ) {
        self.attempts.add(leased, attempt);
        self.states.push(state.name());
        self.at.push(state.ended_at().map_or(0, Timestamp::as_millis));
        self.reasons.push(state.reason().map(str::to_owned));
    }

    /// Writes them. Returns the rows that had these leases.
    pub async fn write(&self, link: &Link, me: Me<'_>) -> Result<Vec<i64>, Failure> {
        let further: [&(dyn ToSql + Sync); 3] = [&self.states, &self.at, &self.reasons];
        self.attempts.write(link, me, END, &further).await
    }
}

/// The node that is to go on with a delivery.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pin {
    NoNode,
    /// This node, which knows the rules with which the delivery began.
    Here,
    AsBefore,
}

/// Leased deliveries that go on.
#[derive(Debug, Default)]
pub(super) struct Continues<'c> {
    attempts: AttemptColumns<'c>,
    actions: Vec<i32>,
    next_attempts: Vec<i32>,
    due: Vec<i64>,
    interruptions: Vec<i32>,
    interrupted_at: Vec<Option<i64>>,
    pins: Vec<i32>,
}

impl<'c> Continues<'c> {
    pub fn add(
        &mut self,
        leased: &LeasedDelivery,
        attempt: Option<&'c AttemptRecord>,
        next: &LeaseSnapshot,
        pin: Pin,
    ) {
        self.attempts.add(leased, attempt);
        let interrupted = next.interrupted;
        self.actions.push(int4(next.action));
        self.next_attempts.push(int4(next.attempt));
        self.due.push(next.due.as_millis());
        self.interruptions
            .push(interrupted.map_or(0, |interrupted| int4(interrupted.in_a_row)));
        self.interrupted_at
            .push(interrupted.map(|interrupted| interrupted.since.as_millis()));
        self.pins.push(match pin {
            Pin::NoNode => 0,
            Pin::Here => 1,
            Pin::AsBefore => 2,
        });
    }

    /// Writes them. Returns the rows that had these leases.
    pub async fn write(&self, link: &Link, me: Me<'_>) -> Result<Vec<i64>, Failure> {
        let further: [&(dyn ToSql + Sync); 6] = [
            &self.actions,
            &self.next_attempts,
            &self.due,
            &self.interruptions,
            &self.interrupted_at,
            &self.pins,
        ];
        self.attempts.write(link, me, CONTINUE, &further).await
    }
}

/// A number as an `integer` column.
fn int4(number: impl TryInto<i32>) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}
