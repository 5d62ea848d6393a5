//! Outgoing request of a forward: the sender's headers that are passed on, our own headers, and the
//! body.
//!
//! The sender's credentials and the headers of its connection are never passed on. Sending is left
//! to `perform.rs`.

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, FORWARDED, HOST, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use minijinja::Value;

use crate::act::action_context::ActionContext;
use crate::act::forward::{Forward, original, target};
use crate::base::clock::Timestamp;
use crate::template::Template;
use crate::verify::OutgoingRequest;

/// Value of `User-Agent`.
const USER_AGENT_VALUE: &str = concat!("hookyard/", env!("CARGO_PKG_VERSION"));
/// Header with the event id.
const EVENT_ID: HeaderName = HeaderName::from_static("x-hookyard-event-id");
/// Header that says that the sender was not verified. Absent if it was.
const VERIFIED: HeaderName = HeaderName::from_static("x-hookyard-verified");
/// Prefix of our own headers. Headers of the sender with this prefix are dropped.
const OWN_PREFIX: &str = "x-hookyard-";
/// Header with the delivery id. The id is the same for every attempt, so that the target can tell a
/// retry from a second event.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Headers of one connection (RFC 9110 §7.6.1). The next connection has its own.
const CONNECTION_HEADERS: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Headers that describe the body, and are dropped with it.
const BODY_HEADERS: [&str; 6] = [
    "content-type",
    "content-encoding",
    "content-language",
    "content-md5",
    "content-digest",
    "digest",
];

/// True if a header is about the connection and not about the content.
pub fn is_connection_header(name: &HeaderName) -> bool {
    CONNECTION_HEADERS.contains(&name.as_str())
}

/// A request that is ready to be sent.
pub struct BuiltRequest {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl From<BuiltRequest> for Request<Full<Bytes>> {
    fn from(built: BuiltRequest) -> Self {
        let mut request = Self::new(Full::new(built.body));
        *request.method_mut() = built.method;
        *request.uri_mut() = built.uri;
        *request.headers_mut() = built.headers;
        request
    }
}

impl Forward {
    /// Builds the request. The error is the reason why there can be none.
    pub fn request(
        &self,
        action_context: &ActionContext<'_>,
        now: Timestamp,
    ) -> Result<BuiltRequest, String> {
        let values = if self.has_templates() {
            action_context.values()
        } else {
            Value::UNDEFINED
        };
        let url = self
            .url
            .render(&values)
            .map_err(|error| format!("url: {error}"))?;
        let received = &action_context.event.received;
        let url = if self.original_path || self.original_query {
            original::extend(&url, received, self.original_path, self.original_query)?
        } else {
            url
        };
        let mut uri = target::rendered(&self.url, &url)?;
        let method = self.method.of(received);
        let mut headers = forwarded_headers(action_context);
        let mut body = self.content(action_context, method, &values, &mut headers)?;
        self.insert_own_headers(action_context, &values, &mut headers)?;
        // Sign last, because the signature covers all that is sent. The id is the delivery's: a
        // retry is not a second event.
        if let Some(scheme) = &self.sign {
            let signed = scheme
                .sign(&OutgoingRequest {
                    method,
                    url: &url,
                    headers: &headers,
                    body: &body,
                    at: now,
                    id: &action_context.delivery,
                    // A target accepts only a fresh timestamp, and this may be the last of many
                    // attempts.
                    restamp: true,
                })
                .map_err(|error| format!("sign: {error}"))?;
            // The sender's headers of these names are not part of our signature.
            for name in scheme.own_headers() {
                headers.remove(name);
            }
            uri = target::rendered(&self.url, &signed.url(&url))?;
            for (name, value) in signed.headers {
                headers.insert(name, value);
            }
            body = signed.body.map_or(body, Bytes::from);
        }
        // If a body is expected and empty, some servers still require its length (411).
        if body.is_empty() && [Method::POST, Method::PUT, Method::PATCH].contains(method) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        Ok(BuiltRequest {
            method: method.clone(),
            uri,
            headers,
            body,
        })
    }

    /// Adds hookyard's headers and those of the rule.
    fn insert_own_headers(
        &self,
        action_context: &ActionContext<'_>,
        values: &Value,
        headers: &mut HeaderMap,
    ) -> Result<(), String> {
        headers.insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_VALUE));
        for (name, value) in [
            (EVENT_ID, action_context.event.received.id.to_string()),
            (IDEMPOTENCY_KEY, action_context.delivery.clone()),
        ] {
            headers.insert(name.clone(), header(&name, &value)?);
        }
        if !action_context.verified {
            headers.insert(VERIFIED, HeaderValue::from_static("false"));
        }
        for (name, template) in &self.headers {
            let value = template
                .render(values)
                .map_err(|error| format!("header `{name}`: {error}"))?;
            let mut value = header(name, &value)?;
            // Keeps rendered values out of the client's debug output.
            value.set_sensitive(template.literal().is_none());
            headers.insert(name.clone(), value);
        }
        Ok(())
    }

    /// Returns the body, and adds the headers that describe it to `headers`.
    fn content(
        &self,
        action_context: &ActionContext<'_>,
        method: &Method,
        values: &Value,
        headers: &mut HeaderMap,
    ) -> Result<Bytes, String> {
        let bodiless = *method == Method::GET || *method == Method::HEAD;
        if self.body.is_some() || bodiless {
            for name in BODY_HEADERS {
                headers.remove(name);
            }
        }
        let Some(template) = &self.body else {
            return Ok(if bodiless {
                Bytes::new()
            } else {
                action_context.event.received.body.clone()
            });
        };
        let body = template
            .render(values)
            .map_err(|error| format!("body: {error}"))?;
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&body).is_ok();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static(if is_json {
                "application/json"
            } else {
                "text/plain; charset=utf-8"
            }),
        );
        Ok(Bytes::from(body))
    }

    fn has_templates(&self) -> bool {
        self.templates()
            .iter()
            .any(|template| template.literal().is_none())
    }

    /// True if a template uses the payload. The original body needs no decoding.
    pub fn reads_payload(&self) -> bool {
        self.templates().into_iter().any(Template::reads_payload)
    }
}

/// Returns the sender's headers that are passed on.
fn forwarded_headers(action_context: &ActionContext<'_>) -> HeaderMap {
    let arrived = &action_context.event.received.headers;
    let named_by_connection: Vec<String> = arrived
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let mut headers = HeaderMap::with_capacity(arrived.keys_len() + 4);
    for (name, value) in arrived {
        let is_dropped = is_connection_header(name)
            || action_context.withholds(name)
            // No compression: the target's response is kept as it is and should be readable.
            || [HOST, CONTENT_LENGTH, EXPECT, FORWARDED, ACCEPT_ENCODING].contains(name)
            || name.as_str().starts_with("x-forwarded-")
            || name.as_str().starts_with(OWN_PREFIX)
            || named_by_connection.iter().any(|named| named == name.as_str());
        if !is_dropped {
            headers.append(name.clone(), value.clone());
        }
    }
    headers
}

/// Converts a header's value. A line break in it would begin another header.
fn header(name: &HeaderName, value: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_bytes(value.as_bytes()).map_err(|error| {
        format!("header `{name}`: {error}: a header is one line of text without control characters")
    })
}
