//! Connections to the admin listeners.
//!
//! Connections by TCP cannot use up those of the unix socket. Each connection serves one request
//! within a time limit. A stream gives its connection slot back, and has limits of its own
//! (`stream.rs`).

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::admin::answer::{self, answer};
use crate::admin::door::{Door, Peer};
use crate::admin::exchange::LIMIT;
use crate::admin::headers;
use crate::admin::listeners::Doors;
use crate::admin::routes;
use crate::admin::services::AdminServices;
use crate::admin::starting::Served;
use crate::admin::stream::{AdminBody, STREAM_LIFE};
use crate::admin::tls::AdminTls;
use crate::admin::who::Grant;
use crate::admin::{CONNECTIONS, REQUEST_LIMIT};
use crate::status::STORE_LIMIT;
use crate::sys::write_timeout::WriteTimeout;

/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Maximum pause of a peer while it reads an answer.
const READ_PAUSE: Duration = Duration::from_secs(10);
/// Maximum bytes of answers that wait for a peer, on each connection. A head that is larger is not
/// read either.
const MAX_PENDING: usize = 64 << 10;

/// Serves until dropped; connections end with it. Guests and peers by TCP have connection limits of
/// their own.
pub async fn serve(doors: Doors, served: Arc<Served>) {
    let live = Arc::clone(&served.starting.live);
    let entry = Entry {
        door: Arc::new(Door::new(Arc::clone(&live), Instant::now())),
        served,
    };
    let mut connections = JoinSet::new();
    let [inside, guests, outside] = [(); 3].map(|()| Arc::new(Semaphore::new(CONNECTIONS)));
    let (tls, is_loopback) = (AdminTls::default(), doors.is_loopback());
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = with_slot(&inside, doors.accept_unix()) => match accepted {
                Ok(((stream, peer), slot)) => {
                    connections.spawn(entry.clone().converse(stream, peer, slot));
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
            accepted = with_slot(&guests, doors.accept_guest()) => match accepted {
                Ok((stream, slot)) => {
                    connections.spawn(entry.clone().converse(stream, Peer::Guest, slot));
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
            accepted = with_slot(&outside, doors.accept_tcp()) => match accepted {
                Ok(((stream, from), slot)) => {
                    let rules = live.current();
                    let wants_tls = rules.admin.password.is_some() && !is_loopback;
                    let config = rules.server.tls.as_ref().filter(|_| wants_tls);
                    let config = config.and_then(|config| tls.config(config));
                    let peer = Peer::Network {
                        client: from.ip().to_canonical(),
                        sealed: config.is_some(),
                        // Without a certificate, the page is not served.
                        page: config.is_some() || !wants_tls,
                    };
                    connections.spawn(entry.clone().converse_by_tcp(stream, peer, config, slot));
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
        }
    }
}

/// Waits for a slot, then for a connection.
async fn with_slot<T>(
    slots: &Arc<Semaphore>,
    accept: impl Future<Output = io::Result<T>>,
) -> io::Result<(T, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    Ok((accept.await?, slot))
}

/// What each connection needs.
#[derive(Clone)]
struct Entry {
    served: Arc<Served>,
    door: Arc<Door>,
}

impl Entry {
    /// Serves a connection by TCP, with TLS if there is a `config`.
    async fn converse_by_tcp(
        self,
        stream: TcpStream,
        peer: Peer,
        config: Option<Arc<ServerConfig>>,
        slot: OwnedSemaphorePermit,
    ) {
        let Some(config) = config else {
            return self.converse(stream, peer, slot).await;
        };
        let handshake = timeout(REQUEST_LIMIT, TlsAcceptor::from(config).accept(stream)).await;
        if let Ok(Ok(stream)) = handshake {
            self.converse(stream, peer, slot).await;
        }
    }

    /// Answers one request, then closes, so that no client occupies a connection. Once the answer is
    /// a stream, the slot is free for the next connection.
    async fn converse<S>(self, stream: S, peer: Peer, slot: OwnedSemaphorePermit)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let is_streaming = Arc::new(Notify::new());
        let begun = Arc::clone(&is_streaming);
        let service = service_fn(move |request: Request<Incoming>| {
            let (entry, begun) = (self.clone(), Arc::clone(&begun));
            async move {
                let mut response = match entry.door.admit(request, peer).await {
                    Ok((request, grant)) => match entry.served.services.get() {
                        Some(services) => route(request, services, grant).await,
                        None => entry.served.answer(&request, grant.reads).map(AdminBody::from),
                    },
                    Err(response) => response.map(AdminBody::from),
                };
                headers::protect(response.headers_mut());
                if matches!(response.body(), AdminBody::Events(_)) {
                    begun.notify_one();
                }
                Ok::<_, Infallible>(response)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(REQUEST_LIMIT)
            .keep_alive(false)
            .max_buf_size(MAX_PENDING)
            .serve_connection(TokioIo::new(WriteTimeout::new(stream, READ_PAUSE)), service);
        let mut connection = pin!(connection);
        // Time limits for the request's head, for the answer, and for a peer that does not read.
        let answered = timeout(REQUEST_LIMIT * 2 + STORE_LIMIT.max(LIMIT), &mut connection);
        tokio::select! {
            _ = answered => return,
            () = is_streaming.notified() => drop(slot),
        }
        // The stream ends by itself. A peer that reads a few bytes now and then does not prolong it.
        drop(timeout(STREAM_LIFE + READ_PAUSE, connection).await);
    }
}

/// Answers a request that the door has let in.
async fn route(request: Request<Incoming>, services: &AdminServices, grant: Grant) -> Response<AdminBody> {
    match routes::answer(services, request, grant.clone()).await {
        Ok(response) => response,
        Err(request) if grant.has_page() && !answer::is_answered(request.uri().path()) => {
            routes::missing(services, request.uri().path(), &grant).await
        }
        Err(request) => answer(&services.status, &request, grant.reads)
            .await
            .map(AdminBody::from),
    }
}
