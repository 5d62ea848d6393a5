//! Tests of the module's promises through its public interface: settings in YAML, requests as
//! received.

mod alternatives;
mod definitions;
mod fields;
mod handshake_settings;
mod handshakes;
mod jwt;
mod malformed;
mod message_signature;
mod mistakes;
mod open_handshakes;
mod open_schemes;
mod properties;
mod refused;
mod rsa;
mod settings;
mod signed;
mod tampered;
mod vectors;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{Definitions, OutgoingRequest, Proof, Refusal, SchemeContext, Verification};
use crate::base::clock::Timestamp;
use crate::base::diagnostic::{Diagnostic, Diagnostics, Severity, Source};
use crate::base::secret::Keyring;
use crate::base::yaml::Document;
use crate::event::{EventId, Received};

/// Time of the tests, in Unix seconds.
const NOW: i64 = 1_614_265_330;
/// Public URL of the tests.
const PUBLIC_URL: &str = "https://hooks.example.com/";

fn now() -> Timestamp {
    Timestamp::from_seconds(NOW)
}

/// Compiles `verify: <text>` with `PUBLIC_URL`. Omits the warnings about short and inline secrets.
fn compiled(text: &str, public_url: Option<&str>) -> (Option<Verification>, Vec<Diagnostic>) {
    compiled_with("", text, public_url)
}

/// Compiles like [`compiled`], with the value of `schemes:` in flow style.
fn compiled_with(
    schemes: &str,
    text: &str,
    public_url: Option<&str>,
) -> (Option<Verification>, Vec<Diagnostic>) {
    let environment = [("A", "secret-a"), ("B", "secret-b"), ("EMPTY", "")];
    let keyring = Keyring::new(
        environment.map(|(name, value)| (name.into(), value.into())),
        Path::new("/nowhere"),
    );
    let mut diagnostics = Diagnostics::new();
    let source = Source {
        path: "r.yaml".into(),
        text: if schemes.is_empty() {
            format!("verify: {text}\n")
        } else {
            format!("verify: {text}\nschemes: {schemes}\n")
        },
    };
    let document = Document::parse(source, &mut diagnostics);
    let verification = document.and_then(|document| {
        let node = document.root().get("verify").unwrap();
        let schemes = Definitions::read(document.root().get("schemes"), &mut diagnostics);
        let scheme_context = SchemeContext {
            keyring: &keyring,
            schemes: &schemes,
            public_url,
            max_body: 1 << 20,
            decompress_unverified: false,
            beside_others: false,
        };
        Verification::check_definitions(&scheme_context, &mut diagnostics);
        let verification = Verification::compile(node, &scheme_context, &mut diagnostics);
        if !diagnostics.has_errors() {
            diagnostics.extend(schemes.unused());
        }
        verification
    });
    let doubtful =
        |diagnostic: &Diagnostic| diagnostic.code == "secret" && diagnostic.severity == Severity::Warning;
    let diagnostics = diagnostics
        .iter()
        .filter(|diagnostic| !doubtful(diagnostic))
        .cloned();
    (verification, diagnostics.collect())
}

/// Value of `verify` with which a scheme can verify and sign. The secret is valid in base64, in hex
/// and as text.
fn working(scheme: &str) -> String {
    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    match scheme {
        "none" => "none".to_owned(),
        "token" => format!("{{token: {{header: X-Token, secret: {HEX}}}}}"),
        "jwt" => {
            format!(
                "{{jwt: {{algorithms: [HS384], secret: '{HEX}', body_hash: sha256, query: token, timestamp: none}}}}"
            )
        }
        "http_message_signatures" => {
            format!("{{http_message_signatures: {{algorithm: hmac-sha256, secret: '{HEX}'}}}}")
        }
        "client_cert" => format!("{{client_cert: {{fingerprint: '{HEX}'}}}}"),
        "basic" | "azure_devops" => format!("{{{scheme}: {{user: ci, password: {HEX}}}}}"),
        "discord" | "ed25519" => format!("{{{scheme}: {{private_key: '{HEX}'}}}}"),
        "standard_v1a" => {
            "{standard_v1a: {private_key: whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=}}".to_owned()
        }
        "rsa_sha1" | "travis" => format!("{{{scheme}: {{public_key: {}}}}}", rsa_public()),
        "rsa_sha256" | "rsa_sha512" | "wise" => format!("{{{scheme}: {{private_key: {}}}}}", rsa()),
        "sendgrid" | "ecdsa_p256" => format!("{{{scheme}: {{private_key: {}}}}}", p256()),
        _ => format!("{{{scheme}: '{HEX}'}}"),
    }
}

/// The same value with another secret.
fn working_with_another(scheme: &str) -> String {
    let working = working(scheme);
    if working.contains(rsa()) {
        return working.replace(rsa(), another_rsa());
    }
    working
        .replace("000102", "ff0102")
        .replace("AAEC", "/wEC")
        .replace(p256(), another_p256())
}

/// Schemes with which the tests can sign a request.
fn signing_schemes() -> impl Iterator<Item = &'static str> {
    // A certificate is not part of a request, and SHA-1 is verified only.
    let others = ["client_cert", "rsa_sha1", "travis"];
    super::schemes().filter(move |scheme| !others.contains(scheme))
}

/// RSA private key in base64 PKCS#8, generated once.
fn rsa() -> &'static str {
    static KEY: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    KEY.get_or_init(generated_rsa)
}

/// A second RSA private key.
fn another_rsa() -> &'static str {
    static KEY: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    KEY.get_or_init(generated_rsa)
}

fn generated_rsa() -> String {
    let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = aws_lc_rs::encoding::AsDer::as_der(&pair).unwrap();
    data_encoding::BASE64.encode(der.as_ref())
}

/// Public key of [`rsa()`], in base64 SPKI.
fn rsa_public() -> String {
    use aws_lc_rs::signature::KeyPair;
    let der = data_encoding::BASE64.decode(rsa().as_bytes()).unwrap();
    let pair = aws_lc_rs::rsa::KeyPair::from_pkcs8(&der).unwrap();
    let spki: aws_lc_rs::encoding::PublicKeyX509Der<'_> =
        aws_lc_rs::encoding::AsDer::as_der(pair.public_key()).unwrap();
    data_encoding::BASE64.encode(spki.as_ref())
}

/// P-256 private key in base64 PKCS#8, generated once.
fn p256() -> &'static str {
    static KEY: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    KEY.get_or_init(generated)
}

/// A second P-256 private key.
fn another_p256() -> &'static str {
    static KEY: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    KEY.get_or_init(generated)
}

fn generated() -> String {
    let pair =
        aws_lc_rs::signature::EcdsaKeyPair::generate(&aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING);
    data_encoding::BASE64.encode(pair.unwrap().to_pkcs8v1().unwrap().as_ref())
}

/// Body that has the signed values of every scheme.
const SUITABLE: &[u8] = br#"{"value":[{}],"notificationItems":[{"NotificationRequestItem":{"pspReference":"p","amount":{"value":1130,"currency":"EUR"},"success":"true"}}],"id":"evt_1"}"#;

/// Verification without diagnostics.
fn verification(text: &str) -> Verification {
    let (verification, diagnostics) = compiled(text, Some(PUBLIC_URL));
    let lines: Vec<String> = diagnostics.iter().map(Diagnostic::line).collect();
    assert_eq!(lines, Vec::<String>::new(), "{text}");
    verification.unwrap()
}

/// Verification with warnings only.
fn doubtful(text: &str) -> Verification {
    compiled(text, Some(PUBLIC_URL)).0.unwrap()
}

fn received(headers: &[(&str, &str)], body: &[u8]) -> Received {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    Received {
        id: EventId::new(now()),
        at: now(),
        endpoint: Arc::from("/in"),
        method: Method::POST,
        path: "/in".to_owned(),
        query: String::new(),
        parameters: Vec::new(),
        client: None,
        certificate: None,
        headers: map,
        body: Bytes::copy_from_slice(body),
    }
}

fn prove(text: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Proof, Refusal> {
    doubtful(text).prove(&received(headers, body))
}

/// Reason for which a request is refused, or `held`.
fn outcome(text: &str, headers: &[(&str, &str)], body: &[u8]) -> &'static str {
    prove(text, headers, body).map_or_else(|refusal| refusal.reason(), |_| "held")
}

/// Request of a sender, signed at [`NOW`].
fn sent(verification: &Verification, body: &[u8]) -> Received {
    sent_as(verification, &[], body, "msg_1", now())
}

fn sent_as(
    verification: &Verification,
    headers: &[(&str, &str)],
    body: &[u8],
    id: &str,
    at: Timestamp,
) -> Received {
    let mut request = received(headers, body);
    let url = format!("{}{}", PUBLIC_URL.trim_end_matches('/'), request.path);
    let draft = OutgoingRequest {
        method: &Method::POST,
        url: &url,
        headers: &request.headers,
        body,
        at,
        id,
        restamp: true,
    };
    let signed = verification.sign(&draft).unwrap();
    if let Some((_, query)) = signed.url("https://h").split_once('?') {
        query.clone_into(&mut request.query);
    }
    for (name, value) in signed.headers {
        request.headers.append(name, value);
    }
    if let Some(body) = signed.body {
        request.body = body.into();
    }
    request
}

fn header<'r>(request: &'r Received, name: &str) -> &'r str {
    request.headers.get(name).unwrap().to_str().unwrap()
}
