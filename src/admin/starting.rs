//! Answers while the daemon starts: it lives, and is not ready.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;

use crate::admin::answer::{json, text};
use crate::admin::services::AdminServices;
use crate::base::live::Live;
use crate::status::StartingStatus;

/// The services, which are there once the daemon has its store.
pub struct Served {
    pub services: OnceLock<AdminServices>,
    pub starting: StartingStatus,
    /// The thing that the daemon waits for.
    pub waits_for: Arc<Live<String>>,
}

impl Served {
    /// Answers a request before the services are there. `inside`: it may see everything.
    pub(super) fn answer<B>(&self, request: &Request<B>, inside: bool) -> Response<Full<Bytes>> {
        let waits_for = self.waits_for.current();
        match request.uri().path() {
            "/healthz" => text(StatusCode::OK, "ok"),
            "/status" if inside => json(&self.starting.status(&waits_for)),
            _ if inside => text(StatusCode::SERVICE_UNAVAILABLE, &waits_for),
            _ => text(StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        }
    }
}
