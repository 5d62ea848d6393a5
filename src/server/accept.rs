//! Accept loops: connections up to a limit until the daemon stops.
//!
//! Each accepted connection runs as its own task and holds a slot until it ends. `slots.rs` decides
//! which connection is evicted, `http1.rs`, `http2.rs` and `tls.rs` serve it.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::base::heartbeat::Heartbeat;
use crate::base::throttle::Throttle;
use crate::report;
use crate::server::bind::Bound;
use crate::server::client_key::ClientKey;
use crate::server::peer::Peer;
use crate::server::proxy_protocol::ProxiedPeer;
use crate::server::request::RequestHandler;
use crate::server::slots::{ConnectionLimiter, SlotGuard};
use crate::server::{http1, proxy_protocol, tls};
use crate::sys::socket::OwnSocket;

/// Pause of the accept loop after an error, such as when the machine has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Shorter pause if an idle connection has been evicted and is about to free its descriptor.
const EVICTED_PAUSE: Duration = Duration::from_millis(10);

/// Serves all listeners until the handler is `closing`. Then accepts no more connections and
/// returns once the requests in flight are answered. Cancelling `shutdown` ends those still
/// running. Each listener's heartbeat beats while the listener accepts.
pub async fn serve(
    listeners: Vec<(Bound, Arc<Heartbeat>)>,
    handler: Arc<RequestHandler>,
    max_connections: usize,
    shutdown: CancellationToken,
) {
    let context = AcceptContext {
        slots: ConnectionLimiter::for_connections(max_connections),
        connections: TaskTracker::new(),
        handler,
        tls_config: Mutex::default(),
        shutdown,
    };
    // At startup: a reload may have removed TLS from the rules before the first connection.
    context.tls_config();
    let context = Arc::new(context);
    let mut accepting = JoinSet::new();
    for (listener, heartbeat) in listeners {
        accepting.spawn(accept(listener, heartbeat, Arc::clone(&context)));
    }
    while accepting.join_next().await.is_some() {}
    context.connections.close();
    context.connections.wait().await;
}

/// State shared by all connections.
struct AcceptContext {
    slots: ConnectionLimiter,
    connections: TaskTracker,
    handler: Arc<RequestHandler>,
    tls_config: Mutex<Option<Arc<ServerConfig>>>,
    shutdown: CancellationToken,
}

impl AcceptContext {
    /// Serves one connection as its own task, which keeps its slot until it ends.
    fn admit(&self, accepted: Accepted, has_tls: bool, guard: SlotGuard) {
        let (handler, shutdown) = (Arc::clone(&self.handler), self.shutdown.clone());
        let tls_config = if has_tls { self.tls_config() } else { None };
        if has_tls && tls_config.is_none() {
            // Never serve a TLS listener in plain text. A reload cannot lead here.
            return;
        }
        self.connections.spawn(async move {
            let client = accepted.address();
            let peer = Peer {
                address: client,
                unaddressed: false,
                certificate: None,
                slot: Arc::clone(&guard.slot),
            };
            let serving = async {
                match accepted {
                    Accepted::Unix(stream) => serve_http(stream, peer, None, handler).await,
                    Accepted::Tcp(stream, _) => serve_http(stream, peer, tls_config, handler).await,
                }
            };
            let address = client;
            let client = client.map(tracing::field::display);
            tokio::select! {
                () = serving => {}
                () = guard.slot.eviction() => report::connection_ended("connection", &"an idle connection was evicted", address),
                () = shutdown.cancelled() => {
                    tracing::warn!(client, "a connection was still under way when the daemon stopped");
                }
            }
        });
    }

    /// Returns the TLS configuration of the rules in force. If they have none any more, returns the
    /// last one, since removing TLS takes effect at the next start.
    fn tls_config(&self) -> Option<Arc<ServerConfig>> {
        let mut last = self.tls_config.lock();
        if let Some(tls) = &self.handler.live.current().server.tls {
            *last = Some(Arc::clone(&tls.config));
        }
        last.clone()
    }
}

/// Serves one connection. If its peer is a listed proxy, reads the PROXY protocol header first.
async fn serve_http<S>(
    mut stream: S,
    mut peer: Peer,
    tls_config: Option<Arc<ServerConfig>>,
    handler: Arc<RequestHandler>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if handler.live.current().server.proxy_protocol.holds(peer.address) {
        let proxied = tokio::select! {
            proxied = timeout(handler.request_timeout, proxy_protocol::read(&mut stream)) => proxied,
            () = handler.closing_grace() => return,
        };
        match proxied {
            Ok(Ok(ProxiedPeer::Proxy)) => {}
            Ok(Ok(ProxiedPeer::Client(address))) => peer.address = Some(address),
            Ok(Ok(ProxiedPeer::Unaddressed)) => (peer.address, peer.unaddressed) = (None, true),
            Ok(Err(error)) => return report::peer_failed("PROXY protocol", &error, peer.address),
            Err(_) => return report::peer_failed("PROXY protocol", &"too slow", peer.address),
        }
        peer.slot.reassign(holder(&handler, peer.address));
    }
    match tls_config {
        None => http1::serve_http(stream, peer, handler).await,
        Some(config) => tls::serve_http(stream, peer, config, handler).await,
    }
}

/// Client that holds the connections of an address. `None` for a connection that counts alone: many
/// clients share the address of a listed proxy, and a unix socket has no address.
fn holder(handler: &RequestHandler, address: Option<IpAddr>) -> Option<ClientKey> {
    let address = address?;
    let server = &handler.live.current().server;
    let proxies = [&server.proxy_protocol, &server.trusted_proxies];
    let is_shared = proxies.iter().any(|listed| listed.holds(Some(address)));
    (!is_shared).then(|| ClientKey::of(address))
}

/// Accepts on one listener. If every connection is busy, new ones wait: one here and the rest in
/// the kernel's queue.
async fn accept(listener: Bound, heartbeat: Arc<Heartbeat>, context: Arc<AcceptContext>) {
    let closing = context.handler.closing.clone();
    let failures = Throttle::steady("accept");
    loop {
        let accepted = tokio::select! {
            accepted = heartbeat.beating(accept_next(&listener)) => accepted,
            () = closing.cancelled() => return,
        };
        let accepted = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if let Some(left_out) = failures.allow() {
                    let at = listener.address();
                    tracing::warn!(%error, at, left_out, "a connection could not be accepted");
                }
                let evicted = is_without_descriptors(&error) && context.slots.evict_idle();
                tokio::time::sleep(if evicted { EVICTED_PAUSE } else { ACCEPT_PAUSE }).await;
                continue;
            }
        };
        let is_balancer = |address: &IpAddr| {
            let server = &context.handler.live.current().server;
            server.proxy_protocol.networks.contains(*address)
        };
        // A balancer's connection counts as the balancer's until its header names the client.
        let holder = match accepted.address().filter(is_balancer) {
            Some(balancer) => Some(ClientKey::of(balancer)),
            None => holder(&context.handler, accepted.address()),
        };
        let (guard, eviction) = tokio::select! {
            // Biased: an accepted connection is served if a slot is free, even if the daemon stops
            // now.
            biased;
            guard = heartbeat.beating(context.slots.acquire(holder)) => guard,
            () = closing.cancelled() => return,
        };
        if let Some(left_out) = eviction {
            let at = listener.address();
            tracing::warn!(
                at,
                left_out,
                "`max_connections` reached: evicted an idle connection"
            );
        }
        context.admit(accepted, matches!(listener, Bound::Tcp(_, true)), guard);
    }
}

/// True if accepting failed because this process or the machine has too many open files.
fn is_without_descriptors(error: &io::Error) -> bool {
    let errno = rustix::io::Errno::from_io_error(error);
    matches!(errno, Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE))
}

enum Accepted {
    Tcp(tokio::net::TcpStream, IpAddr),
    Unix(tokio::net::UnixStream),
}

impl Accepted {
    /// Address of the peer, if it has one.
    fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(_, address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

/// Waits for the next connection.
async fn accept_next(listener: &Bound) -> io::Result<Accepted> {
    match listener {
        Bound::Tcp(listener, _) => {
            let (stream, peer) = listener.accept().await?;
            // Answers are one small write. Waiting to fill a packet would only delay them.
            stream.set_nodelay(true)?;
            Ok(Accepted::Tcp(stream, peer.ip().to_canonical()))
        }
        Bound::Unix(OwnSocket { listener, .. }) | Bound::Inherited(listener) => {
            Ok(Accepted::Unix(listener.accept().await?.0))
        }
    }
}
