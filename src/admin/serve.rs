//! Listeners of the admin interface, and their connections.
//!
//! Connections by TCP cannot use up those of the unix socket. Each connection serves one request
//! within a time limit.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixStream};
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
use crate::admin::{CONNECTIONS, REQUEST_LIMIT};
use crate::rules::Admin;
use crate::status::STORE_LIMIT;
use crate::status::StatusService;
use crate::sys::socket::{Access, OwnSocket};

/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

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
    let (mut inside, mut outside) = (JoinSet::new(), JoinSet::new());
    loop {
        tokio::select! {
            Some(_) = inside.join_next() => {}
            Some(_) = outside.join_next() => {}
            accepted = accept_unix(&doors), if inside.len() < CONNECTIONS => match accepted {
                Ok(stream) => {
                    let caller = Caller::of(&stream);
                    drop(inside.spawn(converse(stream, services.clone(), caller)));
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
            accepted = accept_tcp(&doors), if outside.len() < CONNECTIONS => match accepted {
                Ok(stream) => drop(outside.spawn(converse(stream, services.clone(), Caller::Network))),
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

async fn accept_unix(doors: &Doors) -> io::Result<UnixStream> {
    match &doors.unix {
        Some(own) => Ok(own.listener.accept().await?.0),
        None => std::future::pending().await,
    }
}

async fn accept_tcp(doors: &Doors) -> io::Result<tokio::net::TcpStream> {
    match &doors.tcp {
        Some(listener) => Ok(listener.accept().await?.0),
        None => std::future::pending().await,
    }
}

/// Answers one request, then closes, so that no client occupies a connection.
async fn converse<S>(stream: S, services: AdminServices, caller: Caller)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let services = services.clone();
        async move {
            let is_post = request.method() == Method::POST;
            let path = if is_post { request.uri().path() } else { "" };
            Ok::<_, Infallible>(match (caller, path) {
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
            })
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_LIMIT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // Time limits for the request's head, for the answer, and for a peer that does not read.
    drop(timeout(REQUEST_LIMIT * 2 + STORE_LIMIT.max(LIMIT), connection).await);
}
