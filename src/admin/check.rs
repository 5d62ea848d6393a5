//! Judge of a rules file before it replaces the daemon's own: the other end of `hookyard check
//! --running`.
//!
//! The file is checked with the daemon's environment and rights. Only root and the daemon's own
//! user may ask, since others could find out which files exist. The answer holds only text from the
//! question and its diagnostics, and no secret. One question at a time, of at most `max_question`
//! bytes, answered within [`LIMIT`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::admin::REQUEST_LIMIT;
use crate::admin::answer::{text, typed};

/// Maximum time for an answer.
pub(super) const LIMIT: Duration = Duration::from_secs(8);

/// A rules file to judge.
#[derive(Debug, Serialize, Deserialize)]
pub struct Question {
    /// Name of the file in diagnostics.
    pub shown: String,
    pub text: String,
}

/// The result of a check.
#[derive(Debug, Serialize, Deserialize)]
pub struct Judgement {
    /// Path of the daemon's rules file, which the judged file would replace.
    pub in_place_of: String,
    /// Numbers of endpoints and rules. `None` if the file does not load.
    pub summary: Option<(usize, usize)>,
    /// The diagnostics, as JSON.
    pub diagnostics: Vec<serde_json::Value>,
    /// The diagnostics, as text for people.
    pub rendered: String,
}

#[derive(Clone)]
pub struct Judge {
    /// Checks one file. Blocks on file access and compilation, so it runs outside async workers.
    check: Arc<dyn Fn(Question) -> Judgement + Send + Sync>,
    /// Maximum size of a question, in bytes.
    max_question: usize,
    one: Arc<Semaphore>,
}

impl Judge {
    pub fn new(max_question: usize, check: impl Fn(Question) -> Judgement + Send + Sync + 'static) -> Self {
        Self {
            max_question,
            check: Arc::new(check),
            one: Arc::new(Semaphore::new(1)),
        }
    }

    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        // Held until the check has ended, even if the client has disconnected.
        let Ok(permit) = Arc::clone(&self.one).try_acquire_owned() else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "another file is being judged");
        };
        let read = Limited::new(request.into_body(), self.max_question).collect();
        let body = match timeout(REQUEST_LIMIT, read).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => return text(StatusCode::PAYLOAD_TOO_LARGE, "too large, or broken off"),
            Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "too slow"),
        };
        let Ok(question) = serde_json::from_slice(&body) else {
            return text(StatusCode::BAD_REQUEST, "no question");
        };
        let check = Arc::clone(&self.check);
        let judging = tokio::task::spawn_blocking(move || {
            let judgement = check(question);
            drop(permit);
            judgement
        });
        let late = || text(StatusCode::SERVICE_UNAVAILABLE, "it takes too long");
        match timeout(LIMIT, judging).await {
            Ok(Ok(judgement)) => match serde_json::to_vec(&judgement) {
                Ok(json) => typed(StatusCode::OK, "application/json", json),
                Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
            },
            Ok(Err(error)) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
            Err(_) => late(),
        }
    }
}
