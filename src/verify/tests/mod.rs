//! What the room promises, tried through its door: settings as they are written, requests as they arrive.

mod fields;
mod jwt;
mod malformed;
mod open_schemes;
mod properties;
mod refused;
mod settings;
mod signed;
mod vectors;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{Draft, EventId, Proof, Received, Refusal, Verification};
use crate::clock::Timestamp;
use crate::diagnostic::{Finding, Findings, Source};
use crate::secret::Keyring;
use crate::yaml::Document;

/// When the tests take place.
const NOW: i64 = 1_614_265_330;
/// Where they take place.
const PUBLIC_URL: &str = "https://hooks.example.com/";

fn now() -> Timestamp {
    Timestamp::from_seconds(NOW)
}

/// Compiles `verify: <text>` with `PUBLIC_URL`; the findings without the warnings about secrets in the text.
fn compiled(text: &str, public_url: Option<&str>) -> (Option<Verification>, Vec<Finding>) {
    let environment = [("A", "secret-a"), ("B", "secret-b"), ("EMPTY", "")];
    let keyring = Keyring::new(
        environment.map(|(name, value)| (name.into(), value.into())),
        Path::new("/nowhere"),
    );
    let mut findings = Findings::new();
    let source = Source {
        path: "r.yaml".into(),
        text: format!("verify: {text}\n"),
    };
    let document = Document::parse(source, &mut findings);
    let verification = document.and_then(|document| {
        let node = document.root().get("verify").unwrap();
        Verification::compile(node, &keyring, public_url, &mut findings)
    });
    let written_out = |finding: &Finding| finding.message.starts_with("a secret written out");
    let findings = findings.iter().filter(|finding| !written_out(finding)).cloned();
    (verification, findings.collect())
}

/// A verification that has nothing wrong with it.
fn verification(text: &str) -> Verification {
    let (verification, findings) = compiled(text, Some(PUBLIC_URL));
    let lines: Vec<String> = findings.iter().map(Finding::line).collect();
    assert_eq!(lines, Vec::<String>::new(), "{text}");
    verification.unwrap()
}

/// A verification that is only warned about.
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
        headers: map,
        body: Bytes::copy_from_slice(body),
    }
}

fn prove(text: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Proof, Refusal> {
    doubtful(text).prove(&received(headers, body))
}

/// The reason for which a request is refused; `held` if it is not.
fn outcome(text: &str, headers: &[(&str, &str)], body: &[u8]) -> &'static str {
    prove(text, headers, body).map_or_else(|refusal| refusal.reason(), |_| "held")
}

/// The request that a sender would make, signed now.
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
    let draft = Draft {
        method: &Method::POST,
        url: &url,
        headers: &request.headers,
        body,
        at,
        id,
    };
    for (name, value) in verification.sign(&draft).unwrap() {
        request.headers.append(name, value);
    }
    request
}

/// The value of a header of a request.
fn header<'r>(request: &'r Received, name: &str) -> &'r str {
    request.headers.get(name).unwrap().to_str().unwrap()
}
