//! The certificate that a client has presented in its handshake: whether it still counts, request by request.
//!
//! A connection may be kept for long, and the rules be others meanwhile: it counts as long as the authority in force vouches
//! for it. That its own time is over is for the rule to say that asks for it.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::CertificateDer;

use crate::base::clock::Timestamp;
use crate::rules::Tls;
use crate::server::request::Peer;
use crate::tls::certificate::Certificate;

/// A certificate that an authority has vouched for, with what proves it.
#[derive(Debug)]
pub struct ClientCertificate {
    /// What can be asked of it.
    pub certificate: Arc<Certificate>,
    /// As they came, the client's own first.
    chain: Vec<CertificateDer<'static>>,
    /// The digest of the authority that vouched last, where that is known.
    vouched: Mutex<Option<[u8; 32]>>,
}

impl ClientCertificate {
    /// What came in a handshake, which was done by `tls`, if that is known; none if it cannot be read.
    pub fn new(chain: &[CertificateDer<'_>], tls: Option<&Tls>) -> Option<Self> {
        let digest = tls.and_then(|tls| Some(tls.clients.as_ref()?.digest));
        Some(Self {
            certificate: Arc::new(Certificate::of(chain.first()?)?),
            chain: chain.iter().map(|one| one.clone().into_owned()).collect(),
            vouched: Mutex::new(digest),
        })
    }

    /// Whether the authority in force vouches for it. It is asked anew only if it is another than the last.
    fn counts(&self, tls: Option<&Tls>, now: Timestamp) -> bool {
        let Some(clients) = tls.and_then(|tls| tls.clients.as_ref()) else {
            return false;
        };
        let mut vouched = self.vouched.lock().unwrap_or_else(PoisonError::into_inner);
        if *vouched != Some(clients.digest) {
            // Not whether its time is over, of which a rule has its own to say.
            if !clients.vouch_for(&self.chain, now.min(self.certificate.until)) {
                return false;
            }
            *vouched = Some(clients.digest);
        }
        true
    }
}

impl Peer {
    /// Forgets the certificate if it counts no more; says whether it did.
    pub fn disown(&mut self, tls: Option<&Tls>, now: Timestamp) -> bool {
        let counts = |presented: &Arc<ClientCertificate>| presented.counts(tls, now);
        self.certificate.take_if(|presented| !counts(presented)).is_some()
    }
}
