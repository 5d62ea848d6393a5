//! The domain's own types, which every step of the pipeline shares.

pub mod certificate;
mod dedup_key;
mod read_header;
mod received;

pub use dedup_key::DedupKey;
pub use read_header::{ReadHeader, STORED_DIGEST};
pub use received::{EventId, Received};
