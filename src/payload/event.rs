//! A verified arrival: what was received, and what it says.

use std::sync::Arc;

use serde_json::Value;

use crate::base::jsonpath::LargeIntegers;
use crate::event::Received;
use crate::payload::{Decode, Undecodable};

/// How a body was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
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
    /// It could not be read: there is no payload, and no rule learns anything from it.
    Unreadable,
}

/// What a body says.
#[derive(Clone, Debug)]
pub struct Payload {
    /// How it was read.
    pub kind: BodyKind,
    /// What it says. Shared, for templates and conditions read it in place.
    pub value: Arc<Value>,
    /// The digits of those integers of the value that do not fit 64 bits.
    pub integers: LargeIntegers,
    /// Why it could not be read, if it could not.
    pub fault: Option<Arc<str>>,
}

impl Payload {
    /// A payload whose integers are exact as they are.
    pub fn new(kind: BodyKind, value: Arc<Value>) -> Self {
        Self {
            kind,
            value,
            integers: LargeIntegers::default(),
            fault: None,
        }
    }

    /// One that could not be read. The event is there all the same, for rules that do not look into it.
    pub fn unreadable(why: &Undecodable) -> Self {
        Self {
            fault: Some(why.to_string().into()),
            ..Self::new(BodyKind::Unreadable, Arc::new(Value::Null))
        }
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
    /// One that was taken before, with its body decoded anew, in the way of this name. A body that could not be read then
    /// cannot be read now.
    pub fn kept(received: Arc<Received>, decode: &str) -> Result<Self, String> {
        let known = Decode::from_name(decode).ok_or_else(|| format!("unknown decoding `{decode}`"))?;
        // It was within `max_body` when it was taken; one that was lowered since does not make it unreadable.
        let payload = crate::payload::decode(known, &received.headers, &received.body, u64::MAX)
            .unwrap_or_else(|error| Payload::unreadable(&error));
        Ok(Self { received, payload })
    }
}
