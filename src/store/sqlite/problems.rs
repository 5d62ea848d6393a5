//! Groups of dead letters and of refused arrivals.
//!
//! Dead letters are read from an index of their own. Equal reasons are grouped by `SQLite`, and
//! those with the same stable part afterwards.

use std::collections::HashMap;

use rusqlite::params;

use super::columns::{self, Unreadable, parsed};
use super::history::History;
use crate::base::clock::Timestamp;
use crate::event::ArrivalOutcome;
use crate::store::problems::{DEAD_LOOKED_AT, MAX_GROUPS, MAX_SELECTED, REFUSED_LOOKED_AT};
use crate::store::{DeadGroup, Groups, RefusedGroup, Ring, SelectedDeliveries, StoreError, reason};

/// The latest dead letters. They are grouped here: `SQLite` would sort all of them for it.
const DEAD: &str = "SELECT rule, coalesce(reason, ''), coalesce(ended_at, 0), seq FROM deliveries \
     WHERE (state = 'dead' OR state = 'dropped') AND failure_of IS NULL ORDER BY ended_at DESC LIMIT ?1";

const DEAD_BY_RULE: &str = "SELECT rule, count(*) FROM \
     (SELECT rule FROM deliveries WHERE (state = 'dead' OR state = 'dropped') AND failure_of IS NULL \
      ORDER BY ended_at DESC LIMIT ?1) GROUP BY rule";

const DEAD_OF_RULE: &str = "SELECT seq, coalesce(reason, '') FROM deliveries \
     WHERE (state = 'dead' OR state = 'dropped') AND failure_of IS NULL AND rule = ?1";

const IDS: &str = "SELECT d.id, e.id FROM deliveries d JOIN events e ON e.seq = d.event WHERE d.seq = ?1";

/// Arrivals of a ring that did not do what their sender meant.
const REFUSED: &str = "SELECT endpoint, outcome, reason, count(*), min(received_at), max(received_at), max(id) FROM \
     (SELECT endpoint, outcome, reason, received_at, id FROM arrivals WHERE ring = ?1 ORDER BY seq DESC LIMIT ?2) \
     WHERE outcome NOT IN ('ignored', 'duplicate', 'handshake') GROUP BY endpoint, outcome, reason";

const RING_SIZE: &str =
    "SELECT count(*) FROM (SELECT 1 FROM arrivals WHERE ring = ?1 ORDER BY seq DESC LIMIT ?2)";

impl History {
    /// Groups the dead letters by rule and stable reason, the latest [`DEAD_LOOKED_AT`] of them.
    pub fn dead_groups(&self) -> Result<Groups<DeadGroup>, StoreError> {
        self.dead().map_err(|unreadable| self.damaged(unreadable))
    }

    /// Groups the refused arrivals by endpoint, outcome and stable reason, the latest
    /// [`REFUSED_LOOKED_AT`] records of each ring.
    pub fn refused_groups(&self) -> Result<Groups<RefusedGroup>, StoreError> {
        self.refused().map_err(|unreadable| self.damaged(unreadable))
    }

    /// Counts the dead letters of each rule, the latest [`DEAD_LOOKED_AT`] of them.
    pub fn dead_by_rule(&self) -> Result<HashMap<String, u64>, StoreError> {
        let read = || {
            let mut select = self.connection.prepare_cached(DEAD_BY_RULE)?;
            let limit = columns::integer(DEAD_LOOKED_AT);
            let rows = select.query_map([limit], |row| Ok((row.get(0)?, columns::count(row, 1)?)))?;
            rows.collect::<rusqlite::Result<_>>()
        };
        read().map_err(|error| self.map_error(&error))
    }

    /// Selects the dead letters of a group: of a rule, with the stable part `stable` of their
    /// reason. Without it, all of the rule.
    pub fn select_dead(&self, rule: &str, stable: Option<&str>) -> Result<SelectedDeliveries, StoreError> {
        self.selected(rule, stable)
            .map_err(|unreadable| self.damaged(unreadable))
    }

    fn dead(&self) -> Result<Groups<DeadGroup>, Unreadable> {
        let (read, looked_at) = self.dead_rows()?;
        let mut found: HashMap<(String, String), DeadRows> = HashMap::new();
        for (rule, reasons) in read {
            for (why, rows) in reasons {
                let stable = reason::of_dead_letter(&why);
                let group = found.entry((rule.clone(), stable)).or_default();
                group.add(&rows, why);
            }
        }
        let number = found.len();
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_by(|(one, this), (other, that)| that.count.cmp(&this.count).then_with(|| one.cmp(other)));
        found.truncate(MAX_GROUPS);
        let groups = found.into_iter().map(|((rule, reason), group)| {
            let ids = self
                .connection
                .prepare_cached(IDS)?
                .query_row([group.seq], |row| {
                    Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
                })?;
            Ok(DeadGroup {
                rule,
                reason,
                count: group.count,
                first: Timestamp::from_millis(group.first),
                last: Timestamp::from_millis(group.last),
                sample: parsed("id", &ids.0)?,
                sample_event: parsed("id", &ids.1)?,
                sample_reason: group.reason,
            })
        });
        Ok(Groups {
            groups: groups.collect::<Result<_, Unreadable>>()?,
            number,
            looked_at,
            is_cut: looked_at > DEAD_LOOKED_AT as u64,
        })
    }

    /// Reads the latest dead letters by rule and whole reason. Returns their number, too.
    fn dead_rows(&self) -> Result<(DeadRules, u64), Unreadable> {
        let mut select = self.connection.prepare_cached(DEAD)?;
        let mut rows = select.query([columns::integer(DEAD_LOOKED_AT) + 1])?;
        let mut rules = DeadRules::new();
        let mut looked_at = 0;
        while let Some(row) = rows.next()? {
            let rule = row
                .get_ref(0)?
                .as_str()
                .map_err(|error| Unreadable(error.to_string()))?;
            let why = row
                .get_ref(1)?
                .as_str()
                .map_err(|error| Unreadable(error.to_string()))?;
            let (ended, seq): (i64, i64) = (row.get(2)?, row.get(3)?);
            looked_at += 1;
            // Without a copy of names and reasons that are known.
            if !rules.contains_key(rule) {
                rules.insert(rule.to_owned(), HashMap::new());
            }
            let Some(reasons) = rules.get_mut(rule) else {
                continue;
            };
            let one = DeadRows {
                count: 1,
                first: ended,
                last: ended,
                seq,
                reason: String::new(),
            };
            match reasons.get_mut(why) {
                Some(known) => known.add(&one, String::new()),
                None => drop(reasons.insert(why.to_owned(), one)),
            }
        }
        Ok((rules, looked_at))
    }

    fn selected(&self, rule: &str, stable: Option<&str>) -> Result<SelectedDeliveries, Unreadable> {
        let mut select = self.connection.prepare_cached(DEAD_OF_RULE)?;
        let mut rows = select.query([rule])?;
        let mut found: Vec<i64> = Vec::new();
        while let Some(row) = rows.next()? {
            let why: String = row.get(1)?;
            if stable.is_none_or(|stable| reason::of_dead_letter(&why) == stable) {
                found.push(row.get(0)?);
            }
        }
        found.sort_unstable();
        let count = found.len() as u64;
        found.truncate(MAX_SELECTED);
        let mut ids = self.connection.prepare_cached(IDS)?;
        let deliveries = found.into_iter().map(|seq| {
            let id: String = ids.query_row([seq], |row| row.get(0))?;
            parsed("id", &id)
        });
        Ok(SelectedDeliveries {
            deliveries: deliveries.collect::<Result<_, Unreadable>>()?,
            count,
        })
    }

    fn refused(&self) -> Result<Groups<RefusedGroup>, Unreadable> {
        let mut found: HashMap<(String, ArrivalOutcome, String), RefusedGroup> = HashMap::new();
        let (mut looked_at, mut is_cut) = (0, false);
        let limit = columns::integer(REFUSED_LOOKED_AT);
        for ring in Ring::ALL {
            let size = self.connection.prepare_cached(RING_SIZE)?;
            let size = { size }.query_row(params![ring.name(), limit + 1], |row| columns::count(row, 0))?;
            looked_at += size.min(REFUSED_LOOKED_AT as u64);
            is_cut |= size > REFUSED_LOOKED_AT as u64;
            let mut select = self.connection.prepare_cached(REFUSED)?;
            let mut rows = select.query(params![ring.name(), limit])?;
            while let Some(row) = rows.next()? {
                let endpoint: String = row.get(0)?;
                let outcome = parsed("outcome", &row.get::<_, String>(1)?)?;
                let why: String = row.get(2)?;
                let new = RefusedGroup {
                    endpoint: endpoint.clone(),
                    outcome,
                    reason: reason::of_refusal(&why),
                    count: columns::count(row, 3)?,
                    first: Timestamp::from_millis(row.get(4)?),
                    last: Timestamp::from_millis(row.get(5)?),
                    sample: parsed("id", &row.get::<_, String>(6)?)?,
                    sample_reason: why,
                };
                match found.get_mut(&(endpoint.clone(), outcome, new.reason.clone())) {
                    Some(group) => group.add(new),
                    None => drop(found.insert((endpoint, outcome, new.reason.clone()), new)),
                }
            }
        }
        let number = found.len();
        let mut groups: Vec<RefusedGroup> = found.into_values().collect();
        groups.sort_by(|one, other| {
            let by_count = other.count.cmp(&one.count);
            by_count.then_with(|| (&one.endpoint, &one.reason).cmp(&(&other.endpoint, &other.reason)))
        });
        groups.truncate(MAX_GROUPS);
        Ok(Groups {
            groups,
            number,
            looked_at,
            is_cut,
        })
    }
}

/// Dead letters by rule and whole reason.
type DeadRules = HashMap<String, HashMap<String, DeadRows>>;

/// Dead letters of one group while they are read.
#[derive(Default)]
struct DeadRows {
    count: u64,
    first: i64,
    last: i64,
    /// The latest row, and its reason.
    seq: i64,
    reason: String,
}

impl DeadRows {
    /// Adds dead letters with this reason.
    fn add(&mut self, other: &Self, reason: String) {
        self.first = if self.count == 0 {
            other.first
        } else {
            self.first.min(other.first)
        };
        self.count += other.count;
        self.last = self.last.max(other.last);
        if other.seq > self.seq {
            self.seq = other.seq;
            self.reason = reason;
        }
    }
}

impl RefusedGroup {
    /// Adds arrivals whose reason has the same stable part.
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        if other.sample > self.sample {
            self.sample = other.sample;
            self.sample_reason = other.sample_reason;
        }
    }
}
