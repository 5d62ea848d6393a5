//! Writes of new events: dedup keys, sightings, event and deliveries, in one transaction.
//!
//! A batch is read, decided on in memory as if its events came one after the other, and written by a
//! few statements with arrays. The last of them travel together with `COMMIT`: a statement that finds
//! that another transaction was faster fails, and the commit with it.

use std::collections::HashSet;
use std::sync::Arc;

use uuid::Uuid;

use super::adding::{self, Added, Adding};
use super::dedup_keys::{self, DedupKeys};
use super::enqueue_call::Enqueue;
use super::failure::Failure;
use super::link::Link;
use super::new_events::{self, NewEvents};
use super::node::Node;
use super::pipeline::pipeline;
use super::seen::{self, SeenContents};
use super::tally::Tally;
use super::worker::Batch;
use super::{changes, debounce, groups};
use crate::event::{DedupKey, EventId};
use crate::store::columns;
use crate::store::decide::dedupe::{Dedup, Remembered, dedup};
use crate::store::group::reason;
use crate::store::{DeliveryState, Enqueued, NewDelivery, Sighting, StoreError};

const SKIPPED: &str = "SELECT id FROM ended WHERE id = ANY ($1) AND reason = $2";

const PIN: &str = "UPDATE queue SET pinned = $1 WHERE seq = ANY ($2)";

const BYTES: &str = "SELECT coalesce(sum(bytes), 0)::int8 FROM tally";

const STATEMENTS: &[&[&str]] = &[
    &[SKIPPED, BYTES, PIN],
    dedup_keys::STATEMENTS,
    seen::STATEMENTS,
    new_events::STATEMENTS,
    changes::STATEMENTS,
    debounce::STATEMENTS,
    groups::STATEMENTS,
    adding::STATEMENTS,
];

/// The work of a connection for new events.
pub(super) struct Enqueuing {
    node: Arc<Node>,
}

impl Enqueuing {
    pub fn new(node: &Arc<Node>) -> Self {
        Self {
            node: Arc::clone(node),
        }
    }
}

/// Data that was read for the decisions on a batch of calls.
struct Known<'c> {
    keys: DedupKeys<'c>,
    seen: SeenContents<'c>,
    rows: std::vec::IntoIter<i64>,
    /// Rules of which a delivery waits for quiet.
    debounced: HashSet<String>,
    /// Ids of events that are there. They are looked up only if a try has failed.
    there: HashSet<Uuid>,
    full: Option<StoreError>,
}

/// The decisions for a batch of calls.
struct Decided<'c> {
    /// For each call: its decisions, or its error.
    calls: Vec<Result<Vec<Dedup>, StoreError>>,
    events: NewEvents<'c>,
    /// New deliveries: the index of the call, and that of the delivery.
    new: Vec<(usize, usize)>,
    /// Calls that an earlier try has carried out.
    ours: HashSet<usize>,
}

type Answers = Vec<Result<Vec<Enqueued>, StoreError>>;

impl Batch for Enqueuing {
    type Call = Enqueue;
    type Output = Vec<Enqueued>;
    const TAKES_EVENTS: bool = true;

    async fn write(
        &self,
        link: &Link,
        slot: i16,
        calls: &[Enqueue],
        may_be_there: bool,
    ) -> Result<Answers, Failure> {
        self.node.sightings.flush(link, (self.node.id(), slot)).await?;
        for statements in STATEMENTS {
            link.prepare(statements).await?;
        }
        link.prepare(&[Tally::STATEMENT]).await?;
        match Box::pin(self.try_once(link, slot, calls, may_be_there, may_be_there)).await {
            // Perhaps an event has an id that another one has. Then only its own call fails.
            Err(Failure::Conflict(_)) if !may_be_there => {
                link.run("ROLLBACK").await?;
                Box::pin(self.try_once(link, slot, calls, true, false)).await
            }
            answers => answers,
        }
    }

    fn size(call: &Enqueue) -> usize {
        call.new_event.received.body.len() + call.headers.len()
    }
}

impl Enqueuing {
    /// Writes a batch. With `look`, events that are there already are looked up first; `ours` says
    /// that an earlier try has written them.
    async fn try_once(
        &self,
        link: &Link,
        slot: i16,
        calls: &[Enqueue],
        look: bool,
        ours: bool,
    ) -> Result<Answers, Failure> {
        let mut known = self.begin(link, calls, look).await?;
        let decided = decide(calls, &mut known, ours)?;
        let mut answers = decided.answers(link, calls).await?;
        let new_deliveries: Vec<&NewDelivery> = decided.new_deliveries(calls).collect();
        let keys = (known.keys.new_keys(), known.seen.new_keys());
        known.keys.renewed_keys().renew(link).await?;
        known.seen.renewed_keys().renew(link).await?;
        let is_simple = |delivery: &&NewDelivery| {
            delivery.group.is_none()
                && delivery.debounce.is_none()
                && !known.debounced.contains(&*delivery.rule)
        };
        let me = self.node.id();
        let simple = new_deliveries.iter().all(is_simple);
        let mut adding = if simple {
            Adding::simple(me)
        } else {
            let stripes = adding::stripes(new_deliveries.iter().copied());
            let stripes: Vec<&str> = stripes.iter().map(String::as_str).collect();
            pipeline!(
                keys.0.insert(link),
                keys.1.insert(link),
                groups::lock(link, &stripes),
                Adding::read(link, me, &new_deliveries),
            )?
            .3
        };
        for &(index, number) in &decided.new {
            let Some((call, enqueued)) = calls.get(index).zip(answers.get_mut(index)) else {
                continue;
            };
            let delivery = call.new_event.deliveries.get(number);
            let Some((delivery, &id)) = delivery.zip(call.deliveries.get(number)) else {
                continue;
            };
            let seq = known
                .rows
                .next()
                .ok_or_else(|| Failure::unexpected("too few rows"))?;
            let (event, at) = (call.id(), call.new_event.now);
            let one = adding.add(Added {
                seq,
                id,
                event,
                at,
                delivery,
            });
            if let Ok(enqueued) = enqueued
                && let Some(place) = enqueued.get_mut(number)
            {
                *place = one;
            }
        }
        let Adding { changes, .. } = adding;
        let here = self.here(calls, &decided.new, &changes);
        let events = &decided.events;
        let tally = Tally {
            events: columns::integer(events.len()),
            dedup_keys: columns::integer(keys.0.len()),
            sightings: columns::integer(keys.1.len()),
            bytes: events.bytes(),
            ..changes.tally()
        };
        let once = async |insert: bool| if insert { keys.0.insert(link).await } else { Ok(()) };
        let once_seen = async |insert: bool| if insert { keys.1.insert(link).await } else { Ok(()) };
        pipeline!(
            once(simple),
            once_seen(simple),
            events.insert(link, &self.node.target.node),
            events.insert_requests(link),
            events.delete_arrivals(link),
            changes.add(link),
            changes.add_ended(link),
            pin(link, me, &here),
            changes.end(link),
            changes.mark_stopped(link),
            tally.add(link, (me, slot)),
            link.run("COMMIT"),
        )?;
        self.note_written(calls, &decided.new, &changes);
        Ok(answers)
    }

    /// Rows of deliveries whose sender waits for the outcome, which only this node can tell it.
    fn here(&self, calls: &[Enqueue], new: &[(usize, usize)], changes: &changes::Changes<'_>) -> Vec<i64> {
        let rows = changes.new.iter().zip(new);
        let here = rows.filter(|(row, (index, _))| {
            let call = calls.get(*index);
            let is_awaited = call.is_some_and(|call| call.new_event.status.is_none());
            is_awaited && row.state.is_pending() && self.node.performs(&row.delivery.rule)
        });
        here.map(|(row, _)| row.seq).collect()
    }

    /// Begins a transaction, and reads what the decisions need.
    async fn begin<'c>(&self, link: &Link, calls: &'c [Enqueue], look: bool) -> Result<Known<'c>, Failure> {
        let deliveries = || calls.iter().flat_map(|call| &call.new_event.deliveries);
        let mut keys = DedupKeys::of(deliveries());
        let sightings = deliveries().filter_map(|delivery| delivery.sighting.as_deref());
        let mut seen = SeenContents::of(sightings);
        let mut rules: Vec<&str> = deliveries().map(|delivery| &*delivery.rule).collect();
        rules.sort_unstable();
        rules.dedup();
        let ids: Vec<Uuid> = calls.iter().map(|call| call.id().into()).collect();
        let there = async {
            if look {
                new_events::there(link, &ids).await
            } else {
                Ok(Vec::new())
            }
        };
        let ((), (), (), rows, debounced, full, there) = pipeline!(
            link.run("BEGIN"),
            keys.read(link),
            seen.read(link),
            adding::take_rows(link, deliveries().count()),
            debounce::waiting_rules(link, &rules),
            self.full(link),
            there,
        )?;
        Ok(Known {
            keys,
            seen,
            rows,
            debounced: debounced.into_iter().collect(),
            there: there.into_iter().collect(),
            full,
        })
    }

    /// The reason why no new event may be written; `None` if it may.
    async fn full(&self, link: &Link) -> Result<Option<StoreError>, Failure> {
        let Some(limit) = self.node.settings.current().max_size else {
            return Ok(None);
        };
        let rows = link.query(BYTES, &[]).await?;
        let bytes: i64 = rows.first().map_or(0, |row| row.get(0));
        let bytes = u64::try_from(bytes).unwrap_or(0);
        let detail = || format!("it has {bytes} bytes of requests, {limit} are allowed");
        Ok((bytes >= limit).then(|| StoreError::Full { detail: detail() }))
    }

    /// Notes new deliveries in memory, after they were written.
    fn note_written(&self, calls: &[Enqueue], new: &[(usize, usize)], changes: &changes::Changes<'_>) {
        let mut first_attempts = self.node.first_attempts.lock();
        let (mut waits, mut elsewhere) = (false, false);
        for (row, (index, _)) in changes.new.iter().zip(new) {
            waits |= row.state.is_pending();
            elsewhere |= !self.node.performs(&row.delivery.rule);
            if matches!(row.state, DeliveryState::Ready { .. })
                && let Some(call) = calls.get(*index)
            {
                first_attempts.add(row.seq, call.first_attempt(row.id, row.delivery));
            }
        }
        drop(first_attempts);
        if waits {
            self.node.news.announce();
        }
        if changes.stops_elsewhere {
            self.node.untold.stop();
        } else if elsewhere {
            self.node.untold.look();
        }
    }
}

/// Keeps new deliveries for this node as long as it lives.
async fn pin(link: &Link, me: i64, rows: &[i64]) -> Result<(), Failure> {
    if rows.is_empty() {
        return Ok(());
    }
    link.execute(PIN, &[&me, &rows]).await.map(drop)
}

/// Decides on the calls of a batch, one after the other.
fn decide<'c>(calls: &'c [Enqueue], known: &mut Known<'c>, ours: bool) -> Result<Decided<'c>, Failure> {
    let mut decided = Decided {
        calls: Vec::with_capacity(calls.len()),
        events: NewEvents::default(),
        new: Vec::new(),
        ours: HashSet::new(),
    };
    let mut ids: HashSet<EventId> = HashSet::new();
    for (index, call) in calls.iter().enumerate() {
        let (id, received) = (call.id(), &call.new_event.received);
        let is_there = known.there.contains(&Uuid::from(id));
        let is_ours = is_there && ours;
        let altered = |sighting: &Sighting| Ok::<_, Failure>(known.seen.altered(sighting));
        let remembered = |rule: &Arc<str>, key: &DedupKey| {
            let remembered = known.keys.remembered(rule, key);
            Ok(remembered.filter(|known| !is_ours || known.event != id))
        };
        let decisions = dedup(&call.new_event, altered, remembered)?;
        let is_new = |dedup: &Dedup| *dedup == Dedup::New;
        if is_ours {
            decided.ours.insert(index);
        } else if decisions.iter().any(is_new) {
            let taken = is_there || !ids.insert(id);
            let refused = taken.then_some(StoreError::IdTaken { event: id });
            if let Some(error) = known.full.clone().or(refused) {
                decided.calls.push(Err(error));
                continue;
            }
            decided.events.add(call);
            let deliveries = call.new_event.deliveries.iter().zip(&decisions).enumerate();
            for (number, (delivery, _)) in deliveries.filter(|(_, (_, dedup))| is_new(dedup)) {
                decided.new.push((index, number));
                for key in &delivery.dedup_keys {
                    let (event, until) = (id, delivery.remember_until);
                    let by = Remembered { event, until };
                    known.keys.remember(&delivery.rule, key, by, received.at);
                }
                if let Some(sighting) = &delivery.sighting {
                    known.seen.remember(sighting, true);
                }
            }
        }
        decided.calls.push(Ok(decisions));
    }
    Ok(decided)
}

impl<'c> Decided<'c> {
    fn new_deliveries(&self, calls: &'c [Enqueue]) -> impl Iterator<Item = &'c NewDelivery> {
        let new = self.new.iter();
        new.filter_map(|&(index, number)| calls.get(index)?.new_event.deliveries.get(number))
    }

    /// The answers as far as they are known. Those of new deliveries are replaced when they are
    /// added.
    async fn answers(&self, link: &Link, calls: &[Enqueue]) -> Result<Answers, Failure> {
        let skipped = self.skipped(link, calls).await?;
        let answer = |(call, decisions): (&Enqueue, &Result<Vec<Dedup>, StoreError>)| {
            let decisions = decisions.as_ref().map_err(Clone::clone)?;
            let enqueued = decisions
                .iter()
                .zip(&call.deliveries)
                .map(|(dedup, &id)| match dedup {
                    Dedup::Duplicate(of) => Enqueued::Duplicate { of: *of },
                    Dedup::Altered(of, header) => Enqueued::Altered {
                        of: *of,
                        header: Arc::clone(header),
                    },
                    Dedup::New if skipped.contains(&id.into()) => Enqueued::Skipped(id),
                    Dedup::New => Enqueued::New(id),
                });
            Ok(enqueued.collect())
        };
        Ok(calls.iter().zip(&self.calls).map(answer).collect())
    }

    /// Deliveries of an earlier try that ended at once.
    async fn skipped(&self, link: &Link, calls: &[Enqueue]) -> Result<HashSet<Uuid>, Failure> {
        let ours = self.ours.iter().filter_map(|index| calls.get(*index));
        let ids: Vec<Uuid> = ours
            .flat_map(|call| &call.deliveries)
            .map(|id| (*id).into())
            .collect();
        if ids.is_empty() {
            return Ok(HashSet::new());
        }
        let rows = link.query(SKIPPED, &[&ids, &reason::SKIPPED]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}
