//! RSA signatures: paddings, hash functions, forms and sizes of keys, and forgeries.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{self, KeyPair as _, RsaEncoding};
use data_encoding::BASE64;

use super::*;

const BODY: &[u8] = br#"{"event_type":"transfers#state-change"}"#;

fn pair() -> &'static KeyPair {
    static PAIR: std::sync::OnceLock<KeyPair> = std::sync::OnceLock::new();
    PAIR.get_or_init(|| KeyPair::generate(KeySize::Rsa2048).unwrap())
}

fn sign(pair: &KeyPair, encoding: &'static dyn RsaEncoding, body: &[u8]) -> String {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(encoding, &SystemRandom::new(), body, &mut signature)
        .unwrap();
    BASE64.encode(&signature)
}

/// The public key as PEM: `PUBLIC KEY`, or `RSA PUBLIC KEY` of PKCS #1.
fn pem(pair: &KeyPair, pkcs1: bool) -> String {
    let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    let (label, der) = if pkcs1 {
        ("RSA PUBLIC KEY", pair.public_key().as_ref())
    } else {
        ("PUBLIC KEY", spki.as_ref())
    };
    let text = BASE64.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    // In one line of YAML, `\n` is a line break.
    format!(
        "\"-----BEGIN {label}-----\\n{}\\n-----END {label}-----\\n\"",
        lines.join("\\n")
    )
}

fn verify(scheme: &str, key: &str, padding: &str) -> String {
    format!("{{{scheme}: {{public_key: {key}, padding: {padding}}}}}")
}

#[test]
fn each_padding_and_hash_holds_and_no_other_does() {
    let ways: [(&str, &str, &'static dyn RsaEncoding); 4] = [
        ("rsa_sha256", "pkcs1", &signature::RSA_PKCS1_SHA256),
        ("rsa_sha256", "pss", &signature::RSA_PSS_SHA256),
        ("rsa_sha512", "pkcs1", &signature::RSA_PKCS1_SHA512),
        ("rsa_sha512", "pss", &signature::RSA_PSS_SHA512),
    ];
    for (scheme, padding, _) in ways {
        for pkcs1 in [false, true] {
            let verify = verify(scheme, &pem(pair(), pkcs1), padding);
            for (other, other_padding, encoding) in ways {
                let signature = sign(pair(), encoding, BODY);
                let headers = [("X-Signature", signature.as_str())];
                let expected = if (other, other_padding) == (scheme, padding) {
                    "held"
                } else {
                    "bad-signature"
                };
                assert_eq!(outcome(&verify, &headers, BODY), expected, "{scheme} {padding}");
                assert_eq!(outcome(&verify, &headers, b"{}"), "bad-signature");
            }
        }
    }
}

#[test]
fn a_forged_signature_is_refused_whatever_its_length() {
    let verify = verify("rsa_sha256", &pem(pair(), false), "pkcs1");
    let other = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let longer = KeyPair::generate(KeySize::Rsa3072).unwrap();
    let encoding = &signature::RSA_PKCS1_SHA256;
    for (signature, expected) in [
        (sign(&other, encoding, BODY), "bad-signature"),
        (sign(&longer, encoding, BODY), "bad-signature"),
        (BASE64.encode(&[0; 256]), "bad-signature"),
        (BASE64.encode(&[0xff; 256]), "bad-signature"),
        (BASE64.encode(b"x"), "bad-signature"),
        (BASE64.encode(&[1; 1100]), "malformed-signature"),
        (String::new(), "malformed-signature"),
        ("!".repeat(344), "malformed-signature"),
        ("A".repeat(60_000), "malformed-signature"),
    ] {
        assert_eq!(outcome(&verify, &[("X-Signature", &signature)], BODY), expected);
    }
}

#[test]
fn the_signed_content_identifies_an_event_and_not_the_signature() {
    let verify = verify("rsa_sha256", &pem(pair(), false), "pss");
    let proof = |_: u8| {
        // PSS has a random salt, so each signature is another.
        let signature = sign(pair(), &signature::RSA_PSS_SHA256, BODY);
        prove(&verify, &[("X-Signature", &signature)], BODY)
            .unwrap()
            .dedup_keys
    };
    assert_eq!(proof(0), proof(1));
}

#[test]
fn a_key_that_cannot_be_used_is_an_error_at_load() {
    let ec = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    // `openssl genrsa 1024 | openssl rsa -pubout -outform DER | base64`
    let small = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDFwSp14T3x4C26joSdwLBMqsAHSdddrIMp8yJyPUVJ0QFD8nYfI8OVrKsau1WVYlFE62FA8t58an3Ui8lxpgMU88kdBZbQ07/zLs/On4fw9Cb5uKCUkDoWhSUCmsLHS6z1Iuj3Y8pURasbdS/aKAMbsEnrOpKqSjAvLSVv2tmT6QIDAQAB";
    let text = |pem: String| format!("\"{}\"", pem.replace('\n', "\\n"));
    for (key, words) in [
        (small.to_owned(), "2048 to 8192 bits"),
        (text(ec.public_key_pem()), "no RSA key"),
        (
            text(ec.serialize_pem()),
            "private key, which only the sender needs",
        ),
        ("'-----BEGIN PUBLIC KEY-----'".to_owned(), "no `PUBLIC KEY`"),
        ("AAAA".to_owned(), "no RSA key"),
        ("'!'".to_owned(), "not base64"),
    ] {
        let (_, diagnostics) = compiled(&verify("rsa_sha256", &key, "pkcs1"), None);
        let lines: Vec<String> = diagnostics.iter().map(Diagnostic::line).collect();
        assert!(lines.iter().any(|line| line.contains(words)), "{key}: {lines:?}");
    }
    let (_, diagnostics) = compiled(&verify("rsa_sha1", &pem(pair(), false), "pss"), None);
    assert!(diagnostics[0].message.contains("needs SHA-256 or SHA-512"));
    let (_, diagnostics) = compiled(&verify("rsa_sha256", &pem(pair(), false), "oaep"), None);
    assert!(diagnostics[0].line().contains("pkcs1"), "{:?}", diagnostics[0]);
    let (_, diagnostics) = compiled("{ed25519: {public_key: '00', padding: pss}}", None);
    assert!(
        diagnostics[0].line().contains("unknown key `padding`"),
        "{diagnostics:?}"
    );
    let (_, diagnostics) = compiled(&format!("{{rsa_sha1: {{private_key: {}}}}}", rsa()), None);
    assert!(diagnostics[0].message.contains("SHA-1"), "{diagnostics:?}");
}

#[test]
fn of_a_list_only_the_configured_algorithm_counts() {
    // As adnanh/webhook's `payload-hash` and several senders write it.
    let verify = "{hmac: {secret: k, separator: ',', prefix: 'sha256='}}";
    let good = "6ba6829f1a79aafc4189b9c2acae1a1a0d37a7c1e2b7b7e9f6b4c9e7c6c1d4f1";
    let mac = |body: &[u8]| {
        use hmac::{Hmac, KeyInit, Mac};
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"k").unwrap();
        mac.update(body);
        data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes())
    };
    let right = mac(BODY);
    for (header, expected) in [
        (format!("sha1=00,sha256={right}"), "held"),
        (format!("sha256={right},sha512={good}"), "held"),
        (format!("sha256={good}, sha256={right}"), "held"),
        (format!("sha1={right},sha256={good}"), "bad-signature"),
        (format!("sha1={right}"), "malformed-signature"),
        (format!("sha512={right}, md5={right}"), "malformed-signature"),
        (right.clone(), "malformed-signature"),
    ] {
        assert_eq!(
            outcome(verify, &[("X-Signature", &header)], BODY),
            expected,
            "{header}"
        );
    }
}

#[test]
fn base64url_is_taken_with_its_padding_and_without() {
    let verify = "{hmac: {secret: k, encoding: base64url}}";
    let request = sent(&doubtful(verify), BODY);
    let signature = header(&request, "X-Signature").to_owned();
    assert_eq!(signature.len(), 43);
    let (cut, _) = signature.split_at(42);
    for (text, expected) in [
        (signature.clone(), "held"),
        (format!("{signature}="), "held"),
        (format!("{signature}=="), "malformed-signature"),
        (format!("{signature}A"), "malformed-signature"),
        (cut.to_owned(), "malformed-signature"),
        (format!("{cut}/"), "malformed-signature"),
    ] {
        assert_eq!(
            outcome(verify, &[("X-Signature", &text)], BODY),
            expected,
            "{text}"
        );
    }
}
