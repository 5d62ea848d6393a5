//! The part of JSON Schema, draft-07, that our schema uses. `tests/system/test_editors.py` compares
//! it with `ajv`. A keyword that it does not know ends the test.

use std::cell::RefCell;
use std::collections::HashMap;

use regex::Regex;
use serde_json::{Map, Value};

/// Keywords that describe and assert nothing.
const SILENT: [&str; 8] = [
    "$schema",
    "title",
    "definitions",
    "description",
    "markdownDescription",
    "default",
    "examples",
    "then",
];

pub struct Validator {
    root: Value,
    patterns: RefCell<HashMap<String, Regex>>,
}

impl Validator {
    pub fn new(root: Value) -> Self {
        Self {
            root,
            patterns: RefCell::default(),
        }
    }

    /// True if the schema accepts the value.
    pub fn accepts(&self, value: &Value) -> bool {
        self.holds(&self.root, value)
    }

    fn holds(&self, schema: &Value, value: &Value) -> bool {
        let schema = match schema {
            Value::Bool(answer) => return *answer,
            Value::Object(schema) => schema,
            other => panic!("no schema: {other}"),
        };
        if let Some(reference) = schema.get("$ref") {
            let path = reference.as_str().unwrap().strip_prefix('#').unwrap();
            let target = self.root.pointer(path).unwrap_or_else(|| panic!("no {path}"));
            return self.holds(target, value);
        }
        schema
            .iter()
            .all(|(word, operand)| self.keyword(schema, word, operand, value))
    }

    fn keyword(&self, schema: &Map<String, Value>, word: &str, operand: &Value, value: &Value) -> bool {
        let all = || operand.as_array().unwrap().iter();
        let count = |actual: usize| i128::try_from(actual).unwrap();
        let bound = || i128::from(operand.as_i64().unwrap());
        match word {
            "type" if operand.is_array() => all().any(|kind| is(kind.as_str().unwrap(), value)),
            "type" => is(operand.as_str().unwrap(), value),
            "enum" => all().any(|one| one == value),
            "const" => operand == value,
            "allOf" => all().all(|one| self.holds(one, value)),
            "anyOf" => all().any(|one| self.holds(one, value)),
            "oneOf" => all().filter(|one| self.holds(one, value)).count() == 1,
            "not" => !self.holds(operand, value),
            "if" if self.holds(operand, value) => {
                schema.get("then").is_none_or(|then| self.holds(then, value))
            }
            "if" => true,
            "minimum" => value.as_i64().is_none_or(|number| i128::from(number) >= bound()),
            "maximum" => {
                let number = value
                    .as_u64()
                    .map(i128::from)
                    .or_else(|| value.as_i64().map(i128::from));
                number.is_none_or(|number| number <= bound())
            }
            "pattern" => value.as_str().is_none_or(|text| self.matches(operand, text)),
            "items" => each(value).all(|item| self.holds(operand, item)),
            "minItems" => value.as_array().is_none_or(|items| count(items.len()) >= bound()),
            "maxItems" => value.as_array().is_none_or(|items| count(items.len()) <= bound()),
            "minProperties" => value.as_object().is_none_or(|keys| count(keys.len()) >= bound()),
            "maxProperties" => value.as_object().is_none_or(|keys| count(keys.len()) <= bound()),
            "required" => value
                .as_object()
                .is_none_or(|keys| all().all(|name| keys.contains_key(name.as_str().unwrap()))),
            "propertyNames" => keys(value).all(|(name, _)| self.holds(operand, &Value::from(name.as_str()))),
            "properties" => keys(value)
                .all(|(name, value)| operand.get(name).is_none_or(|schema| self.holds(schema, value))),
            "patternProperties" => keys(value).all(|(name, value)| {
                let patterns = operand.as_object().unwrap().iter();
                let mut fitting =
                    patterns.filter(|(pattern, _)| self.matches(&Value::from(pattern.as_str()), name));
                fitting.all(|(_, schema)| self.holds(schema, value))
            }),
            "additionalProperties" => keys(value).all(|(name, value)| {
                let known = schema
                    .get("properties")
                    .is_some_and(|known| known.get(name).is_some());
                let patterns = schema.get("patternProperties").and_then(Value::as_object);
                let fits = patterns.is_some_and(|patterns| {
                    patterns
                        .keys()
                        .any(|pattern| self.matches(&Value::from(pattern.as_str()), name))
                });
                known || fits || self.holds(operand, value)
            }),
            _ if SILENT.contains(&word) => true,
            _ => panic!("the validator does not know `{word}`"),
        }
    }

    fn matches(&self, pattern: &Value, text: &str) -> bool {
        let pattern = pattern.as_str().unwrap();
        let mut patterns = self.patterns.borrow_mut();
        let compiled = patterns
            .entry(pattern.to_owned())
            .or_insert_with(|| Regex::new(pattern).unwrap());
        compiled.is_match(text)
    }
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => panic!("no type: {kind}"),
    }
}

fn each(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn keys(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}
