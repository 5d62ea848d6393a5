//! The request that goes out: which headers of the sender's go on, which are ours, what the body is.

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, FORWARDED, HOST, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::Full;
use minijinja::Value;

use crate::act::action_context::ActionContext;
use crate::act::forward::{Forward, target};
use crate::base::clock::Timestamp;
use crate::template::Template;
use crate::verify::OutgoingRequest;

/// What we call ourselves.
const AGENT: &str = concat!("hookyard/", env!("CARGO_PKG_VERSION"));
/// Carries the event's id.
const EVENT_ID: HeaderName = HeaderName::from_static("x-hookyard-event-id");
/// Says that the sender was not verified; left out where it was.
const VERIFIED: HeaderName = HeaderName::from_static("x-hookyard-verified");
/// What headers of ours begin with: nobody else's of that name go on.
const OURS: &str = "x-hookyard-";
/// Carries the delivery's id, the same for every try, so that the target can tell a second try from a second event.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The headers of one connection (RFC 9110 §7.6.1); another connection has its own.
const OF_THE_CONNECTION: [&str; 9] = [
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
/// Headers about the body, which do not hold for another one.
const ABOUT_THE_BODY: [&str; 6] = [
    "content-type",
    "content-encoding",
    "content-language",
    "content-md5",
    "content-digest",
    "digest",
];

/// Whether a header speaks of the connection rather than of the message.
pub fn is_of_the_connection(name: &HeaderName) -> bool {
    OF_THE_CONNECTION.contains(&name.as_str())
}

impl Forward {
    /// The request for this occasion; the error says why there can be none.
    pub fn request(
        &self,
        action_context: &ActionContext<'_>,
        now: Timestamp,
    ) -> Result<Request<Full<Bytes>>, String> {
        let values = if self.holds_templates() {
            action_context.values()
        } else {
            Value::UNDEFINED
        };
        let url = self
            .url
            .render(&values)
            .map_err(|error| format!("url: {error}"))?;
        let mut uri = target::rendered(&self.url, &url)?;
        let mut headers = passed_on(action_context);
        let mut body = self.content(action_context, &values, &mut headers)?;
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
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
                .render(&values)
                .map_err(|error| format!("header `{name}`: {error}"))?;
            let mut value = header(name, &value)?;
            // Kept out of any debug output of the client's.
            value.set_sensitive(template.literal().is_none());
            headers.insert(name.clone(), value);
        }
        // Last, for it covers all that goes out. The id is the delivery's: a second try is no second event.
        if let Some(scheme) = &self.sign {
            let signed = scheme
                .sign(&OutgoingRequest {
                    method: &self.method,
                    url: &url,
                    headers: &headers,
                    body: &body,
                    at: now,
                    id: &action_context.delivery,
                    // A target believes a fresh timestamp alone, and this may be the last of many tries.
                    restamp: true,
                })
                .map_err(|error| format!("sign: {error}"))?;
            // What the sender has said under these names was not said by us.
            for name in scheme.own_headers() {
                headers.remove(name);
            }
            uri = target::rendered(&self.url, &signed.url(&url))?;
            for (name, value) in signed.headers {
                headers.insert(name, value);
            }
            body = signed.body.map_or(body, Bytes::from);
        }
        // No body, where one is expected: some servers ask for its length all the same (411).
        if body.is_empty() && [Method::POST, Method::PUT, Method::PATCH].contains(&self.method) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// The body, and in `headers` what is to be said about it.
    fn content(
        &self,
        action_context: &ActionContext<'_>,
        values: &Value,
        headers: &mut HeaderMap,
    ) -> Result<Bytes, String> {
        let bodiless = self.method == Method::GET || self.method == Method::HEAD;
        if self.body.is_some() || bodiless {
            for name in ABOUT_THE_BODY {
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

    fn holds_templates(&self) -> bool {
        self.templates()
            .iter()
            .any(|template| template.literal().is_none())
    }

    /// Whether it says something of the payload. The original body needs no reading.
    pub fn reads_payload(&self) -> bool {
        self.templates().into_iter().any(Template::reads_payload)
    }
}

/// The sender's headers that go on.
fn passed_on(action_context: &ActionContext<'_>) -> HeaderMap {
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
        let stays = is_of_the_connection(name)
            || action_context.withholds(name)
            // The target's answer is kept as it is: it had better be readable.
            || [HOST, CONTENT_LENGTH, EXPECT, FORWARDED, ACCEPT_ENCODING].contains(name)
            || name.as_str().starts_with("x-forwarded-")
            || name.as_str().starts_with(OURS)
            || named_by_connection.iter().any(|named| named == name.as_str());
        if !stays {
            headers.append(name.clone(), value.clone());
        }
    }
    headers
}

/// A header's value; one with a line break would be two headers.
fn header(name: &HeaderName, value: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_bytes(value.as_bytes()).map_err(|error| {
        format!("header `{name}`: {error}: a header is one line of text without control characters")
    })
}
