//! Reader of requests captured by `hookyard events capture --format json`.

use std::net::IpAddr;
use std::path::Path;

use data_encoding::BASE64;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::described::Described;
use crate::cli::body;

/// The captured file. Other keys are ignored.
#[derive(serde::Deserialize)]
struct Captured {
    method: String,
    path: String,
    query: String,
    client: Option<IpAddr>,
    headers: Vec<(String, Value)>,
    body: Value,
}

/// Reads a file; `-` is standard input.
pub(super) fn read(path: &Path) -> Result<Described, String> {
    let text = body(Some(path))?;
    let broken = |why: &str| format!("`{}` is no captured request: {why}", path.display());
    let captured: Captured = serde_json::from_slice(&text).map_err(|error| broken(&error.to_string()))?;
    let mut headers = HeaderMap::new();
    for (name, value) in &captured.headers {
        let known: Option<HeaderName> = name.parse().ok();
        let value = bytes(value).and_then(|value| HeaderValue::from_bytes(&value).ok());
        let (Some(known), Some(value)) = (known, value) else {
            return Err(broken(&format!("its header `{name}` is none")));
        };
        headers.append(known, value);
    }
    let body = bytes(&captured.body).ok_or_else(|| broken("its body is neither text nor base64"))?;
    let target = if captured.query.is_empty() {
        captured.path
    } else {
        format!("{}?{}", captured.path, captured.query)
    };
    Ok(Described {
        target,
        method: captured.method,
        headers,
        client: captured.client,
        body,
    })
}

/// Decodes text, or `{"base64": …}`.
fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.clone().into_bytes()),
        other => BASE64.decode(other.get("base64")?.as_str()?.as_bytes()).ok(),
    }
}
