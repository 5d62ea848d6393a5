//! A verified arrival: what was received, and what it says.

use std::sync::Arc;

use serde_json::Value;

use super::Decode;
use crate::jsonpath::LargeIntegers;
use crate::verify::Received;

/// How a body was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// JSON, whatever its content type said: the body as it was sent is its text.
    Json,
    /// JSON that stood in something else: in a field of a form, a content coding, a charset other than UTF-8.
    InnerJson,
    /// Fields of a form, as an object of strings (a list where a field repeats).
    Form,
    /// Parts of a form, as an object of strings and descriptions of files (a list where a name repeats).
    Multipart,
    /// XML, as an object that holds its root.
    Xml,
    /// Text, or nothing that has a structure: the payload is one string, or null for no body at all.
    Text,
}

/// What a body says.
#[derive(Clone, Debug)]
pub struct Payload {
    /// How it was read.
    pub kind: Kind,
    /// What it says. Shared, for templates and conditions read it in place.
    pub value: Arc<Value>,
    /// The digits of those integers of the value that do not fit 64 bits.
    pub integers: LargeIntegers,
}

impl Payload {
    /// A payload whose integers are exact as they are.
    pub fn new(kind: Kind, value: Arc<Value>) -> Self {
        Self {
            kind,
            value,
            integers: LargeIntegers::default(),
        }
    }

    /// The payload that a JSON text holds.
    pub(super) fn from_json(kind: Kind, text: &str) -> serde_json::Result<Self> {
        let value = Arc::new(serde_json::from_str(text)?);
        Ok(Self {
            integers: LargeIntegers::read(text, &value),
            ..Self::new(kind, value)
        })
    }
}

/// A verified arrival with its decoded payload. The raw body stays in [`Event::received`].
#[derive(Clone, Debug)]
pub struct Event {
    /// What arrived, byte for byte.
    pub received: Arc<Received>,
    /// What it says.
    pub payload: Payload,
}

impl Event {
    /// One that was taken before, with its body decoded anew, in the way of this name; or why it cannot be.
    pub fn kept(received: Arc<Received>, decode: &str) -> Result<Self, String> {
        let known = Decode::from_name(decode).ok_or_else(|| format!("unknown decoding `{decode}`"))?;
        // It was within `max_body` when it was taken; one that was lowered since does not make it unreadable.
        let payload = super::decode(known, &received.headers, &received.body, u64::MAX)
            .map_err(|error| error.to_string())?;
        Ok(Self { received, payload })
    }
}
