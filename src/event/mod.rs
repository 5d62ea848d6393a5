//! The domain's own types, which every step of the pipeline shares.

mod arrival_outcome;
pub mod certificate;
mod decision;
mod dedup_key;
mod read_header;
mod received;

pub use arrival_outcome::ArrivalOutcome;
pub use decision::{Decision, RuleDecision, VerifiedBy};
pub use dedup_key::DedupKey;
pub use read_header::{ReadHeader, STORED_DIGEST};
pub use received::{EventId, Received};
