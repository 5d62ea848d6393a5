//! Listening sockets: TCP, unix, or inherited from systemd.
//!
//! An inherited socket of the same address is preferred to binding a new one. `accept.rs` serves
//! the sockets, `socket_activation.rs` receives those of systemd.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, SocketAddrV6};

use tokio::net::{TcpListener, TcpSocket, UnixListener};

use crate::rules::Listen;
use crate::server::socket_activation::{InheritedSocket, InheritedSockets, unix_address};
use crate::sys::socket::{Access, OwnSocket};

/// Maximum connections that wait in the kernel's queue of one socket.
const BACKLOG: u32 = 1024;

/// First port that any user may bind, unless `net.ipv4.ip_unprivileged_port_start` says otherwise.
const UNPRIVILEGED: u16 = 1024;

/// A listening socket.
#[derive(Debug)]
pub enum Bound {
    /// TCP. True if it serves TLS.
    Tcp(TcpListener, bool),
    /// A unix socket that this daemon has made.
    Unix(OwnSocket),
    /// A unix socket inherited from systemd.
    Inherited(UnixListener),
}

impl Bound {
    /// Returns the address as the user writes it.
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(listener, tls) => {
                let scheme = if *tls { "https" } else { "http" };
                listener
                    .local_addr()
                    .map_or_else(|_| "tcp".into(), |at| format!("{scheme}://{at}"))
            }
            Self::Unix(socket) => format!("unix:{}", socket.path().display()),
            Self::Inherited(listener) => {
                let own = listener
                    .local_addr()
                    .ok()
                    .map(std::os::unix::net::SocketAddr::from);
                unix_address(own.as_ref())
            }
        }
    }
}

/// Binds every address, or takes the inherited socket of that address. The error names the address
/// that cannot be bound.
pub async fn bind(addresses: &[Listen], mut inherited: InheritedSockets) -> Result<Vec<Bound>, String> {
    // Before `systemd` gets the rest, wherever it appears in the list.
    let mut named = Vec::with_capacity(addresses.len());
    for address in addresses {
        named.push(inherited.named(address).await);
    }
    let mut bound = Vec::with_capacity(addresses.len());
    for (address, named) in addresses.iter().zip(named) {
        match (address, named) {
            (_, Some(socket)) => bound.push(adopt(socket, address)?),
            (Listen::Systemd { .. }, None) => {
                if inherited.addresses.is_empty() {
                    return Err(
                        "`listen: systemd`, and systemd handed over no socket: `systemctl status hookyard.socket` says why, \
                         or that there is no socket unit"
                            .to_owned(),
                    );
                }
                for socket in inherited.remaining() {
                    bound.push(adopt(socket, address)?);
                }
            }
            (Listen::Tcp { address, tls }, None) => {
                let listener = bind_tcp(address, addresses).await;
                let failed = |error| not_bound(address, &error, &inherited);
                bound.push(Bound::Tcp(listener.map_err(failed)?, *tls));
            }
            (Listen::Unix(path, access), None) => {
                let failed = |error| format!("cannot listen on `unix:{}`: {error}", path.display());
                bound.push(Bound::Unix(OwnSocket::bind(path, *access).map_err(failed)?));
            }
        }
    }
    for socket in inherited.remaining() {
        tracing::warn!(
            "systemd holds {}, on which the rules do not listen; connections to it will hang: run `systemctl mask --now \
             hookyard.socket`, or write `listen: systemd`",
            socket.address()
        );
    }
    Ok(bound)
}

/// Serves an inherited socket as `listen` says.
fn adopt(socket: InheritedSocket, listen: &Listen) -> Result<Bound, String> {
    let at = socket.address();
    let failed = |error: io::Error| format!("cannot use {at}, which systemd handed over: {error}");
    match socket {
        InheritedSocket::Tcp(listener) => {
            listener.set_nonblocking(true).map_err(failed)?;
            let listener = TcpListener::from_std(listener).map_err(failed)?;
            Ok(Bound::Tcp(listener, listen.has_tls()))
        }
        InheritedSocket::Unix(listener) => {
            if let Listen::Unix(_, access) = listen
                && *access != Access::default()
            {
                tracing::warn!(
                    at,
                    "systemd holds this socket: who may connect is for the socket unit to say (`SocketMode=`, `SocketUser=`, `SocketGroup=`)"
                );
            }
            listener.set_nonblocking(true).map_err(failed)?;
            Ok(Bound::Inherited(
                UnixListener::from_std(listener).map_err(failed)?,
            ))
        }
    }
}

/// Binds one TCP address. All IPv6 addresses include those of IPv4, whatever `net.ipv6.bindv6only`
/// says, unless another of our listeners has those.
async fn bind_tcp(address: &str, addresses: &[Listen]) -> io::Result<TcpListener> {
    match address.parse() {
        Ok(SocketAddr::V6(own)) if own.ip().is_unspecified() => {
            let others = |listen: &Listen| listen.is_all_v4(own.port());
            bind_all(own, own.port() != 0 && addresses.iter().any(others))
        }
        _ => TcpListener::bind(address).await,
    }
}

/// Explains why an address cannot be bound, with a hint.
fn not_bound(address: &str, error: &io::Error, inherited: &InheritedSockets) -> String {
    let port = address
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse::<u16>().ok());
    let hint = match (error.kind(), port) {
        (ErrorKind::AddrInUse, _) if !inherited.addresses.is_empty() => format!(
            "; systemd has handed over {}: write exactly that, or `listen: systemd`",
            inherited.addresses.join(", ")
        ),
        (ErrorKind::AddrInUse, _) => {
            "; `ss -tlnp` shows who has it: where that is systemd, `systemctl mask --now hookyard.socket`"
                .to_owned()
        }
        (ErrorKind::PermissionDenied, Some(port)) if port < UNPRIVILEGED => format!(
            "; a port below {UNPRIVILEGED} takes CAP_NET_BIND_SERVICE (`AmbientCapabilities=`), or hookyard.socket and `listen: systemd`"
        ),
        _ => String::new(),
    };
    format!("cannot listen on `{address}`: {error}{hint}")
}

/// Binds all IPv6 addresses. `v6_only` leaves those of IPv4 to another socket.
fn bind_all(address: SocketAddrV6, v6_only: bool) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v6()?;
    rustix::net::sockopt::set_ipv6_v6only(&socket, v6_only)?;
    socket.set_reuseaddr(true)?;
    socket.bind(address.into())?;
    socket.listen(BACKLOG)
}
