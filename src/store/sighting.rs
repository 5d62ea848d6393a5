//! Sightings: signed contents with the values of headers that rules read and no signature covers.
//!
//! An endpoint remembers sightings whichever rules wanted the request. A header that is missing
//! from an earlier sighting proves nothing, because the rules at that time did not read it. The
//! decisions are in `decide/sighting.rs`.

use std::fmt;
use std::sync::Arc;

use data_encoding::HEXLOWER;

use crate::base::clock::Timestamp;
use crate::event::{DedupKey, EventId, ReadHeader};

/// Maximum sightings that a store keeps, about 300 bytes each. The oldest go first.
pub const SIGHTINGS_KEPT: usize = 1_000_000;

/// A genuine request, as its endpoint remembers it.
#[derive(Clone, Debug)]
pub struct Sighting {
    pub endpoint: Arc<str>,
    /// The arrival.
    pub event: EventId,
    pub at: Timestamp,
    /// The keys by which the content is recognised again. Any one of them is enough.
    pub keys: Vec<DedupKey>,
    /// The headers that rules read and no signature covers.
    pub headers: Headers,
    /// The last moment at which the sighting is remembered.
    pub remember_until: Timestamp,
}

/// Names of headers, each with the digest of its lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Arc<str>, Arc<str>)>);

impl Headers {
    /// Makes headers from those that were read of a request.
    pub fn new(read: &[ReadHeader]) -> Self {
        let pairs = read.iter().map(|header| {
            let digest = HEXLOWER.encode(&header.digest);
            (Arc::from(header.name.as_str()), Arc::from(digest))
        });
        Self(pairs.collect())
    }

    /// Parses the text that [`Headers`] prints.
    pub(super) fn parse(text: &str) -> Self {
        let pairs = text.split(' ').filter_map(|pair| pair.split_once('='));
        Self(pairs.map(|(name, digest)| (name.into(), digest.into())).collect())
    }

    fn digest(&self, name: &str) -> Option<&str> {
        let (_, digest) = self.0.iter().find(|(known, _)| **known == *name)?;
        Some(digest)
    }

    /// The first of these headers whose value differs from `before`.
    pub(super) fn changed(&self, before: &Self) -> Option<Arc<str>> {
        let changed = |(name, digest): &&(Arc<str>, Arc<str>)| {
            before.digest(name).is_some_and(|known| *known != **digest)
        };
        self.0.iter().find(changed).map(|(name, _)| Arc::clone(name))
    }

    /// Merges both: the values in `before`, and the headers that `before` lacks.
    #[must_use]
    pub(super) fn added_to(&self, before: &Self) -> Self {
        let mut merged = before.clone();
        let new = self.0.iter().filter(|(name, _)| before.digest(name).is_none());
        merged.0.extend(new.cloned());
        merged
    }
}

impl fmt::Display for Headers {
    // The separators are unambiguous: a header name contains no space and no `=`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, digest)) in self.0.iter().enumerate() {
            let blank = if index > 0 { " " } else { "" };
            write!(f, "{blank}{name}={digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(text: &str) -> Headers {
        Headers::parse(text)
    }

    #[test]
    fn only_headers_that_were_read_before_can_have_changed() {
        for (before, now, changed) in [
            ("", "", None),
            ("x-a=1", "x-a=1", None),
            ("x-a=1", "x-a=2", Some("x-a")),
            ("x-a=1 x-b=2", "x-b=3", Some("x-b")),
            ("x-a=1", "x-b=3", None),
            ("x-a=1", "", None),
            ("", "x-a=1", None),
        ] {
            let found = headers(now).changed(&headers(before));
            assert_eq!(found.as_deref(), changed, "{before:?} {now:?}");
        }
    }

    #[test]
    fn new_headers_are_added_and_known_ones_stay() {
        let merged = headers("x-a=9 x-b=2").added_to(&headers("x-a=1"));
        assert_eq!(merged.to_string(), "x-a=1 x-b=2");
        assert_eq!(Headers::parse(&merged.to_string()), merged);
    }
}
