//! A certificate by itself: an authority is asked for it (ACME, RFC 8555), it is kept, and renewed in time.
//!
//! The authority comes back to the TLS listener on port 443 and asks, in a handshake of its own, for what only the
//! holder of the name could know (tls-alpn-01, RFC 8737). All else goes on meanwhile: nothing waits for a certificate but the
//! handshakes that need one, and whatever fails leaves in force what is in force. How often an authority is asked is bounded by
//! `schedule`, what it answers by `way`.

mod issued;
mod keeper;
mod order;
mod renewing;
mod schedule;
mod settings;
mod storage;
#[cfg(test)]
mod tests;
mod way;

use std::sync::Arc;

pub use issued::{AcmeStatus, Issued};
pub use keeper::Renewer;
pub use renewing::RenewerHandle;
pub use settings::{Eab, Settings};

/// The protocol of the authority's handshakes (RFC 8737 §6.2).
pub const PROTOCOL: &[u8] = b"acme-tls/1";

/// How the authority is asked, and what came of it. The latter outlives the rules.
#[derive(Clone, Debug)]
pub struct Acme {
    /// How.
    pub settings: Arc<Settings>,
    /// What came of it.
    pub issued: Arc<Issued>,
}

impl Acme {
    /// Whether it is the same authority, asked for the same, with the same thing coming of it.
    fn is(&self, other: &Self) -> bool {
        self.settings.digest == other.settings.digest && Arc::ptr_eq(&self.issued, &other.issued)
    }
}
