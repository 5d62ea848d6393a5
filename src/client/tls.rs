//! Whom a forward trusts, and as whom it presents itself.
//!
//! `tls: {ca: …, cert: …, key: …}` is read at load, so that a file that is not there, one without a certificate in it
//! and a key that does not fit are findings and no failed attempts. The files are watched like secrets: a renewed
//! certificate is in force with the reload that it causes. With `ca` nothing is trusted but what it has signed.

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

/// The keys of `tls`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsFields {
    ca: Option<IgnoredAny>,
    cert: Option<IgnoredAny>,
    key: Option<IgnoredAny>,
}

/// How connections to a target are secured, beside what is so for all.
#[derive(Default)]
pub struct TlsSettings {
    /// The only ones that are trusted; absent: those of the system.
    pub roots: Option<Arc<RootCertStore>>,
    /// What is presented to a target that asks for it.
    pub identity: Option<Arc<SingleCertAndKey>>,
    /// Tells one setting from another.
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
        let given = |field: &Option<IgnoredAny>, key| field.as_ref().and_then(|_| node.get(key));
        let (ca, cert, key) = (
            given(&fields.ca, "ca"),
            given(&fields.cert, "cert"),
            given(&fields.key, "key"),
        );
        let alone = match (cert, key) {
            (Some(cert), None) => Some((cert, "key")),
            (None, Some(key)) => Some((key, "cert")),
            _ => None,
        };
        if let Some((node, missing)) = alone {
            let message = format!("`{missing}` is missing: a client certificate is `cert` with its `key`");
            diagnostics.push(Diagnostic::error(node.key_origin(), "tls", message));
        }
        if ca.is_none() && cert.is_none() && key.is_none() && diagnostics.errors() == before {
            diagnostics.push(node.error("tls", "`tls` holds neither `ca` nor `cert` and `key`"));
        }
        let mut tls = Self::default();
        // Read one and all, that no fault hides another.
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

    /// Trusts these roots and nothing else.
    pub fn trusting(roots: Arc<RootCertStore>) -> Self {
        Self {
            roots: Some(roots),
            ..Self::default()
        }
    }

    /// What tells this setting from another.
    pub fn digest(&self) -> [u8; 32] {
        self.digest.clone().finalize().into()
    }

    /// The bytes of a file, of which the key's alone are nobody's business.
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
