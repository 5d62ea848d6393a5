//! Requests from the wire to `Received`: route, method, limits and body.
//!
//! Every failure becomes an answer. The decision on a received event is left to `pipeline::ingest`.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::base::clock::Clock;
use crate::base::live::Live;
use crate::base::url_path;
use crate::event::{EventId, Received};
use crate::pipeline::{Answer, Arriving, Ingest, STATUS};
use crate::report::{self, Metrics};
use crate::rules::{Endpoint, RuleSet, path_parameters};
use crate::server::body::{BodyMemory, BodyRejection};
use crate::server::body_budget::{BodyBudget, Bounds, Reservation};
use crate::server::client_key::ClientKey;
use crate::server::header_budget::HeaderBudget;
use crate::server::peer::Peer;
use crate::server::rate_limit::Limiter;
use crate::server::slots::{BusyGuard, ConnectionLimiter, Slot, SlotGuard};
use crate::server::{body, client_ip, near_miss, request_head};

/// Maximum time for a silent peer to begin its first request once the daemon is stopping.
pub const FIRST_REQUEST_LIMIT: Duration = Duration::from_secs(1);
/// Value that ends the connection after the answer.
const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// Unread rest of a refused body.
pub struct UnreadBody {
    pub body: Incoming,
    /// True if the sender waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
}

/// Guards of an HTTP/2 request, in addition to those of its connection.
type RequestGuards = (BusyGuard, SlotGuard);
/// Guards of a request in progress, and the memory of its body, which may be needed longer.
type InProgress = ((BusyGuard, Option<RequestGuards>), Arc<Reservation>);
/// Entry point of all requests, shared by all connections.
pub struct RequestHandler {
    /// Rules in force.
    pub live: Arc<Live<RuleSet>>,
    /// Next step for received events. Until it is there, because the store is not reached, every
    /// request is answered 503.
    pub ingest: OnceLock<Arc<Ingest>>,
    pub metrics: Arc<Metrics>,
    /// Rate limits.
    pub limiter: Limiter,
    pub clock: Clock,
    /// Maximum time for a request's head, for its body, and for a peer that does not read its
    /// answer.
    pub request_timeout: Duration,
    /// Slots for HTTP/2 requests, as many as there are connections. One connection may bring many.
    pub request_slots: ConnectionLimiter,
    /// Memory for the heads of all HTTP/2 requests.
    pub header_budget: Arc<HeaderBudget>,
    /// Memory for the bodies of all requests.
    pub body_budget: Arc<BodyBudget>,
    /// Cancelled when the daemon begins to stop. No connection is accepted any more, and none is
    /// kept after its current request.
    pub closing: CancellationToken,
    /// Cancelled when `stop_grace` is over. No request is accepted any more.
    pub shutdown: CancellationToken,
}

impl RequestHandler {
    /// Returns when the daemon is stopping and accepted connections have had the time to begin.
    pub async fn closing_grace(&self) {
        self.closing.cancelled().await;
        tokio::time::sleep(FIRST_REQUEST_LIMIT).await;
    }

    /// Answers one request from `peer`. Never fails: every error is an answer.
    pub async fn answer(
        &self,
        request: Request<Incoming>,
        peer: Peer,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let version = request.version();
        let (answer, unread) = self.handle(request, peer).await;
        self.respond(answer, unread, version).await
    }

    /// Processes a request. Returns the answer, and the rest of the body if it was not read.
    pub async fn handle(&self, request: Request<Incoming>, mut peer: Peer) -> (Answer, Option<UnreadBody>) {
        // Loaded once: a reload in between does not mix two sets in one request.
        let rules = self.live.current();
        let is_revoked = peer.revoke_untrusted(rules.server.tls.as_ref(), self.clock.now());
        if is_revoked {
            let why = "no authority in force vouches for it now";
            report::peer_failed("client certificate", &why, peer.address);
        }
        let (head, mut body) = request.into_parts();
        let expects_continue = head.headers.contains_key(header::EXPECT);
        let Some(ingest) = self.ingest.get() else {
            let unread = UnreadBody {
                body,
                expects_continue,
            };
            return (Answer::unavailable(), Some(unread));
        };
        let (mut answer, unread) = match self.read_request(ingest, &rules, head, &mut body, peer).await {
            Ok((endpoint, received, (_in_progress, memory))) => {
                (ingest.accept(&rules, endpoint, received, memory).await, None)
            }
            Err(answer) => (
                answer,
                Some(UnreadBody {
                    body,
                    expects_continue,
                }),
            ),
        };
        if is_revoked {
            answer = closing(answer);
        }
        (answer, unread)
    }

    /// Builds the response, once the rest of a refused body has been drained.
    pub async fn respond(
        &self,
        mut answer: Answer,
        unread: Option<UnreadBody>,
        version: Version,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        if let Some(UnreadBody { mut body, expects_continue }) = unread
            && !body.is_end_stream()
            // A client that waits for `100 Continue` sends no body.
            && (expects_continue || !body::drain(&mut body).await)
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
    async fn read_request<'r>(
        &'r self,
        ingest: &Ingest,
        rules: &'r RuleSet,
        head: Parts,
        body: &mut Incoming,
        peer: Peer,
    ) -> Result<(&'r Endpoint, Received, InProgress), Answer> {
        let is_http2 = head.version == Version::HTTP_2;
        let trusted = &rules.server.trusted_proxies;
        let reported = (!peer.unaddressed).then(|| client_ip::client(peer.address, &head.headers, trusted));
        let client = reported.flatten();
        let (endpoint, mut received) = self.route(rules, head, client).map_err(|answer| *answer)?;
        received.certificate = peer
            .certificate
            .map(|presented| Arc::clone(&presented.certificate));
        let arriving = |received| Arriving::new(rules, endpoint, received);
        if !endpoint.admits(&received.method) {
            let answer = Answer::other_method(&received.method, &endpoint.allowed_methods());
            if received.method == Method::OPTIONS {
                return Err(answer);
            }
            return Err(ingest.turn_away(arriving(&received), answer, "wrong method"));
        }
        if !endpoint.allows(client) {
            return Err(ingest.bar(arriving(&received)));
        }
        let now = Instant::now();
        if let Err(after) = self.limiter.admit(rules, endpoint, client, now) {
            let answer = Answer::too_often(after);
            return Err(ingest.turn_away(arriving(&received), answer, "rate limit"));
        }
        let memory = BodyMemory {
            budget: &self.body_budget,
            bounds: Bounds::new(rules.server.max_inflight, rules.server.largest_body),
            client: body_client(client, peer.address, &peer.slot),
        };
        let read = if is_http2 {
            self.read_in_slot(body, endpoint.max_body, &peer.slot, memory)
                .await
        } else {
            let read = body::read(body, endpoint.max_body, self.request_timeout, memory).await;
            read.map(|body| (body, None))
        };
        // If the connection is being evicted, no answer can be sent, so the event is not accepted.
        let body_and_guards = match read {
            Ok(((body, memory), guards)) => {
                let busy = peer.slot.begin_work().ok_or_else(evicted);
                busy.map(|busy| (body, ((busy, guards), Arc::new(memory))))
            }
            Err(rejection) => Err(rejection),
        };
        let (body, busy) =
            body_and_guards.map_err(|(answer, why)| ingest.turn_away(arriving(&received), answer, &why))?;
        received.body = body;
        received.at = self.clock.now();
        received.id = EventId::new(received.at);
        Ok((endpoint, received, busy))
    }

    /// Reads the body of an HTTP/2 request. Waits for a slot first, and stops if the slot is
    /// evicted.
    async fn read_in_slot(
        &self,
        body: &mut Incoming,
        limit: u64,
        connection: &Slot,
        memory: BodyMemory<'_>,
    ) -> Result<((Bytes, Reservation), Option<RequestGuards>), BodyRejection> {
        let acquiring = self.request_slots.acquire(Some(connection.holder()));
        let guard = tokio::time::timeout(self.request_timeout, acquiring).await;
        let Ok((guard, eviction)) = guard else {
            return Err((Answer::unavailable(), "there is no room".to_owned()));
        };
        if let Some(left_out) = eviction {
            tracing::warn!(
                left_out,
                "`max_connections` requests over HTTP/2 reached: evicted an idle one"
            );
        }
        let body = tokio::select! {
            biased;
            read = body::read(body, limit, self.request_timeout, memory) => read?,
            () = guard.slot.eviction() => return Err(evicted()),
        };
        let busy = guard.slot.begin_work().ok_or_else(evicted)?;
        Ok((body, Some((busy, guard))))
    }

    /// Checks a head before its endpoint is looked up. The error is the answer and the reason.
    fn check_head(&self, head: &mut Parts) -> Result<(), (Box<Answer>, &'static str)> {
        let refused = |status, word, why| Err((Box::new(Answer::new(status, word, None)), why));
        if let Err(why) = request_head::check(head) {
            return refused(StatusCode::BAD_REQUEST, "bad request", why);
        }
        if request_head::has_other_transfer_coding(&head.headers) {
            let why = "a transfer coding other than `chunked`";
            return refused(StatusCode::NOT_IMPLEMENTED, "not implemented", why);
        }
        // Requests on accepted connections are served until then: some senders never retry.
        if self.shutdown.is_cancelled() {
            return Err((Box::new(Answer::unavailable()), "the daemon is stopping"));
        }
        Ok(())
    }

    /// Finds the endpoint of a request and builds what is known before the body.
    fn route<'r>(
        &self,
        rules: &'r RuleSet,
        mut head: Parts,
        client: Option<IpAddr>,
    ) -> Result<(&'r Endpoint, Received), Box<Answer>> {
        let refused = self.check_head(&mut head);
        let path = head.uri.path();
        let turn_away = |answer: Answer, why: &str| {
            report::turned_away(&self.metrics, path, client, answer.status.as_u16(), why);
            Box::new(answer)
        };
        refused.map_err(|(answer, why)| turn_away(closing(*answer), why))?;
        if path == "*" && head.method == Method::OPTIONS {
            // The request asks about the server, not about an endpoint (RFC 9110 §9.3.7).
            return Err(Box::new(Answer::options(Method::OPTIONS.as_str())));
        }
        let normalized = url_path::normalized(path);
        let found = rules
            .endpoint(&normalized)
            .and_then(|(endpoint, parameters)| Some((endpoint, path_parameters(&parameters)?)));
        let Some((endpoint, parameters)) = found else {
            let answer = Answer::new(StatusCode::NOT_FOUND, "not found", None);
            let hint = || near_miss::hint(rules, path);
            report::turned_away_with(
                &self.metrics,
                path,
                client,
                answer.status.as_u16(),
                "no such endpoint",
                hint,
            );
            return Err(Box::new(answer));
        };
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
}

/// Returns the client to which the memory of a body is counted: the one named by a trusted proxy,
/// else the holder of the connection.
fn body_client(client: Option<IpAddr>, peer: Option<IpAddr>, connection: &Slot) -> ClientKey {
    match client {
        Some(reported) if client != peer => ClientKey::of(reported),
        _ => connection.holder(),
    }
}

/// Answer for a request that was evicted.
fn evicted() -> BodyRejection {
    (Answer::unavailable(), "an idle request was evicted".to_owned())
}

/// Marks an answer to a request whose body is unread: the connection cannot be reused.
fn closing(mut answer: Answer) -> Answer {
    answer.headers.insert(header::CONNECTION, CLOSE);
    answer
}
