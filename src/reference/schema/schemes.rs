//! `verify:`, `sign:` and `schemes:` as schemas. The names of schemes come from the code.

use serde_json::{Map, Value, json};

use super::super::keys::{Key, Mapping, mappings};
use super::texts::{markdown, plain};
use super::values::{OWN_SCHEME, dated, reference};
use super::{has_mapping, property, required};
use crate::verify;

/// Keys of `verify` that are no scheme.
const BESIDE: [&str; 2] = ["mode", "any"];

fn mapping(id: &str) -> Option<&'static Mapping> {
    mappings().iter().find(|mapping| mapping.id == id)
}

/// Keys of `verify` that are families of schemes, with the mapping of their settings.
fn families() -> impl Iterator<Item = (&'static str, &'static Key, &'static Mapping)> {
    let keys = mapping("verify").into_iter().flat_map(|verify| &verify.keys);
    keys.filter_map(|(name, key)| {
        let settings = mappings().iter().find(|mapping| {
            mapping.id != "dated" && mapping.id != "verify" && has_mapping(&key.kind, &mapping.id)
        })?;
        Some((name.as_str(), key, settings))
    })
}

/// True if the mapping holds the settings of schemes.
pub fn is_family(id: &str) -> bool {
    families().any(|(_, _, settings)| settings.id == id)
}

/// Returns the schema of `verify`.
pub fn verify(verify: &Mapping) -> Value {
    let mut schema = one_of_schemes(&verify.says, true);
    let beside = verify
        .keys
        .iter()
        .filter(|(name, _)| BESIDE.contains(&name.as_str()));
    let beside: Vec<(String, Value)> = beside
        .map(|(name, key)| (name.clone(), property(name, key)))
        .collect();
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.extend(beside);
    }
    schema
}

/// Returns the schema of an entry of `schemes`.
pub fn definition(definition: &Mapping) -> Value {
    let mut properties: Map<String, Value> = definition
        .keys
        .iter()
        .map(|(name, key)| (name.clone(), property(name, key)))
        .collect();
    for entry in verify::catalogue() {
        if let Some((_, _, settings)) = family_of(entry.name)
            && !properties.contains_key(entry.name)
        {
            let about = format!("Based on {}: {}", entry.name, about(&entry));
            properties.insert(entry.name.to_owned(), described(reference(&settings.id), &about));
        }
    }
    json!({
        "description": plain(&definition.says),
        "markdownDescription": markdown(&definition.says),
        "type": "object",
        "properties": properties,
        "patternProperties": {OWN_SCHEME: {"type": ["object", "string"]}},
        "additionalProperties": false,
        "allOf": one_beside(&["sender", "note"]),
    })
}

/// Exactly one key beside these.
fn one_beside(keys: &[&str]) -> Vec<Value> {
    let subsets = 0..1_u32 << keys.len();
    let all = subsets.map(|subset| {
        let given = |at: usize| subset & (1 << at) != 0;
        let conditions: Vec<Value> = keys
            .iter()
            .enumerate()
            .map(|(at, key)| {
                let required = json!({"required": [key]});
                if given(at) {
                    required
                } else {
                    json!({"not": required})
                }
            })
            .collect();
        let count = subset.count_ones() + 1;
        json!({
            "if": {"type": "object", "allOf": conditions},
            "then": {"type": "object", "minProperties": count, "maxProperties": count},
        })
    });
    all.collect()
}

/// A mapping that names one scheme.
fn one_of_schemes(says: &str, with_mode: bool) -> Value {
    let mut properties = Map::new();
    for entry in verify::catalogue() {
        if let Some((_, _, settings)) = family_of(entry.name) {
            let used = used(entry.name, entry.secret, settings);
            properties.insert(entry.name.to_owned(), described(used, &about(&entry)));
        }
    }
    let beside = if with_mode { &["mode"][..] } else { &[] };
    json!({
        "description": plain(says),
        "markdownDescription": markdown(says),
        "type": "object",
        "properties": properties,
        // Settings of a scheme that the file defines: they depend on its base.
        "patternProperties": {OWN_SCHEME: {"type": ["object", "string", "array"]}},
        "additionalProperties": false,
        "allOf": one_beside(beside),
    })
}

/// Family of a built-in scheme, with the mapping of its settings.
fn family_of(name: &'static str) -> Option<(&'static str, &'static Key, &'static Mapping)> {
    let (family, _) = verify::preset_settings(name)?;
    families().find(|(known, _, _)| *known == family)
}

/// The settings of a built-in scheme where it is used: those that it does not give itself.
fn used(name: &'static str, secret: &str, settings: &Mapping) -> Value {
    let given = verify::preset_settings(name)
        .map(|(_, given)| given)
        .unwrap_or_default();
    let given: Vec<String> = given.into_iter().map(|(key, _)| key).collect();
    let required = required(settings, &given);
    let mut whole = json!({"type": "object", "allOf": [reference(&settings.id)]});
    if let Some(Value::Array(all)) = whole.get_mut("allOf") {
        all.extend(required.iter().cloned());
    }
    let secret = match secret {
        "private_key" => "public_key",
        secret => secret,
    };
    // The secret alone is enough if nothing else is required.
    let is_secret = |need: &Value| {
        let places = ["/required/0", "/anyOf/0/required/0"];
        let mut first = places.iter().filter_map(|place| need.pointer(place)?.as_str());
        first.any(|name| name == secret)
    };
    if !required.iter().all(is_secret) || required.is_empty() {
        return whole;
    }
    let item = json!({"anyOf": [reference("secret"), dated(secret)]});
    json!({"anyOf": [whole, reference("secret"), dated_list(&item)]})
}

fn dated_list(item: &Value) -> Value {
    json!({"type": "array", "items": item, "minItems": 1, "maxItems": 16})
}

fn about(entry: &verify::SchemeEntry) -> String {
    let sender = match entry.sender {
        "" => String::new(),
        sender => format!("{sender}: "),
    };
    let note = match entry.note {
        "" => String::new(),
        note => format!(". {note}"),
    };
    format!("{sender}{}{note}", entry.proof)
}

/// Adds a description. Editors show it only if it stands beside `anyOf` or `type` itself.
fn described(schema: Value, about: &str) -> Value {
    let mut described = match schema {
        Value::Object(schema) if !schema.contains_key("$ref") => schema,
        reference => Map::from_iter([("allOf".to_owned(), json!([reference]))]),
    };
    described.insert("description".to_owned(), plain(about).into());
    described.insert("markdownDescription".to_owned(), about.into());
    described.into()
}

/// Keywords of the root by which an unknown name of a scheme is an error in a file that defines and
/// includes none.
pub fn known_names() -> Map<String, Value> {
    let mut names: Vec<&str> = verify::schemes().filter(|name| *name != "none").collect();
    names.extend(BESIDE);
    let names =
        json!({"if": {"type": "object"}, "then": {"type": "object", "propertyNames": {"enum": names}}});
    let list = |item: Value| json!({"type": "array", "items": item});
    let object = |properties: Value| json!({"type": "object", "properties": properties});
    let actions = list(object(json!({"sign": names})));
    let rule =
        object(json!({"verify": names, "actions": actions, "on_failure": actions, "on_silence": actions}));
    let endpoint =
        json!({"type": ["object", "null"], "properties": {"verify": names, "on_silence": actions}});
    let endpoints = json!({"type": "object", "additionalProperties": endpoint});
    // What is of another type is an error elsewhere.
    Map::from_iter([
        (
            "if".to_owned(),
            json!({
                "type": "object",
                "not": {"anyOf": [{"required": ["schemes"]}, {"required": ["include"]}]},
            }),
        ),
        (
            "then".to_owned(),
            object(json!({"endpoints": endpoints, "rules": list(rule)})),
        ),
    ])
}
