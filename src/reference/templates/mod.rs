//! Tables of variables, functions and filters of templates, each with an example that a test
//! renders.

#[cfg(test)]
mod tests;

use crate::reference::markdown::table;

/// Payload of the event for which the examples are rendered.
const PAYLOAD: &str = r#"{"ref": "refs/heads/main", "count": "3", "tags": ["b", "a", "a"],
 "commits": [{"id": "c1"}, {"id": "c2"}], "owner": {"name": "Zoë"}}"#;

/// A variable or function: name, value, where it is known, template, result.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

const VARIABLES: [Row; 20] = [
    (
        "`payload`",
        "the decoded body; [bodies](bodies.md) says how it is read",
        "everywhere",
        "{{ payload.commits[0].id }}",
        "c1",
    ),
    (
        "`body`",
        "the bytes of the body as text; binary bodies cannot be written out",
        "everywhere",
        "{{ body | length > 100 }}",
        "true",
    ),
    (
        "`headers.NAME`",
        "a header; any case, and `_` stands for `-`",
        "everywhere",
        "{{ headers.x_github_event }}",
        "push",
    ),
    (
        "`query.NAME`",
        "a parameter of the query",
        "everywhere",
        "{{ query.tag }}",
        "a",
    ),
    (
        "`path.NAME`",
        "a parameter of the endpoint's path",
        "everywhere",
        "{{ path.app }}",
        "site",
    ),
    (
        "`event.id`",
        "the event's id",
        "everywhere",
        "{{ event.id | length }}",
        "36",
    ),
    (
        "`event.received_at`",
        "the time of arrival, RFC 3339",
        "everywhere",
        "{{ event.received_at }}",
        "1970-01-01T00:00:00.000Z",
    ),
    (
        "`event.name`",
        "the sender's name of the event, from where its scheme says that it stands",
        "everywhere",
        "{{ event.name }}",
        "push",
    ),
    (
        "`event.fired_by`",
        "the user who made the event by `hookyard fire`; undefined if it arrived",
        "everywhere",
        "{{ event.fired_by | default('-') }}",
        "-",
    ),
    (
        "`client.ip`",
        "the address of the client; undefined if it came by a unix socket",
        "everywhere",
        "{{ client.ip }}",
        "10.1.2.3",
    ),
    (
        "`method`",
        "the method of the request",
        "everywhere",
        "{{ method }}",
        "POST",
    ),
    (
        "`rule`",
        "the name of the rule",
        "everywhere",
        "{{ rule }}",
        "deploy",
    ),
    (
        "`endpoint`",
        "the path of the endpoint",
        "everywhere",
        "{{ endpoint }}",
        "/deploy/{app}",
    ),
    (
        "`attempt`",
        "the number of the attempt, from 1",
        "everywhere",
        "{{ attempt }}",
        "2",
    ),
    (
        "`replay`",
        "the number of replays by the operator, from 0",
        "everywhere",
        "{{ replay }}",
        "0",
    ),
    (
        "`verified`",
        "`false` if `mode: observe` took an event that is not genuine",
        "everywhere",
        "{{ verified }}",
        "true",
    ),
    (
        "`actions[N]`, `actions.ID`",
        "an action that has run, by its position from 0 or its `id`: `action`, `outcome`, `detail`, `stdout`, `stderr`, `status` (exit code, or status of the response) and `body` (of the response)",
        "later actions, `respond` with `wait`",
        "{{ actions.build.stdout }}: {{ actions[0].status }}",
        "built: 0",
    ),
    (
        "`item`",
        "the element of `for_each` that the delivery is about; in `on_failure` null if the failure is that of the whole event",
        "with `for_each`",
        "{{ item.id }}",
        "c2",
    ),
    (
        "`failure`",
        "`action`, `reason` and `output` of what failed",
        "`on_failure`",
        "{{ failure.action }}: {{ failure.reason }}",
        "run: exit 3",
    ),
    (
        "`silence`",
        "`endpoint` and `rule` that are silent, `last` arrival, `expected` time, and `for` how long",
        "`on_silence`",
        "{{ silence.rule }}: nothing for {{ silence.for }}",
        "deploy: nothing for 1day 1h",
    ),
];

const FUNCTIONS: [Row; 5] = [
    (
        "`jsonpath('$.a[*].b')`",
        "what a JSONPath selects from the payload: the value, or the list of several",
        "everywhere",
        "{{ jsonpath('$.commits[*].id') }}",
        r#"["c1","c2"]"#,
    ),
    (
        "`secret('NAME')`",
        "the secret `env:NAME`; masked wherever it is shown",
        "everywhere",
        "{{ secret('TOKEN') }}",
        "a-secret-of-the-examples",
    ),
    (
        "`now()`",
        "the time of this attempt, RFC 3339",
        "everywhere",
        "{{ now() | length }}",
        "24",
    ),
    (
        "`range(N)`",
        "the numbers from 0 to N - 1",
        "everywhere",
        "{% for n in range(3) %}{{ n }}{% endfor %}",
        "012",
    ),
    (
        "`dict(NAME=VALUE)`",
        "a mapping",
        "everywhere",
        "{{ dict(ref=payload.ref) }}",
        r#"{"ref":"refs/heads/main"}"#,
    ),
];

/// Filters: name, description, template, result.
const FILTERS: [(&str, &str, &str, &str); 30] = [
    (
        "tojson",
        "the value as JSON, text in quotes",
        "{{ payload.ref | tojson }}",
        r#""refs/heads/main""#,
    ),
    (
        "urlencode",
        "percent-encoded",
        "{{ payload.ref | urlencode }}",
        "refs%2Fheads%2Fmain",
    ),
    (
        "default",
        "another value if it is undefined",
        r#"{{ payload.x | default("none") }}"#,
        "none",
    ),
    ("lower", "in lower case", "{{ 'Main' | lower }}", "main"),
    ("upper", "in upper case", "{{ 'Main' | upper }}", "MAIN"),
    (
        "trim",
        "without blanks at both ends",
        "{{ ' main ' | trim }}",
        "main",
    ),
    (
        "replace",
        "one text replaced by another",
        r#"{{ payload.ref | replace("refs/heads/", "") }}"#,
        "main",
    ),
    (
        "join",
        "a list as one text",
        r#"{{ payload.tags | join(", ") }}"#,
        "b, a, a",
    ),
    (
        "split",
        "a text as a list",
        "{{ payload.ref | split('/') }}",
        r#"["refs","heads","main"]"#,
    ),
    ("first", "the first item", "{{ payload.tags | first }}", "b"),
    ("last", "the last item", "{{ payload.tags | last }}", "a"),
    (
        "length",
        "the number of items or characters",
        "{{ payload.commits | length }}",
        "2",
    ),
    ("int", "as a whole number", "{{ payload.count | int + 1 }}", "4"),
    (
        "float",
        "as a number with a fraction",
        "{{ payload.count | float }}",
        "3.0",
    ),
    (
        "round",
        "rounded to that many places",
        "{{ 2.46 | round(1) }}",
        "2.5",
    ),
    ("abs", "without its sign", "{{ -3 | abs }}", "3"),
    (
        "fromjson",
        "the value that a JSON text describes",
        r#"{{ ('{"a": [1, 2]}' | fromjson).a[1] }}"#,
        "2",
    ),
    (
        "b64decode",
        "what Base64 stands for, in either alphabet; bytes that are not text can go to another filter",
        "{{ 'aG9va3lhcmQ=' | b64decode }}",
        "hookyard",
    ),
    (
        "b64encode",
        "Base64 of text or bytes",
        "{{ 'hookyard' | b64encode }}",
        "aG9va3lhcmQ=",
    ),
    (
        "sha256",
        "the SHA-256 of text or bytes, in hex",
        "{{ payload.ref | sha256 | length }}",
        "64",
    ),
    (
        "regex_replace",
        "every match of a regular expression replaced; `$1` is a group",
        "{{ payload.ref | regex_replace('^refs/(heads)/', '$1:') }}",
        "heads:main",
    ),
    (
        "datetimeformat",
        "a time (RFC 3339, or seconds since 1970) as `strftime` writes it, in UTC or at an offset",
        r#"{{ 1700000000 | datetimeformat("%d.%m.%Y %H:%M", tz="+01:00") }}"#,
        "14.11.2023 23:13",
    ),
    ("string", "as text", "{{ 3 | string | tojson }}", r#""3""#),
    ("list", "as a list", "{{ 'ab' | list }}", r#"["a","b"]"#),
    (
        "items",
        "the names and values of a mapping",
        "{% for name, value in payload.owner | items %}{{ name }}={{ value }}{% endfor %}",
        "name=Zoë",
    ),
    ("sort", "sorted", "{{ payload.tags | sort }}", r#"["a","a","b"]"#),
    (
        "unique",
        "without repeated items",
        "{{ payload.tags | unique }}",
        r#"["b","a"]"#,
    ),
    (
        "map",
        "an attribute of each item, or a filter for each",
        "{{ payload.commits | map(attribute='id') | join(' ') }}",
        "c1 c2",
    ),
    (
        "select",
        "the items that pass a test",
        "{{ payload.tags | select('startingwith', 'a') | list }}",
        r#"["a","a"]"#,
    ),
    (
        "indent",
        "further lines indented",
        "{{ 'a\\nb' | indent(2) | tojson }}",
        r#""a\n  b""#,
    ),
];

/// Returns the parts of `templates.md`.
pub fn parts() -> Vec<(&'static str, String)> {
    let code = |text: &str| format!("`{text}`");
    let named = |heads: [&str; 5], rows: &[Row]| {
        let rows = rows.iter().map(|(name, value, place, example, result)| {
            [
                (*name).to_owned(),
                (*value).to_owned(),
                (*place).to_owned(),
                code(example),
                code(result),
            ]
        });
        table(heads, rows)
    };
    let filters = FILTERS
        .map(|(name, what, example, result)| [code(name), what.to_owned(), code(example), code(result)]);
    vec![
        ("payload", format!("```json\n{PAYLOAD}\n```")),
        (
            "variables",
            named(["name", "value", "where", "example", "result"], &VARIABLES),
        ),
        (
            "functions",
            named(["function", "value", "where", "example", "result"], &FUNCTIONS),
        ),
        (
            "filters",
            table(["filter", "what it makes", "example", "result"], filters),
        ),
    ]
}
