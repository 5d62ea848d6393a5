//! Warnings of `hookyard check` about what is valid and probably not meant, and `allow_warnings`.

use std::fmt::Write;

use crate::scenario::{Scenario, said};

/// Codes of warnings and notes that belong to no rule.
const OF_NO_RULE: [&str; 11] = [
    "acme",
    "admin-password",
    "believed",
    "decompress-unverified",
    "handshake",
    "learn",
    "listen",
    "tls",
    "unused-endpoint",
    "unused-scheme",
    "weak-alternative",
];

fn scenario(rules: &str) -> Scenario {
    Scenario::new()
        .file("rules.yaml", format!("rules:\n{rules}"))
        .env("A", "of-one-sender-0123456789abcdef")
        .env("B", "of-another-0123456789abcdefgh")
}

/// A rule on `/x` with these keys beside its name, verification and actions.
fn rule(name: &str, keys: &str) -> String {
    format!("  - {{name: {name}, endpoint: /x, verify: {{github: env:A}}, {keys}}}\n")
}

/// Codes of the warnings and notes for these rules, each with its line.
fn codes(rules: &str) -> Vec<(String, u64)> {
    let output = scenario(rules).hookyard(&["check", "--format", "json", "rules.yaml"]);
    let found: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)));
    assert_eq!(found["loads"], true, "{found}");
    let one = |one: &serde_json::Value| {
        (
            one["code"].as_str().unwrap().to_owned(),
            one["line"].as_u64().unwrap_or(0),
        )
    };
    let all = found["diagnostics"].as_array().unwrap().iter().map(one);
    // A note of every sender that signs no time.
    all.filter(|(code, _)| code != "repeated-content").collect()
}

/// The warnings of the rules, and that each goes away if the rule in this line allows it.
#[track_caller]
fn warns(rules: &str, code: &str, line: u64) {
    assert_eq!(codes(rules), [(code.to_owned(), line)], "{rules}");
    let lines = rules.lines().enumerate().map(|(at, text)| {
        if at as u64 + 2 == line {
            text.replace("name: ", &format!("allow_warnings: [{code}], name: "))
        } else {
            text.to_owned()
        }
    });
    let allowed: String = lines.map(|line| line + "\n").collect();
    assert_eq!(codes(&allowed), [], "{allowed}");
}

#[test]
fn rules_with_equal_conditions_are_found_whatever_their_order() {
    let one = rule("one", "match: {$.a: x, $.b: [1, 2]}, actions: [append: one]");
    let two = rule(
        "two",
        "match: {$.b: {in: [2, 1]}, all: [{$.a: {equals: x}}]}, actions: [append: two]",
    );
    warns(&format!("{one}{two}"), "equal-conditions", 3);
    for other in [
        two.replace("equals: x", "equals: y"),
        two.replace("env:A", "env:B"),
        two.replace("endpoint: /x", "endpoint: /y")
            .replace("env:A", "env:B"),
        two.replace("actions", "allow: 192.0.2.0/24, actions"),
        two.replace("actions", "enabled: false, actions"),
    ] {
        assert_eq!(codes(&format!("{one}{other}")), [], "{other}");
    }
    // Two rules that take everything are two deliveries, each with its own retries.
    let all = rule("one", "actions: [append: one]") + &rule("two", "actions: [append: two]");
    assert_eq!(codes(&all), []);
}

#[test]
fn conditions_that_are_a_part_of_others_with_the_same_actions_are_found() {
    let wide = rule("wide", "match: {$.a: x}, actions: [append: out]");
    let narrow = rule("narrow", "match: {$.a: x, $.b: y}, actions: [append: out]");
    warns(&format!("{wide}{narrow}"), "part-of-conditions", 2);
    warns(&format!("{narrow}{wide}"), "part-of-conditions", 3);
    let all = rule("all", "actions: [append: out]");
    warns(&format!("{narrow}{all}"), "part-of-conditions", 3);
    for other in [
        narrow.replace("append: out", "append: other"),
        narrow.replace("$.a: x", "$.a: y"),
    ] {
        assert_eq!(codes(&format!("{wide}{other}")), [], "{other}");
    }
}

#[test]
fn a_pattern_without_a_metacharacter_is_found() {
    warns(
        &rule("a", "match: {$.a: {matches: main}}, actions: [append: a]"),
        "plain-pattern",
        2,
    );
    warns(
        &rule(
            "a",
            "match: {any: [{not: {$.a: {matches: main}}}]}, actions: [append: a]",
        ),
        "plain-pattern",
        2,
    );
    for sound in ["'v\\d'", "'main|next'", "'a.c'"] {
        assert_eq!(
            codes(&rule(
                "a",
                &format!("match: {{$.a: {{matches: {sound}}}}}, actions: [append: a]")
            )),
            []
        );
    }
}

#[test]
fn a_secret_of_two_endpoints_is_found_once_and_an_own_one_is_not() {
    let one = rule("one", "actions: [append: one]");
    let two = rule("two", "actions: [append: two]").replace("/x", "/y");
    let three = rule("three", "actions: [append: three]").replace("/x", "/z");
    warns(&format!("{one}{two}"), "shared-secret", 3);
    assert_eq!(
        codes(&format!("{one}{two}{three}")),
        [("shared-secret".to_owned(), 3)]
    );
    assert_eq!(codes(&format!("{one}{}", two.replace("env:A", "env:B"))), []);
}

#[test]
fn a_for_each_without_a_limit_is_a_note() {
    let each = "for_each: '$.alerts[*]', actions: [append: a]";
    warns(&rule("a", each), "default-limit", 2);
    let limited = each.replace("'$.alerts[*]'", "{path: '$.alerts[*]', limit: 50}");
    assert_eq!(codes(&rule("a", &limited)), []);
}

#[test]
fn what_a_signature_does_not_cover_is_allowed_by_its_rule_alone() {
    let reads = |name: &str, header: &str| {
        rule(
            name,
            &format!("match: {{header.{header}: a}}, actions: [append: {name}]"),
        )
    };
    let one = reads("one", "X-One");
    warns(&one, "unsigned-part", 2);
    let allowed = one.replace("name: ", "allow_warnings: unsigned-part, name: ");
    let output = scenario(&format!("{allowed}{}", reads("two", "X-Two"))).hookyard(&["check", "rules.yaml"]);
    let found = said(&output);
    assert!(
        found.contains("the rule `two` reads `header.x-two`") && !found.contains("x-one"),
        "{found}"
    );
}

#[test]
fn an_unknown_code_is_an_error_with_the_nearest_one() {
    for (typed, message) in [
        ("[equal-condition]", "did you mean `equal-conditions`?"),
        ("[unused-endpoint]", "unknown warning `unused-endpoint`"),
        ("[syntax]", "unknown warning `syntax`"),
        ("5", "`allow_warnings` is a list of codes"),
    ] {
        let rules = rule("a", &format!("allow_warnings: {typed}, actions: [append: a]"));
        let output = scenario(&rules).hookyard(&["check", "rules.yaml"]);
        assert!(
            output.status.code() == Some(1) && said(&output).contains(message),
            "{typed}: {}",
            said(&output)
        );
    }
    // An error cannot be allowed.
    let rules = rule(
        "a",
        "allow_warnings: [limit], concurrency: {limit: 0}, actions: [append: a]",
    );
    assert_eq!(
        scenario(&rules).hookyard(&["check", "rules.yaml"]).status.code(),
        Some(1)
    );
}

#[test]
fn deliveries_that_wait_for_a_disabled_rule_are_found_in_the_store() {
    let rules = "rules:\n  - {name: fails, endpoint: /fails, verify: none, retry: {attempts: 9, backoff: 1h}, actions: [run: ['false']]}\n";
    let daemon = Scenario::new().rules(rules).start();
    let check = || said(&daemon.scenario.hookyard(&["check", "rules.yaml"]));
    assert_eq!(daemon.post("/fails").json("{}").send().status, 200);
    daemon.eventually("it failed once", || daemon.log().contains("attempt=1"));
    assert!(!check().contains("in the store"), "{}", check());
    daemon.rewrite(&rules.replace("name: fails", "enabled: false, name: fails"));
    let found = check();
    assert!(
        found.contains("the rule `fails` has `enabled: false`, and 1 delivery of it waits in the store")
            && found.contains("1 warning"),
        "{found}"
    );
    daemon.rewrite(&rules.replace(
        "name: fails",
        "enabled: false, allow_warnings: disabled-waiting, name: fails",
    ));
    assert!(!check().contains("in the store"), "{}", check());
}

#[test]
fn every_code_of_a_warning_is_in_the_reference_or_belongs_to_no_rule() {
    let page = crate::manual::read("docs/reference/warnings.md");
    let mut files = Vec::new();
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    crate::imports::collect(&source, &mut files);
    let mut wrong = String::new();
    for file in files {
        let name = file.strip_prefix(&source).unwrap().display().to_string();
        if ["cli/", "pipeline/", "base/yaml/", "base/diagnostic/", "trial/"]
            .iter()
            .any(|part| name.starts_with(part))
        {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for call in [".warning(", "Diagnostic::warning(", ".note(", "Diagnostic::note("] {
            for (at, _) in text.match_indices(call) {
                let rest = &text[at + call.len()..];
                let is_code = |word: &&str| {
                    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
                };
                let code = rest.split('"').skip(1).step_by(2).take(1).find(is_code);
                if let Some(code) = code
                    && !page.contains(&format!("`{code}`"))
                    && !OF_NO_RULE.contains(&code)
                {
                    writeln!(wrong, "{name}: {code}").unwrap();
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
