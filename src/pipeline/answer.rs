//! What the sender is told: a status and one word.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::verify::EventId;

/// How long a sender is asked to stay away after a 503, in seconds.
const RETRY_AFTER: &str = "30";

/// An answer, ready to be sent.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// Headers beside the length.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// `{"status": word, "id": …}`. Both are ours, so nothing needs escaping.
    pub fn new(status: StatusCode, word: &str, id: Option<EventId>) -> Self {
        let body = match id {
            Some(id) => format!("{{\"status\":\"{word}\",\"id\":\"{id}\"}}\n"),
            None => format!("{{\"status\":\"{word}\"}}\n"),
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self {
            status,
            headers,
            body: body.into(),
        }
    }

    /// Not trusted. It looks the same whatever the reason; `challenge` asks for credentials (401).
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

    /// It cannot be written down now, or the daemon is stopping; the sender may come again.
    pub fn unavailable() -> Self {
        let mut answer = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", None);
        answer
            .headers
            .insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        answer
    }

    /// The client comes too often; it may come again after so long.
    pub fn too_often(after: Duration) -> Self {
        let mut answer = Self::new(StatusCode::TOO_MANY_REQUESTS, "too many requests", None);
        // In whole seconds, and none too early.
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        answer
            .headers
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        answer
    }

    /// The method is not one of the endpoint's: `OPTIONS` asks which ones are, any other is wrong.
    pub fn other_method(method: &Method, allow: &str) -> Self {
        if method == Method::OPTIONS {
            return Self::options(allow);
        }
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed", None).allowing(allow)
    }

    /// What may be sent here.
    pub fn options(allow: &str) -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
        .allowing(allow)
    }

    /// With an `Allow` header.
    fn allowing(mut self, allow: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(allow) {
            self.headers.insert(header::ALLOW, value);
        }
        self
    }
}
