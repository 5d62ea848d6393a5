//! Retention: expired data is forgotten in small steps. What has expired is decided in
//! `decide/retention.rs`.
//!
//! An event is written without a note of its end, because its deliveries end on different nodes.
//! `events.look_at` is the earliest moment at which its last delivery can have ended: its arrival at
//! first. Once that moment is longer ago than [`Keep::done`], the sweep looks at the deliveries. It
//! forgets the event, or moves `look_at` to the end of the last delivery, or to now if one of them
//! has not ended. An event is therefore looked at once or twice.

use std::sync::Arc;

use tokio_postgres::Row;
use uuid::Uuid;

use super::failure::Failure;
use super::link::{Link, Parameters};
use super::node::Node;
use super::tally::{REQUESTS, Tally};
use super::{PostgresStore, arrivals, partitions, row};
use crate::base::clock::Timestamp;
use crate::store::columns::integer;
use crate::store::decide::retention::{Expiry, STEP_ROWS, StepBudget};
use crate::store::{Keep, SIGHTINGS_KEPT, StoreError};

/// Maximum times that one step looks for events, if all those it has seen are still needed.
const LOOKS: usize = 20;

/// One node sweeps at a time. Another one has nothing to do.
const DUTY: &str = "SELECT 1 FROM duties WHERE duty = 'sweep' FOR UPDATE SKIP LOCKED";

/// Rows that another transaction writes at this moment are left for a later sweep.
const FORGET_DEDUP_KEYS: &str = "WITH gone AS MATERIALIZED (SELECT key, rule FROM dedup_keys \
     WHERE remember_until < $1 ORDER BY remember_until LIMIT $2 FOR UPDATE SKIP LOCKED) \
     DELETE FROM dedup_keys d USING gone WHERE d.key = gone.key AND d.rule = gone.rule";

const FORGET_SIGHTINGS: &str = "WITH gone AS MATERIALIZED (SELECT key, endpoint FROM sightings \
     WHERE remember_until < $1 ORDER BY remember_until LIMIT $2 FOR UPDATE SKIP LOCKED) \
     DELETE FROM sightings s USING gone WHERE s.key = gone.key AND s.endpoint = gone.endpoint";

const SIGHTINGS: &str = "SELECT coalesce(sum(sightings), 0)::bigint FROM tally";

/// Deletes sightings beyond the limit, of which the first are those that are forgotten first.
const SURPLUS_SIGHTINGS: &str = "WITH gone AS MATERIALIZED (SELECT key, endpoint FROM sightings \
     ORDER BY remember_until LIMIT $1 FOR UPDATE SKIP LOCKED) \
     DELETE FROM sightings s USING gone WHERE s.key = gone.key AND s.endpoint = gone.endpoint";

const PAST_EVENTS: &str = "SELECT id, kept, look_at FROM events WHERE has_dead = $1 AND look_at < $2 \
     ORDER BY look_at LIMIT $3 FOR UPDATE SKIP LOCKED";

/// The deliveries of locked events, in the order of their ids.
const DELIVERIES_OF: &str = "SELECT EXISTS (SELECT 1 FROM queue q WHERE q.event = a.id), d.ended_at, d.dead, d.number \
     FROM unnest($1::uuid[]) WITH ORDINALITY AS a(id, n) CROSS JOIN LATERAL (SELECT max(ended_at) AS ended_at, \
     count(*) FILTER (WHERE state = 'dead' AND failure_of IS NULL) AS dead, count(*) AS number \
     FROM ended WHERE event = a.id) d ORDER BY a.n";

const LOOK_LATER: &str = "UPDATE events e SET look_at = a.at, has_dead = a.dead \
     FROM unnest($1::uuid[], $2::int8[], $3::bool[]) AS a(id, at, dead) WHERE e.id = a.id";

const DELETE_ENDED: &str = "DELETE FROM ended WHERE event = ANY ($1) \
     RETURNING id, state = 'dead' AND failure_of IS NULL";

const DELETE_ATTEMPTS: &str = "DELETE FROM attempts WHERE delivery = ANY ($1)";

const DELETE_FAILURES: &str = "DELETE FROM failures WHERE delivery = ANY ($1)";

const DELETE_KEPT: &str = "DELETE FROM requests_kept WHERE event = ANY ($1)";

const DELETE_EVENTS: &str = "DELETE FROM events WHERE id = ANY ($1)";

/// One step of a sweep.
struct Sweep<'s> {
    link: &'s Link,
    keep: Keep,
    now: Timestamp,
    expiry: Expiry,
    budget: StepBudget,
    tally: Tally,
}

/// An event that may be forgotten.
struct PastEvent {
    id: Uuid,
    kept: i64,
    look_at: Timestamp,
}

/// The deliveries of an event.
struct Deliveries {
    is_pending: bool,
    ended_at: Option<Timestamp>,
    dead: i64,
    number: i64,
}

/// Events that are still needed, with the moment and the kind of their next look.
#[derive(Default)]
struct Later {
    events: Vec<Uuid>,
    moments: Vec<i64>,
    are_dead: Vec<bool>,
}

impl PastEvent {
    fn read(read: &Row) -> Result<Self, Failure> {
        let (id, kept, look_at) = (read.try_get(0)?, read.try_get(1)?, row::time(read, 2)?);
        Ok(Self { id, kept, look_at })
    }
}

impl Deliveries {
    fn read(read: &Row) -> Result<Self, Failure> {
        Ok(Self {
            is_pending: read.try_get(0)?,
            ended_at: read.try_get::<_, Option<i64>>(1)?.map(Timestamp::from_millis),
            dead: read.try_get(2)?,
            number: read.try_get(3)?,
        })
    }
}

impl Later {
    fn add(&mut self, event: Uuid, moment: Timestamp, is_dead: bool) {
        self.events.push(event);
        self.moments.push(moment.as_millis());
        self.are_dead.push(is_dead);
    }
}

impl Sweep<'_> {
    /// Forgets one step. Returns the number of dedup keys, sightings and events forgotten.
    async fn run(&mut self, node: i64) -> Result<usize, Failure> {
        self.link.run("BEGIN").await?;
        if self.link.query(DUTY, &[]).await?.is_empty() {
            self.link.run("COMMIT").await?;
            return Ok(0);
        }
        let keys = self.forget_keys().await?;
        let mut events = 0;
        for _ in 0..LOOKS {
            let mut is_more = false;
            for is_dead in [false, true] {
                let (forgotten, looked_at) = self.look(is_dead).await?;
                events += forgotten;
                is_more |= looked_at >= STEP_ROWS;
            }
            if events > 0 || !is_more {
                break;
            }
        }
        if self.tally != Tally::default() {
            self.tally.add(self.link, (node, REQUESTS)).await?;
        }
        arrivals::trim(self.link, &self.keep).await?;
        self.link.run("COMMIT").await?;
        Ok(keys + events)
    }

    /// Forgets dedup keys and sightings. Returns their number.
    async fn forget_keys(&mut self) -> Result<usize, Failure> {
        let (before, rows) = (self.expiry.remembered.as_millis(), integer(STEP_ROWS));
        let dedup_keys = self.link.execute(FORGET_DEDUP_KEYS, &[&before, &rows]).await?;
        let mut sightings = self.link.execute(FORGET_SIGHTINGS, &[&before, &rows]).await?;
        let sums = self.link.query(SIGHTINGS, &[]).await?;
        let known: i64 = sums.first().map_or(Ok(0), |sum| sum.try_get(0))?;
        let surplus = known - number(sightings) - integer(SIGHTINGS_KEPT);
        if surplus > 0 {
            let surplus = surplus.min(rows);
            sightings += self.link.execute(SURPLUS_SIGHTINGS, &[&surplus]).await?;
        }
        self.tally.dedup_keys -= number(dedup_keys);
        self.tally.sightings -= number(sightings);
        Ok(usize::try_from(dedup_keys + sightings).unwrap_or(usize::MAX))
    }

    /// Looks at past events, with or without a known dead letter, and forgets those that are no
    /// longer needed. Returns their number, and how many it has looked at.
    async fn look(&mut self, is_dead: bool) -> Result<(usize, usize), Failure> {
        if !self.budget.is_left() {
            return Ok((0, 0));
        }
        let before = self.expiry.ended(is_dead).as_millis();
        let rows = integer(self.budget.rows());
        let past = self.link.query(PAST_EVENTS, &[&is_dead, &before, &rows]).await?;
        let past: Vec<PastEvent> = past.iter().map(PastEvent::read).collect::<Result<_, _>>()?;
        if past.is_empty() {
            return Ok((0, 0));
        }
        let ids: Vec<Uuid> = past.iter().map(|event| event.id).collect();
        let (mut gone, mut ended, mut later) = (Vec::new(), 0, Later::default());
        let deliveries = self.link.query(DELIVERIES_OF, &[&ids]).await?;
        for (event, deliveries) in past.iter().zip(&deliveries) {
            if !self.budget.is_left() {
                break;
            }
            let deliveries = Deliveries::read(deliveries)?;
            let ended_at = deliveries.ended_at.unwrap_or(event.look_at);
            let is_dead = deliveries.dead > 0;
            if deliveries.is_pending {
                later.add(event.id, self.now, false);
            } else if ended_at >= self.expiry.ended(is_dead) {
                later.add(event.id, ended_at, is_dead);
            } else {
                let bytes = u64::try_from(event.kept).unwrap_or(0);
                let deliveries = usize::try_from(deliveries.number).unwrap_or(STEP_ROWS);
                self.budget.spend(deliveries, bytes);
                self.tally.bytes -= event.kept;
                ended += deliveries;
                gone.push(event.id);
            }
        }
        if !later.events.is_empty() {
            self.link
                .execute(LOOK_LATER, &[&later.events, &later.moments, &later.are_dead])
                .await?;
        }
        self.forget(&gone, ended).await?;
        Ok((gone.len(), past.len()))
    }

    /// Deletes events with their deliveries and attempts. `ended` is the number of these deliveries: if
    /// one has been replayed since they were counted, nothing is deleted.
    async fn forget(&mut self, events: &[Uuid], ended: usize) -> Result<(), Failure> {
        if events.is_empty() {
            return Ok(());
        }
        let mut deliveries: Vec<Uuid> = Vec::new();
        for read in self.link.query(DELETE_ENDED, &[&events]).await? {
            deliveries.push(read.try_get(0)?);
            let is_dead: bool = read.try_get(1)?;
            self.tally.dead -= i64::from(is_dead);
            self.tally.done -= i64::from(!is_dead);
        }
        if deliveries.len() != ended {
            return Err(Failure::Conflict("a delivery was replayed".to_owned()));
        }
        self.tally.events -= integer(events.len());
        let requests = partitions::delete_statement(&self.keep);
        let (events, deliveries): (Parameters<'_>, Parameters<'_>) = (&[&events], &[&deliveries]);
        tokio::try_join!(
            self.link.execute(DELETE_ATTEMPTS, deliveries),
            self.link.execute(DELETE_FAILURES, deliveries),
            self.link.execute(DELETE_KEPT, events),
            self.link.execute(requests, events),
            self.link.execute(DELETE_EVENTS, events),
        )?;
        Ok(())
    }
}

fn number(rows: u64) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// Forgets one step. If nothing was left, goes on with the tables of past days.
async fn sweep(link: &Link, node: &Node, now: Timestamp) -> Result<usize, Failure> {
    let keep = node.settings.current().keep;
    let mut step = Sweep {
        link,
        keep,
        now,
        expiry: Expiry::at(now, &keep),
        budget: StepBudget::default(),
        tally: Tally::default(),
    };
    node.sightings.flush(link, (node.id(), REQUESTS)).await?;
    let forgotten = step.run(node.id()).await?;
    if forgotten == 0 {
        partitions::make(link).await?;
        partitions::drop_one(link, &keep, &node.moved).await?;
    }
    Ok(forgotten)
}

impl PostgresStore {
    pub(super) async fn sweep_once(&self, now: Timestamp) -> Result<usize, StoreError> {
        // A node whose clock is ahead must not forget what all nodes need.
        let now = now.min(self.node.clock.now());
        let node = Arc::clone(&self.node);
        self.write_small(move |link, _| {
            let node = Arc::clone(&node);
            Box::pin(async move { sweep(link, &node, now).await })
        })
        .await
    }
}
