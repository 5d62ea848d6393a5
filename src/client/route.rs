//! Route to a target: TLS settings, proxy, and the restriction to public addresses.
//!
//! Forwards with the same route share their connections.

use sha2::{Digest, Sha256};

use crate::client::proxy::Proxy;
use crate::client::tls::TlsSettings;

#[derive(Debug, Default)]
pub struct Route {
    /// Trusted roots and client certificate. If absent, the system's defaults.
    pub tls: Option<TlsSettings>,
    pub proxy: Proxy,
    /// True if only public addresses may be connected to.
    pub public_only: bool,
}

impl Route {
    /// Digest that identifies the route.
    pub fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(self.tls.as_ref().map(TlsSettings::digest).unwrap_or_default());
        digest.update(self.proxy.digest());
        digest.update([u8::from(self.public_only)]);
        digest.finalize().into()
    }
}
