//! Headers that rules read and no signature covers, by their digests.

use http::HeaderName;

/// Length of the stored part of a digest, in bytes.
pub const STORED_DIGEST: usize = 16;

/// Digest of all lines of a header that a rule reads. A missing header has a digest too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadHeader {
    pub name: HeaderName,
    /// First half of the SHA-256 of the lines.
    pub digest: [u8; STORED_DIGEST],
}
