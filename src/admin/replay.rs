//! Replay of an ignored arrival by the rules in force: the other end of `hookyard events replay`.
//!
//! Only root and the daemon's own user may ask, since a replay runs actions. At most
//! [`CONCURRENT`] replays at once, each answered within [`exchange::LIMIT`].

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::admin::answer::text;
use crate::admin::exchange;

/// Maximum size of a request, in bytes.
const MAX_REQUEST: usize = 1024;
/// Maximum replays at once. Further ones are answered 503.
const CONCURRENT: usize = 4;

/// A request for a replay.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReplayRequest {
    /// Id of the arrival.
    pub id: String,
    /// True if only the decision is asked for.
    pub dry_run: bool,
}

/// The answer to a request for a replay.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct ReplayAnswer {
    /// The reason why the arrival cannot be replayed.
    pub refused: Option<String>,
    /// The decisions of the rules in force: rule, and the reason why it does not match.
    pub decisions: Vec<(String, Option<String>)>,
    /// Rules for which a delivery was made, or would be made.
    pub accepted: Vec<String>,
    /// Rules that accepted the same event before, each with the id of that event.
    pub duplicates: Vec<(String, String)>,
}

/// The future of an answer.
pub type Replaying = Pin<Box<dyn Future<Output = ReplayAnswer> + Send>>;

#[derive(Clone)]
pub struct Replayer {
    replay: Arc<dyn Fn(ReplayRequest) -> Replaying + Send + Sync>,
    slots: Arc<Semaphore>,
}

impl Replayer {
    pub fn new(replay: impl Fn(ReplayRequest) -> Replaying + Send + Sync + 'static) -> Self {
        Self {
            replay: Arc::new(replay),
            slots: Arc::new(Semaphore::new(CONCURRENT)),
        }
    }

    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let Ok(permit) = Arc::clone(&self.slots).try_acquire_owned() else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "too many replays at once");
        };
        let request = match exchange::read(request, MAX_REQUEST, "no request for a replay").await {
            Ok(request) => request,
            Err(response) => return response,
        };
        // If the client disconnects, a write that has begun is still carried out.
        let replaying = async { Ok((self.replay)(request).await) };
        let response = exchange::respond(
            replaying,
            "it takes too long; look at the arrival before you try again",
        );
        let response = response.await;
        drop(permit);
        response
    }
}
