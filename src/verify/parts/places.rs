//! Locations in a request, read from YAML: those of signatures, timestamps and ids.
//!
//! They are read item by item, so that each error points at its own line.

use http::HeaderName;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::settings::Settings;
use super::source::{Location, TimestampSource, Unit};
use crate::base::diagnostic::Diagnostics;
use crate::base::jsonpath::SingularPath;
use crate::base::yaml::Node;

/// Maximum locations of an id. Each is searched in every request.
pub const MAX_IDS: usize = 8;
/// Maximum headers in a list.
const MAX_HEADERS: usize = 8;
/// Default header of `timestamp`.
const TIMESTAMP: HeaderName = HeaderName::from_static("x-timestamp");
/// Default header of `id`.
const ID: HeaderName = HeaderName::from_static("x-id");
/// Keys that say where a signature or a token stands.
const PLACES: [&str; 3] = ["header", "query", "json"];

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
enum FieldSetting<T> {
    /// Not given, so that of the layer below applies.
    Nothing,
    /// Explicit `none`.
    None,
    /// Given value.
    This(T),
}

/// Reads one header name or a list of them.
pub fn header_names(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<Vec<HeaderName>> {
    let items = node.one_or_many();
    if items.is_empty() || items.len() > MAX_HEADERS {
        let message = format!("{} headers: from 1 to {MAX_HEADERS} are taken", items.len());
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

/// Reads the name of a single header.
pub fn one_header(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<HeaderName> {
    if node.value().is_sequence() {
        diagnostics.push(node.error("wrong-value", "wrong type: one header is taken here"));
        return None;
    }
    header_names(node, diagnostics)?.into_iter().next()
}

/// Reads a path to one value of a body.
pub fn path(node: Node<'_>, text: &str, diagnostics: &mut Diagnostics) -> Option<SingularPath> {
    SingularPath::parse(text)
        .map_err(|message| diagnostics.push(node.error("jsonpath", message)))
        .ok()
}

/// Reads where the signature or the token stands. `what` names it in messages. `None` without a
/// valid location; an invalid one is in `diagnostics`.
pub fn proof_place(settings: &Settings<'_>, what: &str, diagnostics: &mut Diagnostics) -> Option<Location> {
    let node = settings.nearest(&PLACES)?.node;
    let given = PLACES.map(|key| (key, node.given(key).is_some()));
    place(node, what, &given, diagnostics)
}

/// True if some layer says where the signature or the token stands.
pub fn names_place(settings: &Settings<'_>) -> bool {
    settings.nearest(&PLACES).is_some()
}

/// Reads the `timestamp` setting. A part that a layer does not give is that of the layer below.
pub fn timestamp(settings: &Settings<'_>, diagnostics: &mut Diagnostics) -> Option<TimestampSource> {
    let mut found: Option<TimestampSource> = None;
    for layer in settings.layers().rev() {
        let node = match field(layer.node, "timestamp", diagnostics) {
            FieldSetting::This(node) => node,
            FieldSetting::None => {
                found = None;
                continue;
            }
            FieldSetting::Nothing => continue,
        };
        let Some(shape) = node.read::<TimestampShape>(diagnostics) else {
            continue;
        };
        let given = [
            ("header", shape.header.is_some()),
            ("item", shape.item.is_some()),
            ("query", shape.query.is_some()),
            ("json", shape.json.is_some()),
        ];
        let place = place(node, "timestamp", &given, diagnostics);
        let below = found.unwrap_or_else(|| TimestampSource {
            place: Location::Headers(vec![TIMESTAMP]),
            unit: Unit::S,
        });
        found = Some(TimestampSource {
            place: place.unwrap_or(below.place),
            unit: shape.unit.unwrap_or(below.unit),
        });
    }
    found
}

/// Reads the `id` setting: one location or several. The first one that a request has counts.
pub fn ids(settings: &Settings<'_>, diagnostics: &mut Diagnostics) -> Vec<Location> {
    let mut found = Vec::new();
    for layer in settings.layers().rev() {
        found = match layer_ids(layer.node, diagnostics) {
            FieldSetting::Nothing => continue,
            FieldSetting::None => Vec::new(),
            FieldSetting::This(places) => {
                let below = found.into_iter().next();
                let below = below.unwrap_or_else(|| Location::Headers(vec![ID]));
                let places = places.into_iter();
                places
                    .map(|place| place.unwrap_or_else(|| below.clone()))
                    .collect()
            }
        };
    }
    found
}

/// Reads the ids of one layer. `None` stands for the default location.
fn layer_ids(layer: Node<'_>, diagnostics: &mut Diagnostics) -> FieldSetting<Vec<Option<Location>>> {
    let list = layer.given("id").filter(|node| node.value().is_sequence());
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
        None => match field(layer, "id", diagnostics) {
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
