//! Relay from a port of this machine to the daemon's socket, for one user.
//!
//! Every user of this machine can connect to the port, while the socket has permissions. The relay
//! therefore asks the kernel whose connection it is, and serves only those of its own user. A secret
//! in the address would be weaker: other users see command lines, and a browser sends the cookies of
//! one port to all others. If the kernel does not say who connects, the connection is closed.
//!
//! Requests pass unchanged, so the daemon checks `Host` and `Origin` as on the socket itself.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::owner::owner;
use crate::cli::complain;

/// Maximum connections at once. Further ones wait.
const MAX_RELAYED: usize = 32;
/// Maximum time of one connection. The page opens its streams again.
const RELAY_LIMIT: Duration = Duration::from_hours(1);
/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Relays until the process ends. `announce` gets the URL.
pub fn run(socket: &Path, port: u16, announce: impl FnOnce(&str)) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    let failed = |error: io::Error| format!("cannot listen on `127.0.0.1:{port}`: {error}");
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .map_err(failed)?;
        let SocketAddr::V4(address) = listener.local_addr().map_err(failed)? else {
            return Err("no IPv4 address".to_owned());
        };
        // Not `localhost`: another user could listen on that port of `::1`.
        announce(&format!("http://{address}/"));
        relay(&listener, address, socket).await
    })
}

async fn relay(listener: &TcpListener, address: SocketAddrV4, socket: &Path) -> Result<(), String> {
    let mut open = JoinSet::new();
    let own = rustix::process::geteuid().as_raw();
    loop {
        tokio::select! {
            Some(_) = open.join_next() => {}
            accepted = listener.accept(), if open.len() < MAX_RELAYED => match accepted {
                Ok((stream, SocketAddr::V4(client))) => match whose(client, address) {
                    Some(user) if user == own => drop(open.spawn(pass_on(stream, socket.to_owned()))),
                    Some(user) => complain(&format!("a connection of the user {user} was refused")),
                    None => complain("a connection was refused: the kernel does not say whose it is"),
                },
                Ok(_) => {}
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
        }
    }
}

/// The user at the other end of a connection.
fn whose(client: SocketAddrV4, server: SocketAddrV4) -> Option<u32> {
    owner(&std::fs::read_to_string("/proc/net/tcp").ok()?, client, server)
}

/// Connects a stream with the daemon until one side ends.
async fn pass_on(mut stream: TcpStream, socket: PathBuf) {
    match UnixStream::connect(&socket).await {
        Ok(mut daemon) => {
            drop(timeout(RELAY_LIMIT, copy_bidirectional(&mut stream, &mut daemon)).await);
        }
        Err(error) => {
            complain(&format!("no daemon answers at `{}`: {error}", socket.display()));
            let answer = "HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\n\
                          no daemon answers\n";
            stream.write_all(answer.as_bytes()).await.ok();
        }
    }
}
