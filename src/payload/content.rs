//! The decoded content of a body, and the format in which it was decoded.

use std::sync::Arc;

use serde_json::Value;

use crate::base::json::{JsonDocument, JsonTree};
use crate::payload::undecodable::Undecodable;

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
    /// The content. Of JSON, only the parts that the rules select are in memory until something
    /// asks for the rest.
    pub document: JsonDocument,
    /// The reason why the body could not be decoded.
    pub decode_error: Option<Arc<str>>,
}

impl Payload {
    /// A payload without large integers.
    pub fn new(kind: BodyKind, value: Arc<Value>) -> Self {
        Self::of(kind, JsonTree::from(value).into())
    }

    pub(super) fn of(kind: BodyKind, document: JsonDocument) -> Self {
        Self {
            kind,
            document,
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

    /// The whole content.
    pub fn whole(&self) -> &JsonTree {
        self.document.whole()
    }
}
