//! The API of the operator's page: a table of its paths, from its `OpenAPI` description.

use serde_json::Value;

use crate::admin;
use crate::reference::markdown::table;

/// The description as the text of a file.
pub fn description() -> String {
    format!("{:#}\n", admin::openapi())
}

/// Returns the tables of what can be read, and of the actions.
pub fn parts() -> Vec<(&'static str, String)> {
    let description = admin::openapi();
    [("reads", "get"), ("actions", "post")]
        .map(|(part, method)| (part, paths(&description, method)))
        .into()
}

/// The table of the paths with a method.
fn paths(description: &Value, method: &str) -> String {
    let prefix = description.pointer("/servers/0/url").and_then(Value::as_str);
    let prefix = prefix.unwrap_or_default();
    let all = description.get("paths").and_then(Value::as_object);
    let rows = all.into_iter().flatten().filter_map(|(path, operations)| {
        let operation = operations.get(method)?;
        let meaning = operation.get("summary")?.as_str()?;
        Some([
            format!("`{} {prefix}{path}`", method.to_uppercase()),
            meaning.to_owned(),
            query(operation),
        ])
    });
    table(["request", "meaning", "query"], rows)
}

/// The parameters of the query, each with its meaning.
fn query(operation: &Value) -> String {
    let parameters = operation.get("parameters").and_then(Value::as_array);
    let described = parameters.into_iter().flatten().filter_map(|parameter| {
        let (name, meaning) = (parameter.get("name")?.as_str()?, parameter.get("description")?);
        let meaning = meaning.as_str()?.trim_end_matches('.');
        Some(format!("`{name}`: {meaning}"))
    });
    described.collect::<Vec<_>>().join("; ")
}
