//! The sender's name of an event, read from where its scheme says that the name stands.

use std::sync::Arc;

use http::HeaderName;
use serde_json::Value;

use crate::base::json_plan::Plan;
use crate::base::jsonpath::JsonPath;
use crate::payload::Event;

/// A location of the event's name.
#[derive(Clone, Debug)]
pub enum EventNameReader {
    Header(HeaderName),
    /// Path into the payload.
    Payload(Arc<JsonPath>),
    /// The first of these locations that has a name.
    First(Vec<Self>),
}

impl EventNameReader {
    /// Returns the name. `None` if it is missing, or if it is neither text nor a number.
    pub fn read(&self, event: &Event) -> Option<String> {
        match self {
            Self::Header(name) => {
                let value = event.received.headers.get(name)?;
                std::str::from_utf8(value.as_bytes()).ok().map(str::to_owned)
            }
            Self::Payload(_) if event.payload.decode_error.is_some() => None,
            Self::Payload(path) => {
                let tree = event.payload.document.tree_for(path);
                match path.select(&*tree.value, &tree.integers).first()? {
                    Value::String(text) => Some(text.clone()),
                    number @ Value::Number(_) => Some(number.to_string()),
                    _ => None,
                }
            }
            Self::First(parts) => parts.iter().find_map(|part| part.read(event)),
        }
    }

    /// Adds the values that are read of a JSON payload to `plan`.
    pub fn add_to(&self, plan: &mut Plan) {
        match self {
            Self::Header(_) => {}
            Self::Payload(path) => path.add_to(plan),
            Self::First(parts) => parts.iter().for_each(|part| part.add_to(plan)),
        }
    }

    /// The headers that are read.
    pub fn headers(&self) -> Vec<HeaderName> {
        match self {
            Self::Header(name) => vec![name.clone()],
            Self::Payload(_) => Vec::new(),
            Self::First(parts) => parts.iter().flat_map(Self::headers).collect(),
        }
    }

    /// True if the payload is read.
    pub fn reads_payload(&self) -> bool {
        match self {
            Self::Header(_) => false,
            Self::Payload(_) => true,
            Self::First(parts) => parts.iter().any(Self::reads_payload),
        }
    }
}
