//! Admin interface on its own listeners: the daemon's status and metrics.
//!
//! On a unix socket for the daemon's user and group: `GET /status` (JSON, what `hookyard status`
//! prints), `/metrics` (`OpenMetrics`), `/healthz` and `/readyz`. On TCP, if `admin.listen` is set:
//! the same without `/status`, which names files and rules. `POST /check`, for root and the
//! daemon's user, judges a rules file. `POST /replay`, for the same, runs an ignored arrival, and
//! `POST /fire` a rule by hand. `POST /stop` stops attempts. `POST /plan` judges the rules file on
//! disk, and `POST /rules` lists, pauses and resumes rules. No other request changes anything.
//!
//! Limits: `CONNECTIONS` at once on each listener, one request per connection, a request within
//! `REQUEST_LIMIT`, and a store that answers within `STORE_LIMIT`. Streams of events are counted
//! apart.

mod answer;
mod check;
mod exchange;
mod fire;
mod operation;
mod plan;
mod replay;
mod rules;
mod serve;
mod stop;
mod stream;

use std::time::Duration;

pub use check::{Judge, Judgement, Question};
pub use fire::{FireAnswer, FireRequest, Firer, MAX_FIRE_HEAD};
pub use operation::Performing;
pub use plan::{MAX_PLAN, PlanAnswer, PlanRequest, Planner};
pub use replay::{MAX_REPLAY, ReplayAnswer, ReplayRequest, Replayer};
pub use rules::{MAX_RULES_REQUEST, Paused, RuleOperator, RulesAnswer, RulesRequest};
pub use serve::{AdminServices, Doors, bind, serve};
pub use stop::{AfterStopName, MAX_STOP, StopAnswer, StopRequest, StopTargetId, StoppedAttempt, Stopper};
pub use stream::Streams;

/// Maximum connections served at once on each listener. Further ones wait.
const CONNECTIONS: usize = 16;
/// Maximum time for a request's head, and for a peer to read the answer.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);
