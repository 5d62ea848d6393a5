//! Whom to ask, for what, and as whom.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use sha2::{Digest, Sha256};

use crate::base::secret::Secret;

/// What `server.tls.acme` says.
pub struct Settings {
    /// The authority's directory, an `https` URL (RFC 8555 §7.1.1).
    pub directory: String,
    /// The names that the certificate is for, in lower case; one at least.
    pub domains: BTreeSet<String>,
    /// Whom the authority may write to, as `mailto` URLs.
    pub contact: Vec<String>,
    /// Who has signed the directory's own certificate; absent: somebody whom the system trusts.
    pub roots: Option<Arc<RootCertStore>>,
    /// The customer's account that the authority asks for.
    pub eab: Option<Eab>,
    /// Tells one set of these from another: also the contents of the files.
    pub digest: [u8; 32],
}

/// External account binding (RFC 8555 §7.3.4).
pub struct Eab {
    /// Names the key.
    pub kid: String,
    /// The key itself.
    pub key: Secret,
}

impl Settings {
    /// Names the account: another for another authority, customer or address.
    pub fn account_name(&self) -> String {
        let mut digest = Sha256::new();
        part(&mut digest, &self.directory);
        part(&mut digest, self.eab.as_ref().map_or("", |eab| &eab.kid));
        for contact in &self.contact {
            part(&mut digest, contact);
        }
        format!("account-{}", short(digest))
    }

    /// Names the order, as the certificate.
    pub fn order_name(&self) -> String {
        self.certificate_name().replace("certificate", "order")
    }

    /// Names the certificate: another for other names, and of another authority.
    pub fn certificate_name(&self) -> String {
        let mut digest = Sha256::new();
        part(&mut digest, &self.directory);
        for domain in &self.domains {
            part(&mut digest, domain);
        }
        format!("certificate-{}", short(digest))
    }
}

/// Adds a part of which none can be taken for two.
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
