//! Attempts that began and did not end: those of a node that is gone, and those that still run when
//! this node leaves.

use tokio_postgres::Row;
use uuid::Uuid;

use super::failure::Failure;
use super::link::Link;
use super::row;
use crate::base::clock::Timestamp;
use crate::store::Interrupted;
use crate::store::columns::integer;
use crate::store::decide::interruption::record;
use crate::store::decide::settlement::LeaseSnapshot;

/// Columns of [`BegunAttempt::read`], in its order. `q` is the row of the queue.
macro_rules! begun {
    ($rest:literal) => {
        concat!(
            "SELECT q.seq, q.id, q.event, q.rule, q.action, q.attempt, q.due, q.interruptions, q.interrupted_at, \
                 q.failure_of IS NOT NULL, n.name, ",
            $rest
        )
    };
}
pub(super) use begun;

const RECORD: &str = "INSERT INTO attempts (delivery, node, action, number, started_at, duration, outcome, detail, stdout, stderr) \
     SELECT delivery, node, action, number, started_at, 0, $6, $7, '', '' \
     FROM unnest($1::uuid[], $2::text[], $3::int[], $4::int[], $5::bigint[]) AS a(delivery, node, action, number, started_at)";

const COUNT: &str = "UPDATE queue q SET attempt = s.attempt, interruptions = s.interruptions, interrupted_at = s.at \
     FROM unnest($1::bigint[], $2::int[], $3::int[], $4::bigint[]) AS s(seq, attempt, interruptions, at) WHERE q.seq = s.seq";

/// An attempt that began and was not settled.
pub(super) struct BegunAttempt {
    pub seq: i64,
    node: String,
    snapshot: LeaseSnapshot,
    interrupted: Interrupted,
}

impl BegunAttempt {
    /// Reads a row of [`begun`], whose column 11 is the start of the attempt.
    pub fn read(read: &Row) -> Result<Self, Failure> {
        let snapshot = LeaseSnapshot {
            action: row::index(read, 4)?,
            attempt: row::number(read, 5)?,
            due: row::time(read, 6)?,
            interrupted: row::interruption(read, 7)?,
            for_failure: read.try_get(9)?,
        };
        Ok(Self {
            seq: read.try_get(0)?,
            node: read.try_get(10)?,
            interrupted: Interrupted {
                delivery: row::id(read, 1)?,
                event: row::id(read, 2)?,
                rule: row::text(read, 3)?,
                action: snapshot.action,
                attempt: snapshot.attempt,
                since: row::time(read, 11)?,
                for_failure: snapshot.for_failure,
            },
            snapshot,
        })
    }
}

/// Records attempts as interrupted. After a clean stop of their node they do not count.
pub(super) async fn record_all(
    link: &Link,
    begun: Vec<BegunAttempt>,
    after_clean_stop: bool,
) -> Result<Vec<Interrupted>, Failure> {
    if begun.is_empty() {
        return Ok(Vec::new());
    }
    let mut rows = Vec::new();
    let (mut deliveries, mut nodes, mut actions, mut numbers, mut since) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut next, mut in_a_row) = (Vec::new(), Vec::new());
    let small = |number: i64| i32::try_from(number).unwrap_or(i32::MAX);
    let mut texts = record(0, 1, Timestamp::from_millis(0), after_clean_stop);
    let mut interrupted = Vec::new();
    for BegunAttempt {
        seq,
        node,
        mut snapshot,
        interrupted: attempt,
    } in begun
    {
        rows.push(seq);
        deliveries.push(Uuid::from(attempt.delivery));
        nodes.push(node);
        actions.push(small(integer(attempt.action)));
        numbers.push(small(i64::from(attempt.attempt)));
        since.push(attempt.since.as_millis());
        snapshot.interrupt(attempt.since, !after_clean_stop);
        next.push(small(i64::from(snapshot.attempt)));
        in_a_row.push(small(i64::from(
            snapshot.interrupted.map_or(0, |last| last.in_a_row),
        )));
        interrupted.push(attempt);
    }
    let (outcome, detail) = (
        std::mem::take(&mut texts.outcome),
        std::mem::take(&mut texts.detail),
    );
    link.execute(
        RECORD,
        &[&deliveries, &nodes, &actions, &numbers, &since, &outcome, &detail],
    )
    .await?;
    link.execute(COUNT, &[&rows, &next, &in_a_row, &since]).await?;
    Ok(interrupted)
}
