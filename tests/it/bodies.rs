//! Bodies in every format that senders use: verified as sent, and decoded afterwards.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::scenario::{Daemon, Scenario, Sending, Target, hmac_hex};

const RULES: &str = r#"
server: {listen: 127.0.0.1:0, max_body: 64KiB}
rules:
  - name: mail
    endpoint: /mail
    verify: {hmac: {secret: k}}
    match: {$.subject: hello, $.file.filename: {suffix: .png}, $.file.size: 5, "$.to[*]": b@x.example}
    actions: [{append: mail.txt, line: "{{ payload.file | tojson }} {{ body | length }}"}]
  - name: order
    endpoint: /order
    verify: {hmac: {secret: k}}
    match: {"$.order['@id']": "7", "$.order.item[*]": tea, "$.order['x:note']['#text']": naïve}
    actions: [{append: order.jsonl, line: "{{ payload | tojson }}"}]
  - name: push
    endpoint: /push
    verify: {hmac: {secret: k}}
    match: {$.ref: main}
    actions: [append: push.jsonl]
  - name: note
    endpoint: /note
    verify: none
    match: {$: {prefix: naï}}
    actions: [{append: note.txt, line: "{{ payload }}"}]
"#;

fn daemon() -> Daemon {
    Scenario::new().rules(RULES).start()
}

/// A signed request with these bytes and this content type.
fn signed(daemon: &Daemon, path: &str, content_type: &str, body: &[u8]) -> Sending {
    daemon
        .post(path)
        .header("Content-Type", content_type)
        .header("X-Signature", &hmac_hex("k", body))
        .body(body)
}

fn gzipped(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// Waits until the log contains `words`.
#[track_caller]
fn logged(daemon: &Daemon, words: &str) {
    daemon.eventually(words, || daemon.log().contains(words));
}

fn said(status: u16, word: &str) -> (u16, String) {
    (status, word.to_owned())
}

#[test]
fn the_fields_and_the_files_of_a_signed_form_are_matched() {
    let daemon = daemon();
    let field = |name: &str, more: &str, content: &str| {
        format!("--b42\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n{content}\r\n")
    };
    let form = [
        field("subject", "", "hello"),
        field("to", "", "a@x.example"),
        field("to", "", "b@x.example"),
        field(
            "file",
            "; filename=\"a.png\"\r\nContent-Type: image/png",
            "\u{1}é\r\n",
        ),
        "--b42--\r\n".to_owned(),
    ]
    .concat();
    let sending = signed(
        &daemon,
        "/mail",
        "multipart/form-data; boundary=\"b42\"",
        form.as_bytes(),
    );
    assert_eq!(
        sending.send().outcome(),
        said(200, "accepted"),
        "{}",
        daemon.log()
    );
    daemon.eventually("the line is appended", || daemon.lines("mail.txt") == 1);
    assert_eq!(
        daemon.read("mail.txt"),
        format!(
            "{{\"content_type\":\"image/png\",\"filename\":\"a.png\",\"size\":5}} {}\n",
            form.chars().count()
        )
    );
    // The signature covers the files, too.
    let altered = form.replace('\u{1}', "\u{2}");
    assert_eq!(sending.body(altered).send().outcome(), said(403, "refused"));
    let nameless = form.replace("name=\"to\"", "title=\"to\"");
    let sending = signed(
        &daemon,
        "/mail",
        "multipart/form-data; boundary=b42",
        nameless.as_bytes(),
    );
    assert_eq!(sending.send().outcome(), said(400, "invalid payload"));
    logged(&daemon, "part 2 has no name");
}

#[test]
fn xml_is_matched_by_elements_and_attributes_in_its_own_charset() {
    let daemon = daemon();
    let text = "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n<order id=\"7\">\n  <item>milk</item>\n  <item>tea</item>\n  <x:note lang='fr'>na\u{ef}ve</x:note>\n</order>\n";
    let latin: Vec<u8> = text.chars().map(|letter| u8::try_from(letter).unwrap()).collect();
    for content_type in ["application/xml", "application/vnd.shop+xml"] {
        // The comment is dropped. It is there because the same bytes twice would be a duplicate.
        let body = [&latin, format!("<!-- {content_type} -->").as_bytes()].concat();
        let sending = signed(&daemon, "/order", content_type, &body);
        assert_eq!(
            sending.send().outcome(),
            said(200, "accepted"),
            "{}",
            daemon.log()
        );
    }
    daemon.eventually("both lines are appended", || daemon.lines("order.jsonl") == 2);
    let expected = r##"{"order":{"@id":"7","item":["milk","tea"],"x:note":{"#text":"naïve","@lang":"fr"}}}"##;
    assert_eq!(daemon.read("order.jsonl"), format!("{expected}\n{expected}\n"));
    let entity =
        b"<!DOCTYPE order [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><order id='7'><item>&e;</item></order>";
    let sending = signed(&daemon, "/order", "text/xml", entity);
    assert_eq!(sending.send().outcome(), said(400, "invalid payload"));
    logged(&daemon, "line 1 column 1: a document type");
}

#[test]
fn json_under_another_name_and_text_in_another_charset_are_read() {
    let daemon = daemon();
    let sending = signed(
        &daemon,
        "/push",
        "application/cloudevents+json",
        br#"{"ref": "main"}"#,
    );
    assert_eq!(sending.send().outcome(), said(200, "accepted"));
    let utf_16: Vec<u8> = r#"{"ref": "main"}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let sending = signed(&daemon, "/push", "application/json; charset=UTF-16", &utf_16);
    assert_eq!(sending.send().outcome(), said(200, "accepted"));
    let note = daemon
        .post("/note")
        .header("Content-Type", "text/plain; charset=latin1");
    assert_eq!(note.body(b"na\xEFve").send().outcome(), said(200, "accepted"));
    daemon.eventually("the note is appended", || daemon.read("note.txt") == "naïve\n");
    daemon.eventually("both records are appended", || daemon.lines("push.jsonl") == 2);
    for line in daemon.read("push.jsonl").lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(record["payload"], serde_json::json!({"ref": "main"}));
    }
    let note = daemon
        .post("/note")
        .header("Content-Type", "text/plain; charset=klingon");
    assert_eq!(note.body("x").send().outcome(), said(400, "invalid payload"));
    logged(&daemon, "the charset `klingon` is not known here");
}

#[test]
fn a_compressed_body_is_verified_as_it_was_sent() {
    let daemon = daemon();
    let plain = br#"{"ref": "main", "n": 1}"#;
    let body = gzipped(plain);
    let sending = signed(&daemon, "/push", "application/json", &body).header("Content-Encoding", "gzip");
    assert_eq!(
        sending.send().outcome(),
        said(200, "accepted"),
        "{}",
        daemon.log()
    );
    daemon.eventually("the record is appended", || daemon.lines("push.jsonl") == 1);
    let record: serde_json::Value = serde_json::from_str(&daemon.read("push.jsonl")).unwrap();
    assert_eq!(record["payload"], serde_json::json!({"ref": "main", "n": 1}));
    let over_plain = daemon
        .post("/push")
        .json(&body)
        .header("Content-Encoding", "gzip")
        .header("X-Signature", &hmac_hex("k", plain));
    assert_eq!(over_plain.send().outcome(), said(403, "refused"));
}

#[test]
fn a_bomb_is_told_so_once_it_is_verified_and_nothing_before() {
    let daemon = daemon();
    let bomb = gzipped(&vec![b' '; 10_000_000]);
    assert!(bomb.len() < 64 << 10, "{} bytes", bomb.len());
    let sending = signed(&daemon, "/push", "application/json", &bomb).header("Content-Encoding", "gzip");
    assert_eq!(sending.send().outcome(), said(413, "too large"));
    logged(&daemon, "decompressed the body has more than 65536 bytes");
    let unsigned = daemon
        .post("/push")
        .json(&bomb)
        .header("Content-Encoding", "gzip");
    assert_eq!(unsigned.send().outcome(), said(403, "refused"));
    for (coding, words) in [
        ("zstd", "the content coding `zstd` is not known here"),
        ("br", "the body is br that ends too early"),
        ("gzip, gzip, gzip", "more than 2 content codings"),
    ] {
        let body = [0x21];
        let sending = signed(&daemon, "/push", "application/json", &body).header("Content-Encoding", coding);
        assert_eq!(sending.send().outcome(), said(400, "invalid payload"), "{coding}");
        logged(&daemon, words);
    }
}

#[test]
fn a_body_that_is_read_for_its_id_is_answered_as_one_that_is_read_for_its_conditions() {
    let rules = RULES.replacen(
        "hmac: {secret: k}}\n    match: {$.ref",
        "hmac: {secret: k, id: {json: $.id}}}\n    match: {$.ref",
        1,
    );
    assert_ne!(rules, RULES);
    let daemon = Scenario::new().rules(&rules).start();
    let bomb = gzipped(&vec![b' '; 10_000_000]);
    let sending = signed(&daemon, "/push", "application/json", &bomb).header("Content-Encoding", "gzip");
    assert_eq!(sending.send().outcome(), said(413, "too large"));
    let broken = signed(&daemon, "/push", "application/json", b"{\"id\": ");
    assert_eq!(broken.send().outcome(), said(400, "invalid payload"));
    // Genuine, readable and without an id: the signature distinguishes it from others.
    let without = signed(&daemon, "/push", "application/json", b"{\"ref\": \"main\"}");
    assert_eq!(without.send().outcome(), said(200, "accepted"));
    assert_eq!(without.send().outcome(), said(200, "duplicate"));
    let unsigned = daemon
        .post("/push")
        .json(&bomb)
        .header("Content-Encoding", "gzip");
    assert_eq!(unsigned.send().outcome(), said(403, "refused"));
    let whole = signed(
        &daemon,
        "/push",
        "application/json",
        b"{\"id\": 1, \"ref\": \"main\"}",
    );
    assert_eq!(whole.send().status, 200);
}

#[test]
fn explain_says_what_a_compressed_body_would_be_answered() {
    let daemon = daemon();
    let bomb = gzipped(&vec![b' '; 10_000_000]);
    for (coding, body, expected) in [
        ("gzip", gzipped(br#"{"ref": "main"}"#), "yes push: "),
        (
            "gzip",
            bomb,
            "the answer would be 413 too large: decompressed the body has more than 65536 bytes (`max_body`)",
        ),
        (
            "zstd",
            b"x".to_vec(),
            "the answer would be 400 invalid payload: the content coding `zstd`",
        ),
    ] {
        std::fs::write(daemon.folder().join("body"), body).unwrap();
        let coding = format!("Content-Encoding: {coding}");
        let arguments = [
            "explain",
            "rules.yaml",
            "--endpoint",
            "/push",
            "--body",
            "body",
            "--header",
            &coding,
        ];
        let output = daemon.scenario.hookyard(&arguments);
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert!(stdout.contains(expected), "{stdout}");
    }
}

#[test]
fn what_was_sent_is_what_is_kept_and_passed_on() {
    let target = Target::ok();
    let rules = format!(
        "
rules:
  - name: push
    endpoint: /push
    verify: none
    actions:
      - run: [./gate]
        stdin: none
        exit: {{done: [0], retry: [75]}}
      - run: [./keep]
      - forward: {}
      - append: ref.txt
        line: '{{{{ payload.ref }}}}'
    retry: {{attempts: 100, backoff: [1s]}}
",
        target.url()
    );
    let mut daemon = Scenario::new()
        .script("gate", "echo >> knocks; test -e open || exit 75")
        .script("keep", "cat > kept")
        .rules(&rules)
        .start();
    let body = gzipped(br#"{"ref": "main"}"#);
    let sending = daemon
        .post("/push")
        .json(&body)
        .header("Content-Encoding", "gzip");
    assert_eq!(sending.send().outcome(), said(200, "accepted"));
    daemon.eventually("the gate is closed", || daemon.lines("knocks") > 0);
    daemon.kill();
    // A lowered limit applies to new requests, not to accepted events.
    let stricter = rules.replace("\nrules:", "\nendpoints: {/push: {max_body: 4}}\nrules:");
    let daemon_rules = crate::scenario::rules_text(daemon.folder(), &stricter);
    std::fs::write(daemon.folder().join("rules.yaml"), daemon_rules).unwrap();
    std::fs::write(daemon.folder().join("open"), "").unwrap();
    daemon.start();
    daemon.eventually("the stored body is read", || daemon.read("ref.txt") == "main\n");
    assert_eq!(std::fs::read(daemon.folder().join("kept")).unwrap(), body);
    let requests = target.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(
        (requests[0].header("content-encoding"), &requests[0].body),
        (Some("gzip"), &body)
    );
}

#[test]
fn a_sender_brings_its_own_limit_unless_the_file_says_one_and_what_is_too_large_is_said() {
    let rules = r#"
server: {listen: 127.0.0.1:0}
endpoints:
  /told: {max_body: 1MiB}
rules:
  - {name: github, endpoint: /github, verify: {github: {secret: k}}, actions: [{append: out.txt, line: "x"}]}
  - {name: told, endpoint: /told, verify: {github: {secret: k}}, actions: [{append: out.txt, line: "x"}]}
  - {name: plain, endpoint: /plain, verify: {hmac: {secret: k}}, actions: [{append: out.txt, line: "x"}]}
"#;
    let daemon = Scenario::new().rules(rules).start();
    // GitHub's largest push: 2,048 commits.
    let body = format!("{{\"commits\": \"{}\"}}", "x".repeat(1_500_000));
    let send = |path: &str| {
        let sending = daemon.post(path).json(&body).github("k");
        let sending = sending.header("X-Signature", &hmac_hex("k", body.as_bytes()));
        sending.send().outcome()
    };
    assert_eq!(send("/github"), said(200, "accepted"), "{}", daemon.log());
    for path in ["/told", "/plain"] {
        assert_eq!(send(path), said(413, "too large"));
    }
    logged(
        &daemon,
        "a body of 1500015 bytes, and `max_body` of the endpoint is 1048576",
    );
    let log = daemon.log();
    let line = log
        .lines()
        .find(|line| line.contains("a body of 1500015"))
        .unwrap();
    assert!(line.contains("WARN"), "{line}");
    // Set for all endpoints, the limit applies.
    let rules = rules.replace("0.1:0}", "0.1:0, max_body: 1MiB}");
    let daemon = Scenario::new().rules(&rules).start();
    let sending = daemon.post("/github").json(&body).github("k");
    assert_eq!(sending.send().outcome(), said(413, "too large"));
}

#[test]
fn a_sender_brings_no_larger_limit_than_the_memory_of_all_bodies() {
    let rules = |server: &str| {
        format!(
            "server: {{listen: 127.0.0.1:0{server}}}\nrules:\n  - {{name: a, endpoint: /a, \
             verify: {{github: env:NAME}}, actions: [append: a.jsonl]}}\n"
        )
    };
    for server in ["", ", max_inflight: 2MiB", ", max_inflight: 1MiB"] {
        let scenario = Scenario::new().env("NAME", "5f2c1e0b9a8d7c6b5a49382716f5e4d3");
        let output = scenario.rules(&rules(server)).hookyard(&["check", "rules.yaml"]);
        let said = crate::scenario::said(&output);
        assert!(said.contains("1 rule, 0 warnings"), "{server}: {said}");
    }
}
