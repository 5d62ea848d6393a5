//! Forward the request over HTTP.
//!
//! By default the very bytes that arrived go on, with their content type and the headers that are not the sender's
//! credentials and not of the connection. Where an event names the target's host, only public addresses are reached.
//! Redirects are not followed.

mod circuit;
mod compile;
mod judge;
mod perform;
mod rate;
mod request;
mod target;
mod targets;

use std::time::Duration;

use http::{HeaderName, Method};
use minijinja::Value;
use serde_json::json;

use crate::act::forward::rate::Rate;
use crate::base::units::HumanDuration;
use crate::client::Route;
use crate::template::{RenderError, Template};
use crate::verify::Verification;

pub use judge::MAX_RETRY_AFTER;
pub use perform::Forwarder;

/// A request to be made.
#[derive(Debug)]
pub struct Forward {
    method: Method,
    url: Template,
    headers: Vec<(HeaderName, Template)>,
    /// Absent: the bytes as they arrived.
    body: Option<Template>,
    /// Signs what goes out.
    sign: Option<Box<Verification>>,
    route: Box<Route>,
    /// How often its target is called.
    rate: Option<Rate>,
    timeout: Duration,
}

impl Forward {
    /// Its templates.
    pub(super) fn templates(&self) -> Vec<&Template> {
        let headers = self.headers.iter().map(|(_, template)| template);
        std::iter::once(&self.url)
            .chain(headers)
            .chain(&self.body)
            .collect()
    }

    /// What would be sent where.
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
                "method": self.method.as_str(),
                "headers": headers,
                "body": body,
            },
            "timeout": HumanDuration(self.timeout).to_string(),
        });
        if let (Some(sign), Some(members)) = (&self.sign, described.as_object_mut()) {
            members.insert("sign".to_owned(), sign.scheme().into());
        }
        Ok(described)
    }
}
