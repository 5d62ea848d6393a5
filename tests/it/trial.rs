//! `hookyard test` through the real binary.

use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use crate::scenario::{Scenario, said};

/// The rules of the examples here. Neither the program nor the host exists.
const RULES: &str = r#"
rules:
  - name: deploy-site
    endpoint: /github
    verify: {github: env:GITHUB_SECRET}
    match: {event: push, $.ref: refs/heads/main}
    concurrency: {group: "deploy {{ payload.ref }}"}
    actions:
      - run: [./deploy.sh, "{{ payload.after }}"]
      - forward: {url: https://chat.example.com/hooks/deploys, body: '{"text": {{ ("deployed " ~ payload.after) | tojson }}}'}
    retry: {attempts: 3, backoff: [10s]}
    on_failure:
      - append: failures.log
        line: "{{ failure.reason }}"
"#;

/// A push as `events capture` writes it.
const PUSH: &str = r#"{"id": "x", "received_at": "2026-11-24T12:00:00Z", "endpoint": "/github", "method": "POST",
  "path": "/github", "query": "", "client": null, "headers": [["content-type", "application/json"], ["x-github-event", "push"]],
  "body": "{\"ref\":\"refs/heads/main\",\"after\":\"abc123\",\"repository\":{\"full_name\":\"acme/site\"}}"}"#;

const HEAD: &str = "
secrets: {env:GITHUB_SECRET: it-is-a-test}
now: 2026-11-24T12:00:00Z
tests:
";

/// The tests that the manual begins with.
const TESTS: &str = r#"
  - name: a push to main deploys
    request: {endpoint: /github, as: github, event: push, json: {ref: refs/heads/main, after: abc123, repository: {full_name: acme/site}}}
    expect:
      answer: {status: 200, outcome: accepted}
      rules: [deploy-site]           # exactly these
      deploy-site:
        group: "deploy refs/heads/main"
        actions:
          - run: [./deploy.sh, abc123]
          - forward: {url: https://chat.example.com/hooks/deploys, body: {$.text: {contains: abc123}}}
  - name: another branch does not, and for the right reason
    request: {captured: fixtures/push.json, set: {$.ref: refs/heads/next}}
    expect: {rules: [], not: {deploy-site: $.ref}}
  - name: a forged one is refused
    request: {captured: fixtures/push.json, as: {github: {secret: wrong}}}
    expect: {answer: {status: 403}, refused: bad-signature}
  - name: the same push twice deploys once, and a day later again
    steps:
      - {request: {captured: fixtures/push.json}, expect: {rules: [deploy-site]}}
      - {after: 1h,  request: {captured: fixtures/push.json}, expect: {outcome: duplicate}}
      - {after: 25h, request: {captured: fixtures/push.json}, expect: {rules: [deploy-site]}}
  - name: what happens when the script fails
    request: {captured: fixtures/push.json}
    outcomes: {deploy-site: [{exit: 75}, {exit: 75}, {exit: 1, stderr: no space}]}
    expect: {deploy-site: {state: dead, attempts: 3}, on_failure: [{append: failures.log}]}
  - name: another event is ignored
    request: {captured: fixtures/push.json, event: ping}
    expect: {outcome: ignored, not: {deploy-site: event}}
"#;

/// A folder with rules and tests.
pub fn scenario(rules: &str, tests: &str) -> Scenario {
    Scenario::new()
        .file("rules.yaml", rules)
        .file("rules.test.yaml", tests)
        .file("fixtures/push.json", PUSH)
}

fn run(tests: &str, arguments: &[&str]) -> (Scenario, Output) {
    let scenario = scenario(RULES, tests);
    let output = scenario.hookyard(&[&["test"], arguments].concat());
    (scenario, output)
}

#[track_caller]
pub fn expect(output: &Output, code: i32, words: &[&str]) {
    let text = said(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in words {
        assert!(text.contains(word), "`{word}` is not in:\n{text}");
    }
}

/// Whole tests of the rules above, each of which must fail with these words.
#[track_caller]
fn fails(test: &str, words: &[&str]) {
    let (_, output) = run(&format!("{HEAD}{test}"), &[]);
    expect(&output, 1, words);
}

#[test]
fn each_line_of_the_first_example_holds() {
    let (_, output) = run(&format!("{HEAD}{TESTS}"), &["--coverage"]);
    expect(
        &output,
        0,
        &[
            "rules.test.yaml: 6 tests passed",
            "coverage: 100 %: 1 of 1 rule, 2 of 2 conditions",
        ],
    );
}

#[test]
fn a_failure_shows_expected_and_found_with_the_place_in_the_test_file() {
    let tests = format!("{HEAD}{TESTS}").replace("[./deploy.sh, abc123]", "[./deploy.sh, def]");
    let (_, output) = run(&tests, &[]);
    let expected = r#"error: a push to main deploys: deploy-site.actions[0].run[1]: expected "def", found "abc123"
  --> rules.test.yaml:14:32
   |
14 |           - run: [./deploy.sh, def]
   |                                ^^^

rules.test.yaml: 5 tests passed, 1 failed
"#;
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn each_wrong_expectation_fails() {
    let push = "request: {captured: fixtures/push.json}";
    for (expect, words) in [
        (
            "{answer: {status: 201}}",
            "answer.status: expected `201`, found `200`",
        ),
        (
            "{answer: {outcome: ignored}}",
            "answer.outcome: expected `ignored`, found `accepted`",
        ),
        (
            "{answer: {body: {$.status: done}}}",
            "found $.status: \"accepted\"",
        ),
        (
            "{answer: {headers: {content-type: text/plain}}}",
            "answer.headers.content-type",
        ),
        (
            "{answer: {headers: {x-other: a}}}",
            "expected a value, found none",
        ),
        (
            "{outcome: ignored}",
            "outcome: expected `ignored`, found `accepted`",
        ),
        (
            "{refused: bad-signature}",
            "refused: expected `bad-signature`, found `accepted`",
        ),
        ("{rules: []}", "rules: expected [], found [deploy-site]"),
        ("{not: {deploy-site: $.ref}}", "expected `$.ref`, found `matches`"),
        (
            "{on_failure: [{append: failures.log}]}",
            "expected 1 action, found 0 actions",
        ),
        (
            "{deploy-site: {state: dead}}",
            "deploy-site.state: expected `dead`, found `done`",
        ),
        (
            "{deploy-site: {attempts: 3}}",
            "deploy-site.attempts: expected `3`, found `2`",
        ),
        (
            "{deploy-site: {group: other}}",
            "found \"deploy refs/heads/main\"",
        ),
        (
            "{deploy-site: {reason: x}}",
            "deploy-site.reason: expected a value, found none",
        ),
        (
            "{deploy-site: {actions: []}}",
            "found 2 actions: [`run`, `forward`]",
        ),
        (
            "{deploy-site: {actions: [{append: x}, {forward: {method: POST}}]}}",
            "expected `append`, found `run`",
        ),
        (
            "{deploy-site: {actions: [{run: [./deploy.sh]}, {forward: {method: POST}}]}}",
            "expected 1 word, found [./deploy.sh, abc123]",
        ),
        (
            "{deploy-site: {actions: [{run: [./deploy.sh, {prefix: x}]}, {forward: {method: PUT}}]}}",
            "forward.method: expected `PUT`, found `POST`",
        ),
        (
            "{deploy-site: {actions: [{run: [./deploy.sh, abc123], cwd: /srv}, {forward: http://a/}]}}",
            "cwd: expected `/srv`, found `.`",
        ),
        (
            "{deploy-site: {actions: [{run: [./deploy.sh, abc123], env: {A: b}}, {forward: http://a/}]}}",
            "env.A: expected a value, found none",
        ),
        (
            "{deploy-site: {actions: [{run: [./deploy.sh, abc123], stdin: x}, {forward: {headers: {x-y: z}}}]}}",
            "forward.headers.x-y: expected a value, found none",
        ),
    ] {
        fails(
            &format!("  - {{name: a, {push}, expect: {expect}}}\n"),
            &[words, "0 tests passed, 1 failed"],
        );
    }
}

#[test]
fn a_wrong_test_file_is_reported_whole_with_places_and_hints() {
    let tests = r"secrts: {}
tests:
  - nam: a
    request: {endpoint: github, jsn: {}}
    expect: {rules: [deploy-sit], outcome: acepted, refused: bad-signatur, not: {x: $.a}}
  - name: b
    request: {endpoint: /github, as: githb, json: {}, body: x}
    expect: {deploy-site: {state: finished, actions: [{rn: [x]}], attempts: many}}
  - name: b
    steps: []
    outcomes: {deploy-site: [{exit: 1, status: 500}], other: []}
  - name: c
    request: {captured: absent.json}
    expect: {}
";
    let (_, output) = run(&format!("{}{tests}", "secrets: {env:GITHUB_SECRET: a}\n"), &[]);
    expect(
        &output,
        2,
        &[
            "rules.test.yaml:2:1",
            "unknown key `secrts`",
            "unknown key `nam`",
            "did you mean `name`?",
            "unknown key `jsn`",
            "unknown rule `deploy-sit`",
            "did you mean `deploy-site`?",
            "unknown outcome `acepted`",
            "did you mean `bad-signature`?",
            "unknown rule `x`",
            "`github` is not a path",
            "unknown scheme `githb`",
            "a request has one body",
            "unknown state `finished`",
            "an action has one of `run`, `shell`, `forward`, `append`",
            "a second test named `b`",
            "a test has 1 to 100 steps",
            "an attempt ends in one way",
            "unknown rule `other`",
            "cannot read `absent.json`",
            "this expects nothing",
        ],
    );
}

#[test]
fn a_list_without_its_key_is_an_error_that_says_so() {
    // As the first arrival that is captured into a new file makes it.
    let (_, output) = run("  - {name: a}\n", &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output).contains("write `tests:` above the list"),
        "{}",
        said(&output)
    );
}

#[test]
fn a_secret_that_is_not_given_is_an_error_at_its_place() {
    let (_, output) = run(
        &format!("{HEAD}{TESTS}").replace("env:GITHUB_SECRET", "env:GITHUB"),
        &[],
    );
    let missing = "error: the rules need the secret `env:GITHUB_SECRET`, and `secrets` does not give it
 --> rules.test.yaml:2:1";
    expect(
        &output,
        2,
        &[missing, "the rules do not need the secret `env:GITHUB`"],
    );
    // The errors of the tests are told as well, those that depend on the secret excepted.
    let tests = "tests:\n  - {name: a, request: {endpoint: /github, as: github, jsn: {}}, expect: {rules: [deploy-sit]}}\n";
    let (_, output) = run(tests, &[]);
    expect(
        &output,
        2,
        &[
            "the rules need the secret `env:GITHUB_SECRET`",
            "unknown key `jsn`",
            "unknown rule `deploy-sit`",
            "did you mean `deploy-site`?",
        ],
    );
    assert!(!said(&output).contains("has no key"), "{}", said(&output));
    // The variable of this process is not read.
    let scenario = scenario(RULES, "tests: []\n").env("GITHUB_SECRET", "real");
    let output = scenario.hookyard(&["test"]);
    expect(&output, 2, &["rules.test.yaml:1:1", "`env:GITHUB_SECRET`"]);
}

#[test]
fn what_is_wrong_with_the_rules_is_told_with_their_file() {
    let tests = format!("{HEAD}{TESTS}");
    let scenario = scenario(&RULES.replace("github:", "githbu:"), &tests);
    expect(
        &scenario.hookyard(&["test"]),
        2,
        &["rules.yaml:5:14", "did you mean `github`?"],
    );
    let scenario = scenario.file("rules.test.yaml", format!("{tests}  - {{nam: x}}\n"));
    let both = ["did you mean `github`?", "did you mean `name`?"];
    expect(&scenario.hookyard(&["test"]), 2, &both);
    let named = scenario.file("other.test.yaml", &tests);
    expect(
        &named.hookyard(&["test", "other.test.yaml"]),
        2,
        &["cannot read `other.yaml`"],
    );
}

#[test]
fn a_filter_chooses_tests_by_name() {
    let (scenario, output) = run(&format!("{HEAD}{TESTS}"), &["--filter", "forged"]);
    expect(&output, 0, &["1 test passed"]);
    expect(
        &scenario.hookyard(&["test", "--filter", "no such"]),
        2,
        &["no test of `rules.test.yaml` has"],
    );
    expect(
        &scenario.hookyard(&["test", "--filter", "a", "--coverage"]),
        2,
        &["cannot be used with"],
    );
}

#[test]
fn what_was_found_is_accepted_and_the_rest_of_the_file_stays() {
    let right = format!("{HEAD}{TESTS}");
    let wrong = right
        .replace("status: 200", "status: 404")
        .replace("rules: [deploy-site]           #", "rules: []           #")
        .replace("[./deploy.sh, abc123]", "[./deploy.sh]")
        .replace("attempts: 3", "attempts: 1")
        .replace("[{append: failures.log}]", "[]");
    let (scenario, output) = run(&wrong, &["--accept"]);
    expect(
        &output,
        0,
        &["rules.test.yaml: 5 expectations replaced", "6 tests passed"],
    );
    let accepted = std::fs::read_to_string(scenario.folder().join("rules.test.yaml")).unwrap();
    let expected = right.replace(
        "[{append: failures.log}]",
        "[{append: failures.log, line: \"exit 1, after 3 attempts\"}]",
    );
    assert_eq!(accepted, expected);
    // A block list becomes a list in one line.
    let begin = right.find("\n          - run").unwrap();
    let end = right.find("\n  - name: another").unwrap();
    let emptied = format!("{} []{}", &right[..begin], &right[end..]);
    let (scenario, output) = run(&emptied, &["--accept"]);
    expect(&output, 0, &["1 expectation replaced", "6 tests passed"]);
    let text = std::fs::read_to_string(scenario.folder().join("rules.test.yaml")).unwrap();
    assert!(
        text.contains("actions: [{run: [./deploy.sh, abc123]}, {forward: {url: \"https://chat.example.com/hooks/deploys\", method: POST, body: '{\"text\": \"deployed abc123\"}'}}]\n  - name: another"),
        "{text}"
    );
    expect(
        &scenario.hookyard(&["test", "--accept"]),
        0,
        &["0 expectations replaced"],
    );
}

#[test]
fn an_accepted_file_keeps_its_comments_anchors_owner_and_link() {
    let first = TESTS.split("  - name: another branch").next().unwrap();
    let right = format!("{HEAD}{first}");
    let group = "group: \"deploy refs/heads/main\"";
    assert!(right.contains(group), "{right}");
    for (written, accepted) in [
        (
            "group: 'a' # 'note'",
            "group: \"deploy refs/heads/main\" # 'note'",
        ),
        (
            "group: &a b # note",
            "group: &a \"deploy refs/heads/main\" # note",
        ),
        (
            "group: |\n          a\n          b\n        # note",
            "group: \"deploy refs/heads/main\"\n        # note",
        ),
    ] {
        let (scenario, output) = run(&right.replace(group, written), &["--accept"]);
        expect(&output, 0, &["1 expectation replaced", "1 test passed"]);
        let text = std::fs::read_to_string(scenario.folder().join("rules.test.yaml")).unwrap();
        assert_eq!(text, right.replace(group, accepted));
    }
    // A comment within a value would be lost with it.
    let list = "rules:\n        - deploy-site\n        # note\n        - deploy-site";
    let wrong = right.replace("rules: [deploy-site]", list);
    assert!(wrong.contains(list), "{wrong}");
    let (scenario, output) = run(&wrong, &["--accept"]);
    expect(
        &output,
        1,
        &["1 expectation not replaced, because a comment within would be lost"],
    );
    let file = scenario.folder().join("rules.test.yaml");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), wrong);
    // A link to the file stays a link, and the mode stays.
    let real = scenario.folder().join("real.yaml");
    std::fs::rename(&file, &real).unwrap();
    std::fs::write(&real, right.replace(group, "group: a")).unwrap();
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("real.yaml", &file).unwrap();
    expect(
        &scenario.hookyard(&["test", "--accept"]),
        0,
        &["1 expectation replaced"],
    );
    assert!(file.is_symlink());
    assert_eq!(std::fs::read_to_string(&real).unwrap(), right);
    assert_eq!(
        std::fs::metadata(&real).unwrap().permissions().mode() & 0o777,
        0o640
    );
    let names = std::fs::read_dir(scenario.folder()).unwrap();
    let hidden = names.filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with('.')
    });
    assert_eq!(hidden.count(), 0);
}

#[test]
fn an_expectation_that_says_nothing_is_an_error() {
    for nothing in ["{}", "{answer: {}}", "{rules: [deploy-site], not: {}}"] {
        let test = format!(
            "{HEAD}  - {{name: t, request: {{endpoint: /github, as: github, event: push, json: {{}}}}, expect: {nothing}}}\n"
        );
        let (_, output) = run(&test, &[]);
        expect(&output, 2, &["this expects nothing", "rules.test.yaml:"]);
    }
}

#[test]
fn coverage_names_what_no_test_has_shown() {
    let first = TESTS.split("  - name: another branch").next().unwrap();
    let (scenario, output) = run(&format!("{HEAD}{first}"), &["--coverage"]);
    expect(
        &output,
        1,
        &[
            "not covered: deploy-site: never false: event: \"push\"",
            "not covered: deploy-site: never false: $.ref: \"refs/heads/main\"",
            "1 test passed",
            "coverage: 33 %: 1 of 1 rule, 0 of 2 conditions",
        ],
    );
    expect(&scenario.hookyard(&["test"]), 0, &["1 test passed"]);
}

#[test]
fn programs_read_the_result_as_json_and_as_junit() {
    let tests = format!("{HEAD}{TESTS}").replace("attempts: 3", "attempts: 2");
    let (scenario, output) = run(&tests, &["--format", "json", "--coverage"]);
    assert_eq!(output.status.code(), Some(1));
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&result["passed"], &result["failed"]), (&5.into(), &1.into()));
    assert_eq!(result["coverage"]["percent"], 100);
    let failure = &result["tests"][4]["failures"][0];
    assert_eq!(
        (
            &failure["what"],
            &failure["expected"],
            &failure["found"],
            &failure["line"]
        ),
        (
            &"deploy-site.attempts".into(),
            &"`2`".into(),
            &"`3`".into(),
            &30.into()
        )
    );
    let output = scenario.hookyard(&["test", "--format", "junit", "--coverage"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites "),
        "{text}"
    );
    assert_eq!(text.matches("<testcase ").count(), 7);
    assert_eq!(text.matches("<failure ").count(), 1);
    assert!(text.contains("tests=\"7\" failures=\"1\" errors=\"0\""), "{text}");
    assert!(text.contains("file=\"rules.test.yaml\" line=\"27\""), "{text}");
    let broken = scenario.file("broken.test.yaml", "rules: rules.yaml\ntests: 1\n");
    let output = broken.hookyard(&["test", "broken.test.yaml", "--format", "json"]);
    assert_eq!(output.status.code(), Some(2));
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["diagnostics"].as_array().unwrap().len(), 2, "{result}");
}

#[test]
fn a_real_arrival_becomes_a_test_that_passes() {
    let daemon = scenario(RULES, "")
        .env("GITHUB_SECRET", "s3cret-of-the-daemon-s3cret")
        .start();
    let send = |body: &str, secret: &str| {
        daemon
            .post("/github")
            .header("X-GitHub-Event", "push")
            .github(secret)
            .body(body)
            .send()
    };
    let main = r#"{"ref": "refs/heads/main", "after": "abc", "note": "it's \"quoted\": é\n# no comment"}"#;
    assert_eq!(send(main, "s3cret-of-the-daemon-s3cret").status, 200);
    assert_eq!(
        send(r#"{"ref": "refs/heads/next"}"#, "s3cret-of-the-daemon-s3cret").status,
        200
    );
    assert_eq!(send(main, "wrong").status, 403);
    daemon.eventually("all are listed", || daemon.scenario.arrivals(&[]).len() == 3);
    let mut tests = HEAD.to_owned();
    for arrival in daemon.scenario.arrivals(&[]) {
        let output =
            daemon
                .scenario
                .hookyard(&["events", "capture", arrival["id"].as_str().unwrap(), "--as-test"]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        tests += std::str::from_utf8(&output.stdout).unwrap();
    }
    std::fs::write(daemon.folder().join("rules.test.yaml"), &tests).unwrap();
    let output = daemon.scenario.hookyard(&["test", "--coverage"]);
    expect(&output, 1, &["rules.test.yaml: 3 tests passed", "coverage: 66 %"]);
    assert!(
        tests.contains("rules: [deploy-site]") && tests.contains("outcome: ignored"),
        "{tests}"
    );
}

/// Rules with the names that the examples of the reference use.
const REFERENCE_RULES: &str = "
rules:
  - {name: a, endpoint: /a, verify: none, actions: [{append: a.log}]}
  - {name: b, endpoint: /b, verify: none, actions: [{append: b.log}]}
  - {name: deploy-site, endpoint: /github, verify: {github: a-secret-of-the-rules}, actions: [{append: c.log}]}
";

/// What is wrong with a test file, one line each.
fn wrong(folder: &std::path::Path, document: &serde_yaml::Value) -> Vec<String> {
    let path = folder.join("rules.test.yaml");
    std::fs::write(&path, serde_yaml::to_string(document).unwrap()).unwrap();
    let Err(found) = hookyard::trial::Suite::load(&path) else {
        return Vec::new();
    };
    let all = found.of_tests.iter().chain(&found.of_rules);
    all.map(|diagnostic| format!("{}: {}", diagnostic.code, diagnostic.message))
        .collect()
}

/// The mapping at a position of a document.
fn mapping_at<'v>(
    document: &'v mut serde_yaml::Value,
    steps: &[serde_yaml::Value],
) -> &'v mut serde_yaml::Mapping {
    let place = steps.iter().fold(document, |value, step| match step {
        serde_yaml::Value::Number(number) => &mut value[usize::try_from(number.as_u64().unwrap()).unwrap()],
        step => &mut value[step.as_str().unwrap()],
    });
    place.as_mapping_mut().unwrap()
}

#[test]
fn the_reader_accepts_exactly_the_keys_of_the_reference() {
    let scenario = scenario(REFERENCE_RULES, "");
    let folder = scenario.folder();
    for mapping in hookyard::reference::test_mappings() {
        let with = |changes: Vec<(serde_yaml::Value, serde_yaml::Value)>| {
            let mut document = mapping.frame.clone();
            let place = mapping_at(&mut document, &mapping.at);
            for (key, value) in changes {
                if value.is_null() {
                    place.remove(&key);
                } else {
                    place.insert(key, value);
                }
            }
            document
        };
        for (name, key) in &mapping.keys {
            let mut changes: Vec<_> = key.with.clone().into_iter().collect();
            changes.push((name.as_str().into(), key.example.clone()));
            let found = wrong(folder, &with(changes));
            // Nothing asks for the secret of the example.
            let found: Vec<_> = found
                .iter()
                .filter(|line| !line.starts_with("unused-secret"))
                .collect();
            assert!(found.is_empty(), "{} {name}: {found:#?}", mapping.id);
        }
        let unknown = with(vec![("hookyard_unknown".into(), 1.into())]);
        if mapping.id != "test-signer" {
            let found = wrong(folder, &unknown);
            assert!(
                found.iter().any(|line| line.contains("hookyard_unknown")),
                "{}: {found:?}",
                mapping.id
            );
            let known: Vec<_> = mapping.keys.iter().filter(|(_, key)| key.required).collect();
            for (name, _) in known {
                let found = wrong(
                    folder,
                    &with(vec![(name.as_str().into(), serde_yaml::Value::Null)]),
                );
                assert!(
                    found.iter().any(|line| line.contains(&**name)),
                    "{} {name}: {found:?}",
                    mapping.id
                );
            }
        }
    }
}

#[test]
fn a_value_that_cannot_be_set_is_an_error_at_its_path() {
    for (set, words) in [
        (
            "{$.after.x: 1}",
            "`$.after.x`: `x` needs an object, and there is `\"abc123\"`",
        ),
        ("{'$.a[3]': 1}", "`$.a[3]`: `3` needs a list, and there is `{}`"),
        ("{$..x: 1}", "`$..x` is not a singular JSONPath"),
    ] {
        let test = format!(
            "  - {{name: a, request: {{captured: fixtures/push.json, set: {set}}}, expect: {{rules: []}}}}\n"
        );
        let (_, output) = run(&format!("{HEAD}{test}"), &[]);
        expect(&output, 2, &[words, "rules.test.yaml:5:"]);
    }
}
