//! Ids: version 7 UUIDs (RFC 9562), which sort by time.

use aws_lc_rs::rand;
use uuid::{Builder, NoContext, Uuid};

use crate::base::clock::Timestamp;

/// A new id for an event at `at`. Ids of the same millisecond are in no order. The random bits come
/// from the generator of `aws-lc-rs`, which saves a system call.
pub fn id_at(at: Timestamp) -> Uuid {
    let millis = u64::try_from(at.as_millis()).unwrap_or(0);
    let mut random = [0; 10];
    if rand::fill(&mut random).is_ok() {
        return Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
    }
    let nanos = u32::try_from(millis % 1000).unwrap_or(0) * 1_000_000;
    Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, millis / 1000, nanos))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_sort_by_time_and_are_never_the_same() {
        let at = |millis| id_at(Timestamp::from_millis(millis));
        assert!(at(1_790_000_000_000) < at(1_790_000_000_001));
        let ids: HashSet<Uuid> = (0..1000).map(|_| at(1_790_000_000_123)).collect();
        assert_eq!(ids.len(), 1000);
        for id in ids {
            assert_eq!(
                (id.get_version_num(), id.get_variant()),
                (7, uuid::Variant::RFC4122)
            );
            assert_eq!(id.as_u128() >> 80, 1_790_000_000_123);
        }
    }
}
