//! `defaults:`: values for rules and actions that do not state their own.

use std::time::Duration;

use crate::scenario::{Scenario, said};

/// Output of `hookyard check` of a rules file.
fn check(text: &str) -> (Option<i32>, String) {
    let output = Scenario::new()
        .file("rules.yaml", text)
        .hookyard(&["check", "rules.yaml"]);
    (output.status.code(), said(&output))
}

#[test]
fn defaults_hold_for_all_rules_of_all_files_and_an_own_key_wins_whole() {
    let daemon = Scenario::new()
        .rules(
            "include: [more.yaml]\n\
             defaults:\n  retry: {attempts: 2, backoff: 10ms}\n  timeout: 200ms\n  on_failure: [{append: failed.log, line: '{{ rule }} {{ failure.reason }}'}]\n\
             rules:\n  - {name: slow, endpoint: /slow, verify: none, actions: [run: [sleep, '60']]}\n  \
             - {name: own, endpoint: /own, verify: none, on_failure: [], retry: {attempts: 3, backoff: 20ms}, actions: [run: ['false']]}\n  \
             - {name: action, endpoint: /action, verify: none, actions: [{run: [sh, -c, 'sleep 0.5; echo >> slept'], timeout: 10s, retry: {attempts: 1}}]}\n",
        )
        .file("more.yaml", "rules:\n  - {name: more, endpoint: /more, verify: none, actions: [run: ['false']]}\n")
        .start();
    for path in ["/slow", "/own", "/action", "/more"] {
        assert_eq!(daemon.post(path).json("{}").send().status, 200);
    }
    daemon.eventually("what fails is told", || daemon.lines("failed.log") == 2);
    let failed = daemon.read("failed.log");
    assert!(
        failed.contains("slow ") && failed.contains("timed out after 200ms") && failed.contains("more "),
        "{failed}"
    );
    daemon.eventually("an own timeout wins", || daemon.lines("slept") == 1);
    let attempts = |rule: &str| {
        let started = format!("rule=\"{rule}\" action=\"run\" attempt=");
        daemon.log().matches(&started).count()
    };
    daemon.within(Duration::from_secs(20), "an own retry wins", || {
        attempts("own") == 3
    });
    // A line of the log is written after what it tells of.
    daemon.eventually("each rule has the attempts of its nearest `retry`", || {
        (attempts("slow"), attempts("more"), attempts("action")) == (2, 2, 1)
    });
}

#[test]
fn the_nearest_of_window_and_treatment_of_duplicates_wins() {
    let daemon = Scenario::new()
        .rules(
            "defaults: {on_duplicate: reject}\nendpoints:\n  /ignoring: {on_duplicate: ignore}\n\
             rules:\n  - {name: a, endpoint: /a, verify: {hmac: {secret: only-for-this-example}}, actions: [append: a.log]}\n  \
             - {name: b, endpoint: /ignoring, verify: {hmac: {secret: only-for-this-example}}, actions: [append: b.log]}\n  \
             - {name: c, endpoint: /c, on_duplicate: run, verify: {hmac: {secret: only-for-this-example}}, actions: [append: c.log]}\n",
        )
        .start();
    let signature = crate::scenario::hmac_hex("only-for-this-example", b"{}");
    let twice = |path: &str| {
        let sending = || {
            daemon
                .post(path)
                .json("{}")
                .header("X-Signature", &signature)
                .send()
                .outcome()
        };
        assert_eq!(sending().0, 200);
        sending()
    };
    assert_eq!(twice("/a"), (409, "duplicate".to_owned()));
    assert_eq!(twice("/ignoring"), (200, "duplicate".to_owned()));
    assert_eq!(twice("/c"), (200, "accepted".to_owned()));
}

#[test]
fn a_concurrency_of_the_defaults_limits_each_rule() {
    let daemon = Scenario::new()
        .rules(
            "defaults: {concurrency: {limit: 1, overlap: skip}}\nrules:\n  \
             - {name: a, endpoint: /a, verify: none, actions: [run: [sh, -c, 'echo >> a.log; while [ ! -e go ]; do sleep 0.01; done']]}\n  \
             - {name: b, endpoint: /b, verify: none, concurrency: {limit: 2}, actions: [run: [sh, -c, 'echo >> b.log; while [ ! -e go ]; do sleep 0.01; done']]}\n",
        )
        .start();
    for path in ["/a", "/a", "/b", "/b"] {
        assert_eq!(daemon.post(path).json("{}").send().status, 200);
    }
    daemon.eventually("the own limit lets two run", || daemon.lines("b.log") == 2);
    daemon.eventually("one runs", || daemon.lines("a.log") == 1);
    daemon.eventually("the second was skipped", || {
        daemon
            .scenario
            .deliveries(&["--rule", "a", "--state", "superseded"])
            .len()
            == 1
    });
    std::fs::write(daemon.folder().join("go"), "").unwrap();
}

#[test]
fn a_wrong_default_is_found_once_at_its_place() {
    let rules = "rules:\n  - {name: a, endpoint: /a, verify: none, actions: [append: a]}\n  - {name: b, endpoint: /b, verify: none, actions: [append: b]}\n";
    for (defaults, place, message) in [
        ("{retires: {attempts: 3}}", "1:12", "unknown key `retires`"),
        ("{match: {event: push}}", "1:12", "unknown key `match`"),
        ("{retry: {attempts: 0}}", "1:30", "`attempts` is 0"),
        ("{retry: 3}", "1:19", "`retry` is a mapping"),
        ("{timeout: 0s}", "1:21", "longer than nothing"),
        ("{timeout: 5}", "1:21", "5"),
        ("{replay_window: 0s}", "1:27", "longer than nothing"),
        ("{concurrency: {limit: 0}}", "1:33", "`limit` is 0"),
        ("{on_failure: [apend: x]}", "1:25", "unknown action `apend`"),
        ("{on_failure: []}", "1:12", "a rule has 1 to 64 on_failure"),
        ("{on_duplicate: drop}", "1:26", "unknown value `drop`"),
        ("{retry: }", "1:12", "`retry` has no value"),
        ("[retry]", "1:1", "`defaults` is a mapping"),
    ] {
        let (code, found) = check(&format!("defaults: {defaults}\n{rules}"));
        assert_eq!(code, Some(1), "{defaults}: {found}");
        assert!(
            found.contains(&format!("rules.yaml:{place}\n")) && found.contains(message),
            "{defaults}: {found}"
        );
        assert!(found.contains("does not load: 1 error\n"), "{defaults}: {found}");
    }
}

#[test]
fn a_default_that_does_not_fit_a_rule_is_found_at_that_rule() {
    let rules = "rules:\n  - {name: a, endpoint: /a, verify: none, actions: [append: a]}\n  \
                 - {name: waits, endpoint: /b, verify: none, respond: {wait: true}, actions: [append: b]}\n";
    let defaults = "defaults: {concurrency: {overlap: replace}}\n";
    let (code, found) = check(&format!("{defaults}{rules}"));
    assert!(
        code == Some(1)
            && found.contains("rules.yaml:4:12")
            && found.contains("`concurrency` of `defaults` does not fit this rule: `respond.wait` waits")
            && found.contains("give the rule its own `concurrency`")
            && found.contains("1 error"),
        "{found}"
    );
    let mended = rules.replace("name: waits", "name: waits, concurrency: {limit: 2}");
    assert_eq!(check(&format!("{defaults}{mended}")).0, Some(0));
    let clash = "defaults: {on_failure: [{append: f, id: one}]}\nrules:\n  - {name: a, endpoint: /a, verify: none, actions: [{append: a, id: one}]}\n";
    let (code, found) = check(clash);
    assert!(
        code == Some(1)
            && found.contains("rules.yaml:3:12")
            && found.contains("by `on_failure` of `defaults`"),
        "{found}"
    );
}
