//! From YAML to a compiled scheme: what the schemes' settings have in common.
//!
//! Secrets, names of headers, and the places of timestamps and ids are read here, item by item, so that each fault
//! is found at its own place.

use http::HeaderName;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::path::SingularPath;
use super::source::{Place, Unit};
use crate::diagnostic::Findings;
use crate::secret::{Keyring, Secret};
use crate::yaml::Node;

/// How many secrets a scheme may have: each costs every request a MAC.
const MAX_SECRETS: usize = 16;
/// How many families of headers a scheme may have.
const MAX_FAMILIES: usize = 8;

/// The shape of `timestamp:`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TimestampShape {
    header: Option<IgnoredAny>,
    item: Option<String>,
    json: Option<String>,
    unit: Option<Unit>,
}

/// The shape of `id:`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IdShape {
    header: Option<IgnoredAny>,
    json: Option<String>,
}

/// What a field says about a timestamp or an id.
pub enum Said<T> {
    /// Nothing: the default holds.
    Nothing,
    /// That there is none.
    None,
    /// This.
    This(T),
}

/// A timestamp's field: a place and a unit, each of which may be left to the default.
pub struct TimestampField {
    /// Where.
    pub place: Option<Place>,
    /// How it is written.
    pub unit: Option<Unit>,
}

/// The secrets under `key` of a mapping, or those that `node` itself is.
pub fn secrets<'d>(
    node: Node<'d>,
    key: &str,
    keyring: &Keyring,
    findings: &mut Findings,
) -> Vec<(Node<'d>, Secret)> {
    let holder = if node.is_mapping() {
        match node.get(key) {
            Some(holder) if !holder.value().is_null() => holder,
            _ => {
                findings.push(
                    node.error("missing-key", format!("`{key}` is missing"))
                        .hint(format!("`{key}: env:NAME`, `file:/path` or `credential:NAME`")),
                );
                return Vec::new();
            }
        }
    } else {
        node
    };
    let items = holder.one_or_many();
    if items.is_empty() || items.len() > MAX_SECRETS {
        let message = format!("{} secrets: from 1 to {MAX_SECRETS} are taken", items.len());
        findings.push(holder.error("secret", message));
        return Vec::new();
    }
    let read = |item: Node<'d>| keyring.read(item, findings).map(|secret| (item, secret));
    items.into_iter().filter_map(read).collect()
}

/// The names of headers that a field holds: one, or a list.
pub fn header_names(node: Node<'_>, findings: &mut Findings) -> Option<Vec<HeaderName>> {
    let items = node.one_or_many();
    if items.is_empty() || items.len() > MAX_FAMILIES {
        let message = format!("{} headers: from 1 to {MAX_FAMILIES} are taken", items.len());
        findings.push(node.error("header-name", message));
        return None;
    }
    let mut names = Vec::with_capacity(items.len());
    for item in &items {
        match item
            .as_str()
            .map(|name| (name, HeaderName::from_bytes(name.as_bytes())))
        {
            Some((_, Ok(name))) => names.push(name),
            Some((name, Err(_))) => {
                findings.push(item.error("header-name", format!("`{name}` is not the name of a header")));
            }
            None => findings.push(item.error("wrong-value", "wrong type: the name of a header is text")),
        }
    }
    (names.len() == items.len()).then_some(names)
}

/// One name of a header.
pub fn header_name(node: Node<'_>, findings: &mut Findings) -> Option<HeaderName> {
    if node.value().is_sequence() {
        findings.push(node.error("wrong-value", "wrong type: one header is taken here"));
        return None;
    }
    header_names(node, findings)?.into_iter().next()
}

/// The names that a row of data holds.
pub fn row_names(names: &[&str]) -> Vec<HeaderName> {
    let parsed = names.iter().map(|name| HeaderName::from_bytes(name.as_bytes()));
    parsed.filter_map(Result::ok).collect()
}

/// A path to one value of a body.
pub fn path(node: Node<'_>, text: &str, findings: &mut Findings) -> Option<SingularPath> {
    SingularPath::parse(text)
        .map_err(|message| findings.push(node.error("jsonpath", message)))
        .ok()
}

/// What the field `timestamp` of `scheme` says.
pub fn timestamp(scheme: Node<'_>, findings: &mut Findings) -> Said<TimestampField> {
    let node = match field(scheme, "timestamp", findings) {
        Said::This(node) => node,
        Said::None => return Said::None,
        Said::Nothing => return Said::Nothing,
    };
    let Some(shape) = node.read::<TimestampShape>(findings) else {
        return Said::Nothing;
    };
    let given = [shape.header.is_some(), shape.item.is_some(), shape.json.is_some()];
    if given.iter().filter(|given| **given).count() > 1 {
        findings.push(node.error(
            "ambiguous-place",
            "`timestamp` stands in one place: `header`, `item` or `json`",
        ));
    }
    let place = if let Some(prefix) = shape.item {
        if prefix.is_empty() {
            findings.push(node.error(
                "wrong-value",
                "`item` is what the timestamp's item begins with: `t=`",
            ));
        }
        Some(Place::Item(prefix))
    } else {
        header_or_json(node, shape.json.as_deref(), findings)
    };
    Said::This(TimestampField {
        place,
        unit: shape.unit,
    })
}

/// What the field `id` of `scheme` says; the place is the default's if it says none.
pub fn id(scheme: Node<'_>, findings: &mut Findings) -> Said<Option<Place>> {
    let node = match field(scheme, "id", findings) {
        Said::This(node) => node,
        Said::None => return Said::None,
        Said::Nothing => return Said::Nothing,
    };
    let Some(shape) = node.read::<IdShape>(findings) else {
        return Said::Nothing;
    };
    if shape.header.is_some() && shape.json.is_some() {
        findings.push(node.error("ambiguous-place", "`id` stands in one place: `header` or `json`"));
    }
    Said::This(header_or_json(node, shape.json.as_deref(), findings))
}

/// The id of a scheme that signs nothing; `plain` is the header if the field does not say.
pub fn unsigned_id(scheme: Node<'_>, plain: &str, findings: &mut Findings) -> Option<Place> {
    match id(scheme, findings) {
        Said::Nothing | Said::None => None,
        Said::This(place) => Some(place.unwrap_or_else(|| Place::Headers(row_names(&[plain])))),
    }
}

/// A field that is a mapping, or the word `none`.
fn field<'d>(scheme: Node<'d>, key: &str, findings: &mut Findings) -> Said<Node<'d>> {
    let Some(node) = scheme.get(key).filter(|node| !node.value().is_null()) else {
        return Said::Nothing;
    };
    if node.as_str() == Some("none") {
        return Said::None;
    }
    if !node.is_mapping() {
        let message = format!("`{key}` says where it stands: `{key}: {{header: NAME}}`, or `none`");
        findings.push(node.error("wrong-value", message));
        return Said::Nothing;
    }
    Said::This(node)
}

/// The place that `header` or `json` names.
fn header_or_json(node: Node<'_>, json: Option<&str>, findings: &mut Findings) -> Option<Place> {
    if let Some(text) = json {
        let at = node.get("json").unwrap_or(node);
        return path(at, text, findings).map(Place::Json);
    }
    let header = node.get("header").filter(|header| !header.value().is_null())?;
    header_names(header, findings).map(Place::Headers)
}
