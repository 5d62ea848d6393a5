//! Requests that `hookyard events capture --format json` wrote.

use std::net::IpAddr;

use data_encoding::BASE64;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

/// A captured request.
#[derive(Clone, Debug)]
pub struct Captured {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub client: Option<IpAddr>,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// The captured file. Other keys are ignored.
#[derive(serde::Deserialize)]
struct CapturedShape {
    method: String,
    path: String,
    query: String,
    client: Option<IpAddr>,
    headers: Vec<(String, Value)>,
    body: Value,
}

impl Captured {
    /// Reads the content of a file. The error is the reason why it is no captured request.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let captured: CapturedShape = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let mut headers = HeaderMap::new();
        for (name, value) in &captured.headers {
            let known: Option<HeaderName> = name.parse().ok();
            let value = bytes(value).and_then(|value| HeaderValue::from_bytes(&value).ok());
            let (Some(known), Some(value)) = (known, value) else {
                return Err(format!("its header `{name}` is none"));
            };
            headers.append(known, value);
        }
        let body = bytes(&captured.body).ok_or("its body is neither text nor base64")?;
        let target = if captured.query.is_empty() {
            captured.path
        } else {
            format!("{}?{}", captured.path, captured.query)
        };
        Ok(Self {
            method: captured.method,
            target,
            client: captured.client,
            headers,
            body,
        })
    }
}

/// Decodes text, or `{"base64": …}`.
fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.clone().into_bytes()),
        other => BASE64.decode(other.get("base64")?.as_str()?.as_bytes()).ok(),
    }
}
