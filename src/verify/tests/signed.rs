//! Contents of a proof: timestamps, dedup keys, several secrets, and timestamps and ids in the
//! body.

use super::{
    NOW, SUITABLE, compiled, doubtful, header, now, received, sent, sent_as, signing_schemes, verification,
    working,
};
use crate::base::clock::Timestamp;
use crate::event::DedupKey;
use crate::verify::EventName;

const BODY: &[u8] =
    br#"{"id":"evt_1","number":7,"at":1614265330000,"text":"1614265330","iso":"2021-02-25T15:02:10.5Z"}"#;

#[test]
fn every_preset_signs_what_it_proves_over_any_body() {
    let bodies: [&[u8]; 6] = [
        b"",
        b"$& $1 \\1 %s {timestamp} {body} {{x}}",
        b"\0",
        b"\xff\xfe\x80",
        b"\xef\xbb\xbf{\"a\":1}",
        b"{\r\n}\r\n",
    ];
    for scheme in signing_schemes() {
        let verification = doubtful(&working(scheme));
        assert_eq!(&**verification.scheme(), scheme);
        for body in bodies.into_iter().chain([SUITABLE]) {
            // Values in the body require a JSON body.
            let in_body = ["mailgun", "linear", "microsoft_graph", "adyen_payments", "adyen"];
            if in_body.contains(&scheme) && body != SUITABLE {
                continue;
            }
            let request = sent(&verification, body);
            let proof = verification.prove(&request).unwrap();
            assert_eq!(
                proof.freshness(verification.default_window(), now()),
                Ok(()),
                "{scheme}"
            );
            assert_eq!(proof.secret.is_some(), scheme != "none", "{scheme}");
            for header in verification.credential_headers() {
                assert!(
                    request
                        .headers
                        .get(header)
                        .is_none_or(http::HeaderValue::is_sensitive),
                    "{scheme}"
                );
            }
        }
    }
}

#[test]
fn every_preset_says_where_its_event_name_stands_and_what_is_withheld() {
    for (scheme, event, withheld) in [
        (
            "github",
            "x-github-event",
            vec!["x-hub-signature-256", "x-hub-signature"],
        ),
        (
            "github_sha1",
            "x-github-event",
            vec!["x-hub-signature", "x-hub-signature-256"],
        ),
        (
            "gitlab",
            "x-gitlab-event",
            vec!["x-gitlab-token", "webhook-signature"],
        ),
        ("gogs", "x-gogs-event", vec!["x-gogs-signature"]),
        ("bitbucket", "x-event-key", vec!["x-hub-signature"]),
    ] {
        let verification = verification(&format!("{{{scheme}: env:A}}"));
        assert_eq!(
            verification.event_name(),
            Some(&EventName::Header(event.parse().unwrap()))
        );
        let headers = verification.credential_headers();
        assert_eq!(
            headers.iter().map(http::HeaderName::as_str).collect::<Vec<_>>(),
            withheld,
            "{scheme}"
        );
    }
    let shopify = verification("{shopify: env:A}");
    let EventName::Either(places) = shopify.event_name().unwrap() else {
        panic!("{:?}", shopify.event_name());
    };
    let at = |name: &str| EventName::Header(name.parse().unwrap());
    assert_eq!(places[..], [at("x-shopify-topic"), at("shopify-topic")]);
    let headers = shopify.credential_headers();
    assert!(
        headers
            .iter()
            .map(http::HeaderName::as_str)
            .eq(["x-shopify-hmac-sha256", "shopify-hmac-sha256"])
    );
    let stripe = verification("{stripe: env:A}");
    assert_eq!(
        stripe.event_name(),
        Some(&EventName::Payload("$.type".to_owned()))
    );
    assert_eq!(verification("{hmac: env:A}").event_name(), None);
}

#[test]
fn each_of_several_secrets_holds_and_the_nonces_do_not_tell_which() {
    let both = verification("{github: [env:A, env:B]}");
    let swapped = verification("{github: {secret: [env:B, env:A]}}");
    let old = sent(&verification("{github: env:A}"), b"x");
    let new = sent(&verification("{github: {secret: env:B}}"), b"x");
    let dedup_keys = both.prove(&old).unwrap().dedup_keys;
    assert_eq!(dedup_keys.len(), 2);
    assert_eq!(both.prove(&new).unwrap().dedup_keys, dedup_keys);
    assert_eq!(swapped.prove(&old).unwrap().dedup_keys, dedup_keys);
    // The event is still recognised after the rotation.
    assert!(dedup_keys.contains(&verification("{github: env:A}").prove(&old).unwrap().dedup_keys[0]));
    assert_eq!(
        verification("{github: [env:A, env:A]}")
            .prove(&old)
            .unwrap()
            .dedup_keys
            .len(),
        1
    );
    let signed = sent(&both, b"x");
    assert_eq!(
        header(&signed, "x-hub-signature-256"),
        header(&old, "x-hub-signature-256")
    );
    // An event with a signature for each of two secrets is one event.
    let stripe = verification("{stripe: [env:A, env:B]}");
    let first = header(&sent(&verification("{stripe: env:A}"), b"x"), "stripe-signature").to_owned();
    let second = header(&sent(&verification("{stripe: env:B}"), b"x"), "stripe-signature").to_owned();
    let of = |value: &str| {
        stripe
            .prove(&received(&[("stripe-signature", value)], b"x"))
            .unwrap()
            .dedup_keys
    };
    let joined = format!("{first},{}", second.split_once(',').unwrap().1);
    assert_eq!(of(&first), of(&second));
    assert_eq!(of(&first), of(&joined));
}

/// Body signed unchanged.
fn plainly_signed(body: &[u8]) -> crate::event::Received {
    sent(&verification("{hmac: env:A}"), body)
}

#[test]
fn a_timestamp_and_an_id_may_stand_in_the_signed_body() {
    for (timestamp, expected) in [
        ("{json: $.at, unit: ms}", 1_614_265_330_000),
        ("{json: $.text}", 1_614_265_330_000),
        ("{json: $.iso, unit: rfc3339}", 1_614_265_330_500),
    ] {
        let verification = verification(&format!(
            "{{hmac: {{secret: env:A, timestamp: {timestamp}, id: {{json: $.id}}}}}}"
        ));
        let proof = verification.prove(&plainly_signed(BODY)).unwrap();
        let sent = proof.timestamp.unwrap();
        assert_eq!((sent.at.as_millis(), sent.signed), (expected, true));
        assert_eq!(proof.dedup_keys, [DedupKey::id(b"evt_1")]);
    }
    for (field, body, reason) in [
        ("timestamp: {json: $.at}", "{}", "missing-timestamp"),
        ("timestamp: {json: $.at}", r#"{"at":-1}"#, "malformed-timestamp"),
        (
            "timestamp: {json: $.at}",
            r#"{"at":1614265330.5}"#,
            "malformed-timestamp",
        ),
        ("timestamp: {json: $.at}", r#"{"at":true}"#, "malformed-timestamp"),
        // A byte order mark is not part of the JSON, as in the payload.
        ("timestamp: {json: $.at}", "\u{feff}{}", "missing-timestamp"),
    ] {
        let verify = format!("{{hmac: {{secret: env:A, {field}}}}}");
        let request = plainly_signed(body.as_bytes());
        assert_eq!(
            verification(&verify).prove(&request).unwrap_err().reason(),
            reason,
            "{body}"
        );
        // The body is not parsed before the signature has been verified.
        let unsigned = received(&[("x-signature", &"0".repeat(64))], body.as_bytes());
        assert_eq!(
            verification(&verify).prove(&unsigned).unwrap_err().reason(),
            "bad-signature"
        );
    }
    // A number is a valid id.
    let verification = verification("{stripe: {secret: env:A, id: {json: $.number}}}");
    assert_eq!(
        verification.prove(&sent(&verification, BODY)).unwrap().dedup_keys,
        [DedupKey::id(b"7")]
    );
}

#[test]
fn an_id_counts_where_it_is_present_and_else_the_signature() {
    let by_signature = verification("{hmac: env:A}");
    let verification = verification("{hmac: {secret: env:A, id: [{json: $.id}, {json: $.event.id}]}}");
    let dedup_keys = |body: &str| {
        verification
            .prove(&plainly_signed(body.as_bytes()))
            .unwrap()
            .dedup_keys
    };
    assert_eq!(
        dedup_keys(r#"{"id":"a","event":{"id":"b"}}"#),
        [DedupKey::id(b"a")]
    );
    assert_eq!(dedup_keys(r#"{"event":{"id":"b"}}"#), [DedupKey::id(b"b")]);
    assert_eq!(
        dedup_keys(r#"{"id":null,"event":{"id":7}}"#),
        [DedupKey::id(b"7")]
    );
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for body in [
        "{}",
        r#"{"id":null}"#,
        r#"{"id":""}"#,
        r#"{"id":[1]}"#,
        r#"{"id":1.5}"#,
        "not JSON",
        "",
        &nested,
    ] {
        let expected = by_signature.prove(&plainly_signed(body.as_bytes())).unwrap();
        assert_eq!(dedup_keys(body), expected.dedup_keys, "{body:.40}");
    }
}

#[test]
fn what_is_known_by_its_id_is_remembered_for_a_day_at_least() {
    let verification = verification("{stripe: env:A}");
    let memory = |body: &[u8]| {
        let proof = verification.prove(&sent(&verification, body)).unwrap();
        proof.memory(verification.default_window()).as_secs()
    };
    assert_eq!(memory(br#"{"id": "evt_1"}"#), 24 * 3600);
    assert_eq!(memory(br#"{"none": "evt_1"}"#), 600);
}

#[test]
fn an_unsigned_id_is_no_nonce() {
    let verify = "{github: {secret: env:A, id: {header: X-GitHub-Delivery}}}";
    let (verification, diagnostics) = compiled(verify, None);
    assert_eq!(diagnostics[0].code, "unsigned-id");
    let verification = verification.unwrap();
    let first = verification
        .prove(&sent_as(&verification, &[], b"x", "1", now()))
        .unwrap();
    let second = verification
        .prove(&sent_as(&verification, &[], b"x", "2", now()))
        .unwrap();
    assert_eq!(first.dedup_keys, second.dedup_keys);
}

#[test]
fn retries_with_another_timestamp_and_the_same_id_are_the_same_event() {
    let verification = verification("{standard: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}");
    let prove = |at| {
        verification
            .prove(&sent_as(&verification, &[], b"x", "msg_1", at))
            .unwrap()
    };
    let later = Timestamp::from_seconds(NOW + 60);
    assert_eq!(prove(now()).dedup_keys, prove(later).dedup_keys);
}

#[test]
fn a_body_that_is_not_signed_is_not_read_for_an_id() {
    let verification = doubtful(r#"{hmac: {secret: env:A, content: "{method}", id: {json: $.id}}}"#);
    let proof = verification.prove(&sent(&verification, b"not JSON")).unwrap();
    assert_eq!(
        (proof.dedup_keys.len(), proof.dedup_keys[0].as_bytes().len()),
        (1, 33)
    );
}
