//! Answers to senders: a status and one word, which is also sent in the header [`STATUS`].

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::event::EventId;

/// Header with the outcome of a request, also where the rules define the body of the answer.
pub const STATUS: HeaderName = HeaderName::from_static("x-hookyard-status");

/// Value of `Retry-After` in a 503 answer, in seconds.
const RETRY_AFTER: &str = "30";

/// Answer to a genuine sender whose body is unreadable for the rules.
pub const INVALID: (StatusCode, &str) = (StatusCode::BAD_REQUEST, "invalid payload");

/// Answer to a genuine sender whose body is too large after decompression.
pub const TOO_LARGE: (StatusCode, &str) = (StatusCode::PAYLOAD_TOO_LARGE, "too large");

/// An answer, ready to be sent.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    /// Outcome of the request in one word: the value of [`STATUS`].
    pub outcome: &'static str,
    /// Headers other than `Content-Length`.
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The reason why the stated body could not be rendered.
    pub unrendered: Option<String>,
    /// The reason of a refusal in one word, as records and logs use it. Never sent.
    pub refusal: Option<&'static str>,
}

impl Answer {
    /// Builds `{"status": word, "id": …}`. Both come from this program, so nothing needs escaping.
    pub fn new(status: StatusCode, word: &'static str, id: Option<EventId>) -> Self {
        let body = match id {
            Some(id) => format!("{{\"status\":\"{word}\",\"id\":\"{id}\"}}\n"),
            None => format!("{{\"status\":\"{word}\"}}\n"),
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self {
            status,
            outcome: outcome(word),
            headers,
            body: body.into(),
            unrendered: None,
            refusal: None,
        }
    }

    pub fn handshake(status: StatusCode, headers: HeaderMap, body: Bytes) -> Self {
        Self {
            status,
            outcome: "handshake",
            headers,
            body,
            unrendered: None,
            refusal: None,
        }
    }

    pub fn outcome_value(&self) -> HeaderValue {
        HeaderValue::from_static(self.outcome)
    }

    /// The answer to an untrusted request. The body is the same whatever the reason. A `challenge`
    /// asks for credentials (401).
    pub fn refused(challenge: Option<&'static str>) -> Self {
        let status = if challenge.is_some() {
            StatusCode::UNAUTHORIZED
        } else {
            StatusCode::FORBIDDEN
        };
        let mut answer = Self::new(status, "refused", None);
        if let Some(challenge) = challenge {
            answer
                .headers
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        answer
    }

    /// The answer if the event cannot be stored now or the daemon is stopping. The sender may
    /// retry.
    pub fn unavailable() -> Self {
        let mut answer = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", None);
        answer
            .headers
            .insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        answer
    }

    /// The answer to a client above its rate limit, which may retry `after` this time.
    pub fn too_often(after: Duration) -> Self {
        let mut answer = Self::new(StatusCode::TOO_MANY_REQUESTS, "too many requests", None);
        // Rounded up to whole seconds, so that the client does not retry too early.
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        answer
            .headers
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        answer
    }

    /// The answer to a method that the endpoint does not accept. `OPTIONS` lists the methods, any
    /// other gets 405.
    pub fn other_method(method: &Method, allow: &str) -> Self {
        if method == Method::OPTIONS {
            return Self::options(allow);
        }
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed", None).allowing(allow)
    }

    /// The answer to `OPTIONS`.
    pub fn options(allow: &str) -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            outcome: "options",
            headers: HeaderMap::new(),
            body: Bytes::new(),
            unrendered: None,
            refusal: None,
        }
        .allowing(allow)
    }

    /// Adds an `Allow` header.
    fn allowing(mut self, allow: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(allow) {
            self.headers.insert(header::ALLOW, value);
        }
        self
    }
}

/// Returns the header's word for the word in the body.
fn outcome(word: &'static str) -> &'static str {
    match word {
        "bad request" => "bad-request",
        "invalid payload" => "unreadable",
        "method not allowed" => "method-not-allowed",
        "not found" => "not-found",
        "too large" => "too-large",
        "too many requests" => "limited",
        "too slow" => "too-slow",
        word => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_an_answer_is_one_word_in_its_header() {
        for (word, expected) in [
            ("accepted", "accepted"),
            ("duplicate", "duplicate"),
            ("invalid payload", "unreadable"),
            ("too many requests", "limited"),
            ("not found", "not-found"),
        ] {
            let answer = Answer::new(StatusCode::OK, word, None);
            assert_eq!(answer.outcome_value(), expected, "{word}");
        }
        assert_eq!(Answer::unavailable().outcome, "unavailable");
        assert_eq!(Answer::refused(None).outcome, "refused");
        assert_eq!(Answer::options("POST").outcome, "options");
    }
}
