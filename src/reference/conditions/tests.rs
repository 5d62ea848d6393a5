//! Proofs that the examples of conditions hold, and that the tables are complete.

use std::collections::BTreeSet;

use http::HeaderName;

use super::*;
use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::patterns::Patterns;
use crate::matching::testing::{document, event};
use crate::matching::{Condition, ForEach, Matcher};
use crate::verify::EventName;

fn compile(text: &str) -> Result<Condition, Diagnostics> {
    let mut found = Diagnostics::new();
    let name = EventName::Header(HeaderName::from_static("x-github-event"));
    let document = document(text);
    let patterns = Patterns::default();
    // The elements of the examples are the members of the payload.
    let for_each = text.contains('@').then(|| ForEach {
        written: "$[*]".into(),
        path: patterns.path("$[*]").unwrap(),
        limit: 10,
    });
    let has_elements = for_each.is_some();
    let compiled = Condition::compile_with(document.root(), Some(&name), has_elements, &patterns, &mut found);
    Ok(compiled.ok_or(found)?.for_each(for_each))
}

fn holds(example: &str, payload: &str) -> bool {
    let condition = compile(example).unwrap_or_else(|found| panic!("{example}: {}", found.render(false)));
    let matcher = Matcher::new(vec![condition]);
    let event = event(serde_json::from_str(payload).unwrap());
    !matcher.matching(&event, &|_| true).is_empty()
}

#[test]
fn every_example_holds_for_the_one_payload_and_not_for_the_other() {
    for (_, _, example) in SELECTORS {
        assert!(holds(example, r#"{"v": 1}"#), "{example}");
    }
    for row in CONDITIONS.iter().chain(&GROUPS) {
        assert!(holds(row.example, row.yes), "{}", row.example);
        assert!(!holds(row.example, row.no), "{}", row.example);
    }
}

/// The words in backticks of the first column, without what follows them.
fn named<'n>(names: impl IntoIterator<Item = &'n str>) -> BTreeSet<String> {
    let names = names
        .into_iter()
        .flat_map(|name| name.split('`').skip(1).step_by(2));
    names
        .map(|name| name.split(':').next().unwrap_or_default().to_owned())
        .collect()
}

/// The lines of a condition's diagnostics.
fn faults(text: &str) -> String {
    let found = compile(text).err().unwrap();
    let lines: Vec<String> = found.iter().map(Diagnostic::line).collect();
    lines.join("\n")
}

#[test]
fn the_tables_have_every_operator_selector_and_type_that_the_parser_knows() {
    let list = |line: &str| -> BTreeSet<String> {
        let (_, list) = line.split_once("known here: ").unwrap();
        list.trim_end_matches(')')
            .split(", ")
            .map(str::to_owned)
            .collect()
    };
    let operators = faults("$.v: {hookyard_unknown: 1}");
    assert_eq!(named(CONDITIONS.map(|row| row.name)), list(&operators));
    let types = list(&faults("$.v: {type: hookyard_unknown}"));
    let row = CONDITIONS.iter().find(|row| row.name == "`type`").unwrap();
    assert_eq!(named([row.holds]), types);
    let selectors = faults("hookyard_unknown: 1");
    let known = named([selectors.split_once('(').unwrap().1]);
    let told = SELECTORS.map(|(name, _, _)| name).into_iter();
    let told = named(told.chain(GROUPS.iter().map(|row| row.name)));
    // The paths are examples.
    let words = |names: &BTreeSet<String>| -> BTreeSet<String> {
        names
            .iter()
            .filter(|name| !name.starts_with('$'))
            .cloned()
            .collect()
    };
    assert_eq!(words(&told), words(&known));
}
