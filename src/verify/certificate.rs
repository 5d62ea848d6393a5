//! The certificate that a client has presented, as far as rules can ask for it.
//!
//! It is looked at after rustls has verified it: that a trusted authority has signed it, that it is valid now and that the
//! client holds its key.

use std::fmt;

use sha2::{Digest, Sha256};
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::GeneralName;
use x509_parser::{certificate::X509Certificate, parse_x509_certificate};

/// A verified certificate of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is: `CN` and `ci`, `O` and `Acme`, in the order of the certificate.
    pub subject: Vec<(String, String)>,
    /// What else its owner is called: names of hosts (in lower case), addresses, addresses of mail, URIs.
    pub names: Vec<String>,
    /// SHA-256 of all of it.
    pub fingerprint: [u8; 32],
}

impl Certificate {
    /// Reads one; none if it cannot be read.
    pub fn of(der: &[u8]) -> Option<Self> {
        let (_, parsed) = parse_x509_certificate(der).ok()?;
        Some(Self {
            subject: subject(&parsed)?,
            names: names(&parsed)?,
            fingerprint: Sha256::digest(der).into(),
        })
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self
            .subject
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        write!(
            f,
            "{} ({})",
            parts.join(","),
            data_encoding::HEXLOWER.encode(&self.fingerprint)
        )
    }
}

fn subject(parsed: &X509Certificate<'_>) -> Option<Vec<(String, String)>> {
    let attributes = parsed.subject().iter_attributes();
    attributes
        .map(|attribute| {
            let kind = attribute.attr_type();
            let name = oid2abbrev(kind, oid_registry()).map_or_else(|_| kind.to_id_string(), str::to_owned);
            Some((name, attribute.as_str().ok()?.to_owned()))
        })
        .collect()
}

fn names(parsed: &X509Certificate<'_>) -> Option<Vec<String>> {
    let Some(extension) = parsed.subject_alternative_name().ok()? else {
        return Some(Vec::new());
    };
    let named = extension
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_lowercase()),
            GeneralName::RFC822Name(name) | GeneralName::URI(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => {
                let v4 = <[u8; 4]>::try_from(*bytes).map(std::net::IpAddr::from);
                let address = v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(std::net::IpAddr::from));
                Some(address.ok()?.to_string())
            }
            _ => None,
        });
    Some(named.collect())
}
