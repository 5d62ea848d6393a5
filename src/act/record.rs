//! Event record: one JSON object about an event, for `stdin: json` and `line: json`.
//!
//! The record holds no credential headers. The JSON is a single line, without any raw line break.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::act::action_context::{ActionContext, FailureContext, payload_error};
use crate::base::json::JsonTree;
use crate::base::jsonpath::Exactly;
use crate::payload::{BodyKind, Event};

/// Fields in the order in which they are written.
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
    payload: RecordPayload<'r>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureContext<'r>>,
}

/// Payload of the event.
#[derive(Serialize)]
#[serde(untagged)]
enum RecordPayload<'r> {
    /// Body as it was sent, if it is one line of JSON. Keeps every digit and saves serialising.
    Sent(&'r RawValue),
    /// Payload as it was decoded.
    Read(Exactly<'r>),
}

impl<'r> RecordPayload<'r> {
    fn of(event: &'r Event) -> Self {
        let body = event.received.body.trim_ascii();
        if event.payload.kind == BodyKind::Json
            && memchr::memchr2(b'\n', b'\r', body).is_none()
            && let Ok(sent) = serde_json::from_slice(body)
        {
            return Self::Sent(sent);
        }
        let JsonTree { value, integers } = event.payload.whole();
        Self::Read(integers.exactly(value))
    }
}

/// Returns the record as JSON without a line break. The error is the reason why there is none.
pub fn json(action_context: &ActionContext<'_>) -> Result<Vec<u8>, String> {
    let received = &action_context.event.received;
    if let Some(error) = &action_context.event.payload.decode_error {
        return Err(payload_error(error));
    }
    serde_json::to_vec(&Record {
        id: received.id.to_string(),
        received_at: received.at.to_string(),
        endpoint: &received.endpoint,
        rule: action_context.rule,
        verified: action_context.verified,
        method: received.method.as_str(),
        path: &received.path,
        query: &received.query,
        client: received.client.map(|client| client.to_string()),
        headers: headers(action_context),
        payload: RecordPayload::of(action_context.event),
        failure: action_context.failure,
    })
    .map_err(|error| error.to_string())
}

/// Returns the headers without credentials. Several values of one name are joined, as RFC 9110 §5.3
/// allows.
fn headers(action_context: &ActionContext<'_>) -> Map<String, Value> {
    let headers = &action_context.event.received.headers;
    headers
        .keys()
        .filter(|name| !action_context.withholds(name))
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
