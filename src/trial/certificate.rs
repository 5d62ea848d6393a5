//! Client certificates that a test pretends: TLS has verified them, and no handshake takes place.

use std::sync::Arc;

use super::read;
use crate::base::clock::Timestamp;
use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::yaml::{Node, unknown};
use crate::event::certificate::{
    AlternativeName, Certificate, Subject, SubjectError, attribute_names, parse_fingerprint,
};

/// Keys of a certificate.
const KEYS: [&str; 4] = ["subject", "san", "fingerprint", "not_after"];
/// End of a certificate that states none: 9999-12-31T23:59:59Z, which means "never" (RFC 5280
/// §4.1.2.5).
const NEVER: Timestamp = Timestamp::from_millis(253_402_300_799_000);

/// Reads `certificate`.
pub(super) fn certificate(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<Arc<Certificate>> {
    if !read::keys(node, &KEYS, diagnostics) {
        return None;
    }
    let mut certificate = Certificate {
        subject: Subject::default(),
        names: Vec::new(),
        fingerprint: [0; 32],
        until: NEVER,
    };
    if let Some(node) = node.given("subject") {
        certificate.subject = subject(node, diagnostics)?;
    }
    let names = node
        .given("san")
        .map(|node| node.one_or_many())
        .unwrap_or_default();
    for node in names {
        let text = read::text(node, diagnostics)?;
        match AlternativeName::parse(&text) {
            Some(name) => certificate.names.push(name),
            None => diagnostics.push(node.error("wrong-value", "no certificate can hold this name")),
        }
    }
    if let Some(node) = node.given("fingerprint") {
        let fingerprint = node.as_str().and_then(parse_fingerprint);
        if fingerprint.is_none() {
            let message = "a fingerprint is 64 hexadecimal digits, the SHA-256 of the certificate";
            diagnostics.push(node.error("wrong-value", message));
        }
        certificate.fingerprint = fingerprint?;
    }
    if let Some(node) = node.given("not_after") {
        certificate.until = read::instant(node, diagnostics)?;
    }
    if node.entries().is_empty() {
        let diagnostic = node.error("wrong-value", "this says nothing about the certificate");
        diagnostics.push(diagnostic.hint("write `certificate: {san: ci.example.com}`, or `subject`"));
    }
    Some(Arc::new(certificate))
}

fn subject(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<Subject> {
    let text = read::text(node, diagnostics)?;
    let diagnostic: Diagnostic = match Subject::parse(&text) {
        Ok(subject) => return Some(subject),
        Err(SubjectError::Malformed(help)) => node
            .error("wrong-value", "a subject is written `CN=ci,O=Acme`")
            .hint(help),
        Err(SubjectError::UnknownType(typed)) => unknown(
            node.origin(),
            "unknown-attribute",
            "attribute",
            &typed,
            attribute_names(),
        ),
    };
    diagnostics.push(diagnostic);
    None
}
