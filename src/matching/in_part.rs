//! Conditions and templates over payloads of which a part is read: the answers, explanations and
//! texts are those of the whole payload.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use minijinja::Value as Rendered;
use proptest::prelude::*;
use serde_json::json;

use super::condition::Condition;
use super::index::Matcher;
use super::testing::{document, event};
use crate::base::diagnostic::Diagnostics;
use crate::base::json::tests::{json_like, path};
use crate::base::json_plan::Plan;
use crate::base::secret::Keyring;
use crate::payload::{Decode, Event, Payload, decode_planned};
use crate::template::{Scope, Template, Templates, document_value};

/// A `match:` of one condition, on a path.
fn condition() -> impl Strategy<Value = String> {
    let operand = prop_oneof![
        Just("1"),
        Just("x"),
        Just("[1, x, null]"),
        Just("{exists: true}"),
        Just("{exists: false}"),
        Just("{type: [object, array]}"),
        Just("{length: {gt: 0}}"),
        Just("{contains: 1}"),
        Just("{equals: {a: 1}}"),
        Just("{gte: 1}"),
        Just("{as: number, gte: 1}"),
        Just("{every: {type: number}}"),
        Just("{none: x}"),
    ];
    (path(), operand, any::<bool>()).prop_map(|(path, operand, negated)| {
        // Quotes of YAML: a quote inside is doubled.
        let test = format!("'{}': {operand}", path.replace('\'', "''"));
        if negated { format!("not: {{{test}}}") } else { test }
    })
}

/// A template that reads the payload in one of the ways that templates have.
fn template() -> impl Strategy<Value = String> {
    let own = prop_oneof![
        Just("{{ payload }}"),
        Just("{{ payload.a }}"),
        Just("{{ payload.a.b }}{{ payload['c'][0] | default('-') }}"),
        Just("{{ payload.a.b | tojson }}"),
        Just("{{ payload.a[1].c | default('-') }}"),
        Just("{{ payload.a[-1] | default('-') }}"),
        Just("{{ payload.a | length }}"),
        Just("{{ 'b' in payload.a }}{{ payload.c is mapping }}{{ payload.d is sequence }}"),
        Just("{{ payload.a == payload.b }}{{ payload.a is defined }}"),
        Just("{% for x in payload.a %}[{{ x }}]{% endfor %}"),
        Just("{% for x in payload.a %}[{{ x.b }}]{% endfor %}"),
        Just("{% set p = payload %}{{ p.a.b }}{{ p.c | tojson }}"),
        Just("{% set p = payload.a %}{{ p.b }}{{ p | items | length }}"),
        Just("{% set payload = payload.a %}{{ jsonpath('$.b') }}{{ payload.c }}"),
        Just("{{ payload[payload.d] | default('-') }}"),
        Just("{{ payload.a | first }}{{ payload.b | last }}{{ payload.c | list | tojson }}"),
        Just("{{ payload.a[0:2] | tojson }}"),
        Just("{{ [payload.a, payload.b] | tojson }}{{ {'x': payload.c} | tojson(indent=true) }}"),
        Just("{{ payload | dictsort | tojson }}"),
        Just("{{ payload.a.items }}"),
    ];
    let of_path = (path(), any::<bool>()).prop_map(|(path, all)| {
        let path = path.replace('\'', "\\'");
        if all {
            format!("{{{{ jsonpath('{path}') | tojson }}}}")
        } else {
            format!("{{% set x = jsonpath('{path}') %}}{{{{ x.a if x is mapping else x }}}}")
        }
    });
    prop_oneof![2 => own.prop_map(str::to_owned), 1 => of_path]
}

/// A condition that compiles. Some never hold and are rejected.
fn compiled(text: &str) -> Option<Condition> {
    Condition::compile(document(text).root(), None, &mut Diagnostics::new())
}

fn read(body: &Bytes, plan: &Arc<Plan>) -> Result<Event, String> {
    let payload: Result<Payload, _> = decode_planned(Decode::Json, &HeaderMap::new(), body, u64::MAX, plan);
    let mut event = event(json!(null));
    event.payload = payload.map_err(|error| error.to_string())?;
    Ok(event)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn a_part_of_a_payload_is_matched_explained_and_rendered_as_the_whole(
        text in json_like(),
        planned in (prop::collection::vec(condition(), 0..4), prop::collection::vec(template(), 0..3)),
        others in (prop::collection::vec(condition(), 0..3), prop::collection::vec(template(), 0..3)),
    ) {
        let body = Bytes::from(text);
        let mut plan = Plan::default();
        let compile = |texts: &[String]| Matcher::new(texts.iter().filter_map(|text| compiled(text)).collect());
        let mut matchers = [compile(&planned.0), compile(&others.0)];
        matchers[0].add_to(&mut plan);
        let set = Templates::new();
        let keyring = Keyring::new([], Path::new("/"));
        let template = |text: &String| set.compile(text, Scope::Action, &keyring).ok();
        let templates: Vec<Template> = planned.1.iter().filter_map(template).collect();
        for template in &templates {
            template.add_to(&mut plan);
        }
        let templates = templates.into_iter().chain(others.1.iter().filter_map(template));
        let plan = Arc::new(plan);
        matchers[0].read_by(&plan);
        let everything = Arc::new(Plan::everything());
        let (whole, part) = match (read(&body, &everything), read(&body, &plan)) {
            (Ok(whole), Ok(part)) => (whole, part),
            (whole, part) => {
                prop_assert_eq!(whole.err(), part.err());
                return Ok(());
            }
        };
        prop_assert_eq!(whole.payload.kind, part.payload.kind);
        for matcher in &matchers {
            prop_assert_eq!(matcher.matching(&whole, &|_| true), matcher.matching(&part, &|_| true));
            prop_assert_eq!(matcher.nearest_miss(&whole, &|_| true), matcher.nearest_miss(&part, &|_| true));
            for rule in 0..4 {
                prop_assert_eq!(matcher.explain(&whole, rule), matcher.explain(&part, rule));
                prop_assert_eq!(matcher.might_want(&whole, rule), matcher.might_want(&part, rule));
            }
        }
        for template in templates {
            // A copy for each, since the whole payload stays once it is read.
            let part = read(&body, &plan).unwrap();
            let render = |event: &Event| {
                let values = Rendered::from_pairs([("payload", document_value(&event.payload.document))]);
                template.render(&values)
            };
            prop_assert_eq!(render(&whole), render(&part), "{}", template.source());
        }
    }
}

#[test]
fn what_is_planned_is_found_without_reading_the_rest() {
    let body = Bytes::from_static(
        br#"{"a":{"b":"x","c":[{"d":1,"e":0},{"d":2}]},"f":"y","g":{"h":1},"rest":[1,2,3]}"#,
    );
    let mut plan = Plan::default();
    let texts = ["$.a.b: x", "$.a.c[*].d: 2", "$.f: {prefix: z}"];
    let matcher = Matcher::new(texts.into_iter().filter_map(compiled).collect());
    matcher.add_to(&mut plan);
    let set = Templates::new();
    let keyring = Keyring::new([], Path::new("/"));
    let sources = [
        "{{ payload.a.b }} {{ payload['f'] | upper }}",
        "{{ payload.g | tojson }}{% for x in payload.g %}{{ x }}{% endfor %}",
        "{{ jsonpath('$.a.c[*].d') | tojson }}{{ payload.none is defined }}",
        "{% if payload.a.b == 'x' %}{{ payload.g.h }}{% endif %}",
    ];
    let templates = sources.map(|source| set.compile(source, Scope::Action, &keyring).unwrap());
    for template in &templates {
        template.add_to(&mut plan);
    }
    let event = read(&body, &Arc::new(plan)).unwrap();
    let parts = event.payload.document.parts();
    assert_eq!(
        *parts.value,
        json!({"a": {"b": "x", "c": [{"d": 1}, {"d": 2}]}, "f": "y", "g": {"h": 1}})
    );
    assert_eq!(matcher.matching(&event, &|_| true), [0, 1]);
    assert_eq!(
        matcher.explain(&event, 2).to_string(),
        "$.f: expected {\"prefix\":\"z\"}, found \"y\""
    );
    let values = Rendered::from_pairs([("payload", document_value(&event.payload.document))]);
    let rendered = templates.map(|template| template.render(&values).unwrap());
    assert_eq!(rendered, ["x Y", "{\"h\":1}h", "[1,2]false", "1"]);
    assert!(!event.payload.document.has_read_whole());
    assert_eq!(event.payload.whole().value["rest"], json!([1, 2, 3]));
    assert!(event.payload.document.has_read_whole());
}
