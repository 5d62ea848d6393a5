//! Records of arrivals: each request on an endpoint is listed with its outcome and the reason, and
//! no record holds a credential.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::Stdio;

use serde_json::Value;

use crate::scenario::{Answer, Daemon, Scenario, hmac_hex, now};

const SECRET: &str = "the-secret-of-the-sender";
const TOKEN: &str = "the-token-of-the-sender";

/// Endpoints on which each outcome can be reached.
const RULES: &str = r"
server: {listen: 127.0.0.1:0, max_body: 100KiB}
endpoints:
  /few: {rate_limit: {rate: 1/h, burst: 1}}
  /quiet: {keep: {ignored: 0, refused: 0}}
  /brief: {keep: {ignored: 2}}
rules:
  - name: deploy
    endpoint: /in
    verify: {github: {secret: env:SECRET}}
    match: {$.ref: refs/heads/main}
    actions: [append: deploy.jsonl]
  - name: stripe
    endpoint: /stripe
    verify: {stripe: {secret: env:SECRET}}
    actions: [append: stripe.jsonl]
  - name: slack
    endpoint: /slack
    verify: {slack: {secret: env:SECRET}}
    actions: [append: slack.jsonl]
  - name: few
    endpoint: /few
    verify: {token: {header: X-Token, secret: env:TOKEN}}
    match: {$.n: 1}
    actions: [append: few.jsonl]
  - name: query
    endpoint: /query
    verify: {token: {query: key, secret: env:TOKEN}}
    match: {$.n: 1}
    actions: [append: query.jsonl]
  - name: bearer
    endpoint: /bearer
    verify: {bearer: env:TOKEN}
    match: {$.n: 1}
    actions: [append: bearer.jsonl]
  - name: quiet
    endpoint: /quiet
    verify: {github: {secret: env:SECRET}}
    match: {$.n: 1}
    actions: [append: quiet.jsonl]
  - name: brief
    endpoint: /brief
    verify: {github: {secret: env:SECRET}}
    match: {$.n: 1}
    actions: [append: brief.jsonl]
";

fn daemon() -> Daemon {
    let scenario = Scenario::new().env("SECRET", SECRET).env("TOKEN", TOKEN);
    scenario.rules(RULES).start()
}

/// Sends a signed body. Returns the answer.
fn send(daemon: &Daemon, path: &str, body: &str) -> Answer {
    daemon.post(path).github(SECRET).json(body).send()
}

/// Sends one request of each outcome.
fn send_each(daemon: &Daemon) {
    let main = r#"{"ref": "refs/heads/main"}"#;
    assert_eq!(send(daemon, "/in", main).word(), "accepted");
    assert_eq!(send(daemon, "/in", main).word(), "duplicate");
    assert_eq!(
        send(daemon, "/in", r#"{"ref": "refs/heads/next"}"#).word(),
        "ignored"
    );
    assert_eq!(daemon.post("/in").json("{}").send().status, 403);
    let late = now() - 3600;
    let signature = hmac_hex(SECRET, format!("{late}.{{}}").as_bytes());
    let stale = daemon
        .post("/stripe")
        .header("Stripe-Signature", &format!("t={late},v1={signature}"));
    assert_eq!(stale.json("{}").send().word(), "stale");
    assert_eq!(send(daemon, "/in", "{").status, 400);
    assert_eq!(send(daemon, "/in", &"x".repeat(200 << 10)).status, 413);
    for status in [200, 429] {
        let few = daemon.post("/few").header("X-Token", TOKEN).json("{}").send();
        assert_eq!(few.status, status);
    }
    let challenge = r#"{"type": "url_verification", "challenge": "c", "token": "t"}"#;
    let time = now();
    let signature = hmac_hex(SECRET, format!("v0:{time}:{challenge}").as_bytes());
    let handshake = daemon
        .post("/slack")
        .header("X-Slack-Request-Timestamp", &time.to_string())
        .header("X-Slack-Signature", &format!("v0={signature}"))
        .json(challenge)
        .send();
    assert_eq!(handshake.status, 200, "{handshake:?}");
}

/// The value of a series. 0 if it is missing.
fn metric(daemon: &Daemon, series: &str) -> u64 {
    let text = crate::status::metrics(daemon);
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map_or(0, |value| value.trim_end_matches(".0").parse().unwrap())
}

#[test]
fn each_arrival_is_listed_with_its_outcome_and_reason() {
    let daemon = daemon();
    send_each(&daemon);
    let listed = || daemon.scenario.arrivals(&[]);
    daemon.eventually("all are recorded", || listed().len() == 10);
    let listed = listed();
    let row = |outcome: &str, endpoint: &str| {
        let wanted = |row: &&Value| row["outcome"] == outcome && row["endpoint"] == endpoint;
        let row = listed.iter().find(wanted);
        row.unwrap_or_else(|| panic!("no {outcome} on {endpoint} in {listed:#?}"))
            .clone()
    };
    let accepted = row("accepted", "/in");
    assert_eq!(accepted["deliveries"][0]["rule"], "deploy");
    assert_eq!(accepted["status"], 200);
    for (outcome, endpoint, status, reason) in [
        ("duplicate", "/in", 200, "a duplicate of "),
        (
            "refused",
            "/in",
            403,
            "the header `x-hub-signature-256` is missing",
        ),
        ("stale", "/stripe", 400, "1h behind the clock"),
        ("unreadable", "/in", 400, "the body is not valid JSON"),
        ("too-large", "/in", 413, "102400"),
        ("limited", "/few", 429, "rate limit"),
    ] {
        let row = row(outcome, endpoint);
        let found = row["reason"].as_str().unwrap_or_default();
        assert!(found.contains(reason), "{outcome}: {row}");
        assert_eq!(row["status"], status, "{row}");
        assert_eq!(row["client"], "127.0.0.1");
        assert_eq!(row["deliveries"], serde_json::json!([]));
    }
    row("ignored", "/in");
    row("ignored", "/few");
    row("handshake", "/slack");
    // Newest first.
    let times: Vec<&str> = listed.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|newer, older| newer > older), "{times:?}");
}

#[test]
fn each_filter_of_the_list_keeps_what_it_names() {
    let daemon = daemon();
    send_each(&daemon);
    let count = |filters: &[&str]| daemon.scenario.arrivals(filters).len();
    daemon.eventually("all are recorded", || count(&[]) == 10);
    daemon.eventually("it is done", || count(&["--state", "done"]) == 1);
    for (filters, expected) in [
        (&["--outcome", "ignored"][..], 2),
        (&["--outcome", "accepted"], 1),
        (&["--outcome", "too-slow"], 0),
        (&["--rule", "deploy"], 1),
        (&["--rule", "few"], 0),
        (&["--state", "waiting"], 0),
        (&["--endpoint", "/in"], 6),
        (&["--endpoint", "/in", "--outcome", "refused"], 1),
        (&["--client", "127.0.0.1"], 10),
        (&["--client", "127.0.0.2"], 0),
        (&["--since", "1h"], 10),
        (&["--since", "2999-01-01"], 0),
        (&["--until", "2999-01-01"], 10),
        (&["--until", "1h"], 0),
        (&["--where", "$.ref: refs/heads/next"], 1),
        (&["--where", "$.ref: refs/heads/main"], 2),
        (
            &["--where", "$.ref: refs/heads/main", "--outcome", "duplicate"],
            1,
        ),
        (&["--limit", "3"], 3),
    ] {
        assert_eq!(count(filters), expected, "{filters:?}");
    }
}

#[test]
fn a_list_of_no_rows_is_refused() {
    let scenario = Scenario::new().rules(RULES);
    let output = scenario.hookyard(&["events", "list", "--limit", "0"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("invalid value '0' for '--limit <NUMBER>'"),
        "{said}"
    );
}

#[test]
fn tail_prints_an_ignored_arrival_live() {
    let daemon = daemon();
    let mut tail = daemon
        .scenario
        .command(&["events", "tail", "--outcome", "ignored"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("id "));
    let id = send(&daemon, "/in", "{}");
    let id: Value = serde_json::from_str(&id.body).unwrap();
    let line = lines.next().unwrap().unwrap();
    assert!(
        line.starts_with(id["id"].as_str().unwrap()) && line.contains("  ignored  "),
        "{line}"
    );
    tail.kill().unwrap();
    tail.wait().unwrap();
}

#[test]
fn an_endpoint_keeps_as_many_records_as_it_says() {
    let daemon = daemon();
    for n in 2..7 {
        assert_eq!(
            send(&daemon, "/quiet", &format!(r#"{{"n": {n}}}"#)).word(),
            "ignored"
        );
        assert_eq!(
            send(&daemon, "/brief", &format!(r#"{{"n": {n}}}"#)).word(),
            "ignored"
        );
        assert_eq!(daemon.post("/quiet").json("{}").send().status, 403);
    }
    send(&daemon, "/in", "{}");
    let count = |endpoint: &str| daemon.scenario.arrivals(&["--endpoint", endpoint]).len();
    daemon.eventually("the last one is recorded", || count("/in") == 1);
    daemon.eventually("the others, too", || {
        !daemon.scenario.arrivals(&["--where", "$.n: 6"]).is_empty()
    });
    assert_eq!((count("/quiet"), count("/brief")), (0, 2));
}

#[test]
fn a_large_body_is_kept_in_part() {
    let daemon = daemon();
    let body = format!(r#"{{"n": "{}"}}"#, "x".repeat(80 << 10));
    assert_eq!(send(&daemon, "/in", &body).word(), "ignored");
    daemon.eventually("it is recorded", || daemon.scenario.arrivals(&[]).len() == 1);
    let store = rusqlite::Connection::open(daemon.folder().join("hookyard.db")).unwrap();
    let sizes = store.query_row("SELECT lz4_size, size FROM arrivals", [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
    });
    assert_eq!(sizes.unwrap(), (64 << 10, i64::try_from(body.len()).unwrap()));
    // A condition on a body of which only the beginning is known is not met.
    assert!(
        daemon
            .scenario
            .arrivals(&["--where", "$.n: {exists: true}"])
            .is_empty()
    );
}

#[test]
fn no_credential_stands_in_a_record() {
    let mut daemon = daemon();
    let body = "{}";
    let signature = hmac_hex(SECRET, body.as_bytes());
    let wrong = hmac_hex("another secret", body.as_bytes());
    // Verified and ignored.
    let few = daemon.post("/few").header("X-Token", TOKEN);
    let query = daemon.post(&format!("/query?a=b&key={TOKEN}"));
    let bearer = daemon
        .post("/bearer")
        .header("Authorization", &format!("Bearer {TOKEN}"));
    for sending in [few, query, bearer] {
        assert_eq!(sending.json(body).send().word(), "ignored");
    }
    // Refused. Tokens of other endpoints arrive in places that this endpoint does not read.
    for (path, token) in [
        ("/in", TOKEN),
        ("/stripe", TOKEN),
        ("/in", "a-token-of-another-sender"),
        ("/few", "a-token-of-another-sender"),
        ("/query", "a-token-of-another-sender"),
        ("/bearer", "a-token-of-another-sender"),
        ("/stripe", "a-token-of-another-sender"),
    ] {
        let answer = daemon
            .post(&format!("{path}?key={token}&access_token={token}"))
            .header("Authorization", &format!("Bearer {token}"))
            .header("X-Token", token)
            .header("X-Hub-Signature-256", &format!("sha256={wrong}"))
            .header("Stripe-Signature", &format!("t=1,v1={signature}"))
            .header("Cookie", &format!("session={token}"))
            .json(body)
            .send();
        assert!(
            [403, 401, 429, 400].contains(&answer.status),
            "{path}: {answer:?}"
        );
    }
    assert_eq!(send(&daemon, "/in", body).word(), "ignored");
    daemon.eventually("all are recorded", || daemon.scenario.arrivals(&[]).len() == 11);
    assert_eq!(daemon.stop(), Some(0));
    let file = std::fs::read(daemon.folder().join("hookyard.db")).unwrap();
    let log = std::fs::read(daemon.folder().join("hookyard.db-wal")).unwrap_or_default();
    let bytes = [file, log].concat();
    for secret in [SECRET, TOKEN, "a-token-of-another-sender", &signature, &wrong] {
        let found = bytes
            .windows(secret.len())
            .position(|window| window == secret.as_bytes());
        assert_eq!(found, None, "{secret}");
    }
}

/// Sends refused requests on one connection, and reads the answers.
fn flood(daemon: &Daemon, requests: usize) {
    let request = daemon.post("/in").json("{}").bytes();
    let mut stream: TcpStream = daemon.connect();
    for _ in 0..requests / 50 {
        stream.write_all(&request.repeat(50)).unwrap();
        for _ in 0..50 {
            assert_eq!(Answer::read(&mut stream).unwrap().status, 403);
        }
    }
}

#[test]
fn a_flood_of_refused_requests_pushes_out_no_ignored_arrival_and_stays_within_the_bounds() {
    const REQUESTS: usize = 50_000;
    let rules = format!(
        "store: {{keep: {{ignored: 100, refused: 300, ring_bytes: 64KiB}}}}\n{}",
        RULES.trim_start()
    );
    let scenario = Scenario::new().env("SECRET", SECRET).env("TOKEN", TOKEN);
    let daemon = scenario.rules(&rules).start();
    for n in 0..20 {
        assert_eq!(
            send(&daemon, "/in", &format!(r#"{{"n": {n}}}"#)).word(),
            "ignored"
        );
    }
    let ignored = || {
        let filters = ["--outcome", "ignored", "--limit", "1000"];
        daemon.scenario.arrivals(&filters)
    };
    daemon.eventually("they are recorded", || ignored().len() == 20);
    let before = ignored();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| flood(&daemon, REQUESTS / 8));
        }
    });
    assert_eq!(send(&daemon, "/in", r#"{"n": 20}"#).word(), "ignored");
    daemon.eventually("the last one is recorded", || ignored().len() == 21);
    assert_eq!(ignored()[1..], before[..]);
    let refused = metric(&daemon, "hookyard_store_arrivals{ring=\"refused\"}");
    let bytes = metric(&daemon, "hookyard_store_arrivals_bytes{ring=\"refused\"}");
    assert!(
        (1..=300).contains(&refused) && bytes <= 64 << 10,
        "{refused} {bytes}"
    );
    assert_eq!(metric(&daemon, "hookyard_store_arrivals{ring=\"ignored\"}"), 21);
    // Each of the others was written and deleted again, or is counted.
    let left_out = metric(&daemon, "hookyard_arrivals_unrecorded_total{ring=\"refused\"}");
    assert!(left_out > 0 && left_out < REQUESTS as u64, "{left_out}");
    assert_eq!(
        metric(&daemon, "hookyard_arrivals_unrecorded_total{ring=\"ignored\"}"),
        0
    );
    let store = rusqlite::Connection::open(daemon.folder().join("hookyard.db")).unwrap();
    let highest: i64 = store
        .query_row("SELECT max(seq) FROM arrivals", [], |row| row.get(0))
        .unwrap();
    assert_eq!(u64::try_from(highest).unwrap() + left_out, REQUESTS as u64 + 21);
}

#[test]
fn the_list_tells_what_a_delivery_does_or_waits_for() {
    let rules = r#"
rules:
  - {name: slow, endpoint: /slow, verify: none, concurrency: {group: g, limit: 1}, actions: [run: [/bin/sh, -c, "test -e go || sleep 30"]]}
  - {name: again, endpoint: /again, verify: none, actions: [run: [/bin/false]], retry: {attempts: 2, backoff: [1h]}}
  - {name: quiet, endpoint: /calm, verify: none, debounce: 10m, actions: [append: quiet.jsonl]}
"#;
    let mut daemon = Scenario::new().rules(rules).start();
    for (path, body) in [
        ("/slow", r#"{"n": 1}"#),
        ("/slow", r#"{"n": 2}"#),
        ("/again", "{}"),
        ("/calm", "{}"),
    ] {
        assert_eq!(daemon.post(path).json(body).send().status, 200);
    }
    let phases = |scenario: &Scenario| -> Vec<(String, String)> {
        let listed = scenario.deliveries(&["--state", "waiting"]);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut rows: Vec<_> = listed
            .iter()
            .map(|row| (text(&row["rule"]), text(&row["phase"])))
            .collect();
        rows.sort();
        rows
    };
    let row = |rule: &str, phase: &str| (rule.to_owned(), phase.to_owned());
    daemon.eventually("one runs", || {
        phases(&daemon.scenario)
            == [
                row("again", "retry"),
                row("quiet", "debounced"),
                row("slow", "queued"),
                row("slow", "running"),
            ]
    });
    let output = daemon.scenario.hookyard(&["events", "list"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "  again retry at ",
        "  quiet waiting for quiet until ",
        "  slow queued in its group ",
        "  slow running ",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    // Without a daemon, nothing runs.
    daemon.kill();
    let after = phases(&daemon.scenario);
    assert_eq!(after[3], row("slow", "queued"));
    assert_eq!(after[2], row("slow", "due"));
}
