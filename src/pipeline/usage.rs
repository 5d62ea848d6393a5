//! Last match of each secret, recorded in memory and written to the store at intervals.
//!
//! An operator who rotates a secret can see if the old one is still used. No decision depends on
//! these times, so a crash may lose the last [`EVERY`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::base::clock::Timestamp;
use crate::report;
use crate::store::{SECRETS_KEPT, SecretUse, Store};

/// Interval at which the recorded times are written.
pub const EVERY: Duration = Duration::from_secs(10);

/// Endpoint, scheme and source of a secret.
type Key = (Arc<str>, Arc<str>, Arc<str>);

/// Times recorded since the last write. At most [`SECRETS_KEPT`] entries.
#[derive(Debug, Default)]
pub struct Usage {
    latest: Mutex<HashMap<Key, Timestamp>>,
}

impl Usage {
    /// Records that a secret has verified a request that arrived `at` this time.
    pub fn note(&self, endpoint: &Arc<str>, scheme: &Arc<str>, source: &Arc<str>, at: Timestamp) {
        let mut latest = self.latest.lock();
        let room = latest.len() < SECRETS_KEPT;
        let key = (Arc::clone(endpoint), Arc::clone(scheme), Arc::clone(source));
        if let Some(known) = latest.get_mut(&key) {
            *known = (*known).max(at);
        } else if room {
            latest.insert(key, at);
        }
    }

    /// Writes the recorded times. Times that cannot be written are recorded again.
    pub async fn write_down(&self, store: &dyn Store) {
        let noted = std::mem::take(&mut *self.latest.lock());
        if noted.is_empty() {
            return;
        }
        let uses = noted.iter().map(|((endpoint, scheme, source), at)| SecretUse {
            endpoint: Arc::clone(endpoint),
            scheme: Arc::clone(scheme),
            source: Arc::clone(source),
            last_matched: *at,
        });
        if let Err(error) = store.note_secrets(uses.collect()).await {
            report::store_failed("note which secrets are in use", &error.to_string());
            for ((endpoint, scheme, source), at) in noted {
                self.note(&endpoint, &scheme, &source, at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Settings;
    use crate::store::memory::MemoryStore;

    #[tokio::test]
    async fn the_latest_match_of_each_secret_is_written_down_once() {
        let (usage, store) = (Usage::default(), MemoryStore::new(Settings::default()));
        let (path, a, b): (Arc<str>, Arc<str>, Arc<str>) = ("/in".into(), "env:A".into(), "env:B".into());
        let at = Timestamp::from_seconds;
        for (source, seconds) in [(&a, 7), (&b, 3), (&a, 9), (&a, 8)] {
            usage.note(&path, &"github".into(), source, at(seconds));
        }
        usage.write_down(&store).await;
        let noted = |uses: Vec<SecretUse>| -> Vec<(String, i64)> {
            uses.iter()
                .map(|used| (used.source.to_string(), used.last_matched.as_seconds()))
                .collect()
        };
        let expected = [("env:A".to_owned(), 9), ("env:B".to_owned(), 3)];
        assert_eq!(noted(store.secrets().await.unwrap()), expected);
        assert!(usage.latest.lock().is_empty());
        // Times that the store did not accept are retried with the next write.
        store.close().await.unwrap();
        usage.note(&path, &"github".into(), &b, at(11));
        usage.write_down(&store).await;
        assert_eq!(usage.latest.lock().len(), 1);
    }
}
