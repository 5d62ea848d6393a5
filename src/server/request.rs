//! From a request on the wire to what was received: route, method, size and time before anything else.

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
use crate::server::body::{Fault, Memory};
use crate::server::body_budget::{BodyBudget, Bounds, Denied, Reservation};
use crate::server::client_cert::ClientCertificate;
use crate::server::header_budget::HeaderBudget;
use crate::server::http1::FIRST_WORD;
use crate::server::rate_limit::Limiter;
use crate::server::slots::{BusyGuard, ClientKey, ConnectionLimiter, Slot, SlotGuard};
use crate::server::{body, client_ip, near_miss};

/// How much of a body that nobody wants is taken off the wire before it is answered, in bytes, and for how long.
const DRAIN: usize = 4 << 20;
const DRAIN_FOR: Duration = Duration::from_secs(1);
/// After this answer the connection is ended.
const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address, if it has one.
    pub address: Option<IpAddr>,
    /// A proxy of connections says that it has none: it did not come by a unix socket of ours.
    pub nameless: bool,
    /// The certificate that it has presented, if it has, and that held.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// The place that its connection has.
    pub place: Arc<Slot>,
}

/// The rest of a body that nobody wants.
pub struct Rest {
    /// What has not been read of it.
    pub body: Incoming,
    /// Whether its sender waits to be asked for it.
    pub waits: bool,
}

/// What a request of HTTP/2 has while it is worked on, beside its connection's place.
type Room = (BusyGuard, SlotGuard);
/// What a request has while it is worked on, and the memory of its body, which may be needed longer.
type AtWork = ((BusyGuard, Option<Room>), Arc<Reservation>);
/// What is answered where a body was not read, and why it was not.
type Unread = (Answer, String);

/// What a request meets first.
pub struct RequestHandler {
    /// The rules in force.
    pub live: Arc<Live<RuleSet>>,
    /// Takes it from there.
    pub ingest: Arc<Ingest>,
    /// How often what is called.
    pub limiter: Limiter,
    /// The time.
    pub clock: Clock,
    /// How long a request's head may take, again its body, and again a peer that does not read its answer.
    pub request_timeout: Duration,
    /// Room for requests of HTTP/2, of which one connection may bring many: for as many as HTTP/1 could have.
    pub room: ConnectionLimiter,
    /// What the heads of all requests of HTTP/2 may take.
    pub heads: Arc<HeaderBudget>,
    /// Memory for the bodies of all requests.
    pub bodies: Arc<BodyBudget>,
    /// No connection is accepted any more, and none kept beyond its request: the daemon is stopping.
    pub closing: CancellationToken,
    /// Nothing new is taken: the grace of stopping is over.
    pub over: CancellationToken,
}

impl RequestHandler {
    /// Returns when the daemon is stopping and whoever was let in has had the time to begin.
    pub async fn last_call(&self) {
        self.closing.cancelled().await;
        tokio::time::sleep(FIRST_WORD).await;
    }

    /// Answers one request that came from `peer`. It never fails: whatever goes wrong is an answer.
    pub async fn answer(
        &self,
        request: Request<Incoming>,
        peer: Peer,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let version = request.version();
        let (answer, rest) = self.attend(request, peer).await;
        self.respond(answer, rest, version).await
    }

    /// Does what a request asks for. What is answered, and the rest of its body if it was not taken.
    pub async fn attend(&self, request: Request<Incoming>, mut peer: Peer) -> (Answer, Option<Rest>) {
        // Taken once: a reload in between does not mix two sets in one request.
        let rules = self.live.current();
        let disowned = peer.disown(rules.server.tls.as_ref(), self.clock.now());
        if disowned {
            let why = "no authority in force vouches for it any more";
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

    /// An answer as it is sent, once the rest of the body is off the wire.
    pub async fn respond(
        &self,
        mut answer: Answer,
        rest: Option<Rest>,
        version: Version,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        if let Some(Rest { mut body, waits }) = rest
            && !body.is_end_stream()
            // Who waits to be asked for a body sends none.
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
            // A connection of many requests does not end with one (RFC 9113 §8.2.2).
            headers.remove(header::CONNECTION);
        } else if self.closing.is_cancelled() {
            headers.insert(header::CONNECTION, CLOSE);
        }
        Ok(response)
    }

    /// Finds the endpoint, asks whether it takes anything from there, and reads the body within its bounds.
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
        if !endpoint.lets_in(client) {
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
        // Nobody would hear the answer where its connection makes room just now: then it is not taken.
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

    /// Reads the body of one of those requests that come many on a connection, once there is room, and while none of the
    /// others needs it more.
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
                "there are `max_connections` requests over HTTP/2: an idle one has made room"
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

    /// The endpoint that a request is for, and what there is of it before its body.
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
        // Before that, what comes on a connection that was accepted is taken: some senders come once and never again.
        if self.over.is_cancelled() {
            return Err(turn_away(
                closing(Answer::unavailable()),
                "the daemon is stopping",
            ));
        }
        if path == "*" && head.method == Method::OPTIONS {
            // Asked of the server rather than of an endpoint (RFC 9110 §9.3.7): it is there.
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

    /// Reads a body of at most `limit` bytes. The error is what is answered, and why.
    async fn read(
        &self,
        body: &mut Incoming,
        limit: u64,
        memory: Memory<'_>,
    ) -> Result<(Bytes, Reservation), Unread> {
        let refused = |status, word| Answer::new(status, word, None);
        let announced = body.size_hint().lower();
        let too_large = || {
            // What does not say its size is not read to its end to know it.
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
            Ok(Err(Fault::TooLarge)) => Err(too_large()),
            Ok(Err(Fault::Broken(why))) => Err((refused(StatusCode::BAD_REQUEST, "incomplete"), why)),
            Ok(Err(Fault::Denied(Denied::Evicted))) => Err((
                Answer::unavailable(),
                "`max_inflight` reached: its partial body was evicted".to_owned(),
            )),
            Ok(Err(Fault::Denied(Denied::Full))) => Err((
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

/// The client to which the memory of a body is counted: the one that a trusted proxy names, else the one that the connection
/// is counted to.
fn body_client(client: Option<IpAddr>, peer: Option<IpAddr>, connection: &Slot) -> ClientKey {
    match client {
        Some(told) if client != peer => ClientKey::of(told),
        _ => connection.holder(),
    }
}

/// Whether the body's framing needs a transfer coding other than `chunked` to be undone. Such a body would be taken as it was
/// coded (RFC 9112 §6.1: 501).
fn has_other_transfer_coding(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(first) = lines.next() else { return false };
    lines.next().is_some() || !first.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked")
}

/// Sees to it that there is one `Host`, and that it is one. The error is what is wrong with a head that a proxy and a server
/// might understand differently (RFC 9112 §3.2).
fn host(head: &mut Parts) -> Result<(), &'static str> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let (first, more) = (hosts.next(), hosts.next());
    if more.is_some() {
        return Err("more than one Host");
    }
    // Where the target has an authority (`:authority` of HTTP/2, and the absolute form of HTTP/1) they must not differ (RFC 9113
    // §8.3.1, RFC 9112 §3.2.2).
    match (first, head.uri.authority()) {
        (None, None) if head.version >= Version::HTTP_11 => Err("no Host"),
        (None, Some(_)) if head.version == Version::HTTP_11 => Err("no Host"),
        (None, None) => Ok(()),
        // It may be empty, where the target has none (RFC 9112 §3.2).
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

/// Whether it is a host and perhaps a port, and names no user (RFC 9110 §4.2.4 and §7.2).
fn is_host(authority: &Authority) -> bool {
    let host = authority.host();
    let port = authority.as_str().strip_prefix(host);
    !host.is_empty() && port.is_some_and(|port| matches!(port, "" | ":") || authority.port_u16().is_some())
}

/// The parameters of a path, percent-decoded. One that is not UTF-8 names nothing that could exist.
fn decoded(parameters: &matchit::Params<'_, '_>) -> Option<Vec<(String, String)>> {
    let decode = |(name, value): (&str, &str)| {
        let value = percent_encoding::percent_decode_str(value).decode_utf8().ok()?;
        Some((name.to_owned(), value.into_owned()))
    };
    parameters.iter().map(decode).collect()
}

/// Takes the rest of a body off the wire, within bounds; says whether that was all of it. What is closed, or of HTTP/2
/// reset, with unread bytes in it takes an answer along that its peer has not read yet (RFC 9112 §9.6, RFC 9113 §8.1).
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

/// Whoever rests makes room, and is worked on no more.
fn made_room() -> Unread {
    (Answer::unavailable(), "it was idle, and has made room".to_owned())
}

/// An answer given while the body is still coming: the connection cannot be used again.
fn closing(mut answer: Answer) -> Answer {
    answer.headers.insert(header::CONNECTION, CLOSE);
    answer
}
