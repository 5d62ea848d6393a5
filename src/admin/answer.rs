//! Responses to the GET requests of the admin listeners: status, metrics, liveness and readiness.
//!
//! `POST /check` is left to `check.rs`. Requests by TCP learn no file names and no reasons.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;

use crate::status::StatusService;

/// True if [`answer`] knows a path.
pub fn is_answered(path: &str) -> bool {
    matches!(path, "/status" | "/metrics" | "/healthz" | "/readyz")
}

/// Answers a request. `inside`: it came through the unix socket, and may see everything.
pub async fn answer<B>(
    status_service: &StatusService,
    request: &Request<B>,
    inside: bool,
) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
        let allow = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(header::ALLOW, allow);
        return response;
    }
    match request.uri().path() {
        "/status" if inside => json(&status_service.status().await),
        "/metrics" => match status_service.metrics().await {
            Ok((media_type, metrics)) => typed(StatusCode::OK, media_type, metrics),
            Err(why) => unwell(inside, &why),
        },
        "/healthz" => match status_service.unhealthy().await {
            None => text(StatusCode::OK, "ok"),
            Some(why) => unwell(inside, &why),
        },
        "/readyz" => match status_service.unready().await {
            None => text(StatusCode::OK, "ok"),
            Some(why) => unwell(inside, &why),
        },
        _ => text(StatusCode::NOT_FOUND, "not found"),
    }
}

/// Returns a view as JSON.
pub(super) fn json(view: &impl Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_vec(view) {
        Ok(json) => typed(StatusCode::OK, "application/json", json),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// Returns 503. Only requests through the unix socket get the reason.
fn unwell(inside: bool, why: &str) -> Response<Full<Bytes>> {
    text(
        StatusCode::SERVICE_UNAVAILABLE,
        if inside { why } else { "unavailable" },
    )
}

pub(super) fn text(status: StatusCode, words: &str) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", format!("{words}\n"))
}

pub(super) fn typed(
    status: StatusCode,
    media_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}
