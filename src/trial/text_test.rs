//! An expectation of a text: the text itself, operators on it, or conditions on it as JSON.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};

use super::read::{self, Place};
use crate::base::clock::Timestamp;
use crate::base::diagnostic::{Diagnostics, Source};
use crate::base::yaml::{Document, Node};
use crate::event::{EventId, Received};
use crate::matching::{Condition, Matcher, is_operator};
use crate::payload::{self, Decode, Event, Payload};

/// An expectation of a text.
#[derive(Debug)]
pub struct TextTest {
    pub place: Place,
    kind: TextTestKind,
}

#[derive(Debug)]
enum TextTestKind {
    Equals(String),
    /// Conditions as in `match`. Operators are conditions on `body`.
    Conditions(Box<Matcher>),
}

/// A text that is not as expected.
#[derive(Debug)]
pub struct TextMiss {
    pub expected: String,
    pub found: String,
}

impl TextTest {
    /// Reads an expectation.
    pub(super) fn read(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<Self> {
        let kind = if node.is_mapping() {
            TextTestKind::Conditions(Box::new(conditions(node, diagnostics)?))
        } else {
            TextTestKind::Equals(read::text(node, diagnostics)?)
        };
        let place = Place::of(node);
        Some(Self { place, kind })
    }

    /// True if the expectation is the text itself, which can be replaced by what was found.
    pub(super) fn is_text(&self) -> bool {
        matches!(self.kind, TextTestKind::Equals(_))
    }

    /// Compares a text.
    pub(super) fn check(&self, found: &[u8]) -> Result<(), TextMiss> {
        match &self.kind {
            TextTestKind::Equals(expected) => {
                if expected.as_bytes() == found {
                    return Ok(());
                }
                Err(TextMiss {
                    expected: quoted(expected),
                    found: quoted(&String::from_utf8_lossy(found)),
                })
            }
            TextTestKind::Conditions(matcher) => {
                let Some(miss) = matcher.explain(&event(found), 0).failed else {
                    return Ok(());
                };
                let of = |text: String| match &*miss.selector {
                    "body" => text,
                    selector => format!("{selector}: {text}"),
                };
                Err(TextMiss {
                    expected: of(miss.expected),
                    found: of(miss.found),
                })
            }
        }
    }
}

/// A text as JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn conditions(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<Matcher> {
    let entries = node.entries();
    let are_operators = !entries.is_empty() && entries.iter().all(|(key, _)| is_operator(key));
    if !are_operators {
        let condition = Condition::compile(node, None, diagnostics)?;
        return Some(Matcher::new(vec![condition]));
    }
    let operators = read::json(node, diagnostics)?;
    let source = Source {
        path: PathBuf::new(),
        text: serde_json::json!({ "body": operators }).to_string(),
    };
    let mut found = Diagnostics::new();
    let document = Document::parse(source, &mut found)?;
    let condition = Condition::compile(document.root(), None, &mut found);
    for diagnostic in &found {
        let mut moved = node.error(diagnostic.code, diagnostic.message.clone());
        moved.hint.clone_from(&diagnostic.hint);
        diagnostics.push(moved);
    }
    Some(Matcher::new(vec![condition?]))
}

/// A text as the body of an event, which conditions read.
fn event(text: &[u8]) -> Event {
    let body = Bytes::copy_from_slice(text);
    let decoded = payload::decode(Decode::Json, &HeaderMap::new(), &body, u64::MAX);
    let at = Timestamp::EPOCH;
    Event {
        received: Arc::new(Received {
            id: EventId::numbered(at, 0),
            at,
            endpoint: "".into(),
            method: Method::POST,
            path: String::new(),
            query: String::new(),
            parameters: Vec::new(),
            client: None::<IpAddr>,
            certificate: None,
            headers: HeaderMap::new(),
            body,
        }),
        payload: decoded.unwrap_or_else(|error| Payload::unreadable(&error)),
        views: Vec::new(),
        fired_by: None,
    }
}
