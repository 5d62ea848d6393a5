//! Certificates and keys as PEM files hold them, read at load, so that what is wrong with a file is a finding.

use std::time::Duration;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::parse_x509_certificate;

use crate::clock::Timestamp;
use crate::diagnostic::Findings;
use crate::secret::{Keyring, Secret, source_of};
use crate::yaml::Node;

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// From then on.
    pub from: Timestamp,
    /// Until then.
    pub until: Timestamp,
}

impl Validity {
    /// How long before its end a certificate is spoken of, unless it lives for less than six times as long.
    const SOON: Duration = Duration::from_hours(14 * 24);

    /// When this certificate is valid; none if it cannot be read.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = parse_x509_certificate(certificate).ok()?;
        let validity = parsed.validity();
        Some(Self {
            from: Timestamp::from_seconds(validity.not_before.timestamp()),
            until: Timestamp::from_seconds(validity.not_after.timestamp()),
        })
    }

    /// For how long in all.
    pub fn lifetime(&self) -> Duration {
        self.until.since(self.from)
    }

    /// What is wrong with it at `now`: not yet valid, not any more, or not for long.
    pub fn problem(&self, now: Timestamp) -> Option<String> {
        let Self { from, until } = *self;
        let soon = Self::SOON.min(self.lifetime() / 6);
        if until < now {
            Some(format!("the certificate expired at {until}"))
        } else if from > now {
            Some(format!("the certificate is not valid before {from}"))
        } else if until.since(now) < soon {
            Some(format!("the certificate expires at {until}"))
        } else {
            None
        }
    }
}

/// The bytes of the file that a node names: `file.pem`, or as a secret is named. The file is watched from now on.
/// `private` says whether it is anybody's business.
pub fn file(node: Node<'_>, private: bool, keyring: &Keyring, findings: &mut Findings) -> Option<Secret> {
    let Some(text) = node.as_str() else {
        findings.push(node.error("tls", "the name of a PEM file is text"));
        return None;
    };
    let source = source_of(text).map_or_else(|| format!("file:{text}"), str::to_owned);
    match keyring.resolve(&source) {
        Ok((pem, warning)) => {
            if let Some(warning) = warning.filter(|_| private) {
                findings.push(node.warning("secret", warning));
            }
            Some(pem)
        }
        Err(message) => {
            findings.push(node.error("tls", message));
            None
        }
    }
}

/// The certificates of a PEM text, one at least.
pub fn certificates(
    node: Node<'_>,
    pem: &Secret,
    findings: &mut Findings,
) -> Option<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.expose()).collect();
    let message = match found {
        Ok(found) if !found.is_empty() => return Some(found),
        Ok(_) => "there is no certificate in it".to_owned(),
        // The error would show what stands there, which may be anything.
        Err(_) => "it is not PEM".to_owned(),
    };
    let finding = node.error("tls", message);
    findings.push(finding.hint("PEM: `-----BEGIN CERTIFICATE-----` and so on"));
    None
}

/// Those that are trusted.
pub fn roots(node: Node<'_>, pem: &Secret, findings: &mut Findings) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(node, pem, findings)? {
        if let Err(error) = roots.add(certificate) {
            let message = format!("a certificate in it cannot be used: {error}");
            findings.push(node.error("tls", message));
            return None;
        }
    }
    Some(roots)
}

/// A certificate with its key, which fits it.
pub fn identity(
    (at_cert, chain): (Node<'_>, &Secret),
    (at_key, key): (Node<'_>, &Secret),
    findings: &mut Findings,
) -> Option<CertifiedKey> {
    let chain = certificates(at_cert, chain, findings);
    let Ok(key) = PrivateKeyDer::from_pem_slice(key.expose()) else {
        let finding = at_key.error("tls", "there is no private key in it");
        findings.push(finding.hint("PEM, not encrypted: `-----BEGIN PRIVATE KEY-----` and so on"));
        return None;
    };
    match CertifiedKey::from_der(chain?, key, &default_provider()) {
        Ok(identity) => Some(identity),
        Err(rustls::Error::InconsistentKeys(_)) => {
            findings.push(at_key.error("tls", "the key does not fit the certificate in `cert`"));
            None
        }
        Err(error) => {
            findings.push(at_key.error("tls", format!("the key cannot be used: {error}")));
            None
        }
    }
}
