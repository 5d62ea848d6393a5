//! Cost of verification by scheme, compared with the bare hash or signature check.
//!
//! Run with `cargo bench --bench verifying`. Bodies have 1 KB, and 25 KB like GitHub's largest.
//! "bare" is the keyed HMAC over the body and the comparison, without reading a request. Goal: at
//! 25 KB a scheme reaches 0.9 of the bare speed.

use std::hint::black_box;
use std::path::Path;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use hmac::{Hmac, KeyInit, Mac};
use hookyard::base::clock::Timestamp;
use hookyard::base::diagnostic::Diagnostics;
use hookyard::base::diagnostic::Source;
use hookyard::base::secret::Keyring;
use hookyard::base::yaml::Document;
use hookyard::event::EventId;
use hookyard::event::Received;
use hookyard::verify::OutgoingRequest;
use hookyard::verify::SchemeContext;
use hookyard::verify::Verification;
use http::{HeaderMap, HeaderValue, Method};
use sha1::Sha1;
use sha2::Sha256;

/// Valid as text, hex and base64.
const SECRET: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// Schemes that do different work. All others equal one of them.
const SCHEMES: [&str; 18] = [
    "github",
    "github_sha1",
    "shopify",
    "stripe",
    "slack",
    "standard",
    "twitch",
    "paddle",
    "hubspot",
    "linear",
    "twilio",
    "mailgun",
    "adyen_payments",
    "gitlab",
    "microsoft_graph",
    "discord",
    "standard_v1a",
    "netlify",
];

/// Compiles a scheme, with a secret that is valid for all of them.
fn verification(scheme: &str) -> Verification {
    let text = match scheme {
        "discord" => format!("{{discord: {{private_key: '{SECRET}'}}}}"),
        "standard_v1a" => {
            "{standard_v1a: {private_key: whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=}}".to_owned()
        }
        _ => format!("{{{scheme}: '{SECRET}'}}"),
    };
    let mut diagnostics = Diagnostics::new();
    let keyring = Keyring::new([], Path::new("."));
    let scheme_context = SchemeContext {
        keyring: &keyring,
        schemes: &hookyard::verify::Definitions::default(),
        public_url: Some("https://hooks.example.com"),
        max_body: 1 << 20,
        decompress_unverified: false,
        beside_others: false,
    };
    let source = Source {
        path: "verify".into(),
        text,
    };
    Document::parse(source, &mut diagnostics)
        .and_then(|document| Verification::compile(document.root(), &scheme_context, &mut diagnostics))
        .unwrap_or_else(|| panic!("{}", diagnostics.render(false)))
}

/// Builds a body of about `size` bytes with all fields that schemes sign.
fn body(size: usize) -> Bytes {
    let filler = "x".repeat(size.saturating_sub(220));
    Bytes::from(format!(
        r#"{{"filler":"{filler}","notificationItems":[{{"NotificationRequestItem":{{"pspReference":"p","amount":{{"value":1130,"currency":"EUR"}},"success":"true"}}}}],"value":[{{}}]}}"#
    ))
}

/// Builds a genuine request.
fn request(verification: &Verification, body: Bytes) -> Received {
    let at = Timestamp::from_seconds(1_795_000_000);
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    let draft = OutgoingRequest {
        method: &Method::POST,
        url: "https://hooks.example.com/in",
        headers: &headers,
        body: &body,
        at,
        id: "msg_1",
        restamp: true,
    };
    let signed = verification
        .sign(&draft)
        .unwrap_or_else(|error| panic!("{error}"));
    let query = signed.url("").trim_start_matches('?').to_owned();
    let body = signed.body.map_or(body, Bytes::from);
    headers.extend(signed.headers);
    Received {
        id: EventId::new(at),
        at,
        endpoint: "/in".into(),
        method: Method::POST,
        path: "/in".to_owned(),
        query,
        parameters: Vec::new(),
        client: None,
        certificate: None,
        headers,
        body,
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for size in [1 << 10, 25 << 10] {
        let mut group = criterion.benchmark_group(format!("verify {} KB", size >> 10));
        let body = body(size);
        group.throughput(Throughput::Bytes(body.len() as u64));
        let key = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes());
        let key = key.unwrap_or_else(|error| panic!("{error}"));
        let mut tag = key.clone();
        tag.update(&body);
        let tag = tag.finalize().into_bytes();
        group.bench_function(BenchmarkId::from_parameter("bare HMAC-SHA256"), |bencher| {
            bencher.iter(|| {
                let mut mac = key.clone();
                mac.update(black_box(&body));
                assert!(mac.verify_slice(&tag).is_ok());
            });
        });
        let key = Hmac::<Sha1>::new_from_slice(SECRET.as_bytes());
        let key = key.unwrap_or_else(|error| panic!("{error}"));
        group.bench_function(BenchmarkId::from_parameter("bare HMAC-SHA1"), |bencher| {
            bencher.iter(|| {
                let mut mac = key.clone();
                mac.update(black_box(&body));
                mac.finalize()
            });
        });
        for scheme in SCHEMES {
            let verification = verification(scheme);
            let request = request(&verification, body.clone());
            group.bench_function(BenchmarkId::from_parameter(scheme), |bencher| {
                bencher.iter(|| assert!(verification.prove(black_box(&request)).is_ok()));
            });
        }
        group.finish();
    }
}
