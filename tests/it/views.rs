//! `unpack` on a rule: its own payload in conditions, templates, elements and groups, and no other
//! rule's.

use crate::scenario::{Scenario, said};

const RULES: &str = r#"
endpoints: {/orders: {verify: none}}
rules:
  - name: inside
    endpoint: /orders
    unpack: {$.order: json}
    match: {$.order.total: {gt: 1000}}
    concurrency: {group: "{{ payload.order.customer }}"}
    respond: {body: "total {{ payload.order.total }}"}
    actions: [{append: inside.log, line: "{{ payload.order.customer }} {{ payload.order.total }}"}]
  - name: each
    endpoint: /orders
    unpack: {$.order: json}
    for_each: $.order.items[*]
    match: {"@.n": {gt: 1}}
    actions: [{append: each.log, line: "{{ item.n }} of {{ payload.order.customer }}"}]
  - name: text
    endpoint: /orders
    match: {$.order: {matches: '.*"total".*'}}
    actions: [{append: text.log, line: "{{ payload.order }}"}]
"#;

const ORDER: &str = r#"{"total":1001,"customer":"ada","items":[{"n":1},{"n":2},{"n":3}]}"#;

fn body(order: &str) -> String {
    serde_json::json!({"order": order}).to_string()
}

#[test]
fn a_rule_sees_what_it_unpacks_and_no_other_rule_does() {
    let daemon = Scenario::new().rules(RULES).start();
    let answer = daemon.post("/orders").json(body(ORDER)).send();
    assert_eq!((answer.status, answer.body.as_str()), (200, "total 1001"));
    daemon.eventually("all have run", || {
        daemon.read("inside.log") == "ada 1001\n"
            && daemon.read("each.log").lines().count() == 2
            && daemon.read("text.log") == format!("{ORDER}\n")
    });
    let mut each: Vec<String> = daemon.read("each.log").lines().map(str::to_owned).collect();
    each.sort();
    assert_eq!(each, ["2 of ada", "3 of ada"]);
    assert!(
        !daemon.log().contains("the group of its deliveries"),
        "{}",
        daemon.log()
    );
}

#[test]
fn a_body_that_a_rule_cannot_unpack_is_unreadable_for_this_rule_alone() {
    let daemon = Scenario::new().rules(RULES).start();
    let text = r#"no JSON, but "total""#;
    let answer = daemon.post("/orders").json(body(text)).send();
    assert_eq!(answer.outcome(), (200, "accepted".into()));
    daemon.eventually("the other rule has run", || {
        daemon.read("text.log") == format!("{text}\n")
    });
    daemon.eventually("the reason is in the log", || {
        daemon.log().contains("`$.order`: not valid JSON") && daemon.log().contains("inside")
    });
    // No rule could have matched but those that cannot read it.
    let answer = daemon.post("/orders").json(body("nothing")).send();
    assert_eq!(answer.status, 400, "{}", answer.body);
    assert_eq!(daemon.read("inside.log"), "");
}

#[test]
fn a_rule_unpacks_on_top_of_its_endpoint() {
    let rules = r#"
endpoints: {/a: {verify: none, unpack: {$.outer: json}}}
rules:
  - name: deep
    endpoint: /a
    unpack: {$.outer.inner: [base64, json]}
    match: {$.outer.inner.n: 7}
    actions: [{append: deep.log, line: "{{ payload.outer.inner.n }}"}]
  - name: flat
    endpoint: /a
    match: {$.outer.inner: eyJuIjo3fQ}
    actions: [{append: flat.log, line: "{{ payload.outer.inner }}"}]
"#;
    let daemon = Scenario::new().rules(rules).start();
    let sent = r#"{"outer": "{\"inner\": \"eyJuIjo3fQ\"}"}"#;
    assert_eq!(daemon.post("/a").json(sent).send().status, 200);
    daemon.eventually("both have run", || {
        daemon.read("deep.log") == "7\n" && daemon.read("flat.log") == "eyJuIjo3fQ\n"
    });
}

#[test]
fn explain_and_fire_see_what_a_rule_unpacks() {
    let scenario = Scenario::new().rules(RULES).file("order.json", body(ORDER));
    let daemon = scenario.file("broken.json", body("{")).start();
    let explained = daemon.scenario.hookyard(&[
        "explain",
        "rules.yaml",
        "--body",
        "order.json",
        "--header",
        "Content-Type: application/json",
    ]);
    let explained = said(&explained);
    assert!(explained.contains("yes inside"), "{explained}");
    assert!(explained.contains("ada 1001"), "{explained}");
    assert!(explained.contains("2 of ada"), "{explained}");
    assert!(explained.contains("yes text"), "{explained}");
    let fired = daemon
        .scenario
        .hookyard(&["fire", "inside", "--json", "order.json", "--wait"]);
    assert!(fired.status.success(), "{}", said(&fired));
    assert_eq!(daemon.read("inside.log"), "ada 1001\n");
    let broken = daemon
        .scenario
        .hookyard(&["fire", "inside", "--json", "broken.json"]);
    assert!(!broken.status.success());
    assert!(
        said(&broken).contains("`$.order`: not valid JSON"),
        "{}",
        said(&broken)
    );
}

#[test]
fn a_replayed_arrival_is_unpacked_again() {
    let rules = RULES.split("  - name: each").next().unwrap();
    let daemon = Scenario::new()
        .rules(&rules.replace("gt: 1000", "gt: 5000"))
        .start();
    let answer = daemon.post("/orders").json(body(ORDER)).send();
    assert_eq!(answer.outcome(), (200, "ignored".into()));
    daemon.eventually("a record", || daemon.scenario.arrivals(&[]).len() == 1);
    daemon.rewrite(rules);
    daemon.eventually("a reload", || daemon.log().contains("reloaded"));
    let replayed = daemon
        .scenario
        .hookyard(&["events", "replay", "--ignored", "--endpoint", "/orders"]);
    assert!(replayed.status.success(), "{}", said(&replayed));
    daemon.eventually("it has run", || daemon.read("inside.log") == "ada 1001\n");
}

#[test]
fn a_delivery_is_unpacked_again_after_a_restart() {
    let rules = r#"
rules:
  - name: gate
    endpoint: /a
    verify: none
    unpack: {$.order: json}
    retry: {attempts: 100, backoff: [50ms]}
    actions: [{run: [./gate, "{{ payload.order.n }}"]}, {append: done.log, line: "{{ payload.order.n }}"}]
"#;
    let scenario = Scenario::new().script("gate", "echo \"$1\" >> tried; [ -e open ]");
    let mut daemon = scenario.rules(rules).start();
    assert_eq!(daemon.post("/a").json(body(r#"{"n": 7}"#)).send().status, 200);
    daemon.eventually("an attempt", || daemon.read("tried").starts_with("7\n"));
    daemon.kill();
    std::fs::write(daemon.folder().join("open"), "").unwrap();
    daemon.start();
    daemon.eventually("it is done", || daemon.read("done.log") == "7\n");
}

#[test]
fn more_ways_to_unpack_than_the_limit_are_found_at_load() {
    let rule = |n: usize| {
        format!(
            "  - {{name: r{n}, endpoint: /a, verify: none, unpack: {{$.f{n}: json}}, actions: [{{append: a}}]}}\n"
        )
    };
    let rules = |count: usize| format!("rules:\n{}", (0..count).map(rule).collect::<String>());
    let check = |rules: &str| Scenario::new().rules(rules).hookyard(&["check", "rules.yaml"]);
    assert!(check(&rules(8)).status.success());
    let refused = said(&check(&rules(9)));
    assert!(refused.contains("in more than 8 ways"), "{refused}");
    assert!(refused.contains("rules.yaml:11:"), "{refused}");
    // Rules that write the same share one.
    let same = rules(9).replace("$.f8", "$.f0");
    assert!(check(&same).status.success());
}
