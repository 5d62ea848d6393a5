//! Operations that the operator asks for by a POST: bounded in size, number and time.
//!
//! `door.rs` decides who may ask. Each is answered within [`exchange::LIMIT`].

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::admin::answer::typed;
use crate::admin::exchange::{self, LIMIT};
use crate::admin::summary::{Outcome, Summarized};
use crate::admin::who::Who;

/// Maximum operations of one kind at once. Further ones are answered 503.
const CONCURRENT: usize = 4;

/// The answer if there are too many requests.
const TOO_MANY: &str = "too many such requests at once";
/// The answer if the time is over.
const LATE: &str = "it takes too long; look at `hookyard events list` before you try again";

/// The future of an answer.
pub type Performing<A> = Pin<Box<dyn Future<Output = A> + Send>>;

/// Performs a request of its sender.
type Perform<Q, A> = Box<dyn Fn(Q, Who) -> Performing<A> + Send + Sync>;

/// One kind of operation: a request `Q`, answered with `A`.
pub struct Operation<Q, A> {
    perform: Perform<Q, A>,
    /// Maximum size of a request, in bytes, now.
    max_request: Box<dyn Fn() -> usize + Send + Sync>,
    slots: Semaphore,
}

impl<Q: DeserializeOwned, A: Summarized> Operation<Q, A> {
    pub fn new(
        max_request: impl Fn() -> usize + Send + Sync + 'static,
        perform: impl Fn(Q, Who) -> Performing<A> + Send + Sync + 'static,
    ) -> Self {
        Self {
            perform: Box::new(perform),
            max_request: Box::new(max_request),
            slots: Semaphore::new(CONCURRENT),
        }
    }

    /// Answers a request of `who`. `complete` makes the whole request from the members of the body,
    /// which may be empty.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        complete: impl FnOnce(Map<String, Value>) -> Value,
        who: Who,
    ) -> Response<Full<Bytes>> {
        let Ok(_permit) = self.slots.try_acquire() else {
            return failed(StatusCode::SERVICE_UNAVAILABLE, TOO_MANY);
        };
        let max = (self.max_request)();
        let members = match exchange::read_object(request, max).await {
            Ok(members) => members,
            Err(response) => return response,
        };
        let request = match serde_json::from_value(complete(members)) {
            Ok(request) => request,
            Err(error) => {
                let why = format!("the request is not understood: {error}");
                return failed(StatusCode::BAD_REQUEST, &why);
            }
        };
        let Some(answer) = self.within_limit(request, who).await else {
            return failed(StatusCode::SERVICE_UNAVAILABLE, LATE);
        };
        let outcome = Outcome::new(answer);
        // What is refused is a conflict with the state of the daemon.
        let status = if outcome.summary.possible {
            StatusCode::OK
        } else {
            StatusCode::CONFLICT
        };
        match serde_json::to_vec(&outcome) {
            Ok(json) => typed(status, "application/json", json),
            Err(error) => failed(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }

    /// Performs a request that was read already, for the page. The error is the reason why there is
    /// no answer.
    pub(super) async fn ask(&self, request: Q, who: Who) -> Result<A, &'static str> {
        let _permit = self.slots.try_acquire().map_err(|_busy| TOO_MANY)?;
        self.within_limit(request, who).await.ok_or(LATE)
    }

    async fn within_limit(&self, request: Q, who: Who) -> Option<A> {
        // If the client disconnects, a write that has begun is still carried out.
        timeout(LIMIT, (self.perform)(request, who)).await.ok()
    }
}

/// An error as JSON.
fn failed(status: StatusCode, why: &str) -> Response<Full<Bytes>> {
    typed(status, "application/json", json!({"error": why}).to_string())
}
