//! Logs: one line per request with its outcome, one per attempt; never a secret, never a payload
//! above debug.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use crate::scenario::{Answer, Daemon, Scenario, Sending, fixture};

const RULES: &str = r#"
rules:
  - name: deploy
    endpoint: /github
    verify: {github: {secret: env:SECRET}}
    match: {event: push, $.ref: refs/heads/main}
    actions:
      - forward: http://127.0.0.1:1/x
        headers: {Authorization: "Bearer {{ secret('TOKEN') }}"}
    retry: {attempts: 1}
  - {name: gitlab, endpoint: /gitlab, verify: {gitlab: {secret: env:TOKEN}}, actions: [append: gitlab.jsonl]}
"#;

fn scenario(log: &str) -> Scenario {
    Scenario::new()
        .env("SECRET", "hunter2")
        .env("TOKEN", "swordfish")
        .rules(&format!("{log}{RULES}"))
}

#[test]
fn each_arrival_and_each_attempt_has_its_line_and_a_near_miss_its_reason() {
    let daemon = scenario("").start();
    let push = String::from_utf8(fixture("github/push.json")).unwrap();
    let post = |event: &str, body: &str, secret: &str| {
        daemon
            .post("/github")
            .header("X-GitHub-Event", event)
            .json(body)
            .github(secret)
            .send()
            .outcome()
            .1
    };
    assert_eq!(post("push", &push, "hunter2"), "accepted");
    assert_eq!(
        post(
            "push",
            &push.replace("refs/heads/main", "refs/heads/next"),
            "hunter2"
        ),
        "ignored"
    );
    assert_eq!(post("push", &push, "other"), "refused");
    daemon
        .post("/gitlab")
        .header("X-Gitlab-Token", "swordfish")
        .json("{}")
        .send();
    daemon.eventually("the attempts are logged", || {
        daemon.log().matches(" attempt ").count() >= 2
    });
    let log = daemon.log();
    let line = |words: &[&str]| {
        let found = log
            .lines()
            .filter(|line| words.iter().all(|word| line.contains(word)))
            .count();
        assert_eq!(found, 1, "{words:?} in:\n{log}");
    };
    line(&[
        "arrival",
        "outcome=\"accepted\"",
        "rules=\"deploy\"",
        "endpoint=\"/github\"",
        "client=127.0.0.1",
    ]);
    line(&[
        "arrival",
        "outcome=\"ignored\"",
        "nearest rule deploy",
        "$.ref",
        "refs/heads/main",
        "refs/heads/next",
    ]);
    line(&["arrival", "outcome=\"refused\""]);
    line(&["attempt", "action=\"forward\"", "next=\"dead letter\""]);
    line(&["attempt", "action=\"append\"", "next=\"done\""]);
    let signature = crate::scenario::hmac_hex("hunter2", push.as_bytes());
    for secret in ["hunter2", "swordfish", &signature] {
        assert!(!log.contains(secret), "{secret} in:\n{log}");
    }
    assert!(!log.contains("head_commit"), "no payload above debug level");
}

#[test]
fn json_goes_to_stderr_and_to_a_rolling_file_that_is_flushed_at_the_end() {
    let mut daemon = scenario(
        "log: {level: debug, format: json, file: {path: '{dir}/hookyard.log', rotate: daily, keep: 3}}\n",
    )
    .env("JOURNAL_STREAM", "8:12345")
    .start();
    assert_eq!(daemon.post("/nowhere").send().status, 404);
    assert_eq!(daemon.stop(), Some(0));
    for line in daemon.log().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(
            line.get("timestamp").is_none(),
            "the journal stamps its lines itself: {line}"
        );
    }
    let file = std::fs::read_dir(daemon.folder())
        .unwrap()
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with("hookyard.log."))
        .expect("a file with the date in its name");
    let text = std::fs::read_to_string(file.path()).unwrap();
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(
        (last["message"].as_str(), last["level"].as_str()),
        (Some("stopped"), Some("INFO"))
    );
    assert!(last.get("timestamp").is_some());
}

/// Sends a request `times` times on one connection.
fn repeat(daemon: &Daemon, sending: &Sending, status: u16, times: usize) {
    let mut stream = daemon.connect();
    let bytes = sending.bytes();
    for _ in 0..times {
        stream.write_all(&bytes).unwrap();
        assert_eq!(Answer::read(&mut stream).unwrap().status, status);
    }
}

/// Counts the lines that contain `words`, and the suppressed lines that they report.
fn counted(log: &str, words: &str) -> (usize, usize) {
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(words)).collect();
    let left_out = |line: &&str| {
        let (_, rest) = line.split_once("left_out=")?;
        rest.split(' ').next()?.parse::<usize>().ok()
    };
    (lines.len(), lines.iter().filter_map(left_out).sum())
}

#[test]
fn a_flood_of_strangers_writes_a_bounded_number_of_lines_and_their_number_is_told() {
    const MANY: usize = 1500;
    let daemon = scenario("").start();
    let begun = Instant::now();
    let forged = daemon.post("/github").json("{}").github("wrong");
    repeat(&daemon, &forged, 403, MANY);
    repeat(&daemon, &daemon.post("/nowhere"), 404, MANY);
    repeat(&daemon, &daemon.request("GET", "/github"), 405, MANY);
    let allowed = 25 + 2 * usize::try_from(begun.elapsed().as_secs()).unwrap();
    for (words, kind) in [
        ("outcome=\"refused\"", "refused"),
        ("status=404", "no such endpoint"),
        ("status=405", "wrong method"),
    ] {
        let summary = format!("kind=\"{kind}\"");
        let lines = counted(&daemon.log(), words).0;
        assert!((20..=allowed).contains(&lines), "{words}: {lines} of {allowed}");
        daemon.eventually("every line is there or counted", || {
            let log = daemon.log();
            let (lines, left_out) = counted(&log, words);
            lines + left_out + counted(&log, &summary).1 == MANY
        });
    }
    // Lines about genuine senders are never suppressed.
    let ignored = daemon
        .post("/github")
        .header("X-GitHub-Event", "star")
        .json("{}")
        .github("hunter2");
    repeat(&daemon, &ignored, 200, 50);
    daemon.eventually("each has its line", || {
        counted(&daemon.log(), "outcome=\"ignored\"").0 == 50
    });
}

#[test]
fn a_log_file_is_bounded_in_bytes_and_closed_to_others() {
    let file = "log: {file: {path: hookyard.log, rotate: {every: never, size: 64KiB}, keep: 2}}\n";
    let mut daemon = scenario(file).start();
    let ignored = daemon
        .post("/github")
        .header("X-GitHub-Event", "star")
        .json("{}")
        .github("hunter2");
    repeat(&daemon, &ignored, 200, 1000);
    assert_eq!(daemon.stop(), Some(0));
    assert!(
        daemon.log().len() > 3 * 65536,
        "the log is too short for this test"
    );
    let mut files: Vec<_> = std::fs::read_dir(daemon.folder())
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("hookyard.log"))
        .map(|entry| entry.path())
        .collect();
    files.sort();
    assert_eq!(files.len(), 2, "{files:?}");
    for file in &files {
        let metadata = std::fs::metadata(file).unwrap();
        assert!(metadata.len() <= 65536, "{file:?}: {}", metadata.len());
        assert_eq!(metadata.permissions().mode() & 0o137, 0, "{file:?}");
        // No line is split between two files.
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.ends_with('\n') && text.starts_with("20"), "{file:?}");
    }
    assert!(std::fs::read_to_string(&files[0]).unwrap().contains("stopped"));
}

#[test]
fn a_log_file_that_is_removed_under_the_daemon_is_begun_anew() {
    let file = "log: {file: {path: hookyard.log, rotate: never}}\n";
    let daemon = scenario(file).start();
    daemon.eventually("it is written to", || {
        daemon.read("hookyard.log").contains("serving")
    });
    std::fs::remove_file(daemon.folder().join("hookyard.log")).unwrap();
    daemon.post("/nowhere").send();
    daemon.eventually("the next line is in a new file", || {
        daemon.read("hookyard.log").contains("no such endpoint")
    });
}

#[test]
fn a_path_that_nearly_leads_somewhere_has_a_hint_in_the_log_and_none_on_the_wire() {
    let daemon = scenario("").start();
    for (path, word) in [
        ("/github/", "each slash counts"),
        ("//github", "each slash counts"),
        ("/GitHub", "capital and small letters differ"),
        (
            "/hooks/github",
            "a proxy in front may have added or removed a prefix",
        ),
    ] {
        let answer = daemon.post(path).json("{}").send();
        assert_eq!(answer.outcome(), (404, "not found".to_owned()), "{path}");
        assert!(!answer.body.contains("github"), "{answer:?}");
        let path = format!("path=\"{path}\"");
        daemon.eventually("the log has the hint", || {
            let log = daemon.log();
            let mut lines = log.lines().filter(|line| line.contains(&path));
            lines.any(|line| line.contains("`/github` is an endpoint") && line.contains(word))
        });
    }
    daemon.post("/other").send();
    daemon.eventually("another path has none", || {
        let log = daemon.log();
        log.lines()
            .any(|line| line.contains("path=\"/other\"") && !line.contains("hint"))
    });
}

#[test]
fn an_endpoint_whose_rules_are_disabled_says_so() {
    let rules = "
rules:
  - {name: off, enabled: false, endpoint: /off, verify: {github: {secret: k}}, actions: [append: out.jsonl]}
";
    let daemon = Scenario::new().rules(rules).start();
    let sending = daemon.post("/off").json("{}");
    assert_eq!(sending.github("k").send().outcome(), (200, "ignored".to_owned()));
    daemon.eventually("the log says why", || {
        daemon
            .log()
            .contains("every rule of this endpoint is disabled (`enabled: false`): off")
    });
}

#[test]
fn a_forward_names_its_target_without_what_may_be_a_secret() {
    let target = crate::scenario::Target::ok();
    let rules = format!(
        "rules:\n  - {{name: a, endpoint: /a, verify: none, actions: [{{forward: \"{}/build/{{{{ secret('TOKEN') }}}}/{{{{ payload.ref }}}}?key={{{{ secret('TOKEN') }}}}\"}}]}}\n",
        target.url()
    );
    let daemon = Scenario::new().env("TOKEN", "swordfish").rules(&rules).start();
    assert_eq!(daemon.post("/a").json(r#"{"ref": "private"}"#).send().status, 200);
    let shown = format!("target=\"{}/build/…/…\"", target.url());
    daemon.eventually("the attempt names it", || daemon.log().contains(&shown));
    let log = daemon.log();
    assert!(!log.contains("swordfish") && !log.contains("private"), "{log}");
}

/// Replaces a file by something else. The daemon may create it again in between.
fn in_place_of(path: &std::path::Path, make: &[&str]) {
    crate::scenario::eventually("it is replaced", || {
        drop(std::fs::remove_file(path));
        let mut command = std::process::Command::new(make[0]);
        command
            .args(&make[1..])
            .arg(path)
            .stderr(std::process::Stdio::null());
        command.status().unwrap().success()
    });
}

#[test]
fn a_pipe_or_a_folder_in_place_of_the_log_file_is_told_and_holds_up_nothing() {
    let rules = "log: {file: {path: hookyard.log, rotate: never}}
rules: [{name: r, endpoint: /in, verify: none, actions: [append: out]}]
";
    for (make, words) in [
        (&["mkfifo"][..], "it is a named pipe, not a file"),
        (&["mkdir"], "it is a folder, not a file"),
        (&["ln", "-s", "/dev/null"], "it is a device, not a file"),
    ] {
        let mut daemon = Scenario::new().rules(rules).start();
        let path = daemon.folder().join("hookyard.log");
        let send = || daemon.post("/in").json("{}").send().status;
        let check = || {
            let output = daemon.scenario.hookyard(&["status", "--check"]);
            (output.status.code(), crate::scenario::said(&output))
        };
        assert_eq!(send(), 200);
        daemon.eventually("it is logged", || daemon.read("hookyard.log").contains("arrival"));
        in_place_of(&path, make);
        daemon.eventually("it is told", || {
            assert_eq!(send(), 200);
            daemon
                .log()
                .contains(&format!("hookyard.log` cannot be written: {words}"))
        });
        let (code, text) = check();
        assert!(code == Some(1) && text.contains(words), "{text}");
        let dropped = "\nhookyard_log_lines_dropped_total ";
        let metrics = crate::status::metrics(&daemon);
        let (_, count) = metrics.split_once(dropped).unwrap();
        assert!(!count.starts_with("0\n"), "{metrics}");
        // A daemon that starts says so, and does not start.
        assert_eq!(daemon.stop(), Some(0));
        let output = daemon.scenario.hookyard(&["serve", "rules.yaml"]);
        let text = crate::scenario::said(&output);
        assert!(!output.status.success() && text.contains(words), "{text}");
        std::fs::remove_file(&path)
            .or_else(|_| std::fs::remove_dir(&path))
            .unwrap();
        daemon.start();
        in_place_of(&path, make);
        daemon.eventually("it is told again", || {
            assert_eq!(daemon.post("/in").json("{}").send().status, 200);
            daemon.log().contains(words)
        });
        std::fs::remove_file(&path)
            .or_else(|_| std::fs::remove_dir(&path))
            .unwrap();
        daemon.eventually("it is written again", || {
            assert_eq!(daemon.post("/in").json("{}").send().status, 200);
            daemon.log().contains("hookyard.log` is written again")
        });
        let output = daemon.scenario.hookyard(&["status", "--check"]);
        assert_eq!(output.status.code(), Some(0));
        assert!(daemon.read("hookyard.log").contains("arrival"));
    }
}
