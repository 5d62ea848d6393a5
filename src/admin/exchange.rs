//! Bodies of admin requests and of their answers, as JSON.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::admin::REQUEST_LIMIT;
use crate::admin::answer::{text, typed};

/// Maximum time for an answer.
pub(super) const LIMIT: Duration = Duration::from_secs(8);

/// Reads a body of at most `max` bytes. The error is the response.
pub(super) async fn read<T: DeserializeOwned>(
    request: Request<Incoming>,
    max: usize,
    unreadable: &str,
) -> Result<T, Response<Full<Bytes>>> {
    let read = Limited::new(request.into_body(), max).collect();
    let body = match timeout(REQUEST_LIMIT, read).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return Err(text(StatusCode::PAYLOAD_TOO_LARGE, "too large, or broken off")),
        Err(_) => return Err(text(StatusCode::REQUEST_TIMEOUT, "too slow")),
    };
    serde_json::from_slice(&body).map_err(|_invalid| text(StatusCode::BAD_REQUEST, unreadable))
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
