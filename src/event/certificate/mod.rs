//! Client certificate, as far as rules can match it.
//!
//! rustls has verified it before: signed by a trusted authority, valid at the handshake, key held
//! by the client. A part that cannot be parsed matches nothing and does not affect the other parts.

mod attribute;
mod name;
mod subject;

use std::fmt;

use data_encoding::HEXLOWER_PERMISSIVE;
use sha2::{Digest, Sha256};
use x509_parser::parse_x509_certificate;

use crate::base::clock::Timestamp;
pub use crate::event::certificate::attribute::names as attribute_names;
pub use crate::event::certificate::name::AlternativeName;
pub use crate::event::certificate::subject::{Subject, SubjectError};

/// Verified certificate of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub subject: Subject,
    /// Subject alternative names.
    pub names: Vec<AlternativeName>,
    /// SHA-256 of the whole certificate.
    pub fingerprint: [u8; 32],
    /// Last second in which the certificate is valid.
    pub until: Timestamp,
}

impl Certificate {
    /// Parses a certificate. Returns `None` if it cannot be parsed at all.
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

    /// True if the certificate has expired at `now`. Its last second still counts as valid (RFC
    /// 5280 §4.1.2.5), for a request as for a handshake.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        now.as_seconds() > self.until.as_seconds()
    }
}

/// Parses a SHA-256 in hexadecimal digits, with or without colons between the bytes.
pub fn parse_fingerprint(text: &str) -> Option<[u8; 32]> {
    let digits: String = text.chars().filter(|letter| *letter != ':').collect();
    let bytes = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok()?;
    bytes.try_into().ok()
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
