//! What handshakes are answered with: the certificate in use, and, to the authority, the answers to its questions.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::acme::PROTOCOL;
use crate::base::clock::Timestamp;
use crate::base::live::Live;
use crate::tls::pem::Validity;

/// What was issued. It outlives the rules, and every configuration of the listeners looks here.
#[derive(Debug)]
pub struct Issued {
    held: Live<Option<ActiveCertificate>>,
    answers: Mutex<HashMap<String, Arc<CertifiedKey>>>,
    acme_status: Mutex<AcmeStatus>,
}

/// A certificate in use.
#[derive(Clone)]
pub struct ActiveCertificate {
    /// The chain, with its key.
    pub key: Arc<CertifiedKey>,
    /// When it is valid.
    pub validity: Validity,
    /// The names that it is for.
    pub names: BTreeSet<String>,
    /// Under which name it is kept: whose it is, and what for.
    pub kept_as: String,
}

impl fmt::Debug for ActiveCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("names", &self.names)
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

/// How it stands with asking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcmeStatus {
    /// When the authority is asked next; none: it is being asked.
    pub next: Option<Timestamp>,
    /// Why it was in vain the last time, if it was.
    pub failure: Option<String>,
    /// The names that the certificate in use is not for.
    pub missing: BTreeSet<String>,
    /// Why what was issued is not on the disk, if it is not.
    pub unkept: Option<String>,
    /// How many certificates were issued since the start.
    pub issued: u64,
    /// How many attempts at that were in vain.
    pub failed: u64,
}

impl Default for Issued {
    fn default() -> Self {
        Self {
            held: Live::new(None),
            answers: Mutex::default(),
            acme_status: Mutex::default(),
        }
    }
}

impl Issued {
    /// The certificate in use.
    pub fn held(&self) -> Arc<Option<ActiveCertificate>> {
        self.held.current()
    }

    /// When that is valid.
    pub fn validity(&self) -> Option<Validity> {
        self.held.current().as_ref().as_ref().map(|held| held.validity)
    }

    /// How it stands with asking for one.
    pub fn acme_status(&self) -> AcmeStatus {
        self.stand().clone()
    }

    /// What is wrong at `now`.
    pub fn problem(&self, now: Timestamp) -> Option<String> {
        let acme_status = self.stand();
        let problem = match self.validity() {
            None => "there is no certificate yet".to_owned(),
            Some(validity) => match validity.problem(now) {
                Some(problem) => problem,
                // While it is asked for them nothing is wrong.
                None if acme_status.failure.is_some() && !acme_status.missing.is_empty() => {
                    let missing: Vec<&str> = acme_status.missing.iter().map(String::as_str).collect();
                    format!("there is no certificate for {} yet", missing.join(", "))
                }
                None => {
                    let why = acme_status.unkept.as_ref()?;
                    return Some(format!("the certificate cannot be kept: {why}"));
                }
            },
        };
        Some(match &acme_status.failure {
            Some(failure) => format!("{problem}: {failure}"),
            None => problem,
        })
    }

    /// Puts a certificate in use, for the handshakes that come then.
    pub(super) fn put(&self, held: ActiveCertificate) {
        drop(self.held.replace(Some(held)));
    }

    /// Changes how it stands.
    pub(super) fn note(&self, change: impl FnOnce(&mut AcmeStatus)) {
        change(&mut self.stand());
    }

    /// Answers the authority's question about `name` for as long as what is returned lives.
    pub(super) fn answer(&self, name: &str, answer: CertifiedKey) -> Answering<'_> {
        self.answers().insert(name.to_owned(), Arc::new(answer));
        Answering {
            issued: self,
            name: name.to_owned(),
        }
    }

    fn stand(&self) -> MutexGuard<'_, AcmeStatus> {
        self.acme_status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<String, Arc<CertifiedKey>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for Issued {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Who offers that protocol and no other is the authority (RFC 8737 §3).
        let mut protocols = hello.alpn().into_iter().flatten();
        if protocols.next() == Some(PROTOCOL) && protocols.next().is_none() {
            let name = hello.server_name()?.to_ascii_lowercase();
            return self.answers().get(&name).cloned();
        }
        let held = self.held.current();
        held.as_ref().as_ref().map(|held| Arc::clone(&held.key))
    }
}

/// An answer, while it is given.
#[derive(Debug)]
pub(super) struct Answering<'i> {
    issued: &'i Issued,
    name: String,
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.issued.answers().remove(&self.name);
    }
}
