//! Automatic certificates by ACME (RFC 8555): requested from an authority, saved, and renewed in
//! time.
//!
//! The authority checks each name with a handshake to the TLS listener on port 443 (tls-alpn-01,
//! RFC 8737). While there is no certificate, only the handshakes that need one fail. A failed
//! attempt changes nothing that is in force. `schedule` bounds the number of attempts. `way` bounds
//! the time and size of the authority's responses.

mod http;
mod issued;
mod order;
mod order_error;
mod renewer;
mod renewer_handle;
mod schedule;
mod settings;
mod storage;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use issued::{AcmeStatus, Issued};
pub use renewer::Renewer;
pub use renewer_handle::RenewerHandle;
pub use settings::{Eab, Settings};

/// ALPN protocol of the authority's handshakes (RFC 8737 §6.2).
pub const PROTOCOL: &[u8] = b"acme-tls/1";

/// Settings and state of ACME. The state outlives the rules.
#[derive(Clone, Debug)]
pub struct Acme {
    pub settings: Arc<Settings>,
    pub issued: Arc<Issued>,
}

impl Acme {
    /// True if both have equal settings and share their state.
    fn is(&self, other: &Self) -> bool {
        self.settings.digest == other.settings.digest && Arc::ptr_eq(&self.issued, &other.issued)
    }
}
