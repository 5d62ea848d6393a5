//! Handshakes that the sender signs: recognition, answers and refusals.

use super::{NOW, received, sent, sent_as, verification};
use crate::base::clock::Timestamp;
use crate::event::Received;
use crate::verify::{HandshakeReply, Verification};

const SLACK: &str = "{slack: env:A}";
const ZOOM: &str = "{zoom: env:A}";
const TWITCH: &str = "{twitch: env:A}";
/// Discord's handshake, on a scheme for which the tests can sign.
const DISCORD: &str =
    r#"{hmac: {secret: env:A, timestamp: {}, content: "{timestamp}{body}", handshake: discord}}"#;
pub(super) const CHALLENGE: &[u8] = br#"{"token":"t","challenge":"3eZbrw1a","type":"url_verification"}"#;

/// Result of a request: `event`, a status with its answer, or the reason of the refusal.
pub(super) fn told(verification: &Verification, request: &Received) -> String {
    match verification.handshake(request) {
        None => "event".to_owned(),
        Some(Err(refusal)) => refusal.reason().to_owned(),
        Some(Ok(greeting)) => shown(&greeting),
    }
}

fn shown(greeting: &HandshakeReply) -> String {
    let mut lines = vec![greeting.status.as_u16().to_string()];
    for (name, value) in &greeting.headers {
        lines.push(format!("{name}: {}", value.to_str().unwrap()));
    }
    lines.push(String::from_utf8(greeting.body.to_vec()).unwrap());
    if greeting.lesson.is_some() {
        lines.push("to be learnt".to_owned());
    }
    lines.join("|")
}

#[test]
fn a_signed_challenge_is_echoed_and_an_unsigned_one_is_no_handshake() {
    let slack = verification(SLACK);
    let signed = |body: &[u8]| told(&slack, &sent(&slack, body));
    let text = "200|content-type: text/plain; charset=utf-8|";
    assert_eq!(signed(CHALLENGE), format!("{text}3eZbrw1a"));
    assert_eq!(
        signed(br#"{"type":"url_verification","challenge":"<script>alert(1)</script>"}"#),
        format!("{text}<script>alert(1)</script>")
    );
    assert_eq!(told(&slack, &received(&[], CHALLENGE)), "event");
    let mut altered = sent(&slack, CHALLENGE);
    altered.body = CHALLENGE.to_ascii_uppercase().into();
    assert_eq!(told(&slack, &altered), "event");
    let other = verification("{slack: env:B}");
    assert_eq!(told(&other, &sent(&slack, CHALLENGE)), "event");
    for body in [
        br#"{"type":"event_callback","event":{"type":"url_verification"}}"#.as_slice(),
        br#"{"type":"event_callback"}"#,
        br#"["url_verification"]"#,
        b"url_verification",
        b"{\"type\":\"url_verification\"",
        b"",
    ] {
        assert_eq!(signed(body), "event", "{}", body.escape_ascii());
    }
}

#[test]
fn a_stale_handshake_is_stale_and_no_event() {
    for (scheme, body) in [
        (SLACK, CHALLENGE),
        (
            ZOOM,
            br#"{"event":"endpoint.url_validation","payload":{"plainToken":"x"}}"#,
        ),
    ] {
        let verification = verification(scheme);
        for (distance, expected) in [(-301, "stale"), (301, "stale"), (-300, "200"), (300, "200")] {
            let request = sent_as(
                &verification,
                &[],
                body,
                "",
                Timestamp::from_seconds(NOW + distance),
            );
            assert!(
                told(&verification, &request).starts_with(expected),
                "{scheme} {distance}"
            );
        }
    }
}

#[test]
fn what_is_sent_back_is_bounded_and_holds_no_control_character() {
    let slack = verification(SLACK);
    let signed = |challenge: serde_json::Value| {
        let body = serde_json::json!({"type": "url_verification", "challenge": challenge});
        told(&slack, &sent(&slack, body.to_string().as_bytes()))
    };
    assert!(signed("x".repeat(4096).into()).starts_with("200"));
    assert!(signed("é \u{1f44b}".into()).ends_with("|é \u{1f44b}"));
    for challenge in [
        "x".repeat(4097).into(),
        "a\nb".into(),
        "a\r\nSet-Cookie: b".into(),
        "\u{1b}[2J".into(),
        "\u{0}".into(),
        "\u{85}".into(),
        "".into(),
        5.into(),
        serde_json::Value::Null,
        serde_json::json!({"a": "b"}),
    ] {
        assert_eq!(signed(challenge.clone()), "malformed-handshake", "{challenge}");
    }
    let without = br#"{"type":"url_verification"}"#;
    assert_eq!(told(&slack, &sent(&slack, without)), "malformed-handshake");
}

#[test]
fn a_body_that_is_encoded_or_long_is_no_handshake() {
    let slack = verification(SLACK);
    let mut encoded = sent(&slack, CHALLENGE);
    encoded
        .headers
        .insert("content-encoding", "gzip".parse().unwrap());
    assert_eq!(told(&slack, &encoded), "event");
    let long = format!(
        r#"{{"type":"url_verification","challenge":"x","pad":"{}"}}"#,
        "x".repeat(16 << 10)
    );
    assert_eq!(told(&slack, &sent(&slack, long.as_bytes())), "event");
}

#[test]
fn twitch_is_answered_by_its_header_and_its_signature() {
    let twitch = verification(TWITCH);
    let kind = ("Twitch-Eventsub-Message-Type", "webhook_callback_verification");
    let body = br#"{"challenge":"pogchamp-kappa-360noscope-vohiyo","subscription":{"id":"1"}}"#;
    let signed = |headers: &[(&str, &str)], body: &[u8]| {
        told(&twitch, &sent_as(&twitch, headers, body, "id-1", super::now()))
    };
    assert_eq!(
        signed(&[kind], body),
        "200|content-type: text/plain; charset=utf-8|pogchamp-kappa-360noscope-vohiyo"
    );
    assert_eq!(
        signed(&[("Twitch-Eventsub-Message-Type", "notification")], body),
        "event"
    );
    assert_eq!(signed(&[], body), "event");
    // An event whose header was changed, since that header is not signed.
    assert_eq!(signed(&[kind], br#"{"event":{}}"#), "malformed-handshake");
    assert_eq!(told(&twitch, &received(&[kind], body)), "event");
}

#[test]
fn zoom_is_answered_with_the_mac_of_its_token_under_the_key_that_signed() {
    let body = |token: &str| {
        serde_json::json!({"event": "endpoint.url_validation", "payload": {"plainToken": token}})
            .to_string()
            .into_bytes()
    };
    let zoom = verification(ZOOM);
    let signed = |token: &str| told(&zoom, &sent(&zoom, &body(token)));
    // HMAC-SHA256 under `secret-a`, by another implementation.
    let answer = |mac: &str| {
        format!(
            r#"200|content-type: application/json|{{"encryptedToken":"{mac}","plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}"#
        )
    };
    let under_a = "25fa071707431955fa7037da0b339321d0c0aab1758b60dcc3c058ad6ab94632";
    let under_b = "71cd0210fad74d83f9bfc1f6088943d5bd3afeaabb7202c719c67fbc24ed264a";
    assert_eq!(signed("qgg8vlvZRS6UYooatFL8Aw"), answer(under_a));
    let both = verification("{zoom: {secret: [env:A, env:B]}}");
    let other = verification("{zoom: env:B}");
    let request = sent(&other, &body("qgg8vlvZRS6UYooatFL8Aw"));
    assert_eq!(told(&both, &request), answer(under_b));
    for token in ["v0:1614265330:x", "a b", "", "{}", &"x".repeat(257)] {
        assert_eq!(signed(token), "malformed-handshake", "{token}");
    }
    assert_eq!(told(&zoom, &received(&[], &body("x"))), "event");
}

#[test]
fn discord_pings_are_told_from_its_events_and_bad_signatures_are_401() {
    let discord = verification(DISCORD);
    let signed = |body: &str| told(&discord, &sent(&discord, body.as_bytes()));
    for (body, expected) in [
        (
            r#"{"id":"1","type":1,"version":1}"#,
            r#"200|content-type: application/json|{"type":1}"#,
        ),
        (r#"{"version":1,"application_id":"1","type":0}"#, "204|"),
        (
            r#"{"version":1,"type":1,"event":{"type":"APPLICATION_AUTHORIZED"}}"#,
            "event",
        ),
        (r#"{"type":2,"data":{"type":1}}"#, "event"),
        (r#"{"type":"1"}"#, "event"),
        (r#"{"type":1.5}"#, "event"),
        (r#"[{"type":1}]"#, "event"),
    ] {
        assert_eq!(signed(body), expected, "{body}");
    }
    assert_eq!(told(&discord, &received(&[], br#"{"type":1}"#)), "event");
    assert_eq!(discord.challenge(), Some("Signature"));
    assert_eq!(verification(SLACK).challenge(), None);
}
