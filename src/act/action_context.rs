//! Context of an action: event, rule and attempt, and the values that templates see.
//!
//! Values are looked up on demand, so a body that no template uses is never copied.

use std::fmt;
use std::sync::Arc;

use http::HeaderName;
use minijinja::value::{Enumerator, Object};
use minijinja::{Error, ErrorKind, Value};
use serde::Serialize;

use crate::act::live_output::LiveOutput;
use crate::act::performed::{ActionList, PerformedAction};
use crate::base::jsonpath::JsonPath;
use crate::payload::{Event, EventNameReader};
use crate::template::{document_items, document_value};

/// An element of `for_each`.
#[derive(Clone, Debug)]
pub struct Item {
    /// The element, as templates see it.
    pub value: Value,
    /// Its index among the elements of the event. `None` for the failure of a whole event.
    pub index: Option<usize>,
}

impl Item {
    /// The element as JSON text.
    pub fn json(&self) -> Result<String, String> {
        serde_json::to_string(&self.value).map_err(|error| error.to_string())
    }
}

/// Event, rule and attempt for which an action runs.
#[derive(Clone, Debug)]
pub struct ActionContext<'o> {
    pub event: &'o Event,
    /// Name of the rule.
    pub rule: &'o str,
    /// Delivery id, the same for every attempt.
    pub delivery: String,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// True if the event was verified for this rule. False only in observe mode.
    pub verified: bool,
    /// Number of times that the operator has replayed the delivery.
    pub replays: u32,
    /// Headers that carry the sender's secret or signature. Never forwarded and never recorded.
    pub withheld: &'o [HeaderName],
    /// Location of the sender's name of the event. `None` if the scheme does not say.
    pub event_name: Option<&'o Arc<EventNameReader>>,
    /// Actions that were performed before. For an answer: all that were.
    pub actions: &'o [PerformedAction],
    /// Element that the delivery is about. `None` for a rule without `for_each`.
    pub item: Option<Item>,
    /// Failure that an `on_failure` action is about. `None` for the actions of the event itself.
    pub failure: Option<FailureContext<'o>>,
    /// Receives the output of a command while it runs. `None`: nothing runs.
    pub live: Option<&'o LiveOutput>,
}

/// Failure of a delivery, as the actions of `on_failure` see it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct FailureContext<'o> {
    /// Key of the action that failed, such as `run`.
    pub action: &'o str,
    /// Reason why the delivery was given up, such as `exit 3, after 3 attempts`.
    pub reason: &'o str,
    /// Output of the last attempt, both streams, each bounded as in an
    /// [`Outcome`](crate::act::Outcome).
    pub output: &'o str,
}

/// Headers that are credentials, whatever the rule verifies.
const CREDENTIALS: [HeaderName; 3] = [
    http::header::AUTHORIZATION,
    http::header::PROXY_AUTHORIZATION,
    http::header::COOKIE,
];

impl ActionContext<'_> {
    /// Returns the sender's name of the event, if its scheme says where it stands.
    pub fn event_name(&self) -> Option<String> {
        self.event_name.and_then(|name| name.read(self.event))
    }

    /// True if a header of the sender is a credential.
    pub fn withholds(&self, name: &HeaderName) -> bool {
        CREDENTIALS.contains(name) || self.withheld.contains(name)
    }

    /// Returns the values that templates see.
    pub fn values(&self) -> Value {
        Value::from_object(TemplateRoot {
            event: Arc::new(self.event.clone()),
            event_name: self.event_name.map(Arc::clone),
            rule: Arc::from(self.rule),
            attempt: self.attempt,
            verified: self.verified,
            replays: self.replays,
            actions: ActionList::value(self.actions),
            item: self.item.as_ref().map(|item| item.value.clone()),
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

/// Root object of all template values.
struct TemplateRoot {
    event: Arc<Event>,
    event_name: Option<Arc<EventNameReader>>,
    rule: Arc<str>,
    attempt: u32,
    verified: bool,
    replays: u32,
    actions: Value,
    item: Option<Value>,
    failure: Option<Value>,
}

impl fmt::Debug for TemplateRoot {
    // The event is left out, so that it is never printed by accident.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[values of {}]", self.event.received.id)
    }
}

impl Object for TemplateRoot {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let received = &self.event.received;
        let part = |of: fn(Arc<Event>) -> RequestPart| Value::from_object(of(Arc::clone(&self.event)));
        Some(match key {
            "payload" => match &self.event.payload.decode_error {
                // An error at any use, even where a template accepts an undefined value.
                Some(error) => Value::from(Error::new(ErrorKind::InvalidOperation, payload_error(error))),
                None => document_value(&self.event.payload.document),
            },
            "headers" => part(RequestPart::Headers),
            "query" => part(RequestPart::Query),
            "path" => part(RequestPart::Path),
            "body" => text_or_bytes(&received.body),
            "event" => {
                let name = self.event_name.as_ref().and_then(|name| name.read(&self.event));
                Value::from_pairs([
                    ("id", Value::from(received.id.to_string())),
                    ("received_at", Value::from(received.at.to_string())),
                    ("name", name.map_or(Value::UNDEFINED, Value::from)),
                    (
                        "fired_by",
                        self.event
                            .fired_by
                            .as_deref()
                            .map_or(Value::UNDEFINED, Value::from),
                    ),
                ])
            }
            "client" => {
                let ip = received.client.map(|client| client.to_canonical().to_string());
                Value::from_pairs([("ip", ip.map_or(Value::UNDEFINED, Value::from))])
            }
            "method" => Value::from(received.method.as_str()),
            "rule" => Value::from(&*self.rule),
            "endpoint" => Value::from(&*received.endpoint),
            "attempt" => Value::from(self.attempt),
            "verified" => Value::from(self.verified),
            "replay" => Value::from(self.replays),
            "actions" => self.actions.clone(),
            "item" => self.item.clone()?,
            "failure" => self.failure.clone()?,
            // The daemon made the event: its payload says what was expected.
            "silence" => document_value(&self.event.payload.document),
            _ => return None,
        })
    }
}

/// Part of the request whose members are looked up by name.
enum RequestPart {
    /// Headers, whose lookup ignores case. `_` also stands for `-`, as in `headers.x_github_event`.
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

/// Returns the elements of the payload that `path` selects, as the `item` of templates.
pub fn items(event: &Event, path: &JsonPath) -> Vec<Item> {
    let values = document_items(&event.payload.document, path).into_iter();
    let item = |(index, value)| Item {
        value,
        index: Some(index),
    };
    values.enumerate().map(item).collect()
}

/// The `item` for the failure of a delivery of a whole event, which has none.
pub fn no_item() -> Item {
    Item {
        value: Value::from(()),
        index: None,
    }
}

/// Formats the error for a payload that cannot be read.
pub fn payload_error(error: &str) -> String {
    format!("the payload cannot be read: {error}")
}

/// Converts UTF-8 to text, and anything else to bytes, which a template cannot print.
fn text_or_bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => Value::from_bytes(bytes.to_vec()),
    }
}
