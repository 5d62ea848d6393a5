//! Verified arrivals: the request as received, with its decoded payload.
//!
//! Decoding itself is left to `decode.rs`.

use std::sync::Arc;

use serde_json::Value;

use crate::base::jsonpath::LargeIntegers;
use crate::event::Received;
use crate::payload::{Decode, Undecodable};

/// The format in which a body was decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// JSON, whatever the content type: the body as sent is the JSON text.
    Json,
    /// JSON inside something else: a form field, a content coding, a charset other than UTF-8.
    InnerJson,
    /// Fields of a form, as an object of strings (a list where a field repeats).
    Form,
    /// Parts of a form, as an object of strings and file descriptions (a list where a name
    /// repeats).
    Multipart,
    /// XML, as an object that holds its root.
    Xml,
    /// Text without structure: the payload is one string, or null for an empty body.
    Text,
    /// The body could not be decoded. There is no payload, and conditions on it are unknown.
    Unreadable,
}

/// The decoded content of a body.
#[derive(Clone, Debug)]
pub struct Payload {
    pub kind: BodyKind,
    /// Shared: templates and conditions read it without copying.
    pub value: Arc<Value>,
    /// The digits of integers that do not fit 64 bits.
    pub integers: LargeIntegers,
    /// The reason why the body could not be decoded.
    pub decode_error: Option<Arc<str>>,
}

impl Payload {
    /// A payload without large integers.
    pub fn new(kind: BodyKind, value: Arc<Value>) -> Self {
        Self {
            kind,
            value,
            integers: LargeIntegers::default(),
            decode_error: None,
        }
    }

    /// A payload that could not be decoded. The event still exists, for rules that do not read the
    /// payload.
    pub fn unreadable(why: &Undecodable) -> Self {
        Self {
            decode_error: Some(why.to_string().into()),
            ..Self::new(BodyKind::Unreadable, Arc::new(Value::Null))
        }
    }
}

/// A verified arrival with its decoded payload. The raw body stays in [`Event::received`].
#[derive(Clone, Debug)]
pub struct Event {
    pub received: Arc<Received>,
    pub payload: Payload,
}

impl Event {
    /// An event from the store, with its body decoded again in the named format. A body that could
    /// not be decoded then cannot be decoded now.
    pub fn from_store(received: Arc<Received>, decode: &str) -> Result<Self, String> {
        let known = Decode::from_name(decode).ok_or_else(|| format!("unknown decoding `{decode}`"))?;
        // The body was within `max_body` when the event was accepted. A limit that was lowered
        // since must not make it unreadable.
        let payload = crate::payload::decode(known, &received.headers, &received.body, u64::MAX)
            .unwrap_or_else(|error| Payload::unreadable(&error));
        Ok(Self { received, payload })
    }
}
