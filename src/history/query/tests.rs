use std::path::Path;

use super::*;

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-24T15:00:00Z").unwrap()
}

fn parsed(line: &str) -> Query {
    Query::parse(line, now()).unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[test]
fn each_filter_is_read() {
    let query = parsed(
        "outcome:ignored rule:\"my rule\" endpoint:/deploy/{app} state:dead client:192.0.2.7/24 event:push \
         since:2h until:\"2026-11-24 14:30\"",
    );
    let filter = &query.filter;
    assert_eq!(filter.outcome, Some(ArrivalOutcome::Ignored));
    assert_eq!(filter.rule.as_deref(), Some("my rule"));
    assert_eq!(filter.endpoint.as_deref(), Some("/deploy/{app}"));
    assert_eq!(filter.state, Some("dead"));
    assert_eq!(filter.client.unwrap().to_string(), "192.0.2.7/24");
    assert_eq!(query.event_name.as_deref(), Some("push"));
    let time = |at: Option<Timestamp>| at.unwrap().to_string();
    assert_eq!(time(filter.since), "2026-11-24T13:00:00.000Z");
    assert_eq!(time(filter.until), "2026-11-24T14:30:00.000Z");
    assert!(parsed("").is_empty() && parsed("  ").is_empty());
    assert!(!parsed("rule:a").is_empty() && !parsed("event:a").is_empty() && !parsed("$.a:1").is_empty());
}

#[test]
fn selectors_are_conditions() {
    for (line, conditions) in [
        ("$.ref:refs/heads/main", 1),
        ("$.a:1 $.b:true $['c:d e']:x", 3),
        ("$.commits[?@.id == \"a b:c\"].n:{gt: 2}", 1),
        ("header.x-github-event:push method:POST", 2),
        ("$.ref:\"a \\\" b\" $.ref:{prefix: \"}\"}", 2),
        ("$.a:[1] $.a:x,y:", 2),
    ] {
        let query = parsed(line);
        assert_eq!(query.conditions, conditions, "{line}");
        assert!(query.reads_requests(), "{line}");
    }
}

#[test]
fn errors_have_a_place_and_advice() {
    for (line, place, message, hint) in [
        (
            "rule:a outcom:x",
            "8+6",
            "unknown filter `outcom`",
            "did you mean `outcome`?",
        ),
        (
            "outcome:ignord",
            "9+6",
            "unknown outcome `ignord`",
            "did you mean `ignored`?",
        ),
        (
            "state:gone",
            "7+4",
            "unknown state `gone`",
            "known are waiting, done, superseded, dead",
        ),
        (
            "é:ü client:here",
            "1+1",
            "unknown filter `é`",
            "known are outcome",
        ),
        (
            "client:here",
            "8+4",
            "`here` is no address and no network",
            "write `192.0.2.7`",
        ),
        ("since:soon", "7+4", "`soon` is neither a duration nor a time", ""),
        ("rule:", "1+5", "`rule` has no value", "write it behind the colon"),
        ("rule: x", "1+5", "`rule` has no value", "without a blank"),
        ("rule:a rule:b", "8+4", "`rule` is stated twice", ""),
        ("rule:\"a b", "6+4", "a quote is not closed", ""),
        ("rule:\"a\"b", "9+1", "a blank is missing after the value", ""),
        (
            r#"rule:"\q""#,
            "6+4",
            "the quoted value is not understood",
            "for a quote",
        ),
        ("$.a:{gt: 1", "5+6", "a bracket is not closed", ""),
        (
            "ignored",
            "1+7",
            "`ignored` is no filter",
            "write `outcome:ignored`",
        ),
        ("dead", "1+4", "`dead` is no filter", "write `state:dead`"),
        ("a:b", "1+1", "unknown filter `a`", "known are"),
        (
            "/github",
            "1+7",
            "`/github` is no filter",
            "write `endpoint:/github`",
        ),
        (
            "192.0.2.7",
            "1+9",
            "`192.0.2.7` is no filter",
            "write `client:192.0.2.7`",
        ),
        ("$.ref", "1+5", "`$.ref` is no filter", "write `$.ref:VALUE`"),
        ("rul", "1+3", "`rul` is no filter", "write `rule:VALUE`"),
        ("deploy", "1+6", "`deploy` is no filter", "such as `rule:deploy`"),
        (":x", "1+2", "`:x` is no filter", "a filter is NAME:VALUE"),
        (
            "headers.x-a:b",
            "1+11",
            "unknown filter `headers.x-a`",
            "did you mean `header.x-a`?",
        ),
        ("rule:a $..[:x", "8+6", "`$..[:x` is no filter", "not closed"),
        ("$.a:{gtt: 1}", "5+8", "", "`gt`"),
        ("$.a:{gt: x}", "5+7", "", ""),
    ] {
        let error = Query::parse(line, now()).expect_err(line);
        assert_eq!(
            format!("{}+{}", error.column, error.length),
            place,
            "{line}: {error}"
        );
        assert!(error.message.contains(message), "{line}: {error}");
        let advice = error.hint.clone().unwrap_or_default();
        assert!(advice.contains(hint), "{line}: {error}");
    }
    let long = "a".repeat(LINE + 1);
    assert!(
        Query::parse(&long, now())
            .unwrap_err()
            .message
            .contains("longer than")
    );
    let many = "$.a:1 ".repeat(SELECTORS + 1);
    let error = Query::parse(&many, now()).unwrap_err();
    assert!(error.message.contains("more than 16 selectors"), "{error}");
}

#[test]
fn no_line_panics_and_each_place_is_in_the_line() {
    let parts = [
        "$", "[", "]", "{", "}", "\"", "'", ":", " ", "a", "é", "\\", "rule", "$.a", "(", ",",
    ];
    let mut random = 7_usize;
    for _ in 0..20_000 {
        let mut line = String::new();
        for _ in 0..(random % 9) {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            line.push_str(parts[(random >> 33) % parts.len()]);
        }
        random = random.wrapping_add(1);
        let length = line.chars().count();
        if let Err(error) = Query::parse(&line, now()) {
            assert!(
                error.column >= 1 && error.column - 1 + error.length <= length,
                "{line}: {error}"
            );
        }
        for cursor in 0..=length + 1 {
            suggestions(&line, cursor, KnownNames::default());
        }
    }
}

#[test]
fn the_last_term_is_completed() {
    let known = KnownNames {
        endpoints: &["/github", "/gitlab", "/stripe"],
        rules: &["deploy", "my rule"],
    };
    for (line, expected) in [
        ("ou", "2 outcome:"),
        ("rule:deploy st", "2 state:"),
        ("outcome:re", "10 outcome:refused"),
        ("endpoint:/git", "13 endpoint:/github endpoint:/gitlab"),
        ("rule:", "5 rule:deploy rule:\"my rule\""),
        ("rule:\"my", "8 rule:\"my rule\""),
        ("rule:deploy", ""),
        ("$.a:\"x y", ""),
        ("since:", "6 since:15m since:1h since:6h since:1d since:7d"),
    ] {
        let suggested = suggestions(line, line.chars().count(), known);
        let texts: Vec<&str> = suggested.iter().map(|one| one.text.as_str()).collect();
        let replaces = suggested.first().map(|one| one.replaces.to_string() + " ");
        assert_eq!(
            replaces.unwrap_or_default() + &texts.join(" "),
            expected,
            "{line}"
        );
    }
    let first = suggestions("rule:deploy ", 12, known);
    assert_eq!((first[0].text.as_str(), first[0].replaces), ("outcome:", 0));
    // Text behind the cursor is not touched.
    assert_eq!(suggestions("ou rule:deploy", 2, known)[0].text, "outcome:");
}

#[test]
fn the_examples_of_the_manual_are_understood() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/filters.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut examples = 0;
    let mut in_block = false;
    for line in page.lines() {
        match line {
            "```text" => in_block = true,
            "```" => in_block = false,
            line if in_block => {
                parsed(line);
                examples += 1;
            }
            line if line.starts_with("| `") => {
                let cell = line.trim_start_matches("| `");
                parsed(cell.split_once("` |").unwrap().0);
                examples += 1;
            }
            _ => {}
        }
    }
    assert!(examples >= 15, "{examples}");
    for (name, _) in FILTERS {
        assert!(page.contains(&format!("| `{name}:")), "{name}");
    }
}
