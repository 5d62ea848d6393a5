//! Handshakes of senders, through the real binary: each gets the expected answer, and causes no
//! event and no action.

use std::io::{Read, Write};

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use crate::scenario::{Answer, Daemon, Scenario, Sending, hmac_bytes, hmac_hex, now};

pub const RULES: &str = r#"
server: {listen: 127.0.0.1:0, public_url: "https://hooks.test"}
endpoints:
  /both: {methods: [GET, POST]}
rules:
  - {name: slack, endpoint: /slack, verify: {slack: k}, actions: [append: ran.jsonl]}
  - {name: meta, endpoint: /meta, verify: {meta: {secret: k, verify_token: vt}}, actions: [append: ran.jsonl]}
  - {name: untold, endpoint: /untold, verify: {meta: k}, actions: [append: ran.jsonl]}
  - {name: twitch, endpoint: /twitch, verify: {twitch: k}, actions: [append: ran.jsonl]}
  - {name: zoom, endpoint: /zoom, verify: {zoom: k}, actions: [append: ran.jsonl]}
  - name: discord
    endpoint: /discord
    verify: {hmac: {secret: k, timestamp: {}, content: "{timestamp}{body}", handshake: discord}}
    actions: [append: ran.jsonl]
  - {name: dropbox, endpoint: /dropbox, verify: {dropbox: k}, actions: [append: ran.jsonl]}
  - name: graph
    endpoint: /graph
    verify: {token: {json: "$.value[0].clientState", secret: k, handshake: microsoft_graph}}
    actions: [append: ran.jsonl]
  - {name: asana, endpoint: /asana, verify: {asana: {learn: learnt/asana}}, actions: [append: ran.jsonl]}
  - {name: asana-told, endpoint: /asana-told, verify: {asana: k}, actions: [append: ran.jsonl]}
  - {name: trello, endpoint: /trello, verify: {trello: k}, actions: [append: ran.jsonl]}
  - name: cloudevents
    endpoint: /cloudevents
    verify: {bearer: {secret: k, handshake: cloudevents}}
    actions: [append: ran.jsonl]
  - {name: x, endpoint: /x, verify: {x: k}, actions: [append: ran.jsonl]}
  - {name: notion, endpoint: /notion, verify: {notion: {learn: learnt/notion}}, actions: [append: ran.jsonl]}
  - {name: plain, endpoint: /plain, verify: {hmac: k}, actions: [append: ran.jsonl]}
  - {name: both, endpoint: /both, verify: {dropbox: k}, actions: [append: ran.jsonl]}
  - {name: off, endpoint: /two, enabled: false, verify: {dropbox: k}, actions: [append: ran.jsonl]}
  - {name: on, endpoint: /two, verify: {hmac: k}, actions: [append: ran.jsonl]}
"#;

const TEXT: &str = "text/plain; charset=utf-8";
const CHALLENGE: &str = r#"{"token":"t","challenge":"3eZbrw1a","type":"url_verification"}"#;
const VALIDATION: &str =
    r#"{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}"#;

pub fn daemon() -> Daemon {
    let scenario = Scenario::new().rules(RULES);
    std::fs::create_dir(scenario.folder().join("learnt")).unwrap();
    scenario.start()
}

/// A POST as Slack sends it at `at`.
fn slack(daemon: &Daemon, body: &str, at: i64) -> Sending {
    signed_v0(
        daemon,
        "/slack",
        ["X-Slack-Request-Timestamp", "X-Slack-Signature"],
        body,
        at,
    )
}

fn zoom(daemon: &Daemon, body: &str, at: i64) -> Sending {
    signed_v0(
        daemon,
        "/zoom",
        ["x-zm-request-timestamp", "x-zm-signature"],
        body,
        at,
    )
}

fn signed_v0(daemon: &Daemon, path: &str, [stamp, signature]: [&str; 2], body: &str, at: i64) -> Sending {
    let mac = hmac_hex("k", format!("v0:{at}:{body}").as_bytes());
    daemon
        .post(path)
        .json(body)
        .header(stamp, &at.to_string())
        .header(signature, &format!("v0={mac}"))
}

fn twitch(daemon: &Daemon, kind: &str, body: &str) -> Sending {
    let at = rfc3339(now());
    let mac = hmac_hex("k", format!("id-1{at}{body}").as_bytes());
    daemon
        .post("/twitch")
        .json(body)
        .header("Twitch-Eventsub-Message-Id", "id-1")
        .header("Twitch-Eventsub-Message-Timestamp", &at)
        .header("Twitch-Eventsub-Message-Type", kind)
        .header("Twitch-Eventsub-Message-Signature", &format!("sha256={mac}"))
}

fn discord(daemon: &Daemon, body: &str, secret: &str) -> Sending {
    let at = now().to_string();
    let mac = hmac_hex(secret, format!("{at}{body}").as_bytes());
    daemon
        .post("/discord")
        .json(body)
        .header("X-Timestamp", &at)
        .header("X-Signature", &mac)
}

/// A time as Twitch writes it.
fn rfc3339(at: i64) -> String {
    hookyard::base::clock::Timestamp::from_seconds(at).to_string()
}

/// An event with a signature over its body.
pub fn event(daemon: &Daemon, path: &str, header: &str, signature: &str, body: &str) -> (u16, String) {
    daemon
        .post(path)
        .json(body)
        .header(header, signature)
        .send()
        .outcome()
}

/// Waits until the log, which is written asynchronously, contains `words`. Returns the log so far.
#[track_caller]
pub fn logged(daemon: &Daemon, words: &str) -> String {
    daemon.eventually(words, || daemon.log().contains(words));
    daemon.log()
}

pub fn refused() -> (u16, String) {
    (403, "refused".to_owned())
}

/// Asserts the headers of every handshake answer: a status, a type if there is a body, and no
/// content sniffing.
#[track_caller]
fn expect(answer: &Answer, status: u16, content_type: Option<&str>, body: &str) {
    assert_eq!(
        (answer.status, answer.header("content-type"), answer.body.as_str()),
        (status, content_type, body),
        "{answer:?}"
    );
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
}

/// Number of rows in a table of the store.
fn count(daemon: &Daemon, table: &str) -> i64 {
    let store = rusqlite::Connection::open(daemon.folder().join("hookyard.db")).unwrap();
    let count = format!("SELECT count(*) FROM {table}");
    store.query_row(&count, [], |row| row.get(0)).unwrap()
}

/// The answer to a HEAD, which has no body regardless of its length.
fn head(daemon: &Daemon, path: &str) -> String {
    let mut stream = daemon.connect();
    let request = daemon.request("HEAD", path).header("Connection", "close");
    stream.write_all(&request.bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Sends every handshake once, and checks the answers.
fn greet_all(daemon: &Daemon) {
    let get = |target: &str| daemon.request("GET", target).send();
    let text = |answer: &Answer, body: &str| expect(answer, 200, Some(TEXT), body);
    let json = |answer: &Answer, body: &str| expect(answer, 200, Some("application/json"), body);
    let empty = |answer: &Answer, status: u16| expect(answer, status, None, "");
    text(&slack(daemon, CHALLENGE, now()).send(), "3eZbrw1a");
    let meta = "/meta?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=vt";
    text(&get(meta), "1158201444");
    let body = r#"{"challenge":"pogchamp-kappa","subscription":{"id":"1"}}"#;
    let verification = twitch(daemon, "webhook_callback_verification", body);
    text(&verification.send(), "pogchamp-kappa");
    let mac = hmac_hex("k", b"qgg8vlvZRS6UYooatFL8Aw");
    json(
        &zoom(daemon, VALIDATION, now()).send(),
        &format!(r#"{{"encryptedToken":"{mac}","plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}"#),
    );
    let ping = discord(daemon, r#"{"id":"1","type":1,"version":1}"#, "k");
    json(&ping.send(), r#"{"type":1}"#);
    empty(&discord(daemon, r#"{"version":1,"type":0}"#, "k").send(), 204);
    text(&get("/dropbox?challenge=abc-123"), "abc-123");
    let graph = daemon.post("/graph?validationToken=Validation%3a+Testing+client+application");
    text(
        &graph.header("Content-Type", "text/plain").send(),
        "Validation: Testing client application",
    );
    let trello = head(daemon, "/trello");
    assert!(
        trello.starts_with("HTTP/1.1 200 ") && trello.contains("nosniff") && trello.ends_with("\r\n\r\n"),
        "{trello}"
    );
    let options = daemon
        .request("OPTIONS", "/cloudevents")
        .header("WebHook-Request-Origin", "eventemitter.example.com")
        .header("WebHook-Request-Rate", "120")
        .send();
    empty(&options, 200);
    let (origin, rate) = ("webhook-allowed-origin", "webhook-allowed-rate");
    assert_eq!(options.header(origin), Some("eventemitter.example.com"));
    assert_eq!(
        (options.header(rate), options.header("allow")),
        (Some("120"), Some("POST"))
    );
    let mac = data_encoding::BASE64.encode(&hmac_bytes(b"k", b"9b4507b3-9040"));
    json(
        &get("/x?crc_token=9b4507b3-9040"),
        &format!(r#"{{"response_token":"sha256={mac}"}}"#),
    );
    let asana = daemon
        .post("/asana")
        .json("{}")
        .header("X-Hook-Secret", "b537207f");
    let asana = asana.send();
    empty(&asana, 200);
    assert_eq!(asana.header("x-hook-secret"), Some("b537207f"));
    let notion = daemon
        .post("/notion")
        .json(r#"{"verification_token":"secret_tMrl"}"#);
    empty(&notion.send(), 200);
}

#[test]
fn every_handshake_is_answered_as_its_sender_wants_it_and_runs_nothing() {
    let daemon = daemon();
    greet_all(&daemon);
    let log = logged(&daemon, "handshake=\"notion\"");
    for (name, times) in [
        ("slack", 1),
        ("meta", 1),
        ("twitch", 1),
        ("zoom", 1),
        ("discord", 2),
        ("dropbox", 1),
        ("microsoft_graph", 1),
        ("trello", 1),
        ("cloudevents", 1),
        ("x", 1),
        ("asana", 1),
        ("notion", 1),
    ] {
        let line = format!("outcome=\"handshake\" handshake=\"{name}\"");
        assert_eq!(log.matches(&line).count(), times, "{name}: {log}");
    }
    for secret in ["b537207f", "secret_tMrl", "=vt"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
    assert_eq!(count(&daemon, "events"), 0);
    // An ordinary event on the same endpoint is an event, and only its action has run.
    let event = slack(&daemon, r#"{"type":"event_callback"}"#, now()).send();
    assert_eq!(event.outcome(), (200, "accepted".to_owned()));
    daemon.eventually("the event's action ran", || daemon.lines("ran.jsonl") == 1);
    assert!(daemon.read("ran.jsonl").contains("\"rule\":\"slack\""));
}

#[test]
fn a_signed_handshake_that_is_not_signed_well_is_refused_like_an_event() {
    let daemon = daemon();
    let body = r#"{"challenge":"x"}"#;
    for sending in [
        daemon.post("/slack").json(CHALLENGE),
        slack(&daemon, CHALLENGE, now()).body(CHALLENGE.replace("3eZ", "4eZ")),
        daemon.post("/zoom").json(VALIDATION),
        daemon
            .post("/twitch")
            .json(body)
            .header("Twitch-Eventsub-Message-Type", "webhook_callback_verification"),
        twitch(&daemon, "webhook_callback_verification", body).body(r#"{"challenge":"y"}"#),
    ] {
        assert_eq!(sending.send().outcome(), refused());
    }
    for at in [now() - 310, now() + 310] {
        for sending in [slack(&daemon, CHALLENGE, at), zoom(&daemon, VALIDATION, at)] {
            assert_eq!(sending.send().outcome(), (400, "stale".to_owned()));
        }
    }
    // The sender's own time limit applies, even if the rule's window is longer.
    daemon.rewrite(
        "rules: [{name: slack, endpoint: /slack, verify: {slack: k}, replay_window: 24h, actions: [append: ran.jsonl]}]\n",
    );
    let stale = slack(&daemon, CHALLENGE, now() - 310).send();
    assert_eq!(stale.outcome(), (400, "stale".to_owned()));
    let event = slack(&daemon, r#"{"type":"event_callback"}"#, now() - 310).send();
    assert_eq!(event.outcome(), (200, "accepted".to_owned()));
    daemon.eventually("the event's action ran", || daemon.lines("ran.jsonl") == 1);
}

#[test]
fn bad_signatures_on_purpose_are_answered_401() {
    let daemon = daemon();
    let ping = r#"{"type":1}"#;
    for sending in [
        discord(&daemon, ping, "other"),
        daemon.post("/discord").json(ping),
        discord(&daemon, r#"{"type":2}"#, "other"),
        discord(&daemon, ping, "k").body("{}"),
    ] {
        let answer = sending.send();
        assert_eq!(
            (
                answer.status,
                answer.body.as_str(),
                answer.header("www-authenticate")
            ),
            (401, "{\"status\":\"refused\"}\n", Some("Signature")),
        );
    }
    let event = discord(
        &daemon,
        r#"{"type":1,"event":{"type":"APPLICATION_AUTHORIZED"}}"#,
        "k",
    )
    .send();
    assert_eq!(event.outcome(), (200, "accepted".to_owned()));
    daemon.eventually("the event's action ran", || daemon.lines("ran.jsonl") == 1);
}

#[test]
fn what_comes_back_is_text_and_never_too_much_of_it() {
    let daemon = daemon();
    let html = "%3Cscript%3Ealert(1)%3C/script%3E";
    let get = |target: &str| daemon.request("GET", target).send();
    expect(
        &get(&format!("/dropbox?challenge={html}")),
        200,
        Some(TEXT),
        "<script>alert(1)</script>",
    );
    let long = "x".repeat(4096);
    expect(
        &get(&format!("/dropbox?challenge={long}")),
        200,
        Some(TEXT),
        &long,
    );
    let meta = "/meta?hub.mode=subscribe&hub.verify_token=vt&hub.challenge";
    for target in [
        format!("/dropbox?challenge={long}x"),
        "/dropbox?challenge=a%0d%0aSet-Cookie:%20b".to_owned(),
        "/dropbox?challenge=%00".to_owned(),
        "/dropbox?challenge=%ff".to_owned(),
        "/dropbox?challenge=a&challenge=b".to_owned(),
        format!("{meta}=%1b[2J"),
        format!("{meta}=1&hub.challenge=2"),
        meta.replace("&hub.challenge", ""),
        "/x?crc_token=%7B%22for_user_id%22:%221%22%7D".to_owned(),
        "/x?crc_token=a&crc_token=a".to_owned(),
    ] {
        let answer = get(&target);
        assert_eq!(answer.outcome(), (400, "bad request".to_owned()), "{target}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/json"),
            "{target}"
        );
    }
    let challenge = serde_json::json!({"type": "url_verification", "challenge": "a\nb"}).to_string();
    assert_eq!(slack(&daemon, &challenge, now()).send().status, 400);
    assert!(!daemon.folder().join("ran.jsonl").exists());
}

#[test]
fn meta_must_know_the_verify_token_and_the_log_says_what_to_set() {
    let daemon = daemon();
    let get = |path: &str, token: &str| {
        let target = format!("{path}?hub.mode=subscribe&hub.challenge=1&hub.verify_token={token}");
        daemon.request("GET", &target).send().outcome()
    };
    assert_eq!(get("/meta", "vu"), refused());
    assert_eq!(get("/meta", ""), refused());
    assert_eq!(get("/untold", "vt"), refused());
    logged(&daemon, "`hub.verify_token` of the query is not `verify_token`");
    logged(&daemon, "write as `verify_token` what the sender was told");
    daemon.eventually("all three are among the refused", || {
        count(&daemon, "arrivals WHERE outcome = 'refused'") == 3
    });
    let mac = format!("sha256={}", hmac_hex("k", b"{}"));
    let outcome = event(&daemon, "/meta", "X-Hub-Signature-256", &mac, "{}");
    assert_eq!(outcome, (200, "accepted".to_owned()));
}

#[test]
fn a_method_is_let_in_for_a_handshake_and_for_nothing_else() {
    let daemon = daemon();
    for (method, target) in [
        ("GET", "/meta"),
        ("GET", "/meta?hub.challenge=1&hub.verify_token=vt"),
        ("GET", "/dropbox?other=1"),
        ("GET", "/x"),
        ("PUT", "/dropbox?challenge=1"),
        ("GET", "/plain?challenge=1"),
        ("GET", "/trello"),
        // A handshake of a disabled rule beside an enabled one.
        ("GET", "/two?challenge=1"),
    ] {
        let answer = daemon.request(method, target).send();
        assert_eq!(
            (answer.outcome(), answer.header("allow")),
            ((405, "method not allowed".to_owned()), Some("POST, OPTIONS")),
            "{method} {target}"
        );
    }
    for path in ["/cloudevents", "/plain"] {
        let plain = daemon.request("OPTIONS", path).send();
        expect(&plain, 204, None, "");
        assert_eq!(plain.header("allow"), Some("POST, OPTIONS"));
        assert_eq!(plain.header("webhook-allowed-origin"), None);
    }
    let elsewhere = daemon
        .request("OPTIONS", "/plain")
        .header("WebHook-Request-Origin", "a.example");
    assert_eq!(elsewhere.send().header("webhook-allowed-origin"), None);
    assert!(head(&daemon, "/dropbox").starts_with("HTTP/1.1 405 "));
    // On an endpoint that also takes events by GET, handshakes are recognised.
    let both = daemon.request("GET", "/both?challenge=1").send();
    expect(&both, 200, Some(TEXT), "1");
    let signed = daemon
        .request("GET", "/both")
        .header("X-Dropbox-Signature", &hmac_hex("k", b""));
    assert_eq!(signed.send().outcome(), (200, "accepted".to_owned()));
    daemon.eventually("the event's action ran", || daemon.lines("ran.jsonl") == 1);
}

#[test]
fn what_a_crc_was_answered_signs_no_event() {
    let daemon = daemon();
    for token in ["true", "123", "for_user_id=1", "text"] {
        let answer = daemon.request("GET", &format!("/x?crc_token={token}")).send();
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let signature = body["response_token"].as_str().unwrap().to_owned();
        let forged = event(&daemon, "/x", "x-twitter-webhooks-signature", &signature, token);
        assert_eq!(forged, refused(), "{token}");
    }
    let body = r#"{"for_user_id":"1"}"#;
    let mac = data_encoding::BASE64.encode(&hmac_bytes(b"k", body.as_bytes()));
    let genuine = event(
        &daemon,
        "/x",
        "x-twitter-webhooks-signature",
        &format!("sha256={mac}"),
        body,
    );
    assert_eq!(genuine, (200, "accepted".to_owned()));
    daemon.eventually("the event's action ran", || daemon.lines("ran.jsonl") == 1);
}

#[test]
fn events_of_all_senders_still_come_in() {
    let daemon = daemon();
    let body = r#"{"a":1}"#;
    let hex = hmac_hex("k", body.as_bytes());
    let base64 = data_encoding::BASE64.encode(&hmac_bytes(b"k", body.as_bytes()));
    let trello = {
        let mut mac = Hmac::<Sha1>::new_from_slice(b"k").unwrap();
        mac.update(body.as_bytes());
        mac.update(b"https://hooks.test/trello");
        data_encoding::BASE64.encode(&mac.finalize().into_bytes())
    };
    let events = [
        slack(&daemon, body, now()),
        zoom(&daemon, body, now()),
        twitch(&daemon, "notification", body),
        discord(&daemon, body, "k"),
        daemon
            .post("/meta")
            .json(body)
            .header("X-Hub-Signature-256", &format!("sha256={hex}")),
        daemon
            .post("/dropbox")
            .json(body)
            .header("X-Dropbox-Signature", &hex),
        daemon.post("/graph").json(r#"{"value":[{"clientState":"k"}]}"#),
        daemon
            .post("/trello")
            .json(body)
            .header("X-Trello-Webhook", &trello),
        daemon
            .post("/cloudevents")
            .json(body)
            .header("Authorization", "Bearer k"),
        daemon
            .post("/x")
            .json(body)
            .header("x-twitter-webhooks-signature", &format!("sha256={base64}")),
    ];
    for sending in &events {
        let answer = sending.send();
        assert_eq!(answer.outcome(), (200, "accepted".to_owned()), "{answer:?}");
    }
    daemon.eventually("all actions ran", || daemon.lines("ran.jsonl") == events.len());
}

#[test]
fn explain_says_that_it_is_a_handshake_and_send_passes_one() {
    let daemon = daemon();
    let scenario = &daemon.scenario;
    std::fs::write(daemon.folder().join("challenge.json"), CHALLENGE).unwrap();
    let said = |arguments: &[&str]| {
        let output = scenario.hookyard(arguments);
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).trim_end().to_owned(),
        )
    };
    let explain = ["explain", "rules.yaml", "--endpoint"];
    assert_eq!(
        said(&[&explain[..], &["/slack", "--body", "challenge.json"]].concat()),
        (
            Some(0),
            "this is the handshake `slack`: if it is genuine, it is answered 200 and no rule is asked"
                .to_owned()
        )
    );
    let (code, json) = said(&[&explain[..], &["/trello", "--method", "HEAD", "--format", "json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (code, &json["handshake"], &json["rules"]),
        (
            Some(0),
            &serde_json::json!({"name": "trello", "status": 200}),
            &serde_json::json!([])
        )
    );
    let target = "/meta?hub.mode=subscribe&hub.challenge=1&hub.verify_token=vu";
    let (code, text) = said(&[&explain[..], &[target, "--method", "GET"]].concat());
    assert_eq!(code, Some(1));
    assert!(
        text.starts_with("the answer would be 403 refused: the handshake `meta`: "),
        "{text}"
    );
    let (code, text) = said(&[&explain[..], &["/meta", "--method", "GET"]].concat());
    assert!(
        code == Some(1) && text.starts_with("the answer would be 405 "),
        "{text}"
    );
    let url = format!("http://{}/slack", daemon.address);
    assert_eq!(
        said(&[
            "send",
            &url,
            "--as",
            "slack",
            "--secret",
            "k",
            "--body",
            "challenge.json"
        ]),
        (Some(0), "200 (handshake) 3eZbrw1a".to_owned())
    );
}
