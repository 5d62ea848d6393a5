//! The sockets that systemd hands over (`sd_listen_fds(3)`).
//!
//! They are taken before anything else, and whatever the rules say: what is not taken would be inherited by every command.
//! One that the rules name by its address is that listener; `listen: systemd` gets all others. What then is left is closed,
//! and told, for whoever comes there waits in vain: systemd goes on holding the address.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;

use rustix::net::sockopt::socket_acceptconn;

use crate::rules::Listen;

/// How many sockets may be handed over. A socket unit lists a handful; a number beyond all sense is a mistake in the
/// environment, and must not cost the memory of a list so long.
const MAX_HANDED: u64 = 256;

/// A listening socket that was handed over.
#[derive(Debug)]
pub enum InheritedSocket {
    /// One of TCP.
    Tcp(std::net::TcpListener),
    /// A unix socket.
    Unix(UnixListener),
}

impl InheritedSocket {
    /// Where it listens, as rules say it.
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => listener
                .local_addr()
                .map_or_else(|_| "tcp".to_owned(), |at| at.to_string()),
            Self::Unix(listener) => unix_address(listener.local_addr().ok().as_ref()),
        }
    }

    /// Whether it is the one that `listen` names, `resolved` being the addresses of that if it is one of TCP.
    fn is_named_by(&self, listen: &Listen, resolved: &[SocketAddr]) -> bool {
        match (self, listen) {
            (Self::Tcp(listener), Listen::Tcp { .. }) => {
                listener.local_addr().is_ok_and(|own| resolved.contains(&own))
            }
            (Self::Unix(listener), Listen::Unix(path, _)) => listener
                .local_addr()
                .is_ok_and(|own| own.as_pathname() == Some(path)),
            _ => false,
        }
    }
}

impl AsFd for InheritedSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

/// A unix socket's address, as rules say it.
pub fn unix_address(address: Option<&std::os::unix::net::SocketAddr>) -> String {
    let path = address.and_then(std::os::unix::net::SocketAddr::as_pathname);
    path.map_or_else(
        || "unix:(systemd)".to_owned(),
        |path| format!("unix:{}", path.display()),
    )
}

/// All that were handed over, and are not in use yet.
#[derive(Debug)]
pub struct InheritedSockets {
    sockets: Vec<InheritedSocket>,
    /// Where all of them listen, those that are in use included.
    pub addresses: Vec<String>,
}

impl InheritedSockets {
    /// Takes those that the environment's `variable`s tell of, which only works once: no command will have them.
    pub fn take(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let count = variable("LISTEN_FDS").and_then(|count| count.parse::<u64>().ok());
        let ours = variable("LISTEN_PID").is_none_or(|pid| pid == std::process::id().to_string());
        if let Some(count) = count.filter(|count| ours && *count > MAX_HANDED) {
            return Err(format!(
                "LISTEN_FDS={count}: at most {MAX_HANDED} sockets are taken from systemd"
            ));
        }
        let mut handed = listenfd::ListenFd::from_env();
        let mut sockets = Vec::with_capacity(handed.len());
        for index in 0..handed.len() {
            let socket = match handed.take_tcp_listener(index) {
                Ok(tcp) => tcp.map(InheritedSocket::Tcp),
                Err(_) => handed
                    .take_unix_listener(index)
                    .map_err(|error| unusable(index, &format!("it is no stream socket ({error})")))?
                    .map(InheritedSocket::Unix),
            };
            let Some(socket) = socket else { continue };
            if !socket_acceptconn(&socket).unwrap_or(false) {
                let at = socket.address();
                return Err(unusable(
                    index,
                    &format!("it is bound to {at} and does not listen (a socket unit with `Accept=yes`?)"),
                ));
            }
            sockets.push(socket);
        }
        Ok(Self {
            addresses: sockets.iter().map(InheritedSocket::address).collect(),
            sockets,
        })
    }

    /// The socket that `listen` names, if it is among them.
    pub async fn named(&mut self, listen: &Listen) -> Option<InheritedSocket> {
        if self.sockets.is_empty() {
            return None;
        }
        let resolved: Vec<SocketAddr> = match listen {
            Listen::Tcp { address, .. } => tokio::net::lookup_host(address).await.ok()?.collect(),
            _ => Vec::new(),
        };
        let found = self
            .sockets
            .iter()
            .position(|socket| socket.is_named_by(listen, &resolved))?;
        Some(self.sockets.swap_remove(found))
    }

    /// Those that no address has named.
    pub fn rest(&mut self) -> Vec<InheritedSocket> {
        std::mem::take(&mut self.sockets)
    }
}

fn unusable(index: usize, why: &str) -> String {
    format!("cannot use the socket {index} that systemd handed over: {why}")
}
