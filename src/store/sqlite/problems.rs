//! Groups of dead letters and of refused arrivals.
//!
//! Dead letters are read from an index of their own. Equal reasons are grouped by `SQLite`, and
//! those with the same stable part afterwards.

use std::collections::HashMap;

use rusqlite::params;

use super::columns::{self, Unreadable, parsed};
use super::history::History;
use crate::base::clock::Timestamp;
use crate::store::problems::{
    DEAD_LOOKED_AT, DeadLetters, DeadRows, MAX_SELECTED, REFUSED_LOOKED_AT, RefusedArrivals,
};
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
        let mut letters = DeadLetters::default();
        let mut select = self.connection.prepare_cached(DEAD)?;
        let mut rows = select.query([columns::integer(DEAD_LOOKED_AT) + 1])?;
        while let Some(row) = rows.next()? {
            let text = |column| {
                let text = row.get_ref(column)?.as_str();
                text.map_err(|error| Unreadable(error.to_string()))
            };
            letters.add(text(0)?, text(1)?, &DeadRows::one(row.get(2)?, row.get(3)?));
        }
        letters.groups().with_ids(|seq| {
            let mut ids = self.connection.prepare_cached(IDS)?;
            let (id, event): (String, String) = ids.query_row([seq], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok((parsed("id", &id)?, parsed("id", &event)?))
        })
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
        let mut arrivals = RefusedArrivals::default();
        let limit = columns::integer(REFUSED_LOOKED_AT);
        for ring in Ring::ALL {
            let size = self.connection.prepare_cached(RING_SIZE)?;
            let size = { size }.query_row(params![ring.name(), limit + 1], |row| columns::count(row, 0))?;
            arrivals.look_at(size);
            let mut select = self.connection.prepare_cached(REFUSED)?;
            let mut rows = select.query(params![ring.name(), limit])?;
            while let Some(row) = rows.next()? {
                arrivals.add(RefusedGroup {
                    endpoint: row.get(0)?,
                    outcome: parsed("outcome", &row.get::<_, String>(1)?)?,
                    reason: String::new(),
                    count: columns::count(row, 3)?,
                    first: Timestamp::from_millis(row.get(4)?),
                    last: Timestamp::from_millis(row.get(5)?),
                    sample: parsed("id", &row.get::<_, String>(6)?)?,
                    sample_reason: row.get(2)?,
                });
            }
        }
        Ok(arrivals.groups())
    }
}
