//! Ids: version 7 UUIDs (RFC 9562), which sort by time.

use aws_lc_rs::rand;
use sha2::{Digest, Sha256};
use uuid::{Builder, NoContext, Uuid, Variant, Version};

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

/// An id with the time of another one and bits that `name` determines.
pub fn derived(from: &[u8; 16], name: &[u8]) -> Uuid {
    let digest = Sha256::new().chain_update(from).chain_update(name).finalize();
    let mut bytes = *from;
    for (byte, bits) in bytes.iter_mut().skip(6).zip(digest) {
        *byte = bits;
    }
    Builder::from_bytes(bytes)
        .with_version(Version::SortRand)
        .with_variant(Variant::RFC4122)
        .into_uuid()
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
        let from = id_at(Timestamp::from_millis(1_790_000_000_123));
        let of = |name: &[u8]| derived(from.as_bytes(), name);
        assert_eq!(of(b"a"), of(b"a"));
        assert_ne!(of(b"a"), of(b"b"));
        for id in ids.into_iter().chain([of(b"a")]) {
            assert_eq!((id.get_version_num(), id.get_variant()), (7, Variant::RFC4122));
            assert_eq!(id.as_u128() >> 80, 1_790_000_000_123);
        }
    }
}
