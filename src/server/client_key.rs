//! Identity of a client, as limits and evictions count it.

use std::net::IpAddr;

use crate::base::network::client_network;

/// Client that holds a connection, a request or a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientKey {
    /// A client: an IPv4 address, or the /64 network of an IPv6 address.
    Client(u8, u64),
    /// A connection, by number, that counts alone: from a unix socket, or from a proxy with many
    /// clients.
    Connection(u64),
}

impl ClientKey {
    /// Returns the client with this address.
    pub fn of(address: IpAddr) -> Self {
        let (family, network) = client_network(Some(address));
        Self::Client(family, network)
    }
}
