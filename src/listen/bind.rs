//! Sockets: TCP, unix, or those that systemd hands over.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener, UnixStream};

use crate::rules::Listen;

/// Who may connect to a unix socket: the daemon's user and group.
const SOCKET_MODE: u32 = 0o660;

/// A socket that is being listened on.
#[derive(Debug)]
pub enum Bound {
    /// TCP, and whether it is served with TLS.
    Tcp(TcpListener, bool),
    /// A unix socket, with its path if it is ours to remove.
    Unix(UnixListener, Option<PathBuf>),
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
            Self::Unix(_, Some(path)) => format!("unix:{}", path.display()),
            Self::Unix(_, None) => "unix:(systemd)".into(),
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Self::Unix(_, Some(path)) = self {
            // The daemon is going: a socket file that nobody answers would only puzzle.
            drop(std::fs::remove_file(path));
        }
    }
}

/// Binds every address; the error says which one cannot be bound.
pub async fn bind(addresses: &[Listen]) -> Result<Vec<Bound>, String> {
    let mut bound = Vec::new();
    for address in addresses {
        match address {
            Listen::Tcp { address, tls } => {
                let listener = TcpListener::bind(address)
                    .await
                    .map_err(|error| format!("cannot listen on `{address}`: {error}"))?;
                bound.push(Bound::Tcp(listener, *tls));
            }
            Listen::Unix(path) => bound.push(
                unix(path)
                    .await
                    .map_err(|error| format!("cannot listen on `unix:{}`: {error}", path.display()))?,
            ),
            Listen::Systemd { tls } => bound.extend(inherited(*tls)?),
        }
    }
    Ok(bound)
}

/// Binds a unix socket. A file that a daemon left behind is replaced; one that somebody listens on is not.
async fn unix(path: &Path) -> io::Result<Bound> {
    if std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket()) {
        if UnixStream::connect(path).await.is_ok() {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "somebody listens there already",
            ));
        }
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE))?;
    Ok(Bound::Unix(listener, Some(path.to_owned())))
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
            bound.push(Bound::Unix(
                UnixListener::from_std(listener).map_err(failed)?,
                None,
            ));
        }
    }
    if bound.is_empty() {
        return Err("`listen: systemd`, and systemd handed over no socket: is there a socket unit?".into());
    }
    Ok(bound)
}
