//! The operator's door, on listeners of its own: how the daemon is, and what it has counted.
//!
//! On a unix socket that the daemon's user and group may use: `GET /status` (JSON, what `hookyard status` prints),
//! `/metrics` (`OpenMetrics`), `/healthz` and `/readyz`. On TCP, if the rules file says so, the same without `/status`, which
//! names files and rules. `POST /check`, for root and the daemon's user, judges a rules file. Nothing here changes anything. Bounded: `CONNECTIONS` at once by either way, one question each, a request of
//! `REQUEST_LIMIT`, an answer within `STORE_LIMIT` of the store.

mod answer;
mod judge;
mod serve;

use std::time::Duration;

pub use judge::{Judge, Judgement, Question};
pub use serve::{Doors, bind, serve};

/// How many connections are served at once; more wait.
const CONNECTIONS: usize = 16;
/// How long a request's head may take, and an answer that is not read.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);
