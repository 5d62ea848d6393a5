//! Client certificates from TLS handshakes, checked again for each request.
//!
//! A kept connection may outlive the rules under which it was made. Its certificate counts as long
//! as the authority in force trusts it. Expiry is left to the rule that asks for the certificate.

use std::sync::Arc;

use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;

use crate::base::clock::Timestamp;
use crate::event::certificate::Certificate;
use crate::rules::Tls;

/// A certificate that an authority has trusted, with its chain.
#[derive(Debug)]
pub struct ClientCertificate {
    /// Parsed certificate, for conditions and verification.
    pub certificate: Arc<Certificate>,
    /// Certificates in the order of the handshake, the client's own first.
    chain: Vec<CertificateDer<'static>>,
    /// Digest of the authority that trusted the chain last, if known.
    trusted_by: Mutex<Option<[u8; 32]>>,
}

impl ClientCertificate {
    /// Reads the chain of a handshake made with `tls`. `None` if the certificate cannot be read.
    pub fn new(chain: &[CertificateDer<'_>], tls: Option<&Tls>) -> Option<Self> {
        let digest = tls.and_then(|tls| Some(tls.clients.as_ref()?.digest));
        Some(Self {
            certificate: Arc::new(Certificate::of(chain.first()?)?),
            chain: chain.iter().map(|one| one.clone().into_owned()).collect(),
            trusted_by: Mutex::new(digest),
        })
    }

    /// True if the authority in force trusts the certificate. The chain is verified again only if
    /// the authority has changed.
    pub fn is_trusted(&self, tls: Option<&Tls>, now: Timestamp) -> bool {
        let Some(clients) = tls.and_then(|tls| tls.clients.as_ref()) else {
            return false;
        };
        let mut trusted_by = self.trusted_by.lock();
        if *trusted_by != Some(clients.digest) {
            // Expiry is not checked here: it is left to the rule.
            if !clients.verifies(&self.chain, now.min(self.certificate.until)) {
                return false;
            }
            *trusted_by = Some(clients.digest);
        }
        true
    }
}
