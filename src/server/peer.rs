//! Other end of a connection: its address, certificate and slot.

use std::net::IpAddr;
use std::sync::Arc;

use crate::base::clock::Timestamp;
use crate::rules::Tls;
use crate::server::client_cert::ClientCertificate;
use crate::server::slots::Slot;

/// Other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Address, if the peer has one.
    pub address: Option<IpAddr>,
    /// True if the address is missing because a proxy said so. The peer did not use a unix socket
    /// of ours.
    pub unaddressed: bool,
    /// Trusted client certificate, if the peer presented one.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// Slot of the connection.
    pub slot: Arc<Slot>,
}

impl Peer {
    /// Removes the certificate if it is no longer trusted. True if one was removed.
    pub fn revoke_untrusted(&mut self, tls: Option<&Tls>, now: Timestamp) -> bool {
        let is_trusted = |presented: &Arc<ClientCertificate>| presented.is_trusted(tls, now);
        self.certificate
            .take_if(|presented| !is_trusted(presented))
            .is_some()
    }
}
