//! TLS settings of a forward: trusted roots and client certificate.
//!
//! `tls: {ca: …, cert: …, key: …}` is read at load. A missing file, a file without a certificate
//! and a key that does not match are therefore diagnostics, not failed attempts. The files are
//! watched like secrets: a renewed certificate is in force after the reload that it causes. With
//! `ca`, only certificates signed by it are trusted.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::sign::SingleCertAndKey;
use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};

use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::secret::{Keyring, Secret};
use crate::base::yaml::Node;
use crate::template;
use crate::tls::pem;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsFields {
    ca: Option<IgnoredAny>,
    cert: Option<IgnoredAny>,
    key: Option<IgnoredAny>,
}

/// TLS settings for connections to a target.
#[derive(Default)]
pub struct TlsSettings {
    /// Trusted roots. If absent, those of the system.
    pub roots: Option<Arc<RootCertStore>>,
    /// Client certificate, presented if the target asks for one.
    pub identity: Option<Arc<SingleCertAndKey>>,
    /// Hash of all files read, which identifies this setting.
    digest: Sha256,
}

impl TlsSettings {
    /// Reads `tls`.
    pub fn compile(node: Node<'_>, keyring: &Keyring, diagnostics: &mut Diagnostics) -> Option<Self> {
        if !node.is_mapping() {
            let diagnostic = node.error("wrong-value", "`tls` is a mapping");
            diagnostics.push(
                diagnostic.hint("write `tls: {ca: ca.pem}` or `tls: {cert: client.pem, key: client.key}`"),
            );
            return None;
        }
        let before = diagnostics.errors();
        let fields: TlsFields = node.read(diagnostics)?;
        let field_node = |field: &Option<IgnoredAny>, key| field.as_ref().and_then(|_| node.get(key));
        let (ca, cert, key) = (
            field_node(&fields.ca, "ca"),
            field_node(&fields.cert, "cert"),
            field_node(&fields.key, "key"),
        );
        let unpaired = match (cert, key) {
            (Some(cert), None) => Some((cert, "key")),
            (None, Some(key)) => Some((key, "cert")),
            _ => None,
        };
        if let Some((node, missing)) = unpaired {
            let message = format!("`{missing}` is missing: a client certificate is `cert` with its `key`");
            diagnostics.push(Diagnostic::error(node.key_origin(), "tls", message));
        }
        if ca.is_none() && cert.is_none() && key.is_none() && diagnostics.errors() == before {
            diagnostics.push(node.error("tls", "`tls` holds neither `ca` nor `cert` and `key`"));
        }
        let mut tls = Self::default();
        // Read all files before any early return, so that no diagnostic hides another.
        let ca = ca.map(|node| (node, tls.read(node, b"ca", keyring, diagnostics)));
        let cert = cert.map(|node| (node, tls.read(node, b"cert", keyring, diagnostics)));
        let key = key.map(|node| (node, tls.read(node, b"key", keyring, diagnostics)));
        if let Some((node, Some(pem))) = ca {
            tls.roots = pem::roots(node, &pem, diagnostics).map(Arc::new);
        }
        if let (Some((node, Some(chain))), Some((at_key, Some(key)))) = (cert, key) {
            let identity = pem::identity((node, &chain), (at_key, &key), diagnostics);
            tls.identity = identity.map(|identity| Arc::new(identity.into()));
        }
        (diagnostics.errors() == before).then_some(tls)
    }

    /// Creates settings that trust only these roots.
    pub fn trusting(roots: Arc<RootCertStore>) -> Self {
        Self {
            roots: Some(roots),
            ..Self::default()
        }
    }

    /// Digest that identifies this setting.
    pub fn digest(&self) -> [u8; 32] {
        self.digest.clone().finalize().into()
    }

    /// Reads a PEM file. Only the key must be private.
    fn read(
        &mut self,
        node: Node<'_>,
        label: &[u8],
        keyring: &Keyring,
        diagnostics: &mut Diagnostics,
    ) -> Option<Secret> {
        template::fixed(node, "the name of a PEM file", diagnostics)?;
        let pem = pem::file(node, label == b"key", keyring, diagnostics)?;
        self.digest.update(label);
        self.digest.update(Sha256::digest(pem.expose()));
        Some(pem)
    }
}

impl fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("roots", &self.roots.is_some())
            .field("identity", &self.identity.is_some())
            .finish_non_exhaustive()
    }
}
