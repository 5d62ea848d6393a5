//! Certificate in use and answers to ACME challenges, as TLS handshakes need them.
//!
//! [`Issued`] outlives the rules. `renewer.rs` and `renewer_handle.rs` fill it. Every listener's
//! configuration resolves certificates here.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::acme::PROTOCOL;
use crate::base::clock::Timestamp;
use crate::base::live::Live;
use crate::tls::pem::Validity;

/// Certificate in use, challenge answers and status. Shared by all configurations of the listeners.
#[derive(Debug)]
pub struct Issued {
    active: Live<Option<ActiveCertificate>>,
    answers: Mutex<HashMap<String, Arc<CertifiedKey>>>,
    acme_status: Mutex<AcmeStatus>,
}

#[derive(Clone)]
pub struct ActiveCertificate {
    /// Certificate chain with its private key.
    pub key: Arc<CertifiedKey>,
    pub validity: Validity,
    /// Host names that the certificate covers.
    pub names: BTreeSet<String>,
    /// Name in the storage, which depends on the settings.
    pub file_name: String,
}

impl fmt::Debug for ActiveCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActiveCertificate")
            .field("names", &self.names)
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

/// Status of certificate renewal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcmeStatus {
    /// Time of the next attempt. `None` while an attempt is running.
    pub next: Option<Timestamp>,
    /// Error of the last attempt, if it failed.
    pub failure: Option<String>,
    /// Configured names that the certificate in use does not cover.
    pub missing: BTreeSet<String>,
    /// Reason why the issued certificate could not be saved, if so.
    pub save_error: Option<String>,
    /// Certificates issued since the start.
    pub issued: u64,
    /// Failed attempts since the start.
    pub failed: u64,
}

impl Default for Issued {
    fn default() -> Self {
        Self {
            active: Live::new(None),
            answers: Mutex::default(),
            acme_status: Mutex::default(),
        }
    }
}

impl Issued {
    pub fn active(&self) -> Arc<Option<ActiveCertificate>> {
        self.active.current()
    }

    /// Returns the validity of the certificate in use.
    pub fn validity(&self) -> Option<Validity> {
        self.active
            .current()
            .as_ref()
            .as_ref()
            .map(|active| active.validity)
    }

    pub fn acme_status(&self) -> AcmeStatus {
        self.acme_status.lock().clone()
    }

    /// Describes what is wrong at `now`.
    pub fn problem(&self, now: Timestamp) -> Option<String> {
        let acme_status = self.acme_status.lock();
        let problem = match self.validity() {
            None => "there is no certificate yet".to_owned(),
            Some(validity) => match validity.problem(now) {
                Some(problem) => problem,
                // Missing names are a problem only after an attempt has failed.
                None if acme_status.failure.is_some() && !acme_status.missing.is_empty() => {
                    let missing: Vec<&str> = acme_status.missing.iter().map(String::as_str).collect();
                    format!("there is no certificate for {} yet", missing.join(", "))
                }
                None => {
                    let why = acme_status.save_error.as_ref()?;
                    return Some(format!("the certificate cannot be kept: {why}"));
                }
            },
        };
        Some(match &acme_status.failure {
            Some(failure) => format!("{problem}: {failure}"),
            None => problem,
        })
    }

    /// Puts a certificate in use for new handshakes.
    pub(super) fn install(&self, active: ActiveCertificate) {
        drop(self.active.replace(Some(active)));
    }

    /// Updates the status.
    pub(super) fn update_status(&self, change: impl FnOnce(&mut AcmeStatus)) {
        change(&mut self.acme_status.lock());
    }

    /// Answers the challenge for `name` until the returned guard is dropped.
    pub(super) fn answer(&self, name: &str, answer: CertifiedKey) -> Answering<'_> {
        self.answers.lock().insert(name.to_owned(), Arc::new(answer));
        Answering {
            issued: self,
            name: name.to_owned(),
        }
    }
}

impl ResolvesServerCert for Issued {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Only the authority offers this protocol and no other (RFC 8737 §3).
        let mut protocols = hello.alpn().into_iter().flatten();
        if protocols.next() == Some(PROTOCOL) && protocols.next().is_none() {
            let name = hello.server_name()?.to_ascii_lowercase();
            return self.answers.lock().get(&name).cloned();
        }
        let active = self.active.current();
        active.as_ref().as_ref().map(|active| Arc::clone(&active.key))
    }
}

/// Guard of a challenge answer. Dropping it removes the answer.
#[derive(Debug)]
pub(super) struct Answering<'i> {
    issued: &'i Issued,
    name: String,
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.issued.answers.lock().remove(&self.name);
    }
}
