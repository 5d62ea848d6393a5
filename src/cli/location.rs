//! Selection of store, rules and daemon: those named in the arguments, or those that belong to
//! them.

use std::path::{Path, PathBuf};

use super::check::environment;
use super::{complain, fail, rules_path, wrong};
use crate::base::diagnostic::Diagnostics;
use crate::config;
use crate::store::{Place, StoreError};

/// The store, by rules file, by path or by URL.
#[derive(Debug, clap::Args)]
pub struct StoreLocation {
    /// The rules file that sets the store [default: `rules.yaml`, else `/etc/hookyard/rules.yaml`].
    #[arg(long, global = true, value_name = "RULES")]
    rules: Option<PathBuf>,
    /// The store, overriding the rules file: a file, or a server as `postgres://…`, `env:NAME` or
    /// `file:PATH` [default: `store` of the rules file, else `hookyard.db` in `$STATE_DIRECTORY`,
    /// else in `/var/lib/hookyard` for rules in `/etc/hookyard`, else beside the rules file].
    #[arg(long, global = true, value_name = "FILE|URL")]
    store: Option<PathBuf>,
    /// The schema on the server that `--store` names [default: hookyard].
    #[arg(long, global = true, value_name = "NAME", requires = "store")]
    schema: Option<String>,
}

impl StoreLocation {
    /// Returns the location for a rules file, or for the default one.
    pub fn of_rules(rules: Option<&Path>) -> Self {
        Self {
            rules: rules.map(Path::to_owned),
            store: None,
            schema: None,
        }
    }

    /// Place of the store. If it is unknown, reports why and returns the exit code.
    pub fn store(&self) -> Result<Place, u8> {
        if let Some(named) = self.named_place() {
            return named.map_err(|why| fail(&format!("`--store`: {why}")));
        }
        store_of(&rules_path(self.rules.as_ref())).map_err(|diagnostics| {
            let code = wrong(&diagnostics);
            complain(
                "\nthe store is unknown: name it with `--store FILE`, or the rules with `--rules RULES`",
            );
            code
        })
    }

    /// The store from `--store`. The error is the reason why it is not understood.
    pub fn named_place(&self) -> Option<Result<Place, String>> {
        let named = self.store.as_ref()?;
        let text = named.to_str().filter(|text| config::is_server(text));
        let Some(text) = text else {
            return Some(match self.schema {
                None => Ok(Place::File(named.clone())),
                Some(_) => Err(format!("`{}` is a file, and has no schema", named.display())),
            });
        };
        let target = config::target_of(text, self.schema.as_deref(), config::environment());
        Some(target.map(|target| Place::Postgres(target.into())))
    }

    /// The rules file from `--rules`.
    pub fn named_rules(&self) -> Option<&Path> {
        self.rules.as_deref()
    }

    /// The rules file: the named one, or the default one if it exists. If only a store is named,
    /// the default rules count only if they use that store.
    pub fn rules(&self) -> Option<PathBuf> {
        let path = rules_path(self.rules.as_ref());
        if self.rules.is_some() {
            return Some(path);
        }
        let belongs = |named: Result<Place, String>| {
            named.is_ok_and(|named| store_of(&path).is_ok_and(|own| is_at(&named, &own.to_string())))
        };
        (path.exists() && self.named_place().is_none_or(belongs)).then_some(path)
    }

    /// The rules file that identifies the daemon. The package's rules count even if the file was
    /// removed, since the daemon may still run.
    pub fn rules_of_daemon(&self) -> Option<PathBuf> {
        let usual = || {
            let path = rules_path(None);
            let packaged = config::Layout::of_process().is_packaged(&path);
            (packaged && self.store.is_none()).then_some(path)
        };
        self.rules().or_else(usual)
    }
}

/// Place of the store for the rules file at `rules`, with the variables of the service.
fn store_of(rules: &Path) -> Result<Place, Diagnostics> {
    let variables = || environment::of(rules, None).unwrap_or_else(|_| config::environment());
    config::store_of(rules, variables)
}

/// True if two paths lead to the same file. If one does not exist, the names decide.
pub fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path));
    matches!((real(one), real(other)), (Ok(one), Ok(other)) if one == other)
}

/// True if a daemon that names its store `shown` has the store at `place`.
pub fn is_at(place: &Place, shown: &str) -> bool {
    match place {
        Place::File(path) => is_same(path, Path::new(shown)),
        Place::Postgres(_) => place.to_string() == shown,
    }
}

/// Reports a store that cannot be read or written. Returns the exit code.
pub fn unusable(place: &Place, error: &StoreError) -> u8 {
    let code = fail(&error.to_string());
    let is_missing = |path: &Path| matches!(path.try_exists(), Ok(false));
    if matches!(error, StoreError::Unopenable { .. }) && place.file().is_some_and(is_missing) {
        complain("name the store with `--store FILE`, or the rules that name it with `--rules RULES`");
    }
    code
}
