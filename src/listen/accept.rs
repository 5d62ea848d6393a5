//! Peers, let in up to a bound for as long as the daemon serves.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bind::Bound;
use super::request::{self, Door};
use super::{connection, proxied, secure};
use crate::pulse::Pulse;

/// How long accepting rests when the machine has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often a listener that cannot accept says so.
const COMPLAINT_EVERY: Duration = Duration::from_secs(1);

/// Serves all listeners until the door is `closing`; then accepts no more and returns when what is in flight is
/// answered. `over` ends what is still under way. Each listener has a pulse, which beats while it accepts.
pub async fn serve(
    listeners: Vec<(Bound, Arc<Pulse>)>,
    door: Arc<Door>,
    max_connections: usize,
    over: CancellationToken,
) {
    let peers = Peers {
        room: Arc::new(Semaphore::new(max_connections)),
        connections: TaskTracker::new(),
        door,
        security: Mutex::default(),
        over,
    };
    // From the beginning, for the rules may be others when the first peer comes.
    peers.security();
    let peers = Arc::new(peers);
    let mut accepting = JoinSet::new();
    for (listener, pulse) in listeners {
        accepting.spawn(accept(listener, pulse, Arc::clone(&peers)));
    }
    while accepting.join_next().await.is_some() {}
    peers.connections.close();
    peers.connections.wait().await;
}

/// What all connections share.
struct Peers {
    room: Arc<Semaphore>,
    connections: TaskTracker,
    door: Arc<Door>,
    security: Mutex<Option<Arc<ServerConfig>>>,
    over: CancellationToken,
}

impl Peers {
    /// Serves one connection in a task of its own, which keeps its place until it ends.
    fn admit(&self, peer: Peer, tls: bool, place: OwnedSemaphorePermit) {
        let (door, over) = (Arc::clone(&self.door), self.over.clone());
        let secured = if tls { self.security() } else { None };
        if tls && secured.is_none() {
            // Never in the clear what is to be served with TLS; no reload brings it about.
            return;
        }
        self.connections.spawn(async move {
            let client = peer.address();
            let conversation = async {
                match peer {
                    Peer::Unix(stream) => converse(stream, None, None, door).await,
                    Peer::Tcp(stream, address) => converse(stream, Some(address), secured, door).await,
                }
            };
            tokio::select! {
                () = conversation => {}
                () = over.cancelled() => tracing::warn!(
                    client = client.map(tracing::field::display),
                    "a connection was still under way when the daemon stopped"
                ),
            }
            drop(place);
        });
    }
}

/// Serves one connection of a peer at this address: first, where it is listed for that, it says whose it is.
async fn converse<S>(
    mut stream: S,
    address: Option<IpAddr>,
    secured: Option<Arc<ServerConfig>>,
    door: Arc<Door>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut peer = request::Peer {
        address,
        certificate: None,
    };
    if door.live.current().server.proxy_protocol.holds(address) {
        let told = tokio::select! {
            told = timeout(door.request_timeout, proxied::read(&mut stream, address)) => told,
            () = connection::given_up(&door.closing) => return,
        };
        let client = address.map(tracing::field::display);
        peer.address = match told {
            Ok(Ok(told)) => told,
            Ok(Err(error)) => return tracing::info!(%error, client, "PROXY protocol"),
            Err(_) => return tracing::info!(client, "PROXY protocol: too slow"),
        };
    }
    match secured {
        None => connection::converse(stream, peer, door).await,
        Some(config) => secure::converse(stream, peer.address, config, door).await,
    }
}

impl Peers {
    /// How connections are secured now: as the rules in force say, or as those before them said if they are not to any more,
    /// which takes effect at the next start.
    fn security(&self) -> Option<Arc<ServerConfig>> {
        let mut last = self.security.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tls) = &self.door.live.current().server.tls {
            *last = Some(Arc::clone(&tls.config));
        }
        last.clone()
    }
}

/// Accepts on one listener. Where there is no room, further peers wait in the kernel's queue.
async fn accept(listener: Bound, pulse: Arc<Pulse>, peers: Arc<Peers>) {
    let closing = peers.door.closing.clone();
    let mut complaints = Complaints::default();
    loop {
        let place = tokio::select! {
            place = pulse.beating(Arc::clone(&peers.room).acquire_owned()) => place,
            () = closing.cancelled() => return,
        };
        let Ok(place) = place else { return };
        let accepted = tokio::select! {
            accepted = pulse.beating(next(&listener)) => accepted,
            () = closing.cancelled() => return,
        };
        match accepted {
            Ok(peer) => peers.admit(peer, matches!(listener, Bound::Tcp(_, true)), place),
            Err(error) => {
                complaints.hear(&listener, &error);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// An accepted peer.
enum Peer {
    Tcp(tokio::net::TcpStream, IpAddr),
    Unix(tokio::net::UnixStream),
}

impl Peer {
    /// Its address, if it has one.
    fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(_, address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

/// The next peer.
async fn next(listener: &Bound) -> io::Result<Peer> {
    match listener {
        Bound::Tcp(listener, _) => {
            let (stream, peer) = listener.accept().await?;
            // Answers are one small write: waiting to fill a packet would only delay them.
            stream.set_nodelay(true)?;
            Ok(Peer::Tcp(stream, peer.ip().to_canonical()))
        }
        Bound::Unix(listener, _) => Ok(Peer::Unix(listener.accept().await?.0)),
    }
}

/// What one listener has to complain of. A machine without file descriptors fails many times a second; its log must
/// not fill the disk on top.
#[derive(Default)]
struct Complaints {
    last: Option<Instant>,
    left_out: u32,
}

impl Complaints {
    /// Says that accepting failed, unless it was said just now.
    fn hear(&mut self, listener: &Bound, error: &io::Error) {
        if self.last.is_some_and(|last| last.elapsed() < COMPLAINT_EVERY) {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        self.last = Some(Instant::now());
        let left_out = (self.left_out > 0).then_some(self.left_out);
        tracing::warn!(%error, at = listener.address(), left_out, "a connection could not be accepted");
        self.left_out = 0;
    }
}
