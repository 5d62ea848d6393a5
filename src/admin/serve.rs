//! Listeners of the admin interface, and their connections.
//!
//! Connections by TCP cannot use up those of the unix socket. Each connection serves one request
//! within a time limit. A stream gives its connection slot back, and has limits of its own
//! (`stream.rs`).

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::admin::answer::{answer, text};
use crate::admin::check::Judge;
use crate::admin::exchange::LIMIT;
use crate::admin::fire::Firer;
use crate::admin::plan::Planner;
use crate::admin::replay::Replayer;
use crate::admin::rules::RuleOperator;
use crate::admin::stop::Stopper;
use crate::admin::stream::{AdminBody, STREAM_LIFE, Streams};
use crate::admin::{CONNECTIONS, REQUEST_LIMIT};
use crate::rules::Admin;
use crate::status::STORE_LIMIT;
use crate::status::StatusService;
use crate::sys::socket::{Access, OwnSocket};
use crate::sys::write_timeout::WriteTimeout;

/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Maximum pause of a peer while it reads an answer.
const READ_PAUSE: Duration = Duration::from_secs(10);
/// Maximum bytes of answers that wait for a peer, on each connection. A head that is larger is not
/// read either.
const MAX_PENDING: usize = 64 << 10;

/// The admin listeners.
#[derive(Debug, Default)]
pub struct Doors {
    unix: Option<OwnSocket>,
    tcp: Option<TcpListener>,
}

/// The services that answer admin requests.
#[derive(Clone)]
pub struct AdminServices {
    pub status: Arc<StatusService>,
    pub judge: Judge,
    pub replayer: Arc<Replayer>,
    pub firer: Arc<Firer>,
    pub planner: Arc<Planner>,
    pub stopper: Arc<Stopper>,
    pub rule_operator: Arc<RuleOperator>,
    pub streams: Streams,
}

/// Binds the listeners that the rules file configures. If the unix socket cannot be bound, its
/// error comes beside the listeners: the daemon works without it. If the TCP address cannot be
/// bound, that is an error, since monitoring relies on it.
pub async fn bind(admin: &Admin, socket: Option<&Path>) -> Result<(Doors, Option<String>), String> {
    let mut doors = Doors::default();
    let mut failed = None;
    if let Some(path) = socket {
        match OwnSocket::bind(path, Access::default()) {
            Ok(own) => doors.unix = Some(own),
            Err(error) => failed = Some(format!("no socket at `{}`: {error}", path.display())),
        }
    }
    if let Some(address) = &admin.listen {
        let bound = TcpListener::bind(address).await;
        doors.tcp =
            Some(bound.map_err(|error| format!("cannot listen on `{address}` (`admin.listen`): {error}"))?);
    }
    Ok((doors, failed))
}

/// Serves until dropped; connections end with it. TCP and unix socket have separate connection
/// limits.
pub async fn serve(doors: Doors, services: AdminServices) {
    let mut connections = JoinSet::new();
    let [inside, outside] = [(); 2].map(|()| Arc::new(Semaphore::new(CONNECTIONS)));
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = accept_unix(&doors, &inside) => match accepted {
                Ok((stream, slot)) => {
                    let caller = Caller::of(&stream);
                    connections.spawn(converse(stream, services.clone(), caller, slot));
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
            accepted = accept_tcp(&doors, &outside) => match accepted {
                Ok((stream, slot)) => {
                    connections.spawn(converse(stream, services.clone(), Caller::Network, slot));
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
        }
    }
}

/// The peer of an admin connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    /// Root or the daemon's own user, by id, through the unix socket.
    Operator(u32),
    /// Any other user with access to the unix socket.
    Group,
    /// Any peer, by TCP.
    Network,
}

impl Caller {
    /// Returns the peer of a unix socket connection.
    fn of(stream: &UnixStream) -> Self {
        let own = rustix::process::geteuid().as_raw();
        match stream.peer_cred() {
            Ok(peer) if peer.uid() == 0 || peer.uid() == own => Self::Operator(peer.uid()),
            _ => Self::Group,
        }
    }
}

/// Waits for a slot, then for a connection.
async fn accept_unix(
    doors: &Doors,
    slots: &Arc<Semaphore>,
) -> io::Result<(UnixStream, OwnedSemaphorePermit)> {
    let Some(own) = &doors.unix else {
        return std::future::pending().await;
    };
    let slot = Arc::clone(slots)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    Ok((own.listener.accept().await?.0, slot))
}

/// Waits for a slot, then for a connection.
async fn accept_tcp(
    doors: &Doors,
    slots: &Arc<Semaphore>,
) -> io::Result<(tokio::net::TcpStream, OwnedSemaphorePermit)> {
    let Some(listener) = &doors.tcp else {
        return std::future::pending().await;
    };
    let slot = Arc::clone(slots)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    Ok((listener.accept().await?.0, slot))
}

/// Answers one request, then closes, so that no client occupies a connection. Once the answer is a
/// stream, the slot is free for the next connection.
async fn converse<S>(stream: S, services: AdminServices, caller: Caller, slot: OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let is_streaming = Arc::new(Notify::new());
    let begun = Arc::clone(&is_streaming);
    let service = service_fn(move |request: Request<Incoming>| {
        let (services, begun) = (services.clone(), Arc::clone(&begun));
        async move {
            let response = route(request, &services, caller).await;
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

/// Answers a request.
async fn route(request: Request<Incoming>, services: &AdminServices, caller: Caller) -> Response<AdminBody> {
    let is_post = request.method() == Method::POST;
    let path = if is_post { request.uri().path() } else { "" };
    let response = match (caller, path) {
        (Caller::Operator(_), "/check") => services.judge.answer(request).await,
        (Caller::Operator(user), "/replay") => services.replayer.answer(request, user).await,
        (Caller::Operator(user), "/fire") => services.firer.answer(request, user).await,
        (Caller::Operator(user), "/plan") => services.planner.answer(request, user).await,
        (Caller::Operator(user), "/stop") => services.stopper.answer(request, user).await,
        (Caller::Operator(user), "/rules") => services.rule_operator.answer(request, user).await,
        (Caller::Group, "/check" | "/replay" | "/fire" | "/plan" | "/rules" | "/stop") => text(
            StatusCode::FORBIDDEN,
            "only root and the daemon's own user may ask for that",
        ),
        _ => answer(&services.status, &request, caller != Caller::Network).await,
    };
    response.map(AdminBody::from)
}
