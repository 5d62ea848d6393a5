//! Properties that hold for all bodies, headers and signatures.

use http::HeaderValue;
use proptest::prelude::*;

use super::{compiled, doubtful, now, received, sent, sent_as, verification, working};
use crate::verify::handshake::MAX_ECHO;
use crate::verify::{Verification, schemes};

/// All schemes that sign, each with its signature header.
fn signing() -> Vec<(Verification, &'static str)> {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let mut signing: Vec<(Verification, &'static str)> = [
        ("github", "x-hub-signature-256"),
        ("github_sha1", "x-hub-signature"),
        ("gitea", "x-gitea-signature"),
        ("forgejo", "x-forgejo-signature"),
        ("gogs", "x-gogs-signature"),
        ("slack", "x-slack-signature"),
        ("stripe", "stripe-signature"),
        ("shopify", "x-shopify-hmac-sha256"),
        ("standard", "webhook-signature"),
        ("svix", "webhook-signature"),
        ("bitbucket", "x-hub-signature"),
        ("hmac", "x-signature"),
        ("netlify", "x-webhook-signature"),
    ]
    .into_iter()
    .map(|(scheme, header)| (verification(&format!("{{{scheme}: {secret}}}")), header))
    .collect();
    let written_out = r#"{hmac: {secret: x, algorithm: sha512, encoding: base64, timestamp: {unit: rfc3339}, content: "{method}{url}{timestamp}{body}"}}"#;
    signing.push((verification(written_out), "x-signature"));
    signing
}

/// All schemes, compiled.
fn all() -> Vec<Verification> {
    let settings = schemes().map(|scheme| match scheme {
        "none" => "{none: {id: {json: $.id}}}".to_owned(),
        "token" => "{token: {json: $.t, secret: x}}".to_owned(),
        _ => working(scheme),
    });
    settings.map(|settings| doubtful(&settings)).collect()
}

/// All handshakes, on schemes for which the tests can sign.
fn handshakes() -> Vec<Verification> {
    let schemes = crate::verify::Definitions::default();
    let all = schemes.with_handshake().map(|name| match name {
        "zoom" | "x" => format!("{{hmac: {{secret: x, handshake: {name}}}}}"),
        "meta" => "{token: {query: t, secret: x, handshake: meta, verify_token: x}}".to_owned(),
        "asana" | "notion" => format!("{{{name}: {{learn: /nowhere/learnt}}}}"),
        name => format!("{{token: {{query: t, secret: x, handshake: {name}}}}}"),
    });
    let all: Vec<Verification> = all.map(|settings| doubtful(&settings)).collect();
    assert_eq!(all.len(), 12);
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_is_asked_the_answer_is_bounded_and_can_be_sent(
        method in prop::sample::select(vec!["GET", "POST", "HEAD", "OPTIONS"]),
        name in prop::sample::select(vec!["challenge", "hub.challenge", "validationToken", "crc_token"]),
        value in "[ -~]{0,20}|(%[0-9a-f]{2}){0,8}|x{0,5000}",
        key in prop::sample::select(vec!["type", "event", "verification_token", "challenge"]),
        text in "url_verification|endpoint.url_validation|[ -~é\\n]{0,20}",
        header in "[!-~]{0,20}|x{0,300}",
        raw in proptest::collection::vec(any::<u8>(), 0..60),
        is_raw in any::<bool>(),
    ) {
        let headers = [
            ("x-hook-secret", header.as_str()),
            ("webhook-request-origin", header.as_str()),
            ("twitch-eventsub-message-type", "webhook_callback_verification"),
        ];
        let json = serde_json::json!({key: text, "challenge": text, "payload": {"plainToken": text}});
        let body = if is_raw { raw } else { json.to_string().into_bytes() };
        let mut request = received(&headers, &body);
        request.method = method.parse().unwrap();
        request.query = format!("t=x&hub.mode=subscribe&hub.verify_token=x&{name}={value}");
        request.headers.extend(sent(&verification("{hmac: x}"), &body).headers);
        for verification in handshakes() {
            if let Some(Ok(greeting)) = verification.handshake(&request) {
                prop_assert!(greeting.status.is_success());
                prop_assert!(greeting.body.len() <= MAX_ECHO);
                let kind = greeting.headers.get("content-type").map(HeaderValue::as_bytes);
                prop_assert!(matches!(kind, None | Some(b"text/plain; charset=utf-8" | b"application/json")));
                let shown = std::str::from_utf8(&greeting.body).unwrap();
                prop_assert!(!shown.chars().any(char::is_control), "{shown:?}");
            }
        }
    }

    #[test]
    fn what_is_signed_is_proven_and_no_byte_may_change(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        at in any::<prop::sample::Index>(),
        change in 1..=255_u8,
    ) {
        for (verification, header) in signing() {
            let request = sent(&verification, &body);
            let proof = verification.prove(&request);
            prop_assert!(proof.is_ok(), "{verification:?} {proof:?}");
            prop_assert!(proof.unwrap().freshness(verification.default_window(), now()).is_ok());

            // The body with one byte changed, added or removed.
            let mut bodies = vec![[body.as_slice(), &[change]].concat()];
            if !body.is_empty() {
                let mut changed = body.clone();
                changed[at.index(body.len())] ^= change;
                bodies.push(changed);
                bodies.push(body[1..].to_vec());
            }
            for changed in bodies {
                let mut request = request.clone();
                request.body = changed.into();
                prop_assert!(verification.prove(&request).is_err());
            }

            // The signature and the timestamp with one character changed, other than in its case.
            for name in [header, "x-slack-request-timestamp", "webhook-timestamp", "x-timestamp"] {
                let Some(value) = request.headers.get(name) else { continue };
                let mut changed = value.as_bytes().to_vec();
                let place = at.index(changed.len());
                changed[place] ^= change;
                if changed[place].eq_ignore_ascii_case(&value.as_bytes()[place]) {
                    continue;
                }
                let Ok(changed) = HeaderValue::from_bytes(&changed) else { continue };
                let mut request = request.clone();
                request.headers.insert(name.parse::<http::HeaderName>().unwrap(), changed);
                prop_assert!(verification.prove(&request).is_err(), "{header}");
            }
        }
    }

    #[test]
    fn no_bytes_in_a_header_or_a_body_make_it_panic(
        value in proptest::collection::vec(prop_oneof![Just(b'\t'), 32..=126_u8, 128..=255_u8], 0..120),
        prefix in prop_oneof![
            Just(""), Just("sha256="), Just("v0="), Just("t=1614265330,v1="), Just("v1,"), Just("Basic "), Just("Bearer ")
        ],
        query in ".{0,40}",
        body in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let value = HeaderValue::from_bytes(&[prefix.as_bytes(), &value].concat()).unwrap();
        for verification in all() {
            let mut request = received(&[("content-type", "application/x-www-form-urlencoded")], &body);
            request.query.clone_from(&query);
            for name in ["webhook-id", "webhook-timestamp", "x-slack-request-timestamp", "authorization"] {
                request.headers.insert(name.parse::<http::HeaderName>().unwrap(), value.clone());
            }
            for name in verification.credential_headers() {
                request.headers.append(name, value.clone());
            }
            if let Err(refusal) = verification.prove(&request) {
                prop_assert!(!refusal.to_string().is_empty());
            }
        }
    }

    #[test]
    fn any_id_without_the_separator_is_an_id(id in "[!-~&&[^.]]{1,200}") {
        let verification = verification("{standard: MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}");
        let proof = verification.prove(&sent_as(&verification, &[], b"x", &id, now())).unwrap();
        prop_assert!(proof.dedup_keys.len() == 1 && proof.dedup_keys[0].as_bytes().len() <= 65);
    }

    #[test]
    fn no_settings_make_it_panic(text in "[ -~]{0,60}", field in "[a-z_]{1,16}") {
        let quoted = text.replace('\'', "''");
        for settings in [
            format!("{{hmac: {{secret: x, content: '{quoted}'}}}}"),
            format!("{{hmac: {{secret: x, id: {{json: '{quoted}'}}}}}}"),
            format!("{{hmac: {{secret: x, {field}: '{quoted}'}}}}"),
            format!("{{{field}: '{quoted}'}}"),
            format!("'{quoted}'"),
        ] {
            let (verification, diagnostics) = compiled(&settings, None);
            prop_assert!(verification.is_some() || !diagnostics.is_empty(), "{settings}");
        }
    }
}
