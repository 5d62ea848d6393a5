//! Malformed signature headers, and valid ones that look malformed.

use super::{NOW, doubtful, header, outcome, sent, verification};

const GITHUB: &str = "{github: env:A}";
const STRIPE: &str = "{stripe: env:A}";
const STANDARD: &str = "{standard: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}";
const BODY: &[u8] = br#"{"a":1}"#;

/// Hex signature of [`BODY`] under the secret `A`.
fn hex() -> String {
    let request = sent(&verification(GITHUB), BODY);
    header(&request, "x-hub-signature-256").replace("sha256=", "")
}

/// Base64 signature of [`BODY`] under the secret `A`.
fn base64() -> String {
    header(
        &sent(&verification("{shopify: env:A}"), BODY),
        "x-shopify-hmac-sha256",
    )
    .to_owned()
}

/// Stripe's header for [`BODY`] under the secret `A`: the timestamp and the signature.
fn stripe() -> (String, String) {
    let request = sent(&verification(STRIPE), BODY);
    let (stamp, signature) = header(&request, "stripe-signature").split_once(',').unwrap();
    (stamp.to_owned(), signature.replace("v1=", ""))
}

#[test]
fn the_prefix_is_required_exactly_and_stripped_once() {
    let hex = hex();
    for (value, expected) in [
        (format!("sha256={hex}"), "held"),
        (hex.clone(), "malformed-signature"),
        (format!("SHA256={hex}"), "malformed-signature"),
        (format!("sha1={hex}"), "malformed-signature"),
        (format!("sha256=sha256={hex}"), "malformed-signature"),
        (format!(" sha256={hex}"), "malformed-signature"),
        (format!("sha256= {hex}"), "malformed-signature"),
        (format!("sha256={hex} "), "malformed-signature"),
        (format!("sha256:{hex}"), "malformed-signature"),
        (format!("sha256={hex},sha256={hex}"), "malformed-signature"),
        (format!("sha256={}", hex.to_uppercase()), "held"),
        (format!("sha256={}", hex.split_at(1).1), "malformed-signature"),
        (format!("sha256={hex}0"), "malformed-signature"),
        (format!("sha256={}", hex.split_at(32).0), "malformed-signature"),
        (format!("sha256={}", "0".repeat(64)), "bad-signature"),
        (format!("sha256={}", "g".repeat(64)), "malformed-signature"),
        (format!("sha256={}", "0".repeat(65_536)), "malformed-signature"),
        ("sha256=".to_owned(), "malformed-signature"),
        (String::new(), "malformed-signature"),
        ("é".repeat(32), "malformed-signature"),
    ] {
        assert_eq!(
            outcome(GITHUB, &[("X-Hub-Signature-256", &value)], BODY),
            expected,
            "{value:.80}"
        );
    }
    assert_eq!(outcome(GITHUB, &[], BODY), "missing-header");
    assert_eq!(
        outcome(GITHUB, &[("X-Hub-Signature", &format!("sha256={hex}"))], BODY),
        "missing-header"
    );
    assert_eq!(
        outcome(GITHUB, &[("x-HUB-signature-256", &format!("sha256={hex}"))], BODY),
        "held"
    );
}

#[test]
fn an_empty_digest_is_refused_where_the_sender_has_no_secret() {
    // Gitea without a secret really sends an empty signature.
    assert_eq!(
        outcome("{gitea: env:A}", &[("X-Gitea-Signature", "")], BODY),
        "malformed-signature"
    );
    assert_eq!(
        outcome(GITHUB, &[("X-Hub-Signature-256", "sha256=")], BODY),
        "malformed-signature"
    );
    assert_eq!(
        outcome("{shopify: env:A}", &[("X-Shopify-Hmac-Sha256", "")], BODY),
        "malformed-signature"
    );
}

#[test]
fn base64_is_strict() {
    let signature = base64();
    let verify = "{shopify: env:A}";
    for (value, expected) in [
        (signature.clone(), "held"),
        (format!("{signature}!!!!"), "malformed-signature"),
        (signature.trim_end_matches('=').to_owned(), "malformed-signature"),
        (format!("{signature}="), "malformed-signature"),
        (format!("{signature}\t"), "malformed-signature"),
        ("-_".repeat(22), "malformed-signature"),
        ("=".repeat(44), "malformed-signature"),
        (hex(), "malformed-signature"),
    ] {
        assert_eq!(
            outcome(verify, &[("X-Shopify-Hmac-Sha256", &value)], BODY),
            expected,
            "{value}"
        );
    }
}

#[test]
fn a_header_that_comes_twice_is_refused_in_either_order() {
    let valid = format!("sha256={}", hex());
    let invalid = format!("sha256={}", "0".repeat(64));
    for pair in [[&valid, &invalid], [&invalid, &valid], [&valid, &valid]] {
        let headers = pair.map(|value| ("X-Hub-Signature-256", value.as_str()));
        assert_eq!(outcome(GITHUB, &headers, BODY), "repeated-header");
    }
    // A proxy joins two lines like this.
    let joined = format!("{valid}, {invalid}");
    assert_eq!(
        outcome(GITHUB, &[("X-Hub-Signature-256", &joined)], BODY),
        "malformed-signature"
    );
}

#[test]
fn any_item_of_a_list_may_match_and_lines_are_items() {
    let (stamp, valid) = stripe();
    let other = "0".repeat(64);
    for lines in [
        vec![format!("{stamp},v1={valid}")],
        vec![format!("{stamp},v1={valid},v1={other}")],
        vec![format!("{stamp},v1={other},v1={valid}")],
        vec![format!("v1={other},v1={valid},{stamp}")],
        vec![format!("{stamp}, v1={valid}, v0={other}")],
        vec![format!("{stamp},v1=,v1=zz,v1={valid},,")],
        vec![format!("{stamp},v1={other}"), format!("v1={valid}")],
        vec![format!("v1={valid}"), format!("{stamp},v1={other}")],
    ] {
        let headers: Vec<(&str, &str)> = lines
            .iter()
            .map(|line| ("Stripe-Signature", line.as_str()))
            .collect();
        assert_eq!(outcome(STRIPE, &headers, BODY), "held", "{lines:?}");
    }
    let many = |count: usize| format!("{stamp},{}v1={valid}", format!("v1={other},").repeat(count));
    assert_eq!(outcome(STRIPE, &[("Stripe-Signature", &many(14))], BODY), "held");
    for (value, expected) in [
        (many(15), "malformed-signature"),
        (many(10_000), "malformed-signature"),
        (format!("{stamp},v1={other}"), "bad-signature"),
        (format!("{stamp},v0={valid}"), "malformed-signature"),
        (format!("{stamp},V1={valid}"), "malformed-signature"),
        (format!("{stamp};v1={valid}"), "malformed-signature"),
        (format!("v1={valid}"), "missing-timestamp"),
        (format!("{stamp},{stamp},v1={valid}"), "malformed-timestamp"),
        (format!("t=1,{stamp},v1={valid}"), "malformed-timestamp"),
        (format!("t=,v1={valid}"), "malformed-timestamp"),
        (format!("t= 1614265330,v1={valid}"), "malformed-timestamp"),
        (format!("T={NOW},v1={valid}"), "missing-timestamp"),
        (stamp.clone(), "malformed-signature"),
        (",,,".to_owned(), "malformed-signature"),
        (String::new(), "malformed-signature"),
        ("é".to_owned(), "malformed-signature"),
    ] {
        assert_eq!(
            outcome(STRIPE, &[("Stripe-Signature", &value)], BODY),
            expected,
            "{value:.80}"
        );
    }
    let request = sent(&verification(STANDARD), BODY);
    let valid = header(&request, "webhook-signature");
    let other = format!("v1,{}=", "A".repeat(43));
    for (value, expected) in [
        (format!("{valid} {other}"), "held"),
        (format!("{other} {valid}"), "held"),
        (format!("v1a,xyz {other}  {valid} v2,"), "held"),
        (format!("{other} {other}"), "bad-signature"),
        (valid.replace("v1,", ""), "malformed-signature"),
        ("v1".to_owned(), "malformed-signature"),
        ("v1,".to_owned(), "malformed-signature"),
        (format!("{valid},{other}"), "malformed-signature"),
    ] {
        let mut request = request.clone();
        request
            .headers
            .insert("webhook-signature", value.parse().unwrap());
        let outcome = doubtful(STANDARD)
            .prove(&request)
            .map_or_else(|refusal| refusal.reason(), |_| "held");
        assert_eq!(outcome, expected, "{value}");
    }
}
