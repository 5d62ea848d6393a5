//! Operations that the operator asks for by a POST: bounded in size, number and time.
//!
//! `door.rs` decides who may ask. Each is answered within [`exchange::LIMIT`].

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use crate::admin::answer::text;
use crate::admin::exchange;
use crate::admin::who::Who;

/// Maximum operations of one kind at once. Further ones are answered 503.
const CONCURRENT: usize = 4;

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

impl<Q: DeserializeOwned, A: Serialize> Operation<Q, A> {
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

    /// Answers a request of `who`.
    pub(super) async fn answer(&self, request: Request<Incoming>, who: Who) -> Response<Full<Bytes>> {
        let Ok(_permit) = self.slots.try_acquire() else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "too many such requests at once");
        };
        let max = (self.max_request)();
        let request = match exchange::read(request, max, "the request is not understood").await {
            Ok(request) => request,
            Err(response) => return response,
        };
        // If the client disconnects, a write that has begun is still carried out.
        let performing = async { Ok((self.perform)(request, who).await) };
        exchange::respond(
            performing,
            "it takes too long; look at `hookyard events list` before you try again",
        )
        .await
    }
}
