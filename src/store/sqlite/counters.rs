//! Numbers of rows of each kind, updated with every write. Counting a million rows would delay new
//! events.

use rusqlite::Connection;

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
    pub refused: i64,
    /// Deliveries that wait for quiet; they are included in `pending`.
    pub debounced: i64,
}

impl Counters {
    /// Counts everything, using the smallest index where possible.
    pub fn count(connection: &Connection) -> rusqlite::Result<Self> {
        let number = |sql: &str| {
            connection
                .prepare_cached(sql)?
                .query_row([], |row| row.get::<_, i64>(0))
        };
        let pending = number("SELECT count(*) FROM deliveries WHERE state = 'waiting'")?;
        let dead = number("SELECT count(*) FROM deliveries WHERE state = 'dead' AND failure_of IS NULL")?;
        Ok(Self {
            pending,
            done: number("SELECT count(*) FROM deliveries")? - pending - dead,
            dead,
            events: number("SELECT count(*) FROM events")?,
            dedup_keys: number("SELECT count(*) FROM dedup_keys")?,
            sightings: number("SELECT count(*) FROM sightings")?,
            refused: number("SELECT count(*) FROM refused")?,
            debounced: number(
                "SELECT count(*) FROM deliveries WHERE state = 'waiting' AND debounced_since IS NOT NULL",
            )?,
        })
    }

    /// Adds `by`.
    pub fn change(&mut self, by: Self) {
        self.pending += by.pending;
        self.done += by.done;
        self.dead += by.dead;
        self.events += by.events;
        self.dedup_keys += by.dedup_keys;
        self.sightings += by.sightings;
        self.refused += by.refused;
        self.debounced += by.debounced;
    }
}
