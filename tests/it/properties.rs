//! Property tests: any request gets an answer, any rules text gets diagnostics, and neither causes
//! a panic.

use std::io::{Read, Write};
use std::path::Path;

use hookyard::config;
use proptest::prelude::*;

use crate::scenario::{Daemon, Scenario};

/// The example rules, with pieces that can be replaced.
fn example() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules.example.yaml");
    std::fs::read_to_string(path).unwrap()
}

/// Pieces of YAML to put in the wrong position.
const PIECES: &[&str] = &[
    "",
    "null",
    "~",
    "[]",
    "{}",
    "[1, [2]]",
    "{a: {b: c}}",
    "-1",
    "1e400",
    "99999999999999999999",
    "true",
    "'",
    "\"",
    "é",
    "\u{0}",
    "*x",
    "&x 1",
    "!t x",
    "<<: {a: 1}",
    "{{ x }}",
    "\"{{ payload.\"",
    "\"{% for x in y %}\"",
    "$..*..*",
    "$[?",
    "'(((('",
    "'[z-a]'",
    "10.0.0.0/99",
    "env:NOPE",
    "file:/nope",
    "credential:../x",
    "whsec_!",
    "10q",
    "-5s",
    "9999999999999999h",
    "16EiB",
    "/{",
    "/{*x}/y",
    "http://[::1",
    "\n",
    ": ",
    " - ",
    "  ",
    "\t",
    "#",
    "@",
    "%",
    "|",
    ">",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Replaces, repeats, cuts and misindents lines of the example.
    #[test]
    fn no_rules_text_makes_check_panic(
        edits in prop::collection::vec((0usize..200, 0usize..6, 0usize..PIECES.len()), 1..6),
        cut in prop::option::of(0usize..8000),
    ) {
        let mut lines: Vec<String> = example().lines().map(str::to_owned).collect();
        for (line, how, piece) in edits {
            let line = line % lines.len();
            let piece = PIECES[piece];
            let old = lines[line].clone();
            lines[line] = match (how, old.split_once(": ")) {
                (0, Some((key, _))) => format!("{key}: {piece}"),
                (1, Some((_, value))) => format!("{piece}: {value}"),
                (2, _) => format!("{old}\n{old}"),
                (3, _) => format!("  {old}"),
                (4, _) => String::new(),
                _ => format!("{old}{piece}"),
            };
        }
        let mut text = lines.join("\n");
        if let Some(cut) = cut {
            text = text.chars().take(cut).collect();
        }
        load(text);
    }

    /// Any text at all.
    #[test]
    fn no_text_makes_check_panic(text in "(\\PC|\n| |: |- |\\{|\\[|\"){0,200}") {
        load(text);
    }
}

/// Loads a text and renders its diagnostics, which must not panic either.
fn load(text: String) {
    match config::load_text(Path::new("/nowhere/rules.yaml"), text, Vec::new()) {
        Ok(loaded) => drop(loaded.warnings.render(false)),
        Err(diagnostics) => {
            assert!(diagnostics.has_errors());
            drop(diagnostics.render(true));
            drop(
                diagnostics
                    .iter()
                    .map(hookyard::base::diagnostic::Diagnostic::to_json)
                    .collect::<Vec<_>>(),
            );
        }
    }
}

const RULES: &str = "
rules:
  - {name: github, endpoint: /github, verify: {github: {secret: k}}, actions: [append: x.jsonl]}
  - {name: stripe, endpoint: /stripe, verify: {stripe: {secret: k, id: {json: $.id}}}, actions: [append: x.jsonl]}
  - {name: standard, endpoint: /standard, verify: {standard: {secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}}, actions: [append: x.jsonl]}
  - {name: slack, endpoint: /slack, verify: {slack: {secret: k}}, actions: [append: x.jsonl]}
  - {name: gitea, endpoint: /gitea, verify: {gitea: {secret: k}}, actions: [append: x.jsonl]}
  - {name: basic, endpoint: /basic, verify: {basic: {user: u, password: p}}, actions: [append: x.jsonl]}
  - {name: json, endpoint: /json, verify: {token: {json: $.token, secret: k}}, actions: [append: x.jsonl]}
  - name: open
    endpoint: /open/{part}
    verify: none
    match:
      any:
        - {$.a: {gt: 5}}
        - {'$.b[*].c': {matches: '(a|b)+'}}
        - {'$.d[?@.e == 1].f': {length: {gt: 2}}}
        - {body: {contains: x}}
        - {header.X-Signature: {exists: true}}
    actions: [{append: open.txt, line: '{{ path.part }} {{ payload | tojson }} {{ body | length }}'}]
";

/// A request to one of the endpoints, with arbitrary bytes in body, headers and query.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let path = prop::sample::select(vec![
        "/github",
        "/stripe",
        "/standard",
        "/slack",
        "/gitea",
        "/basic",
        "/json",
        "/open/a",
        "/open/%ff",
        "/open/%2e%2e",
    ]);
    let name = prop::sample::select(vec![
        "X-Hub-Signature-256",
        "Stripe-Signature",
        "webhook-signature",
        "webhook-id",
        "webhook-timestamp",
        "svix-signature",
        "X-Slack-Signature",
        "X-Slack-Request-Timestamp",
        "X-Gitea-Signature",
        "Authorization",
        "X-Signature",
        "Content-Type",
        "Content-Encoding",
    ]);
    let value = prop_oneof![
        "[ -~]{0,80}".prop_map(String::into_bytes),
        prop::sample::select(vec![
            "sha256=",
            "sha256=zz",
            "v1,",
            "v1,!!!!",
            "t=1,v1=00",
            "t=,v1=",
            "v0=",
            "Basic",
            "Basic ====",
            "Basic Og==",
            "application/json",
            "application/x-www-form-urlencoded",
            "application/json; charset=utf-16",
            "multipart/form-data; boundary=b",
            "application/xml",
            "gzip",
            "br",
            "text/plain",
            "999999999999999999999",
            "-1",
            "1e3",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(0x80u8..=0xff, 0..40),
    ];
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        "(\\{|\\}|\\[|\\]|\"|:|,|a|b|1|-|\\.|e|\\\\u|d8|null|token| ){0,200}".prop_map(String::into_bytes),
        "(payload=|%7B|%|&|=|\\+|a){0,100}".prop_map(String::into_bytes),
        "(<a|<|/|>|&|;|'|=|--b|\r\n|: |name=a|content-disposition){0,60}".prop_map(String::into_bytes),
    ];
    (
        path,
        prop::collection::vec((name, value), 0..5),
        body,
        "[!-~]{0,20}",
    )
        .prop_map(|(path, headers, body, query)| {
            let query = query.replace(['#', ' '], "");
            let mut bytes =
                format!("POST {path}?{query} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n").into_bytes();
            for (name, value) in headers {
                bytes.extend_from_slice(name.as_bytes());
                bytes.extend_from_slice(b": ");
                bytes.extend_from_slice(&value);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
            bytes.extend_from_slice(&body);
            bytes
        })
}

/// Status of the response to these bytes.
fn status(daemon: &Daemon, bytes: &[u8]) -> u16 {
    let mut stream = daemon.connect();
    stream.write_all(bytes).unwrap();
    let mut text = Vec::new();
    stream.read_to_end(&mut text).unwrap();
    let text = String::from_utf8_lossy(&text).into_owned();
    text.split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("{text:?}"))
}

#[test]
fn no_request_makes_the_daemon_panic_or_answer_500() {
    let mut daemon = Scenario::new().rules(RULES).start();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(1500));
    let result = runner.run(&request(), |bytes| {
        let status = status(&daemon, &bytes);
        prop_assert!([200, 400, 401, 403, 404].contains(&status), "{status}");
        Ok(())
    });
    result.unwrap();
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
    assert_eq!(daemon.stop(), Some(0));
}
