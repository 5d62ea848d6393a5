//! Mistakes about secrets: empty, wrongly encoded or disclosed ones.

use data_encoding::{BASE64, HEXLOWER};

use super::{judged, senders};
use crate::verify::tests::{compiled, doubtful, prove, sent, working};

#[test]
fn mistake_16_and_17_an_empty_secret_is_one_and_a_newline_is_kept() {
    for name in crate::verify::presets::names() {
        for secret in ["''", "'  '", "env:EMPTY", "env:UNSET", "file:unreadable"] {
            let key = match working(name) {
                text if text.contains("private_key") || text.contains("public_key") => "public_key",
                text if text.contains("password") => "password",
                _ => "secret",
            };
            let user = if key == "password" { "user: ci, " } else { "" };
            let verify = format!("{{{name}: {{{user}{key}: {secret}}}}}");
            let (compiled, diagnostics) = compiled(&verify, Some("https://h"));
            assert!(compiled.is_none(), "{verify}");
            assert!(
                diagnostics
                    .iter()
                    .any(|diagnostic| diagnostic.code == "secret" || diagnostic.code == "key"),
                "{verify} {diagnostics:?}"
            );
        }
    }
    for verify in [
        "{standard: whsec_}",
        "{standard_v1a: whpk_}",
        "{airtable: '===='}",
        "{adyen_platform: ''}",
    ] {
        assert!(compiled(verify, None).0.is_none(), "{verify}");
    }
}

#[test]
fn mistake_18_the_key_is_taken_in_the_wrong_form() {
    // 25 bytes, so that the base64 may or may not be padded.
    let (text, key) = (
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwAQ==",
        "31f290f6bf06298aab4f08d43c3f082cf648a362da2da4b001",
    );
    assert_eq!(HEXLOWER.encode(&BASE64.decode(text.as_bytes()).unwrap()), key);
    let by = |scheme: &str, secret: &str| doubtful(&format!("{{{scheme}: '{secret}'}}"));
    let holds = |made: &str, checked: &str, scheme: &str| {
        judged(&by(scheme, checked), &sent(&by(scheme, made), b"{}"))
    };
    for same in [
        text.to_owned(),
        text.trim_end_matches('=').to_owned(),
        format!("whsec_{text}"),
    ] {
        assert_eq!(
            holds(&format!("whsec_{text}"), &same, "standard"),
            "held",
            "{same}"
        );
    }
    assert_eq!(holds(text, text.trim_end_matches('='), "airtable"), "held");
    // Stripe's `whsec_` is part of the key.
    assert_eq!(holds(&format!("whsec_{text}"), text, "stripe"), "bad-signature");
    assert_eq!(holds(key, &key.to_uppercase(), "adyen_platform"), "held");
    for (scheme, wrong) in [
        ("standard", "not base64!"),
        ("airtable", "é"),
        ("adyen_platform", text),
        ("adyen_payments", text),
    ] {
        assert!(
            compiled(&format!("{{{scheme}: '{wrong}'}}"), None).0.is_none(),
            "{scheme}"
        );
    }
}

#[test]
fn what_is_refused_says_why_and_repeats_neither_secret_nor_signature() {
    for sender in senders() {
        let (_, signature) = sender.signature();
        let mut request = sender.request();
        request.body = b"{}".to_vec().into();
        let Err(refusal) = sender.verification.prove(&request) else {
            panic!("{}", sender.name)
        };
        let said = format!("{refusal} {refusal:?} {:?}", sender.verification);
        assert!(
            !said.contains(&signature) && !said.contains("00010203"),
            "{}: {said}",
            sender.name
        );
    }
    let refusal = prove(
        "{github: env:A}",
        &[("X-Hub-Signature-256", "sha256=hunter2")],
        b"",
    )
    .unwrap_err();
    assert!(!refusal.to_string().contains("hunter2"));
}
