//! Proofs that the table and the parser agree, in both directions.

use std::collections::BTreeSet;
use std::path::Path;

use serde_yaml::{Mapping as YamlMapping, Value};

use super::testing::{at, document, document_in, folder, found, keys, load, usable};
use super::{InForce, Key, KeyType, Mapping, mappings};
use crate::base::diagnostic::Diagnostic;
use crate::config::restart_needed;
use crate::rules::RuleSet;

/// A key that no mapping has.
const UNKNOWN: &str = "hookyard_unknown";

/// The list of a hint "known here: …".
fn known(diagnostics: &[Diagnostic], what: &str) -> Option<BTreeSet<String>> {
    let lines = diagnostics.iter().map(Diagnostic::line);
    let mut lists = lines.filter(|line| line.contains(what)).filter_map(|line| {
        let (_, list) = line.split_once("known here: ")?;
        let list = list.trim_end_matches(')');
        Some(list.split(", ").map(str::to_owned).collect())
    });
    lists.next()
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_mapping_has_exactly_the_keys_that_the_parser_accepts() {
    let folder = folder();
    let mut wrong = Vec::new();
    for mapping in mappings() {
        let probed = document(mapping, None, &[(UNKNOWN, Value::from("x"))]);
        let mut expected: BTreeSet<String> = mapping.keys.iter().map(|(name, _)| name.clone()).collect();
        let what = if ["verify", "definition"].contains(&mapping.id.as_str()) {
            // Senders are listed on their own page.
            expected.extend(crate::verify::schemes().map(str::to_owned));
            expected.remove("none");
            if mapping.id == "verify" {
                // `mode` and `any` are read apart from the schemes.
                expected.remove("mode");
                expected.remove("any");
            } else {
                // The frame defines it.
                expected.insert("acme".to_owned());
            }
            probe_scheme(folder.path(), mapping)
        } else {
            known(&found(folder.path(), &probed), &format!("key `{UNKNOWN}`"))
        };
        if what.as_ref() != Some(&expected) {
            wrong.push(format!(
                "{}: the parser knows {what:?}, the table {expected:?}",
                mapping.id
            ));
        }
    }
    assert_none(&wrong);
}

/// The schemes that the parser knows.
fn probe_scheme(folder: &Path, mapping: &Mapping) -> Option<BTreeSet<String>> {
    let changes = [
        ("token", Value::Null),
        ("hmac", Value::Null),
        (UNKNOWN, Value::Mapping(YamlMapping::new())),
    ];
    let diagnostics = found(folder, &document(mapping, None, &changes));
    let mut schemes = known(&diagnostics, &format!("scheme `{UNKNOWN}`"))?;
    schemes.remove("none");
    Some(schemes)
}

#[test]
fn every_mapping_below_a_key_stands_in_its_type() {
    let folder = folder();
    let mut wrong = Vec::new();
    for (mapping, name, key) in usable() {
        let unknown = |value: Value| {
            let document = document(mapping, Some(key), &[(name, value)]);
            known(&found(folder.path(), &document), &format!("key `{UNKNOWN}`"))
        };
        let mut probe = YamlMapping::new();
        probe.insert(UNKNOWN.into(), "x".into());
        let probe = Value::Mapping(probe);
        let listed = unknown(Value::Sequence(vec![probe.clone()]));
        let known: Vec<BTreeSet<String>> = unknown(probe).into_iter().chain(listed).collect();
        let told = key.kind.parts().into_iter().filter_map(|part| match part {
            KeyType::Mapping(id) => mappings().iter().find(|mapping| mapping.id == *id),
            _ => None,
        });
        let told: Vec<BTreeSet<String>> = told
            .map(|mapping| mapping.keys.iter().map(|(name, _)| name.clone()).collect())
            .collect();
        for keys in known {
            // In `dated`, the key is called as the setting.
            let dated = keys.len() == 2 && keys.contains("not_after");
            // A list of secrets alone does not say where a token stands.
            let dated = dated && (name == "token" || told.iter().any(|keys| keys.contains("not_after")));
            if !told.contains(&keys) && !dated {
                wrong.push(format!(
                    "{}.{name}: the parser accepts a mapping of {keys:?}",
                    mapping.path
                ));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn every_mapping_of_the_table_is_reached_from_the_file() {
    let mut reached: BTreeSet<&str> = BTreeSet::from(["file"]);
    let count = |reached: &BTreeSet<&str>| reached.len();
    loop {
        let before = count(&reached);
        for (mapping, _, key) in keys() {
            if reached.contains(mapping.id.as_str()) {
                reached.extend(key.kind.parts().into_iter().filter_map(|part| match part {
                    KeyType::Mapping(id) => Some(id.as_str()),
                    _ => None,
                }));
            }
        }
        if count(&reached) == before {
            break;
        }
    }
    let all: BTreeSet<&str> = mappings().iter().map(|mapping| mapping.id.as_str()).collect();
    assert_eq!(reached, all);
}

#[test]
fn every_example_loads_and_every_unusable_key_does_not() {
    let folder = folder();
    let mut wrong = Vec::new();
    for (mapping, name, key) in keys() {
        let result = load(
            folder.path(),
            &document(mapping, Some(key), &[(name, key.example.clone())]),
        );
        match result {
            // Another user needs root.
            Err(found) if mapping.id == "command" && found.iter().all(|one| one.code == "user") => {}
            Err(found) if !key.unusable => {
                wrong.push(format!("{}.{name}: {}", mapping.path, found.render(false)));
            }
            Ok(_) if key.unusable => wrong.push(format!("{}.{name} loads", mapping.path)),
            _ => {}
        }
    }
    assert_none(&wrong);
}

#[test]
fn a_required_key_cannot_be_left_out_and_any_other_can() {
    let folder = folder();
    let mut wrong = Vec::new();
    for (mapping, name, key) in usable() {
        let without = document(mapping, Some(key), &[(name, Value::Null)]);
        if key.required && load(folder.path(), &without).is_ok() {
            wrong.push(format!("{}.{name} is not required", mapping.path));
        }
        let frame = document(mapping, Some(key), &[]);
        // Keys of which one is required may need the other: `with` says so.
        if !key.required
            && key.with.is_empty()
            && at(&mut frame.clone(), &mapping.at).get(name).is_none()
            && let Err(found) = load(folder.path(), &frame)
        {
            wrong.push(format!("{}.{name}: {}", mapping.path, found.render(false)));
        }
    }
    assert_none(&wrong);
}

/// Keys whose value the text of a rule set does not show.
const UNSEEN: [&str; 7] = [
    "server.tls.acme.contact",
    "verify.mode",
    "ed25519.strip_prefix",
    "rsa_sha256.strip_prefix",
    "rsa_sha256.key_encoding",
    "http_message_signatures.secret_encoding",
    "http_message_signatures.keys.secret_encoding",
];

/// A rule set as text, without what depends on the text of the file.
fn shown(rules: &RuleSet) -> String {
    let text = format!("{rules:#?}");
    let kept = |line: &&str| {
        !["sha256:", "fingerprint:"]
            .iter()
            .any(|field| line.trim_start().starts_with(field))
    };
    text.lines().filter(kept).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_default_is_what_applies_if_the_key_is_left_out() {
    let folder = folder();
    let mut wrong = Vec::new();
    for (mapping, name, key) in usable() {
        let Some(default) = &key.default else { continue };
        let heading = format!("{}.{name}", mapping.path);
        let load = |value: Value| {
            // Without `with`: a neighbour may need the key.
            let frame = key.frame.as_ref().unwrap_or(&mapping.frame);
            let document = document_in(frame, mapping, YamlMapping::new(), &[(name, value)]);
            load(folder.path(), &document).map(|rules| shown(&rules))
        };
        match (load(Value::Null), load(default.clone())) {
            (Ok(without), Ok(with)) if without == with => {
                // Otherwise the comparison would prove nothing.
                let example = load(key.example.clone());
                let unseen = name == "schemes" || UNSEEN.contains(&heading.as_str());
                if example.is_ok_and(|example| example == with) && !unseen {
                    wrong.push(format!(
                        "{}.{name}: the example is the same as the default",
                        mapping.path
                    ));
                }
            }
            (Ok(without), Ok(with)) => {
                let lines = without.lines().zip(with.lines());
                let other = lines.filter(|(left, right)| left != right).take(3);
                let other: Vec<_> = other.collect();
                wrong.push(format!("{}.{name}: {other:?}", mapping.path));
            }
            // An empty list stands for "none", where the parser wants at least one item.
            (_, Err(_)) if default.as_sequence().is_some_and(Vec::is_empty) => {}
            (_, Err(found)) => wrong.push(format!("{}.{name}: {}", mapping.path, found.render(false))),
            // The example of a required neighbour may be needed: `cert` without `key`.
            (Err(found), _) => wrong.push(format!(
                "{}.{name} left out: {}",
                mapping.path,
                found.render(false)
            )),
        }
    }
    assert_none(&wrong);
}

#[test]
fn every_key_takes_effect_when_the_table_says() {
    let folder = folder();
    let mut wrong = Vec::new();
    for (mapping, name, key) in usable() {
        let rules = |value: Option<Value>| {
            let changes: Vec<(&str, Value)> = value.into_iter().map(|value| (name, value)).collect();
            load(folder.path(), &document(mapping, Some(key), &changes))
        };
        let (Ok(before), Ok(after)) = (rules(None), rules(Some(key.example.clone()))) else {
            // Without the key, its neighbours do not load: the mapping as it is in the frame stands
            // in.
            let (Ok(before), Ok(after)) = (
                load(folder.path(), key.frame.as_ref().unwrap_or(&mapping.frame)),
                rules(Some(key.example.clone())),
            ) else {
                continue;
            };
            judge(&before, &after, mapping, name, key, &mut wrong);
            continue;
        };
        judge(&before, &after, mapping, name, key, &mut wrong);
    }
    assert_none(&wrong);
}

fn judge(
    before: &RuleSet,
    after: &RuleSet,
    mapping: &Mapping,
    name: &str,
    key: &Key,
    wrong: &mut Vec<String>,
) {
    let restart = restart_needed(before, after);
    if restart.is_empty() == (key.in_force == InForce::Restart) {
        wrong.push(format!(
            "{}.{name}: the table says {:?}, the daemon {restart:?}",
            mapping.path, key.in_force
        ));
    }
}

#[test]
fn every_word_is_accepted_and_no_other() {
    let folder = folder();
    let mut wrong = Vec::new();
    for (mapping, name, key) in usable() {
        for part in key.kind.parts() {
            let KeyType::Word(words) = part else { continue };
            let listed = matches!(&key.kind, KeyType::List(_) | KeyType::OneOrMany(_));
            let value = |word: &str| {
                if listed {
                    Value::Sequence(vec![word.into()])
                } else {
                    Value::from(word)
                }
            };
            let load = |word: &str| {
                let document = document(mapping, Some(key), &[(name, value(word))]);
                load(folder.path(), &document)
            };
            for word in words {
                if let Err(found) = load(word) {
                    let unknown = found.iter().any(|one| one.code.starts_with("unknown"));
                    if unknown {
                        wrong.push(format!(
                            "{}.{name}: {word}: {}",
                            mapping.path,
                            found.render(false)
                        ));
                    }
                }
            }
            let only = key.kind == *part || listed || name == "every";
            if !only {
                continue;
            }
            match load(UNKNOWN) {
                Ok(_) => wrong.push(format!("{}.{name} takes any word", mapping.path)),
                Err(found) => {
                    let found: Vec<Diagnostic> = found.iter().cloned().collect();
                    let expected: BTreeSet<String> = words.iter().cloned().collect();
                    if let Some(known) = known(&found, UNKNOWN)
                        && known != expected
                    {
                        wrong.push(format!("{}.{name}: the parser knows {known:?}", mapping.path));
                    }
                }
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn every_range_is_the_one_of_the_parser() {
    let folder = folder();
    let mut wrong = Vec::new();
    for (mapping, name, key) in usable() {
        let KeyType::Integer(least, most) = key.kind else {
            continue;
        };
        let loads = |number: i128| {
            let number: Value = serde_yaml::from_str(&number.to_string()).unwrap();
            load(folder.path(), &document(mapping, Some(key), &[(name, number)])).is_ok()
        };
        // Beyond 2^40 the range is that of the machine, not one of ours.
        let beyond = most < 1 << 40 && loads(most + 1);
        if !loads(least) || !loads(most.min(1 << 40)) || loads(least - 1) || beyond {
            wrong.push(format!("{}.{name} is not {least} to {most}", mapping.path));
        }
    }
    assert_none(&wrong);
}
