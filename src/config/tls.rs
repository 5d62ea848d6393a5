//! `server.tls`: the daemon's certificate, from files or from `acme`, and the authorities of client
//! certificates.
//!
//! The files are read at load and watched like secrets. A renewed pair takes effect with the reload
//! that it causes, for new connections. A pair that does not load, or whose halves do not match,
//! keeps the old pair and the old rules in force. The diagnostics give the reason.

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
use crate::base::clock::Clock;
use crate::base::diagnostic::Diagnostics;
use crate::base::secret::Keyring;
use crate::base::yaml::Node;
use crate::rules::{CertificateSource, ClientAuth, Tls};
use crate::tls::pem;
use crate::tls::pem::Validity;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read from the node: its place is needed")]
struct ServerTlsFields {
    cert: Option<IgnoredAny>,
    key: Option<IgnoredAny>,
    client_ca: Option<IgnoredAny>,
    acme: Option<IgnoredAny>,
}

/// Compiles `server.tls`.
pub fn compile(node: Node<'_>, keyring: &Keyring, diagnostics: &mut Diagnostics) -> Option<Tls> {
    if !node.is_mapping() {
        let diagnostic = node.error("wrong-value", "`tls` is a mapping");
        diagnostics.push(diagnostic.hint("write `tls: {cert: fullchain.pem, key: privkey.pem}`"));
        return None;
    }
    let _shape: ServerTlsFields = node.read(diagnostics)?;
    // Both parts are compiled before any error returns, so that one does not hide the other.
    let source = source(node, keyring, diagnostics);
    let client_ca = node.given("client_ca");
    let client_auth = client_ca.map(|node| client_auth(node, keyring, diagnostics));
    let (resolver, origin) = source?;
    let client_auth = match client_auth {
        Some(client_auth) => Some(client_auth?),
        None => None,
    };
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12]);
    let builder = match builder {
        Ok(builder) => builder,
        Err(error) => {
            diagnostics.push(node.error("tls", error.to_string()));
            return None;
        }
    };
    let builder = match &client_auth {
        Some(client_auth) => builder.with_client_cert_verifier(Arc::clone(&client_auth.verifier)),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(resolver);
    if client_auth.is_some() {
        // A resumed session would bring its client certificate unverified, even after the
        // certificate expired.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if matches!(origin, CertificateSource::Acme(_)) {
        // Last: an authority offers only this protocol, so every other client picks one of those
        // before.
        config.alpn_protocols.push(acme::PROTOCOL.to_vec());
    }
    Some(Tls {
        config: Arc::new(config),
        clients: client_auth,
        origin,
    })
}

/// Compiles `client_ca`: the authorities that sign client certificates.
fn client_auth(node: Node<'_>, keyring: &Keyring, diagnostics: &mut Diagnostics) -> Option<ClientAuth> {
    let pem = pem::file(node, false, keyring, diagnostics)?;
    let mut digest = Sha256::new();
    for certificate in pem::certificates(node, &pem, diagnostics)? {
        digest.update(Sha256::digest(&certificate));
    }
    let roots = Arc::new(pem::roots(node, &pem, diagnostics)?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::new(default_provider()))
        // Each rule decides if a certificate is required: `verify: {client_cert: …}`.
        .allow_unauthenticated()
        .build();
    match verifier {
        Ok(verifier) => Some(ClientAuth {
            verifier,
            digest: digest.finalize().into(),
        }),
        Err(error) => {
            diagnostics.push(node.error("tls", format!("it cannot be used: {error}")));
            None
        }
    }
}

/// Compiles the source of the certificate: `cert` with `key`, or `acme`.
fn source(
    node: Node<'_>,
    keyring: &Keyring,
    diagnostics: &mut Diagnostics,
) -> Option<(Arc<dyn ResolvesServerCert>, CertificateSource)> {
    if let Some(at_acme) = node.given("acme") {
        for key in ["cert", "key"] {
            if let Some(location) = node.get(key) {
                diagnostics.push(location.error("tls", format!("either `acme` or `{key}`")));
            }
        }
        let acme = super::acme::compile(at_acme, keyring, diagnostics)?;
        return Some((Arc::clone(&acme.issued) as _, CertificateSource::Acme(acme)));
    }
    for key in ["cert", "key"] {
        diagnostics.extend(node.missing(key));
    }
    let mut read = |key: &str| {
        let node = node.given(key)?;
        Some((node, pem::file(node, key == "key", keyring, diagnostics)?))
    };
    let (cert, key) = (read("cert"), read("key"));
    let ((at_cert, chain), (at_key, key)) = (cert?, key?);
    let identity = pem::identity((at_cert, &chain), (at_key, &key), diagnostics)?;
    let validity = validity(at_cert, identity.cert.first()?, diagnostics)?;
    Some((
        Arc::new(SingleCertAndKey::from(identity)),
        CertificateSource::Files(validity),
    ))
}

/// Returns the validity of a certificate. Warns if it is not valid, expires soon, or is not for
/// servers.
fn validity(
    node: Node<'_>,
    certificate: &CertificateDer<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Validity> {
    let Some(validity) = Validity::of(certificate) else {
        diagnostics.push(node.error("tls", "the certificate in it cannot be read"));
        return None;
    };
    if let Some(problem) = validity.problem(Clock::system().now()) {
        let diagnostic = node.warning("certificate", problem);
        diagnostics.push(diagnostic.hint("a renewed one is taken up without a restart"));
    }
    if !pem::is_for_servers(certificate) {
        let message = "the certificate is not for servers: its extended key usage leaves out `serverAuth`";
        let diagnostic = node.warning("certificate", message);
        diagnostics.push(diagnostic.hint("senders refuse it; ask the authority for one of a server"));
    }
    Some(validity)
}
