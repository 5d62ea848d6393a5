//! Bodies of admin requests and of their answers, as JSON.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use crate::admin::REQUEST_LIMIT;
use crate::admin::answer::{text, typed};

/// Maximum time for an answer.
pub(super) const LIMIT: Duration = Duration::from_secs(8);

/// Reads a body of at most `max` bytes. The error is the response.
pub(super) async fn read_bytes(
    request: Request<Incoming>,
    max: usize,
) -> Result<Bytes, Response<Full<Bytes>>> {
    let read = Limited::new(request.into_body(), max).collect();
    match timeout(REQUEST_LIMIT, read).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(_)) => Err(text(StatusCode::PAYLOAD_TOO_LARGE, "too large, or broken off")),
        Err(_) => Err(text(StatusCode::REQUEST_TIMEOUT, "too slow")),
    }
}

/// Reads a body of at most `max` bytes as JSON. The error is the response.
pub(super) async fn read<T: DeserializeOwned>(
    request: Request<Incoming>,
    max: usize,
    unreadable: &str,
) -> Result<T, Response<Full<Bytes>>> {
    let body = read_bytes(request, max).await?;
    serde_json::from_slice(&body).map_err(|_invalid| text(StatusCode::BAD_REQUEST, unreadable))
}

/// Reads a body of at most `max` bytes as a JSON object. An empty body is an empty object. The error
/// is the response.
pub(super) async fn read_object(
    request: Request<Incoming>,
    max: usize,
) -> Result<Map<String, Value>, Response<Full<Bytes>>> {
    let body = read_bytes(request, max).await?;
    if body.is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_slice(&body).map_err(|error| {
        let why = format!("the body is no JSON object: {error}");
        let json = json!({"error": why}).to_string();
        typed(StatusCode::BAD_REQUEST, "application/json", json)
    })
}

/// Waits for an answer, at most [`LIMIT`], and builds the response.
pub(super) async fn respond<T: Serialize>(
    answering: impl Future<Output = Result<T, String>>,
    late: &str,
) -> Response<Full<Bytes>> {
    let Ok(answer) = timeout(LIMIT, answering).await else {
        return text(StatusCode::SERVICE_UNAVAILABLE, late);
    };
    let json = answer.and_then(|answer| serde_json::to_vec(&answer).map_err(|error| error.to_string()));
    match json {
        Ok(json) => typed(StatusCode::OK, "application/json", json),
        Err(why) => text(StatusCode::INTERNAL_SERVER_ERROR, &why),
    }
}
