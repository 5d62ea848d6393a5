//! The server certificate and the authorities of client certificates: `server.tls:`.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;

use crate::acme::Acme;
use crate::base::clock::Timestamp;
use crate::tls::pem::Validity;

/// TLS settings of the listeners.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Configuration for rustls, certificate and versions included.
    pub config: Arc<ServerConfig>,
    /// Authorities for client certificates. `None`: clients are not asked for a certificate.
    pub clients: Option<ClientAuth>,
    pub origin: CertificateSource,
}

/// Authorities for client certificates: `client_ca`.
#[derive(Clone, Debug)]
pub struct ClientAuth {
    /// Verifier of a client's certificate chain.
    pub verifier: Arc<dyn ClientCertVerifier>,
    /// SHA-256 over the trusted certificates.
    pub digest: [u8; 32],
}

impl ClientAuth {
    /// True if a chain, whose first certificate is the client's own, is valid at `now`.
    pub fn verifies(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> bool {
        let Some((own, rest)) = chain.split_first() else {
            return false;
        };
        let now = Duration::from_millis(u64::try_from(now.as_millis()).unwrap_or_default());
        let now = UnixTime::since_unix_epoch(now);
        self.verifier.verify_client_cert(own, rest, now).is_ok()
    }
}

/// Source of the server certificate.
#[derive(Clone, Debug)]
pub enum CertificateSource {
    /// Files, with the period in which the certificate is valid.
    Files(Validity),
    /// An authority that issues the certificate by ACME.
    Acme(Acme),
}

impl Tls {
    /// ACME settings, if the certificate is issued by an authority.
    pub fn acme(&self) -> Option<&Acme> {
        match &self.origin {
            CertificateSource::Files(_) => None,
            CertificateSource::Acme(acme) => Some(acme),
        }
    }

    /// End of the certificate's validity. `None` if there is no certificate yet.
    pub fn until(&self) -> Option<Timestamp> {
        match &self.origin {
            CertificateSource::Files(validity) => Some(validity.until),
            CertificateSource::Acme(acme) => acme.issued.validity().map(|validity| validity.until),
        }
    }

    /// Describes the problem with the certificate at `now`, if any.
    pub fn problem(&self, now: Timestamp) -> Option<String> {
        match &self.origin {
            CertificateSource::Files(validity) => validity.problem(now),
            CertificateSource::Acme(acme) => acme.issued.problem(now),
        }
    }

    /// Takes over the certificate issued under the previous rules.
    pub fn succeed(&mut self, before: &Self) {
        if let (CertificateSource::Acme(acme), Some(before)) = (&mut self.origin, before.acme()) {
            acme.issued = Arc::clone(&before.issued);
            Arc::make_mut(&mut self.config).cert_resolver = Arc::clone(&before.issued) as _;
        }
    }
}
