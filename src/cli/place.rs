//! Which store, rules and daemon are meant: those that are named, or those that belong to what is named.

use std::path::{Path, PathBuf};

use super::{complain, fail, rules_path, wrong};
use crate::config;
use crate::store::StoreError;

/// Which store is meant.
#[derive(Debug, clap::Args)]
pub struct StoreLocation {
    /// The rules file that says where the store is [default: `rules.yaml`, else `/etc/hookyard/rules.yaml`].
    #[arg(long, global = true, value_name = "RULES")]
    rules: Option<PathBuf>,
    /// The store itself, whatever the rules say [default: `store.path` of the rules, else `hookyard.db` in `$STATE_DIRECTORY`,
    /// else in `/var/lib/hookyard` for rules in `/etc/hookyard`, else beside the rules].
    #[arg(long, global = true, value_name = "FILE")]
    store: Option<PathBuf>,
}

impl StoreLocation {
    /// That of a rules file, or of the usual one.
    pub fn of_rules(rules: Option<&Path>) -> Self {
        Self {
            rules: rules.map(Path::to_owned),
            store: None,
        }
    }

    /// The store; an exit code if it cannot be told, which has been said.
    pub fn store(&self) -> Result<PathBuf, u8> {
        if let Some(store) = &self.store {
            return Ok(store.clone());
        }
        config::store_of(&rules_path(self.rules.as_ref())).map_err(|diagnostics| {
            let code = wrong(&diagnostics);
            complain(
                "\nthe store is unknown: name it with `--store FILE`, or the rules with `--rules RULES`",
            );
            code
        })
    }

    /// The store, if it was named itself.
    pub fn named_store(&self) -> Option<&Path> {
        self.store.as_deref()
    }

    /// The rules file, if it was named itself.
    pub fn named_rules(&self) -> Option<&Path> {
        self.rules.as_deref()
    }

    /// The rules file: the one that was named, or the usual one if it exists. If a store is named alone, the usual
    /// rules are those of another store unless they say otherwise.
    pub fn rules(&self) -> Option<PathBuf> {
        let path = rules_path(self.rules.as_ref());
        if self.rules.is_some() {
            return Some(path);
        }
        let belongs = |store: &PathBuf| config::store_of(&path).is_ok_and(|own| is_same(&own, store));
        (path.exists() && self.store.as_ref().is_none_or(belongs)).then_some(path)
    }

    /// The rules that say which daemon is meant: also those of the package after they were removed, since its daemon may
    /// go on without them.
    pub fn rules_of_daemon(&self) -> Option<PathBuf> {
        let usual = || {
            let path = rules_path(None);
            let packaged = config::Layout::of_process().is_packaged(&path);
            (packaged && self.store.is_none()).then_some(path)
        };
        self.rules().or_else(usual)
    }
}

/// Whether two paths lead to the same file; by their names if one of them does not exist.
pub fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path));
    matches!((real(one), real(other)), (Ok(one), Ok(other)) if one == other)
}

/// The store cannot be read or written; the exit code.
pub fn unusable(path: &Path, error: &StoreError) -> u8 {
    let code = fail(&error.to_string());
    if matches!(error, StoreError::Unopenable { .. }) && matches!(path.try_exists(), Ok(false)) {
        complain("name the store with `--store FILE`, or the rules that name it with `--rules RULES`");
    }
    code
}
