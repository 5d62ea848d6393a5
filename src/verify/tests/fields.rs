//! Effect of each field of `hmac` on the signed content.

use super::{NOW, doubtful, header, now, outcome, received, sent, sent_as, verification};
use crate::base::clock::Timestamp;
use crate::event::DedupKey;

const BODY: &[u8] = br#"{"a":1}"#;

#[test]
fn the_tutorial_scheme_needs_nothing_but_a_secret() {
    let plain = verification("{hmac: env:A}");
    let request = sent(&plain, b"hello");
    assert_eq!(header(&request, "x-signature").len(), 64);
    assert_eq!(request.headers.len(), 1);
    let proof = plain.prove(&request).unwrap();
    assert_eq!((proof.timestamp, proof.dedup_keys.len()), (None, 1));
    assert_eq!(plain.default_window().as_secs(), 24 * 3600);

    // The timestamp is not signed by the sender: it narrows the window, and the dedup key is the
    // signature.
    let timed = doubtful("{hmac: {secret: env:A, timestamp: {header: X-Timestamp}}}");
    assert_eq!(timed.default_window().as_secs(), 300);
    let request = sent(&timed, b"hello");
    assert_eq!(header(&request, "x-timestamp"), NOW.to_string());
    let timed_proof = timed.prove(&request).unwrap();
    assert!(timed_proof.timestamp.is_some_and(|sent| !sent.signed));
    assert_eq!(timed_proof.dedup_keys, proof.dedup_keys);
    assert_eq!(timed_proof.memory(timed.default_window()).as_secs(), 24 * 3600);
    let stale = sent_as(&timed, &[], b"hello", "", Timestamp::from_seconds(NOW - 301));
    assert!(
        timed
            .prove(&stale)
            .unwrap()
            .freshness(timed.default_window(), now())
            .is_err()
    );
    assert_eq!(
        timed.prove(&sent(&plain, b"hello")).unwrap_err().reason(),
        "missing-timestamp"
    );
}

#[test]
fn of_a_form_gitea_signs_the_payload_and_github_the_bytes() {
    let form = b"payload=%7B%22a%22%3A+1%7D";
    let content_type = ("content-type", "application/x-www-form-urlencoded");
    for scheme in ["gitea", "forgejo", "gogs"] {
        let verification = verification(&format!("{{{scheme}: env:A}}"));
        let name = format!("x-{scheme}-signature");
        let of_json = header(&sent(&verification, br#"{"a": 1}"#), &name).to_owned();
        let of_bytes = header(&sent(&verification, form), &name).to_owned();
        let prove = |headers: &[(&str, &str)], body: &[u8]| {
            verification
                .prove(&received(headers, body))
                .map_or_else(|refusal| refusal.reason(), |_| "held")
        };
        assert_eq!(prove(&[content_type, (&name, &of_json)], form), "held");
        assert_eq!(prove(&[content_type, (&name, &of_bytes)], form), "bad-signature");
        assert_eq!(
            prove(&[("content-type", "application/json"), (&name, &of_json)], form),
            "bad-signature"
        );
        // A second field would be unsigned.
        let with_more = [form.as_slice(), b"&ref=evil"].concat();
        assert_eq!(
            prove(&[content_type, (&name, &of_json)], &with_more),
            "unreadable-body"
        );
        let request = sent_as(&verification, &[content_type], form, "", now());
        assert_eq!(header(&request, &name), of_json);
    }
    let github = verification("{github: env:A}");
    let request = sent_as(&github, &[content_type], form, "", now());
    github.prove(&request).unwrap();
    assert_eq!(
        header(&request, "x-hub-signature-256"),
        header(&sent(&github, form), "x-hub-signature-256")
    );
}

#[test]
fn every_field_of_hmac_changes_what_is_signed() {
    for (fields, expected) in [
        ("algorithm: sha1", 40),
        ("algorithm: sha384", 96),
        ("algorithm: sha512", 128),
        ("encoding: base64", 44),
        ("encoding: base64, algorithm: sha512", 88),
        ("prefix: 'hmac-sha256='", 76),
        (r#"content: "{method}{url}{body}""#, 64),
        ("secret_encoding: hex, secret: 00ff", 64),
        ("secret_encoding: base64, secret: 'AP8='", 64),
        ("strip_prefix: secret-", 64),
    ] {
        let secret = if fields.contains("secret:") {
            ""
        } else {
            ", secret: env:A"
        };
        let verification = verification(&format!("{{hmac: {{{fields}{secret}}}}}"));
        let request = sent(&verification, BODY);
        assert_eq!(header(&request, "x-signature").len(), expected, "{fields}");
        verification.prove(&request).unwrap();
        let plain = sent(&super::verification("{hmac: env:A}"), BODY);
        assert!(verification.prove(&plain).is_err(), "{fields}");
    }
    // The same key in three encodings.
    let signature = |verify: &str| header(&sent(&verification(verify), BODY), "x-signature").to_owned();
    let plain = signature("{hmac: secret-a}");
    assert_eq!(
        plain,
        signature("{hmac: {secret: c2VjcmV0LWE=, secret_encoding: base64}}")
    );
    assert_eq!(
        plain,
        signature("{hmac: {secret: 7365637265742D61, secret_encoding: hex}}")
    );
    assert_eq!(
        plain,
        signature("{hmac: {secret: whsec_secret-a, strip_prefix: whsec_}}")
    );
    // The method is signed.
    let verification = verification(r#"{hmac: {secret: env:A, content: "{method} {url}\n{body}"}}"#);
    let mut request = sent(&verification, BODY);
    request.method = http::Method::PUT;
    assert_eq!(
        verification.prove(&request).unwrap_err().reason(),
        "bad-signature"
    );
}

#[test]
fn a_header_may_be_signed() {
    let verify = r#"{hmac: {secret: env:A, content: "{header:X-Topic}\n{body}"}}"#;
    let topic = ("x-topic", "push {body}");
    let request = sent_as(&verification(verify), &[topic], BODY, "", now());
    let signature = ("x-signature", header(&request, "x-signature"));
    assert_eq!(outcome(verify, &[signature, topic], BODY), "held");
    assert_eq!(
        outcome(verify, &[signature, ("x-topic", "pull")], BODY),
        "bad-signature"
    );
    assert_eq!(outcome(verify, &[signature], BODY), "missing-header");
    assert_eq!(
        outcome(verify, &[signature, topic, topic], BODY),
        "repeated-header"
    );
    // A header named as the location of the timestamp is the timestamp.
    let named = verification(
        r#"{hmac: {secret: env:A, timestamp: {header: Date, unit: rfc3339}, content: "{header:date}{body}"}}"#,
    );
    let proof = named.prove(&sent(&named, BODY)).unwrap();
    assert!(proof.timestamp.is_some_and(|sent| sent.signed));
}

#[test]
fn one_field_of_a_preset_may_be_altered() {
    let altered = verification("{github: {secret: env:A, header: X-Mine, prefix: ''}}");
    assert_eq!(header(&sent(&altered, BODY), "x-mine").len(), 64);
    let untimed = doubtful(r#"{slack: {secret: env:A, timestamp: none, content: "{body}"}}"#);
    assert_eq!(untimed.prove(&sent(&untimed, BODY)).unwrap().timestamp, None);
    let millis = verification("{slack: {secret: env:A, timestamp: {unit: ms}}}");
    let request = sent(&millis, BODY);
    assert_eq!(header(&request, "x-slack-request-timestamp"), format!("{NOW}000"));
    millis.prove(&request).unwrap();
}

#[test]
fn what_stands_in_a_compressed_body_is_read_once_its_bytes_are_genuine() {
    // `{"id":"evt_1","webhookTimestamp":1614265330000}`, compressed with gzip.
    let body = data_encoding::BASE64
        .decode(b"H4sIAAAAAAACA6tWykxRslJKLSuJN1TSUSpPTcrIz88OycxNLS5JzC1QsjI0MzQxMjM1NjYAgloA9JwDXS8AAAA=")
        .unwrap();
    let plain = verification("{hmac: {secret: env:A, header: Linear-Signature}}");
    let verification = verification("{linear: {secret: env:A, id: {json: $.id}}}");
    let mut request = sent(&plain, &body);
    request
        .headers
        .insert("content-encoding", "gzip".parse().unwrap());
    let proof = verification.prove(&request).unwrap();
    assert_eq!(proof.dedup_keys, [DedupKey::id(b"evt_1")]);
    assert_eq!(proof.timestamp.unwrap().at, now());
    request.headers.remove("content-encoding");
    assert_eq!(
        verification.prove(&request).unwrap_err().reason(),
        "unreadable-body"
    );
}
