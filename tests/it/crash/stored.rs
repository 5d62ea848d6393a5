//! The store's content, read with SQL.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

/// A delivery in the store.
pub struct Delivery {
    pub rule: String,
    pub state: String,
    pub reason: String,
    /// Its attempts: action, number and outcome.
    pub attempts: Vec<(u32, u32, String)>,
}

/// Number of deliveries that wait or run, while the daemon runs.
pub fn waiting(folder: &Path) -> i64 {
    open(folder)
        .query_row(
            "SELECT count(*) FROM deliveries WHERE state IN ('debounced', 'queued', 'ready')",
            [],
            |row| row.get(0),
        )
        .unwrap()
}

fn open(folder: &Path) -> Connection {
    Connection::open_with_flags(folder.join("hookyard.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

/// The number of an event, in its body.
pub fn number(body: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Value>(body).ok()?["n"].as_u64()
}

/// All deliveries in the store, for events of the test only: their numbers are large.
pub fn everything(folder: &Path) -> BTreeMap<u64, Vec<Vec<Delivery>>> {
    let store = open(folder);
    let mut attempts: BTreeMap<i64, Vec<(u32, u32, String)>> = BTreeMap::new();
    let mut statement = store
        .prepare("SELECT delivery, action, number, outcome FROM attempts ORDER BY seq")
        .unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let of = attempts.entry(row.get_unwrap(0)).or_default();
        of.push((row.get_unwrap(1), row.get_unwrap(2), row.get_unwrap(3)));
    }
    let mut deliveries: BTreeMap<i64, Vec<Delivery>> = BTreeMap::new();
    let mut statement = store
        .prepare("SELECT seq, event, rule, state, coalesce(reason, '') FROM deliveries ORDER BY seq")
        .unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let delivery = Delivery {
            rule: row.get_unwrap(2),
            state: row.get_unwrap(3),
            reason: row.get_unwrap(4),
            attempts: attempts.remove(&row.get_unwrap::<_, i64>(0)).unwrap_or_default(),
        };
        deliveries.entry(row.get_unwrap(1)).or_default().push(delivery);
    }
    let mut events: BTreeMap<u64, Vec<Vec<Delivery>>> = BTreeMap::new();
    let mut statement = store.prepare("SELECT event, body, lz4_size FROM bodies").unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let of = deliveries
            .remove(&row.get_unwrap::<_, i64>(0))
            .unwrap_or_default();
        let mut body: Vec<u8> = row.get_unwrap(1);
        if let Some(size) = row.get_unwrap::<_, Option<u32>>(2) {
            body = lz4_flex::block::decompress(&body, size as usize).unwrap();
        }
        let n = number(&body).unwrap();
        events.entry(n).or_default().push(of);
    }
    events
}
