//! Sockets inherited from systemd (`sd_listen_fds(3)`).
//!
//! All of them are taken first, whatever the rules say, since every command would inherit the rest.
//! An inherited socket whose address is listed serves that listener. `listen: systemd` gets all
//! others. Remaining sockets are closed and reported: systemd keeps the address, so connections to
//! it would hang.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;

use rustix::net::sockopt::socket_acceptconn;

use crate::rules::Listen;

/// Maximum inherited sockets. A larger number is a mistake in the environment and must not allocate
/// a list of that length.
const MAX_INHERITED: u64 = 256;

/// An inherited listening socket.
#[derive(Debug)]
pub enum InheritedSocket {
    Tcp(std::net::TcpListener),
    Unix(UnixListener),
}

impl InheritedSocket {
    /// Returns the address as the rules write it.
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => listener
                .local_addr()
                .map_or_else(|_| "tcp".to_owned(), |at| at.to_string()),
            Self::Unix(listener) => unix_address(listener.local_addr().ok().as_ref()),
        }
    }

    /// True if `listen` names this socket. `resolved` are the TCP addresses of `listen`.
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

/// Returns a unix socket's address as the rules write it.
pub fn unix_address(address: Option<&std::os::unix::net::SocketAddr>) -> String {
    let path = address.and_then(std::os::unix::net::SocketAddr::as_pathname);
    path.map_or_else(
        || "unix:(systemd)".to_owned(),
        |path| format!("unix:{}", path.display()),
    )
}

/// Inherited sockets that are not in use yet.
#[derive(Debug)]
pub struct InheritedSockets {
    sockets: Vec<InheritedSocket>,
    /// Addresses of all inherited sockets, those in use included.
    pub addresses: Vec<String>,
}

impl InheritedSockets {
    /// Takes the sockets announced by the environment's `variable`s. Works only once, so that no
    /// command inherits them.
    pub fn take(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let count = variable("LISTEN_FDS").and_then(|count| count.parse::<u64>().ok());
        let is_for_us = variable("LISTEN_PID").is_none_or(|pid| pid == std::process::id().to_string());
        if let Some(count) = count.filter(|count| is_for_us && *count > MAX_INHERITED) {
            return Err(format!(
                "LISTEN_FDS={count}: at most {MAX_INHERITED} sockets are taken from systemd"
            ));
        }
        let mut inherited = listenfd::ListenFd::from_env();
        let mut sockets = Vec::with_capacity(inherited.len());
        for index in 0..inherited.len() {
            let socket = match inherited.take_tcp_listener(index) {
                Ok(tcp) => tcp.map(InheritedSocket::Tcp),
                Err(_) => inherited
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

    /// Takes the socket that `listen` names, if there is one.
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

    /// Takes the sockets that no address has named.
    pub fn remaining(&mut self) -> Vec<InheritedSocket> {
        std::mem::take(&mut self.sockets)
    }
}

fn unusable(index: usize, why: &str) -> String {
    format!("cannot use the socket {index} that systemd handed over: {why}")
}
