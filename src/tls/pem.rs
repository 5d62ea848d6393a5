//! Certificates and keys as PEM files hold them, read at load, so that what is wrong with a file is a finding.

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore};
use x509_parser::parse_x509_certificate;

use crate::base::clock::Timestamp;
use crate::base::diagnostic::Diagnostics;
use crate::base::secret::{Keyring, Secret, source_of};
use crate::base::yaml::Node;

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

    /// Whether it is valid at `now`.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.from <= now && now <= self.until
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
    match keyring.resolve(&source) {
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

/// What a file holds, without the byte order mark that some editors of Windows put before it.
fn text(pem: &Secret) -> &[u8] {
    let bytes = pem.expose();
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// The certificates of a PEM text, one at least.
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
        // The error would show what stands there, which may be anything.
        Err(_) => ("it is not PEM", PEM),
    };
    diagnostics.push(node.error("tls", message).hint(hint));
    None
}

/// Those that are trusted.
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

/// The private key of a PEM text.
fn private_key(
    node: Node<'_>,
    pem: &Secret,
    diagnostics: &mut Diagnostics,
) -> Option<PrivateKeyDer<'static>> {
    const PEM: &str = "PEM, not encrypted: `-----BEGIN PRIVATE KEY-----` and so on";
    // In a header of its own, or in the label (RFC 1421 §4.6.1.1, RFC 7468 §11).
    const ENCRYPTED: &[u8] = b"ENCRYPTED";
    let text = text(pem);
    let (message, hint) = if let Ok(key) = PrivateKeyDer::from_pem_slice(text) {
        return Some(key);
    } else if text.windows(ENCRYPTED.len()).any(|part| part == ENCRYPTED) {
        (
            "the private key in it is encrypted",
            "nobody is there to type its password: `openssl pkey -in … -out …`, readable for the daemon alone",
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

/// A certificate with its key, which fits it.
pub fn identity(
    (at_cert, chain): (Node<'_>, &Secret),
    (at_key, key): (Node<'_>, &Secret),
    diagnostics: &mut Diagnostics,
) -> Option<CertifiedKey> {
    let chain = certificates(at_cert, chain, diagnostics);
    let key = private_key(at_key, key, diagnostics)?;
    // The error says no more than that it did not work.
    let Ok(key) = default_provider().key_provider.load_private_key(key) else {
        let message = "the key cannot be used: it is damaged, or of a kind that is not understood";
        let diagnostic = at_key.error("tls", message);
        diagnostics.push(
            diagnostic.hint("understood are RSA of 2048 to 8192 bits, ECDSA P-256, P-384 and P-521, Ed25519"),
        );
        return None;
    };
    let chain = chain?;
    let fits = |certificate: &CertificateDer<'static>| {
        let alone = CertifiedKey::new(vec![certificate.clone()], Arc::clone(&key));
        alone.keys_match()
    };
    match fits(chain.first()?) {
        // Some keys do not tell.
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(Error::InconsistentKeys(_)) => {
            let diagnostic = at_key.error("tls", "the key does not fit the certificate in `cert`");
            let place = chain.iter().position(|certificate| fits(certificate).is_ok());
            diagnostics.push(match place {
                Some(place) => diagnostic.hint(format!(
                    "it fits certificate {} in that file: its own certificate comes first, then who has signed it",
                    place + 1
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

/// Where a chain breaks off: a certificate is followed by another than that of who has signed it (RFC 8446 §4.4.2), so that
/// others may not find the way from it to an authority that they trust. Of the last one nobody can tell.
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

/// Whether a certificate may be shown by a server (RFC 5280 §4.2.1.12); one that cannot be read may.
pub fn is_for_servers(certificate: &CertificateDer<'_>) -> bool {
    let Ok((_, parsed)) = parse_x509_certificate(certificate) else {
        return true;
    };
    let usage = parsed.extended_key_usage().ok().flatten();
    usage.is_none_or(|usage| usage.value.server_auth || usage.value.any)
}
