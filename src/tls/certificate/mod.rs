//! The certificate that a client has presented, as far as rules can ask for it.
//!
//! It is looked at after rustls has verified it: that a trusted authority has signed it, that it was valid at the handshake
//! and that the client holds its key. Whatever of it cannot be read matches nothing, and takes nothing else along.

mod attribute;
mod name;
mod subject;

use std::fmt;

use sha2::{Digest, Sha256};
use x509_parser::parse_x509_certificate;

use crate::base::clock::Timestamp;
pub use crate::tls::certificate::attribute::names as attribute_names;
pub use crate::tls::certificate::name::AlternativeName;
pub use crate::tls::certificate::subject::{Subject, SubjectError};

/// A verified certificate of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is.
    pub subject: Subject,
    /// What else its owner is called.
    pub names: Vec<AlternativeName>,
    /// SHA-256 of all of it.
    pub fingerprint: [u8; 32],
    /// The last second in which it is valid.
    pub until: Timestamp,
}

impl Certificate {
    /// Reads one; none if it cannot be read at all.
    pub fn of(der: &[u8]) -> Option<Self> {
        let (_, parsed) = parse_x509_certificate(der).ok()?;
        let names = parsed.subject_alternative_name().ok().flatten();
        let names = names.map_or([].as_slice(), |extension| &extension.value.general_names);
        Some(Self {
            subject: Subject::of(parsed.subject()),
            names: names.iter().filter_map(AlternativeName::of).collect(),
            fingerprint: Sha256::digest(der).into(),
            until: Timestamp::from_seconds(parsed.validity().not_after.timestamp()),
        })
    }

    /// The names of hosts among its names.
    pub fn hosts(self) -> impl Iterator<Item = String> {
        self.names.into_iter().filter_map(|name| match name {
            AlternativeName::Host(host) => Some(host),
            _ => None,
        })
    }

    /// Whether its time is over at `now`. It is valid up to and including its last second (RFC 5280 §4.1.2.5), for a
    /// request as for a handshake.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        now.as_seconds() > self.until.as_seconds()
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fingerprint = data_encoding::HEXLOWER.encode(&self.fingerprint);
        write!(f, "{} ({fingerprint})", self.subject)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn a_certificate_is_valid_to_the_end_of_its_last_second() {
        let mut params = CertificateParams::default();
        params.not_after = rcgen::date_time_ymd(2026, 1, 1);
        let signed = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let certificate = Certificate::of(signed.der()).unwrap();
        let last = Timestamp::parse_rfc3339("2026-01-01T00:00:00Z").unwrap();
        assert_eq!(certificate.until, last);
        let expired = |millis| certificate.has_expired(last.plus(Duration::from_millis(millis)));
        assert_eq!([expired(0), expired(999), expired(1000)], [false, false, true]);
    }
}
