//! The request to explain, from the arguments or from a captured file.
//!
//! It passes the same checks, in the same order, as a request to `serve`, except verification.

use std::sync::Arc;

use http::StatusCode;

use super::described::Described;
use super::{Arguments, WouldRefuse, captured};
use crate::base::clock::Clock;
use crate::base::json_plan::Plan;
use crate::base::url_path;
use crate::cli::method as method_of;
use crate::event::{EventId, Received};
use crate::payload::{self, Event, Payload};
use crate::pipeline::TOO_LARGE;
use crate::rules::{Endpoint, RuleSet, path_parameters};
use crate::verify::Refusal;

/// A request to an existing endpoint.
pub(super) struct ExplainedRequest<'r> {
    pub(super) endpoint: &'r Endpoint,
    pub(super) received: Received,
    /// True if all parameters of the path decode to UTF-8.
    readable: bool,
}

impl<'r> ExplainedRequest<'r> {
    /// Builds the `stored` request, or the one that the arguments describe.
    pub(super) fn new(
        arguments: &Arguments,
        stored: Option<Described>,
        rules: &'r RuleSet,
    ) -> Result<Self, String> {
        let Described {
            target,
            method,
            headers,
            client,
            body,
        } = match (stored, &arguments.captured) {
            (Some(stored), _) => stored,
            (None, Some(captured)) => captured::read(captured)?,
            (None, None) => Described::by(arguments, rules)?,
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
        let parameters = path_parameters(&parameters);
        let at = Clock::system().now();
        let received = Received {
            id: EventId::new(at),
            at,
            endpoint: Arc::clone(&endpoint.path),
            method,
            path: uri.path().to_owned(),
            query: uri.query().unwrap_or_default().to_owned(),
            parameters: parameters.clone().unwrap_or_default(),
            client,
            certificate: None,
            headers,
            body: body.into(),
        };
        Ok(Self {
            endpoint,
            received,
            readable: parameters.is_some(),
        })
    }

    /// Decodes the event, unless `serve` would refuse the request; checks run in the order of
    /// `serve`. `refusal`: the reason why a handshake would not be answered.
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
        let plan = Arc::new(Plan::everything());
        let (decode, unpack) = (endpoint.decode, endpoint.unpack.as_ref());
        let decoded =
            payload::decode_unpacked(decode, unpack, &received.headers, &received.body, limit, &plan);
        let payload = match decoded {
            Ok(payload) => payload,
            Err(error) if error.is_too_large() => return Err(WouldRefuse::new(TOO_LARGE, error.to_string())),
            Err(error) => Payload::unreadable(&error),
        };
        let views = endpoint.decode_views(&received.headers, &received.body, &|_| true);
        Ok(Event {
            received: Arc::new(received),
            payload,
            views,
            fired_by: None,
        })
    }
}
