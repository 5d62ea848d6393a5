//! Secrets and keys as configured, with their validity.

use std::sync::Arc;

use crate::base::clock::Timestamp;
use crate::verify::refusal::Refusal;

/// Key with its source and the end of its validity.
#[derive(Clone, Debug)]
pub struct ConfiguredKey<K> {
    pub key: K,
    /// Name in the rules file, such as `env:NAME`. Never the key.
    pub source: Arc<str>,
    /// Last instant at which the key is valid.
    pub not_after: Option<Timestamp>,
}

impl<K> ConfiguredKey<K> {
    /// Returns true if the key is valid at `now`.
    pub fn counts(&self, now: Timestamp) -> bool {
        self.not_after.is_none_or(|end| now <= end)
    }

    /// Replaces the key and keeps its source and validity.
    pub fn with<L>(&self, key: L) -> ConfiguredKey<L> {
        ConfiguredKey {
            key,
            source: Arc::clone(&self.source),
            not_after: self.not_after,
        }
    }
}

/// Returns the source of the first valid key that matched. Fails if none matched, or only expired
/// ones.
pub fn decide<'k, K>(
    keys: impl IntoIterator<Item = (&'k ConfiguredKey<K>, bool)>,
    now: Timestamp,
    wrong: impl FnOnce() -> Refusal,
) -> Result<Arc<str>, Refusal>
where
    K: 'k,
{
    let mut expired = None;
    let mut found = None;
    for (held, matched) in keys {
        if matched && held.counts(now) {
            found = found.or(Some(&held.source));
        } else if matched {
            expired = expired.or(Some(held));
        }
    }
    match (found, expired) {
        (Some(source), _) => Ok(Arc::clone(source)),
        (None, Some(held)) => Err(Refusal::ExpiredSecret {
            secret: Arc::clone(&held.source),
            not_after: held.not_after.unwrap_or(now),
        }),
        (None, None) => Err(wrong()),
    }
}

/// Source of each key, and the end of its validity.
pub fn sources<K>(keys: &[ConfiguredKey<K>]) -> Vec<(Arc<str>, Option<Timestamp>)> {
    keys.iter()
        .map(|held| (Arc::clone(&held.source), held.not_after))
        .collect()
}
