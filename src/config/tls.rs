//! `server.tls`: as whom the daemon presents itself, and whose certificates it takes.
//!
//! The files are read at load and watched like secrets. A renewed pair is in force with the reload that it causes, for the
//! connections that come then; one that does not load, or whose halves do not belong together, keeps the old one in force
//! together with the old rules, and the findings say why. Or an authority issues the certificate: `acme`.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};

use crate::acme;
use crate::clock::Clock;
use crate::diagnostic::Findings;
use crate::pem::{self, Validity};
use crate::rules::{Clients, Origin, Tls};
use crate::secret::Keyring;
use crate::yaml::Node;

/// The mapping under `server.tls`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read from the node: its place is needed")]
struct Fields {
    cert: Option<IgnoredAny>,
    key: Option<IgnoredAny>,
    client_ca: Option<IgnoredAny>,
    acme: Option<IgnoredAny>,
}

/// Reads `server.tls`.
pub fn compile(node: Node<'_>, keyring: &Keyring, findings: &mut Findings) -> Option<Tls> {
    if !node.is_mapping() {
        let finding = node.error("wrong-value", "`tls` is a mapping");
        findings.push(finding.hint("write `tls: {cert: fullchain.pem, key: privkey.pem}`"));
        return None;
    }
    let _shape: Fields = node.read(findings)?;
    // One and all, that no fault hides another.
    let certified = certified(node, keyring, findings);
    let wants_clients = node.given("client_ca");
    let clients = wants_clients.map(|node| clients(node, keyring, findings));
    let (resolver, origin) = certified?;
    let clients = match clients {
        Some(clients) => Some(clients?),
        None => None,
    };
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12]);
    let builder = match builder {
        Ok(builder) => builder,
        Err(error) => {
            findings.push(node.error("tls", error.to_string()));
            return None;
        }
    };
    let builder = match &clients {
        Some(clients) => builder.with_client_cert_verifier(Arc::clone(&clients.verifier)),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(resolver);
    if clients.is_some() {
        // With a session that is resumed its certificate is taken up unverified, however long ago it has expired.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if matches!(origin, Origin::Acme(_)) {
        // Last: who speaks anything else besides is no authority.
        config.alpn_protocols.push(acme::PROTOCOL.to_vec());
    }
    Some(Tls {
        config: Arc::new(config),
        clients,
        origin,
    })
}

/// Whose certificates are taken: `client_ca`.
fn clients(node: Node<'_>, keyring: &Keyring, findings: &mut Findings) -> Option<Clients> {
    let pem = pem::file(node, false, keyring, findings)?;
    let mut digest = Sha256::new();
    for certificate in pem::certificates(node, &pem, findings)? {
        digest.update(Sha256::digest(&certificate));
    }
    let roots = Arc::new(pem::roots(node, &pem, findings)?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::new(default_provider()))
        // Whether one must be there is for each rule to say: `verify: {client_cert: …}`.
        .allow_unauthenticated()
        .build();
    match verifier {
        Ok(verifier) => Some(Clients {
            verifier,
            digest: digest.finalize().into(),
        }),
        Err(error) => {
            findings.push(node.error("tls", format!("it cannot be used: {error}")));
            None
        }
    }
}

/// Where the certificate comes from: `cert` with its `key`, or `acme`.
fn certified(
    node: Node<'_>,
    keyring: &Keyring,
    findings: &mut Findings,
) -> Option<(Arc<dyn ResolvesServerCert>, Origin)> {
    if let Some(at_acme) = node.given("acme") {
        for key in ["cert", "key"] {
            if let Some(place) = node.get(key) {
                findings.push(place.error("tls", format!("either `acme` or `{key}`")));
            }
        }
        let acme = super::acme::compile(at_acme, keyring, findings)?;
        return Some((Arc::clone(&acme.issued) as _, Origin::Acme(acme)));
    }
    for key in ["cert", "key"] {
        findings.extend(node.missing(key));
    }
    let mut read = |key: &str| {
        let node = node.given(key)?;
        Some((node, pem::file(node, key == "key", keyring, findings)?))
    };
    let (cert, key) = (read("cert"), read("key"));
    let ((at_cert, chain), (at_key, key)) = (cert?, key?);
    let identity = pem::identity((at_cert, &chain), (at_key, &key), findings)?;
    let validity = validity(at_cert, identity.cert.first()?, findings)?;
    Some((
        Arc::new(SingleCertAndKey::from(identity)),
        Origin::Files(validity),
    ))
}

/// When the certificate is valid; a warning where it is not, or not for long any more, or not for servers at all.
fn validity(node: Node<'_>, certificate: &CertificateDer<'_>, findings: &mut Findings) -> Option<Validity> {
    let Some(validity) = Validity::of(certificate) else {
        findings.push(node.error("tls", "the certificate in it cannot be read"));
        return None;
    };
    if let Some(problem) = validity.problem(Clock::system().now()) {
        let finding = node.warning("certificate", problem);
        findings.push(finding.hint("a renewed one is taken up without a restart"));
    }
    if !pem::is_for_servers(certificate) {
        let message = "the certificate is not for servers: its extended key usage leaves out `serverAuth`";
        let finding = node.warning("certificate", message);
        findings.push(finding.hint("senders refuse it; ask the authority for one of a server"));
    }
    Some(validity)
}
