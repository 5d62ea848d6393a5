//! Connections: accepted up to a bound, timed from the first byte, ended in order.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bind::Bound;
use super::request::Door;

/// How large a request's head may be, in bytes; a larger one is answered 431.
const MAX_HEAD: usize = 64 << 10;
/// How long accepting rests when the machine has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves all listeners until `stop`; then accepts no more, answers what is in flight for at most `grace`, and
/// returns.
pub async fn serve(
    listeners: Vec<Bound>,
    door: Arc<Door>,
    max_connections: usize,
    stop: CancellationToken,
    grace: Duration,
) {
    let connections = Connections {
        door,
        room: Arc::new(Semaphore::new(max_connections)),
        tasks: TaskTracker::new(),
        graceful: Arc::new(GracefulShutdown::new()),
    };
    let connections = Arc::new(connections);
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept(listener, Arc::clone(&connections), stop.clone()));
    }
    while accepting.join_next().await.is_some() {}
    connections.tasks.close();
    drop(accepting);
    let Some(connections) = Arc::into_inner(connections) else {
        return;
    };
    let Some(graceful) = Arc::into_inner(connections.graceful) else {
        return;
    };
    // A stalled body would hold the shutdown for ever; the deadline ends it.
    let drained = tokio::time::timeout(grace, graceful.shutdown()).await;
    if drained.is_err() {
        tracing::warn!("requests were still under way when the grace was over");
    }
}

/// What all connections share.
struct Connections {
    door: Arc<Door>,
    room: Arc<Semaphore>,
    tasks: TaskTracker,
    graceful: Arc<GracefulShutdown>,
}

/// Accepts on one listener. Where there is no room, further peers wait in the kernel's queue.
async fn accept(listener: Bound, connections: Arc<Connections>, stop: CancellationToken) {
    loop {
        let permit = tokio::select! {
            permit = Arc::clone(&connections.room).acquire_owned() => permit,
            () = stop.cancelled() => return,
        };
        let Ok(permit) = permit else { return };
        let accepted = tokio::select! {
            accepted = next(&listener) => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok(Stream::Tcp(stream, client)) => connections.open(TokioIo::new(stream), Some(client), permit),
            Ok(Stream::Unix(stream)) => connections.open(TokioIo::new(stream), None, permit),
            Err(error) => {
                tracing::warn!(%error, "accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// An accepted peer.
enum Stream {
    Tcp(tokio::net::TcpStream, IpAddr),
    Unix(tokio::net::UnixStream),
}

/// The next peer.
async fn next(listener: &Bound) -> io::Result<Stream> {
    match listener {
        Bound::Tcp(listener) => {
            let (stream, peer) = listener.accept().await?;
            // Answers are one small write: waiting to fill a packet would only delay them.
            stream.set_nodelay(true)?;
            Ok(Stream::Tcp(stream, peer.ip().to_canonical()))
        }
        Bound::Unix(listener, _) => Ok(Stream::Unix(listener.accept().await?.0)),
    }
}

impl Connections {
    /// Serves one connection in a task of its own.
    fn open<S>(&self, stream: TokioIo<S>, client: Option<IpAddr>, permit: OwnedSemaphorePermit)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let door = Arc::clone(&self.door);
        let timeout = door.request_timeout;
        let service = service_fn(move |request| {
            let door = Arc::clone(&door);
            async move { door.answer(request, client).await }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(timeout)
            .max_header_size(MAX_HEAD)
            .serve_connection(stream, service);
        let watched = self.graceful.watch(connection);
        self.tasks.spawn(async move {
            // What a peer does wrong on its connection ends the connection and concerns nobody else.
            if let Err(error) = watched.await {
                tracing::debug!(%error, client = client.map(tracing::field::display), "connection");
            }
            drop(permit);
        });
    }
}
