//! Requests from the wire to `Received`: route, method, limits and body.
//!
//! Every failure becomes an answer. The decision on a received event is left to `pipeline::ingest`.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::base::clock::Clock;
use crate::base::live::Live;
use crate::base::url_path;
use crate::event::{EventId, Received};
use crate::pipeline::{Answer, Ingest, STATUS};
use crate::report;
use crate::rules::{Endpoint, RuleSet};
use crate::server::body::{BodyError, Memory};
use crate::server::body_budget::{BodyBudget, Bounds, Denied, Reservation};
use crate::server::client_cert::ClientCertificate;
use crate::server::header_budget::HeaderBudget;
use crate::server::http1::FIRST_WORD;
use crate::server::rate_limit::Limiter;
use crate::server::slots::{BusyGuard, ClientKey, ConnectionLimiter, Slot, SlotGuard};
use crate::server::{body, client_ip, near_miss};

/// Maximum part of a refused body that is read before the answer, in bytes, and the time for it.
const DRAIN: usize = 4 << 20;
const DRAIN_FOR: Duration = Duration::from_secs(1);
/// Value that ends the connection after the answer.
const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// Other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Address, if the peer has one.
    pub address: Option<IpAddr>,
    /// True if the address is missing because a proxy said so. The peer did not use a unix socket
    /// of ours.
    pub nameless: bool,
    /// Trusted client certificate, if the peer presented one.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// Slot of the connection.
    pub place: Arc<Slot>,
}

/// Unread rest of a refused body.
pub struct Rest {
    pub body: Incoming,
    /// True if the sender waits for `100 Continue` before it sends the body.
    pub waits: bool,
}

/// Guards of an HTTP/2 request, in addition to those of its connection.
type Room = (BusyGuard, SlotGuard);
/// Guards of a request in progress, and the memory of its body, which may be needed longer.
type AtWork = ((BusyGuard, Option<Room>), Arc<Reservation>);
/// Answer for a body that was not read, and the reason.
type Unread = (Answer, String);

/// Entry point of all requests, shared by all connections.
pub struct RequestHandler {
    /// Rules in force.
    pub live: Arc<Live<RuleSet>>,
    /// Next step for received events.
    pub ingest: Arc<Ingest>,
    /// Rate limits.
    pub limiter: Limiter,
    pub clock: Clock,
    /// Maximum time for a request's head, for its body, and for a peer that does not read its
    /// answer.
    pub request_timeout: Duration,
    /// Slots for HTTP/2 requests, as many as there are connections. One connection may bring many.
    pub room: ConnectionLimiter,
    /// Memory for the heads of all HTTP/2 requests.
    pub heads: Arc<HeaderBudget>,
    /// Memory for the bodies of all requests.
    pub bodies: Arc<BodyBudget>,
    /// Cancelled when the daemon begins to stop. No connection is accepted any more, and none is
    /// kept after its current request.
    pub closing: CancellationToken,
    /// Cancelled when `stop_grace` is over. No request is accepted any more.
    pub over: CancellationToken,
}

impl RequestHandler {
    /// Returns when the daemon is stopping and accepted connections have had the time to begin.
    pub async fn last_call(&self) {
        self.closing.cancelled().await;
        tokio::time::sleep(FIRST_WORD).await;
    }

    /// Answers one request from `peer`. Never fails: every error is an answer.
    pub async fn answer(
        &self,
        request: Request<Incoming>,
        peer: Peer,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let version = request.version();
        let (answer, rest) = self.attend(request, peer).await;
        self.respond(answer, rest, version).await
    }

    /// Processes a request. Returns the answer, and the rest of the body if it was not read.
    pub async fn attend(&self, request: Request<Incoming>, mut peer: Peer) -> (Answer, Option<Rest>) {
        // Loaded once: a reload in between does not mix two sets in one request.
        let rules = self.live.current();
        let disowned = peer.disown(rules.server.tls.as_ref(), self.clock.now());
        if disowned {
            let why = "no authority in force vouches for it now";
            report::peer_failed("client certificate", &why, peer.address);
        }
        let (head, mut body) = request.into_parts();
        let waits = head.headers.contains_key(header::EXPECT);
        let (mut answer, rest) = match self.receive(&rules, head, &mut body, peer).await {
            Ok((endpoint, received, (_working, memory))) => {
                (self.ingest.accept(endpoint, received, memory).await, None)
            }
            Err(answer) => (answer, Some(Rest { body, waits })),
        };
        if disowned {
            answer = closing(answer);
        }
        (answer, rest)
    }

    /// Builds the response, once the rest of a refused body has been drained.
    pub async fn respond(
        &self,
        mut answer: Answer,
        rest: Option<Rest>,
        version: Version,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        if let Some(Rest { mut body, waits }) = rest
            && !body.is_end_stream()
            // A client that waits for `100 Continue` sends no body.
            && (waits || !drain(&mut body).await)
        {
            answer = closing(answer);
        }
        let outcome = answer.outcome_value();
        let mut response = Response::new(Full::new(answer.body));
        *response.status_mut() = answer.status;
        let headers = response.headers_mut();
        *headers = answer.headers;
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        headers.insert(STATUS, outcome);
        if version == Version::HTTP_2 {
            // A connection with many requests does not end with one of them (RFC 9113 §8.2.2).
            headers.remove(header::CONNECTION);
        } else if self.closing.is_cancelled() {
            headers.insert(header::CONNECTION, CLOSE);
        }
        Ok(response)
    }

    /// Finds the endpoint, checks the client and the rate limits, and reads the body.
    async fn receive<'r>(
        &'r self,
        rules: &'r RuleSet,
        head: Parts,
        body: &mut Incoming,
        peer: Peer,
    ) -> Result<(&'r Endpoint, Received, AtWork), Answer> {
        let many = head.version == Version::HTTP_2;
        let trusted = &rules.server.trusted_proxies;
        let told = (!peer.nameless).then(|| client_ip::client(peer.address, &head.headers, trusted));
        let client = told.flatten();
        let (endpoint, mut received) = self.route(rules, head, client).map_err(|answer| *answer)?;
        received.certificate = peer
            .certificate
            .map(|presented| Arc::clone(&presented.certificate));
        if !endpoint.allows(client) {
            return Err(self.ingest.bar(endpoint, &received));
        }
        let now = Instant::now();
        if let Err(after) = self.limiter.admit(rules, endpoint, client, now) {
            let answer = Answer::too_often(after);
            report::turned_away(&received.path, client, answer.status.as_u16(), "rate limit");
            return Err(answer);
        }
        let memory = Memory {
            budget: &self.bodies,
            bounds: Bounds::new(rules.server.max_inflight, rules.server.largest_body),
            client: body_client(client, peer.address, &peer.place),
        };
        let read = if many {
            self.read_in_turn(body, endpoint.max_body, &peer.place, memory)
                .await
        } else {
            let read = self.read(body, endpoint.max_body, memory).await;
            read.map(|body| (body, None))
        };
        // If the connection is being evicted, no answer can be sent, so the event is not accepted.
        let begun = match read {
            Ok(((body, memory), room)) => {
                let working = peer.place.work().ok_or_else(made_room);
                working.map(|working| (body, ((working, room), Arc::new(memory))))
            }
            Err(unread) => Err(unread),
        };
        let (body, working) = begun.map_err(|(answer, why)| {
            report::turned_away(&received.path, client, answer.status.as_u16(), &why);
            answer
        })?;
        received.body = body;
        received.at = self.clock.now();
        received.id = EventId::new(received.at);
        Ok((endpoint, received, working))
    }

    /// Reads the body of an HTTP/2 request. Waits for a slot first, and stops if the slot is
    /// evicted.
    async fn read_in_turn(
        &self,
        body: &mut Incoming,
        limit: u64,
        connection: &Slot,
        memory: Memory<'_>,
    ) -> Result<((Bytes, Reservation), Option<Room>), Unread> {
        let taking = self.room.take(Some(connection.holder()));
        let taken = tokio::time::timeout(self.request_timeout, taking).await;
        let Ok((taken, crowded)) = taken else {
            return Err((Answer::unavailable(), "there is no room".to_owned()));
        };
        if let Some(left_out) = crowded {
            tracing::warn!(
                left_out,
                "`max_connections` requests over HTTP/2 reached: evicted an idle one"
            );
        }
        let body = tokio::select! {
            biased;
            read = self.read(body, limit, memory) => read?,
            () = taken.place.wanted() => return Err(made_room()),
        };
        let working = taken.place.work().ok_or_else(made_room)?;
        Ok((body, Some((working, taken))))
    }

    /// Finds the endpoint of a request and builds what is known before the body.
    fn route<'r>(
        &self,
        rules: &'r RuleSet,
        mut head: Parts,
        client: Option<IpAddr>,
    ) -> Result<(&'r Endpoint, Received), Box<Answer>> {
        let padded = head.version == Version::HTTP_2 && body::has_padded_value(&head.headers);
        let malformed = if padded {
            Some("a header's value begins or ends with a blank")
        } else {
            host(&mut head).err()
        };
        let path = head.uri.path();
        let turn_away = |answer: Answer, why: &str| {
            report::turned_away(path, client, answer.status.as_u16(), why);
            Box::new(answer)
        };
        if let Some(why) = malformed {
            let answer = Answer::new(StatusCode::BAD_REQUEST, "bad request", None);
            return Err(turn_away(closing(answer), why));
        }
        if has_other_transfer_coding(&head.headers) {
            let answer = Answer::new(StatusCode::NOT_IMPLEMENTED, "not implemented", None);
            return Err(turn_away(
                closing(answer),
                "a transfer coding other than `chunked`",
            ));
        }
        // Requests on accepted connections are served until then: some senders never retry.
        if self.over.is_cancelled() {
            return Err(turn_away(
                closing(Answer::unavailable()),
                "the daemon is stopping",
            ));
        }
        if path == "*" && head.method == Method::OPTIONS {
            // The request asks about the server, not about an endpoint (RFC 9110 §9.3.7).
            return Err(Box::new(Answer::options(Method::OPTIONS.as_str())));
        }
        let normalized = url_path::normalized(path);
        let found = rules
            .endpoint(&normalized)
            .and_then(|(endpoint, parameters)| Some((endpoint, decoded(&parameters)?)));
        let Some((endpoint, parameters)) = found else {
            let answer = Answer::new(StatusCode::NOT_FOUND, "not found", None);
            let hint = || near_miss::hint(rules, path);
            report::turned_away_with(path, client, answer.status.as_u16(), "no such endpoint", hint);
            return Err(Box::new(answer));
        };
        if !endpoint.admits(&head.method) {
            let answer = Answer::other_method(&head.method, &endpoint.allowed_methods());
            if head.method == Method::OPTIONS {
                return Err(Box::new(answer));
            }
            return Err(turn_away(answer, "wrong method"));
        }
        let at = self.clock.now();
        let received = Received {
            id: EventId::new(at),
            at,
            endpoint: Arc::clone(&endpoint.path),
            path: path.to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            parameters,
            client,
            certificate: None,
            method: head.method,
            headers: head.headers,
            body: Bytes::new(),
        };
        Ok((endpoint, received))
    }

    /// Reads a body of at most `limit` bytes. The error is the answer and the reason.
    async fn read(
        &self,
        body: &mut Incoming,
        limit: u64,
        memory: Memory<'_>,
    ) -> Result<(Bytes, Reservation), Unread> {
        let refused = |status, word| Answer::new(status, word, None);
        let announced = body.size_hint().lower();
        let too_large = || {
            // A body of unannounced size is not read to its end only to report it.
            let size = match announced {
                size if size > limit => format!("{size} bytes"),
                _ => format!("more than {limit} bytes"),
            };
            let why = format!("too large: a body of {size}, and `max_body` of the endpoint is {limit}");
            (refused(StatusCode::PAYLOAD_TOO_LARGE, "too large"), why)
        };
        if announced > limit {
            return Err(too_large());
        }
        let reading = body::gather(body, limit, memory);
        match tokio::time::timeout(self.request_timeout, reading).await {
            Ok(Ok(read)) => Ok(read),
            Ok(Err(BodyError::TooLarge)) => Err(too_large()),
            Ok(Err(BodyError::Broken(why))) => Err((refused(StatusCode::BAD_REQUEST, "incomplete"), why)),
            Ok(Err(BodyError::Denied(Denied::Evicted))) => Err((
                Answer::unavailable(),
                "`max_inflight` reached: its partial body was evicted".to_owned(),
            )),
            Ok(Err(BodyError::Denied(Denied::Full))) => Err((
                Answer::unavailable(),
                "`max_inflight` reached: no memory for its body".to_owned(),
            )),
            Err(_) => {
                let answer = refused(StatusCode::REQUEST_TIMEOUT, "too slow");
                Err((answer, "too slow".to_owned()))
            }
        }
    }
}

/// Returns the client to which the memory of a body is counted: the one named by a trusted proxy,
/// else the holder of the connection.
fn body_client(client: Option<IpAddr>, peer: Option<IpAddr>, connection: &Slot) -> ClientKey {
    match client {
        Some(told) if client != peer => ClientKey::of(told),
        _ => connection.holder(),
    }
}

/// True if the body uses a transfer coding other than `chunked`. Such a body would be stored in its
/// coded form, so it is answered with 501 (RFC 9112 §6.1).
fn has_other_transfer_coding(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(first) = lines.next() else { return false };
    lines.next().is_some() || !first.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked")
}

/// Ensures that there is exactly one valid `Host`. The error describes a head that a proxy and a
/// server might understand differently (RFC 9112 §3.2).
fn host(head: &mut Parts) -> Result<(), &'static str> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let (first, more) = (hosts.next(), hosts.next());
    if more.is_some() {
        return Err("more than one Host");
    }
    // If the target has an authority (`:authority` or the absolute form), `Host` must not differ
    // from it (RFC 9113 §8.3.1, RFC 9112 §3.2.2).
    match (first, head.uri.authority()) {
        (None, None) if head.version >= Version::HTTP_11 => Err("no Host"),
        (None, Some(_)) if head.version == Version::HTTP_11 => Err("no Host"),
        (None, None) => Ok(()),
        // Host may be empty if the target has no authority (RFC 9112 §3.2).
        (Some(host), None) if host.is_empty() => Ok(()),
        (Some(host), None) => match Authority::try_from(host.as_bytes()) {
            Ok(authority) if is_host(&authority) => Ok(()),
            _ => Err("Host is not a host"),
        },
        (_, Some(authority)) if !is_host(authority) => Err("the authority is not a host"),
        (Some(host), Some(authority)) => {
            if host
                .as_bytes()
                .eq_ignore_ascii_case(authority.as_str().as_bytes())
            {
                Ok(())
            } else {
                Err("Host is not the authority of the target")
            }
        }
        (None, Some(authority)) => {
            let host = HeaderValue::from_str(authority.as_str()).or(Err("no Host"))?;
            head.headers.insert(header::HOST, host);
            Ok(())
        }
    }
}

/// True for a host with an optional port and without a user (RFC 9110 §4.2.4 and §7.2).
fn is_host(authority: &Authority) -> bool {
    let host = authority.host();
    let port = authority.as_str().strip_prefix(host);
    !host.is_empty() && port.is_some_and(|port| matches!(port, "" | ":") || authority.port_u16().is_some())
}

/// Percent-decodes the parameters of a path. `None` if one is not UTF-8, so that nothing matches.
fn decoded(parameters: &matchit::Params<'_, '_>) -> Option<Vec<(String, String)>> {
    let decode = |(name, value): (&str, &str)| {
        let value = percent_encoding::percent_decode_str(value).decode_utf8().ok()?;
        Some((name.to_owned(), value.into_owned()))
    };
    parameters.iter().map(decode).collect()
}

/// Reads the rest of a body within limits. True if that was all of it. Closing a connection, or
/// resetting an HTTP/2 stream, with unread bytes could discard the answer (RFC 9112 §9.6, RFC 9113
/// §8.1).
async fn drain(body: &mut Incoming) -> bool {
    let mut rest = std::pin::pin!(Limited::new(body, DRAIN));
    let taken = async {
        while let Some(frame) = rest.frame().await {
            if frame.is_err() {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(DRAIN_FOR, taken).await.unwrap_or(false)
}

/// Answer for a request that was evicted.
fn made_room() -> Unread {
    (Answer::unavailable(), "an idle request was evicted".to_owned())
}

/// Marks an answer to a request whose body is unread: the connection cannot be reused.
fn closing(mut answer: Answer) -> Answer {
    answer.headers.insert(header::CONNECTION, CLOSE);
    answer
}
