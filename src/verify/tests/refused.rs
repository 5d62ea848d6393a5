//! Requests with a well-formed header that are refused: known mistakes of other verifiers.

use super::{NOW, header, now, outcome, received, sent, sent_as, verification};
use crate::base::clock::Timestamp;

const GITHUB: &str = "{github: env:A}";
const STRIPE: &str = "{stripe: env:A}";
const STANDARD: &str = "{standard: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}";
const BODY: &[u8] = br#"{"a":1}"#;

#[test]
fn a_timestamp_that_is_signed_must_be_there_and_well_written() {
    let slack = verification("{slack: env:A}");
    let request = sent(&slack, BODY);
    for (value, expected) in [
        (Some(NOW.to_string()), "held"),
        (None, "missing-timestamp"),
        (Some(String::new()), "malformed-timestamp"),
        (Some("abc".to_owned()), "malformed-timestamp"),
        (Some(format!("{NOW}abc")), "malformed-timestamp"),
        (Some(format!(" {NOW}")), "malformed-timestamp"),
        (Some(format!("+{NOW}")), "malformed-timestamp"),
        (Some(format!("-{NOW}")), "malformed-timestamp"),
        (Some(format!("0{NOW}")), "malformed-timestamp"),
        (Some(format!("{NOW}.0")), "malformed-timestamp"),
        (Some("1_614_265_330".to_owned()), "malformed-timestamp"),
        (Some(format!("{NOW}000")), "malformed-timestamp"),
        (Some("0".to_owned()), "malformed-timestamp"),
        (Some("2147483648".to_owned()), "bad-signature"),
        (Some("9223372036854775808".to_owned()), "malformed-timestamp"),
        (Some(format!("1{}", "0".repeat(30))), "malformed-timestamp"),
        (Some("1".to_owned()), "bad-signature"),
        (Some("٣٤٥".to_owned()), "malformed-timestamp"),
    ] {
        let mut request = request.clone();
        request.headers.remove("x-slack-request-timestamp");
        if let Some(value) = &value {
            let value = http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
            request.headers.insert("x-slack-request-timestamp", value);
        }
        let outcome = slack
            .prove(&request)
            .map_or_else(|refusal| refusal.reason(), |_| "held");
        assert_eq!(outcome, expected, "{value:?}");
    }
    let mut twice = request;
    twice
        .headers
        .append("x-slack-request-timestamp", NOW.to_string().parse().unwrap());
    assert_eq!(slack.prove(&twice).unwrap_err().reason(), "repeated-header");
}

#[test]
fn old_and_future_timestamps_are_stale_and_so_is_one_in_the_wrong_unit() {
    let year = 366 * 24 * 3600;
    for scheme in [STRIPE, "{slack: env:A}", STANDARD] {
        let verification = verification(scheme);
        let window = verification.default_window();
        assert_eq!(window.as_secs(), 300);
        for (distance, fresh) in [
            (0, true),
            (300, true),
            (-300, true),
            (301, false),
            (-301, false),
            (year, false),
        ] {
            let at = Timestamp::from_seconds(NOW + distance);
            let proof = verification
                .prove(&sent_as(&verification, &[], BODY, "msg_1", at))
                .unwrap();
            assert_eq!(
                proof.freshness(window, now()).is_ok(),
                fresh,
                "{scheme} {distance}"
            );
        }
        // Genuine, and dated in 1970.
        let proof = verification
            .prove(&sent_as(
                &verification,
                &[],
                BODY,
                "msg_1",
                Timestamp::from_seconds(1),
            ))
            .unwrap();
        assert!(proof.freshness(window, now()).unwrap_err().is_stale());
    }
    let content = r#"content: "{timestamp}.{body}""#;
    let seconds = verification(&format!(
        "{{hmac: {{secret: env:A, timestamp: {{}}, {content}}}}}"
    ));
    let millis = verification(&format!(
        "{{hmac: {{secret: env:A, timestamp: {{unit: ms}}, {content}}}}}"
    ));
    // Thirteen digits are not seconds.
    let request = sent(&millis, BODY);
    assert_eq!(
        seconds.prove(&request).unwrap_err().reason(),
        "malformed-timestamp"
    );
    // Ten digits as milliseconds are in 1970.
    let proof = millis.prove(&sent(&seconds, BODY)).unwrap();
    let refusal = proof.freshness(seconds.default_window(), now()).unwrap_err();
    assert!(refusal.is_stale() && refusal.to_string().contains("`unit: s`"));
}

#[test]
fn an_id_with_the_separator_in_it_is_refused() {
    let verification = verification(STANDARD);
    // `a.1614265330` + `.` + … would have the same signature as `a` + `.1614265330.` + …
    let mut request = sent(&verification, BODY);
    for (id, expected) in [
        ("a.1614265330", "malformed-id"),
        ("", "missing-id"),
        ("msg_2", "bad-signature"),
    ] {
        request.headers.insert("webhook-id", id.parse().unwrap());
        assert_eq!(
            verification.prove(&request).unwrap_err().reason(),
            expected,
            "{id}"
        );
    }
    request.headers.remove("webhook-id");
    assert_eq!(verification.prove(&request).unwrap_err().reason(), "missing-id");
    request.headers.append("webhook-id", "msg_1".parse().unwrap());
    request.headers.append("webhook-id", "msg_2".parse().unwrap());
    assert_eq!(
        verification.prove(&request).unwrap_err().reason(),
        "repeated-header"
    );
}

#[test]
fn the_families_of_headers_are_not_mixed() {
    let verification = verification(STANDARD);
    let mut request = sent(&verification, BODY);
    let id = request.headers.remove("webhook-id").unwrap();
    request.headers.insert("svix-id", id);
    assert_eq!(verification.prove(&request).unwrap_err().reason(), "missing-id");
    let signature = request.headers.remove("webhook-signature").unwrap();
    request.headers.insert("svix-signature", signature);
    assert_eq!(
        verification.prove(&request).unwrap_err().reason(),
        "missing-timestamp"
    );
    // Some senders add an id and a timestamp without a signature. These headers do not identify a
    // family.
    let refusal = verification
        .prove(&received(
            &[("webhook-id", "1"), ("webhook-timestamp", "1")],
            BODY,
        ))
        .unwrap_err();
    assert_eq!(refusal.to_string(), "the header `webhook-signature` is missing");
}

#[test]
fn a_body_that_means_the_same_is_not_the_same() {
    let verification = verification(GITHUB);
    let request = sent(&verification, r#"{"a":1.0,"b":"é"}"#.as_bytes());
    verification.prove(&request).unwrap();
    for body in [
        r#"{"a":1,"b":"é"}"#,
        r#"{"a":1.0, "b":"é"}"#,
        r#"{"b":"é","a":1.0}"#,
        r#"{"a":1.0,"b":"\u00e9"}"#,
        r#"{"a":"EVIL","a":1.0,"b":"é"}"#,
        "{\"a\":1.0,\"b\":\"é\"}\n",
        "\u{feff}{\"a\":1.0,\"b\":\"é\"}",
        "",
    ] {
        let altered = received(
            &[("x-hub-signature-256", header(&request, "x-hub-signature-256"))],
            body.as_bytes(),
        );
        assert_eq!(
            verification.prove(&altered).unwrap_err().reason(),
            "bad-signature",
            "{body}"
        );
    }
}

#[test]
fn a_byte_moved_over_a_boundary_does_not_pass() {
    let verify = r#"{hmac: {secret: env:A, timestamp: {}, content: "{timestamp}{body}"}}"#;
    let verification = verification(verify);
    let request = sent(&verification, b"0123");
    let signature = header(&request, "x-signature");
    for (stamp, body) in [("16142653300", b"123".as_slice()), ("161426533", b"00123")] {
        let moved = received(&[("x-timestamp", stamp), ("x-signature", signature)], body);
        // The MAC is valid, because the bytes are the same, but the time differs.
        let proof = verification.prove(&moved).unwrap();
        assert!(
            proof
                .freshness(verification.default_window(), now())
                .unwrap_err()
                .is_stale()
        );
    }
    // A leading zero would not change the time.
    let verify = r#"{hmac: {secret: env:A, timestamp: {}, content: "{body}{timestamp}"}}"#;
    let signature = header(&sent(&super::verification(verify), b"1230"), "x-signature").to_owned();
    let moved = [
        ("x-timestamp", "01614265330"),
        ("x-signature", signature.as_str()),
    ];
    assert_eq!(outcome(verify, &moved, b"123"), "malformed-timestamp");
}

#[test]
fn what_is_told_holds_neither_a_secret_nor_a_signature() {
    let verification = verification(GITHUB);
    let right = header(&sent(&verification, BODY), "x-hub-signature-256").replace("sha256=", "");
    for value in ["hunter2hunter2", &format!("sha256={}", "ab".repeat(32)), &right] {
        let request = received(&[("X-Hub-Signature-256", value)], BODY);
        let refusal = verification.prove(&request).unwrap_err();
        for told in [
            refusal.to_string(),
            format!("{refusal:?}"),
            format!("{verification:?}"),
        ] {
            for untold in ["hunter2", "abab", right.as_str(), "secret-a"] {
                assert!(!told.contains(untold), "{told}");
            }
        }
    }
}
