//! `hookyard events`: shows, replays and drops deliveries, while the daemon runs and while it is
//! stopped.

use std::io::{BufRead, BufReader};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use hookyard::sys::account::own_name;
use serde_json::Value;

use crate::scenario::{Daemon, Scenario, rules_text};

/// A rule whose program fails until there is a file `mended`.
const RULES: &str = r#"
rules:
  - name: deploy
    endpoint: /in
    verify: none
    match: {$.ref: {exists: true}}
    actions:
      - {append: first.jsonl, line: "replay {{ replay }}"}
      - run: [/bin/sh, -c, "echo trying $HOOKYARD_REPLAY; echo no luck >&2; test -e mended"]
    retry: {attempts: 1}
  - {name: record, endpoint: /in, verify: none, actions: [append: record.jsonl]}
"#;

fn text(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Runs `hookyard events …` for its JSON.
fn events(scenario: &Scenario, arguments: &[&str]) -> (Option<i32>, Value) {
    let arguments = [&["events"], arguments, &["--format", "json"]].concat();
    let (code, stdout, stderr) = text(&scenario.hookyard(&arguments));
    let json = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"));
    (code, json)
}

/// The listed deliveries, newest first: rule, state, replays.
fn listed(scenario: &Scenario, arguments: &[&str]) -> Vec<(String, String, u64)> {
    let rows = scenario.deliveries(arguments);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    rows.iter()
        .map(|row| {
            (
                text(&row["rule"]),
                text(&row["state"]),
                row["replays"].as_u64().unwrap(),
            )
        })
        .collect()
}

fn row(rule: &str, state: &str, replays: u64) -> (String, String, u64) {
    (rule.to_owned(), state.to_owned(), replays)
}

/// Sends an event. Returns its id.
fn post(daemon: &Daemon, body: &str) -> String {
    let answer = daemon.post("/in").json(body).send();
    let json: Value = serde_json::from_str(&answer.body).unwrap();
    json["id"].as_str().unwrap().to_owned()
}

/// A daemon with one event, dead for the rule `deploy` and done for `record`. Also returns the
/// event's id.
fn with_dead_letter() -> (Daemon, String) {
    let daemon = Scenario::new().rules(RULES).start();
    let id = post(&daemon, r#"{"ref": "main", "n": 1}"#);
    daemon.eventually("it is dead", || {
        listed(&daemon.scenario, &[]) == [row("record", "done", 0), row("deploy", "dead", 0)]
    });
    (daemon, id)
}

/// Id of the only dead delivery.
fn dead_letter(scenario: &Scenario) -> String {
    let dead = scenario.deliveries(&["--state", "dead"]);
    dead[0]["delivery"].as_str().unwrap().to_owned()
}

#[test]
fn a_dead_letter_is_replayed_while_the_daemon_runs_once_its_cause_is_mended() {
    let (daemon, event) = with_dead_letter();
    let delivery = dead_letter(&daemon.scenario);
    // Dry run only.
    let (code, told) = events(&daemon.scenario, &["replay", "--dead", "--dry-run"]);
    assert_eq!(
        (code, told["replayed"].as_u64(), told["dry_run"].as_bool()),
        (Some(0), Some(1), Some(true))
    );
    assert_eq!(listed(&daemon.scenario, &["--state", "dead"]).len(), 1);

    std::fs::write(daemon.folder().join("mended"), "").unwrap();
    let begun = Instant::now();
    let (code, done) = events(&daemon.scenario, &["replay", &delivery]);
    assert_eq!((code, done["replayed"].as_u64()), (Some(0), Some(1)));
    daemon.eventually("it is done", || {
        listed(&daemon.scenario, &["--rule", "deploy"]) == [row("deploy", "done", 1)]
    });
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    // From the first action on. The other rule's delivery was not touched.
    assert_eq!(daemon.read("first.jsonl"), "replay 0\nreplay 1\n");
    assert_eq!(daemon.lines("record.jsonl"), 1);

    let (_, shown) = events(&daemon.scenario, &["show", &event]);
    let outcomes: Vec<&str> = shown["deliveries"][0]["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| attempt["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["done", "failed", "replayed", "done", "done"]);
    assert_eq!(shown["deliveries"][0]["attempts"][4]["stdout"], "trying 1\n");
    // No delivery is left to replay.
    let (code, none) = events(&daemon.scenario, &["replay", "--dead"]);
    assert_eq!((code, none["replayed"].as_u64()), (Some(1), Some(0)));
}

#[test]
fn a_dead_letter_is_replayed_while_the_daemon_is_stopped_or_killed_by_the_rules_of_the_next_start() {
    let mended = "
rules:
  - {name: deploy, endpoint: /in, verify: none, actions: [append: mended.jsonl]}
";
    for killed in [false, true] {
        let (mut daemon, _) = with_dead_letter();
        if killed {
            daemon.kill();
        } else {
            assert_eq!(daemon.stop(), Some(0));
        }
        let text_of_rules = rules_text(daemon.folder(), mended);
        std::fs::write(daemon.folder().join("rules.yaml"), text_of_rules).unwrap();
        let arguments = ["events", "replay", "--dead", "--rule", "deploy", "--since", "1h"];
        let (code, stdout, stderr) = text(&daemon.scenario.hookyard(&arguments));
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        assert!(stdout.ends_with("\n\n1 delivery replayed\n"), "{stdout}");
        assert_eq!(
            listed(&daemon.scenario, &["--state", "waiting"]),
            [row("deploy", "waiting", 1)]
        );
        daemon.start();
        daemon.eventually("it is done", || daemon.lines("mended.jsonl") == 1);
    }
}

#[test]
fn show_prints_what_arrived_what_the_rules_make_of_it_and_every_attempt() {
    let (daemon, event) = with_dead_letter();
    let answer = daemon
        .post("/in?a=b")
        .header("X-Odd", "caf\u{e9}")
        .header("Authorization", "Bearer hunter2")
        .body("\u{1b}[31mred")
        .send();
    let json: Value = serde_json::from_str(&answer.body).unwrap();
    let (code, stdout, _) = text(&daemon.scenario.hookyard(&["events", "show", &event]));
    assert_eq!(code, Some(0), "{stdout}");
    for part in [
        &format!("event {event}\nreceived "),
        " from 127.0.0.1\nendpoint /in\noutcome accepted, answered 200\ndecided by generation 1 of the rules (sha256 ",
        "\n  yes deploy\n  yes record\n\nPOST /in\nhost: hooks.test\ncontent-type: application/json\n",
        "\n  | {\n  |   \"n\": 1,\n  |   \"ref\": \"main\"\n  | }\n",
        " to deploy\ndead, at action 2, attempt 1: exit 1\n",
        " action 1, attempt 1: done, ",
        " action 2, attempt 1: failed, exit 1, in ",
        "\n    stdout | trying 0\n    stderr | no luck\n",
        " to record\ndone, at action 1, attempt 1\n",
        "\nby the rules as they are now:\nyes deploy: ",
        "\nyes record: ",
    ] {
        assert!(stdout.contains(part), "{part:?} is not in:\n{stdout}");
    }
    let other = json["id"].as_str().unwrap();
    let (code, stdout, _) = text(&daemon.scenario.hookyard(&["events", "show", other]));
    assert_eq!(code, Some(0));
    assert!(
        stdout.contains("POST /in?a=b") && stdout.contains("\\u001b[31mred"),
        "{stdout}"
    );
    assert!(stdout.contains("no  deploy: "), "{stdout}");
    assert!(
        !stdout.contains("hunter2") && !stdout.contains('\u{1b}'),
        "{stdout}"
    );
    // If the rules do not load here, everything else is still shown.
    std::fs::write(
        daemon.folder().join("rules.yaml"),
        "rules: [{name: x}]\nstore: {}\n",
    )
    .unwrap();
    let (code, stdout, _) = text(&daemon.scenario.hookyard(&["events", "show", other]));
    assert_eq!(code, Some(0));
    assert!(
        stdout.contains("no explanation: `rules.yaml` does not load here"),
        "{stdout}"
    );
}

#[test]
fn list_asks_by_rule_endpoint_state_time_and_condition() {
    let (daemon, _) = with_dead_letter();
    post(&daemon, r#"{"ref": "next", "n": 2}"#);
    post(&daemon, r#"{"n": 3}"#);
    assert_eq!(
        daemon
            .post("/in")
            .header("Content-Type", "application/json")
            .body("{")
            .send()
            .status,
        400
    );
    daemon.eventually("all is settled", || {
        listed(&daemon.scenario, &["--state", "waiting"]).is_empty()
    });
    let count = |arguments: &[&str]| listed(&daemon.scenario, arguments).len();
    assert_eq!(count(&[]), 5);
    assert_eq!(daemon.scenario.arrivals(&["--limit", "2"]).len(), 2);
    assert_eq!(count(&["--rule", "deploy"]), 2);
    assert_eq!(count(&["--endpoint", "/in", "--state", "dead"]), 2);
    assert_eq!(count(&["--endpoint", "/out"]), 0);
    assert_eq!(count(&["--since", "1h"]), 5);
    assert_eq!(count(&["--where", "$.ref: next"]), 2);
    assert_eq!(count(&["--where", "{$.n: {gt: 1}, not: {$.ref: next}}"]), 0);
    assert_eq!(count(&["--where", "{$.n: {gt: 1}, $.ref: {exists: false}}"]), 1);

    let (code, stdout, _) = text(&daemon.scenario.hookyard(&["events", "list", "--state", "dead"]));
    assert_eq!(code, Some(0));
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines.len(), 3);
    let columns: Vec<&str> = lines[0].split_whitespace().collect();
    assert_eq!(
        columns.join(" "),
        "id received at endpoint client outcome deliveries reason"
    );
    assert!(
        lines[1].ends_with("  /in       127.0.0.1  accepted  deploy dead, record done  deploy: exit 1"),
        "{stdout}"
    );

    let none = daemon.scenario.hookyard(&["events", "list", "--rule", "absent"]);
    assert_eq!(
        text(&none),
        (
            Some(1),
            String::new(),
            format!(
                "no arrival for the rule `absent` in `{}`\n",
                daemon.folder().join("hookyard.db").display()
            )
        )
    );
    for (arguments, words) in [
        (&["list", "--where", "$.ref: [main"][..], "--where:1:"),
        (
            &["list", "--where", "$.ref: {mathces: x}"],
            "unknown operator `mathces`",
        ),
        (&["list", "--since", "10"], "neither a duration nor a time"),
        (&["replay"], "name their ids, or say `--dead`"),
        (&["list", "--state", "refused"], "invalid value 'refused'"),
        (&["list", "--outcome", "lost"], "invalid value 'lost'"),
        (&["list", "--client", "somewhere"], "invalid value 'somewhere'"),
    ] {
        let output = daemon.scenario.hookyard(&[&["events"], arguments].concat());
        let (code, _, stderr) = text(&output);
        assert_eq!(
            (code, stderr.contains(words)),
            (Some(2), true),
            "{arguments:?}: {stderr}"
        );
    }
}

#[test]
fn what_was_refused_is_listed_with_its_reason() {
    let daemon = Scenario::new()
        .rules("rules:\n  - {name: r, endpoint: /r, verify: {github: {secret: k}}, actions: [append: r.jsonl]}\n")
        .start();
    assert_eq!(daemon.post("/r").json("{}").send().status, 403);
    let found = || {
        let refused = daemon.scenario.arrivals(&["--outcome", "refused"]);
        let reason = refused.first().and_then(|row| row["reason"].as_str());
        reason.unwrap_or_default().to_owned()
    };
    daemon.eventually("it is written down", || found().contains("x-hub-signature-256"));
}

#[test]
fn drop_gives_up_what_waits_and_forgets_what_has_ended() {
    let daemon = Scenario::new()
        .rules(
            r#"
rules:
  - name: slow
    endpoint: /in
    verify: none
    actions: [run: [/bin/sh, -c, "echo run >> runs; sleep 2"], append: after.jsonl]
  - name: failing
    endpoint: /failing
    verify: none
    actions: [run: [/bin/false]]
    retry: {attempts: 2, backoff: [1h]}
"#,
        )
        .start();
    post(&daemon, "{}");
    daemon.eventually("it runs", || daemon.lines("runs") == 1);
    let (code, dropped) = events(&daemon.scenario, &["drop", "--state", "waiting"]);
    assert_eq!((code, dropped["dropped"].as_u64()), (Some(0), Some(1)));
    let dropped_now = daemon.scenario.deliveries(&[]);
    assert_eq!(dropped_now[0]["reason"], format!("dropped by {}", own_name()));
    // The attempt continues to its end without effect. A replay in between runs only after that.
    assert_eq!(events(&daemon.scenario, &["replay", "--dead"]).0, Some(0));
    daemon.eventually("it is done", || {
        listed(&daemon.scenario, &[]) == [row("slow", "done", 1)]
    });
    assert_eq!((daemon.lines("runs"), daemon.lines("after.jsonl")), (2, 1));
    assert!(
        daemon
            .log()
            .contains("the delivery was dropped during its attempt"),
        "{}",
        daemon.log()
    );

    assert_eq!(daemon.post("/failing").json("{}").send().status, 200);
    daemon.eventually("it waits for its next attempt", || {
        daemon.scenario.deliveries(&["--rule", "failing"])[0]["attempt"] == 2
    });
    let output = daemon
        .scenario
        .hookyard(&["events", "replay", "--state", "waiting"]);
    let (code, stdout, stderr) = text(&output);
    assert_eq!((code, stdout.as_str()), (Some(1), "0 deliveries replayed\n"));
    assert_eq!(
        stderr,
        "1 delivery waits or is under way, and cannot be replayed\n"
    );
    // A dropped delivery is a dead letter like any other.
    for state in ["waiting", "dead", "done"] {
        let told = events(&daemon.scenario, &["drop", "--state", state, "--dry-run"]).1;
        assert_eq!(told["dropped"], 1, "{state}");
        assert_eq!(events(&daemon.scenario, &["drop", "--state", state]).0, Some(0));
    }
    assert_eq!(listed(&daemon.scenario, &[]), []);
    let (code, _, stderr) = text(&daemon.scenario.hookyard(&["store", "check"]));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_captured_event_is_explained_as_it_arrived() {
    let (daemon, event) = with_dead_letter();
    let body = daemon.scenario.hookyard(&["events", "capture", &event]);
    assert_eq!(
        String::from_utf8_lossy(&body.stdout),
        r#"{"ref": "main", "n": 1}"#
    );
    let arguments = [
        "events",
        "capture",
        &event,
        "--format",
        "json",
        "--output",
        "captured.json",
    ];
    assert_eq!(
        text(&daemon.scenario.hookyard(&arguments)),
        (Some(0), String::new(), String::new())
    );
    let explained = daemon
        .scenario
        .hookyard(&["explain", "rules.yaml", "--captured", "captured.json"]);
    let (code, stdout, stderr) = text(&explained);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(
        stdout.contains("yes deploy") && stdout.contains("yes record"),
        "{stdout}"
    );

    let answer = daemon.post("/in?x=%20").body(b"\xff\x00").send();
    let id = serde_json::from_str::<Value>(&answer.body).unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let (_, captured) = events(&daemon.scenario, &["capture", &id]);
    assert_eq!(captured["body"]["base64"], "/wA=");
    assert_eq!(captured["query"], "x=%20");
    std::fs::write(daemon.folder().join("odd.json"), captured.to_string()).unwrap();
    let explained = daemon
        .scenario
        .hookyard(&["explain", "rules.yaml", "--captured", "odd.json"]);
    assert!(text(&explained).1.contains("no  deploy"));
    let broken = daemon
        .scenario
        .hookyard(&["explain", "rules.yaml", "--captured", "rules.yaml"]);
    assert_eq!(broken.status.code(), Some(2));
}

#[test]
fn an_id_may_be_shortened_as_long_as_it_is_one_events() {
    let (daemon, first) = with_dead_letter();
    let delivery = dead_letter(&daemon.scenario);
    std::thread::sleep(Duration::from_millis(2));
    let second = post(&daemon, r#"{"n": 2}"#);
    let run = |id: &str| text(&daemon.scenario.hookyard(&["events", "show", id]));
    // A prefix that an event shares with its deliveries means the event.
    let short = &first[..13];
    assert!(!second.starts_with(short), "{first} {second}");
    let (code, stdout, _) = run(short);
    assert_eq!(
        (code, stdout.contains(&format!("event {first}"))),
        (Some(0), true)
    );
    assert!(stdout.contains(" to record"), "{stdout}");
    let (code, stdout, _) = run(&delivery);
    assert_eq!((code, stdout.contains(" to record\n")), (Some(0), false));
    let (code, stdout, stderr) = run(&first[..4]);
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(
        stderr.contains("could be any of") && stderr.contains(&first),
        "{stderr}"
    );
    for unknown in ["00000000-0000-7000-8000-000000000000", "nonsense"] {
        let (code, _, stderr) = run(unknown);
        assert_eq!(
            (code, stderr.contains("no arrival or delivery")),
            (Some(1), true),
            "{stderr}"
        );
    }
    // If one id is unknown, the others are not touched either.
    let output = daemon.scenario.hookyard(&["events", "replay", &delivery, "ffff"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        listed(&daemon.scenario, &["--state", "dead"]),
        [row("deploy", "dead", 0)]
    );
}

#[test]
fn tail_follows_what_is_new_also_across_a_restart() {
    let (mut daemon, first) = with_dead_letter();
    let arguments = [
        "events", "tail", "--lines", "1", "--rule", "record", "--format", "json",
    ];
    let mut tail = daemon
        .scenario
        .command(&arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let mut next = || {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(line["outcome"], "accepted");
        line["id"].as_str().unwrap().to_owned()
    };
    assert_eq!(next(), first);
    let second = post(&daemon, r#"{"n": 2}"#);
    assert_eq!(next(), second);
    assert_eq!(daemon.stop(), Some(0));
    daemon.start();
    let third = post(&daemon, r#"{"ref": "x", "n": 3}"#);
    assert_eq!(next(), third);
    tail.kill().unwrap();
    tail.wait().unwrap();
}

#[test]
fn a_backup_made_while_the_daemon_runs_has_the_same_rows() {
    let (mut daemon, _) = with_dead_letter();
    let output = daemon.scenario.hookyard(&["store", "backup", "copy.db"]);
    assert_eq!(text(&output).0, Some(0), "{output:?}");
    let here = events(&daemon.scenario, &["list"]);
    assert_eq!(events(&daemon.scenario, &["list", "--store", "copy.db"]), here);
    let before = std::fs::read(daemon.folder().join("copy.db")).unwrap();
    let again = daemon.scenario.hookyard(&["store", "backup", "copy.db"]);
    assert_eq!(again.status.code(), Some(2));
    assert_eq!(std::fs::read(daemon.folder().join("copy.db")).unwrap(), before);
    let (code, stdout, _) = text(
        &daemon
            .scenario
            .hookyard(&["store", "check", "--store", "copy.db"]),
    );
    assert_eq!(code, Some(0));
    assert!(
        stdout.contains("copy.db is sound: ")
            && stdout.contains("1 event; deliveries: 0 wait, 1 are done, 1 dead;"),
        "{stdout}"
    );
    let (code, _, stderr) = text(&daemon.scenario.hookyard(&["store", "vacuum"]));
    assert_eq!(
        (code, stderr.contains("is in use by process")),
        (Some(1), true),
        "{stderr}"
    );
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(
        daemon.scenario.hookyard(&["store", "vacuum"]).status.code(),
        Some(0)
    );
    assert_eq!(events(&daemon.scenario, &["list"]), here);
}

#[test]
fn a_store_that_is_missing_or_damaged_is_said_to_be_so_and_left_alone() {
    let (mut daemon, _) = with_dead_letter();
    assert_eq!(daemon.stop(), Some(0));
    let path = daemon.folder().join("hookyard.db");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[16384..].fill(0xa5);
    std::fs::write(&path, &bytes).unwrap();
    std::fs::write(daemon.folder().join("other.db"), "something else").unwrap();
    for store in ["hookyard.db", "other.db", "missing.db"] {
        for command in [
            &["events", "list"][..],
            &["events", "replay", "--dead"],
            &["events", "drop", "--dead"],
            &["events", "tail"],
            &["events", "show", "01"],
            &["store", "vacuum"],
            &["store", "backup", "copy.db"],
        ] {
            let output = daemon.scenario.hookyard(&[command, &["--store", store]].concat());
            let (code, stdout, stderr) = text(&output);
            assert_eq!(
                (code, stdout.as_str()),
                (Some(2), ""),
                "{command:?} on {store}: {stderr}"
            );
            assert!(stderr.starts_with("error: "), "{command:?} on {store}: {stderr}");
        }
    }
    let (code, stdout, stderr) = text(&daemon.scenario.hookyard(&["store", "check"]));
    assert_ne!(code, Some(0), "{stdout}{stderr}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert!(!daemon.folder().join("missing.db").exists() && !daemon.folder().join("copy.db").exists());
    // Rules that do not load here because of a missing secret still name the store.
    let rules = "store: {path: missing.db}\nrules:\n  - {name: r, endpoint: /r, verify: {github: env:UNSET}, actions: [append: r]}\n";
    std::fs::write(daemon.folder().join("other.yaml"), rules).unwrap();
    let (code, _, stderr) = text(
        &daemon
            .scenario
            .hookyard(&["events", "list", "--rules", "other.yaml"]),
    );
    assert_eq!(
        (code, stderr.contains("missing.db` cannot be opened")),
        (Some(2), true),
        "{stderr}"
    );
    let (code, _, stderr) = text(
        &daemon
            .scenario
            .hookyard(&["events", "list", "--rules", "absent.yaml"]),
    );
    assert_eq!(
        (code, stderr.contains("`--store FILE`")),
        (Some(2), true),
        "{stderr}"
    );
}
