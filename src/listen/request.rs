//! From a request on the wire to what was received: route, method, size and time before anything else.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::live::Live;
use crate::pipeline::{Answer, Intake};
use crate::report;
use crate::rules::{Endpoint, RuleSet};
use crate::verify::{EventId, Received};

/// After this answer the connection is ended.
const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// What a request meets first.
pub struct Door {
    /// The rules in force.
    pub live: Arc<Live<RuleSet>>,
    /// Takes it from there.
    pub intake: Arc<Intake>,
    /// The time.
    pub clock: Clock,
    /// How long a request's head may take, again its body, and again a peer that does not read its answer.
    pub request_timeout: Duration,
    /// Nothing new is taken: the daemon is stopping.
    pub closing: CancellationToken,
}

impl Door {
    /// Answers one request. It never fails: whatever goes wrong is an answer.
    pub async fn answer(
        &self,
        request: Request<Incoming>,
        client: Option<IpAddr>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        // Taken once: a reload in between does not mix two sets in one request.
        let rules = self.live.current();
        let answer = match self.receive(&rules, request, client).await {
            Ok((endpoint, received)) => self.intake.accept(endpoint, received).await,
            Err(answer) => answer,
        };
        let mut response = Response::new(Full::new(answer.body));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        let nosniff = HeaderValue::from_static("nosniff");
        response
            .headers_mut()
            .insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
        if self.closing.is_cancelled() {
            response.headers_mut().insert(header::CONNECTION, CLOSE);
        }
        Ok(response)
    }

    /// Finds the endpoint and reads the body within its bounds.
    async fn receive<'r>(
        &self,
        rules: &'r RuleSet,
        request: Request<Incoming>,
        client: Option<IpAddr>,
    ) -> Result<(&'r Endpoint, Received), Answer> {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let turn_away = |answer: Answer, why: &str| {
            report::turned_away(path, client, answer.status.as_u16(), why);
            answer
        };
        if let Some(why) = malformed(&head) {
            let answer = Answer::new(StatusCode::BAD_REQUEST, "bad request", None);
            return Err(turn_away(closing(answer), why));
        }
        if self.closing.is_cancelled() {
            return Err(turn_away(
                closing(Answer::unavailable()),
                "the daemon is stopping",
            ));
        }
        if path == "*" && head.method == Method::OPTIONS {
            // Asked of the server rather than of an endpoint (RFC 9110 §9.3.7): it is there.
            return Err(Answer::options(Method::OPTIONS.as_str()));
        }
        let found = rules
            .endpoint(path)
            .and_then(|(endpoint, parameters)| Some((endpoint, decoded(&parameters)?)));
        let Some((endpoint, parameters)) = found else {
            let answer = Answer::new(StatusCode::NOT_FOUND, "not found", None);
            return Err(turn_away(answer, "no such endpoint"));
        };
        if !endpoint.admits(&head.method) {
            let answer = Answer::other_method(&head.method, &endpoint.allow());
            if head.method == Method::OPTIONS {
                return Err(answer);
            }
            return Err(turn_away(answer, "wrong method"));
        }
        let too_large = || Answer::new(StatusCode::PAYLOAD_TOO_LARGE, "too large", None);
        if body.size_hint().lower() > endpoint.max_body {
            return Err(turn_away(closing(too_large()), "too large"));
        }
        let limit = usize::try_from(endpoint.max_body).unwrap_or(usize::MAX);
        let reading = tokio::time::timeout(self.request_timeout, Limited::new(body, limit).collect());
        let body = match reading.await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return Err(turn_away(closing(too_large()), "too large"));
            }
            Ok(Err(error)) => {
                let answer = Answer::new(StatusCode::BAD_REQUEST, "incomplete", None);
                return Err(turn_away(
                    closing(answer),
                    &format!("the body could not be read: {error}"),
                ));
            }
            Err(_) => {
                let answer = Answer::new(StatusCode::REQUEST_TIMEOUT, "too slow", None);
                return Err(turn_away(closing(answer), "too slow"));
            }
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
            method: head.method,
            headers: head.headers,
            body,
        };
        Ok((endpoint, received))
    }
}

/// What is wrong with a head that a proxy and a server might understand differently (RFC 9112 §3.2).
fn malformed(head: &Parts) -> Option<&'static str> {
    match head.headers.get_all(header::HOST).iter().count() {
        0 if head.version >= Version::HTTP_11 => Some("no Host"),
        0 | 1 => None,
        _ => Some("more than one Host"),
    }
}

/// The parameters of a path, percent-decoded. One that is not UTF-8 names nothing that could exist.
fn decoded(parameters: &matchit::Params<'_, '_>) -> Option<Vec<(String, String)>> {
    let decode = |(name, value): (&str, &str)| {
        let value = percent_encoding::percent_decode_str(value).decode_utf8().ok()?;
        Some((name.to_owned(), value.into_owned()))
    };
    parameters.iter().map(decode).collect()
}

/// An answer given while the body is still coming: the connection cannot be used again.
fn closing(mut answer: Answer) -> Answer {
    answer.headers.insert(header::CONNECTION, CLOSE);
    answer
}
