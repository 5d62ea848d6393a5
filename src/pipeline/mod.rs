//! The order of the steps, written once: an event's way through the other modules.
//!
//! [`Ingest`] takes a request to its answer, [`Dispatcher`] a delivery to its settlement. Senders
//! that wait for an outcome are in [`OutcomeWaiters`]. Decisions (`settlement`, `answer`) are pure:
//! time is an argument.

mod answer;
mod attempt;
mod authorization;
mod begin_marks;
mod decode_limits;
mod dispatch;
mod enroll;
mod handshake;
mod ingest;
mod outcome_waiters;
mod payload_cache;
mod response;
mod resumption;
mod running;
mod settlement;
mod supersede;
mod unattempted;
mod usage;

pub use answer::{Answer, STATUS};
pub use decode_limits::Heavy;
pub use dispatch::Dispatcher;
pub use enroll::{Relearn, SecretEnrollment};
pub use ingest::{Hold, INVALID, Ingest, TOO_LARGE, unstructured, without_credentials};
pub use outcome_waiters::OutcomeWaiters;
pub use payload_cache::PayloadCache;
pub use running::Running;
pub use supersede::Supersede;
pub use usage::{EVERY as USAGE_WRITTEN_EVERY, Usage};
