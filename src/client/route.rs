//! By which way a target is reached. Two forwards of one route share their connections.

use sha2::{Digest, Sha256};

use crate::client::proxy::Proxy;
use crate::client::tls::TlsSettings;

/// The way to a target.
#[derive(Debug, Default)]
pub struct Route {
    /// Whom it trusts and as whom it presents itself; absent: as the system has it.
    pub tls: Option<TlsSettings>,
    /// What stands between.
    pub proxy: Proxy,
    /// Whether it leads to public addresses only.
    pub guarded: bool,
}

impl Route {
    /// What tells this route from another.
    pub fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(self.tls.as_ref().map(TlsSettings::digest).unwrap_or_default());
        digest.update(self.proxy.digest());
        digest.update([u8::from(self.guarded)]);
        digest.finalize().into()
    }
}
