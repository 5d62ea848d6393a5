//! Bodies on disk: compressed with LZ4 if that makes them clearly smaller.
//!
//! Webhooks are mostly JSON with long names, of which LZ4 saves half or more. A body is compressed
//! once, by the caller and not by the one writer thread.

use std::fmt::Display;

use bytes::Bytes;
use lz4_flex::block;
use rusqlite::types::ValueRef;

/// Minimum bytes of a body that is compressed. Less would save no page.
const MIN_COMPRESSED: usize = 512;

/// Minimum part of a body that compression must save, as a divisor. Less is not worth the time of
/// reading it back.
const MIN_SAVED: usize = 8;

/// Bytes of a body from which compression takes so long that it must not run on a thread that serves
/// other requests.
pub(super) const SLOW: usize = 256 << 10;

/// Maximum ratio of a block to its compressed form. A byte of LZ4 adds at most 255 bytes. A size
/// beyond it is damaged, and no memory is allocated for it.
const MAX_RATIO: u64 = 255;

/// The compressed form of a body. `None` if the body is stored as it is.
#[derive(Debug)]
pub(super) struct Compressed(Option<Vec<u8>>);

impl Compressed {
    /// Compresses a body, unless it is short or hardly gets smaller.
    pub fn new(body: &[u8]) -> Self {
        if body.len() < MIN_COMPRESSED {
            return Self(None);
        }
        let compressed = block::compress(body);
        Self((compressed.len() <= body.len() - body.len() / MIN_SAVED).then_some(compressed))
    }

    /// The column `lz4_size`, for the body from which this was made.
    pub fn size(&self, body: &[u8]) -> Option<i64> {
        let size = i64::try_from(body.len()).unwrap_or(i64::MAX);
        self.0.as_ref().map(|_| size)
    }

    /// The column `body`, for the body from which this was made.
    pub fn column<'b>(&'b self, body: &'b [u8]) -> &'b [u8] {
        self.0.as_deref().unwrap_or(body)
    }
}

/// Reads a body back from its columns `body` and `lz4_size`. The error names the column.
pub(super) fn restore(column: ValueRef<'_>, lz4_size: Option<i64>) -> Result<Bytes, String> {
    let damaged = |error: &dyn Display| format!("the column `body`: {error}");
    let column = column.as_blob().map_err(|error| damaged(&error))?;
    let Some(size) = lz4_size else {
        return Ok(Bytes::copy_from_slice(column));
    };
    let most = (column.len() as u64).saturating_mul(MAX_RATIO);
    let size = u64::try_from(size).ok().filter(|size| *size <= most);
    let size = size.and_then(|size| usize::try_from(size).ok());
    let size = size.ok_or("the column `lz4_size`: no possible size")?;
    let mut body = vec![0; size];
    let written = block::decompress_into(column, &mut body).map_err(|error| damaged(&error))?;
    if written != size {
        return Err(damaged(&format!("it has {written} bytes instead of {size}")));
    }
    Ok(Bytes::from(body))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::store::contract::noise;

    fn read_back(body: &[u8]) -> Result<Bytes, String> {
        let compressed = Compressed::new(body);
        let column = ValueRef::Blob(compressed.column(body));
        restore(column, compressed.size(body))
    }

    #[test]
    fn only_what_gets_clearly_smaller_is_compressed() {
        for (body, compressed) in [
            (vec![b'a'; MIN_COMPRESSED], true),
            (vec![b'a'; MIN_COMPRESSED - 1], false),
            (Vec::new(), false),
            (noise(4096), false),
        ] {
            let made = Compressed::new(&body);
            assert_eq!(made.size(&body).is_some(), compressed, "{}", body.len());
            assert!(made.column(&body).len() <= body.len());
            assert_eq!(read_back(&body).unwrap(), body);
        }
    }

    #[test]
    fn a_damaged_size_is_an_error_without_an_allocation() {
        let body = vec![b'a'; 4096];
        let compressed = Compressed::new(&body);
        let column = ValueRef::Blob(compressed.column(&body));
        for size in [-1, 0, 4095, 4097, 1 << 20, i64::MAX] {
            assert!(restore(column, Some(size)).is_err(), "{size}");
        }
        assert!(restore(ValueRef::Null, None).is_err());
        assert!(restore(ValueRef::Integer(7), Some(0)).is_err());
    }

    /// Bytes that repeat themselves, as texts do.
    fn bodies() -> impl Strategy<Value = Vec<u8>> {
        let part = prop::collection::vec(any::<u8>(), 0..64);
        let parts = prop::collection::vec((part, 1..200_usize), 0..24);
        parts.prop_map(|parts| {
            let repeated = parts.into_iter().map(|(part, times)| part.repeat(times));
            repeated.collect::<Vec<_>>().concat()
        })
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(body in bodies()) {
            prop_assert_eq!(read_back(&body).unwrap(), body);
        }

        #[test]
        fn damaged_bytes_are_an_error_or_bytes_of_the_same_size(
            body in bodies(),
            changes in prop::collection::vec((any::<Index>(), any::<u8>()), 0..8),
            cut in any::<Index>(),
            size in 0..70_000_i64,
        ) {
            let compressed = block::compress(&body);
            let mut damaged = compressed;
            for (at, byte) in changes {
                let at = at.index(damaged.len());
                damaged[at] = byte;
            }
            damaged.truncate(cut.index(damaged.len()) + 1);
            let restored = restore(ValueRef::Blob(&damaged), Some(size));
            if let Ok(restored) = restored {
                prop_assert_eq!(restored.len(), usize::try_from(size).unwrap());
            }
        }

        #[test]
        fn random_bytes_are_never_a_panic(column in prop::collection::vec(any::<u8>(), 0..300), size in 0..70_000_i64) {
            drop(restore(ValueRef::Blob(&column), Some(size)));
        }
    }
}
