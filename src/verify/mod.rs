//! Is it genuine and fresh?
mod received;

pub use received::{EventId, Received};
