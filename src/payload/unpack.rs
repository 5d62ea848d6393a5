//! Values inside a field: JSON or Base64 that a sender puts into a text of its payload.
//!
//! The payload is written out with the unpacked values in place and read again, so that everything
//! behind it, such as the digits of large integers, knows only one kind of document. The raw body stays
//! unchanged.

use std::collections::HashMap;
use std::sync::Arc;

use serde::ser::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::base::base64;
use crate::base::json::{self, JsonTree};
use crate::base::jsonpath::JsonPath;
use crate::payload::content::{BodyKind, Payload};
use crate::payload::undecodable::Undecodable;
use crate::payload::weight::weight;

/// Maximum memory of an unpacked payload, as a multiple of the size of its body. A body whose
/// unpacked payload takes more is unreadable.
pub const MAX_GROWTH: u64 = 32;
/// Memory that an unpacked payload may take, however small its body is, in bytes.
const ALWAYS_ALLOWED: u64 = 64 << 10;

/// The way in which a value is packed into a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Base64 of UTF-8 text, in either alphabet, with or without padding.
    Base64,
    /// JSON.
    Json,
}

/// The packed values of a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpack {
    fields: Vec<PackedField>,
}

/// The values that a path selects, and the ways in which they are packed.
#[derive(Clone, Debug)]
pub struct PackedField {
    /// The path as written, for errors.
    pub written: String,
    pub path: Arc<JsonPath>,
    /// Outermost first. JSON can only be the last.
    pub packings: Vec<Packing>,
}

impl Unpack {
    /// The fields in the order in which they are unpacked. A path may lead into a value that an
    /// earlier one has unpacked.
    pub fn new(fields: Vec<PackedField>) -> Self {
        Self { fields }
    }

    /// The same fields, and then those of `inner`.
    #[must_use]
    pub fn then(&self, inner: Self) -> Self {
        let fields = self.fields.iter().cloned().chain(inner.fields);
        Self::new(fields.collect())
    }

    /// True if a field is written so.
    pub(super) fn names(&self, path: &str) -> bool {
        self.fields.iter().any(|field| field.written == path)
    }

    /// Upper estimate of the memory for the unpacked payload of a body of `size` bytes.
    pub fn growth(size: u64) -> u64 {
        size.saturating_mul(MAX_GROWTH).max(ALWAYS_ALLOWED)
    }

    /// Unpacks the values of a whole payload whose body has `size` bytes. A value that is missing or
    /// no text stays as it is.
    pub fn apply(&self, payload: Payload, size: u64) -> Result<Payload, Undecodable> {
        let mut document = payload.document;
        for field in &self.fields {
            if let Some(text) = field.unpacked(document.whole())? {
                if weight(text.as_bytes()) > Self::growth(size) {
                    return Err(field.failed("unpacked, the payload would take too much memory"));
                }
                let read = json::read_text(&text).map_err(|error| field.failed(&error.to_string()))?;
                document = read.tree.into();
            }
        }
        // The payload is no longer the text of the body.
        let kind = match payload.kind {
            BodyKind::Json => BodyKind::InnerJson,
            kind => kind,
        };
        Ok(Payload::of(kind, document))
    }
}

impl PartialEq for PackedField {
    // The path is what is written.
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written && self.packings == other.packings
    }
}

impl Eq for PackedField {}

impl PackedField {
    /// The text of the tree with this field unpacked. `None` if nothing is packed.
    fn unpacked(&self, tree: &JsonTree) -> Result<Option<String>, Undecodable> {
        let mut unpacked = HashMap::new();
        for value in self.path.select(&*tree.value, &tree.integers) {
            if let Value::String(text) = value {
                unpacked.insert(std::ptr::from_ref(value).addr(), self.unpack(text)?);
            }
        }
        if unpacked.is_empty() {
            return Ok(None);
        }
        let replaced = Replaced {
            value: &tree.value,
            tree,
            unpacked: &unpacked,
        };
        let text = serde_json::to_string(&replaced);
        text.map(Some).map_err(|error| self.failed(&error.to_string()))
    }

    /// The JSON text of the value that a text stands for.
    fn unpack(&self, text: &str) -> Result<Box<RawValue>, Undecodable> {
        let mut text = text.to_owned();
        for packing in &self.packings {
            text = match packing {
                Packing::Base64 => {
                    let bytes = base64::decode(&text).ok_or_else(|| self.failed("not Base64"))?;
                    String::from_utf8(bytes)
                        .map_err(|_bytes| self.failed("the Base64 of bytes that are no text"))?
                }
                Packing::Json => {
                    let read = json::read_text(&text);
                    let read = read.map_err(|error| self.failed(&format!("not valid JSON: {error}")))?;
                    let tree = read.tree;
                    let raw = serde_json::value::to_raw_value(&tree.integers.exactly(&tree.value));
                    return raw.map_err(|error| self.failed(&error.to_string()));
                }
            };
        }
        serde_json::value::to_raw_value(&text).map_err(|error| self.failed(&error.to_string()))
    }

    fn failed(&self, what: &str) -> Undecodable {
        Undecodable::Packed(format!("`{}`: {what}", self.written))
    }
}

/// A value of a tree that serializes with unpacked values in place of packed ones.
struct Replaced<'t> {
    value: &'t Value,
    tree: &'t JsonTree,
    /// The unpacked values, by the address of the packed ones.
    unpacked: &'t HashMap<usize, Box<RawValue>>,
}

impl Serialize for Replaced<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let of = |value| Replaced { value, ..*self };
        match self.value {
            Value::Array(items) => serializer.collect_seq(items.iter().map(of)),
            Value::Object(members) => {
                serializer.collect_map(members.iter().map(|(key, value)| (key, of(value))))
            }
            Value::String(_) if let Some(raw) = self.unpacked.get(&std::ptr::from_ref(self.value).addr()) => {
                raw.serialize(serializer)
            }
            value => self.tree.integers.exactly(value).serialize(serializer),
        }
    }
}
