//! Settings of the listeners: `server:`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::tls::Tls;
use crate::base::network::TrustedPeers;
use crate::sys::socket::Access;

/// Settings of the listeners.
#[derive(Clone, Debug)]
pub struct Server {
    /// Addresses to listen on. At least one.
    pub listen: Vec<Listen>,
    /// URL under which senders know this server, without a trailing slash.
    pub public_url: Option<String>,
    /// Proxies whose `Forwarded` and `X-Forwarded-For` headers name the client.
    pub trusted_proxies: TrustedPeers,
    /// Peers that must begin each connection with a PROXY protocol header.
    pub proxy_protocol: TrustedPeers,
    /// Maximum time for a request's head, and again for its body.
    pub request_timeout: Duration,
    /// Memory for the bodies of all requests together, in bytes.
    pub max_inflight: u64,
    /// Largest `max_body` of an endpoint, in bytes.
    pub largest_body: u64,
    /// Maximum open connections. Further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// Maximum time for which a stopping daemon waits for running work.
    pub stop_grace: Duration,
    /// TLS settings. `None`: no listener serves TLS.
    pub tls: Option<Tls>,
}

/// Address of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A TCP address.
    Tcp {
        /// `host:port`.
        address: String,
        /// True if the listener serves TLS.
        tls: bool,
    },
    /// A unix socket and its access permissions.
    Unix(PathBuf, Access),
    /// Sockets inherited from systemd.
    Systemd {
        /// True if the TCP sockets among them serve TLS.
        tls: bool,
    },
}

impl Listen {
    /// Returns the TCP address, unless its host is a name.
    pub fn tcp(&self) -> Option<SocketAddr> {
        let Self::Tcp { address, .. } = self else {
            return None;
        };
        let address: SocketAddr = address.parse().ok()?;
        Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }

    /// True if the listener binds all IPv4 addresses of a port. A listener on `[::]` of the same
    /// port then serves IPv6 only.
    pub fn is_all_v4(&self, port: u16) -> bool {
        self.tcp() == Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
    }

    /// True if the listener serves TLS.
    pub fn has_tls(&self) -> bool {
        match self {
            Self::Tcp { tls, .. } | Self::Systemd { tls } => *tls,
            Self::Unix(..) => false,
        }
    }
}
