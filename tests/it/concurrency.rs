//! Deliveries of one group: the limit on running ones, their order, and the treatment of further
//! ones.

use std::time::Duration;

use hookyard::sys::account::own_name;

use crate::scenario::{Daemon, Scenario, said};

/// A rule whose command logs its begin and end. The payload sets its duration, and may let it fail
/// once.
fn rule(name: &str, concurrency: &str) -> String {
    format!(
        r#"
  - name: {name}
    endpoint: /{name}
    verify: none
    concurrency: {concurrency}
    actions:
      - shell: |
          echo "begin $N" >> {name}.txt
          if [ "$FAIL" = yes ] && [ ! -e "failed-$N" ]; then touch "failed-$N"; echo "fail $N" >> {name}.txt; exit 1; fi
          i=0
          while [ ! -e go ] && [ $i -lt 1000 ]; do sleep 0.02; i=$((i+1)); done
          echo "end $N" >> {name}.txt
        env: {{N: "{{{{ payload.n }}}}", FAIL: "{{{{ payload.fail | default('') }}}}"}}
        grace: 100ms
    retry: {{attempts: 3, backoff: [300ms]}}
"#
    )
}

fn daemon(rules: &[String]) -> Daemon {
    Scenario::new()
        .rules(&format!("rules:{}", rules.concat()))
        .start()
}

fn send(daemon: &Daemon, path: &str, payload: &str) {
    let answer = daemon.post(path).json(payload).send();
    assert_eq!(answer.outcome(), (200, "accepted".to_owned()), "{payload}");
}

/// Lets the waiting commands continue.
fn go(daemon: &Daemon) {
    std::fs::write(daemon.folder().join("go"), "").unwrap();
}

fn written(daemon: &Daemon, file: &str) -> Vec<String> {
    let path = daemon.folder().join(file);
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[track_caller]
fn until(daemon: &Daemon, file: &str, lines: &[&str]) {
    daemon.eventually(&format!("{lines:?}"), || written(daemon, file) == lines);
}

#[track_caller]
fn until_logged(daemon: &Daemon, words: &str) {
    daemon.eventually(words, || daemon.log().contains(words));
}

#[test]
fn one_after_the_other_in_the_order_of_arrival_also_across_a_retry_and_a_crash() {
    let mut daemon = daemon(&[rule("deploy", "{}")]);
    send(&daemon, "/deploy", r#"{"n": 1, "fail": "yes"}"#);
    for n in 2..=4 {
        send(&daemon, "/deploy", &format!(r#"{{"n": {n}}}"#));
    }
    // The first has failed once, and keeps its turn.
    until(&daemon, "deploy.txt", &["begin 1", "fail 1", "begin 1"]);
    daemon.kill();
    daemon.start();
    go(&daemon);
    daemon.eventually("the last ends", || {
        written(&daemon, "deploy.txt")
            .last()
            .is_some_and(|line| line == "end 4")
    });
    let lines = written(&daemon, "deploy.txt");
    // The killed delivery is retried; its command may have continued. No other started before its
    // predecessor ended.
    let first: Vec<_> = lines.iter().filter(|line| line.ends_with('1')).collect();
    let others: Vec<_> = lines.iter().filter(|line| !line.ends_with('1')).collect();
    assert!(first.len() >= 4, "{lines:?}");
    assert_eq!(
        others,
        ["begin 2", "end 2", "begin 3", "end 3", "begin 4", "end 4"]
    );
    let second = lines.iter().position(|line| line == "begin 2").unwrap();
    assert!(lines[..second].iter().any(|line| line == "end 1"), "{lines:?}");
}

#[test]
fn what_comes_while_the_group_is_busy_may_be_skipped() {
    let daemon = daemon(&[rule("backup", "{overlap: skip}")]);
    send(&daemon, "/backup", r#"{"n": 1}"#);
    until(&daemon, "backup.txt", &["begin 1"]);
    send(&daemon, "/backup", r#"{"n": 2}"#);
    until_logged(&daemon, "skipped: its group was busy");
    go(&daemon);
    until(&daemon, "backup.txt", &["begin 1", "end 1"]);
    daemon.eventually("the first is settled", || daemon.log().contains(r#"next="done""#));
    send(&daemon, "/backup", r#"{"n": 3}"#);
    until(&daemon, "backup.txt", &["begin 1", "end 1", "begin 3", "end 3"]);
}

#[test]
fn what_is_under_way_is_stopped_for_the_newest() {
    let daemon = daemon(&[rule("preview", "{overlap: replace}")]);
    send(&daemon, "/preview", r#"{"n": 1}"#);
    until(&daemon, "preview.txt", &["begin 1"]);
    send(&daemon, "/preview", r#"{"n": 2}"#);
    until(&daemon, "preview.txt", &["begin 1", "begin 2"]);
    until_logged(&daemon, r#"next="superseded""#);
    go(&daemon);
    until(&daemon, "preview.txt", &["begin 1", "begin 2", "end 2"]);
    // A superseded delivery is not retried.
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(written(&daemon, "preview.txt"), ["begin 1", "begin 2", "end 2"]);
}

#[test]
fn what_has_just_failed_and_waits_to_be_tried_again_is_replaced_too() {
    // The command has failed, but a process that it left behind keeps its output open for a moment.
    let daemon = Scenario::new()
        .rules(
            r#"
rules:
  - name: p
    endpoint: /p
    verify: none
    concurrency: {overlap: replace}
    actions:
      - shell: |
          echo "begin $X" >> p.txt
          sleep 5 &
          exit "$X"
        env: {X: "{{ payload.x }}"}
    retry: {attempts: 3, backoff: [1h]}
"#,
        )
        .start();
    send(&daemon, "/p", r#"{"x": 1}"#);
    until(&daemon, "p.txt", &["begin 1"]);
    std::thread::sleep(Duration::from_millis(250));
    send(&daemon, "/p", r#"{"x": 0}"#);
    until(&daemon, "p.txt", &["begin 1", "begin 0"]);
    daemon.eventually("both have ended", || {
        states(&daemon) == ["done", "superseded superseded: a newer one has replaced it"]
    });
}

#[test]
fn a_sender_that_waits_is_told_that_another_rule_of_its_group_has_replaced_it() {
    let waiting =
        rule("slow", "{group: g}").replace("    concurrency", "    respond: {wait: 20s}\n    concurrency");
    let daemon = daemon(&[waiting, rule("fast", "{group: g, overlap: replace}")]);
    let answer = std::thread::scope(|scope| {
        let slow = scope.spawn(|| daemon.post("/slow").json(r#"{"n": 1}"#).send());
        until(&daemon, "slow.txt", &["begin 1"]);
        send(&daemon, "/fast", r#"{"n": 2}"#);
        slow.join().unwrap()
    });
    assert_eq!(answer.outcome(), (500, "failed".to_owned()));
    go(&daemon);
    until(&daemon, "fast.txt", &["begin 2", "end 2"]);
}

#[test]
fn a_sender_that_waits_for_its_turn_is_told_at_once_that_it_will_not_come() {
    let waiting =
        rule("slow", "{group: g}").replace("    concurrency", "    respond: {wait: 5m}\n    concurrency");
    let daemon = daemon(&[
        waiting,
        rule("fast", "{group: g, overlap: replace}"),
        rule("first", "{group: g}"),
    ]);
    send(&daemon, "/first", r#"{"n": 0}"#);
    until(&daemon, "first.txt", &["begin 0"]);
    let answer = std::thread::scope(|scope| {
        let slow = scope.spawn(|| daemon.post("/slow").json(r#"{"n": 1}"#).send());
        until_logged(&daemon, "endpoint=\"/slow\"");
        send(&daemon, "/fast", r#"{"n": 2}"#);
        slow.join().unwrap()
    });
    assert_eq!(answer.outcome(), (500, "failed".to_owned()));
    go(&daemon);
    until(&daemon, "fast.txt", &["begin 2", "end 2"]);
    assert!(!daemon.folder().join("slow.txt").exists());
}

#[test]
fn a_stampede_ends_in_the_first_and_the_newest() {
    let daemon = daemon(&[rule("site", "{overlap: coalesce}")]);
    send(&daemon, "/site", r#"{"n": 0}"#);
    until(&daemon, "site.txt", &["begin 0"]);
    for n in 1..=50 {
        send(&daemon, "/site", &format!(r#"{{"n": {n}}}"#));
    }
    go(&daemon);
    until(&daemon, "site.txt", &["begin 0", "end 0", "begin 50", "end 50"]);
    // The log explains the others.
    assert_eq!(
        daemon
            .log()
            .matches("superseded: a newer one waits in its place")
            .count(),
        49
    );
}

#[test]
fn rules_may_share_a_group_and_a_group_may_come_from_the_payload() {
    let by_branch = "{group: \"{{ payload.branch }}\"}";
    let daemon = daemon(&[rule("build", by_branch), rule("test", by_branch)]);
    send(&daemon, "/build", r#"{"n": 1, "branch": "main"}"#);
    until(&daemon, "build.txt", &["begin 1"]);
    // Another branch starts at once, even if it is named like a rule. The same branch waits, in any
    // rule.
    send(&daemon, "/test", r#"{"n": 2, "branch": "main"}"#);
    send(&daemon, "/test", r#"{"n": 3, "branch": "next"}"#);
    until(&daemon, "test.txt", &["begin 3"]);
    // A group with an empty name falls back to the rule's own.
    send(&daemon, "/build", r#"{"n": 4, "branch": ""}"#);
    until(&daemon, "build.txt", &["begin 1", "begin 4"]);
    until_logged(&daemon, "the name of a group has 1 to 256 bytes, this one has 0");
    send(&daemon, "/build", r#"{"n": 5, "branch": ""}"#);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(written(&daemon, "build.txt"), ["begin 1", "begin 4"]);
    go(&daemon);
    daemon.eventually("all end", || {
        let ended = |file| {
            written(&daemon, file)
                .iter()
                .filter(|line| line.starts_with("end"))
                .count()
        };
        ended("build.txt") == 3 && ended("test.txt") == 2
    });
}

#[test]
fn as_many_go_together_as_the_limit_says() {
    let daemon = daemon(&[rule("pair", "{limit: 2}")]);
    for n in 1..=3 {
        send(&daemon, "/pair", &format!(r#"{{"n": {n}}}"#));
    }
    daemon.eventually("two begin", || written(&daemon, "pair.txt").len() == 2);
    std::thread::sleep(Duration::from_millis(200));
    let mut begun = written(&daemon, "pair.txt");
    begun.sort();
    assert_eq!(begun, ["begin 1", "begin 2"]);
    go(&daemon);
    daemon.eventually("all end", || written(&daemon, "pair.txt").len() == 6);
}

#[test]
fn check_says_what_is_wrong_with_it() {
    for (concurrency, words) in [
        ("{limit: 0}", "`limit` is 0; it may be 1 to 1024"),
        ("{limit: 1025}", "`limit` is 1025; it may be 1 to 1024"),
        ("{overlap: drop}", "unknown value `drop`"),
        ("3", "`concurrency` is a mapping"),
        ("{group: '{{ nothing }}'}", "nothing"),
        (
            "{group: \"{{ secret('PATH') }}\"}",
            "the name of a group is kept in the store",
        ),
        (
            "{overlap: skip}\n    respond: {wait: true}",
            "a superseded delivery has none",
        ),
    ] {
        let scenario = Scenario::new().rules(&format!("rules:{}", rule("a", concurrency)));
        let output = scenario.hookyard(&["check"]);
        let text = said(&output);
        assert!(text.contains(words), "{concurrency}: {text}");
        assert_ne!(output.status.code(), Some(0), "{concurrency}");
    }
}

/// Rows of `hookyard events list`, newest first: state and details.
fn states(daemon: &Daemon) -> Vec<String> {
    let rows = daemon.scenario.deliveries(&[]);
    let state = |row: &serde_json::Value| {
        let words = ["state", "reason"].map(|key| row[key].as_str().unwrap_or("").to_owned());
        words.join(" ").trim_end().to_owned()
    };
    rows.iter().map(state).collect()
}

/// Id of the delivery in this row of the list.
fn delivery(daemon: &Daemon, place: usize) -> String {
    let rows = daemon.scenario.deliveries(&[]);
    rows[place]["delivery"].as_str().unwrap().to_owned()
}

#[test]
fn the_operator_sees_what_was_superseded_and_whose_turn_it_is_after_a_drop_and_a_replay() {
    let daemon = daemon(&[rule("backup", "{overlap: skip}"), rule("deploy", "{}")]);
    send(&daemon, "/backup", r#"{"n": 1}"#);
    until(&daemon, "backup.txt", &["begin 1"]);
    send(&daemon, "/backup", r#"{"n": 2}"#);
    assert_eq!(
        states(&daemon),
        ["superseded skipped: its group was busy", "waiting"]
    );
    // A replay waits for its turn, too.
    let skipped = delivery(&daemon, 0);
    let output = daemon.scenario.hookyard(&["events", "replay", &skipped]);
    assert!(output.status.success(), "{output:?}");

    send(&daemon, "/deploy", r#"{"n": 3}"#);
    until(&daemon, "deploy.txt", &["begin 3"]);
    for n in 4..=5 {
        send(&daemon, "/deploy", &format!(r#"{{"n": {n}}}"#));
    }
    // Of the waiting deliveries, drop one, then the one whose turn it is.
    for place in [1, 2] {
        let output = daemon
            .scenario
            .hookyard(&["events", "drop", &delivery(&daemon, place)]);
        assert!(output.status.success(), "{output:?}");
    }
    // The attempt at the dropped delivery continues to its end, and nothing else starts before.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(written(&daemon, "deploy.txt"), ["begin 3"]);
    assert_eq!(written(&daemon, "backup.txt"), ["begin 1"]);
    go(&daemon);
    until(&daemon, "deploy.txt", &["begin 3", "end 3", "begin 5", "end 5"]);
    until(&daemon, "backup.txt", &["begin 1", "end 1", "begin 2", "end 2"]);
    daemon.eventually("all have ended", || {
        !states(&daemon).contains(&"waiting".to_owned())
    });
    let dropped = format!("dead dropped by {}", own_name());
    assert_eq!(states(&daemon), ["done", &dropped, &dropped, "done", "done"]);
}

#[test]
fn what_waited_for_one_that_was_dropped_begins_at_the_next_start() {
    let mut daemon = daemon(&[rule("deploy", "{}")]);
    for n in 1..=2 {
        send(&daemon, "/deploy", &format!(r#"{{"n": {n}}}"#));
    }
    until(&daemon, "deploy.txt", &["begin 1"]);
    daemon.kill();
    let output = daemon
        .scenario
        .hookyard(&["events", "drop", &delivery(&daemon, 1)]);
    assert!(output.status.success(), "{output:?}");
    go(&daemon);
    daemon.start();
    daemon.eventually("the second ends", || {
        written(&daemon, "deploy.txt").contains(&"end 2".to_owned())
    });
}

#[test]
fn a_rule_that_hangs_does_not_hold_up_another_however_much_waits_for_it() {
    let record = "
  - name: record
    endpoint: /record
    verify: none
    actions: [{append: record.txt, line: \"{{ payload.n }}\"}]
";
    let slow = rule("slow", "{limit: 3}").replace("    concurrency: {limit: 3}\n", "");
    let text = format!("deliveries: {{limit: 8, per_rule: 5}}\nrules:{slow}{record}");
    let daemon = Scenario::new().rules(&text).start();
    for n in 0..200 {
        send(&daemon, "/slow", &format!(r#"{{"n": {n}}}"#));
    }
    // As many as the limit leaves free.
    daemon.eventually("four begin", || written(&daemon, "slow.txt").len() == 4);
    for n in 0..20 {
        send(&daemon, "/record", &format!(r#"{{"n": {n}}}"#));
        daemon.eventually("it is recorded", || written(&daemon, "record.txt").len() == n + 1);
    }
    assert_eq!(written(&daemon, "slow.txt").len(), 4);
    // A higher limit takes effect with the reload.
    daemon.rewrite(&text.replace("limit: 8", "limit: 64"));
    daemon.eventually("five begin", || written(&daemon, "slow.txt").len() == 5);
    go(&daemon);
    daemon.eventually("all have ended", || written(&daemon, "slow.txt").len() == 400);
}

#[test]
fn check_warns_of_a_limit_that_is_never_reached() {
    let words = "no more than 56 of one rule are ever under way at once";
    for (limit, warned) in [(57, true), (56, false)] {
        let rules = format!("rules:{}", rule("a", &format!("{{limit: {limit}}}")));
        let output = Scenario::new().rules(&rules).hookyard(&["check"]);
        let text = said(&output);
        assert_eq!(text.contains(words), warned, "{text}");
    }
    let rules = "deliveries: {limit: 0, per_rule: 1025}\nrules: []\n";
    let output = Scenario::new().rules(rules).hookyard(&["check"]);
    let text = said(&output);
    for words in ["`limit` may be 1 to 1024", "`per_rule` may be 1 to 1024"] {
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn check_warns_of_rules_that_do_not_agree_on_what_they_share() {
    let check = |rules: &str| {
        let output = Scenario::new().rules(rules).hookyard(&["check"]);
        (said(&output), output.status.code())
    };
    let group = |settings: &str| format!("{{group: site, {settings}}}");
    let rules = |settings: [&str; 2]| {
        let [first, second] = settings.map(group);
        format!("rules:{}{}", rule("a", &first), rule("b", &second))
    };
    let words = "the rule `a` has this group with limit 1 and overlap queue, this one with 2 and queue";
    let (text, code) = check(&rules(["limit: 1", "limit: 2"]));
    assert!(text.contains(words) && code == Some(0), "{text}");
    assert!(
        !check(&rules(["limit: 2", "limit: 2"]))
            .0
            .contains("has this group")
    );
    let append = |name: &str, file: &str, rotate: &str| {
        format!(
            "\n  - {{name: {name}, endpoint: /{name}, verify: none, actions: [{{append: {file}{rotate}}}]}}"
        )
    };
    let rotated = append("a", "x.log", ", rotate: {size: 1KiB, keep: 3}");
    let (text, code) = check(&format!("rules:{rotated}{}", append("b", "x.log", "")));
    assert!(
        text.contains("and rotates it otherwise") && code == Some(0),
        "{text}"
    );
    let (text, code) = check(&format!("rules:{rotated}{}", append("b", "x.log.3", "")));
    assert!(
        text.contains("becomes when it is rotated") && code == Some(1),
        "{text}"
    );
    let (text, code) = check(&format!("rules:{rotated}{}", append("b", "x.log.4", "")));
    assert_eq!(code, Some(0), "{text}");
}
