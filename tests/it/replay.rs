//! Replay protection: timestamps that are too old or too new, and duplicates across reload, restart
//! and crash.

use std::time::Duration;

use crate::scenario::{Answer, Daemon, Scenario, fixture, hmac_hex, now};

const SLACK: &str = "8f742231b10e8888abcd99yyyzzz85a5";

fn slack(daemon: &Daemon, at: i64, body: &[u8]) -> (u16, String) {
    let mut content = format!("v0:{at}:").into_bytes();
    content.extend_from_slice(body);
    let sending = daemon
        .post("/slack")
        .header("X-Slack-Request-Timestamp", &at.to_string());
    let sending = sending.header("X-Slack-Signature", &format!("v0={}", hmac_hex(SLACK, &content)));
    let kind = if body.starts_with(b"{") || body.starts_with(b"[") {
        "application/json"
    } else {
        "application/x-www-form-urlencoded"
    };
    sending.header("Content-Type", kind).body(body).send().outcome()
}

fn slack_rules(more: &str) -> String {
    format!(
        "rules:\n  - {{name: command, endpoint: /slack, verify: {{slack: {{secret: {SLACK}}}}}, actions: [append: slack.jsonl]{more}}}\n"
    )
}

#[test]
fn a_signed_timestamp_is_fresh_within_the_window_in_both_directions() {
    let daemon = Scenario::new().rules(&slack_rules("")).start();
    let body = fixture("slack/command.form");
    for (offset, expected) in [
        (0, (200, "accepted")),
        (0, (200, "duplicate")),
        (-290, (200, "accepted")),
        (290, (200, "accepted")),
        (-310, (400, "stale")),
        (310, (400, "stale")),
        (-1_000_000_000, (400, "stale")),
        (1_000_000_000, (400, "stale")),
    ] {
        let at = if offset == 0 {
            now() / 100 * 100
        } else {
            now() + offset
        };
        assert_eq!(
            slack(&daemon, at, &body),
            (expected.0, expected.1.to_owned()),
            "{offset}"
        );
    }
}

#[test]
fn one_knob_sets_the_window() {
    let daemon = Scenario::new().rules(&slack_rules(", replay_window: 1h")).start();
    assert_eq!(slack(&daemon, now() - 3000, b"a").0, 200);
    assert_eq!(slack(&daemon, now() - 3700, b"a").0, 400);
}

fn github(daemon: &Daemon, path: &str, delivery: &str) -> (u16, String) {
    let sending = daemon.post(path).header("X-GitHub-Delivery", delivery);
    sending
        .json(fixture("github/push.json"))
        .github("k")
        .send()
        .outcome()
}

fn github_rules(more: &str) -> String {
    format!(
        "rules:\n  - {{name: push, endpoint: /github, verify: {{github: {{secret: k}}}}, actions: [append: push.jsonl]{more}}}\n"
    )
}

#[test]
fn an_event_is_remembered_across_reload_restart_and_crash() {
    let mut daemon = Scenario::new().rules(&github_rules("")).start();
    let taken = (200, "accepted".to_owned());
    let duplicate = (200, "duplicate".to_owned());
    assert_eq!(github(&daemon, "/github", "1"), taken);
    // Another delivery id does not make another event, since the id is not signed.
    assert_eq!(github(&daemon, "/github", "2"), duplicate);
    daemon.rewrite(&github_rules(", retry: {attempts: 2, backoff: [1s]}"));
    assert_eq!(github(&daemon, "/github", "1"), duplicate);
    assert_eq!(daemon.stop(), Some(0));
    daemon.start();
    assert_eq!(github(&daemon, "/github", "1"), duplicate);
    daemon.kill();
    daemon.start();
    assert_eq!(github(&daemon, "/github", "1"), duplicate);
    daemon.eventually("the line is appended", || daemon.lines("push.jsonl") == 1);
}

#[test]
fn without_a_timestamp_the_event_is_forgotten_after_the_window() {
    let daemon = Scenario::new()
        .rules(&github_rules(", replay_window: 1s"))
        .start();
    assert_eq!(github(&daemon, "/github", "1").1, "accepted");
    assert_eq!(github(&daemon, "/github", "1").1, "duplicate");
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(github(&daemon, "/github", "1").1, "accepted");
}

#[test]
fn on_duplicate_ignores_rejects_or_runs() {
    for (setting, expected, lines) in [
        (", on_duplicate: ignore", (200, "duplicate"), 1),
        (", on_duplicate: reject", (409, "duplicate"), 1),
        (", on_duplicate: run", (200, "accepted"), 2),
    ] {
        let daemon = Scenario::new().rules(&github_rules(setting)).start();
        assert_eq!(github(&daemon, "/github", "1").1, "accepted");
        assert_eq!(
            github(&daemon, "/github", "1"),
            (expected.0, expected.1.to_owned()),
            "{setting}"
        );
        daemon.eventually("the lines are appended", || daemon.lines("push.jsonl") == lines);
    }
}

#[test]
fn each_rule_remembers_for_itself() {
    let first = "  - {name: first, endpoint: /github, verify: {github: {secret: k}}, actions: [append: first.jsonl]}\n";
    let second = first.replace("first", "second");
    let daemon = Scenario::new().rules(&format!("rules:\n{first}")).start();
    assert_eq!(github(&daemon, "/github", "1").1, "accepted");
    // A new rule has not seen the event yet, and the old one does not run it again.
    daemon.rewrite(&format!("rules:\n{first}{second}"));
    assert_eq!(github(&daemon, "/github", "1").1, "accepted");
    assert_eq!(github(&daemon, "/github", "1").1, "duplicate");
    daemon.eventually("both lines are appended", || daemon.lines("second.jsonl") == 1);
    assert_eq!(daemon.lines("first.jsonl"), 1);
}

#[test]
fn rotating_the_secret_lets_no_replay_in() {
    let rules = |secrets: &str| github_rules("").replace("secret: k", &format!("secret: {secrets}"));
    let daemon = Scenario::new().rules(&rules("k")).start();
    assert_eq!(github(&daemon, "/github", "1").1, "accepted");
    daemon.rewrite(&rules("[new, k]"));
    assert_eq!(github(&daemon, "/github", "1").1, "duplicate");
    daemon.rewrite(&rules("[new]"));
    assert_eq!(github(&daemon, "/github", "1"), (403, "refused".into()));
}

#[test]
fn what_is_refused_burns_nothing() {
    let rules = "
rules:
  - {name: push, endpoint: /github, verify: {hmac: {secret: k, content: '{id}.{body}', id: {header: X-Id}}}, actions: [append: push.jsonl]}
";
    let daemon = Scenario::new().rules(rules).start();
    let post = |signature: &str| {
        daemon
            .post("/github")
            .header("X-Id", "7")
            .json("{}")
            .header("X-Signature", signature)
            .send()
            .outcome()
    };
    assert_eq!(post(&hmac_hex("wrong", b"7.{}")), (403, "refused".into()));
    assert_eq!(post(&hmac_hex("k", b"7.{}")), (200, "accepted".into()));
    assert_eq!(post(&hmac_hex("k", b"7.{}")), (200, "duplicate".into()));
}

#[test]
fn a_waiting_senders_retry_is_taken_again_after_a_failure() {
    let daemon = Scenario::new()
        .script("work", "if test -e ready; then echo done-it; else echo not-yet >&2; exit 3; fi")
        .rules(
            r#"
rules:
  - name: work
    endpoint: /github
    verify: {github: {secret: k}}
    actions: [{run: [./work]}]
    respond: {wait: 10s, body: "{{ actions[0].outcome }} {{ actions[0].detail }} {{ actions[0].stdout }}{{ actions[0].stderr }}"}
"#,
        )
        .start();
    let send = || {
        daemon
            .post("/github")
            .json(fixture("github/push.json"))
            .github("k")
            .send()
    };
    let answer = send();
    assert_eq!(answer.status, 500, "{answer:?}");
    assert!(
        answer.body.contains("exit 3") && answer.body.contains("not-yet"),
        "{answer:?}"
    );
    std::fs::write(daemon.folder().join("ready"), "").unwrap();
    let answer = send();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body.contains("done-it"), "{answer:?}");
    // After its success, the event is a duplicate.
    let answer = send();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        daemon.log().matches("outcome=\"accepted\"").count(),
        2,
        "{}",
        daemon.log()
    );
}

#[test]
fn a_sender_that_waits_too_long_is_told_so_and_its_retry_waits_with_it() {
    let daemon = Scenario::new()
        .script("work", "while ! test -e ready; do sleep 0.05; done")
        .rules(
            "
rules:
  - {name: work, endpoint: /github, verify: {github: {secret: k}}, actions: [{run: [./work]}], respond: {wait: 300ms}}
",
        )
        .start();
    let send = || {
        daemon
            .post("/github")
            .json(fixture("github/push.json"))
            .github("k")
            .send()
            .outcome()
    };
    assert_eq!(send(), (504, "pending".into()));
    assert_eq!(send(), (504, "pending".into()));
    std::fs::write(daemon.folder().join("ready"), "").unwrap();
    daemon.eventually("the first ends", || send() == (200, "duplicate".into()));
}

/// GitHub's event with this name in its header, on a path.
fn named(daemon: &Daemon, path: &str, event: &str, body: &str) -> Answer {
    let sending = daemon.post(path).header("X-GitHub-Event", event);
    sending.json(body).github("k").send()
}

/// The outcome from the response header.
fn outcome(answer: &Answer) -> String {
    answer.header("x-hookyard-status").unwrap_or_default().to_owned()
}

const TWO_EVENTS: &str = "
rules:
  - {name: push, endpoint: /github, verify: {github: {secret: k}}, match: {event: push}, actions: [append: push.txt]}
  - {name: release, endpoint: /github, verify: {github: {secret: k}}, match: {event: release}, actions: [append: release.txt]}
";

#[test]
fn a_captured_request_fires_no_other_rule_by_another_event_header() {
    let mut daemon = Scenario::new().rules(TWO_EVENTS).start();
    let first = named(&daemon, "/github", "push", "{}");
    assert_eq!(outcome(&first), "accepted");
    // Unchanged, the event is a duplicate. With another event name it runs nothing, now and after a
    // crash.
    for _ in 0..2 {
        assert_eq!(outcome(&named(&daemon, "/github", "push", "{}")), "duplicate");
        let altered = named(&daemon, "/github", "release", "{}");
        assert_eq!(
            (altered.status, altered.word(), outcome(&altered)),
            (200, "altered".into(), "altered".into())
        );
        daemon.eventually("it is logged as what it is", || {
            let log = daemon.log();
            log.contains("outcome=\"altered\"") && log.contains("another `x-github-event`")
        });
        daemon.kill();
        daemon.start();
    }
    daemon.eventually("the line is appended", || daemon.lines("push.txt") == 1);
    assert_eq!(daemon.lines("release.txt"), 0);
    // The list shows it. A kill may have taken the records before.
    assert_eq!(outcome(&named(&daemon, "/github", "release", "{}")), "altered");
    let listed = || daemon.scenario.arrivals(&["--outcome", "altered"]);
    daemon.eventually("it is listed", || !listed().is_empty());
    let reason = listed()[0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("the same signed content came as"), "{reason}");
    // A genuine event of that name runs.
    assert_eq!(
        outcome(&named(&daemon, "/github", "release", "{\"a\": 1}")),
        "accepted"
    );
}

#[test]
fn what_is_altered_runs_nothing_also_where_duplicates_run_and_is_409_where_they_are() {
    for (setting, status) in [("run", 200), ("reject", 409)] {
        let rules = TWO_EVENTS.replace("actions", &format!("on_duplicate: {setting}, actions"));
        let daemon = Scenario::new().rules(&rules).start();
        assert_eq!(outcome(&named(&daemon, "/github", "push", "{}")), "accepted");
        let altered = named(&daemon, "/github", "release", "{}");
        assert_eq!((altered.status, outcome(&altered)), (status, "altered".into()));
    }
}

#[test]
fn a_captured_request_that_was_ignored_fires_nothing_with_another_header() {
    let daemon = Scenario::new().rules(TWO_EVENTS).start();
    assert_eq!(outcome(&named(&daemon, "/github", "star", "{}")), "ignored");
    assert_eq!(outcome(&named(&daemon, "/github", "push", "{}")), "altered");
    assert_eq!(daemon.lines("push.txt"), 0);
}

#[test]
fn an_ignored_event_fires_byte_for_byte_once_the_rules_are_fixed() {
    let mut daemon = Scenario::new().rules(TWO_EVENTS).start();
    assert_eq!(outcome(&named(&daemon, "/github", "star", "{}")), "ignored");
    daemon.rewrite(&TWO_EVENTS.replace("event: release", "event: star, header.X-New: {exists: false}"));
    // Also after a restart. A header that no rule read at that time is ignored.
    assert_eq!(daemon.stop(), Some(0));
    daemon.start();
    assert_eq!(outcome(&named(&daemon, "/github", "push", "{}")), "altered");
    assert_eq!(outcome(&named(&daemon, "/github", "star", "{}")), "accepted");
    assert_eq!(outcome(&named(&daemon, "/github", "star", "{}")), "duplicate");
}

#[test]
fn a_captured_request_fires_no_other_rule_by_another_content_type() {
    // As text, the same bytes have none of the fields that they have as JSON.
    let rules = "
rules:
  - {name: json, endpoint: /in, verify: {hmac: {secret: k}}, match: {$.draft: true}, actions: [append: json.txt]}
  - {name: text, endpoint: /in, verify: {hmac: {secret: k}}, match: {$.draft: {exists: false}}, actions: [append: text.txt]}
";
    let daemon = Scenario::new().rules(rules).start();
    let body = r#"{"draft": true}"#;
    let post = |kind: &str| {
        let sending = daemon.post("/in").header("Content-Type", kind).body(body);
        let signature = hmac_hex("k", body.as_bytes());
        outcome(&sending.header("X-Signature", &signature).send())
    };
    assert_eq!(post("application/json"), "accepted");
    assert_eq!(post("text/plain"), "altered");
    assert_eq!(post("application/json"), "duplicate");
    assert_eq!(daemon.lines("text.txt"), 0);
}

#[test]
fn a_captured_request_fires_nothing_with_another_header_at_another_place() {
    let rules = "
rules:
  - {name: push, endpoint: '/github/{env}', verify: {github: {secret: k}}, match: {event: push, query.x: {exists: false}}, actions: [append: push.txt]}
  - {name: release, endpoint: '/github/{env}', verify: {github: {secret: k}}, match: {event: release}, actions: [append: release.txt]}
";
    let daemon = Scenario::new().rules(rules).start();
    let send = |path: &str, event: &str| outcome(&named(&daemon, path, event, "{}"));
    assert_eq!(send("/github/staging", "push"), "accepted");
    assert_eq!(send("/github/prod", "release"), "altered");
    assert_eq!(send("/github/staging?x=1", "release"), "altered");
    assert_eq!(send("/github/prod", "push"), "accepted");
}

#[test]
fn a_header_that_no_rule_reads_makes_no_difference() {
    let daemon = Scenario::new().rules(TWO_EVENTS).start();
    let send = |id: &str| {
        let sending = daemon.post("/github").header("X-GitHub-Event", "push");
        outcome(&sending.header("X-Request-Id", id).json("{}").github("k").send())
    };
    assert_eq!(send("1"), "accepted");
    assert_eq!(send("2"), "duplicate");
}

#[test]
fn webhooks_that_differ_in_path_parameter_or_query_are_two_events() {
    let rules = "
rules:
  - {name: deploy, endpoint: '/deploy/{env}', verify: {github: {secret: k}}, actions: [append: deploy.txt]}
  - {name: query, endpoint: /query, verify: {github: {secret: k}}, match: {query.env: [prod, staging]}, actions: [append: query.txt]}
";
    let mut daemon = Scenario::new().rules(rules).start();
    let send = |daemon: &Daemon, path: &str| outcome(&named(daemon, path, "push", "{}"));
    for (path, expected) in [
        ("/deploy/prod", "accepted"),
        ("/deploy/staging", "accepted"),
        ("/deploy/prod", "duplicate"),
        // The same parameter with another spelling.
        ("/deploy/%70rod", "duplicate"),
        ("/deploy/staging", "duplicate"),
        ("/query?env=prod", "accepted"),
        ("/query?env=staging", "accepted"),
        ("/query?env=prod", "duplicate"),
        ("/query?env=%70rod", "duplicate"),
        // A part that no rule reads does not make a new event.
        ("/query?env=prod&x=1", "duplicate"),
        // A repeated parameter is one event, whatever its values.
        ("/query?env=prod&env=1", "accepted"),
        ("/query?env=prod&env=2", "duplicate"),
        ("/query?env=3&env=prod", "duplicate"),
        ("/query?env=prod&env=prod&env=staging", "duplicate"),
        ("/query?x=2&env=staging", "duplicate"),
        ("/deploy/prod?x=1", "duplicate"),
    ] {
        assert_eq!(send(&daemon, path), expected, "{path}");
    }
    // Also if the rules read other parts by now.
    daemon.rewrite(&rules.replace(
        "query.env: [prod, staging]",
        "any: [{query.env: prod}, {query.x: {exists: true}}]",
    ));
    assert_eq!(send(&daemon, "/query?env=prod"), "duplicate");
    assert_eq!(send(&daemon, "/query?env=prod&x=1"), "accepted");
    daemon.eventually("all lines are appended", || {
        daemon.lines("deploy.txt") == 2 && daemon.lines("query.txt") == 4
    });
    daemon.kill();
    daemon.start();
    assert_eq!(send(&daemon, "/query?env=prod&x=1"), "duplicate");
}

#[test]
fn a_senders_retry_with_a_new_time_is_recognised_by_its_id() {
    let daemon = Scenario::new().rules(&slack_rules("")).start();
    let body = br#"{"event_id": "Ev1", "event": {"type": "message"}}"#;
    assert_eq!(slack(&daemon, now() - 60, body).1, "accepted");
    assert_eq!(slack(&daemon, now(), body).1, "duplicate");
    let other = br#"{"event_id": "Ev2", "event": {"type": "message"}}"#;
    assert_eq!(slack(&daemon, now(), other).1, "accepted");
    // Other requests of this sender have no id on the same URL. Their signature identifies them.
    let form = fixture("slack/command.form");
    let at = now();
    assert_eq!(slack(&daemon, at, &form).1, "accepted");
    assert_eq!(slack(&daemon, at, &form).1, "duplicate");
    for body in [&b"{\"event_id\": null}"[..], b"{\"event_id\": {}}", b"[]", b"{"] {
        let (status, word) = slack(&daemon, now(), body);
        assert!(
            (status, &*word) == (200, "accepted") || (status, &*word) == (400, "invalid payload"),
            "{status} {word}"
        );
        assert!(status == 200 || body == b"{", "{status} {word}");
    }
}

#[test]
fn an_id_counts_where_it_is_and_may_stand_in_several_places() {
    let rules = "
rules:
  - name: work
    endpoint: /in
    verify: {hmac: {secret: k, content: '{timestamp}.{body}', timestamp: {}, id: [{json: $.id}, {json: $.event.id}]}}
    actions: [append: in.txt]
  - {name: token, endpoint: /token, verify: {gitlab: {secret: k}}, actions: [append: token.txt]}
";
    let daemon = Scenario::new().rules(rules).start();
    let post = |at: i64, body: &str| {
        let signature = hmac_hex("k", format!("{at}.{body}").as_bytes());
        let sending = daemon.post("/in").header("X-Timestamp", &at.to_string());
        outcome(&sending.header("X-Signature", &signature).json(body).send())
    };
    let at = now();
    for (body, again) in [
        (r#"{"id": 7}"#, "duplicate"),
        (r#"{"event": {"id": "e"}}"#, "duplicate"),
        (r#"{"none": 1}"#, "accepted"),
    ] {
        assert_eq!(post(at, body), "accepted", "{body}");
        assert_eq!(post(at, body), "duplicate", "{body}");
        assert_eq!(post(at - 1, body), again, "{body}");
    }
    // Nothing is signed here, so only the id identifies an event.
    let gitlab = |key: Option<&str>| {
        let sending = daemon.post("/token").header("X-Gitlab-Token", "k").json("{}");
        outcome(
            &key.iter()
                .fold(sending, |sending, key| sending.header("Idempotency-Key", key))
                .send(),
        )
    };
    assert_eq!(gitlab(Some("1")), "accepted");
    assert_eq!(gitlab(Some("1")), "duplicate");
    assert_eq!(gitlab(Some("2")), "accepted");
    assert_eq!(gitlab(None), "accepted");
}

#[test]
fn an_id_that_is_not_signed_lets_no_replay_in() {
    let rules = "
rules:
  - {name: work, endpoint: /in, verify: {hmac: {secret: k, id: {header: X-Id}}}, actions: [append: in.txt]}
";
    let daemon = Scenario::new().rules(rules).start();
    let post = |id: &str| {
        let sending = daemon.post("/in").header("X-Id", id).json("{}");
        outcome(&sending.header("X-Signature", &hmac_hex("k", b"{}")).send())
    };
    assert_eq!(post("1"), "accepted");
    assert_eq!(post("2"), "duplicate");
}

#[test]
fn a_duplicate_that_only_its_content_tells_is_warned_of() {
    let daemon = Scenario::new().rules(&github_rules("")).start();
    assert_eq!(github(&daemon, "/github", "1").1, "accepted");
    assert!(!daemon.log().contains("on_duplicate"), "{}", daemon.log());
    for _ in 0..5 {
        assert_eq!(github(&daemon, "/github", "1").1, "duplicate");
    }
    daemon.eventually("it is warned of", || daemon.log().contains("on_duplicate: run"));
    let log = daemon.log();
    let warnings: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("on_duplicate: run"))
        .collect();
    assert!(
        !warnings.is_empty() && warnings.len() < 5,
        "not one for each: {log}"
    );
    assert!(
        warnings[0].contains(" WARN ") && warnings[0].contains("`timestamp`"),
        "{log}"
    );
    // If a time is signed, the same content is a duplicate.
    let daemon = Scenario::new().rules(&slack_rules("")).start();
    let at = now();
    assert_eq!(slack(&daemon, at, b"a=1").1, "accepted");
    assert_eq!(slack(&daemon, at, b"a=1").1, "duplicate");
    assert!(!daemon.log().contains("on_duplicate"), "{}", daemon.log());
}

/// Diagnostics of `check`: severity, code and message.
fn check(rules: &str) -> Vec<(String, String, String)> {
    let scenario = Scenario::new().rules(rules);
    let output = scenario.hookyard(&["check", "--format", "json"]);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let diagnostics = found["diagnostics"].as_array().unwrap().iter();
    let text = |diagnostic: &serde_json::Value, key: &str| diagnostic[key].as_str().unwrap().to_owned();
    diagnostics
        .map(|diagnostic| {
            (
                text(diagnostic, "severity"),
                text(diagnostic, "code"),
                text(diagnostic, "message"),
            )
        })
        .filter(|(_, code, _)| code != "secret")
        .collect()
}

#[test]
fn check_notes_what_rules_read_and_no_signature_covers() {
    let rule = |endpoint: &str, verify: &str, more: &str| {
        format!(
            "rules:\n  - {{name: r, endpoint: '{endpoint}', verify: {verify}, {more}, actions: [append: r.txt]}}\n"
        )
    };
    let github = "{github: {secret: k}}";
    let hmac = "{hmac: {secret: k, timestamp: {}, content: '{timestamp}.{header:X-Env}.{body}'}}";
    for (text, read) in [
        (
            rule("/a", github, "match: {event: push}"),
            Some("reads `header.x-github-event`"),
        ),
        (
            rule("/a/{b}", github, "match: {path.b: x}"),
            Some("reads the path"),
        ),
        (rule("/a", github, "match: {query.b: x}"), Some("reads `query.b`")),
        (
            rule("/a", github, "match: {method: POST}"),
            Some("reads the method"),
        ),
        (
            rule("/a", github, "concurrency: {group: '{{ headers.x_b }}'}"),
            Some("reads `header.x-b` and `header.x_b`"),
        ),
        (
            rule("/a", github, "respond: {body: '{{ query[payload.x] }}'}"),
            Some("reads the query"),
        ),
        (rule("/a", github, "match: {$.a: 1}"), None),
        (rule("/a", github, "match: {header.X-Hub-Signature: x}"), None),
        // Signed parts, or a scheme that signs nothing.
        (
            rule(
                "/a",
                hmac,
                "match: {header.X-Env: prod, header.X-Timestamp: {exists: true}}",
            ),
            None,
        ),
        (
            rule(
                "/a",
                "{token: {header: X-T, secret: k, id: {query: id}}}",
                "match: {query.b: x}",
            ),
            None,
        ),
        (rule("/a", "none", "match: {query.b: x}"), None),
    ] {
        let found = check(&text);
        match read {
            None => assert_eq!(found, [], "{text}"),
            Some(read) => assert!(
                found.len() == 1
                    && found[0].0 == "note"
                    && found[0].1 == "unsigned-part"
                    && found[0].2.contains(read),
                "{text}: {found:#?}"
            ),
        }
    }
    let signed =
        rule("/a", "{square: {secret: k}}", "match: {query.b: x, path.c: y}").replace("/a", "/a/{c}");
    let signed = format!("server: {{listen: 127.0.0.1:0, public_url: 'https://h'}}\n{signed}");
    assert_eq!(check(&signed), []);
}

#[test]
fn check_notes_where_the_same_content_may_be_another_event() {
    let rule = |verify: &str, more: &str| {
        format!("rules:\n  - {{name: r, endpoint: /a, verify: {verify}{more}, actions: [append: r.txt]}}\n")
    };
    for (text, noted) in [
        (rule("{hmac: {secret: k}}", ""), true),
        (rule("{dropbox: {secret: k}}", ""), true),
        (rule("{grafana: {secret: k}}", ""), true),
        (rule("{hmac: {secret: k}}", ", on_duplicate: run"), false),
        (rule("{hmac: {secret: k}}", ", on_duplicate: ignore"), false),
        (
            rule(
                "{hmac: {secret: k, content: '{timestamp}.{body}', timestamp: {}}}",
                "",
            ),
            false,
        ),
        (rule("{hmac: {secret: k, id: {json: $.id}}}", ""), false),
        (rule("{github: {secret: k}}", ""), false),
        (rule("none", ""), false),
    ] {
        let found = check(&text);
        assert_eq!(found.len(), usize::from(noted), "{text}: {found:#?}");
        assert!(
            found
                .iter()
                .all(|(severity, code, _)| severity == "note" && code == "repeated-content")
        );
    }
    // `explain` mentions the duplicates, too.
    let scenario = Scenario::new().rules(&rule("{hmac: {secret: k}}", ""));
    let output = scenario.hookyard(&["explain", "rules.yaml", "--endpoint", "/a"]);
    let text = crate::scenario::said(&output);
    assert!(
        text.contains(
            "recognised by the signed content, runs nothing if it comes again; if the sender signs"
        ),
        "{text}"
    );
}

#[test]
fn a_handshake_that_signs_for_strangers_shares_no_secret_with_what_believes_it() {
    let rules = |endpoint: &str, verify: &str| {
        format!(
            "rules:\n  - {{name: x, endpoint: /x, verify: {{x: {{secret: k}}}}, actions: [append: x.txt]}}\n  - {{name: other, endpoint: {endpoint}, verify: {verify}, on_duplicate: run, actions: [append: o.txt]}}\n"
        )
    };
    for (endpoint, verify, severity) in [
        ("/x", "{hmac: {secret: k}}", Some("error")),
        ("/o", "{hmac: {secret: k}}", Some("warning")),
        ("/o", "{github: {secret: [other, k]}}", Some("warning")),
        ("/x", "{hmac: {secret: other}}", None),
        ("/x", "{hmac: {secret: k, algorithm: sha1}}", None),
        (
            "/x",
            "{hmac: {secret: k, content: '{timestamp}.{body}', timestamp: {}}}",
            None,
        ),
        (
            "/x",
            "{hmac: {secret: k, content: '{timestamp}{body}', timestamp: {}}}",
            Some("error"),
        ),
        ("/x", "{slack: {secret: k}}", None),
        ("/o", "{x: {secret: k}}", None),
        ("/x", "{token: {header: X-T, secret: k}}", None),
    ] {
        let found = check(&rules(endpoint, verify));
        let found: Vec<_> = found.iter().filter(|(_, code, _)| code == "handshake").collect();
        let severities: Vec<&str> = found.iter().map(|(severity, ..)| severity.as_str()).collect();
        let expected: Vec<&str> = severity.into_iter().collect();
        assert_eq!(severities, expected, "{endpoint} {verify}: {found:#?}");
    }
}
