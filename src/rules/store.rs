//! Settings of the store, and the rules that a node performs.

use std::path::PathBuf;
use std::sync::Arc;

use crate::store::Settings;
use crate::store::postgres::Target;

/// Settings of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// Path of the file. `None`: the default path, which `config` decides.
    pub path: Option<PathBuf>,
    /// The server, in place of a file.
    pub server: Option<SharedStore>,
    /// Retention and limits.
    pub settings: Settings,
}

/// A store on a server, which several nodes can share.
#[derive(Clone, Debug)]
pub struct SharedStore {
    pub target: Arc<Target>,
    /// SHA-256 of the URL, which may have a password.
    pub digest: [u8; 32],
}

impl PartialEq for SharedStore {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest && self.settings() == other.settings()
    }
}

impl Eq for SharedStore {}

impl SharedStore {
    /// Everything but the URL.
    fn settings(&self) -> impl PartialEq + use<'_> {
        let target = &*self.target;
        (
            (&target.schema, &target.node, target.durability, target.wake),
            (target.lease, target.patience, target.connections),
        )
    }

    /// Names of the keys whose value differs.
    fn changed(&self, other: &Self) -> Vec<&'static str> {
        let (one, other_digest) = (&*self.target, other.digest);
        let other = &*other.target;
        let keys = [
            ("store.url", self.digest != other_digest),
            ("store.schema", one.schema != other.schema),
            ("store.durability", one.durability != other.durability),
            ("store.lease", one.lease != other.lease),
            ("store.patience", one.patience != other.patience),
            ("store.connections", one.connections != other.connections),
            ("store.wake", one.wake != other.wake),
        ];
        let changed = keys.into_iter().filter(|(_, is_changed)| *is_changed);
        changed.map(|(key, _)| key).collect()
    }
}

impl StoreSettings {
    /// Changed keys that take effect only at the next start.
    pub fn restart_needed(&self, new: &Self) -> Vec<&'static str> {
        match (&self.server, &new.server) {
            (Some(before), Some(after)) => before.changed(after),
            (None, None) if self.path != new.path => vec!["store.path"],
            (None, None) => Vec::new(),
            _ => vec!["store.url"],
        }
    }
}
