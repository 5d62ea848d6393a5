//! How many rows of each kind there are, kept up to date: counting a million of them would hold up intake.

use rusqlite::Connection;

/// Numbers of rows, or how they change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// Deliveries that are neither done nor dead.
    pub pending: i64,
    /// Deliveries that have ended and are no dead letters.
    pub done: i64,
    /// Deliveries that are dead.
    pub dead: i64,
    /// Events.
    pub events: i64,
    /// Nonces.
    pub dedup_keys: i64,
    /// Sightings.
    pub sightings: i64,
    /// Refusals.
    pub refused: i64,
    /// Deliveries that wait for quiet, of those that are owed.
    pub quiet: i64,
}

impl Counters {
    /// Counts everything, as far as possible in the smallest index.
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
            dedup_keys: number("SELECT count(*) FROM nonces")?,
            sightings: number("SELECT count(*) FROM sightings")?,
            refused: number("SELECT count(*) FROM refused")?,
            quiet: number(
                "SELECT count(*) FROM deliveries WHERE state = 'waiting' AND debounced_since IS NOT NULL",
            )?,
        })
    }

    /// Changes by `by`.
    pub fn change(&mut self, by: Self) {
        self.pending += by.pending;
        self.done += by.done;
        self.dead += by.dead;
        self.events += by.events;
        self.dedup_keys += by.dedup_keys;
        self.sightings += by.sightings;
        self.refused += by.refused;
        self.quiet += by.quiet;
    }
}
