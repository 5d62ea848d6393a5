//! Senders that present a certificate: `client_cert`.
//!
//! TLS verifies the certificate (`server.tls.client_ca`). This file decides which certificates a
//! rule accepts.

use serde::de::IgnoredAny;

use super::Scheme;
use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::yaml::{Node, unknown};
use crate::event::Received;
use crate::event::certificate::{
    AlternativeName, Certificate, Subject, SubjectError, attribute_names, parse_fingerprint,
};
use crate::verify::context::SchemeContext;
use crate::verify::outgoing::{OutgoingRequest, Signed};
use crate::verify::parts::places;
use crate::verify::parts::settings::{Settings, shape};
use crate::verify::parts::source::Location;
use crate::verify::parts::unsigned::{ids_in_words, proof};
use crate::verify::proof::Proof;
use crate::verify::refusal::Refusal;

/// Compiled `client_cert`. Each non-empty list must contain a match.
#[derive(Debug)]
pub struct ClientCert {
    subjects: Vec<Subject>,
    names: Vec<AlternativeName>,
    fingerprints: Vec<[u8; 32]>,
    ids: Vec<Location>,
    max_body: u64,
}

shape! {
    /// Settings of `client_cert`.
    ClientCertShape {
        /// Whole subject, such as `CN=ci,O=Acme`. Of a list, one must match.
        subject: IgnoredAny,
        /// Alternative name. Of a list, one must match.
        san: IgnoredAny,
        /// SHA-256 of the certificate in hex. Of a list, one must match.
        fingerprint: IgnoredAny,
        /// Location of the id that identifies an event.
        id: IgnoredAny,
    }
}

impl ClientCert {
    pub fn compile(
        settings: &Settings<'_>,
        context: &SchemeContext<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        const HINT: &str = "write `client_cert: {san: ci.example.com}`, or `subject`, or `fingerprint`";
        let node = settings.place();
        if settings.short().is_some() {
            let diagnostic = node.error("wrong-value", "`client_cert` says whose certificate it is");
            diagnostics.push(diagnostic.hint(HINT));
            return None;
        }
        let before = diagnostics.errors();
        settings.read::<ClientCertShape>(diagnostics)?;
        let subjects = list(settings, "subject", subject, diagnostics);
        let names = list(settings, "san", name, diagnostics);
        let fingerprints = list(settings, "fingerprint", fingerprint, diagnostics);
        if diagnostics.errors() == before
            && subjects.is_empty()
            && names.is_empty()
            && fingerprints.is_empty()
        {
            let diagnostic = node.error(
                "missing-key",
                "any certificate that the authority has signed would do",
            );
            diagnostics.push(diagnostic.hint(HINT));
        }
        let ids = places::ids(settings, diagnostics);
        (diagnostics.errors() == before).then_some(Self {
            subjects,
            names,
            fingerprints,
            ids,
            max_body: context.max_body,
        })
    }

    fn asks_for(&self, certificate: &Certificate) -> bool {
        let subject =
            self.subjects.is_empty() || self.subjects.iter().any(|one| one.is(&certificate.subject));
        let name = self.names.is_empty() || self.names.iter().any(|name| certificate.names.contains(name));
        let fingerprint =
            self.fingerprints.is_empty() || self.fingerprints.contains(&certificate.fingerprint);
        subject && name && fingerprint
    }
}

impl Scheme for ClientCert {
    /// Checks the sender's certificate against the configured lists.
    fn prove(&self, received: &Received) -> Result<Proof, Refusal> {
        let certificate = received
            .certificate
            .as_deref()
            .ok_or(Refusal::MissingCertificate)?;
        // The TLS handshake has checked this too, but a connection can be long-lived.
        if certificate.has_expired(received.at) {
            return Err(Refusal::ExpiredCertificate {
                at: certificate.until,
                now: received.at,
            });
        }
        if !self.asks_for(certificate) {
            return Err(Refusal::ForeignCertificate {
                certificate: certificate.to_string(),
            });
        }
        proof(&self.ids, received, self.max_body, None)
    }

    fn sign(&self, _draft: &OutgoingRequest<'_>) -> Result<Signed, String> {
        Err("a certificate is no part of a request".to_owned())
    }

    fn can_sign(&self) -> bool {
        false
    }

    fn recognised_by(&self) -> String {
        ids_in_words(&self.ids)
    }
}

/// Reads a value or a list of values.
fn list<T>(
    settings: &Settings<'_>,
    key: &str,
    read: fn(Node<'_>) -> Result<T, Diagnostic>,
    diagnostics: &mut Diagnostics,
) -> Vec<T> {
    let Some(node) = settings.given(key) else {
        return Vec::new();
    };
    let items = node.one_or_many();
    if items.is_empty() {
        diagnostics.push(node.error("never-holds", format!("an empty `{key}` lets no client in")));
    }
    let mut list = Vec::new();
    for item in items {
        match read(item) {
            Ok(one) => list.push(one),
            Err(diagnostic) => diagnostics.push(diagnostic),
        }
    }
    list
}

fn subject(node: Node<'_>) -> Result<Subject, Diagnostic> {
    let wrong = || node.error("wrong-value", "a subject is written `CN=ci,O=Acme`");
    let text = node.as_str().ok_or_else(wrong)?;
    Subject::parse(text).map_err(|slip| match slip {
        SubjectError::Malformed(help) => wrong().hint(help),
        SubjectError::UnknownType(typed) => unknown(
            node.origin(),
            "unknown-attribute",
            "attribute",
            &typed,
            attribute_names(),
        ),
    })
}

fn name(node: Node<'_>) -> Result<AlternativeName, Diagnostic> {
    node.as_str().and_then(AlternativeName::parse).ok_or_else(|| {
        let diagnostic = node.error("wrong-value", "no certificate can hold this name");
        diagnostic
            .hint("write `ci.example.com` (in ASCII, without a port), `192.0.2.7`, `ci@example.com` or a URI")
    })
}

fn fingerprint(node: Node<'_>) -> Result<[u8; 32], Diagnostic> {
    node.as_str().and_then(parse_fingerprint).ok_or_else(|| {
        let message = "a fingerprint is 64 hexadecimal digits, the SHA-256 of the certificate";
        node.error("wrong-value", message)
    })
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER_PERMISSIVE;
    use rcgen::{CertificateParams, CustomExtension, DnType, DnValue, KeyPair, SanType};

    use super::*;

    /// Self-signed certificate with this subject.
    fn signed(params: &mut CertificateParams, subject: Vec<(DnType, DnValue)>) -> Certificate {
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind, value);
        }
        let signed = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Certificate::of(signed.der()).unwrap()
    }

    fn certificate(common_name: &str) -> (Certificate, String) {
        let mut params =
            CertificateParams::new(vec!["CI.example.com".to_owned(), "2001:db8::7".to_owned()]).unwrap();
        for name in [
            SanType::URI("spiffe://acme/ci".try_into().unwrap()),
            SanType::Rfc822Name("ci@Acme.example".try_into().unwrap()),
            SanType::DnsName("spiffe://acme/sly".try_into().unwrap()),
            SanType::DnsName("192.0.2.7".try_into().unwrap()),
        ] {
            params.subject_alt_names.push(name);
        }
        let subject = vec![
            (DnType::OrganizationName, "Acme".into()),
            (DnType::CommonName, common_name.into()),
        ];
        let certificate = signed(&mut params, subject);
        let hex = HEXLOWER_PERMISSIVE.encode(&certificate.fingerprint);
        (certificate, hex)
    }

    fn asked(subjects: &[&str], names: &[&str], fingerprints: &[&str]) -> ClientCert {
        ClientCert {
            subjects: subjects
                .iter()
                .map(|text| Subject::parse(text).unwrap())
                .collect(),
            names: names
                .iter()
                .map(|text| AlternativeName::parse(text).unwrap())
                .collect(),
            fingerprints: fingerprints
                .iter()
                .map(|text| parse_fingerprint(text).unwrap())
                .collect(),
            ids: Vec::new(),
            max_body: 0,
        }
    }

    #[test]
    fn a_certificate_is_known_by_all_that_is_asked_of_it() {
        let (certificate, hex) = certificate("ci");
        let upper = hex.to_uppercase();
        for (subjects, names, fingerprints, right) in [
            (&["CN=ci,O=Acme"][..], &[][..], &[][..], true),
            (&["O=Acme, CN=ci"], &[], &[], true),
            (&["CN=other,O=Acme", "O=Acme,CN=ci"], &[], &[], true),
            (&["CN=ci"], &[], &[], false),
            (&["CN=CI,O=Acme"], &[], &[], false),
            (&["CN=ci,O=Acme,O=Acme"], &[], &[], false),
            (&[], &["ci.EXAMPLE.com"], &[], true),
            (&[], &["2001:0DB8:0::7"], &[], true),
            (&[], &["192.0.2.7"], &[], false),
            (&[], &["spiffe://acme/sly"], &[], false),
            (&[], &["other", "spiffe://acme/ci"], &[], true),
            (&[], &["spiffe://acme/CI"], &[], false),
            (&[], &["ci@ACME.example"], &[], true),
            (&[], &["CI@acme.example"], &[], false),
            (&[], &["example.com"], &[], false),
            (&[], &["*.example.com"], &[], false),
            (&[], &[], &[upper.as_str()], true),
            (&["CN=ci,O=Acme"], &["other"], &[hex.as_str()], false),
            (&["CN=ci,O=Acme"], &["ci.example.com"], &[hex.as_str()], true),
        ] {
            let asks = asked(subjects, names, fingerprints).asks_for(&certificate);
            assert_eq!(asks, right, "{subjects:?} {names:?} {fingerprints:?}");
        }
    }

    #[test]
    fn a_name_with_a_comma_is_not_two() {
        let (sly, _) = certificate("ci,O=Acme");
        assert!(!asked(&["O=Acme,CN=ci,O=Acme"], &[], &[]).asks_for(&sly));
        assert!(asked(&["O=Acme,CN=ci\\,O=Acme"], &[], &[]).asks_for(&sly));
    }

    #[test]
    fn what_cannot_be_read_of_a_certificate_takes_nothing_else_along() {
        // An address of three bytes, next to a host.
        let names = [&b"\x30\x14\x87\x03\xc0\0\x02\x82\x0d"[..], b"ci.acme.local"].concat();
        let names = CustomExtension::from_oid_content(&[2, 5, 29, 17], names);
        let mut params = CertificateParams::default();
        params.custom_extensions.push(names);
        let subject = vec![
            (
                DnType::OrganizationName,
                DnValue::BmpString("Acmé".try_into().unwrap()),
            ),
            (
                DnType::CommonName,
                DnValue::TeletexString("ci".try_into().unwrap()),
            ),
        ];
        let certificate = signed(&mut params, subject);
        let hex = HEXLOWER_PERMISSIVE.encode(&certificate.fingerprint);
        assert!(asked(&["CN=ci,O=Acmé"], &["ci.acme.local"], &[&hex]).asks_for(&certificate));
        // Invalid names.
        let mut params = CertificateParams::default();
        let names = CustomExtension::from_oid_content(&[2, 5, 29, 17], b"\x04\0".to_vec());
        params.custom_extensions.push(names);
        let certificate = signed(&mut params, vec![(DnType::CommonName, "ci".into())]);
        assert!(asked(&["CN=ci"], &[], &[]).asks_for(&certificate));
        assert!(!asked(&["CN=ci"], &["ci.acme.local"], &[]).asks_for(&certificate));
    }

    #[test]
    fn slips_are_none() {
        for wrong in ["", "abcd", &"g".repeat(64), &"a".repeat(66)] {
            assert_eq!(parse_fingerprint(wrong), None, "{wrong}");
        }
    }
}
