//! `hookyard store check` finds each kind of inconsistency that a test plants with `SQLite`.

use rusqlite::Connection;
use serde_json::Value;

use crate::scenario::Scenario;

const SECRET: &str = "the-secret-of-the-sender";

/// One rule of each kind: done, dead with `on_failure`, in a group, debounced.
const RULES: &str = r"
rules:
  - name: record
    endpoint: /in
    verify: {github: {secret: env:SECRET}}
    match: {$.n: {exists: true}}
    actions: [append: record.jsonl]
  - name: failing
    endpoint: /failing
    verify: none
    actions: [run: [/bin/false]]
    retry: {attempts: 1}
    on_failure: [append: failed.jsonl]
  - name: turns
    endpoint: /turns
    verify: none
    concurrency: {group: site, limit: 1}
    actions: [run: [/bin/false]]
    retry: {attempts: 5, backoff: [1h]}
  - {name: quiet, endpoint: /quiet, verify: none, debounce: 10m, actions: [append: quiet.jsonl]}
";

/// Changes to a sound store, each with the beginning of the fault that must be reported. Columns and
/// tables are those of the scene below.
const HARM: &[(&str, &str)] = &[
    (
        "UPDATE events SET pending = 7 WHERE seq = 1",
        "events whose number of waiting deliveries is wrong: ",
    ),
    (
        "UPDATE events SET dead = 1 WHERE seq = 1",
        "events whose mark of a dead letter is wrong: ",
    ),
    (
        "UPDATE events SET dead = 0",
        "events whose mark of a dead letter is wrong: ",
    ),
    (
        "UPDATE events SET ended_at = 7 WHERE seq = 1",
        "events whose end is not that of their last delivery: ",
    ),
    (
        "DELETE FROM deliveries WHERE event = 1",
        "events without a delivery: ",
    ),
    ("DELETE FROM bodies WHERE event = 1", "events without a body: "),
    (
        "UPDATE events SET size = size + 1 WHERE seq = 1",
        "events whose size is not that of their body: ",
    ),
    (
        "UPDATE bodies SET body = x'00' WHERE lz4_size IS NOT NULL",
        "event ",
    ),
    (
        "UPDATE bodies SET lz4_size = 1 << 60 WHERE lz4_size IS NOT NULL",
        "events whose size is not that of their body: ",
    ),
    ("UPDATE events SET headers = '7' WHERE seq = 1", "event "),
    ("UPDATE events SET parameters = '{}' WHERE seq = 1", "event "),
    ("UPDATE events SET decision = '' WHERE seq = 1", "event "),
    (
        "UPDATE events SET id = 'x' WHERE seq = 1",
        "event x cannot be read: the column `id`",
    ),
    (
        "UPDATE arrivals SET id = (SELECT id FROM events WHERE seq = 1) WHERE seq = 1",
        "events that are also recorded as arrivals without an event: ",
    ),
    (
        "UPDATE arrivals SET outcome = 'accepted' WHERE seq = 1",
        "events that are also recorded as arrivals without an event: ",
    ),
    (
        "UPDATE arrivals SET weight = weight + 1 WHERE seq = 1",
        "arrival ",
    ),
    ("UPDATE arrivals SET size = 1 WHERE ring = 'ignored'", "arrival "),
    (
        "UPDATE arrivals SET body = x'' WHERE lz4_size IS NULL AND length(body) > 0",
        "arrival ",
    ),
    (
        "UPDATE arrivals SET body = x'00' WHERE lz4_size IS NOT NULL",
        "arrival ",
    ),
    (
        "UPDATE arrivals SET outcome = 'vanished' WHERE seq = 1",
        "arrival ",
    ),
    ("UPDATE arrivals SET proofs = '{' WHERE seq = 1", "arrival "),
    (
        "UPDATE deliveries SET ended_at = NULL WHERE state = 'done'",
        "events whose end is not that of their last delivery: ",
    ),
    (
        "UPDATE deliveries SET ended_at = 7 WHERE state = 'ready'",
        "events whose end is not that of their last delivery: ",
    ),
    (
        "UPDATE deliveries SET ended_at = NULL WHERE state = 'dead'; UPDATE events SET ended_at = NULL WHERE dead",
        "deliveries whose end does not agree with their state: ",
    ),
    (
        "UPDATE deliveries SET reason = NULL WHERE state = 'dead'",
        "deliveries that ended without a reason: ",
    ),
    (
        "UPDATE deliveries SET debounced_since = NULL WHERE state = 'debounced'",
        "debounced deliveries without the arrival of the first: ",
    ),
    (
        "UPDATE deliveries SET group_key = NULL WHERE state = 'queued'",
        "deliveries that wait in a group without a name or a limit: ",
    ),
    (
        "UPDATE deliveries SET group_limit = 0 WHERE state = 'queued'",
        "deliveries that wait in a group without a name or a limit: ",
    ),
    (
        "UPDATE deliveries SET begun_at = 7 WHERE state = 'done'",
        "deliveries with a running attempt although they are not ready: ",
    ),
    (
        "UPDATE deliveries SET interruptions = 1 WHERE rule = 'record'",
        "deliveries whose interruptions have no time: ",
    ),
    (
        "UPDATE deliveries SET attempt = 0 WHERE rule = 'record'",
        "deliveries with an impossible action, attempt, replay or interruption: ",
    ),
    (
        "UPDATE deliveries SET replays = 1 WHERE rule = 'record'",
        "deliveries whose replays are not among their attempts: ",
    ),
    (
        "DELETE FROM failures",
        "deliveries for a failure that is not recorded, or with one that is not theirs: ",
    ),
    (
        "UPDATE deliveries SET failure_of = (SELECT id FROM deliveries WHERE rule = 'record') WHERE failure_of IS NOT NULL",
        "deliveries for a failure that is not recorded, or with one that is not theirs: ",
    ),
    (
        "UPDATE deliveries SET item = -1 WHERE rule = 'record'",
        "deliveries of an impossible element, or for a failure of another element: ",
    ),
    (
        "UPDATE deliveries SET item = 2 WHERE failure_of IS NOT NULL",
        "deliveries of an impossible element, or for a failure of another element: ",
    ),
    (
        "UPDATE deliveries SET id = 'x' WHERE rule = 'record'",
        "delivery x cannot be read: the column `id`",
    ),
    (
        "UPDATE attempts SET number = 0",
        "attempts with an impossible action, number or duration: ",
    ),
    (
        "UPDATE dedup_keys SET event = ''",
        "dedup keys without a key or an event: ",
    ),
    (
        "UPDATE sightings SET key = x'' WHERE seq = 1",
        "sightings without a key or an event: ",
    ),
    (
        "INSERT INTO pauses VALUES ('rule', '', 1, 'root')",
        "pauses without a name, a time or a user: ",
    ),
    (
        "INSERT INTO pauses VALUES ('target', 'https://a:443', -1, 'root')",
        "pauses without a name, a time or a user: ",
    ),
    (
        "INSERT INTO pauses VALUES ('rule', 'a', 1, '')",
        "pauses without a name, a time or a user: ",
    ),
    (
        "INSERT INTO expectations VALUES ('rule', '', 1, NULL, NULL)",
        "expectations without a name or a time: ",
    ),
    (
        "INSERT INTO expectations VALUES ('endpoint', '/a', 1, -1, NULL)",
        "expectations without a name or a time: ",
    ),
    (
        "INSERT INTO expectations VALUES ('rule', 'a', 1, NULL, -1)",
        "expectations without a name or a time: ",
    ),
    (
        "UPDATE meta SET value = 'yes' WHERE key = 'clean'",
        "facts about the store that have no such value: 1, for example clean",
    ),
    (
        "DELETE FROM events WHERE seq = 1",
        "rows of `bodies` whose row in `events` is gone: ",
    ),
    (
        "DELETE FROM deliveries WHERE failure_of IS NOT NULL",
        "rows of `attempts` whose row in `deliveries` is gone: ",
    ),
    (
        "UPDATE attempts SET delivery = 99",
        "rows of `attempts` whose row in `deliveries` is gone: ",
    ),
];

/// Reports of `store check`: its exit code and the faults.
fn check(scenario: &Scenario) -> (Option<i32>, Vec<String>) {
    let output = scenario.hookyard(&["store", "check", "--format", "json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let faults = json["faults"].as_array().unwrap().iter();
    let faults: Vec<String> = faults.map(|fault| fault.as_str().unwrap().to_owned()).collect();
    assert_eq!(json["sound"], faults.is_empty());
    (output.status.code(), faults)
}

#[test]
fn each_kind_of_inconsistency_is_found() {
    let mut daemon = Scenario::new().env("SECRET", SECRET).rules(RULES).start();
    let large = format!(r#"{{"n": "{}"}}"#, "again and again ".repeat(100));
    let small = r#"{"m": 1}"#;
    let ignored = large.replace("\"n\"", "\"m\"");
    for (body, word) in [
        (large.as_str(), "accepted"),
        (small, "ignored"),
        (&ignored, "ignored"),
    ] {
        assert_eq!(daemon.post("/in").github(SECRET).json(body).send().word(), word);
    }
    assert_eq!(daemon.post("/in").json("{}").send().status, 403);
    for path in ["/failing", "/turns", "/turns", "/quiet"] {
        assert_eq!(daemon.post(path).json("{}").send().status, 200);
    }
    daemon.eventually("the failure is reported", || daemon.lines("failed.jsonl") == 1);
    daemon.eventually("all is recorded", || {
        let all = daemon.scenario.arrivals(&["--limit", "100"]);
        let done = daemon.scenario.deliveries(&["--state", "done"]);
        all.len() == 8 && !done.is_empty()
    });
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(check(&daemon.scenario), (Some(0), Vec::new()));
    let path = daemon.folder().join("hookyard.db");
    let sound = std::fs::read(&path).unwrap();
    let mut missed = Vec::new();
    for (harm, expected) in HARM {
        std::fs::write(&path, &sound).unwrap();
        let store = Connection::open(&path).unwrap();
        store.pragma_update(None, "foreign_keys", false).unwrap();
        store.execute_batch(harm).unwrap();
        drop(store);
        let (code, faults) = check(&daemon.scenario);
        if code != Some(1) || !faults.iter().any(|fault| fault.starts_with(expected)) {
            missed.push(format!("{harm}: {code:?} {faults:?}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    // Each kind that is checked is planted at least once.
    let source = include_str!("../../src/store/sqlite/consistency.rs");
    let (source, _) = source.split_once("\n];").unwrap();
    let kinds = source
        .split("        \"")
        .skip(1)
        .filter_map(|part| part.split_once("\",\n"));
    for (kind, _) in kinds.filter(|(kind, _)| !kind.starts_with("SELECT") && !kind.contains('\n')) {
        assert!(HARM.iter().any(|(_, fault)| fault.starts_with(kind)), "{kind}");
    }
}
