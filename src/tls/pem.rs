//! Certificates and keys in PEM files, read at load.
//!
//! Anything wrong with a file is a diagnostic, not a failed connection.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore};
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::GeneralName;

use crate::base::clock::Timestamp;
use crate::base::diagnostic::Diagnostics;
use crate::base::secret::{Keyring, Secret, source_of};
use crate::base::yaml::Node;

/// Returns the host names of a certificate, in lower case. `None` if it cannot be parsed.
pub fn hosts(certificate: &CertificateDer<'_>) -> Option<BTreeSet<String>> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    let names = parsed.subject_alternative_name().ok().flatten();
    let names = names.map_or([].as_slice(), |extension| &extension.value.general_names);
    let hosts = names.iter().filter_map(|name| match name {
        GeneralName::DNSName(host) => Some(host.to_lowercase()),
        _ => None,
    });
    Some(hosts.collect())
}

/// Validity period of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub from: Timestamp,
    pub until: Timestamp,
}

impl Validity {
    /// Warning time before expiry. At most a sixth of the certificate's lifetime.
    const SOON: Duration = Duration::from_hours(14 * 24);

    /// Reads the validity period. Returns `None` if the certificate cannot be parsed.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = parse_x509_certificate(certificate).ok()?;
        let validity = parsed.validity();
        Some(Self {
            from: Timestamp::from_seconds(validity.not_before.timestamp()),
            until: Timestamp::from_seconds(validity.not_after.timestamp()),
        })
    }

    /// True if the certificate is valid at `now`.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.from <= now && now <= self.until
    }

    pub fn lifetime(&self) -> Duration {
        self.until.since(self.from)
    }

    /// Describes what is wrong at `now`: not yet valid, expired, or about to expire.
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

/// Reads the file that a node names, as `file.pem` or as a secret source, and watches it from then
/// on. If `private`, the keyring's warning about the file is reported.
pub fn file(
    node: Node<'_>,
    private: bool,
    keyring: &Keyring,
    diagnostics: &mut Diagnostics,
) -> Option<Secret> {
    let Some(text) = node.as_str() else {
        diagnostics.push(node.error("tls", "the name of a PEM file is text"));
        return None;
    };
    let source = source_of(text).map_or_else(|| format!("file:{text}"), str::to_owned);
    match keyring.at(node).resolve(&source) {
        Ok((pem, warning)) => {
            if let Some(warning) = warning.filter(|_| private) {
                diagnostics.push(node.warning("secret", warning));
            }
            Some(pem)
        }
        Err(message) => {
            diagnostics.push(node.error("tls", message));
            None
        }
    }
}

/// Strips the byte order mark that some editors on Windows write.
fn text(pem: &Secret) -> &[u8] {
    let bytes = pem.expose();
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// Parses the certificates of a PEM text, at least one.
pub fn certificates(
    node: Node<'_>,
    pem: &Secret,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<CertificateDer<'static>>> {
    const PEM: &str = "PEM: `-----BEGIN CERTIFICATE-----` and so on";
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text(pem)).collect();
    let (message, hint) = match found {
        Ok(found) if !found.is_empty() => return Some(found),
        Ok(_) if parse_x509_certificate(text(pem)).is_ok() => (
            "it is DER, not PEM",
            "convert it: `openssl x509 -inform der -in … -out …`",
        ),
        Ok(_) => ("there is no certificate in it", PEM),
        // The error would show the content of the file, which may be anything.
        Err(_) => ("it is not PEM", PEM),
    };
    diagnostics.push(node.error("tls", message).hint(hint));
    None
}

/// Parses the trusted root certificates of a PEM text.
pub fn roots(node: Node<'_>, pem: &Secret, diagnostics: &mut Diagnostics) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(node, pem, diagnostics)? {
        if let Err(error) = roots.add(certificate) {
            let message = format!("a certificate in it cannot be used: {error}");
            diagnostics.push(node.error("tls", message));
            return None;
        }
    }
    Some(roots)
}

/// Parses the private key of a PEM text.
fn private_key(
    node: Node<'_>,
    pem: &Secret,
    diagnostics: &mut Diagnostics,
) -> Option<PrivateKeyDer<'static>> {
    const PEM: &str = "PEM, not encrypted: `-----BEGIN PRIVATE KEY-----` and so on";
    // The word stands in a header of its own, or in the label (RFC 1421 §4.6.1.1, RFC 7468 §11).
    const ENCRYPTED: &[u8] = b"ENCRYPTED";
    let text = text(pem);
    let (message, hint) = if let Ok(key) = PrivateKeyDer::from_pem_slice(text) {
        return Some(key);
    } else if text.windows(ENCRYPTED.len()).any(|part| part == ENCRYPTED) {
        (
            "the private key in it is encrypted",
            "the daemon cannot ask for its password: `openssl pkey -in … -out …`, readable for the daemon alone",
        )
    } else if PrivateKeyDer::try_from(text).is_ok() {
        (
            "it is DER, not PEM",
            "convert it: `openssl pkey -inform der -in … -out …`",
        )
    } else {
        ("there is no private key in it", PEM)
    };
    diagnostics.push(node.error("tls", message).hint(hint));
    None
}

/// Parses a certificate chain and its private key, and checks that they match.
pub fn identity(
    (at_cert, chain): (Node<'_>, &Secret),
    (at_key, key): (Node<'_>, &Secret),
    diagnostics: &mut Diagnostics,
) -> Option<CertifiedKey> {
    let chain = certificates(at_cert, chain, diagnostics);
    let key = private_key(at_key, key, diagnostics)?;
    // The error says no more than that loading failed.
    let Ok(key) = default_provider().key_provider.load_private_key(key) else {
        let message = "the key cannot be used: it is damaged, or of a kind that is not understood";
        let diagnostic = at_key.error("tls", message);
        diagnostics.push(
            diagnostic.hint("understood are RSA of 2048 to 8192 bits, ECDSA P-256, P-384 and P-521, Ed25519"),
        );
        return None;
    };
    let chain = chain?;
    let matches_key = |certificate: &CertificateDer<'static>| {
        let single = CertifiedKey::new(vec![certificate.clone()], Arc::clone(&key));
        single.keys_match()
    };
    match matches_key(chain.first()?) {
        // Some keys cannot be compared.
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(Error::InconsistentKeys(_)) => {
            let diagnostic = at_key.error("tls", "the key does not fit the certificate in `cert`");
            let position = chain
                .iter()
                .position(|certificate| matches_key(certificate).is_ok());
            diagnostics.push(match position {
                Some(position) => diagnostic.hint(format!(
                    "it fits certificate {} in that file: its own certificate comes first, then who has signed it",
                    position + 1
                )),
                None => diagnostic,
            });
            return None;
        }
        Err(error) => {
            diagnostics.push(at_cert.error("tls", format!("the certificate in it cannot be used: {error}")));
            return None;
        }
    }
    if let Some(message) = gap(&chain) {
        let diagnostic = at_cert.warning("certificate", message);
        diagnostics.push(diagnostic.hint(
            "after a certificate comes the one of who has signed it; that of the root need not be there",
        ));
    }
    Some(CertifiedKey::new(chain, key))
}

/// Describes the first gap in a chain: a certificate not followed by that of its issuer (RFC 8446
/// §4.4.2). Peers may then find no path to a root that they trust. The last certificate cannot be
/// checked.
fn gap(chain: &[CertificateDer<'_>]) -> Option<String> {
    let pairs = chain.iter().zip(chain.iter().skip(1));
    for (number, (signed, next)) in pairs.enumerate() {
        let (_, signed) = parse_x509_certificate(signed).ok()?;
        let (_, next) = parse_x509_certificate(next).ok()?;
        if signed.issuer().as_raw() != next.subject().as_raw() {
            return Some(format!(
                "the chain in it breaks off: certificate {} was signed by `{}`, and the next is that of `{}`",
                number + 1,
                signed.issuer(),
                next.subject()
            ));
        }
    }
    None
}

/// True if a server may present the certificate (RFC 5280 §4.2.1.12), or if it cannot be parsed.
pub fn is_for_servers(certificate: &CertificateDer<'_>) -> bool {
    let Ok((_, parsed)) = parse_x509_certificate(certificate) else {
        return true;
    };
    let usage = parsed.extended_key_usage().ok().flatten();
    usage.is_none_or(|usage| usage.value.server_auth || usage.value.any)
}
