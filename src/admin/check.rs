//! Judge of a rules file before it replaces the daemon's own: the other end of `hookyard check
//! --running`.
//!
//! The file is checked with the daemon's environment and rights. Only root and the daemon's own
//! user may ask, since others could find out which files exist. The answer holds only text from the
//! question and its diagnostics, and no secret. One question at a time, of at most `max_question`
//! bytes, answered within [`exchange::LIMIT`].

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::admin::answer::text;
use crate::admin::exchange;

/// A rules file to judge.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Question {
    /// Name of the file in diagnostics.
    pub shown: String,
    pub text: String,
}

/// The result of a check.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
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
        let question = match exchange::read(request, self.max_question, "no question").await {
            Ok(question) => question,
            Err(response) => return response,
        };
        let check = Arc::clone(&self.check);
        let judging = tokio::task::spawn_blocking(move || {
            let judgement = check(question);
            drop(permit);
            judgement
        });
        let judging = async { judging.await.map_err(|error| error.to_string()) };
        exchange::respond(judging, "it takes too long").await
    }
}
