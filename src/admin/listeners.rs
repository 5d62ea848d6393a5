//! The admin listeners: the unix socket, the one of guests, and the TCP address.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use tokio::net::{TcpListener, TcpStream, UnixStream};

use crate::admin::door::Peer;
use crate::rules::Admin;
use crate::sys::socket::{Access, OwnSocket};

/// The admin listeners.
#[derive(Debug, Default)]
pub struct Doors {
    unix: Option<OwnSocket>,
    guests: Option<OwnSocket>,
    tcp: Option<TcpListener>,
}

/// Binds the listeners that the rules file configures. If a unix socket cannot be bound, its error
/// comes beside the listeners: the daemon works without it. If the TCP address cannot be bound, that
/// is an error, since monitoring relies on it.
pub async fn bind(admin: &Admin, socket: Option<&Path>) -> Result<(Doors, Vec<String>), String> {
    let mut doors = Doors::default();
    let mut failed = Vec::new();
    let mut bind_unix = |path: &Path, access| {
        let bound = OwnSocket::bind(path, access);
        bound
            .map_err(|error| failed.push(format!("no socket at `{}`: {error}", path.display())))
            .ok()
    };
    doors.unix = socket.and_then(|path| bind_unix(path, Access::default()));
    let guests = admin.read_only_socket.as_ref();
    doors.guests = guests.and_then(|(path, access)| bind_unix(path, *access));
    if let Some(address) = &admin.listen {
        let bound = TcpListener::bind(address).await;
        doors.tcp =
            Some(bound.map_err(|error| format!("cannot listen on `{address}` (`admin.listen`): {error}"))?);
    }
    Ok((doors, failed))
}

impl Doors {
    /// Accepts a connection to the unix socket.
    pub(super) async fn accept_unix(&self) -> io::Result<(UnixStream, Peer)> {
        match &self.unix {
            Some(own) => {
                let (stream, _) = own.listener.accept().await?;
                let peer = user(&stream);
                Ok((stream, peer))
            }
            None => std::future::pending().await,
        }
    }

    /// Accepts a connection to the socket of guests.
    pub(super) async fn accept_guest(&self) -> io::Result<UnixStream> {
        match &self.guests {
            Some(own) => Ok(own.listener.accept().await?.0),
            None => std::future::pending().await,
        }
    }

    /// Accepts a connection by TCP.
    pub(super) async fn accept_tcp(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match &self.tcp {
            Some(listener) => listener.accept().await,
            None => std::future::pending().await,
        }
    }

    /// True if only this machine reaches the TCP address.
    pub(super) fn is_loopback(&self) -> bool {
        let address = self.tcp.as_ref().and_then(|listener| listener.local_addr().ok());
        address.is_some_and(|address| address.ip().to_canonical().is_loopback())
    }
}

/// The user at the other end of a connection.
fn user(stream: &UnixStream) -> Peer {
    let own = rustix::process::geteuid().as_raw();
    match stream.peer_cred() {
        Ok(peer) => Peer::User {
            id: peer.uid(),
            owns: peer.uid() == 0 || peer.uid() == own,
        },
        // Not known, so it only reads.
        Err(_) => Peer::Guest,
    }
}
