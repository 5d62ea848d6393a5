//! A rules file that the operator asks about, before it is put in the place of the daemon's own.
//!
//! It is judged with the daemon's environment and rights, so only root and the daemon's own user may ask: others could
//! find out which files exist. The answer holds what the question holds and what is wrong with it, and no secret.
//! One question at a time, of [`MAX_QUESTION`] bytes, answered within [`LIMIT`].

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
use crate::base::yaml::MAX_TEXT;

/// The largest question, in bytes: the largest rules file, and room for escapes.
const MAX_QUESTION: usize = 2 * MAX_TEXT;
/// How long an answer may take.
pub(super) const LIMIT: Duration = Duration::from_secs(8);

/// A rules file.
#[derive(Debug, Serialize, Deserialize)]
pub struct Question {
    /// What it is called in the findings.
    pub shown: String,
    /// Its text.
    pub text: String,
}

/// What was found.
#[derive(Debug, Serialize, Deserialize)]
pub struct Judgement {
    /// The rules file of the daemon, in whose place it was judged.
    pub in_place_of: String,
    /// How many endpoints and rules there are; none if it does not load.
    pub summary: Option<(usize, usize)>,
    /// Everything that is wrong or doubtful, for programs.
    pub diagnostics: Vec<serde_json::Value>,
    /// The same for people.
    pub rendered: String,
}

/// Judges rules files.
#[derive(Clone)]
pub struct Judge {
    /// Judges one. It reads files and compiles: not for an async worker.
    judge: Arc<dyn Fn(Question) -> Judgement + Send + Sync>,
    one: Arc<Semaphore>,
}

impl Judge {
    /// One that judges so.
    pub fn new(judge: impl Fn(Question) -> Judgement + Send + Sync + 'static) -> Self {
        Self {
            judge: Arc::new(judge),
            one: Arc::new(Semaphore::new(1)),
        }
    }

    /// Answers a question.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        // Held until the judging has ended, also where nobody waits for it any more.
        let Ok(permit) = Arc::clone(&self.one).try_acquire_owned() else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "another file is being judged");
        };
        let read = Limited::new(request.into_body(), MAX_QUESTION).collect();
        let body = match timeout(REQUEST_LIMIT, read).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => return text(StatusCode::PAYLOAD_TOO_LARGE, "too large, or broken off"),
            Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "too slow"),
        };
        let Ok(question) = serde_json::from_slice(&body) else {
            return text(StatusCode::BAD_REQUEST, "no question");
        };
        let judge = Arc::clone(&self.judge);
        let judging = tokio::task::spawn_blocking(move || {
            let judgement = judge(question);
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
