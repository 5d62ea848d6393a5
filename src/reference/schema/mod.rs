//! JSON Schema of the rules file, draft-07, for editors: `hookyard schema`.
//!
//! Made from the table of keys, as the reference is, and from the names that the code knows: schemes
//! in `schemes.rs`, conditions in `conditions.rs`, values in `values.rs`. The tests hold it to
//! `hookyard check` in both directions, and list what a schema cannot express.

mod conditions;
mod schemes;
#[cfg(test)]
mod tests;
mod texts;
mod values;

use serde_json::{Map, Value, json};

use super::keys::{Key, KeyType, Mapping, mappings, test_mappings};
use texts::{markdown, plain};

/// Folder of the schemas in the Debian package.
const INSTALLED: &str = "/usr/share/hookyard";

/// A file that has a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Described {
    Rules,
    Tests,
}

impl Described {
    /// Returns the first line of such a file, by which editors find the schema.
    pub fn modeline(self) -> String {
        let name = match self {
            Self::Rules => "rules",
            Self::Tests => "rules.test",
        };
        format!("# yaml-language-server: $schema={INSTALLED}/{name}.schema.json")
    }

    /// Returns the schema.
    pub fn schema(self) -> Value {
        match self {
            Self::Rules => {
                let mut schema = schema("file", "Rules file of hookyard", mappings());
                if let Value::Object(schema) = &mut schema {
                    schema.extend(schemes::known_names());
                }
                schema
            }
            Self::Tests => schema("test-file", "Test file of hookyard", test_mappings()),
        }
    }
}

/// Returns the schema of a file: its mappings as definitions, and that of the file itself.
fn schema(file: &str, title: &str, mappings: &[Mapping]) -> Value {
    let mut definitions = Map::new();
    for mapping in mappings {
        let definition = match mapping.id.as_str() {
            "verify" => schemes::verify(mapping),
            "definition" => schemes::definition(mapping),
            // A definition under `schemes` gives some of the settings, and its use the others.
            id if schemes::is_family(id) => undescribed(object(mapping)),
            _ => whole(mapping),
        };
        definitions.insert(mapping.id.clone(), definition);
    }
    definitions.extend(values::definitions());
    definitions.extend(conditions::definitions());
    let root = definitions.remove(file).unwrap_or_default();
    let mut schema = Map::from_iter([
        (
            "$schema".to_owned(),
            "http://json-schema.org/draft-07/schema#".into(),
        ),
        ("title".to_owned(), title.into()),
        ("definitions".to_owned(), definitions.into()),
    ]);
    if let Value::Object(root) = root {
        schema.extend(root);
    }
    // Such keys hold anchors, and are ignored.
    schema.insert("patternProperties".to_owned(), json!({"^x-": {}}));
    schema.into()
}

/// Returns a mapping with its keys, the required ones included.
fn whole(mapping: &Mapping) -> Value {
    let mut schema = object(mapping);
    let required = required(mapping, &[]);
    if let (Value::Object(schema), false) = (&mut schema, required.is_empty()) {
        schema.insert("allOf".to_owned(), required.into());
    }
    schema
}

/// Removes the description of settings: editors would show it in place of that of the scheme.
fn undescribed(mut schema: Value) -> Value {
    if let Value::Object(schema) = &mut schema {
        schema.retain(|word, _| !["description", "markdownDescription"].contains(&word.as_str()));
    }
    schema
}

/// Returns a mapping with its keys, none of them required.
fn object(mapping: &Mapping) -> Value {
    let keys = mapping.keys.iter().filter(|(_, key)| !key.unusable);
    let properties: Map<String, Value> = keys
        .map(|(name, key)| (name.clone(), property(name, key)))
        .collect();
    let others = mapping.others.as_ref().map(values::any);
    json!({
        "description": plain(&mapping.says),
        "markdownDescription": markdown(&mapping.says),
        "type": "object",
        "properties": properties,
        "additionalProperties": others.unwrap_or(Value::Bool(false)),
    })
}

/// Returns what must be given in a mapping, without the keys that are `given` elsewhere.
fn required(mapping: &Mapping, given: &[String]) -> Vec<Value> {
    let needs = |names: &[String], word: &str| {
        let each: Vec<Value> = names.iter().map(|name| json!({"required": [name]})).collect();
        json!({word: each})
    };
    let is_given = |name: &String| given.contains(name);
    let mut all = Vec::new();
    for (name, key) in &mapping.keys {
        if key.required && !is_given(name) && !key.unless.iter().any(is_given) {
            let names: Vec<String> = [name].into_iter().chain(&key.unless).cloned().collect();
            all.push(match names.as_slice() {
                [name] => json!({"required": [name]}),
                names => needs(names, "anyOf"),
            });
        }
    }
    for group in mapping
        .exactly_one
        .iter()
        .filter(|group| !group.iter().any(is_given))
    {
        // What is no mapping has its error already.
        all.push(json!({"if": {"type": "object"}, "then": needs(group, "oneOf")}));
    }
    for group in mapping
        .at_least_one
        .iter()
        .filter(|group| !group.iter().any(is_given))
    {
        all.push(needs(group, "anyOf"));
    }
    all
}

/// Returns a key of a mapping: its type, and what editors show.
fn property(name: &str, key: &Key) -> Value {
    let mut schema = match values::of(name, key) {
        Value::Object(schema) if !schema.contains_key("$ref") => schema,
        // Beside a reference, draft-07 ignores everything.
        reference => Map::from_iter([("allOf".to_owned(), json!([reference]))]),
    };
    schema.insert("description".to_owned(), plain(&key.says).into());
    schema.insert("markdownDescription".to_owned(), markdown(&described(key)).into());
    if let Some(default) = key.default.as_ref().and_then(json_of) {
        schema.insert("default".to_owned(), default);
    }
    if let Some(example) = json_of(&key.example) {
        schema.insert("examples".to_owned(), json!([example]));
    }
    schema.into()
}

/// Returns the description of a key with its default, as the reference has them.
fn described(key: &Key) -> String {
    format!("{}\n\nDefault: {}", key.says, super::keys::default_of(key))
}

fn json_of(value: &serde_yaml::Value) -> Option<Value> {
    serde_json::to_value(value).ok()
}

/// True if a type is this mapping, or has it as a choice.
fn has_mapping(kind: &KeyType, id: &str) -> bool {
    kind.parts()
        .into_iter()
        .any(|part| matches!(part, KeyType::Mapping(part) if part == id))
}
