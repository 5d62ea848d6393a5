//! Settings that several schemes share, read from YAML.
//!
//! This file reads secrets, header names and the locations of signatures, timestamps and ids. They
//! are read item by item, so that each error points at its own line.

use std::sync::Arc;

use http::HeaderName;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::presets::PlaceRow;
use super::signature::keys::ConfiguredKey;
use super::source::{Location, Unit};
use crate::base::clock::{Clock, Timestamp};
use crate::base::diagnostic::Diagnostics;
use crate::base::jsonpath::SingularPath;
use crate::base::secret::{Keyring, Secret, source_of};
use crate::base::yaml::{Node, unknown};

/// Maximum secrets of a scheme. Each costs one MAC per request.
const MAX_SECRETS: usize = 16;
/// Maximum locations of an id. Each is searched in every request.
pub const MAX_IDS: usize = 8;
/// Maximum headers in a list.
const MAX_FAMILIES: usize = 8;

/// Shape of `timestamp:`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TimestampShape {
    header: Option<IgnoredAny>,
    item: Option<String>,
    query: Option<String>,
    json: Option<String>,
    unit: Option<Unit>,
}

/// Shape of `id:`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IdShape {
    header: Option<IgnoredAny>,
    item: Option<String>,
    query: Option<String>,
    json: Option<String>,
}

/// Value of a `timestamp` or `id` setting.
pub enum FieldSetting<T> {
    /// Not given, so the default applies.
    Nothing,
    /// Explicit `none`.
    None,
    /// Given value.
    This(T),
}

/// Location and unit of a timestamp. A missing part takes the default.
pub struct TimestampField {
    pub place: Option<Location>,
    pub unit: Option<Unit>,
}

/// Reads the secrets under `key` of a mapping, or in `node` itself. Each is returned with its node.
///
/// A secret of fewer than `least` bytes causes a warning.
pub fn secrets<'d>(
    node: Node<'d>,
    key: &str,
    least: usize,
    keyring: &Keyring,
    diagnostics: &mut Diagnostics,
) -> Vec<(Node<'d>, ConfiguredKey<Secret>)> {
    read_held(node, key, "secret", diagnostics, |item, diagnostics| {
        keyring.read_shared(item, least, diagnostics)
    })
}

/// Reads public keys like [`secrets`], but without warnings about inline or world-readable values.
pub fn public_keys<'d>(
    node: Node<'d>,
    key: &str,
    keyring: &Keyring,
    diagnostics: &mut Diagnostics,
) -> Vec<(Node<'d>, ConfiguredKey<Secret>)> {
    read_held(node, key, "key", diagnostics, |item, diagnostics| {
        let Some(text) = item.as_str() else {
            let message = "wrong type: a key is text, `file:/path` or the key itself";
            diagnostics.push(item.error("wrong-value", message));
            return None;
        };
        let read = keyring.resolve(text);
        read.map(|(key, _)| key)
            .map_err(|message| diagnostics.push(item.error("key", message)))
            .ok()
    })
}

fn read_held<'d>(
    node: Node<'d>,
    key: &str,
    what: &'static str,
    diagnostics: &mut Diagnostics,
    read: impl Fn(Node<'d>, &mut Diagnostics) -> Option<Secret>,
) -> Vec<(Node<'d>, ConfiguredKey<Secret>)> {
    let holder = if node.is_mapping() {
        match node.get(key) {
            Some(holder) if !holder.value().is_null() => holder,
            _ => {
                diagnostics.push(
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
        let message = format!("{} {what}s: from 1 to {MAX_SECRETS} are taken", items.len());
        diagnostics.push(holder.error(what, message));
        return Vec::new();
    }
    let mut all = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let (text, not_after) = if item.is_mapping() {
            dated(item, key, diagnostics)
        } else {
            (Some(item), None)
        };
        let Some(text) = text else { continue };
        if let Some(secret) = read(text, diagnostics) {
            let source = text.as_str().and_then(source_of);
            let source = source.map_or_else(
                || format!("no. {} in the rules file", index + 1).into(),
                Arc::from,
            );
            let held = ConfiguredKey {
                key: secret,
                source,
                not_after,
            };
            all.push((text, held));
        }
    }
    all
}

/// Reads a secret with the end of its validity: `{secret: env:OLD, not_after: 2026-12-31}`.
fn dated<'d>(
    item: Node<'d>,
    key: &str,
    diagnostics: &mut Diagnostics,
) -> (Option<Node<'d>>, Option<Timestamp>) {
    let known = [key, "not_after"];
    for (name, node) in item.entries() {
        if !known.contains(&name) {
            diagnostics.push(unknown(node.key_origin(), "unknown-key", "key", name, known));
        }
    }
    let text = item.given(key);
    if text.is_none() {
        diagnostics.push(item.error("missing-key", format!("`{key}` is missing")));
    }
    let not_after = item.given("not_after").and_then(|node| {
        let end = node.as_str().and_then(end_of);
        if end.is_none() {
            let message =
                "`not_after` is a date or an RFC 3339 instant: `2026-12-31`, `2026-12-31T12:00:00Z`";
            diagnostics.push(node.error("wrong-value", message));
        }
        if end.is_some_and(|end| end < Clock::system().now()) {
            let diagnostic = node.warning("expired", "the secret has expired: requests with it are refused");
            diagnostics.push(diagnostic.hint("remove it, or write a later `not_after`"));
        }
        end
    });
    (text, not_after)
}

/// Parses an instant, or a date as its last millisecond in UTC.
fn end_of(text: &str) -> Option<Timestamp> {
    let date = text.len() == 10 && !text.contains('T');
    if date {
        return Timestamp::parse_rfc3339(&format!("{text}T23:59:59.999Z"));
    }
    Timestamp::parse_rfc3339(text)
}

/// Reads one header name or a list of them.
pub fn header_names(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<Vec<HeaderName>> {
    let items = node.one_or_many();
    if items.is_empty() || items.len() > MAX_FAMILIES {
        let message = format!("{} headers: from 1 to {MAX_FAMILIES} are taken", items.len());
        diagnostics.push(node.error("header-name", message));
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
                diagnostics.push(item.error("header-name", format!("`{name}` is not the name of a header")));
            }
            None => diagnostics.push(item.error("wrong-value", "wrong type: the name of a header is text")),
        }
    }
    (names.len() == items.len()).then_some(names)
}

/// Converts the header names of a preset row.
pub fn row_names(names: &[&str]) -> Vec<HeaderName> {
    let parsed = names.iter().map(|name| HeaderName::from_bytes(name.as_bytes()));
    parsed.filter_map(Result::ok).collect()
}

/// Reads a path to one value of a body.
pub fn path(node: Node<'_>, text: &str, diagnostics: &mut Diagnostics) -> Option<SingularPath> {
    SingularPath::parse(text)
        .map_err(|message| diagnostics.push(node.error("jsonpath", message)))
        .ok()
}

/// Reads the `timestamp` setting of `scheme`.
pub fn timestamp(scheme: Node<'_>, diagnostics: &mut Diagnostics) -> FieldSetting<TimestampField> {
    let node = match field(scheme, "timestamp", diagnostics) {
        FieldSetting::This(node) => node,
        FieldSetting::None => return FieldSetting::None,
        FieldSetting::Nothing => return FieldSetting::Nothing,
    };
    let Some(shape) = node.read::<TimestampShape>(diagnostics) else {
        return FieldSetting::Nothing;
    };
    let place = place(
        node,
        "timestamp",
        &[
            ("header", shape.header.is_some()),
            ("item", shape.item.is_some()),
            ("query", shape.query.is_some()),
            ("json", shape.json.is_some()),
        ],
        diagnostics,
    );
    FieldSetting::This(TimestampField {
        place,
        unit: shape.unit,
    })
}

/// Reads the `id` setting of `scheme`: one location or several. The first one that a request has
/// counts. `None` stands for the default location.
pub fn ids(scheme: Node<'_>, diagnostics: &mut Diagnostics) -> FieldSetting<Vec<Option<Location>>> {
    let list = scheme.given("id").filter(|node| node.value().is_sequence());
    let items = match list {
        Some(list) => {
            let items = list.items();
            if items.is_empty() || items.len() > MAX_IDS {
                let message = format!("{} ids: from 1 to {MAX_IDS} are taken", items.len());
                diagnostics.push(list.error("wrong-value", message));
            }
            if let Some(wrong) = items.iter().find(|item| !item.is_mapping()) {
                let message = "an item of `id` says where it stands: `{header: NAME}` or `{json: $.id}`";
                diagnostics.push(wrong.error("wrong-value", message));
            }
            items
        }
        None => match field(scheme, "id", diagnostics) {
            FieldSetting::This(node) => vec![node],
            FieldSetting::None => return FieldSetting::None,
            FieldSetting::Nothing => return FieldSetting::Nothing,
        },
    };
    let mut places = Vec::with_capacity(items.len());
    for node in items.into_iter().filter(Node::is_mapping) {
        let Some(shape) = node.read::<IdShape>(diagnostics) else {
            continue;
        };
        let given = [
            ("header", shape.header.is_some()),
            ("item", shape.item.is_some()),
            ("query", shape.query.is_some()),
            ("json", shape.json.is_some()),
        ];
        places.push(place(node, "id", &given, diagnostics));
    }
    if places.is_empty() {
        return FieldSetting::Nothing;
    }
    FieldSetting::This(places)
}

/// Ids of a scheme that signs nothing. Without an `id` setting, those of the row apply.
///
/// `plain` is the default header of an `id` setting that names no location.
pub fn unsigned_ids(
    scheme: Node<'_>,
    row: Option<&PlaceRow>,
    plain: &str,
    diagnostics: &mut Diagnostics,
) -> Vec<Location> {
    let plain = || Location::Headers(row_names(&[plain]));
    match ids(scheme, diagnostics) {
        FieldSetting::Nothing => row.and_then(row_place).into_iter().collect(),
        FieldSetting::None => Vec::new(),
        FieldSetting::This(places) => places
            .into_iter()
            .map(|place| place.unwrap_or_else(plain))
            .collect(),
    }
}

/// Reads a setting that is a mapping or the word `none`.
fn field<'d>(scheme: Node<'d>, key: &str, diagnostics: &mut Diagnostics) -> FieldSetting<Node<'d>> {
    let Some(node) = scheme.get(key).filter(|node| !node.value().is_null()) else {
        return FieldSetting::Nothing;
    };
    if node.as_str() == Some("none") {
        return FieldSetting::None;
    }
    if !node.is_mapping() {
        let message = format!("`{key}` says where it stands: `{key}: {{header: NAME}}`, or `none`");
        diagnostics.push(node.error("wrong-value", message));
        return FieldSetting::Nothing;
    }
    FieldSetting::This(node)
}

/// Reads the single location that `field` names under one of the `given` keys. `None` if there is
/// none.
pub fn place(
    node: Node<'_>,
    field: &str,
    given: &[(&'static str, bool)],
    diagnostics: &mut Diagnostics,
) -> Option<Location> {
    let mut keys = given.iter().filter(|(_, given)| *given).map(|(key, _)| *key);
    let key = keys.next()?;
    if keys.next().is_some() {
        let all: Vec<String> = given.iter().map(|(key, _)| format!("`{key}`")).collect();
        let message = format!("`{field}` stands in one place: {}", all.join(" or "));
        diagnostics.push(node.error("ambiguous-place", message));
    }
    let at = node.given(key)?;
    let text = at.as_str().unwrap_or_default();
    if key == "header" {
        return header_names(at, diagnostics).map(Location::Headers);
    }
    if text.is_empty() {
        let message = match key {
            "item" => "`item` is what the item begins with: `t=`",
            "query" => "`query` is a name in the query",
            _ => "`json` is the JSONPath of one value: `$.id`",
        };
        diagnostics.push(at.error("wrong-value", message));
        return None;
    }
    match key {
        "item" => Some(Location::Item(text.to_owned())),
        "query" => Some(Location::Query(text.to_owned())),
        _ => path(at, text, diagnostics).map(Location::Json),
    }
}

/// Converts the location in a preset row.
pub fn row_place(row: &PlaceRow) -> Option<Location> {
    match row {
        PlaceRow::Header(names) => Some(Location::Headers(row_names(names))),
        PlaceRow::Item(prefix) => Some(Location::Item((*prefix).to_owned())),
        PlaceRow::Json(text) => SingularPath::parse(text).ok().map(Location::Json),
    }
}
