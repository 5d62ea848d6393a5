//! Proofs that the schema and `check` agree on the shape of a rules file.

mod texts;
mod validate;

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value as Json;
use serde_yaml::{Mapping as YamlMapping, Value};

use self::texts::rules_files;
use self::validate::Validator;
use super::{Described, conditions, mappings, test_mappings, values};
use crate::base::diagnostic::{Diagnostic, Severity};
use crate::reference::keys::testing::{at, document, folder, found, usable};

/// Codes of findings about the shape of a file: types, keys, words.
const SHAPE: [&str; 5] = [
    "unknown-key",
    "missing-key",
    "null-value",
    "wrong-value",
    "unknown-value",
];

/// Codes of findings that a schema sees in part: the form of a value, such as its type, and more
/// that only the program knows.
const PARTLY: [&str; 35] = [
    "acme",
    "action-id",
    "actions",
    "alternatives",
    "ambiguous-place",
    "empty",
    "empty-condition",
    "endpoint",
    "header-name",
    "include",
    "invalid-cidr",
    "invalid-jsonpath",
    "jsonpath",
    "key",
    "limit",
    "listen",
    "methods",
    "never-holds",
    "one-scheme",
    "proxy",
    "rotate",
    "rule-name",
    "secret",
    "template",
    "tls",
    "unknown-algorithm",
    "unknown-method",
    "unknown-operator",
    "unknown-scheme",
    "unknown-selector",
    "url",
    "user",
    "wrong-action",
    "handshake",
    "path",
];

/// A finding about the shape that a schema cannot express.
struct Difference {
    code: &'static str,
    /// Part of the message.
    message: &'static str,
    /// Key at the top of the file without which the finding is none of these.
    with: Option<&'static str>,
    reason: &'static str,
}

const fn difference(code: &'static str, message: &'static str, reason: &'static str) -> Difference {
    Difference {
        code,
        message,
        with: None,
        reason,
    }
}

/// Everything that `check` reports about the shape and a schema cannot express.
const DIFFERENCES: [Difference; 4] = [
    difference(
        "missing-key",
        "the content has `{",
        "`content` is a text, in which a schema sees no names",
    ),
    difference(
        "missing-key",
        "` is missing",
        "which key a scheme needs can depend on its algorithm: `secret`, `public_key` or `jwks`",
    ),
    difference(
        "wrong-value",
        "`body` is JSON",
        "a schema does not look into a text",
    ),
    Difference {
        code: "",
        message: "",
        with: Some("schemes"),
        reason: "the settings of a scheme of the file's own depend on the scheme on which it is based",
    },
];

/// True if a schema can see what is wrong only in part, or not at all.
fn is_beyond(finding: &Diagnostic, document: &Json) -> bool {
    let listed = DIFFERENCES.iter().any(|one| {
        (finding.code == one.code || one.code.is_empty())
            && finding.message.contains(one.message)
            && one.with.is_none_or(|key| document.get(key).is_some())
            && !one.reason.is_empty()
    });
    listed || PARTLY.contains(&finding.code)
}

/// The disagreement of schema and `check` about a document, if there is one.
fn disagreement(validator: &Validator, folder: &Path, document: &Value) -> Option<String> {
    let json: Json = serde_json::to_value(document).ok()?;
    let accepted = validator.accepts(&json);
    let found = found(folder, document);
    let mut errors = found.iter().filter(|one| one.severity == Severity::Error);
    let is_shape = |one: &&Diagnostic| SHAPE.contains(&one.code);
    let wrong = if accepted {
        errors.any(|one| is_shape(&one) && !is_beyond(one, &json))
    } else {
        !errors.any(|one| is_shape(&one) || is_beyond(one, &json))
    };
    wrong.then(|| {
        let found: Vec<String> = found
            .iter()
            .map(|one| format!("{}: {}", one.code, one.message))
            .collect();
        let answer = if accepted { "accepts" } else { "refuses" };
        format!("the schema {answer} {json}\n      {}", found.join("; "))
    })
}

/// Values of every type.
fn values() -> Vec<Value> {
    let texts = [
        "null",
        "true",
        "-7",
        "1.5",
        "x",
        "[]",
        "[x]",
        "[7]",
        "{}",
        "{hookyard_unknown: x}",
        "[{}]",
    ];
    texts.map(|text| serde_yaml::from_str(text).unwrap()).to_vec()
}

#[test]
fn no_definition_takes_the_place_of_another() {
    for mappings in [mappings(), test_mappings()] {
        let mut names: Vec<String> = mappings.iter().map(|mapping| mapping.id.clone()).collect();
        names.extend(values::definitions().into_iter().map(|(name, _)| name));
        names.extend(conditions::definitions().into_iter().map(|(name, _)| name));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "{names:?}");
    }
}

#[test]
fn schema_and_check_agree_on_every_value_of_every_key() {
    let folder = folder();
    let validator = Validator::new(Described::Rules.schema());
    let mut wrong = Vec::new();
    for (mapping, name, key) in usable() {
        let mut all = values();
        all.push(key.example.clone());
        let mut documents: Vec<Value> = all
            .into_iter()
            .map(|value| document(mapping, Some(key), &[(name, value)]))
            .collect();
        let mut unknown = YamlMapping::new();
        unknown.insert("hookyard_unknown".into(), "x".into());
        documents.push(document(
            mapping,
            Some(key),
            &[("hookyard_unknown", Value::Mapping(unknown))],
        ));
        for document in documents {
            if let Some(why) = disagreement(&validator, folder.path(), &document) {
                wrong.push(format!("{}.{name}: {why}", mapping.id));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn schema_and_check_agree_on_every_rules_file_of_tests_and_documents() {
    let folder = folder();
    let validator = Validator::new(Described::Rules.schema());
    let files = rules_files();
    assert!(files.len() > 300, "{} rules files", files.len());
    let wrong: Vec<String> = files
        .iter()
        .filter_map(|(place, document)| {
            let why = disagreement(&validator, folder.path(), document)?;
            Some(format!("{place}: {why}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
}

/// All places of a document: the steps to each value.
fn places(document: &Value) -> Vec<Vec<Value>> {
    let mut all = vec![Vec::new()];
    let below = |step: Value, value: &Value| {
        let places = places(value).into_iter();
        places
            .map(move |place| [vec![step.clone()], place].concat())
            .collect::<Vec<_>>()
    };
    match document {
        Value::Mapping(entries) => {
            let named = entries.iter().filter(|(name, _)| name.is_string());
            all.extend(named.flat_map(|(name, value)| below(name.clone(), value)));
        }
        Value::Sequence(items) => {
            all.extend(
                items
                    .iter()
                    .enumerate()
                    .flat_map(|(at, value)| below(at.into(), value)),
            );
        }
        _ => {}
    }
    all
}

/// Changes one place: another value, an unknown key, a missing one, or a misspelt one.
fn edit(document: &mut Value, place: &[Value], edit: usize, value: Value) {
    let found = at(document, place);
    match (edit, &mut *found) {
        (0, Value::Mapping(entries)) => {
            entries.insert("hookyard_unknown".into(), value);
        }
        (1, Value::Mapping(entries)) => {
            let name = last(entries);
            entries.remove(&name);
        }
        (2, Value::Mapping(entries)) => {
            let name = last(entries);
            if let Some(value) = entries.remove(&name) {
                entries.insert(format!("{name}s").into(), value);
            }
        }
        _ => *found = value,
    }
}

/// The last key of a mapping.
fn last(entries: &YamlMapping) -> String {
    let name = entries.keys().last().and_then(Value::as_str);
    name.unwrap_or_default().to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn schema_and_check_agree_on_a_changed_file(
        file in any::<Index>(),
        place in any::<Index>(),
        kind in 0_usize..5,
        value in any::<Index>(),
    ) {
        thread_local! {
            static FIXED: (tempfile::TempDir, Validator, Vec<(String, Value)>, Vec<Value>) =
                (folder(), Validator::new(Described::Rules.schema()), rules_files(), values());
        }
        FIXED.with(|(folder, validator, files, values)| {
            let (_, mut document) = file.get(files).clone();
            let places = places(&document);
            edit(&mut document, place.get::<Vec<Value>>(&places), kind, value.get(values).clone());
            prop_assert_eq!(disagreement(validator, folder.path(), &document), None);
            Ok(())
        })?;
    }
}
