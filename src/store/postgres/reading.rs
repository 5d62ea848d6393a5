//! Deliveries, attempts and sums, as the daemon reads them.

use std::time::Duration;

use tokio_postgres::Row;
use uuid::Uuid;

use super::PostgresStore;
use super::failure::Failure;
use super::link::Link;
use super::{row, server, text};
use crate::base::clock::Timestamp;
use crate::event::EventId;
use crate::store::columns::integer;
use crate::store::{
    ATTEMPTS_LISTED, AttemptRecord, Counts, DELIVERIES_LISTED, Delivery, DeliveryId, DeliveryState, Health,
    PerRing, Ring, RingSize, StoreError,
};

/// The sums, and the deliveries that are leased to any node. One that was dropped has ended already.
const SUMS: &str = "SELECT coalesce(sum(pending), 0)::bigint, coalesce(sum(done), 0)::bigint, \
     coalesce(sum(dead), 0)::bigint, coalesce(sum(events), 0)::bigint, coalesce(sum(dedup_keys), 0)::bigint, \
     coalesce(sum(sightings), 0)::bigint, \
     (SELECT count(*) FROM queue WHERE node IS NOT NULL AND state <> 'dropped') FROM tally";

pub(super) const RINGS: &str =
    "SELECT ring, count(*), coalesce(sum(weight), 0)::bigint FROM arrivals GROUP BY ring";

const SIZE: &str = "SELECT coalesce(sum(bytes), 0)::bigint FROM tally";

const DELIVERIES: &str = "SELECT id, rule, item, action, attempt, unverified, failure_of, node IS NOT NULL, \
     state, due, debounced_since, ended_at, reason FROM deliveries WHERE event = $1 ORDER BY seq LIMIT $2";

const ATTEMPTS: &str = "SELECT action, number, started_at, duration, outcome, detail, stdout, stderr FROM attempts \
     WHERE delivery = $1 ORDER BY seq DESC LIMIT $2";

const OUTPUTS: &str = "SELECT DISTINCT ON (action) action, number, started_at, duration, outcome, detail, stdout, stderr \
     FROM attempts WHERE delivery = $1 AND outcome = 'done' AND action < $2 ORDER BY action, seq DESC";

const MARK_ANSWER: &str = "UPDATE events SET answer_error = $2 WHERE id = $1";

/// Reads the sums of the store.
pub(super) async fn counts(link: &Link) -> Result<Counts, Failure> {
    let (sums, rings) = tokio::try_join!(link.query(SUMS, &[]), rings(link))?;
    let sums = sums.first().ok_or_else(|| Failure::unexpected("no sums"))?;
    let leased = row::count(sums, 6)?;
    Ok(Counts {
        waiting: row::count(sums, 0)?.saturating_sub(leased),
        leased,
        done: row::count(sums, 1)?,
        dead: row::count(sums, 2)?,
        events: row::count(sums, 3)?,
        dedup_keys: row::count(sums, 4)?,
        sightings: row::count(sums, 5)?,
        rings,
    })
}

/// Reads the sizes of both rings.
pub(super) async fn rings(link: &Link) -> Result<PerRing<RingSize>, Failure> {
    let mut rings = PerRing::default();
    for read in link.query(RINGS, &[]).await? {
        if let Some(ring) = Ring::from_name(read.try_get(0)?) {
            let (records, bytes) = (row::count(&read, 1)?, row::count(&read, 2)?);
            *rings.get_mut(ring) = RingSize { records, bytes };
        }
    }
    Ok(rings)
}

/// Reads the bytes of all that is kept.
pub(super) async fn size(link: &Link) -> Result<u64, Failure> {
    let sums = link.query(SIZE, &[]).await?;
    let sum = sums.first().ok_or_else(|| Failure::unexpected("no sum"))?;
    row::count(sum, 0)
}

fn delivery(read: &Row, event: EventId) -> Result<Delivery, Failure> {
    let failure_of: Option<Uuid> = read.try_get(6)?;
    let is_leased: bool = read.try_get(7)?;
    Ok(Delivery {
        id: row::id(read, 0)?,
        event,
        rule: row::text(read, 1)?,
        item: row::item(read, 2)?,
        action: row::index(read, 3)?,
        attempt: row::number(read, 4)?,
        state: if is_leased {
            DeliveryState::Running
        } else {
            state(read, 8)?
        },
        unverified: row::optional_text(read, 5)?,
        failure_of: failure_of.map(DeliveryId::from),
    })
}

/// Reads a state from the columns `state`, `due`, `debounced_since`, `ended_at` and `reason`, which
/// begin at `first`.
pub(super) fn state(row: &Row, first: usize) -> Result<DeliveryState, Failure> {
    let moment = |column: usize| {
        let millis: Option<i64> = row.try_get(first + column)?;
        Ok::<_, Failure>(Timestamp::from_millis(millis.unwrap_or_default()))
    };
    let reason = || Ok::<_, Failure>(row.try_get::<_, Option<String>>(first + 4)?.unwrap_or_default());
    let due = moment(1)?;
    Ok(match row.try_get(first)? {
        "debounced" => {
            let since = moment(2)?;
            DeliveryState::Debounced { due, since }
        }
        "queued" => DeliveryState::Queued { due },
        "done" => DeliveryState::Done { at: moment(3)? },
        "superseded" => {
            let (at, reason) = (moment(3)?, reason()?);
            DeliveryState::Superseded { at, reason }
        }
        "dead" => {
            let (at, reason) = (moment(3)?, reason()?);
            DeliveryState::Dead { at, reason }
        }
        _ => DeliveryState::Ready { due },
    })
}

/// Lists the latest attempts at a delivery, oldest first.
pub(super) async fn attempts(link: &Link, delivery: DeliveryId) -> Result<Vec<AttemptRecord>, Failure> {
    let id = Uuid::from(delivery);
    let rows = link.query(ATTEMPTS, &[&id, &integer(ATTEMPTS_LISTED)]).await?;
    rows.iter().rev().map(attempt).collect()
}

/// Reads an attempt from its columns.
fn attempt(read: &Row) -> Result<AttemptRecord, Failure> {
    Ok(AttemptRecord {
        action: row::index(read, 0)?,
        number: row::number(read, 1)?,
        started: row::time(read, 2)?,
        duration: Duration::from_millis(row::count(read, 3)?),
        outcome: read.try_get(4)?,
        detail: read.try_get(5)?,
        stdout: read.try_get(6)?,
        stderr: read.try_get(7)?,
    })
}

impl PostgresStore {
    pub(super) async fn read_counts(&self) -> Result<Counts, StoreError> {
        self.flush_sightings().await?;
        self.requests
            .ask(|link| Box::pin(async move { counts(link).await }))
            .await
    }

    pub(super) async fn read_health(&self) -> Result<Health, StoreError> {
        let durability = self.node.target.durability;
        let read = self
            .requests
            .ask(|link| {
                Box::pin(async move {
                    Ok((
                        size(link).await?,
                        server::missing_standby(link, durability).await?,
                    ))
                })
            })
            .await;
        let mut health = Health::default();
        self.enqueuing.counters().add_to(&mut health);
        self.settling.counters().add_to(&mut health);
        match read {
            Ok((size, missing_standby)) => {
                health.size = size;
                let limit = self.node.settings.current().max_size;
                let full = limit.filter(|limit| size >= *limit);
                let full = full.map(|limit| format!("it holds {size} bytes, and its limit is {limit}"));
                health.full = missing_standby.or(full);
            }
            Err(error) if error.may_pass() => health.full = Some(error.to_string()),
            Err(error) => return Err(error),
        }
        if let Err(error) = self.node.check_health() {
            health.full = Some(error.to_string());
        }
        Ok(health)
    }

    pub(super) async fn read_deliveries(&self, event: EventId) -> Result<Vec<Delivery>, StoreError> {
        let id = Uuid::from(event);
        self.requests
            .ask(move |link| {
                Box::pin(async move {
                    let rows = link
                        .query(DELIVERIES, &[&id, &integer(DELIVERIES_LISTED)])
                        .await?;
                    rows.iter().map(|row| delivery(row, event)).collect()
                })
            })
            .await
    }

    pub(super) async fn read_attempts(&self, delivery: DeliveryId) -> Result<Vec<AttemptRecord>, StoreError> {
        self.requests
            .ask(move |link| Box::pin(async move { attempts(link, delivery).await }))
            .await
    }

    pub(super) async fn read_outputs(
        &self,
        delivery: DeliveryId,
        before: usize,
    ) -> Result<Vec<AttemptRecord>, StoreError> {
        let id = Uuid::from(delivery);
        let before = i32::try_from(before).unwrap_or(i32::MAX);
        self.requests
            .ask(move |link| {
                Box::pin(async move {
                    let rows = link.query(OUTPUTS, &[&id, &before]).await?;
                    rows.iter().map(attempt).collect()
                })
            })
            .await
    }

    pub(super) async fn write_answer(&self, event: EventId, why: String) -> Result<(), StoreError> {
        let id = Uuid::from(event);
        self.write_small(move |link, _| {
            let why = text::storable(&why).into_owned();
            Box::pin(async move { link.execute(MARK_ANSWER, &[&id, &why]).await.map(drop) })
        })
        .await
    }
}
