//! Deliveries that may be leased: the first of each rule's queue.
//!
//! The rules are found by steps in the index `queue_due`, one for each rule that has a queue. A long
//! queue of one rule therefore costs nothing.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use tokio_postgres::Row;

use super::failure::Failure;
use super::link::{Link, Parameters};
use super::node::Node;
use super::row;
use crate::base::clock::Timestamp;
use crate::event::EventId;
use crate::store::columns::integer;
use crate::store::decide::turns::{LeaseCost, Turns};
use crate::store::{DeliveryId, Wanted, WantedRules};

/// Maximum deliveries of one rule that are read at once.
const READ_MAX: usize = 256;

/// Finds the rules that have a queue by steps in the index. The rest of the statement reads `rules`.
macro_rules! queues {
    ($rest:literal) => {
        concat!(
            "WITH RECURSIVE rules AS ( \
                 (SELECT rule FROM queue WHERE node IS NULL AND (state = 'ready' OR state = 'debounced') ORDER BY rule LIMIT 1) \
                 UNION ALL \
                 SELECT n.rule FROM rules r CROSS JOIN LATERAL ( \
                     SELECT q.rule FROM queue q WHERE q.node IS NULL AND (q.state = 'ready' OR q.state = 'debounced') \
                     AND q.rule > r.rule ORDER BY q.rule LIMIT 1) n) ",
            $rest
        )
    };
}
pub(super) use queues;

/// The first deliveries of each rule up to the due time `$3`, at most `$4` of each.
const DUE: &str = queues!(
    "SELECT q.rule, q.due, q.seq, q.id, q.event, q.state, q.failure_of IS NOT NULL, \
         coalesce((SELECT e.size FROM events e WHERE e.id = q.event), 0) \
     FROM rules r CROSS JOIN LATERAL ( \
         SELECT * FROM queue q WHERE q.rule = r.rule AND q.node IS NULL AND (q.state = 'ready' OR q.state = 'debounced') \
         AND (q.pinned IS NULL OR q.pinned = $1) AND q.due <= $3 ORDER BY q.due, q.seq LIMIT $4) q \
     WHERE r.rule <> ALL ($2) AND ($5::text[] IS NULL OR r.rule = ANY ($5))"
);

/// The earliest due time of each rule.
const NEXT_DUE: &str = queues!(
    "SELECT q.rule, q.due FROM rules r CROSS JOIN LATERAL ( \
         SELECT q.rule, q.due FROM queue q WHERE q.rule = r.rule AND q.node IS NULL \
         AND (q.state = 'ready' OR q.state = 'debounced') AND (q.pinned IS NULL OR q.pinned = $1) \
         ORDER BY q.due, q.seq LIMIT 1) q \
     WHERE r.rule <> ALL ($2) AND ($3::text[] IS NULL OR r.rule = ANY ($3))"
);

/// A delivery that is due.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub due: Timestamp,
    /// Row of the delivery.
    pub seq: i64,
    pub delivery: DeliveryId,
    pub event: EventId,
    /// True if it waits for quiet, and its wait is over.
    pub is_debounced: bool,
    /// True if the delivery was made for the failure of another one.
    pub for_failure: bool,
    /// Bytes of the body.
    pub size: usize,
}

/// The first due deliveries of each rule.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    rules: Vec<RuleQueue>,
    /// A delivery whose turn it is, and whose wait for quiet must end first.
    pub elapsed: Option<Candidate>,
}

#[derive(Debug)]
struct RuleQueue {
    rule: Arc<str>,
    due: VecDeque<Candidate>,
    /// True if there may be more than were read.
    has_more: bool,
}

/// The delivery whose turn it is.
pub(super) struct Pick {
    pub rule: Arc<str>,
    pub candidate: Candidate,
    pub cost: LeaseCost,
}

impl Candidates {
    /// Reads the first due deliveries of each wanted rule, also of rules that may have no lease now.
    pub async fn read(link: &Link, node: &Node, wanted: &Wanted, now: Timestamp) -> Result<Self, Failure> {
        // One more than can be leased tells whether something is held back.
        let limit = node
            .leases
            .lock()
            .turns
            .room(wanted)
            .saturating_add(1)
            .min(READ_MAX);
        let (left_out, only) = rules(wanted);
        let parameters: Parameters<'_> = &[&node.id(), &left_out, &now.as_millis(), &integer(limit), &only];
        let rows = link.query(DUE, parameters).await?;
        let mut candidates = Self::default();
        for read in &rows {
            candidates.add(read, limit)?;
        }
        Ok(candidates)
    }

    /// Adds a row of [`DUE`]. The rows of a rule follow each other, in order.
    fn add(&mut self, read: &Row, limit: usize) -> Result<(), Failure> {
        let rule: &str = read.try_get(0)?;
        let is_new = self.rules.last().is_none_or(|last| &*last.rule != rule);
        if is_new {
            self.rules.push(RuleQueue {
                rule: Arc::from(rule),
                due: VecDeque::new(),
                has_more: false,
            });
        }
        let candidate = Candidate {
            due: row::time(read, 1)?,
            seq: read.try_get(2)?,
            delivery: row::id(read, 3)?,
            event: row::id(read, 4)?,
            is_debounced: read.try_get::<_, &str>(5)? == "debounced",
            for_failure: read.try_get(6)?,
            size: usize::try_from(read.try_get::<_, i64>(7)?).unwrap_or(0),
        };
        if let Some(queue) = self.rules.last_mut() {
            queue.due.push_back(candidate);
            queue.has_more = queue.due.len() >= limit;
        }
        Ok(())
    }

    /// Takes the delivery whose turn it is, and counts its lease. `None` if no rule may have another
    /// one, or if something has to be read or written first.
    pub fn next(&mut self, wanted: &Wanted, turns: &mut Turns) -> Option<Pick> {
        if self.must_read_on(wanted, turns) {
            return None;
        }
        let first = |(place, queue): (usize, &RuleQueue)| {
            let first = queue.due.front()?;
            Some((first.due, first.seq, place))
        };
        let due = self.rules.iter().enumerate();
        let due = due.filter_map(|(place, queue)| Some((&queue.rule, first((place, queue))?)));
        let (.., place) = turns.next(wanted, due)?;
        let queue = self.rules.get_mut(place)?;
        let candidate = queue.due.pop_front()?;
        if candidate.is_debounced {
            self.elapsed = Some(candidate);
            return None;
        }
        let rule = Arc::clone(&queue.rule);
        let cost = wanted.cost(&rule, candidate.size);
        turns.begin(&rule, cost);
        Some(Pick {
            rule,
            candidate,
            cost,
        })
    }

    /// True if more must be read to know whose turn it is.
    pub fn must_read_on(&self, wanted: &Wanted, turns: &Turns) -> bool {
        let mut read_up = self
            .rules
            .iter()
            .filter(|queue| queue.due.is_empty() && queue.has_more);
        read_up.any(|queue| turns.admits(wanted, &queue.rule))
    }

    /// True if something is due that was not taken.
    pub fn is_due(&self) -> bool {
        let mut rules = self.rules.iter();
        rules.any(|queue| !queue.due.is_empty() || queue.has_more)
    }
}

/// The paused rules, and the rules that get leases; `None` for all.
fn rules(wanted: &Wanted) -> (Vec<&str>, Option<Vec<&str>>) {
    fn names(rules: &HashSet<Arc<str>>) -> Vec<&str> {
        rules.iter().map(|rule| &**rule).collect()
    }
    let only = match &wanted.rules {
        WantedRules::All => None,
        WantedRules::Only(rules) => Some(names(rules)),
    };
    (names(&wanted.paused), only)
}

/// The earliest due time of the rules that may have another lease.
pub(super) async fn next_due(
    link: &Link,
    node: &Node,
    wanted: &Wanted,
) -> Result<Option<Timestamp>, Failure> {
    let (left_out, only) = rules(wanted);
    let rows = link.query(NEXT_DUE, &[&node.id(), &left_out, &only]).await?;
    let mut first = None;
    for read in &rows {
        let (rule, due) = (read.try_get::<_, &str>(0)?, row::time(read, 1)?);
        let is_earlier = first.is_none_or(|first| due < first);
        if is_earlier && node.leases.lock().turns.admits(wanted, rule) {
            first = Some(due);
        }
    }
    Ok(first)
}
