//! Senders that present a certificate: `client_cert`.
//!
//! That it is genuine is TLS' business (`server.tls.client_ca`); here is asked whose it is.

use data_encoding::HEXLOWER;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Surroundings;
use super::presets::PLAIN_ID;
use super::settings;
use super::source::Place;
use super::token::proof;
use crate::diagnostic::Findings;
use crate::verify::{Certificate, Proof, Received, Refusal};
use crate::yaml::Node;

/// A compiled `client_cert`. Of each list that is given one must be right.
#[derive(Debug)]
pub struct ClientCert {
    subjects: Vec<Vec<(String, String)>>,
    names: Vec<String>,
    fingerprints: Vec<[u8; 32]>,
    id: Option<Place>,
    max_body: u64,
}

/// The fields of `client_cert`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "all are read from the node, item by item")]
struct Shape {
    /// The whole subject, `CN=ci,O=Acme`, or several of which one will do.
    subject: Option<IgnoredAny>,
    /// One of the alternative names, or several of which one will do.
    san: Option<IgnoredAny>,
    /// The SHA-256 of the certificate in hex, or several of which one will do.
    fingerprint: Option<IgnoredAny>,
    /// Where an id stands by which events are recognised.
    id: Option<IgnoredAny>,
}

impl ClientCert {
    /// Compiles the value of `client_cert:`.
    pub fn compile(node: Node<'_>, surroundings: &Surroundings<'_>, findings: &mut Findings) -> Option<Self> {
        const HINT: &str = "write `client_cert: {san: ci.example.com}`, or `subject`, or `fingerprint`";
        if !node.is_mapping() {
            let finding = node.error("wrong-value", "`client_cert` says whose certificate it is");
            findings.push(finding.hint(HINT));
            return None;
        }
        let before = findings.errors();
        node.read::<Shape>(findings)?;
        let subjects = list(
            node,
            "subject",
            "a subject is written `CN=ci,O=Acme`",
            subject,
            findings,
        );
        let names = list(node, "san", "a name is text", name, findings);
        let message = "a fingerprint is 64 hexadecimal digits, the SHA-256 of the certificate";
        let fingerprints = list(node, "fingerprint", message, fingerprint, findings);
        if findings.errors() == before && subjects.is_empty() && names.is_empty() && fingerprints.is_empty() {
            let finding = node.error(
                "missing-key",
                "any certificate that the authority has signed would do",
            );
            findings.push(finding.hint(HINT));
        }
        let id = settings::unsigned_id(node, PLAIN_ID, findings);
        (findings.errors() == before).then_some(Self {
            subjects,
            names,
            fingerprints,
            id,
            max_body: surroundings.max_body,
        })
    }

    /// Whether the sender's certificate is one of those that are asked for.
    pub fn prove(&self, received: &Received) -> Result<Proof, Refusal> {
        let certificate = received
            .certificate
            .as_deref()
            .ok_or(Refusal::MissingCertificate)?;
        if !self.asks_for(certificate) {
            return Err(Refusal::ForeignCertificate {
                certificate: certificate.to_string(),
            });
        }
        proof(self.id.as_ref(), received, self.max_body, None)
    }

    fn asks_for(&self, certificate: &Certificate) -> bool {
        let subject = self.subjects.is_empty()
            || self.subjects.iter().any(|subject| {
                // RFC 4514 writes the last part first, and most tools do not.
                subject.iter().eq(&certificate.subject) || subject.iter().rev().eq(&certificate.subject)
            });
        let name = self.names.is_empty() || self.names.iter().any(|name| certificate.names.contains(name));
        let fingerprint =
            self.fingerprints.is_empty() || self.fingerprints.contains(&certificate.fingerprint);
        subject && name && fingerprint
    }
}

/// One or many of something.
fn list<T>(
    node: Node<'_>,
    key: &str,
    message: &str,
    read: fn(&str) -> Option<T>,
    findings: &mut Findings,
) -> Vec<T> {
    let Some(node) = node.given(key) else {
        return Vec::new();
    };
    let items = node.one_or_many();
    if items.is_empty() {
        findings.push(node.error("never-holds", format!("an empty `{key}` lets nobody in")));
    }
    let mut list = Vec::new();
    for item in items {
        match item.as_str().and_then(read) {
            Some(one) => list.push(one),
            None => findings.push(item.error("wrong-value", message)),
        }
    }
    list
}

/// The parts of `CN=ci,O=Acme`; a comma within a part is written `\,`, and a backslash `\\`.
fn subject(text: &str) -> Option<Vec<(String, String)>> {
    let mut parts = vec![String::new()];
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let part = parts.last_mut()?;
        match letter {
            ',' => parts.push(String::new()),
            '\\' => part.push(letters.next()?),
            _ => part.push(letter),
        }
    }
    let parts = parts.iter().map(|part| {
        let (name, value) = part.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        (!name.is_empty() && !value.is_empty()).then(|| (name.to_owned(), value.to_owned()))
    });
    parts.collect()
}

fn name(text: &str) -> Option<String> {
    let known = text.trim();
    // Of a URI and an address of mail letters count as they are.
    let plain = !known.contains([':', '@']);
    (!known.is_empty()).then(|| {
        if plain {
            known.to_lowercase()
        } else {
            known.to_owned()
        }
    })
}

fn fingerprint(text: &str) -> Option<[u8; 32]> {
    let digits: String = text.chars().filter(|letter| *letter != ':').collect();
    HEXLOWER
        .decode(digits.to_lowercase().as_bytes())
        .ok()?
        .try_into()
        .ok()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(common_name: &str) -> (Certificate, String) {
        let mut params =
            CertificateParams::new(vec!["CI.example.com".to_owned(), "192.0.2.7".to_owned()]).unwrap();
        params
            .subject_alt_names
            .push(SanType::URI("spiffe://acme/ci".try_into().unwrap()));
        params
            .subject_alt_names
            .push(SanType::Rfc822Name("ci@acme.example".try_into().unwrap()));
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Acme");
        params.distinguished_name.push(DnType::CommonName, common_name);
        let signed = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let certificate = Certificate::of(signed.der()).unwrap();
        let hex = HEXLOWER.encode(&certificate.fingerprint);
        (certificate, hex)
    }

    fn asked(subjects: &[&str], names: &[&str], fingerprints: &[&str]) -> ClientCert {
        ClientCert {
            subjects: subjects.iter().map(|text| subject(text).unwrap()).collect(),
            names: names.iter().map(|text| name(text).unwrap()).collect(),
            fingerprints: fingerprints
                .iter()
                .map(|text| fingerprint(text).unwrap())
                .collect(),
            id: None,
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
            (&[], &["192.0.2.7"], &[], true),
            (&[], &["other", "spiffe://acme/ci"], &[], true),
            (&[], &["spiffe://acme/CI"], &[], false),
            (&[], &["ci@acme.example"], &[], true),
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
    fn slips_are_none() {
        for wrong in ["", "ci", "CN=", "=ci", "CN=ci,", "CN=ci\\"] {
            assert_eq!(subject(wrong), None, "{wrong}");
        }
        for wrong in ["", "abcd", &"g".repeat(64), &"a".repeat(66)] {
            assert_eq!(fingerprint(wrong), None, "{wrong}");
        }
    }
}
