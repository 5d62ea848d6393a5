//! The replacement of leased deliveries by deliveries of the elements of their events.
//!
//! The delivery of the whole event ends in the same transaction in which the others are written.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::adding::{self, Added, Adding};
use super::changes::item_column;
use super::failure::Failure;
use super::link::Link;
use super::pipeline::pipeline;
use crate::store::group::reason;
use crate::store::{DeliveryId, Enqueued, Expansion, NewDelivery};

/// Elements of which there is a delivery already.
const KNOWN: &str = "SELECT s.n FROM unnest($1::uuid[], $2::text[], $3::int4[]) WITH ORDINALITY AS s(event, rule, item, n) WHERE \
     EXISTS (SELECT 1 FROM queue q WHERE q.event = s.event AND q.rule = s.rule AND q.item = s.item AND q.failure_of IS NULL) OR \
     EXISTS (SELECT 1 FROM ended e WHERE e.event = s.event AND e.rule = s.rule AND e.item = s.item AND e.failure_of IS NULL)";

/// Deliveries that an earlier try has written, and why they have ended.
const THERE: &str = "SELECT id, NULL::text FROM queue WHERE id = ANY ($1) UNION ALL \
     SELECT id, reason FROM ended WHERE id = ANY ($1)";

pub(super) const STATEMENTS: &[&str] = &[KNOWN, THERE];

/// An expansion whose delivery has ended in this transaction.
pub(super) struct Expanding<'c> {
    /// Index of the call.
    pub call: usize,
    pub expansion: &'c Expansion,
    /// Ids of the new deliveries, in their order.
    pub ids: &'c [DeliveryId],
}

/// An answer, with the index of its call.
type Answer = (usize, Vec<Enqueued>);

/// Adds the deliveries of elements. Their stripes are locked.
pub(super) async fn expand<'c>(
    link: &Link,
    me: i64,
    expanding: &[Expanding<'c>],
) -> Result<(Adding<'c>, Vec<Answer>), Failure> {
    let all = || expanding.iter().flat_map(|one| &one.expansion.deliveries);
    let new: Vec<&NewDelivery> = all().collect();
    let events = expanding.iter().flat_map(|one| {
        let event = Uuid::from(one.expansion.event);
        one.expansion.deliveries.iter().map(move |_| event)
    });
    let events: Vec<Uuid> = events.collect();
    let rules: Vec<&str> = all().map(|delivery| &*delivery.rule).collect();
    let items: Vec<Option<i32>> = all().map(|delivery| item_column(delivery.item)).collect();
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&events, &rules, &items];
    let (known, mut rows, mut adding) = pipeline!(
        link.query(KNOWN, &parameters),
        adding::take_rows(link, new.len()),
        Adding::read(link, me, &new),
    )?;
    let known: HashSet<i64> = known.iter().map(|row| row.get(0)).collect();
    let (mut answers, mut number, mut added) = (Vec::new(), 0, HashSet::new());
    for Expanding { call, expansion, ids } in expanding {
        let mut answer = Vec::new();
        for (delivery, &id) in expansion.deliveries.iter().zip(*ids) {
            number += 1;
            if known.contains(&number) || !added.insert(id) {
                let of = expansion.event;
                answer.push(Enqueued::Duplicate { of });
                continue;
            }
            let seq = rows.next().ok_or_else(|| Failure::unexpected("too few rows"))?;
            let (event, at) = (expansion.event, expansion.at);
            answer.push(adding.add(Added {
                seq,
                id,
                event,
                at,
                delivery,
            }));
        }
        answers.push((*call, answer));
    }
    Ok((adding, answers))
}

/// The answers for expansions that an earlier try has written.
pub(super) async fn expanded(link: &Link, expanding: &[Expanding<'_>]) -> Result<Vec<Answer>, Failure> {
    if expanding.is_empty() {
        return Ok(Vec::new());
    }
    let ids = expanding.iter().flat_map(|one| one.ids);
    let ids: Vec<Uuid> = ids.map(|id| (*id).into()).collect();
    let mut there: HashMap<Uuid, Option<String>> = HashMap::new();
    for row in link.query(THERE, &[&ids]).await? {
        there.insert(row.get(0), row.get(1));
    }
    let answer = |one: &Expanding<'_>| {
        let enqueued = one.ids.iter().map(|&id| match there.get(&id.into()) {
            None => Enqueued::Duplicate {
                of: one.expansion.event,
            },
            Some(Some(why)) if why == reason::SKIPPED => Enqueued::Skipped(id),
            Some(_) => Enqueued::New(id),
        });
        (one.call, enqueued.collect())
    };
    Ok(expanding.iter().map(answer).collect())
}
