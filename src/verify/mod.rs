//! Is it genuine and fresh?
mod received;

pub use received::{EventId, Received};

/// Where a sender's event name stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventName {
    /// In this header.
    Header(http::HeaderName),
    /// In the payload, at this `JSONPath`.
    Payload(&'static str),
}
