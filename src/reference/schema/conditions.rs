//! `match:` as a schema. Selectors and operators come from the code.

use serde_json::{Map, Value, json};

use super::texts::{markdown, plain};
use super::values::reference;
use crate::matching::{
    GROUPS, LENGTH_OPERATORS, MODIFIERS, NAMED, OPERATORS, Operand, READING_OPERATORS, Reading, WORDS, types,
};
use crate::reference::conditions;

/// Returns the definitions that conditions need.
pub fn definitions() -> Map<String, Value> {
    Map::from_iter([
        ("conditions".to_owned(), selectors()),
        ("selected".to_owned(), scalar_or(&reference("operators"))),
        ("operators".to_owned(), of_selector()),
        ("operand".to_owned(), scalar_or(&of_each())),
    ])
}

/// A mapping of selectors to tests, with groups.
fn selectors() -> Value {
    let described = |schema: Value, (about, example): (&str, &str)| {
        let description = format!("{about}. Example: {example}");
        json!({
            "allOf": [schema],
            "description": plain(&description),
            "markdownDescription": markdown(&format!("{about}.\n\nExample: `{example}`")),
        })
    };
    let mut properties = Map::new();
    for word in WORDS.into_iter().chain(["@"]) {
        let about = conditions::selector(word);
        properties.insert(word.to_owned(), described(reference("selected"), about));
    }
    for group in GROUPS {
        let schema = match group {
            "not" => reference("conditions"),
            _ => json!({"type": "array", "minItems": 1, "items": reference("conditions")}),
        };
        properties.insert(group.to_owned(), described(schema, conditions::condition(group)));
    }
    let mut patterns = Map::new();
    for begin in ["$", "@"] {
        let about = conditions::selector(begin);
        let pattern = begin.replace('$', "\\$");
        patterns.insert(format!("^{pattern}"), described(reference("selected"), about));
    }
    for name in NAMED {
        let about = conditions::selector(name);
        patterns.insert(format!("^{name}\\."), described(reference("selected"), about));
    }
    json!({
        "type": "object",
        "minProperties": 1,
        "properties": properties,
        "patternProperties": patterns,
        "additionalProperties": false,
    })
}

/// A value, a list of values, or a mapping of operators. Editors report the first choice if none fits.
fn scalar_or(operators: &Value) -> Value {
    json!({"anyOf": [
        operators,
        {"type": ["string", "number", "boolean", "null"]},
        {"type": "array", "minItems": 1},
    ]})
}

/// Operators on the values of a selector.
fn of_selector() -> Value {
    let mut all = operators();
    for modifier in MODIFIERS {
        let schema = match modifier {
            "every" | "none" => reference("operand"),
            "as" => json!({"type": "string", "enum": Reading::ALL.map(Reading::name)}),
            _ => json!({"type": "boolean"}),
        };
        all.insert(modifier.to_owned(), described(modifier, schema));
    }
    mapping(&all, &["exists", "every", "none"])
}

/// Operators of `every` and `none`, on each value.
fn of_each() -> Value {
    let mut all = operators();
    for modifier in ["as", "ignore_case"] {
        let schema = match modifier {
            "as" => json!({"type": "string", "enum": Reading::ALL.map(Reading::name)}),
            _ => json!({"type": "boolean"}),
        };
        all.insert(modifier.to_owned(), described(modifier, schema));
    }
    mapping(&all, &[])
}

/// A mapping of operators. `beside` are keys that stand beside `as` too.
fn mapping(operators: &Map<String, Value>, beside: &[&str]) -> Value {
    let readings = Reading::ALL.map(|reading| read_as(reading, beside));
    json!({
        "type": "object",
        "minProperties": 1,
        "properties": operators,
        "additionalProperties": false,
        "allOf": readings,
    })
}

/// Operators beside `as`, and their operands.
fn read_as(reading: Reading, beside: &[&str]) -> Value {
    let limit = match reading {
        Reading::Number => json!({"type": "number"}),
        Reading::Time => json!({"type": "string"}),
    };
    let operands: Map<String, Value> = READING_OPERATORS
        .into_iter()
        .map(|name| {
            let operand = match name {
                "in" => json!({"type": "array", "minItems": 1, "items": limit}),
                _ => limit.clone(),
            };
            (name.to_owned(), operand)
        })
        .collect();
    let names: Vec<&str> = READING_OPERATORS
        .into_iter()
        .chain(["as", "ignore_case"])
        .chain(beside.iter().copied())
        .collect();
    json!({
        "if": {"type": "object", "properties": {"as": {"const": reading.name()}}, "required": ["as"]},
        "then": {"type": "object", "propertyNames": {"enum": names}, "properties": operands},
    })
}

fn operators() -> Map<String, Value> {
    let all = OPERATORS.into_iter();
    all.map(|(name, operand)| (name.to_owned(), described(name, schema(operand))))
        .collect()
}

fn schema(operand: Operand) -> Value {
    let one_or_many = |item: Value| json!({"anyOf": [item, {"type": "array", "minItems": 1, "items": item}]});
    match operand {
        Operand::Value => json!({}),
        Operand::Values => json!({"type": "array", "minItems": 1}),
        Operand::Text => json!({"type": "string"}),
        Operand::Threshold => json!({"type": ["number", "string"]}),
        Operand::Networks => one_or_many(json!({"type": "string"})),
        // A bare `null` is a value of YAML.
        Operand::Types => one_or_many(json!({"anyOf": [{"enum": types()}, {"type": "null"}]})),
        Operand::Length => {
            let length = json!({"type": "integer", "minimum": 0});
            let limits: Map<String, Value> = LENGTH_OPERATORS
                .into_iter()
                .map(|name| (name.to_owned(), length.clone()))
                .collect();
            json!({"anyOf": [
                length,
                {"type": "object", "minProperties": 1, "properties": limits, "additionalProperties": false},
            ]})
        }
    }
}

/// Adds the row of the reference to the schema of an operator.
fn described(name: &str, mut schema: Value) -> Value {
    let (holds, example) = conditions::condition(name);
    if let Value::Object(schema) = &mut schema {
        let description = format!("Holds if {holds}. Example: {example}");
        let shown = format!("Holds if {holds}.\n\nExample: `{example}`");
        schema.insert("description".to_owned(), plain(&description).into());
        schema.insert("markdownDescription".to_owned(), markdown(&shown).into());
    }
    schema
}
