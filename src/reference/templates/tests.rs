//! Proofs that the examples of templates render, and that the tables are complete.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::act::{self, ActionContext, FailureContext, Outcome, PerformedAction, Verdict};
use crate::base::patterns::Patterns;
use crate::base::secret::Keyring;
use crate::matching::testing::event;
use crate::payload::EventNameReader;
use crate::template::{KnownActions, NamedAction, Scope, Templates};

fn compile(source: &str, scope: Scope, of_failures: bool) -> Result<crate::template::Template, String> {
    let keyring = Keyring::new(
        [("TOKEN".into(), "a-secret-of-the-examples".into())],
        Path::new("/"),
    );
    let named = NamedAction {
        id: Some("build".into()),
        kind: "run",
    };
    let known = KnownActions::Of {
        actions: [named].into(),
        earlier: 1,
    };
    let templates = Templates::new().for_elements().with_actions(known);
    let templates = if of_failures || source.contains("silence.") {
        templates.for_failures().for_silence()
    } else {
        templates
    };
    let compiled = templates.compile(source, scope, &keyring);
    compiled.map_err(|error| format!("{} ({})", error.message, error.hint.unwrap_or_default()))
}

/// Renders a template where `place` says that its names are known.
fn render(source: &str, place: &str) -> Result<String, String> {
    let payload = match place {
        "`on_silence`" => r#"{"rule": "deploy", "for": "1day 1h"}"#,
        _ => PAYLOAD,
    };
    let event = event(serde_json::from_str(payload).unwrap());
    let of_failures = place == "`on_failure`";
    let mut done = Outcome::new(Verdict::Done, "exit 0", std::time::Duration::ZERO);
    done.output.stdout.push(b"built");
    let performed = [PerformedAction::new(Some("build".into()), "run", &done)];
    let failure = FailureContext {
        action: "run",
        reason: "exit 3",
        output: "",
    };
    let name = EventNameReader::Header("x-github-event".parse().unwrap());
    let name = Arc::new(name);
    let commits = Patterns::default().path("$.commits[*]").unwrap();
    let context = ActionContext {
        event: &event,
        rule: "deploy",
        delivery: String::new(),
        attempt: 2,
        verified: true,
        replays: 0,
        withheld: &[],
        event_name: Some(&name),
        actions: &performed,
        item: (place == "with `for_each`").then(|| act::items(&event, &commits).remove(1)),
        failure: of_failures.then_some(failure),
        live: None,
    };
    let template = compile(source, Scope::Action, of_failures)?;
    let values = context.values();
    template.render(&values).map_err(|error| error.to_string())
}

#[test]
fn every_example_renders_to_its_result() {
    let rows = VARIABLES.into_iter().chain(FUNCTIONS);
    let filters = FILTERS.map(|(name, what, example, result)| (name, what, "everywhere", example, result));
    for (name, _, place, example, result) in rows.chain(filters) {
        assert_eq!(render(example, place), Ok(result.to_owned()), "{name}: {example}");
    }
}

/// The list in the hint for an unknown name.
fn known(source: &str, scope: Scope, of_failures: bool) -> BTreeSet<String> {
    let error = compile(source, scope, of_failures).unwrap_err();
    let (_, list) = error
        .split_once("known are ")
        .unwrap_or_else(|| panic!("{error}"));
    list.trim_end_matches(')')
        .split(", ")
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_tables_have_every_name_and_filter_that_a_template_may_use() {
    let top = |row: &Row| {
        row.0
            .trim_matches('`')
            .split(['.', '[', '('])
            .next()
            .unwrap()
            .to_owned()
    };
    let named: BTreeSet<String> = VARIABLES.iter().chain(&FUNCTIONS).map(top).collect();
    let mut all = known("{{ hookyard_unknown }}", Scope::Answer, false);
    all.extend(known("{{ hookyard_unknown }}", Scope::Action, true));
    assert_eq!(named, all);
    let fields = known("{{ event.hookyard_unknown }}", Scope::Action, false);
    let rows: BTreeSet<String> = VARIABLES
        .iter()
        .map(|row| row.0.trim_matches('`').to_owned())
        .filter(|name| name.starts_with("event."))
        .collect();
    assert_eq!(rows, fields);
    let failure = known("{{ failure.hookyard_unknown }}", Scope::Action, true);
    let row = VARIABLES.iter().find(|row| row.0 == "`failure`").unwrap();
    for field in failure {
        let field = field.trim_start_matches("failure.").to_owned();
        assert!(row.1.contains(&format!("`{field}`")), "{field}");
    }
    let filters = known("{{ payload.x | hookyard_unknown }}", Scope::Action, false);
    let rows: BTreeSet<String> = FILTERS.iter().map(|row| row.0.to_owned()).collect();
    assert_eq!(rows, filters);
}
