//! Sockets: TCP, unix, or those that systemd hands over.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV6};

use tokio::net::{TcpListener, TcpSocket, UnixListener};

use crate::rules::Listen;
use crate::socket::OwnSocket;

/// How many peers the kernel keeps waiting for a socket of ours.
const BACKLOG: u32 = 1024;

/// A socket that is being listened on.
#[derive(Debug)]
pub enum Bound {
    /// TCP, and whether it is served with TLS.
    Tcp(TcpListener, bool),
    /// A unix socket of ours.
    Unix(OwnSocket),
    /// A unix socket that systemd has handed over.
    Inherited(UnixListener),
}

impl Bound {
    /// Where it listens, as people write it.
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(listener, tls) => {
                let scheme = if *tls { "https" } else { "http" };
                listener
                    .local_addr()
                    .map_or_else(|_| "tcp".into(), |at| format!("{scheme}://{at}"))
            }
            Self::Unix(socket) => format!("unix:{}", socket.path().display()),
            Self::Inherited(_) => "unix:(systemd)".into(),
        }
    }
}

/// Binds every address; the error says which one cannot be bound.
pub async fn bind(addresses: &[Listen]) -> Result<Vec<Bound>, String> {
    let mut bound = Vec::new();
    for address in addresses {
        match address {
            Listen::Tcp { address, tls } => {
                let bound_anew = match address.parse() {
                    Ok(SocketAddr::V6(own)) if own.ip().is_unspecified() && beside_v4(own, addresses) => {
                        v6_alone(own)
                    }
                    _ => TcpListener::bind(address).await,
                };
                let listener =
                    bound_anew.map_err(|error| format!("cannot listen on `{address}`: {error}"))?;
                bound.push(Bound::Tcp(listener, *tls));
            }
            Listen::Unix(path, access) => bound
                .push(Bound::Unix(OwnSocket::bind(path, *access).map_err(|error| {
                    format!("cannot listen on `unix:{}`: {error}", path.display())
                })?)),
            Listen::Systemd { tls } => bound.extend(inherited(*tls)?),
        }
    }
    Ok(bound)
}

/// Whether the same port is to be bound on all IPv4 addresses, too.
fn beside_v4(own: SocketAddrV6, addresses: &[Listen]) -> bool {
    let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, own.port()));
    own.port() != 0
        && addresses.iter().any(
            |listen| matches!(listen, Listen::Tcp { address, .. } if address.parse::<SocketAddr>() == Ok(v4)),
        )
}

/// Binds all IPv6 addresses and leaves those of IPv4 to another socket; `[::]` alone takes both.
fn v6_alone(address: SocketAddrV6) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v6()?;
    rustix::net::sockopt::set_ipv6_v6only(&socket, true)?;
    socket.set_reuseaddr(true)?;
    socket.bind(address.into())?;
    socket.listen(BACKLOG)
}

/// The sockets that systemd hands over (`sd_listen_fds(3)`).
fn inherited(tls: bool) -> Result<Vec<Bound>, String> {
    let mut handed = listenfd::ListenFd::from_env();
    let mut bound = Vec::new();
    for index in 0..handed.len() {
        let failed =
            |error: io::Error| format!("cannot use the socket {index} that systemd handed over: {error}");
        if let Ok(Some(listener)) = handed.take_tcp_listener(index) {
            listener.set_nonblocking(true).map_err(failed)?;
            let listener = TcpListener::from_std(listener).map_err(failed)?;
            bound.push(Bound::Tcp(listener, tls));
        } else if let Some(listener) = handed.take_unix_listener(index).map_err(failed)? {
            listener.set_nonblocking(true).map_err(failed)?;
            bound.push(Bound::Inherited(
                UnixListener::from_std(listener).map_err(failed)?,
            ));
        }
    }
    if bound.is_empty() {
        return Err("`listen: systemd`, and systemd handed over no socket: is there a socket unit?".into());
    }
    Ok(bound)
}
