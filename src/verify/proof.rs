//! What a verified request proves: when it was sent, and the bytes by which it is recognised again.
//!
//! The room only decides. Remembering the nonces is left to the store, and the time is told by the caller.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::base::clock::Timestamp;
use crate::verify::Refusal;

/// Minimum memory where the timestamp does not limit how long the same event can come again: it is not signed, or the event
/// is known by an id and its sender signs each retry anew.
const DAY: Duration = Duration::from_hours(24);

/// The longest id that is kept as it is; of a longer one the SHA-256.
const LONGEST_ID: usize = 64;

/// A request passed its verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// When it says that it was sent.
    pub timestamp: Option<SentAt>,
    /// The bytes by which it is recognised again, any one of which suffices; none if nothing is remembered.
    pub dedup_keys: Vec<DedupKey>,
    /// The source of the secret that it was, as the rules file names it; none where nothing is verified.
    pub secret: Option<Arc<str>>,
    /// The whole body as JSON, where it had to be read for the proof and is JSON as it was sent: it need not be read twice.
    pub read: Option<Arc<Value>>,
}

/// When a request says that it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentAt {
    /// The moment.
    pub at: Timestamp,
    /// Whether the signature covers it. One that it does not cover narrows, and protects from nothing.
    pub signed: bool,
}

impl Proof {
    /// Whether the timestamp, if there is one, lies within `window` of `now`: in either direction, for a request
    /// made for next year could be replayed until then. A distance of exactly the window is fresh.
    pub fn freshness(&self, window: Duration, now: Timestamp) -> Result<(), Refusal> {
        match self.timestamp {
            Some(SentAt { at, .. }) if at.distance(now) > window => Err(Refusal::Stale { at, now, window }),
            _ => Ok(()),
        }
    }

    /// Whether it is known by its signed content alone, which a sender may have to send again: neither time nor id is in it.
    pub fn is_content_alone(&self) -> bool {
        self.timestamp.is_none()
            && !self.dedup_keys.is_empty()
            && !self.dedup_keys.iter().any(DedupKey::is_id)
    }

    /// How long the nonces are remembered, so that a replay is either stale or recognised.
    pub fn memory(&self, window: Duration) -> Duration {
        let both_directions = window.saturating_mul(2);
        match self.timestamp {
            None => window,
            // The sender's own retries carry a new time, and come after minutes or hours.
            Some(_) if self.dedup_keys.iter().any(DedupKey::is_id) => both_directions.max(DAY),
            Some(SentAt { signed: true, .. }) => both_directions,
            // Whoever replays it writes a new timestamp on it.
            Some(SentAt { signed: false, .. }) => both_directions.max(DAY),
        }
    }
}

/// Bytes by which an event is recognised again: at most 81, the first of which says what they are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DedupKey(Vec<u8>);

impl DedupKey {
    /// The nonce of an event that has an id.
    pub fn id(id: &[u8]) -> Self {
        if id.len() <= LONGEST_ID {
            Self::of(b'i', id)
        } else {
            Self::of(b'h', &Sha256::digest(id))
        }
    }

    /// The nonce of an event that is known by its signature (a MAC of at most 64 bytes).
    pub fn signature(mac: &[u8]) -> Self {
        Self::of(b's', mac)
    }

    /// The nonce of the same event at a place that its signature does not cover: another for each place.
    #[must_use]
    pub fn at(&self, place: Option<&[u8]>) -> Self {
        let mut dedup_key = self.clone();
        if let Some(place) = place {
            dedup_key.0.extend_from_slice(place);
            if let Some(kind) = dedup_key.0.first_mut() {
                kind.make_ascii_uppercase();
            }
        }
        dedup_key
    }

    /// Whether it is an id of the sender's own.
    pub fn is_id(&self) -> bool {
        matches!(self.0.first(), Some(b'i' | b'h' | b'I' | b'H'))
    }

    fn of(kind: u8, bytes: &[u8]) -> Self {
        let mut dedup_key = Vec::with_capacity(1 + bytes.len());
        dedup_key.push(kind);
        dedup_key.extend_from_slice(bytes);
        Self(dedup_key)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for DedupKey {
    // Without the bytes: of a signature they are one that would be accepted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.0.first() {
            Some(b's' | b'S') => "signature",
            _ => "id",
        };
        write!(f, "Nonce({kind})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_mins(5);

    fn proof(timestamp: Option<(i64, bool)>) -> Proof {
        Proof {
            timestamp: timestamp.map(|(seconds, signed)| SentAt {
                at: Timestamp::from_seconds(seconds),
                signed,
            }),
            dedup_keys: Vec::new(),
            secret: None,
            read: None,
        }
    }

    #[test]
    fn the_window_is_inclusive_in_both_directions() {
        let now = Timestamp::from_seconds(10_000);
        for (seconds, fresh) in [
            (10_000, true),
            (9_700, true),
            (10_300, true),
            (9_699, false),
            (10_301, false),
            (0, false),
            (i64::MAX, false),
            (i64::MIN, false),
        ] {
            for signed in [true, false] {
                let freshness = proof(Some((seconds, signed))).freshness(WINDOW, now);
                assert_eq!(freshness.is_ok(), fresh, "{seconds}");
                assert!(freshness.err().is_none_or(|refusal| refusal.is_stale()));
            }
        }
        assert_eq!(proof(None).freshness(WINDOW, now), Ok(()));
        let a_millisecond_late = Proof {
            timestamp: Some(SentAt {
                at: Timestamp::from_millis(9_699_999),
                signed: true,
            }),
            dedup_keys: Vec::new(),
            secret: None,
            read: None,
        };
        assert!(a_millisecond_late.freshness(WINDOW, now).is_err());
    }

    #[test]
    fn the_memory_outlives_the_window_in_both_directions() {
        assert_eq!(proof(Some((0, true))).memory(WINDOW), WINDOW * 2);
        assert_eq!(proof(None).memory(WINDOW), WINDOW);
        assert_eq!(proof(Some((0, false))).memory(WINDOW), DAY);
        assert_eq!(proof(Some((0, false))).memory(DAY), DAY * 2);
        assert_eq!(proof(Some((0, true))).memory(Duration::MAX), Duration::MAX);
    }

    #[test]
    fn a_nonce_has_at_most_65_bytes_and_its_kinds_do_not_meet() {
        assert_eq!(DedupKey::id(&[b'x'; 64]).as_bytes().len(), 65);
        assert_eq!(DedupKey::id(&[b'x'; 65]).as_bytes().len(), 33);
        assert_eq!(DedupKey::signature(&[0; 64]).as_bytes().len(), 65);
        assert_ne!(DedupKey::id(&[7; 32]), DedupKey::signature(&[7; 32]));
        assert_ne!(
            DedupKey::id(&Sha256::digest([b'x'; 65])),
            DedupKey::id(&[b'x'; 65])
        );
        assert_eq!(format!("{:?}", DedupKey::signature(b"mac")), "Nonce(signature)");
    }
}
