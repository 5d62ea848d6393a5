//! Keys by which the store recognises an event that has already arrived.
//!
//! `verify` makes them, and the store remembers them. Two requests with an equal key are one event.

use std::fmt;

use data_encoding::BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest, Sha256};

/// Maximum length of an id stored as is, in bytes. A longer id is replaced by its SHA-256.
const LONGEST_ID: usize = 64;

/// Bytes that identify an event, at most 81. The first byte is their kind.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DedupKey(Vec<u8>);

impl DedupKey {
    /// Key of an event that has an id.
    pub fn id(id: &[u8]) -> Self {
        if id.len() <= LONGEST_ID {
            Self::of(b'i', id)
        } else {
            Self::of(b'h', &Sha256::digest(id))
        }
    }

    /// Key of an event that its signature identifies (a MAC of at most 64 bytes).
    pub fn signature(mac: &[u8]) -> Self {
        Self::of(b's', mac)
    }

    /// Extends the key by a digest of the request parts that the signature does not cover.
    #[must_use]
    pub fn at(&self, request: Option<&[u8]>) -> Self {
        let mut dedup_key = self.clone();
        if let Some(request) = request {
            dedup_key.0.extend_from_slice(request);
            if let Some(kind) = dedup_key.0.first_mut() {
                kind.make_ascii_uppercase();
            }
        }
        dedup_key
    }

    /// Returns true if the key is an id set by the sender.
    pub fn is_id(&self) -> bool {
        matches!(self.0.first(), Some(b'i' | b'h' | b'I' | b'H'))
    }

    fn of(kind: u8, bytes: &[u8]) -> Self {
        let mut dedup_key = Vec::with_capacity(1 + bytes.len());
        dedup_key.push(kind);
        dedup_key.extend_from_slice(bytes);
        Self(dedup_key)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

// As base64, in the record of an arrival.
impl Serialize for DedupKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for DedupKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64.decode(text.as_bytes()).map(Self).map_err(D::Error::custom)
    }
}

impl fmt::Debug for DedupKey {
    // Omits the bytes: those of a signature would be accepted as a signature.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.0.first() {
            Some(b's' | b'S') => "signature",
            _ => "id",
        };
        write!(f, "DedupKey({kind})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_at_most_65_bytes_and_its_kinds_never_collide() {
        assert_eq!(DedupKey::id(&[b'x'; 64]).as_bytes().len(), 65);
        assert_eq!(DedupKey::id(&[b'x'; 65]).as_bytes().len(), 33);
        assert_eq!(DedupKey::signature(&[0; 64]).as_bytes().len(), 65);
        assert_ne!(DedupKey::id(&[7; 32]), DedupKey::signature(&[7; 32]));
        assert_ne!(
            DedupKey::id(&Sha256::digest([b'x'; 65])),
            DedupKey::id(&[b'x'; 65])
        );
        assert_eq!(
            format!("{:?}", DedupKey::signature(b"mac")),
            "DedupKey(signature)"
        );
    }
}
