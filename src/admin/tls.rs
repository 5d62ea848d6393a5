//! TLS of the TCP listener: always, if it is reachable from other machines and has a password.
//!
//! It presents the certificate of `server.tls`, also after a renewal, and asks for no certificate of
//! a client.

use std::sync::Arc;

use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::version::{TLS12, TLS13};

use crate::rules::Tls;

/// Configuration made of that of the other listeners.
#[derive(Default)]
pub struct AdminTls {
    /// The other configuration, and the one that was made of it.
    made: Mutex<Option<(Arc<ServerConfig>, Arc<ServerConfig>)>>,
}

impl AdminTls {
    /// Returns the configuration for the certificate of `tls`.
    pub fn config(&self, tls: &Tls) -> Option<Arc<ServerConfig>> {
        let mut made = self.made.lock();
        if let Some((of, config)) = &*made
            && Arc::ptr_eq(of, &tls.config)
        {
            return Some(Arc::clone(config));
        }
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_protocol_versions(&[&TLS13, &TLS12]).ok()?;
        let resolver = Arc::clone(&tls.config.cert_resolver);
        let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let config = Arc::new(config);
        *made = Some((Arc::clone(&tls.config), Arc::clone(&config)));
        Some(config)
    }
}
