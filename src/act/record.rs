//! Event record: one JSON object about an event, for `stdin: json` and `line: json`.
//!
//! The record holds no credential headers. The JSON is a single line, without any raw line break.

use memchr::memchr2;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::act::action_context::{ActionContext, Item, payload_error};
use crate::base::json::{self, JsonTree};
use crate::payload::{BodyKind, Event};

/// Fields before `payload`, in the order in which they are written.
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
}

/// The body as it was sent, if it is one line of JSON. Keeps every digit and saves serializing.
fn sent(event: &Event) -> Option<&[u8]> {
    let body = event.received.body.trim_ascii();
    // Decoding has validated the body. A byte order mark before it is no JSON.
    let is_json = event.payload.kind == BodyKind::Json && json::without_marks(body).len() == body.len();
    (is_json && memchr2(b'\n', b'\r', body).is_none()).then_some(body)
}

/// Returns the record as JSON without a line break. The error is the reason why there is none.
pub fn json(action_context: &ActionContext<'_>) -> Result<Vec<u8>, String> {
    let ActionContext { event, failure, .. } = action_context;
    if let Some(error) = &event.payload.decode_error {
        return Err(payload_error(error));
    }
    let received = &event.received;
    let record = Record {
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
    };
    let mut written = Vec::with_capacity(received.body.len() + HEAD);
    write(&mut written, &record)?;
    // The payload goes on where the object of the other fields ends.
    written.pop();
    written.extend_from_slice(b",\"payload\":");
    if let Some(sent) = sent(event) {
        written.extend_from_slice(sent);
    } else {
        let JsonTree { value, integers } = event.payload.whole();
        write(&mut written, &integers.exactly(value))?;
    }
    if let Some(Item {
        value,
        index: Some(index),
    }) = &action_context.item
    {
        written.extend_from_slice(b",\"item\":");
        write(&mut written, value)?;
        written.extend_from_slice(format!(",\"item_index\":{index}").as_bytes());
    }
    if let Some(by) = &event.fired_by {
        written.extend_from_slice(b",\"fired_by\":");
        write(&mut written, by)?;
    }
    if let Some(failure) = failure {
        written.extend_from_slice(b",\"failure\":");
        write(&mut written, failure)?;
    }
    written.push(b'}');
    Ok(written)
}

/// Usual length of the fields before `payload`, in bytes.
const HEAD: usize = 1024;

fn write(record: &mut Vec<u8>, value: &impl Serialize) -> Result<(), String> {
    serde_json::to_writer(record, value).map_err(|error| error.to_string())
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
