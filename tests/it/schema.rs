//! `hookyard schema` through the binary. `tests/system/test_editors.py` drives an editor's server.

use serde_json::Value;

use crate::scenario::{Scenario, said};

const DRAFT: &str = "http://json-schema.org/draft-07/schema#";

fn schema(arguments: &[&str]) -> Value {
    let output = Scenario::new().hookyard(&[&["schema"], arguments].concat());
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn schema_describes_the_rules_file_with_types_defaults_and_examples() {
    let schema = schema(&[]);
    assert_eq!(schema, self::schema(&["rules"]));
    assert_eq!(schema["$schema"], DRAFT);
    assert_eq!(schema["required"], Value::Null);
    assert_eq!(schema["allOf"][0]["required"][0], "rules");
    let rule = &schema["definitions"]["rule"]["properties"];
    assert_eq!(rule["enabled"]["default"], true);
    assert_eq!(rule["replay_window"]["examples"][0], "1h");
    let duplicate = &schema["definitions"]["endpoint"]["properties"]["on_duplicate"];
    assert_eq!(duplicate["enum"], serde_json::json!(["ignore", "reject", "run"]));
    assert_eq!(duplicate["default"], "ignore");
    let described = duplicate["markdownDescription"].as_str().unwrap();
    assert!(described.contains("Default: `ignore`"), "{described}");
}

#[test]
fn schema_knows_every_sender_and_every_operator() {
    let schema = schema(&[]);
    let verify = &schema["definitions"]["verify"]["properties"];
    let output = Scenario::new().hookyard(&["schemes", "--format", "json"]);
    let schemes: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    for scheme in schemes.iter().filter(|scheme| scheme["name"] != "none") {
        let name = scheme["name"].as_str().unwrap();
        let description = verify[name]["description"].as_str();
        assert!(description.is_some_and(|text| !text.is_empty()), "{name}");
    }
    let operators = schema["definitions"]["operators"]["properties"]
        .as_object()
        .unwrap();
    for (name, operator) in operators {
        let description = operator["description"].as_str().unwrap();
        assert!(
            description.len() > "Holds if . Example: ".len(),
            "{name}: {description}"
        );
    }
}

#[test]
fn schema_of_the_test_file_allows_keys_for_anchors() {
    let schema = schema(&["test"]);
    assert_eq!(schema["$schema"], DRAFT);
    assert_eq!(schema["allOf"][0]["required"][0], "tests");
    assert_eq!(schema["patternProperties"]["^x-"], serde_json::json!({}));
    let expect = &schema["definitions"]["test-expect"];
    assert_eq!(expect["additionalProperties"]["$ref"], "#/definitions/test-rule");
}

#[test]
fn schema_knows_no_other_file() {
    let output = Scenario::new().hookyard(&["schema", "hooks"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output).contains("possible values: rules, test"),
        "{}",
        said(&output)
    );
}
