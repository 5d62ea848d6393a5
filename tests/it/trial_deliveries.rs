//! Groups, debouncing, answers after the actions, and elements in `hookyard test`.

use crate::scenario::Scenario;
use crate::trial::expect;

/// A rule with one command that does not exist, and these further keys.
fn rules(endpoint: &str, rule: &str) -> String {
    format!(
        "endpoints:
  /in: {{verify: {{token: {{header: X-Token, secret: env:TOKEN, id: {{header: X-Id}}}}}}{endpoint}}}
rules:
  - name: r
    endpoint: /in
    actions:
      - {{run: [/no/such/program, \"--n={{{{ payload.n }}}}\"], id: build, timeout: 60s}}
{rule}"
    )
}

#[track_caller]
fn passes(rules: &str, test: &str) {
    let scenario = Scenario::new().file("rules.yaml", rules).file(
        "rules.test.yaml",
        format!("secrets: {{env:TOKEN: a-token}}\ntests:\n  - name: a\n{test}"),
    );
    let output = scenario.hookyard(&["test"]);
    expect(&output, 0, &["rules.test.yaml: 1 test passed"]);
    let mut files: Vec<_> = std::fs::read_dir(scenario.folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    files.sort();
    assert_eq!(files, ["rules.test.yaml", "rules.yaml"], "something was written");
}

/// Three requests ten seconds apart, of which each attempt takes 15 seconds.
fn overlapping(states: [&str; 3]) -> String {
    let step = |(n, state): (usize, &str)| {
        format!(
            "      - {{after: 10s, request: {{endpoint: /in, headers: {{X-Id: '{n}'}}, json: {{n: {n}}}}}, \
             expect: {{r: {{state: {state}}}}}}}\n"
        )
    };
    let steps: String = (1..).zip(states).map(step).collect();
    format!("    steps:\n{steps}    outcomes: {{r: [{{takes: 15s}}, {{takes: 15s}}]}}\n")
}

#[test]
fn deliveries_of_a_group_queue_or_give_way_as_the_rule_says() {
    for (overlap, states) in [
        ("skip", ["done", "superseded", "done"]),
        ("replace", ["superseded", "superseded", "done"]),
    ] {
        let rule = format!("    concurrency: {{group: one, overlap: {overlap}}}\n");
        passes(&rules("", &rule), &overlapping(states));
    }
    // While the first runs for 25 seconds, two come; only the newest waits.
    let coalesce = overlapping(["done", "superseded", "done"]).replacen("takes: 15s", "takes: 25s", 1);
    passes(
        &rules("", "    concurrency: {group: one, overlap: coalesce}\n"),
        &coalesce,
    );
    let queue = overlapping(["done", "done", "done"]).replace("takes: 15s}]", "takes: 15s}, {takes: 15s}]");
    passes(&rules("", "    concurrency: {group: one}\n"), &queue);
}

#[test]
fn debounced_deliveries_wait_for_quiet() {
    let steps = "    steps:
      - {request: {endpoint: /in, headers: {X-Id: a}, json: {n: 1}}, expect: {r: {state: superseded}}}
      - {after: 20s, request: {endpoint: /in, headers: {X-Id: b}, json: {n: 2}}, expect: {r: {state: done, actions: [{run: [/no/such/program, --n=2]}]}}}
      - {after: 31s, request: {endpoint: /in, headers: {X-Id: c}, json: {n: 3}}, expect: {r: {state: done}}}
";
    passes(&rules("", "    debounce: 30s\n"), steps);
}

#[test]
fn a_sender_that_waits_gets_the_answer_of_the_outcome() {
    let wait = ", respond: {wait: 20s, body: 'built: {{ actions.build.stdout }}', \
                failed: {status: 502, body: 'no: {{ actions[0].stderr }}'}, late: {status: 202, body: later}}";
    let test = |outcome: &str, answer: &str| {
        format!(
            "    request: {{endpoint: /in, json: {{n: 1}}}}\n    outcomes: {{r: [{outcome}]}}\n    expect: {{answer: {answer}}}\n"
        )
    };
    for (outcome, answer) in [
        (
            "{stdout: v2, takes: 19s}",
            "{status: 200, outcome: done, body: 'built: v2'}",
        ),
        (
            "{exit: 3, stderr: no space}",
            "{status: 502, outcome: failed, body: 'no: no space'}",
        ),
        ("{takes: 30s}", "{status: 202, outcome: pending, body: later}"),
    ] {
        // The answers of the endpoint know no ids of a rule.
        let endpoint = wait.replace("actions.build", "actions[0]");
        passes(&rules(&endpoint, ""), &test(outcome, answer));
    }
}

#[test]
fn an_attempt_that_takes_too_long_fails_with_the_limit_of_the_action() {
    let test = "    request: {endpoint: /in, json: {n: 1}}
    outcomes: {r: [{takes: 2m}, {error: no such file}]}
    expect: {r: {state: dead, attempts: 2, reason: 'no such file, after 2 attempts'}}
";
    passes(&rules("", "    retry: {attempts: 2, backoff: [1h]}\n"), test);
}

#[test]
fn elements_have_deliveries_and_an_outcome_each() {
    let rules = rules(
        "",
        "    for_each: $.list[*]\n    match: {'@.on': true}\n    retry: {attempts: 1}\n",
    );
    let rules = rules.replace("payload.n", "item.n");
    let test =
        "    request: {endpoint: /in, json: {list: [{n: 1, on: true}, {n: 2, on: false}, {n: 3, on: true}]}}
    outcomes: {r: [{}, {exit: 1}]}
    expect:
      r:
        attempts: 2
        elements:
          - {state: done, actions: [{run: [/no/such/program, --n=1]}]}
          - {state: dead, reason: exit 1, actions: [{run: [/no/such/program, --n=3]}]}
";
    passes(&rules, test);
}

#[test]
fn outcomes_that_do_not_fit_or_are_not_used_fail() {
    let scenario = Scenario::new().file("rules.yaml", rules("", "")).file(
        "rules.test.yaml",
        "secrets: {env:TOKEN: t}
tests:
  - {name: a, request: {endpoint: /in, json: {n: 1}}, outcomes: {r: [{status: 503}]}, expect: {rules: [r]}}
  - {name: b, request: {endpoint: /in, json: {n: 1}}, outcomes: {r: [{}, {}]}, expect: {rules: [r]}}
",
    );
    let words = [
        "a: outcomes: `status` is no outcome of `run`",
        "b: outcomes: not used: `r` had only 1 attempt",
        "rules.test.yaml:3:70",
    ];
    expect(&scenario.hookyard(&["test"]), 1, &words);
}

#[test]
fn included_rules_are_tested_and_a_disabled_rule_can_be_enabled() {
    let included = "rules: [{name: more, endpoint: /more, verify: {github: file:key}, enabled: false, actions: [{append: more/a.log}]}]\n";
    let main = format!("include: [more/*.yaml]\n{}", rules("", ""));
    let scenario = Scenario::new()
        .file("rules.yaml", main)
        .file("more/a.yaml", included)
        .file(
            "rules.test.yaml",
            "secrets: {env:TOKEN: t, file:key: a-secret}
enable: more
tests:
  - {name: a, request: {endpoint: /more, as: github, event: push}, expect: {rules: [more], more: {actions: [{append: more/more/a.log}]}}}
",
        );
    expect(&scenario.hookyard(&["test"]), 0, &["1 test passed"]);
    let text = "secrets: {env:TOKEN: t, file:key: a-secret}
tests: [{name: a, request: {endpoint: /more, as: github}, expect: {not: {more: disabled}, answer: {status: 200, outcome: ignored}}}]
";
    std::fs::write(scenario.folder().join("rules.test.yaml"), text).unwrap();
    expect(&scenario.hookyard(&["test"]), 0, &["1 test passed"]);
}

#[test]
fn no_connection_and_no_key_file_of_the_rules_is_needed() {
    let rules = "server: {listen: '0.0.0.0:443', tls: {cert: absent.pem, key: absent.key}}
rules:
  - name: r
    endpoint: /in
    verify: none
    actions:
      - forward: https://internal.example/in
        tls: {ca: absent-ca.pem}
";
    let test = "    request: {endpoint: /in, json: {n: 1}}
    outcomes: {r: [{status: 503, retry_after: 30s}, {status: 200, body: ok}]}
    expect: {r: {state: done, attempts: 2, actions: [{forward: {url: https://internal.example/in, body: {$.n: 1}}}]}}
";
    let scenario = Scenario::new()
        .file("rules.yaml", rules)
        .file("rules.test.yaml", format!("tests:\n  - name: a\n{test}"));
    expect(&scenario.hookyard(&["test"]), 0, &["1 test passed"]);
}

#[test]
fn an_on_failure_action_fails_as_the_test_states() {
    let rule = "    retry: {attempts: 1}
    on_failure:
      - {forward: 'http://pager.internal/', retry: {attempts: 2}}
      - append: failures.log
";
    let test = |on_failure: &str, found: &str| {
        format!(
            "    request: {{endpoint: /in, json: {{n: 1}}}}
    outcomes: {{r: {{actions: [{{exit: 1}}], on_failure: [{on_failure}]}}}}
    expect: {{r: {{state: dead, attempts: 1, on_failure: [{found}]}}}}\n"
        )
    };
    let pager = "{forward: 'http://pager.internal/'}";
    let both = format!("{pager}, {{append: failures.log}}");
    passes(&rules("", rule), &test("{status: 503}, {status: 200}", &both));
    // The pager is down, so nothing is written.
    passes(&rules("", rule), &test("{status: 503}, {status: 503}", pager));
    for (wrong, words) in [
        ("{exit: 1}", "`exit` is no outcome of `forward`"),
        (
            "{status: 503}, {status: 503}, {status: 200}",
            "not used: on_failure of `r` had only 2 attempts",
        ),
    ] {
        let tests = format!(
            "secrets: {{env:TOKEN: a-token}}\ntests:\n  - name: a\n{}",
            test(wrong, &both)
        );
        let scenario = Scenario::new()
            .file("rules.yaml", rules("", rule))
            .file("rules.test.yaml", tests);
        expect(&scenario.hookyard(&["test"]), 1, &[words]);
    }
}

#[test]
fn a_pretended_certificate_is_compared_as_a_real_one() {
    let rules = "
server: {tls: {cert: cert.pem, key: key.pem, client_ca: clients.pem}}
rules:
  - name: r
    endpoint: /in
    verify: {client_cert: {subject: 'CN=ci,O=Acme', san: ci.example.com, id: {header: X-Id}}}
    actions: [{append: a.jsonl}]
";
    let test = |certificate: &str, expect: &str| {
        format!(
            "tests:\n  - {{name: a, request: {{endpoint: /in, {certificate}headers: {{X-Id: a}}}}, expect: {expect}}}\n"
        )
    };
    for (certificate, expected, code, words) in [
        (
            "certificate: {subject: 'O=Acme, CN=ci', san: [CI.example.com, 192.0.2.7]}, ",
            "{rules: [r]}",
            0,
            "1 test passed",
        ),
        (
            "certificate: {subject: 'CN=ci', san: ci.example.com}, ",
            "{refused: foreign-certificate}",
            0,
            "1 test passed",
        ),
        ("", "{refused: missing-certificate}", 0, "1 test passed"),
        (
            "as: client_cert, ",
            "{rules: [r]}",
            2,
            "write `certificate: {san: …}` beside `as`",
        ),
        (
            "certificate: {subject: ci}, ",
            "{rules: [r]}",
            2,
            "a subject is written `CN=ci,O=Acme`",
        ),
        (
            "certificate: {sun: a}, ",
            "{rules: [r]}",
            2,
            "did you mean `san`?",
        ),
        (
            "certificate: {san: 'ci.example.com:443'}, ",
            "{rules: [r]}",
            2,
            "no certificate can hold this name",
        ),
        (
            "certificate: {fingerprint: ab}, ",
            "{rules: [r]}",
            2,
            "64 hexadecimal digits",
        ),
        (
            "certificate: {}, ",
            "{rules: [r]}",
            2,
            "this says nothing about the certificate",
        ),
    ] {
        let scenario = Scenario::new()
            .file("rules.yaml", rules)
            .file("rules.test.yaml", test(certificate, expected));
        expect(&scenario.hookyard(&["test"]), code, &[words]);
    }
}
