//! Location of the sender's event name, read from the setting `event`.

use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::parts::places;
use super::parts::settings::Settings;
use crate::base::diagnostic::Diagnostics;
use crate::base::yaml::Node;

/// Maximum number of locations.
const MAX_PLACES: usize = 8;

/// Location of the sender's event name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventName {
    Header(HeaderName),
    /// `JSONPath` into the payload.
    Payload(String),
    /// The first of these locations that has a value.
    Either(Vec<Self>),
}

/// Shape of `event:`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read from the node: the position is needed")]
struct EventShape {
    header: Option<IgnoredAny>,
    json: Option<IgnoredAny>,
}

impl EventName {
    /// Reads `event`: one location, a list of them, or `none`.
    pub(super) fn read(settings: &Settings<'_>, diagnostics: &mut Diagnostics) -> Option<Self> {
        let node = settings.given("event")?;
        if node.as_str() == Some("none") {
            return None;
        }
        let items = node.one_or_many();
        if items.is_empty() || items.len() > MAX_PLACES {
            let message = format!("{} places: from 1 to {MAX_PLACES} are taken", items.len());
            diagnostics.push(node.error("wrong-value", message));
        }
        let places = items.into_iter().filter_map(|item| one(item, diagnostics));
        let mut places: Vec<Self> = places.collect();
        if places.len() > 1 {
            return Some(Self::Either(places));
        }
        places.pop()
    }

    /// Combines the locations of several senders: the first that has a value counts.
    pub fn combined<'n>(names: impl Iterator<Item = &'n Self>) -> Option<Self> {
        let mut places: Vec<Self> = Vec::new();
        for name in names {
            let each = match name {
                Self::Either(each) => each.as_slice(),
                one => std::slice::from_ref(one),
            };
            for place in each {
                if !places.contains(place) {
                    places.push(place.clone());
                }
            }
        }
        if places.len() > 1 {
            return Some(Self::Either(places));
        }
        places.pop()
    }

    /// The header in which a sender puts the name of an event. `scheme` names the sender in errors.
    pub fn header(
        location: Option<&Self>,
        event: &str,
        scheme: &str,
    ) -> Result<(HeaderName, HeaderValue), String> {
        // If there are several alternatives, senders use the first.
        let location = match location {
            Some(Self::Either(alternatives)) => alternatives.first(),
            location => location,
        };
        match location {
            Some(Self::Header(name)) => {
                let value = event
                    .parse()
                    .map_err(|error| format!("`{event}` cannot stand in a header: {error}"))?;
                Ok((name.clone(), value))
            }
            Some(Self::Payload(path)) => Err(format!(
                "this sender's event name stands in the body, at `{path}`: put it there"
            )),
            Some(Self::Either(_)) | None => {
                Err(format!("the scheme `{scheme}` has no place for an event name"))
            }
        }
    }
}

fn one(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<EventName> {
    if !node.is_mapping() {
        let message = "`event` says where its name stands: `{header: NAME}` or `{json: $.type}`";
        diagnostics.push(node.error("wrong-value", message));
        return None;
    }
    node.read::<EventShape>(diagnostics)?;
    match (node.given("header"), node.given("json")) {
        (Some(header), None) => places::one_header(header, diagnostics).map(EventName::Header),
        (None, Some(json)) => {
            let text = json.as_str().unwrap_or_default();
            places::path(json, text, diagnostics)?;
            Some(EventName::Payload(text.to_owned()))
        }
        _ => {
            let message = "the event's name stands in one place: `header` or `json`";
            diagnostics.push(node.error("ambiguous-place", message));
            None
        }
    }
}
