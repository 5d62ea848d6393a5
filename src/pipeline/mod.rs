//! The order of the rooms, written once: how an event walks through them.
//!
//! [`Intake`] takes a request to its answer, [`Dispatch`] a delivery to its settlement. Who waits for an outcome
//! does so in [`Waiting`]. The deciding (`settlement`, `answer`) is pure; time is passed in.

mod aftermath;
mod answer;
mod attempt;
mod dispatch;
mod fresh;
mod greet;
mod heavy;
mod intake;
mod judged;
mod learn;
mod marking;
mod reply;
mod resumption;
mod running;
mod settlement;
mod unattempted;
mod usage;
mod waiting;

pub use aftermath::Aftermath;
pub use answer::{Answer, STATUS};
pub use dispatch::Dispatch;
pub use fresh::Fresh;
pub use heavy::Heavy;
pub use intake::{Hold, INVALID, Intake, TOO_LARGE, unstructured, without_credentials};
pub use learn::{Learning, Relearn};
pub use running::Running;
pub use usage::{EVERY as USAGE_WRITTEN_EVERY, Usage};
pub use waiting::Waiting;
