//! Admin interface on its own listeners: the operator's page, its API, and the daemon's metrics.
//!
//! `door.rs` decides about each request: who asks, and with which permissions. `routes.rs` leads to
//! the views of `page/` and to the actions of `api.rs`, whose services `daemon` provides. `answer.rs`
//! answers the probes: `GET /metrics` (`OpenMetrics`), `/healthz` and `/readyz`, and `/status`, which
//! `hookyard status` reads. On TCP, if `admin.listen` is set: the probes, and with `admin.password`
//! the rest for sessions. On the socket of guests, only what reads.
//!
//! Limits: `CONNECTIONS` at once on each listener, one request per connection, a request within
//! `REQUEST_LIMIT`, and a store that answers within `STORE_LIMIT`. Streams are counted apart.

mod answer;
mod api;
mod change;
mod check;
mod door;
mod exchange;
mod fire;
mod guard;
mod headers;
mod listeners;
mod login;
mod login_limit;
mod openapi;
mod operation;
mod output;
pub mod page;
mod plan;
mod replay;
mod routes;
mod rules;
mod serve;
mod services;
mod sessions;
mod starting;
mod stop;
mod stream;
mod summary;
mod tls;
mod try_rules;
mod who;

use std::time::Duration;

pub use change::{
    ChangeAnswer, ChangeRequest, ChangedDeliveries, Changer, DESCRIBED, DeliveryChange, MAX_CHANGE,
    MAX_CHANGED,
};
pub use check::{Judge, Judgement, Question};
pub use fire::{FireAnswer, FireRequest, Firer, MAX_FIRE_HEAD};
pub use listeners::{Doors, bind};
pub use openapi::document as openapi;
pub use operation::Performing;
pub use output::{
    AttemptBegins, AttemptEnds, DeliveryIs, LeftOut, OutputPlace, OutputRequest, OutputService, OutputSource,
    OutputText,
};
pub use plan::{MAX_PLAN, PlanAnswer, PlanRequest, Planner};
pub use replay::{MAX_REPLAY, ReplayAnswer, ReplayRequest, Replayer};
pub use rules::{MAX_RULES_REQUEST, Paused, RuleOperator, RulesAnswer, RulesRequest};
pub use serve::serve;
pub use services::AdminServices;
pub use starting::Served;
pub use stop::{AfterStopName, MAX_STOP, StopAnswer, StopRequest, StopTargetId, StoppedAttempt, Stopper};
pub use stream::{EventSender, ServerEvent, Streams};
pub use try_rules::{MAX_TRY, TriedChange, TriedDecision, TriedRule, TryAnswer, TryRequest, Tryer};
pub use who::{Grant, Who};

/// Maximum connections served at once on each listener. Further ones wait.
const CONNECTIONS: usize = 16;
/// Maximum time for a request's head, and for a peer to read the answer.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);
