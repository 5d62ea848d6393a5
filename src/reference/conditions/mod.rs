//! Tables of selectors and conditions, each with an example that a test evaluates.

#[cfg(test)]
mod tests;

use crate::reference::markdown::table;

/// A condition with an example.
struct ConditionExample {
    /// The condition, as the first column shows it.
    name: &'static str,
    holds: &'static str,
    /// A whole `match:`.
    example: &'static str,
    /// A payload for which the example holds.
    yes: &'static str,
    /// A payload for which it does not.
    no: &'static str,
}

const fn row(
    name: &'static str,
    holds: &'static str,
    example: &'static str,
    yes: &'static str,
    no: &'static str,
) -> ConditionExample {
    ConditionExample {
        name,
        holds,
        example,
        yes,
        no,
    }
}

/// Selectors, with an example that holds for the event of the test.
const SELECTORS: [(&str, &str, &str); 9] = [
    (
        "`$.ref`, `$.commits[*].id`",
        "values of the payload, by JSONPath (RFC 9535)",
        "$.v: 1",
    ),
    (
        "`event`",
        "the sender's event name, wherever its scheme says it stands",
        "event: push",
    ),
    ("`header.NAME`", "a header", "header.X-GitHub-Event: push"),
    ("`query.NAME`", "a parameter of the query", "query.tag: a"),
    (
        "`path.NAME`",
        "a parameter of the endpoint's path",
        "path.app: site",
    ),
    ("`method`", "the request method", "method: POST"),
    (
        "`client.ip`",
        "the client's address",
        "client.ip: {in_cidr: 10.0.0.0/8}",
    ),
    ("`body`", "the raw body as text", "body: {contains: v}"),
    (
        "`@`, `@.status`",
        "the element of a rule with `for_each`, or values below it, by JSONPath",
        "'@': 1",
    ),
];

/// Conditions on the values of a selector.
const CONDITIONS: [ConditionExample; 22] = [
    row(
        "a scalar, `equals`",
        "the value is equal",
        "$.v: {equals: main}",
        r#"{"v": "main"}"#,
        r#"{"v": "next"}"#,
    ),
    row(
        "a list, `in`",
        "the value is one of them",
        "$.v: {in: [main, next]}",
        r#"{"v": "next"}"#,
        r#"{"v": "old"}"#,
    ),
    row(
        "`prefix`",
        "the text begins with it",
        "$.v: {prefix: release/}",
        r#"{"v": "release/1"}"#,
        r#"{"v": "main"}"#,
    ),
    row(
        "`suffix`",
        "the text ends with it",
        "$.v: {suffix: .md}",
        r#"{"v": "a.md"}"#,
        r#"{"v": "a.rs"}"#,
    ),
    row(
        "`contains`",
        "the text contains it, or the list has it as an item",
        "$.v: {contains: skip}",
        r#"{"v": ["skip", "ci"]}"#,
        r#"{"v": "run"}"#,
    ),
    row(
        "`matches`",
        "the whole text matches the regular expression",
        r"$.v: {matches: 'v\d+'}",
        r#"{"v": "v12"}"#,
        r#"{"v": "v12-rc1"}"#,
    ),
    row(
        "`glob`",
        "the whole text matches the pattern; `**` crosses `/`",
        "$.v: {glob: 'docs/**'}",
        r#"{"v": "docs/a/b"}"#,
        r#"{"v": "src/a"}"#,
    ),
    row(
        "`gt`",
        "the number, or the RFC 3339 time, is greater",
        "$.v: {gt: 1}",
        r#"{"v": 2}"#,
        r#"{"v": 1}"#,
    ),
    row(
        "`gte`",
        "it is greater or equal",
        "$.v: {gte: '2026-01-01T00:00:00Z'}",
        r#"{"v": "2026-01-01T01:00:00+01:00"}"#,
        r#"{"v": "2025-12-31T23:59:59Z"}"#,
    ),
    row(
        "`lt`",
        "it is less",
        "$.v: {lt: 1}",
        r#"{"v": 0.5}"#,
        r#"{"v": 1}"#,
    ),
    row(
        "`lte`",
        "it is less or equal",
        "$.v: {lte: 1}",
        r#"{"v": 1}"#,
        r#"{"v": 2}"#,
    ),
    row(
        "`in_cidr`",
        "the address is in one of the networks",
        "$.v: {in_cidr: [10.0.0.0/8, '::1']}",
        r#"{"v": "10.1.2.3"}"#,
        r#"{"v": "192.0.2.1"}"#,
    ),
    row(
        "`exists: true`",
        "the selector finds something, also null",
        "$.v: {exists: true}",
        r#"{"v": null}"#,
        "{}",
    ),
    row(
        "`exists: false`",
        "the selector finds nothing",
        "$.v: {exists: false}",
        "{}",
        r#"{"v": null}"#,
    ),
    row(
        "`type`",
        "the value is `string`, `number`, `integer`, `boolean`, `null`, `array` or `object`, or one of a list of them",
        "$.v: {type: [integer, 'null']}",
        r#"{"v": 1}"#,
        r#"{"v": 1.5}"#,
    ),
    row(
        "`length`",
        "the number of characters, items or members is this, or satisfies `gt`, `gte`, `lt`, `lte`",
        "$.v: {length: {gte: 2}}",
        r#"{"v": "ab"}"#,
        r#"{"v": ["a"]}"#,
    ),
    row(
        "`every`",
        "the selector finds values, and all of them satisfy a condition",
        "$.v[*]: {every: {prefix: docs/}}",
        r#"{"v": ["docs/a", "docs/b"]}"#,
        r#"{"v": ["docs/a", "src/b"]}"#,
    ),
    row(
        "`none`",
        "the selector finds values, and none of them satisfies a condition",
        "$.v[*]: {none: {contains: skip}}",
        r#"{"v": ["run"]}"#,
        r#"{"v": ["run", "skip"]}"#,
    ),
    row(
        "`as: number`",
        "beside `equals`, `in`, `gt`, `gte`, `lt`, `lte`: the text is read as a number first",
        "$.v: {as: number, gt: 4}",
        r#"{"v": "10"}"#,
        r#"{"v": "many"}"#,
    ),
    row(
        "`as: time`",
        "beside the same: RFC 3339 text, or seconds since 1970, is read as a time first",
        "$.v: {as: time, gte: '2026-01-01T00:00:00Z'}",
        r#"{"v": "1767225600"}"#,
        r#"{"v": "soon"}"#,
    ),
    row(
        "`ignore_case`",
        "beside another: case does not count",
        "$.v: {equals: MAIN, ignore_case: true}",
        r#"{"v": "Main"}"#,
        r#"{"v": "next"}"#,
    ),
    row(
        "several operators",
        "they hold for the same value",
        "$.v[*]: {gt: 1, lt: 5}",
        r#"{"v": [0, 3]}"#,
        r#"{"v": [0, 9]}"#,
    ),
];

/// Combinations of conditions.
const GROUPS: [ConditionExample; 3] = [
    row(
        "`any`",
        "one condition of the list holds",
        "any: [{$.a: 1}, {$.b: 1}]",
        r#"{"a": 0, "b": 1}"#,
        r#"{"a": 0, "b": 0}"#,
    ),
    row(
        "`all`",
        "all conditions of the list hold",
        "all: [{$.a: 1}, {$.b: 1}]",
        r#"{"a": 1, "b": 1}"#,
        r#"{"a": 1, "b": 0}"#,
    ),
    row(
        "`not`",
        "the conditions of the mapping do not hold, and all their values are there",
        "not: {$.a: 1}",
        r#"{"a": 2}"#,
        "{}",
    ),
];

/// Returns the meaning of a selector and an example, by a word, or by the sign with which it begins.
pub fn selector(begin: &str) -> (&'static str, &'static str) {
    let same = |name: &str| {
        let mut names = name.split(", ").map(|name| name.trim_matches('`'));
        names.any(|name| name == begin || name.starts_with(&format!("{begin}.")))
    };
    let found = SELECTORS.iter().find(|(name, _, _)| same(name));
    found.map_or(("", ""), |(_, what, example)| (*what, *example))
}

/// Returns when a condition or a group holds, and an example, by its key.
pub fn condition(key: &str) -> (&'static str, &'static str) {
    let named = |row: &&ConditionExample| {
        let mut names = row.name.split('`').skip(1).step_by(2);
        names.any(|name| name == key || name.starts_with(&format!("{key}:")))
    };
    let found = CONDITIONS.iter().chain(&GROUPS).find(named);
    found.map_or(("", ""), |row| (row.holds, row.example))
}

/// Returns the parts of `conditions.md`.
pub fn parts() -> Vec<(&'static str, String)> {
    let code = |text: &str| format!("`{text}`");
    let selectors = SELECTORS.map(|(name, what, example)| [name.to_owned(), what.to_owned(), code(example)]);
    let rows = |rows: &[ConditionExample]| {
        let heads = [
            "condition",
            "holds if",
            "example",
            "holds for",
            "does not hold for",
        ];
        let rows = rows.iter().map(|row| {
            [
                row.name.to_owned(),
                row.holds.to_owned(),
                code(row.example),
                code(row.yes),
                code(row.no),
            ]
        });
        table(heads, rows)
    };
    vec![
        (
            "selectors",
            table(["selector", "what it selects", "example"], selectors),
        ),
        ("conditions", rows(&CONDITIONS)),
        ("groups", rows(&GROUPS)),
    ]
}
