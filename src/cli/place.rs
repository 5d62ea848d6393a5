//! Which store is meant: one that is named, or that of a rules file.

use std::path::{Path, PathBuf};

use super::{complain, fail, rules_path, wrong};
use crate::config;
use crate::store::StoreError;

/// Which store is meant.
#[derive(Debug, clap::Args)]
pub struct Place {
    /// The rules file that says where the store is [default: `rules.yaml`, else `/etc/hookyard/rules.yaml`].
    #[arg(long, global = true, value_name = "RULES")]
    rules: Option<PathBuf>,
    /// The store itself, whatever the rules say; with the service that comes with hookyard, and rules that name none, it is
    /// `/var/lib/hookyard/hookyard.db`.
    #[arg(long, global = true, value_name = "FILE")]
    store: Option<PathBuf>,
}

impl Place {
    /// The store; an exit code if it cannot be told, which has been said.
    pub fn store(&self) -> Result<PathBuf, u8> {
        if let Some(store) = &self.store {
            return Ok(store.clone());
        }
        config::store_of(&rules_path(self.rules.as_ref())).map_err(|findings| {
            let code = wrong(&findings);
            complain("\nname the store with `--store FILE`, or the rules with `--rules RULES`");
            code
        })
    }

    /// The store, if it was named itself.
    pub fn named_store(&self) -> Option<&Path> {
        self.store.as_deref()
    }

    /// Whether a store, or rules that say which, were named.
    pub fn is_named(&self) -> bool {
        self.store.is_some() || self.rules.is_some()
    }

    /// The rules file: the one that was named, or the usual one if it is there.
    pub fn rules(&self) -> Option<PathBuf> {
        let path = rules_path(self.rules.as_ref());
        (self.rules.is_some() || path.exists()).then_some(path)
    }
}

/// The store cannot be read or written; the exit code.
pub fn unusable(path: &Path, error: &StoreError) -> u8 {
    let code = fail(&error.to_string());
    if matches!(error, StoreError::Unopenable { .. }) && matches!(path.try_exists(), Ok(false)) {
        complain("name the store with `--store FILE`, or the rules that name it with `--rules RULES`");
    }
    code
}
