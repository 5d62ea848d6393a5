//! Signatures that hookyard makes and hookyard verifies: by `sign:` of a forward, and by `hookyard
//! send --as`.

use crate::scenario::{Daemon, Scenario};

/// 32 bytes in hex, valid as text and as base64, too.
const SECRET: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// Schemes of every kind: the signing side, and the verifying side.
fn pairs() -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = [
        "github",
        "github_sha1",
        "gitlab",
        "gitlab_signing",
        "stripe",
        "slack",
        "shopify",
        "twilio",
        "twilio_sha256",
        "mailgun",
        "standard",
        "linear",
        "twitch",
        "zoom",
        "paddle",
        "square",
        "adyen_payments",
        "adyen_platform",
        "line",
        "hubspot",
        "zendesk",
        "calendly",
        "trello",
        "airtable",
        "microsoft_graph",
        "teams",
        "bearer",
        "harbor",
        "hmac",
    ]
    .into_iter()
    .map(|scheme| {
        let verify = format!("{{{scheme}: '{SECRET}'}}");
        (verify.clone(), verify)
    })
    .collect();
    let both = "{basic: {user: ci, password: pw}}".to_owned();
    pairs.push((both.clone(), both));
    // RFC 8032 §7.1, TEST 1.
    let (private, public) = (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    );
    for scheme in ["discord", "ed25519"] {
        pairs.push((
            format!("{{{scheme}: {{private_key: '{private}'}}}}"),
            format!("{{{scheme}: '{public}'}}"),
        ));
    }
    pairs
}

/// A body with all fields that schemes sign.
const BODY: &str = r#"{"value":[{}],"id":"evt_1","note":"$& {timestamp} é","notificationItems":[{"NotificationRequestItem":{"pspReference":"p:1","amount":{"value":1130,"currency":"EUR"},"eventCode":"AUTHORISATION","success":"true"}}]}"#;

/// A daemon with an endpoint for each of the schemes.
fn target() -> Daemon {
    let daemon = Scenario::new().rules("rules: []").start();
    let mut rules = format!(
        "server: {{listen: '{0}', public_url: 'http://{0}'}}\nrules:\n",
        daemon.address
    );
    for (index, (_, verify)) in pairs().iter().enumerate() {
        rules += &format!(
            "  - {{name: r{index}, endpoint: /r{index}, verify: {verify}, actions: [append: 'r{index}.jsonl']}}\n"
        );
    }
    daemon.rewrite(&rules);
    daemon
}

#[test]
fn a_signed_forward_is_verified_at_its_target_once_and_only_as_it_was_sent() {
    let target = target();
    let mut rules = String::from("endpoints: {/in: {max_body: 1MiB}}\nrules:\n");
    for (index, (sign, _)) in pairs().iter().enumerate() {
        rules += &format!(
            "  - {{name: r{index}, endpoint: /in, verify: none, actions: [{{forward: 'http://{}/r{index}', sign: {sign}, timeout: 5s}}]}}\n",
            target.address
        );
    }
    let relay = Scenario::new().rules(&rules).start();
    assert_eq!(
        relay.post("/in").json(BODY).send().outcome().0,
        200,
        "{}",
        relay.log()
    );
    for (index, (sign, _)) in pairs().iter().enumerate() {
        let name = format!("r{index}.jsonl");
        target.eventually(&format!("{sign} is verified"), || target.lines(&name) == 1);
    }
    for line in relay.log().lines().chain(target.log().lines()) {
        assert!(!line.contains(SECRET), "{line}");
    }
    assert_eq!(target.log().matches("refused").count(), 0, "{}", target.log());
}

#[test]
fn what_send_signs_is_accepted_and_with_another_secret_refused() {
    let target = target();
    let body = target.folder().join("body.json");
    std::fs::write(&body, BODY).unwrap();
    for (index, (sign, _)) in pairs().iter().enumerate() {
        let url = format!("http://{}/r{index}", target.address);
        let other = sign
            .replace("000102", "ff0102")
            .replace("9d61", "9d62")
            .replace("pw", "px");
        for (scheme, expected) in [(sign, "200"), (&other, "40")] {
            let output = target
                .scenario
                .hookyard(&["send", &url, "--as", scheme, "--body", "body.json"]);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(
                text.starts_with(expected),
                "{scheme}: {text}{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
    // The short form, which is the usual one.
    let index = pairs()
        .iter()
        .position(|(sign, _)| sign.starts_with("{discord"))
        .unwrap();
    let output = target.scenario.hookyard(&[
        "send",
        &format!("http://{}/r{index}", target.address),
        "--as",
        "discord",
        "--secret",
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "--body",
        "body.json",
        "--ahead",
        "1s",
    ]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.starts_with("200"), "{text}");
}

#[test]
fn a_forward_that_cannot_sign_is_found() {
    let scenario = Scenario::new();
    for (sign, message) in [
        ("none", "`none` signs nothing"),
        (
            "{discord: 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a'}",
            "`discord` verifies with a public key, and signs with a private one",
        ),
        ("{githbu: x}", "unknown scheme `githbu`"),
        (
            "{github: env:UNSET}",
            "the environment variable `UNSET` is not set",
        ),
    ] {
        let rules = format!(
            "rules:\n  - {{name: a, endpoint: /a, verify: none, actions: [{{forward: 'http://h/x', sign: {sign}}}]}}\n"
        );
        std::fs::write(scenario.folder().join("rules.yaml"), rules).unwrap();
        let output = scenario.hookyard(&["check"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            text.contains(message) && output.status.code() == Some(1),
            "{text}"
        );
    }
}
