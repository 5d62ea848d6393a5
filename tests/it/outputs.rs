//! Outputs of earlier actions in templates of later ones and of answers.

use serde_json::Value;

use crate::scenario::{Scenario, Target, hmac_hex};

/// Codes and messages of the errors and warnings of `check`.
fn findings(actions: &str, more: &str) -> Vec<String> {
    let rules = format!("rules:\n  - {{name: a, endpoint: /a, verify: none{more}, actions: [{actions}]}}\n");
    let scenario = Scenario::new().script("work", "true").rules(&rules);
    let checked = scenario.hookyard(&["check", "--format", "json"]);
    let found: Value = serde_json::from_slice(&checked.stdout).unwrap();
    let found = found["diagnostics"].as_array().unwrap().iter();
    found
        .filter(|one| one["severity"] != "note")
        .map(|one| {
            format!(
                "{} {}",
                one["code"].as_str().unwrap(),
                one["message"].as_str().unwrap()
            )
        })
        .collect()
}

/// The rules of the guide, with the target of a test in place of Slack.
fn guide(target: &Target) -> String {
    let page = include_str!("../../docs/guides/post-command-output.md");
    let block = page
        .split("```yaml\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let url = block.split("url: ").nth(1).unwrap().lines().next().unwrap();
    block.replace(url, &format!("{}/hook", target.url()))
}

#[test]
fn a_command_runs_and_its_output_is_posted() {
    // The first request fails, so that the forward is tried again.
    let target = Target::new(|number| {
        let status = if number == 0 { "503 Busy" } else { "200 OK" };
        format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nRetry-After: 0\r\n\r\n")
    });
    let script =
        r#"echo >> ran; cat > body; grep -q fail body && { echo oh no >&2; exit 78; }; echo 'site "a"'"#;
    let rules = guide(&target).replace("timeout: 20m", "exit: {dead: [78]}");
    let daemon = Scenario::new()
        .env("REPORT_SECRET", "k")
        .script("deploy.sh", script)
        .rules(&rules)
        .start();
    let post = |body: &str| {
        let signature = hmac_hex("k", body.as_bytes());
        daemon
            .post("/report")
            .json(body)
            .header("X-Signature", &signature)
            .send()
    };
    let text = |index: usize| {
        let body: Value = serde_json::from_slice(target.requests()[index].body.as_ref()).unwrap();
        body["text"].as_str().unwrap().to_owned()
    };
    assert_eq!(post("{}").status, 200);
    daemon.eventually("the output is posted", || target.requests().len() == 2);
    assert_eq!(text(1), "deployed:\nsite \"a\"\n");
    assert_eq!(daemon.lines("ran"), 1);
    assert_eq!(post(r#"{"fail":1}"#).status, 200);
    daemon.eventually("the failure is posted", || target.requests().len() == 3);
    assert_eq!(text(2), "failed, exit 78:\noh no\n");
}

#[test]
fn an_output_is_kept_over_a_kill_between_the_actions() {
    let rules = r#"
rules:
  - name: two
    endpoint: /two
    verify: none
    actions:
      - {run: [./first], id: first}
      - {run: [./second], id: second, env: {OUT: "{{ actions.first.stdout | trim }}/{{ actions[0].stderr | trim }}"}}
      - {append: result.txt, line: "{{ actions.first.stdout | trim }} {{ actions.second.stdout | trim }} {{ actions | length }}"}
"#;
    let mut daemon = Scenario::new()
        .script("first", "echo >> first-ran; echo out; echo err >&2")
        .script(
            "second",
            "echo >> second-began; test -e go || sleep 30; echo \"$OUT\"",
        )
        .rules(rules)
        .start();
    daemon.post("/two").json("{}").send();
    daemon.eventually("the second begins", || daemon.lines("second-began") == 1);
    daemon.kill();
    std::fs::write(daemon.folder().join("go"), "").unwrap();
    daemon.start();
    daemon.eventually("all is done", || daemon.lines("result.txt") == 1);
    assert_eq!(daemon.read("result.txt"), "out out/err 2\n");
    assert_eq!((daemon.lines("first-ran"), daemon.lines("second-began")), (1, 2));
}

#[test]
fn a_retried_and_a_replayed_delivery_see_the_last_output() {
    let rules = r#"
rules:
  - name: two
    endpoint: /two
    verify: none
    retry: {attempts: 3, backoff: 10ms}
    actions:
      - {run: [./first], id: first}
      - {append: result.txt, line: "{{ actions.first.stdout | trim }}"}
"#;
    let script = "echo >> ran; n=$(wc -l < ran); echo run $n; test $n -gt 2";
    let daemon = Scenario::new().script("first", script).rules(rules).start();
    daemon.post("/two").json("{}").send();
    daemon.eventually("the third attempt is done", || daemon.lines("result.txt") == 1);
    let delivery = daemon.scenario.deliveries(&[])[0]["delivery"]
        .as_str()
        .unwrap()
        .to_owned();
    daemon.eventually("it has ended", || {
        daemon.scenario.deliveries(&["--state", "done"]).len() == 1
    });
    let replayed = daemon.scenario.hookyard(&["events", "replay", &delivery]);
    assert!(replayed.status.success(), "{replayed:?}");
    daemon.eventually("it is done again", || daemon.lines("result.txt") == 2);
    assert_eq!(daemon.read("result.txt"), "run 3\nrun 4\n");
}

#[test]
fn on_failure_sees_the_outputs_of_its_own_earlier_actions() {
    let rules = r#"
rules:
  - name: two
    endpoint: /two
    verify: none
    retry: {attempts: 1}
    actions: [{run: ["false"], id: work}]
    on_failure:
      - {run: [./ticket], id: ticket}
      - {append: result.txt, line: "{{ actions.ticket.stdout | trim }}: {{ failure.reason }}"}
"#;
    let daemon = Scenario::new().script("ticket", "echo T-7").rules(rules).start();
    daemon.post("/two").json("{}").send();
    daemon.eventually("the ticket is written", || daemon.lines("result.txt") == 1);
    assert_eq!(daemon.read("result.txt"), "T-7: exit 1\n");
}

#[test]
fn an_answer_names_the_actions_by_their_ids() {
    let target = Target::new(|_| "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok".to_owned());
    let rules = format!(
        r#"
rules:
  - name: all
    endpoint: /all
    verify: none
    actions:
      - {{run: [./work], id: build}}
      - {{forward: "{}", id: post}}
      - {{append: a.jsonl}}
    respond:
      wait: 10s
      body: "{{{{ actions.build.status }}}} {{{{ actions.post.status }}}} {{{{ actions.post.body }}}} {{{{ actions[2].action }}}} {{{{ actions | length }}}}"
  - name: slow
    endpoint: /slow
    verify: none
    actions: [{{run: [./work], id: build}}, {{run: [/bin/sleep, "20"], id: sleep}}]
    respond:
      wait: 700ms
      late: {{status: 202, body: "{{{{ actions.build.stdout | trim }}}}, {{{{ actions | length }}}} of 2"}}
"#,
        target.url()
    );
    let daemon = Scenario::new().script("work", "echo built").rules(&rules).start();
    let answer = daemon.post("/all").json("{}").send();
    assert_eq!((answer.status, answer.body.as_str()), (200, "0 201 ok append 3"));
    let late = daemon.post("/slow").json("{}").send();
    assert_eq!((late.status, late.body.as_str()), (202, "built, 1 of 2"));
}

#[test]
fn a_name_that_has_no_output_there_is_a_finding() {
    let first = "{run: [./work], id: first}";
    let of = |template: &str| format!("{first}, {{append: a, line: '{{{{ {template} }}}}'}}");
    assert_eq!(findings(&of("actions.first.stdout"), ""), [""; 0]);
    for (actions, expected) in [
        (
            of("actions.frist.stdout"),
            "template no action has the id `frist`",
        ),
        (
            of("actions.first.stdot"),
            "template an action of `run` has no `stdot`",
        ),
        (of("actions[1].stdout"), "template there is no `actions[1]` here"),
        (
            format!("{{append: a, line: '{{{{ actions.first.stdout }}}}'}}, {first}"),
            "template no action has run before this one",
        ),
        (
            format!("{first}, {{append: a, id: it, line: '{{{{ actions.it.detail }}}}'}}"),
            "template the action `it` has not run before this one",
        ),
        (
            format!("{first}, {{append: a, id: first}}"),
            "action-id a second action with the id `first` in this rule",
        ),
        (
            "{append: a, id: 1st}".to_owned(),
            "action-id an id has 1 to 64 letters, digits and `_`, and begins with no digit",
        ),
        (
            "{append: a, id: a-b}".to_owned(),
            "action-id an id has 1 to 64 letters, digits and `_`, and begins with no digit",
        ),
    ] {
        assert_eq!(findings(&actions, ""), [expected], "{actions}");
    }
    let respond = |answer: &str| format!(", respond: {{{answer}}}");
    for (answer, expected) in [
        ("wait: true, body: '{{ actions.first.stdout }}'", ""),
        (
            "body: '{{ actions.first.stdout }}'",
            "template there are no `actions` here",
        ),
        (
            "wait: true, failed: {body: '{{ actions.second.stdout }}'}",
            "template no action has the id `second`",
        ),
        (
            "wait: true, duplicate: {body: '{{ actions[0].stdout }}'}",
            "template there are no `actions` here",
        ),
        (
            "wait: true, body: '{{ actions[0].body }}'",
            "template an action of `run` has no `body`",
        ),
    ] {
        let expected: Vec<&str> = Some(expected)
            .filter(|text| !text.is_empty())
            .into_iter()
            .collect();
        assert_eq!(findings(first, &respond(answer)), expected, "{answer}");
    }
    // The group is named before any action.
    let group = ", concurrency: {group: '{{ actions[0].stdout }}'}";
    assert_eq!(findings(first, group), ["template there are no `actions` here"]);
}

#[test]
fn the_answers_of_an_endpoint_are_checked_for_each_of_its_rules() {
    let found = |rules: &str| {
        let text = format!(
            "endpoints: {{/a: {{verify: none, respond: {{wait: true, body: '{{{{ actions.build.stdout }}}}'}}}}}}\nrules:\n{rules}"
        );
        let scenario = Scenario::new().script("work", "true").rules(&text);
        let checked = scenario.hookyard(&["check", "--format", "json"]);
        let found: Value = serde_json::from_slice(&checked.stdout).unwrap();
        let found = found["diagnostics"].as_array().unwrap().iter();
        let errors = found.filter(|one| one["severity"] == "error");
        errors
            .map(|one| one["message"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let build = "  - {name: build, endpoint: /a, actions: [{run: [./work], id: build}]}\n";
    assert_eq!(found(build), [""; 0]);
    assert_eq!(
        found(&format!(
            "{build}  - {{name: b, endpoint: /a, actions: [{{run: [./work]}}]}}\n"
        )),
        ["for the rule `b`: no action has the id `build`"]
    );
    assert_eq!(
        found(&format!(
            "{build}  - {{name: b, endpoint: /a, respond: {{wait: false}}, actions: [{{run: [./work]}}]}}\n"
        )),
        ["for the rule `b`: there are no `actions` here"]
    );
    assert_eq!(
        found(&format!(
            "{build}  - {{name: b, endpoint: /a, respond: {{body: ok}}, actions: [{{run: [./work]}}]}}\n"
        )),
        [""; 0]
    );
}

#[test]
fn an_output_is_like_a_value_of_the_request_where_it_could_be_run() {
    let first = "{run: [./work], id: first}";
    let codes = |second: &str| {
        let found = findings(&format!("{first}, {second}"), "");
        found
            .iter()
            .map(|one| one.split(' ').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let same = |second: &str| {
        let of_payload = second.replace("OUT", "payload.x");
        let of_output = second.replace("OUT", "actions.first.stdout");
        let found = codes(&of_output);
        assert_eq!(found, codes(&of_payload), "{second}");
        found
    };
    assert!(!same("{run: [/bin/sh, -c, 'echo {{ OUT }}']}").is_empty());
    assert!(!same("{run: [/bin/cat, '{{ OUT }}']}").is_empty());
    assert!(!same("{forward: {url: 'http://h/', body: '{\"text\": \"{{ OUT }}\"}'}}").is_empty());
    assert_eq!(same("{run: [/bin/echo, '--text={{ OUT }}']}"), [""; 0]);
    assert_eq!(
        same("{forward: {url: 'http://h/', body: '{\"text\": {{ OUT | tojson }}}'}}"),
        [""; 0]
    );
    // `action` and `outcome` are hookyard's own words, but an action may have such an id.
    assert_eq!(codes("{run: [/bin/cat, '{{ actions.first.outcome }}']}"), [""; 0]);
    let named = "{run: [./work], id: outcome}, {run: [/bin/cat, '{{ actions.outcome }}']}";
    assert!(!codes(named).is_empty());
}

#[test]
fn explain_shows_a_placeholder_for_an_output() {
    let rules = r#"
rules:
  - name: two
    endpoint: /two
    verify: none
    actions:
      - {run: [./work], id: first}
      - {append: result.txt, line: "{{ actions.first.stdout }} {{ actions[0].status }}"}
"#;
    let scenario = Scenario::new()
        .script("work", "true")
        .file("body.json", "{}")
        .rules(rules);
    let explained = scenario.hookyard(&["explain", "--body", "body.json"]);
    let text = String::from_utf8_lossy(&explained.stdout);
    assert!(text.contains("<stdout of first> 0"), "{text}");
}
