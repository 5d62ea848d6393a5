//! Shared helpers of this module's tests, and of those of the reference.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;

use super::Condition;
use crate::base::clock::Timestamp;
use crate::base::diagnostic::{Diagnostics, Source};
use crate::base::yaml::Document;
use crate::event::{EventId, Received};
use crate::payload::{BodyKind, Decode, Event, Payload};

/// The text of a `match:` as a document.
pub fn document(text: &str) -> Document {
    let source = Source {
        path: "m".into(),
        text: text.to_owned(),
    };
    Document::parse(source, &mut Diagnostics::new()).unwrap()
}

/// The diagnostics of a `match:`, each as `line:column: message (hint)`.
pub(super) fn diagnostics(text: &str) -> Vec<String> {
    let mut found = Diagnostics::new();
    let document = document(text);
    let condition = Condition::compile(document.root(), None, &mut found);
    assert_eq!(condition.is_none(), found.has_errors(), "{text}");
    let line = |diagnostic: &crate::base::diagnostic::Diagnostic| {
        diagnostic.line().trim_start_matches("m:").to_owned()
    };
    found.iter().map(line).collect()
}

/// A `match:` that compiles.
pub(super) fn condition(text: &str) -> Condition {
    let mut found = Diagnostics::new();
    let document = document(text);
    let condition = Condition::compile(document.root(), None, &mut found);
    condition.unwrap_or_else(|| panic!("{text}: {}", found.render(false)))
}

/// A push with this payload, headers, a query and parameters.
pub fn event(payload: Value) -> Event {
    event_of(Payload::new(BodyKind::Json, Arc::new(payload)))
}

/// A push whose payload is this text.
pub(super) fn event_of_text(text: &str) -> Event {
    let headers = HeaderMap::new();
    let body = Bytes::copy_from_slice(text.as_bytes());
    event_of(crate::payload::decode(Decode::Json, &headers, &body, u64::MAX).unwrap())
}

fn event_of(payload: Payload) -> Event {
    let mut headers = HeaderMap::new();
    headers.insert("x-github-event", HeaderValue::from_static("push"));
    headers.append("x-many", HeaderValue::from_static("one"));
    headers.append("x-many", HeaderValue::from_static("two"));
    headers.insert("x-bytes", HeaderValue::from_bytes(b"\xFF").unwrap());
    headers.insert("x-hub-signature-256", HeaderValue::from_static("sha256=00ff"));
    Event {
        received: Arc::new(Received {
            id: EventId::new(Timestamp::from_seconds(0)),
            at: Timestamp::from_seconds(0),
            endpoint: Arc::from("/deploy/{app}"),
            method: Method::POST,
            path: "/deploy/site".to_owned(),
            query: "tag=a&tag=b+c&token=t0p".to_owned(),
            parameters: vec![("app".to_owned(), "site".to_owned())],
            client: Some("::ffff:10.1.2.3".parse().unwrap()),
            certificate: None,
            headers,
            body: Bytes::from(payload.whole().value.to_string()),
        }),
        payload,
        views: Vec::new(),
        fired_by: None,
    }
}
