//! The domain's own types, which every step of the pipeline shares.

mod received;

pub use received::{EventId, Received};
