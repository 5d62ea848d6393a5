//! Debouncing: of the deliveries of a rule and group that wait for quiet, only the newest is kept.
//!
//! Transactions that add debounced deliveries of a rule and group wait for each other: they lock a
//! stripe for both names. The end of a wait needs no such lock. It changes the row of the delivery,
//! and a transaction that supersedes that delivery at the same time fails as a conflict.

use std::sync::Arc;

use uuid::Uuid;

use super::changes::{Changes, QueueRow, group_name};
use super::failure::Failure;
use super::groups::{Member, supersede};
use super::link::Link;
use crate::base::clock::Timestamp;
use crate::store::decide::admission::MemberState;
use crate::store::group::reason;
use crate::store::{Displaced, NewDelivery};

/// Rules of which a delivery waits for quiet.
const RULES: &str = "SELECT r.rule FROM unnest($1::text[]) AS r(rule) \
     WHERE EXISTS (SELECT 1 FROM queue q WHERE q.rule = r.rule AND q.state = 'debounced')";

const WAITING: &str = "SELECT q.seq, q.id, q.event, q.rule, q.group_key, q.debounced_since FROM \
     (SELECT DISTINCT rule, name FROM unnest($1::text[], $2::text[]) AS a(rule, name)) AS n \
     JOIN queue q ON q.rule = n.rule AND q.state = 'debounced' AND q.group_key IS NOT DISTINCT FROM n.name \
     WHERE q.node IS NULL ORDER BY q.seq";

pub(super) const STATEMENTS: &[&str] = &[RULES, WAITING];

/// The name whose stripe is locked for the debounced deliveries of a rule and group.
pub(super) fn stripe_name(delivery: &NewDelivery) -> String {
    let group = group_name(delivery).map_or("", |group| &**group);
    format!("{}\n{group}", delivery.rule)
}

/// Those of the rules of which a delivery waits for quiet.
pub(super) async fn waiting_rules(link: &Link, rules: &[&str]) -> Result<Vec<String>, Failure> {
    let rows = link.query(RULES, &[&rules]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Debounced deliveries in a transaction.
#[derive(Debug, Default)]
pub(super) struct Debounced {
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    group: Option<Arc<str>>,
    member: Member,
    /// Arrival of the first delivery that this one has superseded.
    since: Timestamp,
}

impl Debounced {
    /// Reads the debounced deliveries that new ones may supersede.
    pub async fn read(link: &Link, new: &[&NewDelivery]) -> Result<Self, Failure> {
        if new.is_empty() {
            return Ok(Self::default());
        }
        let rules: Vec<&str> = new.iter().map(|delivery| &*delivery.rule).collect();
        let groups = new
            .iter()
            .map(|delivery| group_name(delivery).map(|name| &**name));
        let groups: Vec<Option<&str>> = groups.collect();
        let rows = link.query(WAITING, &[&rules, &groups]).await?;
        let waiting = rows.iter().map(|row| Waiting {
            group: row.get::<_, Option<&str>>(4).map(Arc::from),
            member: Member {
                row: QueueRow::Written(row.get(0)),
                id: row.get::<_, Uuid>(1).into(),
                event: row.get::<_, Uuid>(2).into(),
                rule: row.get::<_, &str>(3).into(),
                node: None,
                state: MemberState::Queued,
            },
            since: Timestamp::from_millis(row.get::<_, Option<i64>>(5).unwrap_or(i64::MAX)),
        });
        Ok(Self {
            waiting: waiting.collect(),
        })
    }

    /// Ends the debounced deliveries that a new one at `at` supersedes. Returns the arrival of the
    /// first delivery that they superseded themselves.
    ///
    /// A delivery without a debounce supersedes too, because the rules may have changed in between.
    /// An older one must never run after it.
    pub fn supersede(
        &mut self,
        delivery: &NewDelivery,
        at: Timestamp,
        changes: &mut Changes<'_>,
        displaced: &mut Displaced,
    ) -> Option<Timestamp> {
        let group = group_name(delivery);
        let is_older = |one: &mut Waiting| one.member.rule == delivery.rule && one.group.as_ref() == group;
        let mut first = None;
        for older in self.waiting.extract_if(.., is_older) {
            first = Some(first.map_or(older.since, |first: Timestamp| first.min(older.since)));
            supersede(older.member, at, reason::DEBOUNCED, changes, displaced);
        }
        first
    }

    /// Adds a new debounced delivery.
    pub fn add(&mut self, group: Option<Arc<str>>, member: Member, since: Timestamp) {
        self.waiting.push(Waiting { group, member, since });
    }
}
