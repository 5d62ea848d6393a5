//! ACME settings: the authority, the host names and the account.
//!
//! The names of the files of account, order and certificate follow from them. Reading the rules
//! file is left to `config/acme.rs`.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use sha2::{Digest, Sha256};

use crate::base::secret::Secret;

/// Values of `server.tls.acme`.
pub struct Settings {
    /// Directory of the authority, an `https` URL (RFC 8555 §7.1.1).
    pub directory: String,
    /// Host names for the certificate, in lower case, at least one.
    pub domains: BTreeSet<String>,
    /// Contact addresses for the authority, as `mailto` URLs.
    pub contact: Vec<String>,
    /// Trusted roots for the directory's own certificate. If absent, those of the system.
    pub roots: Option<Arc<RootCertStore>>,
    /// Customer account that the authority asks for.
    pub eab: Option<Eab>,
    /// Digest of all settings, the contents of their files included.
    pub digest: [u8; 32],
}

/// External account binding (RFC 8555 §7.3.4).
pub struct Eab {
    /// Identifier of the key.
    pub kid: String,
    pub key: Secret,
}

impl Settings {
    /// Name of the account's file. The name depends on authority, customer and contacts.
    pub fn account_name(&self) -> String {
        let mut digest = Sha256::new();
        part(&mut digest, &self.directory);
        part(&mut digest, self.eab.as_ref().map_or("", |eab| &eab.kid));
        for contact in &self.contact {
            part(&mut digest, contact);
        }
        format!("account-{}", short(digest))
    }

    /// Name of the order's file, derived from that of the certificate.
    pub fn order_name(&self) -> String {
        self.certificate_name().replace("certificate", "order")
    }

    /// Name of the certificate's file. The name depends on authority and host names.
    pub fn certificate_name(&self) -> String {
        let mut digest = Sha256::new();
        part(&mut digest, &self.directory);
        for domain in &self.domains {
            part(&mut digest, domain);
        }
        format!("certificate-{}", short(digest))
    }
}

/// Adds a part with its length, so that different lists of parts have different digests.
fn part(digest: &mut Sha256, text: &str) {
    digest.update(text.len().to_be_bytes());
    digest.update(text);
}

fn short(digest: Sha256) -> String {
    let digest = digest.finalize();
    data_encoding::HEXLOWER.encode(digest.get(..8).unwrap_or_default())
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("directory", &self.directory)
            .field("domains", &self.domains)
            .finish_non_exhaustive()
    }
}
