//! Ids: version 7 UUIDs (RFC 9562), so that they sort by time.

use uuid::{NoContext, Uuid};

use crate::clock::Timestamp;

/// A new id for something that happens at `at`; those of one millisecond are in no order.
pub fn id_at(at: Timestamp) -> Uuid {
    let millis = u64::try_from(at.as_millis()).unwrap_or(0);
    let nanos = u32::try_from(millis % 1000).unwrap_or(0) * 1_000_000;
    Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, millis / 1000, nanos))
}
