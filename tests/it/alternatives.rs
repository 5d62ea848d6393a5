//! Alternatives of a verification (`verify: {any: […]}`): the first that accepts counts.

use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::scenario::{Daemon, Scenario, hmac_bytes, hmac_hex, now, said};

/// The change from the secret token of a sender to its signatures.
const GITLAB: &str = r"
rules:
  - name: deploy
    endpoint: /gitlab
    verify: {any: [{gitlab_signing: env:NEW}, {gitlab: env:OLD}]}
    match: {event: Push Hook}
    actions: [append: out.jsonl]
";

fn scenario(rules: &str) -> Scenario {
    Scenario::new()
        .env("NEW", "whsec_bmV3LXNpZ25pbmctdG9rZW4tMTIzNDU2Nzg5MA==")
        .env("OLD", "old-secret-token-1234567890")
        .rules(rules)
}

/// The signature headers of GitLab.
fn signed(id: &str, at: i64, body: &str) -> [(&'static str, String); 3] {
    let content = format!("{id}.{at}.{body}");
    let mac = hmac_bytes(b"new-signing-token-1234567890", content.as_bytes());
    [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", at.to_string()),
        ("webhook-signature", format!("v1,{}", BASE64.encode(&mac))),
    ]
}

fn post(daemon: &Daemon, body: &str, headers: &[(&str, String)]) -> (u16, String) {
    let sending = daemon
        .post("/gitlab")
        .json(body)
        .header("X-Gitlab-Event", "Push Hook");
    let sending = headers
        .iter()
        .fold(sending, |sending, (name, value)| sending.header(name, value));
    sending.send().outcome()
}

/// `events show` of the newest arrival.
fn newest(daemon: &Daemon, format: &str) -> String {
    let arrivals = daemon.scenario.arrivals(&[]);
    let id = arrivals[0]["id"].as_str().unwrap().to_owned();
    let shown = daemon
        .scenario
        .hookyard(&["events", "show", &id, "--format", format]);
    said(&shown)
}

#[test]
fn a_sender_changes_its_scheme_without_a_gap_and_records_name_what_was_used() {
    let daemon = scenario(GITLAB).start();
    let token = ("X-Gitlab-Token", "old-secret-token-1234567890".to_owned());
    let key = |id: &str| ("Idempotency-Key", id.to_owned());

    // As the sender is today: the token alone.
    assert_eq!(
        post(&daemon, r#"{"n":1}"#, &[token.clone(), key("a")]),
        (200, "accepted".into())
    );
    let text = newest(&daemon, "text");
    assert!(
        text.contains("yes deploy, verified by `gitlab` with `env:OLD`"),
        "{text}"
    );

    // During the change it sends both. The first alternative that accepts is named.
    let body = r#"{"n":2}"#;
    let both: Vec<_> = signed("b", now(), body)
        .into_iter()
        .chain([token.clone(), key("b")])
        .collect();
    assert_eq!(post(&daemon, body, &both), (200, "accepted".into()));
    let shown: Value = serde_json::from_str(&newest(&daemon, "json")).unwrap();
    assert_eq!(
        shown["decision"]["rules"],
        json!([{"rule": "deploy", "matched": true, "verified_by": "`gitlab_signing` with `env:NEW`"}])
    );

    // Afterwards the signature alone.
    let body = r#"{"n":3}"#;
    assert_eq!(
        post(&daemon, body, &signed("c", now(), body)),
        (200, "accepted".into())
    );
    daemon.eventually("the log names them", || {
        let log = daemon.log();
        let named = |by: &str| log.lines().filter(|line| line.contains(by)).count();
        (
            named("`gitlab` with `env:OLD`"),
            named("`gitlab_signing` with `env:NEW`"),
        ) == (1, 2)
    });
    daemon.eventually("all are done", || daemon.lines("out.jsonl") == 3);

    // Both secrets are listed with their last match.
    let secrets = daemon.scenario.hookyard(&["check", "--secrets"]);
    let text = said(&secrets);
    assert!(
        text.contains("gitlab_signing") && text.contains("env:OLD"),
        "{text}"
    );
}

#[test]
fn a_request_with_two_valid_proofs_is_one_event_whichever_of_them_comes_again() {
    let daemon = scenario(
        r"
rules:
  - name: a
    endpoint: /gitlab
    verify: {any: [{hmac: {secret: k, header: X-New}}, {hmac: {secret: k, header: X-Old, algorithm: sha1}}]}
    actions: [append: out.jsonl]
",
    )
    .start();
    let sha1 = |body: &str| {
        use hmac::{KeyInit, Mac};
        let mut mac = hmac::Hmac::<sha1::Sha1>::new_from_slice(b"k").unwrap();
        mac.update(body.as_bytes());
        (
            "X-Old",
            data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes()),
        )
    };
    let sha256 = |body: &str| ("X-New", hmac_hex("k", body.as_bytes()));
    for (index, (first, again)) in [
        (vec![sha256("0"), sha1("0")], vec![sha1("0")]),
        (vec![sha256("1"), sha1("1")], vec![sha256("1")]),
        (vec![sha1("2")], vec![sha1("2")]),
    ]
    .into_iter()
    .enumerate()
    {
        let body = index.to_string();
        assert_eq!(post(&daemon, &body, &first), (200, "accepted".into()), "{body}");
        assert_eq!(post(&daemon, &body, &again), (200, "duplicate".into()), "{body}");
    }
    // One bad proof beside a good one: the good one counts.
    let forged = ("X-New", hmac_hex("other", b"3"));
    assert_eq!(post(&daemon, "3", &[forged, sha1("3")]), (200, "accepted".into()));
}

#[test]
fn if_none_accepts_the_operator_learns_each_reason_and_the_client_none() {
    let daemon = scenario(GITLAB).start();
    let token = ("X-Gitlab-Token", "wrong".to_owned());
    let mut forged = signed("a", now(), "{}");
    "v1,AAAA".clone_into(&mut forged[2].1);
    let stale = signed("b", now() - 4000, "{}");
    for (headers, answer, words) in [
        (
            vec![],
            (403, "refused"),
            "`gitlab_signing`: the header `webhook-signature` is missing; `gitlab`: there is no token in",
        ),
        (
            vec![token.clone()],
            (403, "refused"),
            "missing; `gitlab`: the token in the header `x-gitlab-token` is wrong",
        ),
        (
            forged.to_vec(),
            (403, "refused"),
            "`gitlab`: there is no token in",
        ),
        // Genuine, but late: as with a single verification, the sender may know that.
        (
            stale.to_vec(),
            (400, "stale"),
            "behind the clock, where 5m are allowed",
        ),
    ] {
        assert_eq!(
            post(&daemon, "{}", &headers),
            (answer.0, answer.1.to_owned()),
            "{words}"
        );
        // Records of refused arrivals are written later.
        daemon.eventually(words, || {
            let text = newest(&daemon, "text");
            text.contains("reason no alternative accepts the request: ") && text.contains(words)
        });
    }
    let log = daemon.log();
    assert!(!log.contains("old-secret") && !log.contains("bmV3"), "{log}");
    // Stale for one, and fresh for the other, is accepted.
    let old = ("X-Gitlab-Token", "old-secret-token-1234567890".to_owned());
    let both: Vec<_> = stale.into_iter().chain([old]).collect();
    assert_eq!(post(&daemon, "{}", &both), (200, "accepted".into()));
}

#[test]
fn observing_alternatives_take_what_none_accepts_and_mark_it() {
    let daemon = scenario(
        r#"
rules:
  - name: a
    endpoint: /gitlab
    verify: {any: [{hmac: {secret: k}}, {gitlab: env:OLD}], mode: observe}
    actions: [{append: out.txt, line: "{{ verified }}"}]
  # The same alternative elsewhere still refuses.
  - {name: b, endpoint: /gitlab, verify: {gitlab: env:OLD}, actions: [append: b.jsonl]}
"#,
    )
    .start();
    assert_eq!(post(&daemon, "{}", &[]), (200, "accepted".into()));
    // Deliveries of two events have no order.
    daemon.eventually("the first is there", || daemon.lines("out.txt") == 1);
    let signature = ("X-Signature", hmac_hex("k", b"[]"));
    assert_eq!(post(&daemon, "[]", &[signature]), (200, "accepted".into()));
    daemon.eventually("both are there", || daemon.lines("out.txt") == 2);
    assert_eq!(daemon.read("out.txt"), "false\ntrue\n");
    assert_eq!(daemon.lines("b.jsonl"), 0);
    assert!(
        daemon
            .log()
            .contains("rule a only observes: no alternative accepts")
    );
}

#[test]
fn each_alternative_answers_its_own_handshake() {
    let daemon = scenario(
        r"
rules:
  - name: a
    endpoint: /in
    verify:
      any:
        - meta: {secret: one, verify_token: first-token}
        - meta: {secret: two, verify_token: second-token}
        - slack: {secret: three}
    actions: [append: out.jsonl]
",
    )
    .start();
    let asked = |token: &str| {
        let path = format!("/in?hub.mode=subscribe&hub.verify_token={token}&hub.challenge=77");
        let answer = daemon.request("GET", &path).send();
        (answer.status, answer.body)
    };
    assert_eq!(asked("first-token"), (200, "77".into()));
    assert_eq!(asked("second-token"), (200, "77".into()));
    assert_eq!(asked("third-token").0, 403);
    let body = r#"{"type":"url_verification","challenge":"abc"}"#;
    let at = now();
    let signature = format!("v0={}", hmac_hex("three", format!("v0:{at}:{body}").as_bytes()));
    let answer = daemon
        .post("/in")
        .json(body)
        .header("X-Slack-Request-Timestamp", &at.to_string())
        .header("X-Slack-Signature", &signature)
        .send();
    assert_eq!((answer.status, answer.body.as_str()), (200, "abc"));
    assert_eq!(daemon.lines("out.jsonl"), 0);
}

#[test]
fn check_finds_alternatives_that_cannot_work_and_explain_names_them() {
    let rule = |verify: &str| {
        format!("rules:\n  - {{name: a, endpoint: /a, verify: {verify}, actions: [append: a]}}\n")
    };
    let x = "{any: [{hmac: {secret: k1, handshake: x}}, {hmac: {secret: k2, handshake: x}}]}";
    for (verify, words) in [
        ("{any: []}", "`any` is a list of 1 to 8 verifications"),
        ("{any: [none]}", "`none` accepts every request"),
        ("{any: [{githup: x}]}", "did you mean `github`?"),
        ("{any: [{github: {secrets: x}}]}", "did you mean `secret`?"),
        ("{any: [{github: x}], github: x}", "`github` stands beside `any`"),
        (x, "two alternatives answer the handshake `x`"),
    ] {
        let output = scenario(&rule(verify)).hookyard(&["check"]);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{verify}: {text}");
        assert!(text.contains(words), "{verify}: {text}");
    }
    let forward = "rules:\n  - {name: a, endpoint: /a, verify: none, actions: [{forward: 'http://x/', sign: {any: [{github: x}]}}]}\n";
    let text = said(&scenario(forward).hookyard(&["check"]));
    assert!(text.contains("`any` has no meaning here"), "{text}");

    let rules = rule("{any: [{gitlab_signing: env:NEW}, {gitlab: env:OLD}]}");
    let text = said(
        &scenario(&rules)
            .file("b.json", "{}")
            .hookyard(&["explain", "--body", "b.json"]),
    );
    assert!(
        text.contains(
            "recognised by the id in the header `webhook-id` (`gitlab_signing`), or by the id in the header \
             `idempotency-key` (`gitlab`), runs nothing"
        ),
        "{text}"
    );
}

#[test]
fn the_same_content_is_one_event_whichever_secret_signs_it() {
    let daemon = scenario(
        r"
rules:
  - name: a
    endpoint: /gitlab
    verify: {any: [{hmac: {secret: one, header: X-New}}, {hmac: {secret: two, header: X-Old}}]}
    actions: [append: out.jsonl]
",
    )
    .start();
    let new = |body: &str| ("X-New", hmac_hex("one", body.as_bytes()));
    let old = |body: &str| ("X-Old", hmac_hex("two", body.as_bytes()));
    for (body, first, again) in [("0", new("0"), old("0")), ("1", old("1"), new("1"))] {
        assert_eq!(post(&daemon, body, &[first]), (200, "accepted".into()), "{body}");
        assert_eq!(post(&daemon, body, &[again]), (200, "duplicate".into()), "{body}");
    }
    assert_eq!(post(&daemon, "2", &[new("2")]), (200, "accepted".into()));
    daemon.eventually("three have run", || daemon.lines("out.jsonl") == 3);
}

#[test]
fn an_alternative_without_the_signed_time_of_another_by_the_same_secret_is_a_warning() {
    let check = |any: &str| {
        let rules = format!(
            "rules:\n  - name: a\n    endpoint: /a\n    verify: {{any: [{any}]}}\n    actions: [append: out.jsonl]\n"
        );
        said(
            &scenario(&rules)
                .env("K", "0123456789abcdef0123")
                .hookyard(&["check", "rules.yaml"]),
        )
    };
    let timed = |secret: &str| {
        format!(
            "{{hmac: {{secret: {secret}, content: '{{timestamp}}.{{body}}', timestamp: {{header: X-At}}, header: X-New}}}}"
        )
    };
    let plain = |secret: &str| format!("{{hmac: {{secret: {secret}, header: X-Old}}}}");
    let token = "{token: {header: X-Token, secret: env:K, id: {header: X-Id}}}";
    let weak = "no signed time";
    let found = check(&[timed("env:K"), plain("env:K")].join(", "));
    assert!(
        found.contains(weak) && found.contains("rules.yaml:5:118"),
        "{found}"
    );
    assert!(found.contains("a secret of its own"), "{found}");
    assert!(check(&[timed("abcdefghij0123456789"), plain("abcdefghij0123456789")].join(", ")).contains(weak));
    assert!(check(&[token, &timed("env:K")].join(", ")).contains(weak));
    // Another secret, or a time in both: nothing is weakened.
    assert!(!check(&[timed("env:K"), plain("env:OLD")].join(", ")).contains(weak));
    let both = [timed("env:K"), timed("env:K").replace("X-New", "X-Old")].join(", ");
    assert!(!check(&both).contains(weak));
}
