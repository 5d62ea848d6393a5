//! Client certificates from TLS handshakes, checked again for each request.
//!
//! A kept connection may outlive the rules under which it was made. Its certificate counts as long
//! as the authority in force trusts it. Expiry is left to the rule that asks for the certificate.

use std::sync::Arc;

use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;

use crate::base::clock::Timestamp;
use crate::rules::Tls;
use crate::server::request::Peer;
use crate::tls::certificate::Certificate;

/// A certificate that an authority has trusted, with its chain.
#[derive(Debug)]
pub struct ClientCertificate {
    /// Parsed certificate, for conditions and verification.
    pub certificate: Arc<Certificate>,
    /// Certificates in the order of the handshake, the client's own first.
    chain: Vec<CertificateDer<'static>>,
    /// Digest of the authority that trusted the chain last, if known.
    vouched: Mutex<Option<[u8; 32]>>,
}

impl ClientCertificate {
    /// Reads the chain of a handshake made with `tls`. `None` if the certificate cannot be read.
    pub fn new(chain: &[CertificateDer<'_>], tls: Option<&Tls>) -> Option<Self> {
        let digest = tls.and_then(|tls| Some(tls.clients.as_ref()?.digest));
        Some(Self {
            certificate: Arc::new(Certificate::of(chain.first()?)?),
            chain: chain.iter().map(|one| one.clone().into_owned()).collect(),
            vouched: Mutex::new(digest),
        })
    }

    /// True if the authority in force trusts the certificate. The chain is verified again only if
    /// the authority has changed.
    fn counts(&self, tls: Option<&Tls>, now: Timestamp) -> bool {
        let Some(clients) = tls.and_then(|tls| tls.clients.as_ref()) else {
            return false;
        };
        let mut vouched = self.vouched.lock();
        if *vouched != Some(clients.digest) {
            // Expiry is not checked here: it is left to the rule.
            if !clients.verifies(&self.chain, now.min(self.certificate.until)) {
                return false;
            }
            *vouched = Some(clients.digest);
        }
        true
    }
}

impl Peer {
    /// Removes the certificate if it is no longer trusted. True if one was removed.
    pub fn disown(&mut self, tls: Option<&Tls>, now: Timestamp) -> bool {
        let counts = |presented: &Arc<ClientCertificate>| presented.counts(tls, now);
        self.certificate.take_if(|presented| !counts(presented)).is_some()
    }
}
