//! HTTP Message Signatures: the test cases of RFC 9421, appendix B.2, altered requests, and settings.

use proptest::prelude::*;

use super::*;
use crate::event::DedupKey;

/// `test-key-rsa-pss`, appendix B.1.2.
const RSA_PSS: &str = "-----BEGIN PUBLIC KEY-----\\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr4tmm3r20Wd/PbqvP1s2\\n+QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x28Rw3Ry53mm+\\noAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHq\\ngDsznjPFmTOtCEcN2Z1FpWgchwuYLPL+Wokqltd11nqqzi+bJ9cvSKADYdUAAN5W\\nUtzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4\\naOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI\\n2wIDAQAB\\n-----END PUBLIC KEY-----";
/// `test-key-ecc-p256`, appendix B.1.3.
const P256: &str = "-----BEGIN PUBLIC KEY-----\\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lf\\nw0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==\\n-----END PUBLIC KEY-----";
/// `test-key-ed25519`, appendix B.1.4.
const ED25519: &str = "-----BEGIN PUBLIC KEY-----\\nMCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=\\n-----END PUBLIC KEY-----";
/// `test-shared-secret`, appendix B.1.5.
const SHARED: &str =
    "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
/// `created` of all test cases.
const CREATED: i64 = 1_618_884_473;
/// Body of `test-request`.
const BODY: &[u8] = br#"{"hello": "world"}"#;

/// A test case: label, `Signature-Input` and `Signature`.
type Case = (&'static str, &'static str, &'static str);

const B21: Case = (
    "sig-b21",
    r#"sig-b21=();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd""#,
    "sig-b21=:d2pmTvmbncD3xQm8E9ZV2828BjQWGgiwAaw5bAkgibUopemLJcWDy/lkbbHAve4cRAtx31Iq786U7it++wgGxbtRxf8Udx7zFZsckzXaJMkA7ChG52eSkFxykJeNqsrWH5S+oxNFlD4dzVuwe8DhTSja8xxbR/Z2cOGdCbzR72rgFWhzx2VjBqJzsPLMIQKhO4DGezXehhWwE56YCE+O6c0mKZsfxVrogUvA4HELjVKWmAvtl6UnCh8jYzuVG5WSb/QEVPnP5TmcAnLH1g+s++v6d4s8m0gCw1fV5/SITLq9mhho8K3+7EPYTU8IU1bLhdxO5Nyt8C8ssinQ98Xw9Q==:",
);
const B22: Case = (
    "sig-b22",
    r#"sig-b22=("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example""#,
    "sig-b22=:LjbtqUbfmvjj5C5kr1Ugj4PmLYvx9wVjZvD9GsTT4F7GrcQEdJzgI9qHxICagShLRiLMlAJjtq6N4CDfKtjvuJyE5qH7KT8UCMkSowOB4+ECxCmT8rtAmj/0PIXxi0A0nxKyB09RNrCQibbUjsLS/2YyFYXEu4TRJQzRw1rLEuEfY17SARYhpTlaqwZVtR8NV7+4UKkjqpcAoFqWFQh62s7Cl+H2fjBSpqfZUJcsIk4N6wiKYd4je2U/lankenQ99PZfB4jY3I5rSV2DSBVkSFsURIjYErOs0tFTQosMTAoxk//0RoKUqiYY8Bh0aaUEb0rQl3/XaVe4bXTugEjHSw==:",
);
const B23: Case = (
    "sig-b23",
    r#"sig-b23=("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss""#,
    "sig-b23=:bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FUo5fTIztsDZKEgM4cUA==:",
);
const B24: Case = (
    "sig-b24",
    r#"sig-b24=("@status" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-ecc-p256""#,
    "sig-b24=:wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==:",
);
const B25: Case = (
    "sig-b25",
    r#"sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#,
    "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:",
);
const B26: Case = (
    "sig-b26",
    r#"sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#,
    "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:",
);

/// The keys of appendix B.1.
fn keys() -> String {
    format!(
        "keys: [{{keyid: test-key-rsa-pss, algorithm: rsa-pss-sha512, public_key: \"{RSA_PSS}\"}}, \
         {{keyid: test-key-ecc-p256, algorithm: ecdsa-p256-sha256, public_key: \"{P256}\"}}, \
         {{keyid: test-key-ed25519, algorithm: ed25519, public_key: \"{ED25519}\"}}, \
         {{keyid: test-shared-secret, algorithm: hmac-sha256, secret: '{SHARED}', secret_encoding: base64}}]"
    )
}

/// A verification that requires these components.
fn requiring(components: &str) -> Verification {
    let text = format!(
        "{{http_message_signatures: {{{}, components: [{components}]}}}}",
        keys()
    );
    compiled(&text, Some("https://example.com")).0.unwrap()
}

/// `test-request` with the signature of a case.
fn request((_, input, signature): Case) -> Received {
    let mut request = received(
        &[
            ("Host", "example.com"),
            ("Date", "Tue, 20 Apr 2021 02:07:55 GMT"),
            ("Content-Type", "application/json"),
            (
                "Content-Digest",
                "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
            ),
            ("Content-Length", "18"),
            ("Signature-Input", input),
            ("Signature", signature),
        ],
        BODY,
    );
    "/foo".clone_into(&mut request.path);
    "param=Value&Pet=dog".clone_into(&mut request.query);
    request
}

fn reason(verification: &Verification, request: &Received) -> &'static str {
    verification
        .prove(request)
        .map_or_else(|refusal| refusal.reason(), |_| "held")
}

#[test]
fn the_test_cases_of_the_rfc_hold() {
    let cases = [
        (B21, "", "test-key-rsa-pss"),
        (B22, "'@authority', content-digest", "test-key-rsa-pss"),
        (
            B23,
            "'@method', '@authority', '@path', '@query', content-digest, date, content-type",
            "test-key-rsa-pss",
        ),
        (B25, "'@authority', date, content-type", "test-shared-secret"),
        (B26, "'@method', '@path', '@authority'", "test-key-ed25519"),
    ];
    for (case, components, _) in cases {
        let verification = requiring(components);
        let proof = verification.prove(&request(case)).unwrap();
        let sent = proof.timestamp.unwrap();
        assert!(
            sent.signed && sent.at == Timestamp::from_seconds(CREATED),
            "{}",
            case.0
        );
        assert!(proof.freshness(verification.default_window(), sent.at).is_ok());
    }
    let nonce = requiring("").prove(&request(B21)).unwrap().dedup_keys;
    // Another sender may use the same nonce with its own key.
    assert_eq!(nonce, [DedupKey::id(b"b3k2pp5k7z-50gnwp.yemd\0test-key-rsa-pss")]);
    // B.2.4 signs a response.
    let refusal = requiring("").prove(&request(B24)).unwrap_err();
    assert!(
        refusal.to_string().contains("`@status`, which is for responses"),
        "{refusal}"
    );
}

#[test]
fn a_case_does_not_hold_where_more_must_be_covered() {
    for (case, components, missing) in [
        (B21, "'@method'", "@method"),
        (B22, "'@method'", "@method"),
        (B22, "'@query'", "@query"),
        (B23, "'@scheme'", "@scheme"),
        (B25, "content-digest", "content-digest"),
        (B26, "content-digest", "content-digest"),
        (B26, "'@target-uri'", "@target-uri"),
        (B26, "x-none", "x-none"),
    ] {
        let refusal = requiring(components).prove(&request(case)).unwrap_err();
        let text = refusal.to_string();
        assert!(text.contains(&format!("does not cover `{missing}`")), "{text}");
    }
    // The safe default demands what B.2.3 covers.
    let default = format!("{{http_message_signatures: {{{}}}}}", keys());
    let default = compiled(&default, Some("https://example.com")).0.unwrap();
    assert_eq!(reason(&default, &request(B23)), "held");
    assert_eq!(reason(&default, &request(B26)), "malformed-signature");
}

#[test]
fn each_covered_component_is_protected() {
    type Alter = fn(&mut Received);
    let alter: [(&str, Alter); 8] = [
        ("@method", |request| request.method = Method::PUT),
        ("@path", |request| request.path.push('x')),
        ("@query", |request| request.query.push('x')),
        ("date", |request| {
            drop(request.headers.insert("date", "x".parse().unwrap()));
        }),
        ("date", |request| {
            drop(request.headers.remove("date"));
        }),
        ("content-type", |request| {
            request
                .headers
                .append("content-type", "text/plain".parse().unwrap());
        }),
        ("content-length", |request| {
            drop(request.headers.insert("content-length", "19".parse().unwrap()));
        }),
        ("content-digest", |request| {
            let digest = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:";
            drop(request.headers.insert("content-digest", digest.parse().unwrap()));
        }),
    ];
    for case in [B22, B23, B25, B26] {
        let verification = requiring("");
        for (name, alter) in alter {
            let mut altered = request(case);
            alter(&mut altered);
            let covered = case.1.contains(&format!("\"{name}\""))
                || name == "@query" && case.1.contains("@query-param");
            let outcome = reason(&verification, &altered);
            assert_eq!(outcome == "held", !covered, "{} {name}: {outcome}", case.0);
        }
        // The authority is that of the configured URL, whatever the request says.
        let other = format!("{{http_message_signatures: {{{}, components: []}}}}", keys());
        let other = compiled(&other, Some("https://other.example")).0.unwrap();
        assert_eq!(reason(&other, &request(case)), "bad-signature", "{}", case.0);
        // Another body keeps its signature, but not its digest.
        let mut altered = request(case);
        altered.body = Bytes::from_static(b"{}");
        let covered = case.1.contains("content-digest");
        assert_eq!(
            reason(&verification, &altered),
            if covered { "bad-digest" } else { "held" }
        );
    }
    let mut altered = request(B22);
    "param=Value&Pet=cat".clone_into(&mut altered.query);
    assert_eq!(reason(&requiring(""), &altered), "bad-signature");
    for query in ["param=Value", "Pet=dog&Pet=dog", ""] {
        query.clone_into(&mut altered.query);
        assert_eq!(reason(&requiring(""), &altered), "malformed-signature", "{query}");
    }
}

#[test]
fn parameters_are_covered_and_never_choose_the_algorithm() {
    let verification = requiring("");
    let with = |case: Case, from: &str, to: &str| {
        let mut request = request(case);
        let input = case.1.replace(from, to);
        assert_ne!(input, case.1);
        request.headers.insert("signature-input", input.parse().unwrap());
        verification.prove(&request).unwrap_err()
    };
    for (from, to, expected, words) in [
        ("created=1618884473", "created=1618884474", "bad-signature", ""),
        (
            "created=1618884473",
            "created=\"x\"",
            "malformed-signature",
            "another type",
        ),
        (";keyid", ";nonce=\"x\";keyid", "bad-signature", ""),
        (
            ";keyid",
            ";nonce=\"\";keyid",
            "malformed-signature",
            "empty `nonce`",
        ),
        (";keyid", ";unknown=1;keyid", "bad-signature", ""),
        ("test-key-ed25519", "test-shared-secret", "bad-signature", ""),
        (
            "test-key-ed25519",
            "nobody",
            "malformed-signature",
            "none of `test-key-rsa-pss`",
        ),
        (
            ";keyid",
            ";alg=\"hmac-sha256\";keyid",
            "malformed-signature",
            "another algorithm",
        ),
        (";keyid", ";alg=\"ed25519\";keyid", "bad-signature", ""),
        ("\"date\" ", "\"date\" \"date\" ", "malformed-signature", "twice"),
        ("\"date\"", "\"Date\"", "malformed-signature", "lower case"),
        ("\"date\"", "\"date\";req", "malformed-signature", "for responses"),
        ("\"date\"", "\"date\";tr", "malformed-signature", "trailers"),
        ("\"date\"", "\"date\";x", "malformed-signature", "not known"),
        (
            "\"date\"",
            "\"date\";sf",
            "malformed-signature",
            "type is not known",
        ),
        (
            "\"date\"",
            "\"date\";key=\"a\"",
            "malformed-signature",
            "not known as a dictionary",
        ),
        ("\"date\"", "\"date\";bs;sf", "malformed-signature", "beside `sf`"),
        (
            "\"@path\"",
            "\"@path\";sf",
            "malformed-signature",
            "does not have",
        ),
        ("\"@path\"", "\"@paths\"", "malformed-signature", "not known"),
        (
            "\"@path\"",
            "\"@query-param\"",
            "malformed-signature",
            "without `name`",
        ),
        ("\"@path\"", "\"x-none\"", "malformed-signature", "does not have"),
        ("\"@path\"", "1", "malformed-signature", "no string"),
    ] {
        let refusal = with(B26, from, to);
        assert_eq!(refusal.reason(), expected, "{to}: {refusal}");
        assert!(refusal.to_string().contains(words), "{to}: {refusal}");
    }
}

#[test]
fn malformed_fields_are_refused() {
    let verification = requiring("");
    let long = format!("sig=({})", "\"a\" ".repeat(6000));
    let many = (0..65).map(|n| format!("\"x{n}\"")).collect::<Vec<_>>().join(" ");
    for (input, signature, expected) in [
        (None, Some(B26.2), "missing-header"),
        (Some(B26.1), None, "missing-header"),
        (Some(""), Some(B26.2), "missing-signature"),
        (Some("x"), Some(B26.2), "malformed-signature"),
        (Some("=("), Some(B26.2), "malformed-signature"),
        (Some(B26.1), Some("sig-b26=x"), "malformed-signature"),
        (Some(B26.1), Some("sig-b26=:!:"), "malformed-signature"),
        (Some(B26.1), Some("other=:AAAA:"), "malformed-signature"),
        (Some(B26.1), Some("sig-b26=:AAAA:"), "bad-signature"),
        (Some(B26.1), Some("sig-b26=::"), "bad-signature"),
        (
            Some("a=(), b=(), c=(), d=(), e=()"),
            Some(B26.2),
            "malformed-signature",
        ),
        (Some(long.as_str()), Some(B26.2), "malformed-signature"),
        (
            Some(format!("sig-b26=({many})").as_str()),
            Some(B26.2),
            "malformed-signature",
        ),
    ] {
        let mut request = request(B26);
        for (name, value) in [("signature-input", input), ("signature", signature)] {
            request.headers.remove(name);
            if let Some(value) = value {
                request.headers.insert(name, value.parse().unwrap());
            }
        }
        assert_eq!(reason(&verification, &request), expected, "{input:?}");
    }
}

/// A verification with a shared secret, and its settings.
fn shared(settings: &str) -> Verification {
    let text = format!(
        "{{http_message_signatures: {{algorithm: hmac-sha256, secret: '{}'{settings}}}}}",
        "k".repeat(40)
    );
    compiled(&text, Some(PUBLIC_URL)).0.unwrap()
}

#[test]
fn created_and_expires_bound_the_time() {
    let verification = shared("");
    let request = sent(&verification, BODY);
    let proof = verification.prove(&request).unwrap();
    assert_eq!(proof.dedup_keys, [DedupKey::id(b"msg_1")]);
    assert!(header(&request, "signature-input").contains("created=1614265330;nonce=\"msg_1\""));
    let window = verification.default_window();
    assert!(proof.freshness(window, now()).is_ok());
    assert!(
        proof
            .freshness(window, Timestamp::from_seconds(NOW + 301))
            .is_err()
    );
    assert!(
        proof
            .freshness(window, Timestamp::from_seconds(NOW - 301))
            .is_err()
    );
    // Without a nonce, the signed content is remembered.
    let plain = sent_as(&verification, &[], BODY, "", now());
    assert!(!verification.prove(&plain).unwrap().dedup_keys[0].is_id());
    let tagged = shared(", tag: app");
    assert_eq!(reason(&tagged, &sent(&tagged, BODY)), "held");
    assert_eq!(reason(&tagged, &request), "missing-signature");
    assert_eq!(reason(&shared(", label: sig1"), &request), "held");
    assert_eq!(reason(&shared(", label: other"), &request), "missing-signature");
}

#[test]
fn of_two_valid_signatures_both_are_remembered() {
    let verification = shared("");
    let one = sent_as(&verification, &[], BODY, "one", now());
    let two = sent_as(&verification, &[], BODY, "two", now());
    let mut both = one.clone();
    for name in ["signature-input", "signature"] {
        let other = header(&two, name).replacen("sig1=", "sig2=", 1);
        both.headers.append(name, other.parse().unwrap());
    }
    let proof = verification.prove(&both).unwrap();
    assert_eq!(proof.dedup_keys, [DedupKey::id(b"one"), DedupKey::id(b"two")]);
    // One forged signature beside a valid one neither accepts nor refuses.
    let forged = header(&two, "signature").replacen("sig1=:", "sig2=:AAAA", 1);
    both.headers.remove("signature");
    both.headers
        .append("signature", header(&one, "signature").parse().unwrap());
    both.headers.append("signature", forged.parse().unwrap());
    assert_eq!(
        verification.prove(&both).unwrap().dedup_keys,
        [DedupKey::id(b"one")]
    );
}

#[test]
fn a_setting_that_cannot_hold_is_found_at_load() {
    for (settings, words) in [
        ("secret: x", "`algorithm` is missing"),
        ("algorithm: hmac-sha512, secret: x", "unknown algorithm"),
        (
            "algorithm: ed25519, secret: x",
            "`ed25519` takes `public_key`, not `secret`",
        ),
        ("algorithm: hmac-sha256, public_key: x", "takes `secret`"),
        ("algorithm: ed25519", "`public_key` is missing"),
        ("algorithm: ed25519, public_key: x", "no public key in PEM"),
        ("keys: []", "1 to 16 keys"),
        ("keys: [{keyid: a}]", "`algorithm` is missing"),
        ("keys: [{kyid: a}]", "did you mean `keyid`"),
        (
            "keys: [{algorithm: hmac-sha256, secret: x}], keyid: a",
            "not in both",
        ),
        (
            "keys: [{algorithm: hmac-sha256, secret: x}, {keyid: b, algorithm: hmac-sha256, secret: y}]",
            "each has a `keyid`",
        ),
        (
            "algorithm: hmac-sha256, secret: x, components: ['@status']",
            "unknown component `@status`",
        ),
        (
            "algorithm: hmac-sha256, secret: x, components: ['@path', '@path']",
            "twice",
        ),
        (
            "algorithm: hmac-sha256, secret: x, components: '@path'",
            "is a list",
        ),
        (
            "algorithm: hmac-sha256, secret: x, timestamp: date",
            "`created`, or `none`",
        ),
        (
            "algorithm: hmac-sha256, secret: '!', secret_encoding: base64",
            "not base64",
        ),
        (
            "algorithm: hmac-sha256, secret: x, components: []",
            "lets any body in",
        ),
    ] {
        let text = format!("{{http_message_signatures: {{{settings}}}}}");
        let (_, diagnostics) = compiled(&text, Some(PUBLIC_URL));
        let lines: Vec<String> = diagnostics.iter().map(Diagnostic::line).collect();
        assert!(
            lines.iter().any(|line| line.contains(words)),
            "{settings}: {lines:?}"
        );
    }
    let (_, diagnostics) = compiled(
        "{http_message_signatures: {algorithm: hmac-sha256, secret: x}}",
        None,
    );
    assert_eq!(diagnostics[0].code, "missing-public-url");
    let (_, diagnostics) = compiled("{http_message_signatures: env:A}", None);
    assert!(diagnostics[0].message.contains("needs an algorithm"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_byte_anywhere_is_refused(place in 0_usize..5, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let verification = shared("");
        let mut request = sent(&verification, BODY);
        let change = |text: &[u8]| {
            let mut text = text.to_vec();
            let index = at.index(text.len());
            text[index] = byte;
            text
        };
        let name = ["signature", "signature-input", "content-digest"].get(place);
        let unchanged = match (name, place) {
            (Some(name), _) => {
                let before = request.headers[*name].clone();
                let Ok(after) = HeaderValue::from_bytes(&change(before.as_bytes())) else { return Ok(()) };
                request.headers.insert(*name, after.clone());
                after == before
            }
            (None, 3) => {
                let before = request.body.clone();
                request.body = change(&before).into();
                request.body == before
            }
            (None, _) => {
                let before = request.path.clone();
                let Ok(after) = String::from_utf8(change(before.as_bytes())) else { return Ok(()) };
                request.path.clone_from(&after);
                after == before
            }
        };
        // Base64 of 32 bytes has padding bits, which the parser ignores.
        let held = verification.prove(&request).is_ok();
        prop_assert!(held == unchanged || (place == 0 && at.index(header(&request, "signature").len()) > 40));
    }
}
