//! The `OpenAPI` description of the API, made from its structs and its table of actions
//! (<https://spec.openapis.org/oas/v3.1.1>).

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::admin::api::{Action, PREFIX};
use crate::admin::change::{ChangeAnswer, DeadGroupName};
use crate::admin::check::{Judgement, Question};
use crate::admin::fire::{FireAnswer, FireRequest};
use crate::admin::page::{ArrivalsView, Completions, RuleList, View};
use crate::admin::plan::{PlanAnswer, PlanRequest};
use crate::admin::replay::ReplayAnswer;
use crate::admin::rules::{RulesAnswer, TargetName};
use crate::admin::stop::{StopAnswer, StopRequest};
use crate::admin::summary::Outcome;
use crate::admin::try_rules::{TryAnswer, TryRequest};
use crate::history::{ArrivalDetail, DeliveryDetail};
use crate::status::{ProblemsStatus, QueueStatus, RuleStatus, Status, SystemStatus};

/// Builds the description.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let mut paths = Map::new();
    for view in View::ALL {
        let (pattern, schema) = (view.api_pattern(), view_schema(view, &mut schemas));
        let operation = get(view_says(view), &parameters(pattern, query_of(view)), &schema);
        add(&mut paths, pattern, "get", operation);
    }
    for (pattern, says, query, media_type, schema) in others(&mut schemas) {
        let mut operation = get(says, &parameters(pattern, query), &schema);
        if media_type != "application/json"
            && let Some(content) = operation.pointer_mut("/responses/200/content")
        {
            *content = json!({media_type: {}});
        }
        add(&mut paths, pattern, "get", operation);
    }
    for action in Action::ALL {
        add(&mut paths, action.pattern(), "post", post(action, &mut schemas));
    }
    let definitions = schemas.take_definitions(true);
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "hookyard admin API",
            "version": "1",
            "description": "What the operator's page shows and does. It is served on the admin socket, and with `admin.password` on `admin.listen`.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": PREFIX}],
        "paths": paths,
        "components": {"schemas": definitions},
    })
}

/// A parameter of the query: name and meaning.
type QueryParameter = (&'static str, &'static str);

fn view_says(view: View) -> &'static str {
    match view {
        View::Arrivals => "Arrivals that pass a filter, newest first.",
        View::Arrival => "An arrival with its decisions and deliveries.",
        View::Delivery => "A delivery with its attempts.",
        View::Rules => "All rules with their state, and paused targets.",
        View::Rule => "A rule with its state.",
        View::Queue => "What runs, and what the waiting deliveries wait for.",
        View::Problems => "Dead letters and refused arrivals in groups, and what is wrong with the daemon.",
        View::Try => {
            "The rules file, its secrets masked, and the decision of the rules in force about an arrival. For those who may act."
        }
        View::System => "The daemon, and its figures of the last 24 hours.",
    }
}

fn query_of(view: View) -> &'static [QueryParameter] {
    match view {
        View::Arrivals => &[
            ("q", "The filter line."),
            ("before", "Id of an arrival: only those before it."),
            ("limit", "Maximum number of arrivals, from 1 to 500. Default: 50."),
        ],
        View::Try => &[("arrival", "Id of an arrival.")],
        _ => &[],
    }
}

fn view_schema(view: View, schemas: &mut SchemaGenerator) -> Value {
    match view {
        View::Arrivals => of::<ArrivalsView>(schemas),
        View::Arrival => of::<ArrivalDetail>(schemas),
        View::Delivery => of::<DeliveryDetail>(schemas),
        View::Rules => of::<RuleList>(schemas),
        View::Rule => of::<RuleStatus>(schemas),
        View::Queue => of::<QueueStatus>(schemas),
        View::Problems => of::<ProblemsStatus>(schemas),
        View::Try => of::<TryAnswer>(schemas),
        View::System => of::<SystemStatus>(schemas),
    }
}

type Other = (
    &'static str,
    &'static str,
    &'static [QueryParameter],
    &'static str,
    Value,
);

fn others(schemas: &mut SchemaGenerator) -> Vec<Other> {
    let (json, events) = ("application/json", "text/event-stream");
    vec![
        (
            "/status",
            "The state of the daemon.",
            &[],
            json,
            of::<Status>(schemas),
        ),
        (
            "/arrivals/{id}/body",
            "The body of an arrival as a file.",
            &[],
            "application/octet-stream",
            json!({}),
        ),
        (
            "/arrivals/stream",
            "Counts of new arrivals, as server-sent events.",
            &[
                ("q", "The filter line."),
                ("after", "`cursor` of the list of arrivals."),
            ],
            events,
            json!({}),
        ),
        (
            "/deliveries/{id}/output",
            "Output of the attempt that runs, as server-sent events.",
            &[("after", "Id of the last event that was seen.")],
            events,
            json!({}),
        ),
        (
            "/suggestions",
            "Completions of a filter line.",
            &[
                ("q", "The filter line."),
                ("at", "Position of the cursor, in characters."),
            ],
            json,
            of::<Completions>(schemas),
        ),
    ]
}

/// Schemas of the body and of the answer.
fn action_schemas(action: Action, schemas: &mut SchemaGenerator) -> (Option<Value>, Value) {
    match action {
        Action::ReplayArrival => {
            let (arrival, event) = (
                of::<Outcome<ReplayAnswer>>(schemas),
                of::<Outcome<ChangeAnswer>>(schemas),
            );
            (None, json!({"anyOf": [arrival, event]}))
        }
        Action::StopArrival | Action::StopDelivery => (
            Some(of::<StopRequest>(schemas)),
            of::<Outcome<StopAnswer>>(schemas),
        ),
        Action::ReplayDelivery | Action::DropDelivery => (None, of::<Outcome<ChangeAnswer>>(schemas)),
        Action::ReplayDeliveries | Action::DropDeliveries => (
            Some(of::<DeadGroupName>(schemas)),
            of::<Outcome<ChangeAnswer>>(schemas),
        ),
        Action::PauseRule | Action::ResumeRule => (None, of::<Outcome<RulesAnswer>>(schemas)),
        Action::PauseTarget | Action::ResumeTarget => (
            Some(of::<TargetName>(schemas)),
            of::<Outcome<RulesAnswer>>(schemas),
        ),
        Action::FireRule => (
            Some(of::<FireRequest>(schemas)),
            of::<Outcome<FireAnswer>>(schemas),
        ),
        Action::Plan => (
            Some(of::<PlanRequest>(schemas)),
            of::<Outcome<PlanAnswer>>(schemas),
        ),
        Action::Try => (Some(of::<TryRequest>(schemas)), of::<Outcome<TryAnswer>>(schemas)),
        Action::Check => (Some(of::<Question>(schemas)), of::<Judgement>(schemas)),
    }
}

fn post(action: Action, schemas: &mut SchemaGenerator) -> Value {
    let dry_run: &[QueryParameter] = match action {
        Action::StopArrival
        | Action::StopDelivery
        | Action::PauseRule
        | Action::ResumeRule
        | Action::PauseTarget
        | Action::ResumeTarget
        | Action::Plan
        | Action::Try
        | Action::Check => &[],
        _ => &[("dry_run", "`1`: change nothing, and say what would be changed.")],
    };
    let (body, answer) = action_schemas(action, schemas);
    let mut operation = get(action.says(), &parameters(action.pattern(), dry_run), &answer);
    if let (Some(operation), Some(body)) = (operation.as_object_mut(), body) {
        let content = json!({"required": true, "content": {"application/json": {"schema": body}}});
        operation.insert("requestBody".to_owned(), content);
    }
    if let Some(responses) = operation.pointer_mut("/responses").and_then(Value::as_object_mut) {
        responses.insert(
            "403".to_owned(),
            json!({"description": "The request comes from another page, or may only read."}),
        );
    }
    operation
}

fn get(says: &str, parameters: &[Value], schema: &Value) -> Value {
    json!({
        "summary": says,
        "parameters": parameters,
        "responses": {
            "200": {"description": "OK", "content": {"application/json": {"schema": schema}}},
            "default": {
                "description": "The request is not understood, or there is nothing of this name. `error` is the reason.",
                "content": {"application/json": {"schema": {
                    "type": "object",
                    "properties": {"error": {"type": "string"}},
                    "required": ["error"],
                }}},
            },
        },
    })
}

fn parameters(pattern: &str, query: &[QueryParameter]) -> Vec<Value> {
    let segments = pattern.split('/');
    let names = segments.filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let path =
        names.map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
    let query = query.iter().map(|(name, says)| {
        json!({"name": name, "in": "query", "description": says, "schema": {"type": "string"}})
    });
    path.chain(query).collect()
}

fn add(paths: &mut Map<String, Value>, pattern: &str, method: &str, operation: Value) {
    let path = paths.entry(pattern).or_insert_with(|| json!({}));
    if let Some(path) = path.as_object_mut() {
        path.insert(method.to_owned(), operation);
    }
}

fn of<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Value {
    schemas.subschema_for::<T>().to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_to_a_schema() {
        let document = document();
        let text = document.to_string();
        let references: Vec<&str> = text.split("\"$ref\":\"").skip(1).collect();
        assert!(references.len() > 20);
        for reference in references {
            let pointer = reference.split('"').next().unwrap().strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
    }

    #[test]
    fn every_action_has_an_operation() {
        let document = document();
        for action in Action::ALL {
            let path = document["paths"].get(action.pattern()).unwrap();
            assert!(
                path["post"]["summary"].as_str().unwrap().ends_with('.'),
                "{action:?}"
            );
        }
    }
}
