//! The occasion of an action: the event, and whose try this is; and the names under which templates see it.
//!
//! The values are looked up in place: a body that no template asks for is never copied.

use std::fmt;
use std::sync::Arc;

use http::HeaderName;
use minijinja::value::{Enumerator, Object};
use minijinja::{Error, ErrorKind, Value};
use serde::Serialize;

use crate::act::outcome::Outcome;
use crate::payload::Event;
use crate::template::exact_value;

/// Why and for whom an action is performed.
#[derive(Clone, Debug)]
pub struct ActionContext<'o> {
    /// What happened.
    pub event: &'o Event,
    /// The rule that wants it.
    pub rule: &'o str,
    /// The id of the delivery: the same for every try.
    pub delivery: String,
    /// Which try this is, from 1.
    pub attempt: u32,
    /// Whether the event was verified for this rule; false only in observe mode.
    pub verified: bool,
    /// How often the operator has had the delivery done again.
    pub replays: u32,
    /// Headers that carry the sender's secret or signature: never forwarded, never written down.
    pub withheld: &'o [HeaderName],
    /// The failure for whose sake it is performed (`on_failure`); none: for the event's.
    pub failure: Option<FailureContext<'o>>,
}

/// How a delivery failed, for the actions of `on_failure`.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct FailureContext<'o> {
    /// The action that failed, by the key under which it is written: `run`.
    pub action: &'o str,
    /// Why the delivery was given up on: `exit 3, after 3 attempts`.
    pub reason: &'o str,
    /// What the last attempt put out, both streams, each bounded as in an [`Outcome`].
    pub output: &'o str,
}

/// Headers that are credentials whatever the rule verifies.
const CREDENTIALS: [HeaderName; 3] = [
    http::header::AUTHORIZATION,
    http::header::PROXY_AUTHORIZATION,
    http::header::COOKIE,
];

impl ActionContext<'_> {
    /// The values that templates see.
    pub fn values(&self) -> Value {
        self.named(None)
    }

    /// The values that the template of an answer sees: also `actions`, each with `action`, `outcome`, `detail`,
    /// `stdout` and `stderr`, in the order in which they were performed.
    pub fn values_with_actions(&self, performed: &[(&str, &Outcome)]) -> Value {
        let actions: Vec<Value> = performed
            .iter()
            .map(|(action, outcome)| {
                Value::from_pairs([
                    ("action", Value::from(*action)),
                    ("outcome", Value::from(outcome.verdict.name())),
                    ("detail", Value::from(outcome.detail.as_str())),
                    ("stdout", Value::from(outcome.output.stdout.text())),
                    ("stderr", Value::from(outcome.output.stderr.text())),
                ])
            })
            .collect();
        self.named(Some(Value::from(actions)))
    }

    /// Whether a header of the sender's is a credential.
    pub fn withholds(&self, name: &HeaderName) -> bool {
        CREDENTIALS.contains(name) || self.withheld.contains(name)
    }

    fn named(&self, actions: Option<Value>) -> Value {
        Value::from_object(Names {
            event: Arc::new(self.event.clone()),
            rule: Arc::from(self.rule),
            attempt: self.attempt,
            verified: self.verified,
            replays: self.replays,
            actions,
            failure: self.failure.map(|failure| {
                Value::from_pairs([
                    ("action", failure.action),
                    ("reason", failure.reason),
                    ("output", failure.output),
                ])
            }),
        })
    }
}

/// The names of all values.
struct Names {
    event: Arc<Event>,
    rule: Arc<str>,
    attempt: u32,
    verified: bool,
    replays: u32,
    actions: Option<Value>,
    failure: Option<Value>,
}

impl fmt::Debug for Names {
    // Without the event: it is not printed by accident.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[values of {}]", self.event.received.id)
    }
}

impl Object for Names {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let received = &self.event.received;
        let part = |of: fn(Arc<Event>) -> RequestPart| Value::from_object(of(Arc::clone(&self.event)));
        Some(match key {
            "payload" => match &self.event.payload.fault {
                // An error wherever it is used, whatever the template would make of an undefined value.
                Some(fault) => Value::from(Error::new(ErrorKind::InvalidOperation, unreadable(fault))),
                None => exact_value(&self.event.payload.value, &self.event.payload.integers),
            },
            "headers" => part(RequestPart::Headers),
            "query" => part(RequestPart::Query),
            "path" => part(RequestPart::Path),
            "body" => text_or_bytes(&received.body),
            "event" => Value::from_pairs([
                ("id", received.id.to_string()),
                ("received_at", received.at.to_string()),
            ]),
            "rule" => Value::from(&*self.rule),
            "endpoint" => Value::from(&*received.endpoint),
            "attempt" => Value::from(self.attempt),
            "verified" => Value::from(self.verified),
            "replay" => Value::from(self.replays),
            "actions" => self.actions.clone()?,
            "failure" => self.failure.clone()?,
            _ => return None,
        })
    }
}

/// A part of the request in which names are looked up.
enum RequestPart {
    /// By name, whatever the case; `_` stands for `-` too, so that `headers.x_github_event` can be written.
    Headers(Arc<Event>),
    Query(Arc<Event>),
    Path(Arc<Event>),
}

impl fmt::Debug for RequestPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[part of a request]")
    }
}

impl Object for RequestPart {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        match &**self {
            Self::Headers(event) => {
                let headers = &event.received.headers;
                let value = headers.get(key).or_else(|| headers.get(key.replace('_', "-")))?;
                Some(text_or_bytes(value.as_bytes()))
            }
            Self::Query(event) => event.received.query_value(key).map(Value::from),
            Self::Path(event) => event.received.parameter(key).map(Value::from),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(match &**self {
            Self::Headers(event) => event
                .received
                .headers
                .keys()
                .map(|name| Value::from(name.as_str()))
                .collect(),
            Self::Query(event) => {
                let mut names: Vec<String> = Vec::new();
                for (name, _) in form_urlencoded::parse(event.received.query.as_bytes()) {
                    if !names.iter().any(|known| *known == name) {
                        names.push(name.into_owned());
                    }
                }
                names.into_iter().map(Value::from).collect()
            }
            Self::Path(event) => event
                .received
                .parameters
                .iter()
                .map(|(name, _)| Value::from(name.as_str()))
                .collect(),
        })
    }
}

/// Why there is nothing to say of a payload.
pub fn unreadable(fault: &str) -> String {
    format!("the payload cannot be read: {fault}")
}

/// Text, if it is text; bytes, which cannot be written out, if it is not.
fn text_or_bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => Value::from_bytes(bytes.to_vec()),
    }
}
