//! Leases of due deliveries.
//!
//! A call reads the first due deliveries of each rule (`candidates.rs`), decides whose turn it is, and
//! leases those. What another node leases in between is left out. A node that was buried leases
//! nothing. If the answer is lost, nothing is assumed: the heartbeat releases the leases of this node
//! that it does not know.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio_postgres::Row;
use uuid::Uuid;

use super::PostgresStore;
use super::candidates::{self, Candidates, Pick};
use super::failure::Failure;
use super::leases::LeasedDelivery;
use super::link::{Link, Parameters};
use super::node::Node;
use super::pipeline::pipeline;
use super::request_rows::{self, Requests, StoredRequest};
use super::row;
use crate::base::clock::Timestamp;
use crate::event::EventId;
use crate::store::decide::settlement::LeaseSnapshot;
use crate::store::{
    DeliveryFailure, DeliveryId, Displaced, Lease, Leased, Settled, Settlement, StoreError, Wanted,
    WantedRules,
};

/// Bytes of bodies after which one call leases no more.
const BYTES: usize = 16 << 20;

/// Leases rows. The rows of `queue` are found by their keys whatever the planner thinks of its size: no
/// index serves `coalesce`. With `node IS NULL`, a plan that was made while the queue was empty reads
/// the whole of `queue_due` for each row.
const LEASE: &str = "WITH alive AS MATERIALIZED (SELECT id FROM nodes WHERE id = $1 FOR KEY SHARE), \
     pick AS MATERIALIZED (SELECT q.seq FROM alive CROSS JOIN unnest($4::bigint[]) AS s(seq) CROSS JOIN LATERAL ( \
         SELECT seq FROM queue q WHERE q.seq = s.seq AND coalesce(q.node, 0) = 0 AND q.state = 'ready' \
         AND (q.pinned IS NULL OR q.pinned = $1) AND q.due <= $3 FOR UPDATE SKIP LOCKED) q) \
     UPDATE queue SET node = $1, lease = $2, leased_at = $3 WHERE seq = ANY (ARRAY (SELECT seq FROM pick)) \
     RETURNING seq, id, item, action, attempt, due, unverified, superseded, replays, group_key, interruptions, \
         interrupted_at, suspect, event, failure_of IS NOT NULL";

const FAILURES: &str = "SELECT delivery, action, reason, output FROM failures WHERE delivery = ANY ($1)";

/// Deliveries whose turn it is. Their turns are counted. Those that are not leased are uncounted when
/// this is dropped.
struct Picks<'n> {
    node: &'n Node,
    by_row: HashMap<i64, Pick>,
    /// Their rows, in the order of their turns.
    order: Vec<i64>,
}

impl Drop for Picks<'_> {
    fn drop(&mut self) {
        if !self.by_row.is_empty() {
            let turns = &mut self.node.leases.lock().turns;
            for pick in self.by_row.values() {
                turns.end(&pick.rule, pick.cost);
            }
        }
    }
}

/// The answer of a call while it is made. Leases that are not accepted are forgotten when it is
/// dropped, and are released as strays.
struct Leasing {
    node: Arc<Node>,
    leased: Leased,
    /// Leases whose events cannot be read back.
    unreadable: Vec<(DeliveryId, Arc<str>)>,
    bytes: usize,
    /// Leases of this call, with their numbers.
    made: Vec<(DeliveryId, i64)>,
}

impl Leasing {
    fn new(node: &Arc<Node>) -> Self {
        Self {
            node: Arc::clone(node),
            leased: Leased::default(),
            unreadable: Vec::new(),
            bytes: 0,
            made: Vec::new(),
        }
    }

    /// Hands the leases to the caller.
    fn accept(mut self) -> Leased {
        self.made.clear();
        std::mem::take(&mut self.leased)
    }
}

impl Drop for Leasing {
    fn drop(&mut self) {
        if !self.made.is_empty() {
            let mut leases = self.node.leases.lock();
            for (delivery, lease) in &self.made {
                leases.end(*delivery, *lease);
            }
            self.node.has_strays.store(true, Ordering::Release);
        }
    }
}

impl PostgresStore {
    pub(super) async fn lease_due(&self, wanted: Wanted, now: Timestamp) -> Result<Leased, StoreError> {
        let node = &self.node;
        node.liveness.check()?;
        let wanted = node.with_orphans(wanted);
        let leasing = self.leasing.ask(move |link| {
            let (node, wanted) = (Arc::clone(node), wanted.clone());
            Box::pin(async move { node.lease(link, &wanted, now).await })
        });
        let mut leasing = leasing.await?;
        for (delivery, why) in std::mem::take(&mut leasing.unreadable) {
            self.dead_letter(delivery, now, &why).await;
        }
        let leased = leasing.accept();
        if leased.held_back {
            // Another node may have room.
            node.untold.look();
        }
        Ok(leased)
    }

    pub(super) async fn first_due(&self, wanted: Wanted) -> Result<Option<Timestamp>, StoreError> {
        let node = &self.node;
        let wanted = node.with_orphans(wanted);
        let ask = self.leasing.ask(move |link| {
            let (node, wanted) = (Arc::clone(node), wanted.clone());
            Box::pin(async move { candidates::next_due(link, &node, &wanted).await })
        });
        ask.await
    }

    /// Makes a dead letter of a delivery that cannot be read back, so that it does not block its
    /// queue for ever.
    async fn dead_letter(&self, delivery: DeliveryId, now: Timestamp, why: &str) {
        tracing::error!(%delivery, reason = why, "an event cannot be read back");
        let settlement = Settlement::Dead {
            at: now,
            reason: format!("the event cannot be read back: {why}"),
            forget_dedup_keys: false,
            failure: None,
        };
        // If the write fails, the delivery is tried again after the next start.
        drop(
            self.settle_leased(Settled::unattempted(delivery, settlement))
                .await,
        );
    }
}

impl Node {
    /// Leases due deliveries, in order.
    async fn lease(
        self: Arc<Self>,
        link: &Link,
        wanted: &Wanted,
        now: Timestamp,
    ) -> Result<Leasing, Failure> {
        if self.has_strays.swap(false, Ordering::AcqRel) {
            let released = self.release_strays(link).await;
            self.has_strays.fetch_or(released.is_err(), Ordering::AcqRel);
            released?;
        }
        let mut leasing = Leasing::new(&self);
        let read = pipeline!(self.stop_doomed(link), Candidates::read(link, &self, wanted, now));
        let ((), mut candidates) = read?;
        loop {
            let picks = self.pick(&mut candidates, wanted, &mut leasing.bytes);
            let picked = picks.order.len();
            let before = leasing.leased.leases.len();
            self.lease_picks(link, picks, now, &mut leasing).await?;
            leasing.leased.held_back = candidates.is_due();
            if let Some(elapsed) = candidates.elapsed.take() {
                match self.end_debounce(link, &elapsed, now).await {
                    Ok(Displaced { stop, ended }) => {
                        leasing.leased.displaced.stop.extend(stop);
                        leasing.leased.displaced.ended.extend(ended);
                    }
                    // Superseded deliveries have ended already, so the caller must learn of them
                    // despite the error.
                    Err(failure) if leasing.leased.displaced != Displaced::default() => {
                        let error = failure.into_error();
                        tracing::warn!(%error, "not all that is due could be leased");
                        link.run("ROLLBACK").await?;
                        return Ok(leasing);
                    }
                    Err(failure) => return Err(failure),
                }
            } else {
                let must_read_on = candidates.must_read_on(wanted, &self.leases.lock().turns);
                let nothing_new = leasing.leased.leases.len() == before;
                if picked == 0 || nothing_new || leasing.bytes >= BYTES || !must_read_on {
                    return Ok(leasing);
                }
            }
            candidates = Candidates::read(link, &self, wanted, now).await?;
        }
    }

    /// Adds the rules whose deliveries this node makes dead letters.
    fn with_orphans(&self, mut wanted: Wanted) -> Wanted {
        let orphans = self.orphans.lock();
        if let WantedRules::Only(rules) = &mut wanted.rules
            && !orphans.is_empty()
        {
            *rules = Arc::new(rules.union(&orphans).cloned().collect());
        }
        wanted
    }

    /// Decides which deliveries have their turn.
    fn pick(&self, candidates: &mut Candidates, wanted: &Wanted, bytes: &mut usize) -> Picks<'_> {
        let mut picks = Picks {
            node: self,
            by_row: HashMap::new(),
            order: Vec::new(),
        };
        let turns = &mut self.leases.lock().turns;
        while *bytes < BYTES {
            let Some(pick) = candidates.next(wanted, turns) else {
                break;
            };
            *bytes += pick.candidate.size;
            picks.order.push(pick.candidate.seq);
            picks.by_row.insert(pick.candidate.seq, pick);
        }
        picks
    }

    /// Leases the deliveries that have their turn.
    async fn lease_picks(
        &self,
        link: &Link,
        mut picks: Picks<'_>,
        now: Timestamp,
        leasing: &mut Leasing,
    ) -> Result<(), Failure> {
        if picks.order.is_empty() {
            return Ok(());
        }
        let number = self.leases.lock().next_number();
        // Without an answer the lease may have been made.
        self.has_strays.store(true, Ordering::Release);
        let (me, millis) = (self.id(), now.as_millis());
        let lease: Parameters<'_> = &[&me, &number, &millis, &picks.order];
        // Everything about a delivery is read before it leaves the queue.
        let (known, rows) = pipeline!(self.known(link, &picks), link.query(LEASE, lease))?;
        self.has_strays.store(false, Ordering::Release);
        let mut by_row = HashMap::new();
        for read in rows {
            by_row.insert(read.try_get::<_, i64>(0)?, read);
        }
        for seq in std::mem::take(&mut picks.order) {
            let Some(read) = by_row.remove(&seq) else {
                continue;
            };
            let Some(pick) = picks.by_row.get(&seq) else {
                continue;
            };
            let (delivery, lease, leased) = known.lease(&read, pick, number, now)?;
            picks.by_row.remove(&seq);
            self.leases.lock().add(delivery, leased);
            leasing.made.push((delivery, number));
            match lease {
                Ok(lease) => leasing.leased.leases.push(*lease),
                Err(why) => leasing.unreadable.push((delivery, why)),
            }
        }
        Ok(())
    }

    /// Reads what is needed to lease these deliveries, unless it is in memory.
    async fn known(&self, link: &Link, picks: &Picks<'_>) -> Result<Known, Failure> {
        let mut requests = Requests::new();
        {
            let mut first_attempts = self.first_attempts.lock();
            for seq in &picks.order {
                if let Some(first) = first_attempts.take(*seq) {
                    let request = StoredRequest {
                        received: first.received,
                        decode: first.decode,
                        fired_by: first.fired_by,
                    };
                    requests.insert(first.event, Ok(request));
                }
            }
        }
        let events = picks.by_row.values().map(|pick| pick.candidate.event);
        let unknown: HashSet<EventId> = events.filter(|event| !requests.contains_key(event)).collect();
        let unknown: Vec<EventId> = unknown.into_iter().collect();
        let for_failure = picks.by_row.values().filter(|pick| pick.candidate.for_failure);
        let for_failure: Vec<Uuid> = for_failure.map(|pick| pick.candidate.delivery.into()).collect();
        let (read, failures) =
            tokio::try_join!(request_rows::read(link, &unknown), failures(link, &for_failure))?;
        requests.extend(read);
        Ok(Known { requests, failures })
    }
}

/// Failures of which deliveries are told.
type Failures = HashMap<DeliveryId, Arc<DeliveryFailure>>;

async fn failures(link: &Link, deliveries: &[Uuid]) -> Result<Failures, Failure> {
    if deliveries.is_empty() {
        return Ok(Failures::new());
    }
    let mut failures = Failures::new();
    for read in link.query(FAILURES, &[&deliveries]).await? {
        let failure = DeliveryFailure {
            action: read.try_get(1)?,
            reason: read.try_get(2)?,
            output: read.try_get(3)?,
        };
        failures.insert(row::id(&read, 0)?, Arc::new(failure));
    }
    Ok(failures)
}

/// Data that was read for the deliveries that are leased.
struct Known {
    requests: Requests,
    failures: Failures,
}

/// A delivery, its lease or the reason why its event cannot be read back, and what is noted of it.
type LeaseOfRow = (DeliveryId, Result<Box<Lease>, Arc<str>>, LeasedDelivery);

impl Known {
    /// Makes the lease of a row of [`LEASE`].
    fn lease(&self, read: &Row, pick: &Pick, number: i64, now: Timestamp) -> Result<LeaseOfRow, Failure> {
        let (delivery, event): (DeliveryId, EventId) = (row::id(read, 1)?, row::id(read, 13)?);
        let for_failure: bool = read.try_get(14)?;
        let snapshot = LeaseSnapshot {
            action: row::index(read, 3)?,
            attempt: row::number(read, 4)?,
            due: row::time(read, 5)?,
            interrupted: row::interruption(read, 10)?,
            for_failure,
        };
        let group = row::optional_text(read, 9)?;
        let (replays, suspect) = (row::number(read, 8)?, read.try_get(12)?);
        let failure = for_failure.then(|| self.failures.get(&delivery).cloned().unwrap_or_default());
        let gone: Result<StoredRequest, Arc<str>> = Err(Arc::from("it is gone"));
        let lease = match self.requests.get(&event).unwrap_or(&gone) {
            Ok(request) => Ok(Box::new(Lease {
                delivery,
                rule: Arc::clone(&pick.rule),
                item: row::item(read, 2)?,
                action: snapshot.action,
                attempt: snapshot.attempt,
                received: Arc::clone(&request.received),
                decode: request.decode.clone(),
                fired_by: request.fired_by.clone(),
                unverified: row::optional_text(read, 6)?,
                in_group: group.is_some(),
                superseded: read.try_get(7)?,
                replays,
                failure,
                interrupted: snapshot.interrupted,
                suspect,
            })),
            Err(why) => Err(Arc::clone(why)),
        };
        let begins_by_itself = lease.as_ref().is_ok_and(|lease| lease.begins_by_itself());
        let leased = LeasedDelivery {
            seq: pick.candidate.seq,
            lease: number,
            rule: Arc::clone(&pick.rule),
            event,
            snapshot,
            group,
            since: now.as_millis(),
            cost: pick.cost,
            begins_by_itself,
            is_recorded: false,
            is_stopped: false,
        };
        Ok((delivery, lease, leased))
    }
}
