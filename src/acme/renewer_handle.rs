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
    pub(super) rung: Notify,
    pub(super) asked: AtomicBool,
}

impl RenewerHandle {
    /// Creates a handle that saves in `folder`, which need not exist yet.
    pub fn new(folder: PathBuf, clock: Clock) -> Self {
        Self {
            storage: AcmeStorage::new(folder),
            clock,
            rung: Notify::new(),
            asked: AtomicBool::new(false),
        }
    }

    /// Puts the saved certificate in use and wakes the renewer, after a reload. `asked` is true if
    /// an operator requests an attempt before its time.
    pub fn changed(&self, acme: Option<&Acme>, asked: bool) {
        if let Some(acme) = acme {
            self.take(acme);
        }
        self.asked.fetch_or(asked, Ordering::Relaxed);
        self.rung.notify_one();
    }

    /// Returns the certificate for these settings, if any, and puts it in use. An expired
    /// certificate never replaces one that is valid.
    pub fn take(&self, acme: &Acme) -> Option<ActiveCertificate> {
        let Acme { settings, issued } = acme;
        let current = issued.held();
        let fits = |held: &&ActiveCertificate| held.kept_as == settings.certificate_name();
        let mut fitting = (*current).as_ref().filter(fits).cloned();
        if fitting.is_none() {
            fitting = self.storage.certificate(settings).unwrap_or_else(|error| {
                warn!(%error, "the certificate that is kept cannot be used");
                None
            });
            let now = self.clock.now();
            let is_better = |kept: &ActiveCertificate| {
                kept.validity.holds(now) || !issued.validity().is_some_and(|current| current.holds(now))
            };
            if let Some(kept) = fitting.clone().filter(is_better) {
                issued.put(kept);
                issued.note(|acme_status| acme_status.failure = None);
            }
        }
        let current = issued.held();
        issued.note(|acme_status| {
            let names = (*current).as_ref().map(|held| &held.names);
            let missing = settings.domains.iter();
            let missing = missing.filter(|domain| !names.is_some_and(|names| names.contains(*domain)));
            acme_status.missing = missing.cloned().collect();
        });
        fitting
    }
}
