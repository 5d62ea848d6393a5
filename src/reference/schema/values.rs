//! Types of keys as schemas.

use serde_json::{Map, Value, json};

use super::super::keys::{Key, KeyType};
use crate::verify;

/// A duration, as `humantime` reads it.
const DURATION: &str = r"^\s*([0-9]+\s*(\.[0-9]+)?\s*[A-Za-zµ]+\s*)+$|^\s*0\s*$";
/// A size, as `bytesize` reads it.
const SIZE: &str = r"^\s*([0-9]+|[0-9]*\.?[0-9]+\s*[A-Za-z]*|[0-9]+\.\s*[A-Za-z]*)\s*$";
const RATE: &str = r"^\s*[0-9]+\s*/\s*[smh]\s*$";
/// A `token` of RFC 9110.
const HEADER: &str = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";
/// A day, or an instant of RFC 3339.
const DATE: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt].+)?$";
/// Name of a scheme that the file defines.
pub const OWN_SCHEME: &str = "^[A-Za-z0-9_.-]{1,64}$";
const JSON_PATH: &str = r"^\$";
/// A number beyond which the bound is that of the machine. JSON does not hold it exactly.
const EXACT: i128 = 1 << 53;

/// Limits that a key sets for its value, beside the type.
#[derive(Clone, Copy, Default)]
struct Limits<'k> {
    /// Name of the key.
    name: &'k str,
    items: Option<(usize, usize)>,
    names: Option<&'k KeyType>,
    pattern: Option<&'k str>,
}

/// Returns the schema of a key's value. `name` is the key.
pub fn of(name: &str, key: &Key) -> Value {
    let limits = Limits {
        name,
        items: key.items,
        names: key.names.as_ref(),
        pattern: key.pattern.as_deref(),
    };
    typed(&key.kind, limits)
}

/// Returns the schema of a type by itself.
pub fn any(kind: &KeyType) -> Value {
    typed(kind, Limits::default())
}

fn typed(kind: &KeyType, limits: Limits<'_>) -> Value {
    let inner = |kind: &KeyType| typed(kind, limits);
    match kind {
        KeyType::Text => match limits.pattern {
            Some(pattern) => json!({"type": "string", "pattern": pattern}),
            None => json!({"type": "string"}),
        },
        KeyType::Date => json!({"type": "string", "pattern": DATE}),
        KeyType::Path
        | KeyType::Url
        | KeyType::Address
        | KeyType::Mode
        | KeyType::Template
        | KeyType::SecretFile
        | KeyType::Network => json!({"type": "string"}),
        KeyType::Nothing => json!({"type": "null"}),
        KeyType::Boolean => json!({"type": "boolean"}),
        KeyType::Integer(least, most) => integer(*least, *most),
        KeyType::Duration => reference("duration"),
        KeyType::Size => reference("size"),
        KeyType::Rate => reference("rate"),
        KeyType::Secret => reference("secret"),
        KeyType::Header => reference("header"),
        KeyType::JsonPath | KeyType::JsonPaths => reference("jsonpath"),
        KeyType::Condition => reference("conditions"),
        KeyType::Operators => reference("operators"),
        KeyType::Any => json!({}),
        KeyType::OwnScheme => {
            let built_in: Vec<&str> = verify::schemes().collect();
            json!({"type": "string", "pattern": OWN_SCHEME, "not": {"enum": built_in}})
        }
        KeyType::Word(words) => json!({"type": "string", "enum": words}),
        // The key of the secret is called as the setting in which it stands.
        KeyType::Mapping(id) if id == "dated" => dated(limits.name),
        KeyType::Mapping(id) => reference(id),
        KeyType::MapOf(values) => names(&inner(values), limits),
        KeyType::List(item) => list(&inner(item), limits),
        KeyType::OneOrMany(item) => {
            let item = inner(item);
            json!({"anyOf": [item, list(&item, limits)]})
        }
        KeyType::Either(choices) => {
            let choices: Vec<Value> = choices.iter().map(inner).collect();
            json!({"anyOf": choices})
        }
    }
}

pub fn reference(id: &str) -> Value {
    json!({"$ref": format!("#/definitions/{id}")})
}

fn list(item: &Value, limits: Limits<'_>) -> Value {
    let mut list = json!({"type": "array", "items": item});
    if let (Some((least, most)), Value::Object(list)) = (limits.items, &mut list) {
        list.insert("minItems".to_owned(), least.into());
        list.insert("maxItems".to_owned(), most.into());
    }
    list
}

fn integer(least: i128, most: i128) -> Value {
    let mut schema = Map::from_iter([("type".to_owned(), "integer".into())]);
    for (word, bound) in [("minimum", least), ("maximum", most)] {
        if let (true, Ok(bound)) = (bound.abs() <= EXACT, i64::try_from(bound)) {
            schema.insert(word.to_owned(), bound.into());
        }
    }
    schema.into()
}

/// Returns a mapping of names to values.
fn names(values: &Value, limits: Limits<'_>) -> Value {
    let mut names = match pattern_of(limits.names) {
        Some(pattern) => json!({
            "type": "object",
            "patternProperties": {pattern: values},
            "additionalProperties": false,
        }),
        None => json!({"type": "object", "additionalProperties": values}),
    };
    if let (Some((least, most)), Value::Object(names)) = (limits.items, &mut names) {
        names.insert("minProperties".to_owned(), least.into());
        names.insert("maxProperties".to_owned(), most.into());
    }
    names
}

/// Returns the pattern of names of a mapping.
fn pattern_of(names: Option<&KeyType>) -> Option<&'static str> {
    match names? {
        KeyType::JsonPath | KeyType::JsonPaths => Some(JSON_PATH),
        KeyType::Header => Some(HEADER),
        KeyType::Path => Some("^/"),
        _ => None,
    }
}

/// Returns a secret with the end of its validity.
pub fn dated(name: &str) -> Value {
    json!({
        "type": "object",
        "properties": {
            name: reference("secret"),
            "not_after": {
                "type": "string",
                "pattern": DATE,
                "description": "Last day (UTC) on which the secret counts, or an RFC 3339 instant.",
            },
        },
        "required": [name],
        "additionalProperties": false,
    })
}

/// Returns the definitions of values that many keys have. They have no description and no examples:
/// an editor would show them in place of those of the key.
pub fn definitions() -> Map<String, Value> {
    let text = |pattern: &str| json!({"type": "string", "pattern": pattern});
    let all = [
        ("duration", text(DURATION)),
        (
            "size",
            json!({"anyOf": [text(SIZE), {"type": "integer", "minimum": 0}]}),
        ),
        ("rate", text(RATE)),
        ("secret", json!({"type": "string"})),
        ("header", text(HEADER)),
        ("jsonpath", text(JSON_PATH)),
    ];
    Map::from_iter(all.map(|(name, schema)| (name.to_owned(), schema)))
}
