//! What does it say?
mod event;

pub use event::{Event, Kind, Payload};
