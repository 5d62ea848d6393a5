//! What the keeper and the rest of the daemon share: what is kept is put in use here, before the first handshake and at each reload.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;
use tracing::warn;

use super::Acme;
use super::issued::Held;
use super::vault::Vault;
use crate::clock::Clock;

/// What is kept, and the bell that is rung when the rules are others.
#[derive(Debug)]
pub struct Renewing {
    pub(super) vault: Vault,
    pub(super) clock: Clock,
    pub(super) rung: Notify,
    pub(super) asked: AtomicBool,
}

impl Renewing {
    /// Keeps in `folder`, which need not be there yet.
    pub fn new(folder: PathBuf, clock: Clock) -> Self {
        Self {
            vault: Vault::new(folder),
            clock,
            rung: Notify::new(),
            asked: AtomicBool::new(false),
        }
    }

    /// Puts in use what is kept, and rings: the rules are others, or `asked`: somebody would not have an attempt wait for its time.
    pub fn changed(&self, acme: Option<&Acme>, asked: bool) {
        if let Some(acme) = acme {
            self.take(acme);
        }
        self.asked.fetch_or(asked, Ordering::Relaxed);
        self.rung.notify_one();
    }

    /// The certificate for these settings, if there is one. It is put in use, unless it has expired and another has not.
    pub fn take(&self, acme: &Acme) -> Option<Held> {
        let Acme { settings, issued } = acme;
        let current = issued.held();
        let fits = |held: &&Held| held.kept_as == settings.certificate_name();
        let mut fitting = (*current).as_ref().filter(fits).cloned();
        if fitting.is_none() {
            fitting = self.vault.certificate(settings).unwrap_or_else(|error| {
                warn!(%error, "the certificate that is kept cannot be used");
                None
            });
            let now = self.clock.now();
            let is_better = |kept: &Held| {
                kept.validity.holds(now) || !issued.validity().is_some_and(|current| current.holds(now))
            };
            if let Some(kept) = fitting.clone().filter(is_better) {
                issued.put(kept);
                issued.note(|standing| standing.failure = None);
            }
        }
        let current = issued.held();
        issued.note(|standing| {
            let names = (*current).as_ref().map(|held| &held.names);
            let missing = settings.domains.iter();
            let missing = missing.filter(|domain| !names.is_some_and(|names| names.contains(*domain)));
            standing.missing = missing.cloned().collect();
        });
        fitting
    }
}
