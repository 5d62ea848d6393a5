//! Numbers of rows of each kind, updated with every write. Counting a million rows would delay new
//! events.

use rusqlite::Connection;

use super::ring_sizes::{self, RingChange};
use crate::store::{Counts, PerRing};

const DELIVERIES: &str = "SELECT count(*), count(*) FILTER (WHERE state IN ('debounced', 'queued', 'ready')), \
     count(*) FILTER (WHERE state = 'debounced'), \
     count(*) FILTER (WHERE state IN ('dead', 'dropped') AND failure_of IS NULL) FROM deliveries";

/// Numbers of rows, or changes of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// Deliveries that have not ended.
    pub pending: i64,
    /// Deliveries that have ended and are no dead letters.
    pub done: i64,
    /// Dead letters.
    pub dead: i64,
    pub events: i64,
    pub dedup_keys: i64,
    pub sightings: i64,
    /// Arrivals that became no event.
    pub rings: PerRing<RingChange>,
    /// Deliveries that wait for quiet; they are included in `pending`.
    pub debounced: i64,
}

impl Counters {
    /// Counts everything.
    pub fn count(connection: &Connection) -> rusqlite::Result<Self> {
        let number = |table: &str| {
            let sql = format!("SELECT count(*) FROM {table}");
            connection.query_row(&sql, [], |row| row.get::<_, i64>(0))
        };
        let mut counters = connection.query_row(DELIVERIES, [], |row| {
            let (pending, dead) = (row.get(1)?, row.get(3)?);
            Ok(Self {
                pending,
                done: row.get::<_, i64>(0)? - pending - dead,
                dead,
                debounced: row.get(2)?,
                ..Self::default()
            })
        })?;
        counters.events = number("events")?;
        counters.dedup_keys = number("dedup_keys")?;
        counters.sightings = number("sightings")?;
        counters.rings = ring_sizes::count(connection)?;
        Ok(counters)
    }

    /// The counts that a caller gets. Leased deliveries count as waiting.
    pub fn counts(&self) -> Counts {
        let count = |count: i64| u64::try_from(count).unwrap_or(0);
        Counts {
            waiting: count(self.pending),
            leased: 0,
            done: count(self.done),
            dead: count(self.dead),
            events: count(self.events),
            dedup_keys: count(self.dedup_keys),
            sightings: count(self.sightings),
            rings: PerRing {
                ignored: self.rings.ignored.size(),
                refused: self.rings.refused.size(),
            },
        }
    }

    /// Adds `by`.
    pub fn change(&mut self, by: Self) {
        self.pending += by.pending;
        self.done += by.done;
        self.dead += by.dead;
        self.events += by.events;
        self.dedup_keys += by.dedup_keys;
        self.sightings += by.sightings;
        self.rings += by.rings;
        self.debounced += by.debounced;
    }
}
