//! Action `forward`: sends the event over HTTP.
//!
//! By default the body is sent byte for byte, with its content type and the sender's other headers.
//! Credentials and headers of the connection are left out. If an event names the target's host,
//! only public addresses are reached. Redirects are not followed.

mod circuit;
mod classify;
mod compile;
mod original;
mod pacer;
mod perform;
mod request;
mod status;
mod target;
mod target_health;

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use minijinja::Value;
use serde_json::json;

use crate::act::action_context::ActionContext;
use crate::act::forward::original::{ForwardMethod, ORIGINAL};
use crate::act::forward::pacer::Rate;
use crate::act::forward::status::StatusMeanings;
use crate::act::outcome::Verdict;
use crate::act::rendered::RenderedAction;
use crate::base::clock::Timestamp;
use crate::base::units::HumanDuration;
use crate::client::Route;
use crate::template::{PartRead, RenderError, Template};
use crate::verify::Verification;

pub use classify::MAX_RETRY_AFTER;
pub use compile::DEFAULT_TIMEOUT;
pub use perform::{Forwarder, WAITS_FOR_CIRCUIT, WAITS_FOR_RATE, WAITS_FOR_TARGET};
pub use target_health::TargetState;

/// Compiled `forward` action.
#[derive(Debug)]
pub struct Forward {
    method: ForwardMethod,
    url: Template,
    /// True if the original path is added to that of the URL.
    original_path: bool,
    /// True if the original query is added to that of the URL.
    original_query: bool,
    headers: Vec<(HeaderName, Template)>,
    /// Template of the body. If absent, the bytes as they arrived.
    body: Option<Template>,
    /// Scheme that signs the request.
    sign: Option<Box<Verification>>,
    route: Box<Route>,
    /// Meaning of a response's status, where it differs from the default.
    status: StatusMeanings,
    /// Maximum rate of requests to the target.
    rate: Option<Rate>,
    timeout: Duration,
}

impl Forward {
    pub(super) fn templates(&self) -> Vec<&Template> {
        let headers = self.headers.iter().map(|(_, template)| template);
        std::iter::once(&self.url)
            .chain(headers)
            .chain(&self.body)
            .collect()
    }

    /// Parts of the original request that are passed on.
    pub(super) fn passes_on(&self) -> Vec<PartRead> {
        let original = [
            ("method", matches!(self.method, ForwardMethod::Original)),
            ("path", self.original_path),
            ("query", self.original_query),
        ];
        let original = original.into_iter().filter(|(_, original)| *original);
        original.map(|(part, _)| PartRead { part, name: None }).collect()
    }

    /// The request as an attempt at `now` would send it.
    pub(super) fn rendered(
        &self,
        context: &ActionContext<'_>,
        now: Timestamp,
    ) -> Result<RenderedAction, String> {
        let built = self.request(context, now)?;
        Ok(RenderedAction::Forward {
            method: built.method,
            url: built.uri.to_string(),
            headers: built.headers,
            body: built.body,
        })
    }

    /// The target as it is compared. `None` if the event names it.
    pub(super) fn target(&self) -> Option<String> {
        let url = self.url.source();
        (!target::is_of_the_event(url)).then(|| target::normal(target::base(url)))
    }

    /// The target of a URL as it is compared.
    pub(super) fn target_of(url: &str) -> Result<String, &'static str> {
        target::of_url(url)
    }

    pub(super) fn time_limit(&self) -> Duration {
        self.timeout
    }

    /// The verdict on a response, and its detail.
    pub(super) fn verdict_on(
        &self,
        status: u16,
        retry_after: Option<Duration>,
        now: Timestamp,
    ) -> (Verdict, String) {
        let mut headers = HeaderMap::new();
        if let Some(after) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs()));
        }
        let status = StatusCode::from_u16(status).unwrap_or_default();
        classify::classify(status, &headers, now, &self.status)
    }

    /// Describes the request that would be sent.
    pub fn describe(&self, values: &Value) -> Result<serde_json::Value, RenderError> {
        let mut headers = serde_json::Map::new();
        for (name, template) in &self.headers {
            headers.insert(name.as_str().to_owned(), template.render_masked(values)?.into());
        }
        let body = match &self.body {
            Some(template) => template.render_masked(values)?,
            None => "(the body as it arrived)".to_owned(),
        };
        let mut described = json!({
            "forward": {
                "url": self.url.render_masked(values)?,
                "method": self.method.name(),
                "headers": headers,
                "body": body,
            },
            "timeout": HumanDuration(self.timeout).to_string(),
        });
        let parts = [("path", self.original_path), ("query", self.original_query)];
        for (name, _) in parts.into_iter().filter(|(_, original)| *original) {
            let request = described.get_mut("forward");
            if let Some(request) = request.and_then(serde_json::Value::as_object_mut) {
                request.insert(name.to_owned(), ORIGINAL.into());
            }
        }
        if let (Some(sign), Some(members)) = (&self.sign, described.as_object_mut()) {
            members.insert("sign".to_owned(), (**sign.scheme()).into());
        }
        Ok(described)
    }
}
