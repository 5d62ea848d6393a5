//! Handle that the renewer and the rest of the daemon share.
//!
//! Puts the saved certificate in use, before the first handshake and at each reload. Requesting
//! certificates is left to `renewer.rs`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;
use tracing::warn;

use crate::acme::Acme;
use crate::acme::issued::ActiveCertificate;
use crate::acme::storage::AcmeStorage;
use crate::base::clock::Clock;

/// Storage of the certificate, and the signal that wakes the renewer.
#[derive(Debug)]
pub struct RenewerHandle {
    pub(super) storage: AcmeStorage,
    pub(super) clock: Clock,
    pub(super) wake: Notify,
    pub(super) retry_requested: AtomicBool,
}

impl RenewerHandle {
    /// Creates a handle that saves in `folder`, which need not exist yet.
    pub fn new(folder: PathBuf, clock: Clock) -> Self {
        Self {
            storage: AcmeStorage::new(folder),
            clock,
            wake: Notify::new(),
            retry_requested: AtomicBool::new(false),
        }
    }

    /// Puts the saved certificate in use and wakes the renewer, after a reload. `retry_requested`
    /// is true if an operator requests an attempt before its time.
    pub fn reloaded(&self, acme: Option<&Acme>, retry_requested: bool) {
        if let Some(acme) = acme {
            self.load(acme);
        }
        self.retry_requested.fetch_or(retry_requested, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// Returns the certificate for these settings, if any, and puts it in use. An expired
    /// certificate never replaces one that is valid.
    pub fn load(&self, acme: &Acme) -> Option<ActiveCertificate> {
        let Acme { settings, issued } = acme;
        let current = issued.active();
        let is_current = |active: &&ActiveCertificate| active.file_name == settings.certificate_name();
        let mut found = (*current).as_ref().filter(is_current).cloned();
        if found.is_none() {
            found = self.storage.certificate(settings).unwrap_or_else(|error| {
                warn!(%error, "the certificate that is kept cannot be used");
                None
            });
            let now = self.clock.now();
            let is_better = |saved: &ActiveCertificate| {
                saved.validity.holds(now) || !issued.validity().is_some_and(|current| current.holds(now))
            };
            if let Some(saved) = found.clone().filter(is_better) {
                issued.install(saved);
                issued.update_status(|acme_status| acme_status.failure = None);
            }
        }
        let current = issued.active();
        issued.update_status(|acme_status| {
            let names = (*current).as_ref().map(|active| &active.names);
            let missing = settings.domains.iter();
            let missing = missing.filter(|domain| !names.is_some_and(|names| names.contains(*domain)));
            acme_status.missing = missing.cloned().collect();
        });
        found
    }
}
