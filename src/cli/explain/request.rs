//! The request that is explained: as the arguments describe it, or as it was captured.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use http::{HeaderMap, StatusCode};

use super::{Arguments, WouldRefuse, captured};
use crate::base::clock::Clock;
use crate::base::url_path;
use crate::cli::{body, header, method as method_of};
use crate::event::{EventId, Received};
use crate::payload::{self, Event, Payload};
use crate::pipeline::TOO_LARGE;
use crate::rules::{Endpoint, RuleSet};
use crate::verify::Refusal;

/// A request as it is described.
pub(super) struct Described {
    /// Path and query.
    pub(super) target: String,
    /// The method.
    pub(super) method: String,
    /// The headers.
    pub(super) headers: HeaderMap,
    /// The client's address.
    pub(super) client: Option<IpAddr>,
    /// The body.
    pub(super) body: Vec<u8>,
}

impl Described {
    /// By the arguments one by one. The endpoint need not be named if there is only one to post to.
    fn by(arguments: &Arguments, rules: &RuleSet) -> Result<Self, String> {
        let target = match (&arguments.endpoint, rules.endpoints.as_slice()) {
            (Some(target), _) => target.clone(),
            (None, [only]) if !only.path.contains('{') => only.path.to_string(),
            (None, endpoints) => {
                let known: Vec<&str> = endpoints.iter().map(|endpoint| &*endpoint.path).collect();
                return Err(if known.is_empty() {
                    "the rules file has no endpoint".to_owned()
                } else {
                    format!(
                        "which endpoint? name a path with `--endpoint`; there are {}",
                        known.join(", ")
                    )
                });
            }
        };
        let mut headers = HeaderMap::new();
        for line in &arguments.headers {
            let (name, value) = header(line)?;
            headers.append(name, value);
        }
        Ok(Self {
            target,
            method: arguments.method.clone(),
            headers,
            client: arguments.client,
            body: body(arguments.body.as_deref().map(Path::new))?,
        })
    }
}

/// A request to an endpoint that there is.
pub(super) struct ExplainedRequest<'r> {
    /// The endpoint.
    pub(super) endpoint: &'r Endpoint,
    /// What would have arrived.
    pub(super) received: Received,
    /// Whether all parameters of its path can be read.
    readable: bool,
}

impl<'r> ExplainedRequest<'r> {
    /// The request that the arguments describe; an error if they describe none.
    pub(super) fn new(arguments: &Arguments, rules: &'r RuleSet) -> Result<Self, String> {
        let Described {
            target,
            method,
            headers,
            client,
            body,
        } = match &arguments.captured {
            Some(captured) => captured::read(captured)?,
            None => Described::by(arguments, rules)?,
        };
        let unknown = |why: &str| {
            let known: Vec<&str> = rules.endpoints.iter().map(|endpoint| &*endpoint.path).collect();
            format!("no endpoint `{target}`{why}; there are {}", known.join(", "))
        };
        if !target.starts_with('/') {
            return Err(unknown(": it begins with `/`"));
        }
        let uri: http::Uri = target
            .parse()
            .map_err(|error| format!("`{target}` is not a path: {error}"))?;
        let path = url_path::normalized(uri.path());
        let (endpoint, parameters) = rules.endpoint(&path).ok_or_else(|| unknown(""))?;
        let method = method_of(&method)?;
        let mut readable = true;
        let mut decode = |value: &str| {
            let decoded = percent_encoding::percent_decode_str(value).decode_utf8();
            readable &= decoded.is_ok();
            decoded.unwrap_or_default().into_owned()
        };
        let parameters = parameters
            .iter()
            .map(|(name, value)| (name.to_owned(), decode(value)))
            .collect();
        let at = Clock::system().now();
        let received = Received {
            id: EventId::new(at),
            at,
            endpoint: Arc::clone(&endpoint.path),
            method,
            path: uri.path().to_owned(),
            query: uri.query().unwrap_or_default().to_owned(),
            parameters,
            client,
            certificate: None,
            headers,
            body: body.into(),
        };
        Ok(Self {
            endpoint,
            received,
            readable,
        })
    }

    /// The event, unless `serve` would turn the request away; judged in the order of `serve`. `refusal` is why a
    /// handshake would not be answered.
    pub(super) fn event(self, refusal: Option<Refusal>) -> Result<Event, WouldRefuse> {
        let Self {
            endpoint, received, ..
        } = self;
        if !self.readable {
            let why = "a parameter of the path is not UTF-8";
            return Err(WouldRefuse::new((StatusCode::NOT_FOUND, "not found"), why));
        }
        if let Some(refusal) = refusal {
            let answer = if refusal.is_malformed() {
                (StatusCode::BAD_REQUEST, "bad request")
            } else {
                (StatusCode::FORBIDDEN, "refused")
            };
            return Err(WouldRefuse::new(answer, refusal.to_string()));
        }
        if !endpoint.methods.contains(&received.method) {
            let why = format!(
                "the endpoint takes {}, not {}",
                endpoint.allowed_methods(),
                received.method
            );
            let answer = (StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
            return Err(WouldRefuse::new(answer, why));
        }
        let size = received.body.len() as u64;
        if size > endpoint.max_body {
            let why = format!(
                "the body has {size} bytes, and `max_body` is {}",
                endpoint.max_body
            );
            return Err(WouldRefuse::new(
                (StatusCode::PAYLOAD_TOO_LARGE, "too large"),
                why,
            ));
        }
        let limit = endpoint.max_body;
        let payload = match payload::decode(endpoint.decode, &received.headers, &received.body, limit) {
            Ok(payload) => payload,
            Err(error) if error.is_too_large() => return Err(WouldRefuse::new(TOO_LARGE, error.to_string())),
            Err(error) => Payload::unreadable(&error),
        };
        Ok(Event {
            received: Arc::new(received),
            payload,
        })
    }
}
