//! The event record: one JSON object about an event, for `stdin: json` and `line: json`.
//!
//! It holds no credential headers. It is one line: JSON has no line break but between its tokens.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::act::occasion::{Failure, Occasion, unreadable};
use crate::jsonpath::Exactly;
use crate::payload::{Event, Kind};

/// The fields, in the order in which they are written.
#[derive(Serialize)]
struct Record<'r> {
    id: String,
    received_at: String,
    endpoint: &'r str,
    rule: &'r str,
    verified: bool,
    method: &'r str,
    path: &'r str,
    query: &'r str,
    client: Option<String>,
    headers: Map<String, Value>,
    payload: Payload<'r>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure<'r>>,
}

/// What the event says.
#[derive(Serialize)]
#[serde(untagged)]
enum Payload<'r> {
    /// As it was sent, where that is one line of JSON: every digit of it, and without writing it anew.
    Sent(&'r RawValue),
    /// As it was read.
    Read(Exactly<'r>),
}

impl<'r> Payload<'r> {
    fn of(event: &'r Event) -> Self {
        let body = event.received.body.trim_ascii();
        if event.payload.kind == Kind::Json
            && !body.iter().any(|byte| matches!(byte, b'\n' | b'\r'))
            && let Ok(sent) = serde_json::from_slice(body)
        {
            return Self::Sent(sent);
        }
        Self::Read(event.payload.integers.exactly(&event.payload.value))
    }
}

/// The record as JSON, without a line break; the error says why there is none.
pub fn json(occasion: &Occasion<'_>) -> Result<Vec<u8>, String> {
    let received = &occasion.event.received;
    if let Some(fault) = &occasion.event.payload.fault {
        return Err(unreadable(fault));
    }
    serde_json::to_vec(&Record {
        id: received.id.to_string(),
        received_at: received.at.to_string(),
        endpoint: &received.endpoint,
        rule: occasion.rule,
        verified: occasion.verified,
        method: received.method.as_str(),
        path: &received.path,
        query: &received.query,
        client: received.client.map(|client| client.to_string()),
        headers: headers(occasion),
        payload: Payload::of(occasion.event),
        failure: occasion.failure,
    })
    .map_err(|error| error.to_string())
}

/// The headers by name; several values of one name are joined as RFC 9110 §5.3 allows.
fn headers(occasion: &Occasion<'_>) -> Map<String, Value> {
    let headers = &occasion.event.received.headers;
    headers
        .keys()
        .filter(|name| !occasion.withholds(name))
        .map(|name| {
            let values: Vec<_> = headers
                .get_all(name)
                .iter()
                .map(|value| String::from_utf8_lossy(value.as_bytes()))
                .collect();
            (name.as_str().to_owned(), Value::from(values.join(", ")))
        })
        .collect()
}
