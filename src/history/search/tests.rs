use rusqlite::{Connection, params};
use tempfile::TempDir;

use super::*;
use crate::base::clock::{Clock, Timestamp};
use crate::event::{ArrivalOutcome, EventId};
use crate::history::{EventNames, Query};
use crate::store::sqlite::SqliteStore;
use crate::store::{History, Place, Records, Settings};

/// A store with events and records of few moments, so that many have the same one. Returns their
/// ids, newest first, with what a search sees of them.
struct Stored {
    _folder: TempDir,
    history: History,
    all: Vec<(EventId, Seen)>,
}

#[derive(Clone, Copy, PartialEq)]
struct Seen {
    outcome: &'static str,
    rule: &'static str,
    state: &'static str,
    client: usize,
    at: i64,
    number: usize,
}

const START: i64 = 1_790_000_000_000;

fn store(number: usize) -> Stored {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("hookyard.db");
    drop(SqliteStore::open(&path, Settings::default()).unwrap());
    let connection = Connection::open(&path).unwrap();
    let mut all = Vec::new();
    connection.execute_batch("BEGIN").unwrap();
    for at in 0..number {
        let millis = START + i64::try_from(at / 7).unwrap();
        let id = EventId::numbered(Timestamp::from_millis(millis), at as u64);
        let client = format!("192.0.2.{}", at % 5);
        let body = format!(r#"{{"n":{}}}"#, at % 11);
        let mut seen = Seen {
            outcome: "accepted",
            rule: if at % 13 == 0 { "rare" } else { "often" },
            state: if at % 17 == 0 { "dead" } else { "done" },
            client: at % 5,
            at: millis,
            number: at % 11,
        };
        if at % 3 == 0 {
            (seen.outcome, seen.rule, seen.state) = ("refused", "", "");
            let columns = "id, ring, outcome, received_at, endpoint, method, path, query, parameters, client, \
                 headers, decode, size, status, reason, decision, proofs, weight, body";
            let sql = format!(
                "INSERT INTO arrivals ({columns}) VALUES (?1, 'refused', 'refused', ?2, '/a', 'POST', '/a', '', '[]', \
                 ?3, '[]', 'json', ?5, 403, 'why', ?6, '[]', 300, ?4)"
            );
            let decision = r#"{"generation":1,"rules_sha256":"","rules":[]}"#;
            let size = i64::try_from(body.len()).unwrap();
            let row = params![id.to_string(), millis, client, body.as_bytes(), size, decision];
            connection.execute(&sql, row).unwrap();
        } else {
            let dead = seen.state == "dead";
            let columns = "id, received_at, endpoint, method, path, query, parameters, client, headers, decode, size, \
                 pending, dead, ended_at, status, decision";
            let sql = format!(
                "INSERT INTO events ({columns}) VALUES (?1, ?2, '/a', 'POST', '/a', '', '[]', ?3, '[]', 'json', 7, 0, \
                 ?4, ?2, 200, '{{\"generation\":1,\"rules_sha256\":\"\",\"rules\":[]}}')"
            );
            connection
                .execute(&sql, params![id.to_string(), millis, client, dead])
                .unwrap();
            let row = connection.last_insert_rowid();
            connection
                .execute(
                    "INSERT INTO bodies (event, body) VALUES (?1, ?2)",
                    params![row, body.as_bytes()],
                )
                .unwrap();
            let delivery = "INSERT INTO deliveries (id, event, rule, state, action, attempt, due, ended_at) \
                 VALUES (?1, ?2, ?3, ?4, 0, 1, ?5, ?5)";
            let delivery_id = EventId::numbered(Timestamp::from_millis(millis), at as u64 + 1_000_000);
            connection
                .execute(
                    delivery,
                    params![delivery_id.to_string(), row, seen.rule, seen.state, millis],
                )
                .unwrap();
        }
        all.push((id, seen));
    }
    connection.execute_batch("COMMIT").unwrap();
    all.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
    Stored {
        history: Records::at(&Place::File(path)).history().unwrap(),
        _folder: folder,
        all,
    }
}

fn query(line: &str) -> Query {
    Query::parse(line, Timestamp::from_millis(START)).unwrap()
}

fn pages(stored: &Stored, line: &str, limit: usize, bounds: SearchBounds) -> (Vec<EventId>, usize) {
    let (mut ids, mut before, mut number) = (Vec::new(), None, 0);
    loop {
        let names = EventNames::default();
        let found = search(&stored.history, &names, &query(line), before, limit, bounds).unwrap();
        assert!(found.arrivals.len() <= limit);
        assert!(found.complete || found.next.is_some());
        ids.extend(found.arrivals.iter().map(|arrival| arrival.id));
        number += 1;
        match found.next {
            None => return (ids, number),
            next => {
                assert!(before.is_none() || next < before, "the search moves back");
                before = next;
            }
        }
    }
}

/// Decides whether a search wants what it sees.
type Wanted = fn(&Seen) -> bool;

#[test]
fn pages_have_no_gaps_and_no_doubles_even_at_equal_milliseconds() {
    let stored = store(2500);
    let since = Timestamp::from_millis(START + 100);
    let until = Timestamp::from_millis(START + 200);
    let range = format!("since:{since} until:{until}");
    let cases: [(&str, Wanted); 9] = [
        ("", |_| true),
        ("outcome:refused", |seen| seen.outcome == "refused"),
        ("outcome:accepted", |seen| seen.outcome == "accepted"),
        ("outcome:fired", |_| false),
        ("rule:rare", |seen| seen.rule == "rare"),
        ("state:dead", |seen| seen.state == "dead"),
        ("client:192.0.2.2/31", |seen| seen.client == 2 || seen.client == 3),
        ("$.n:4 client:192.0.2.1", |seen| {
            seen.number == 4 && seen.client == 1
        }),
        (&range, |seen| seen.at >= START + 100 && seen.at < START + 200),
    ];
    for (line, wanted) in cases {
        let expected = stored.all.iter().filter(|(_, seen)| wanted(seen));
        let expected: Vec<EventId> = expected.map(|(id, _)| *id).collect();
        for limit in [1000, 7] {
            let (found, _) = pages(&stored, line, limit, SearchBounds::COMMAND);
            assert_eq!(found, expected, "{line} in pages of {limit}");
        }
    }
}

#[test]
fn a_search_that_a_bound_ends_says_how_far_back_it_looked_and_goes_on_there() {
    let stored = store(1500);
    let bounds = SearchBounds {
        requests: 100,
        time: None,
    };
    let expected = stored.all.iter().filter(|(_, seen)| seen.number == 4);
    let expected: Vec<EventId> = expected.map(|(id, _)| *id).collect();
    let (found, number) = pages(&stored, "$.n:4", 1000, bounds);
    assert_eq!((found, number), (expected, 15));
    let names = EventNames::default();
    let found = search(&stored.history, &names, &query("$.n:99"), None, 10, bounds).unwrap();
    assert!(!found.complete && found.arrivals.is_empty());
    assert_eq!(found.next, Some(stored.all[99].0));
    assert_eq!(found.looked_back_to(), Some(stored.all[99].0.at()));
    // Without time, one window is read.
    let at_once = SearchBounds {
        requests: 100,
        time: Some(std::time::Duration::ZERO),
    };
    let found = search(&stored.history, &names, &query("rule:none"), None, 10, at_once).unwrap();
    assert!(!found.complete && found.next.is_some());
}

#[test]
fn new_arrivals_are_counted_once() {
    let stored = store(300);
    let names = EventNames::default();
    for (line, expected) in [
        ("", 300),
        ("outcome:refused", 100),
        ("rule:rare", 16),
        ("$.n:4", 27),
    ] {
        for limit in [1000, 10] {
            let (mut cursor, mut sum) = (crate::store::TailCursor::default(), 0);
            for _ in 0..60 {
                sum += count_after(&stored.history, &names, &query(line), &mut cursor, limit).unwrap();
            }
            assert_eq!(sum, expected, "{line}");
            assert_eq!(cursor, stored.history.tail_cursor().unwrap(), "{line}");
        }
    }
}

#[test]
fn a_page_is_json_with_names_that_the_commands_have() {
    let stored = store(20);
    let names = EventNames::default();
    let now = Clock::system().now();
    let page = arrival_page(&stored.history, &names, &query("rule:often"), None, 1, now).unwrap();
    let page = serde_json::to_value(&page).unwrap();
    let arrival = &page["arrivals"][0];
    for name in [
        "id",
        "received_at",
        "endpoint",
        "client",
        "outcome",
        "status",
        "reason",
        "replayed",
        "bytes",
    ] {
        assert!(arrival.get(name).is_some(), "{name}: {arrival}");
    }
    assert_eq!(arrival["outcome"], ArrivalOutcome::Accepted.name());
    assert_eq!(arrival["deliveries"][0]["rule"], "often");
    assert_eq!(page["complete"], true);
    assert_eq!(page["next"], arrival["id"]);
}
