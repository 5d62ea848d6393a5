//! Tests of `as`: what text is read, what is rejected at load, and properties.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::base::jsonpath::LargeIntegers;
use crate::matching::answer::Ternary::{self, False, True, Unknown};
use crate::matching::facts::SelectedValues;
use crate::matching::testing::{condition, diagnostics, event};

fn answer(test: &str, value: &Value) -> Ternary {
    let condition = condition(&format!("$.v: {test}"));
    let event = event(json!({ "v": value }));
    let facts = SelectedValues::new(&event, &condition.selectors, None);
    Ternary::all(condition.terms.iter().map(|term| term.answer(&facts)))
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is one table")]
fn text_is_compared_as_a_number_or_a_time() {
    for (test, value, expected) in [
        ("{as: number, gt: 4}", json!("5"), True),
        ("{as: number, gt: 4}", json!("4"), False),
        ("{as: number, gt: 4}", json!(5), True),
        ("{as: number, gt: 4}", json!("10"), True),
        ("{as: number, gte: 4, lt: 5}", json!("4.999"), True),
        ("{as: number, gte: 4, lt: 5}", json!("5.0"), False),
        ("{as: number, equals: 5}", json!("5.0"), True),
        ("{as: number, equals: 5}", json!("05"), True),
        ("{as: number, equals: 0}", json!("-0"), True),
        ("{as: number, equals: 0.1}", json!("1e-1"), True),
        ("{as: number, in: [1, 2.5]}", json!("2.50"), True),
        ("{as: number, in: [1, 2.5]}", json!("2"), False),
        ("{as: number, lt: -1}", json!("-2"), True),
        (
            "{as: number, gt: 18446744073709551615}",
            json!("18446744073709551616"),
            True,
        ),
        (
            "{as: number, equals: 9007199254740993}",
            json!("9007199254740992"),
            False,
        ),
        (
            "{as: number, equals: 1e20}",
            json!("100000000000000000001"),
            False,
        ),
        // Not a number.
        ("{as: number, gt: 4}", json!("many"), Unknown),
        ("{as: number, gt: 4}", json!(""), Unknown),
        ("{as: number, gt: 4}", json!(" 5"), Unknown),
        ("{as: number, gt: 4}", json!("+5"), Unknown),
        ("{as: number, gt: 4}", json!("5,000"), Unknown),
        ("{as: number, gt: 4}", json!("0x10"), Unknown),
        ("{as: number, gt: 4}", json!("5."), Unknown),
        ("{as: number, gt: 4}", json!(".5"), Unknown),
        ("{as: number, gt: 4}", json!("inf"), Unknown),
        ("{as: number, gt: 4}", json!("1e999"), Unknown),
        ("{as: number, gt: 4}", json!("٥"), Unknown),
        ("{as: number, gt: 4}", json!("9".repeat(MAX_READ)), True),
        ("{as: number, gt: 4}", json!("9".repeat(MAX_READ + 1)), Unknown),
        ("{as: number, gt: 4}", json!(true), Unknown),
        ("{as: number, gt: 4}", json!(null), Unknown),
        ("{as: number, gt: 4}", json!(["5"]), Unknown),
        ("{as: number, equals: 5}", json!("five"), Unknown),
        // Times, as text and as seconds.
        (
            "{as: time, gt: 2023-11-14T22:13:19Z}",
            json!("2023-11-14T23:13:20+01:00"),
            True,
        ),
        ("{as: time, gt: 2023-11-14T22:13:19Z}", json!("1700000000"), True),
        ("{as: time, gt: 2023-11-14T22:13:19Z}", json!(1_700_000_000), True),
        ("{as: time, gt: 2023-11-14T22:13:20Z}", json!("1700000000"), False),
        (
            "{as: time, gt: 2023-11-14T22:13:20Z}",
            json!("1700000000.000000001"),
            True,
        ),
        (
            "{as: time, equals: 2023-11-14T22:13:20.125Z}",
            json!(1_700_000_000.125),
            True,
        ),
        (
            "{as: time, equals: 2023-11-14T22:13:20.1Z}",
            json!(1_700_000_000.1),
            True,
        ),
        (
            "{as: time, in: [2023-11-14T22:13:20Z]}",
            json!("1700000000.0"),
            True,
        ),
        ("{as: time, lt: 1970-01-01T00:00:00Z}", json!("-0.5"), True),
        (
            "{as: time, gt: 2023-11-14T22:13:19Z}",
            json!("yesterday"),
            Unknown,
        ),
        (
            "{as: time, gt: 2023-11-14T22:13:19Z}",
            json!("2023-11-15"),
            Unknown,
        ),
        ("{as: time, gt: 2023-11-14T22:13:19Z}", json!("17e8"), Unknown),
        // Milliseconds would be a time after the year 9999.
        (
            "{as: time, gt: 2023-11-14T22:13:19Z}",
            json!("1700000000000"),
            Unknown,
        ),
        ("{as: time, gt: 2023-11-14T22:13:19Z}", json!(1e300), Unknown),
    ] {
        assert_eq!(answer(test, &value), expected, "{test} of {value}");
        if !test.contains("equals") && !test.contains("in:") {
            continue;
        }
        assert_eq!(
            answer(&format!("{{none: {test}}}"), &value),
            expected.negated(),
            "none {test} of {value}"
        );
    }
}

#[test]
fn every_part_of_a_request_can_be_read() {
    let mut event = event(json!({"list": ["3", "7", "x"]}));
    let received = std::sync::Arc::make_mut(&mut event.received);
    received.query = "n=5&n=9&m=x".to_owned();
    received.headers.insert("x-count", "7".parse().unwrap());
    for (text, expected) in [
        ("query.n: {as: number, gt: 8}", True),
        ("query.n: {every: {as: number, gt: 4}}", True),
        ("query.n: {none: {as: number, gt: 5}}", False),
        ("query.m: {as: number, gt: 5}", Unknown),
        ("not: {query.m: {as: number, gt: 5}}", Unknown),
        ("query.missing: {as: number, gt: 5}", Unknown),
        ("header.X-Count: {as: number, equals: 7, exists: true}", True),
        ("$.list[*]: {as: number, gte: 7}", True),
        ("$.list[*]: {every: {as: number, gte: 3}}", Unknown),
    ] {
        let condition = condition(text);
        let facts = SelectedValues::new(&event, &condition.selectors, None);
        let answer = Ternary::all(condition.terms.iter().map(|term| term.answer(&facts)));
        assert_eq!(answer, expected, "{text}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is one table")]
fn errors_have_positions_and_hints() {
    for (text, expected) in [
        (
            "query.n: {as: numbr, gt: 4}",
            "1:15: unknown operand of `as` `numbr` (did you mean `number`?",
        ),
        ("query.n: {as: 5, gt: 4}", "1:15: `as` is `number` or `time`"),
        (
            "query.n: {as: number}",
            "1:1: `as` alone asks nothing of the value (write `{as: number, gt: 5}`",
        ),
        (
            "query.n: {as: number, every: {gt: 4}}",
            "1:1: `as` alone asks nothing of the value",
        ),
        (
            "query.n: {as: number, prefix: '4'}",
            "1:23: `prefix` cannot stand beside `as: number`, only `equals`, `in`, `gt`",
        ),
        (
            "query.n: {as: number, gt: '4'}",
            "1:27: `gt` beside `as: number` wants a number (write `{as: number, gt: 5}`, without quotes",
        ),
        (
            "query.n: {as: number, in: [1, b]}",
            "1:31: `in` beside `as: number` wants a number",
        ),
        (
            "query.n: {as: number, in: []}",
            "1:23: an empty `in` can never hold",
        ),
        ("query.n: {as: number, in: 5}", "1:27: `in` wants a list"),
        (
            "query.n: {as: time, gt: 1700000000}",
            "1:25: `gt` beside `as: time` wants an RFC 3339 timestamp (write",
        ),
        (
            "query.n: {as: time, gt: soon}",
            "1:25: `soon` is no RFC 3339 timestamp",
        ),
        (
            "query.n: {as: number, gt: 99999999999999999999}",
            "1:27: `99999999999999999999` does not fit 64 bits",
        ),
        // What can never hold.
        (
            "path.n: {as: number, gt: 5, lt: 5}",
            "1:33: this can never hold: the bounds",
        ),
        (
            "path.n: {as: number, in: [1, 9], gt: 1, lt: 9}",
            "1:45: this can never hold: the bounds",
        ),
        (
            "path.n: {as: time, gt: 2026-01-02T00:00:00Z, lt: 2026-01-01T00:00:00Z}",
            "1:50: this can never hold: the bounds",
        ),
        (
            "{path.n: {as: number, gt: 5}, all: [{path.n: '3'}]}",
            "1:46: this can never hold: the operators beside it refuse that value",
        ),
        (
            "{$.n: {as: number, gt: 5}, all: [{$.n: {lt: 5}}]}",
            "1:45: this can never hold: the bounds",
        ),
        (
            "{$.n: {as: number, gt: 5}, all: [{$.n: {type: boolean}}]}",
            "1:47: this can never hold: the operators beside it want",
        ),
        (
            "client.ip: {as: number, gt: 5}",
            "1:1: `client.ip` is never a number, so this can never hold",
        ),
        (
            "method: {as: time, gt: 2026-01-02T00:00:00Z}",
            "1:1: `method` is never a time, so this can never hold",
        ),
        // The hints lead here, not to each other.
        (
            "query.n: {gt: 5}",
            "1:15: `query.n` is always text, so this can never hold (read the text as a number: `{as: number, gt: 5}`)",
        ),
        (
            "query.n: {gt: '5'}",
            "1:15: `gt` wants a number or an RFC 3339 instant, not the text `5` (write `gt: 5`, or, if the value is text, `{as: number, gt: 5}`)",
        ),
        (
            "query.n: 5",
            "1:10: `query.n` is always text, so this can never hold (put the value in quotes, or read the text as a number: `{as: number, equals: 5}`)",
        ),
    ] {
        let found = diagnostics(text);
        assert_eq!(found.len(), 1, "{text}: {found:#?}");
        assert!(found[0].starts_with(expected), "{text}: {}", found[0]);
    }
    for text in [
        "path.n: {as: number, gt: 5, lt: 6}",
        "query.n: {as: number, in: [5, 6], gt: 5}",
        "{query.n: {as: number, gt: 5}, all: [{query.n: {as: number, lt: 5}}]}",
        "{path.n: {as: number, equals: 5}, all: [{path.n: {length: 3, prefix: '00'}}]}",
        "{path.n: {as: number, gt: 5}, all: [{path.n: '7'}]}",
        "{$.n: {as: number, gt: 5}, all: [{$.n: 7}]}",
        "{$.n: {as: number, gt: 5}, all: [{$.n: {as: time, lt: 2026-01-01T00:00:00Z}}]}",
    ] {
        assert_eq!(diagnostics(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_long_list_compiles_quickly() {
    let numbers: Vec<String> = (0..20_000).map(|number| number.to_string()).collect();
    let list = numbers.join(", ");
    let text = format!("{{$.n: {{as: number, in: [{list}]}}, all: [{{$.n: {{as: number, in: [{list}]}}}}]}}");
    assert_eq!(diagnostics(&text), Vec::<String>::new());
}

proptest! {
    #[test]
    fn text_compares_as_the_number_that_it_writes(
        number in prop_oneof![
            any::<i64>().prop_map(|number| json!(number)),
            any::<u64>().prop_map(|number| json!(number)),
            any::<f64>().prop_filter("JSON has only finite ones", |number| number.is_finite())
                .prop_map(|number| json!(number)),
            (-20..20_i64).prop_map(|number| json!(number)),
        ],
        limit in prop_oneof![-20..20_i64, any::<i64>()],
    ) {
        let text = json!(number.to_string());
        for operator in ["equals", "gt", "gte", "lt", "lte"] {
            let of_text = answer(&format!("{{as: number, {operator}: {limit}}}"), &text);
            let of_number = answer(&format!("{{{operator}: {limit}}}"), &number);
            prop_assert_eq!(of_text, of_number, "{} of {}", operator, &number);
        }
    }

    #[test]
    fn what_is_read_as_a_time_agrees_in_every_notation(seconds in -62_135_596_800..253_402_300_799_i64) {
        let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap();
        let written = at.format(&time::format_description::well_known::Rfc3339).unwrap();
        let notations = [json!(seconds), json!(seconds.to_string()), json!(written)];
        for value in &notations {
            let found = SelectedValue::Json(value, LargeIntegers::NONE);
            let read = Reading::Time.read(&found);
            let is_same = matches!(read, Some(Threshold::Instant(read)) if read == at);
            prop_assert!(is_same, "{value}");
        }
    }

    #[test]
    fn an_excluded_beginning_begins_no_text_that_holds(
        text in "-?[0-9]{0,3}(\\.[0-9]{1,2})?",
        limit in -3..3_i64,
        operator in prop::sample::select(vec!["equals", "gt", "gte", "lt", "lte"]),
    ) {
        let place = crate::template::Place::of_selector("$.v").unwrap();
        for letter in ['-', '0', '7', '.'] {
            let test = format!("{{as: number, {operator}: {limit}}}");
            if condition(&format!("$.v: {test}")).excludes(&place, letter) && text.starts_with(letter) {
                prop_assert_ne!(answer(&test, &json!(text)), True);
            }
        }
    }
}
