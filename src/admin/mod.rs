//! Admin interface on its own listeners: the daemon's status and metrics.
//!
//! On a unix socket for the daemon's user and group: `GET /status` (JSON, what `hookyard status`
//! prints), `/metrics` (`OpenMetrics`), `/healthz` and `/readyz`. `POST /check`, for root and the
//! daemon's user, judges a rules file. `POST /replay` runs an ignored arrival, and `POST /fire` a
//! rule by hand. `POST /stop` stops attempts. `POST /plan` judges the rules file on disk, and `POST
//! /rules` lists, pauses and resumes rules. No other request changes anything. On TCP, if
//! `admin.listen` is set: metrics and health, and with `admin.password` the rest for sessions. On
//! the socket of guests, only what reads. `door.rs` decides about each request.
//! `GET /api/v1/deliveries/ID/output` follows the output of commands.
//!
//! Limits: `CONNECTIONS` at once on each listener, one request per connection, a request within
//! `REQUEST_LIMIT`, and a store that answers within `STORE_LIMIT`. Streams of events are counted
//! apart.

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
pub use stop::{AfterStopName, MAX_STOP, StopAnswer, StopRequest, StopTargetId, StoppedAttempt, Stopper};
pub use stream::{EventSender, ServerEvent, Streams};
pub use try_rules::{MAX_TRY, TriedChange, TriedDecision, TriedRule, TryAnswer, TryRequest, Tryer};
pub use who::{Grant, Who};

/// Maximum connections served at once on each listener. Further ones wait.
const CONNECTIONS: usize = 16;
/// Maximum time for a request's head, and for a peer to read the answer.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);
