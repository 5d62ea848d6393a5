//! Comparison of the table with the calls of `tracing` in the source.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::{LOGS, shown};

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// Levels and fields of a message.
type Facts = (BTreeSet<String>, BTreeSet<String>);

/// All messages of the source outside of tests.
fn messages() -> BTreeMap<String, Facts> {
    let mut files = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let mut messages: BTreeMap<String, Facts> = BTreeMap::new();
    for path in files {
        let name = path.to_str().unwrap();
        if name.contains("tests") || name.contains("/contract/") || name.contains("/reference/") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for level in LEVELS {
            let call = format!("{level}!(");
            let calls = text.match_indices(&call).filter(|(at, _)| {
                let before = text.get(..*at).unwrap().chars().next_back();
                before.is_some_and(|letter| letter == ':' || letter.is_whitespace())
            });
            for (at, _) in calls {
                let (fields, message) = arguments(text.get(at + call.len()..).unwrap());
                let (levels, all) = messages.entry(message.unwrap_or_default()).or_default();
                levels.insert(level.to_owned());
                all.extend(fields);
            }
        }
    }
    messages
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The names of the fields of a call, and its message, which is the first text among the arguments.
fn arguments(call: &str) -> (Vec<String>, Option<String>) {
    let mut fields = Vec::new();
    let mut argument = String::new();
    let mut depth = 0_u32;
    let mut letters = call.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if argument.trim().is_empty() => return (fields, Some(text(&mut letters))),
            '"' => drop(text(&mut letters)),
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                let name = argument.split('=').next().unwrap().trim();
                fields.push(name.trim_start_matches(['%', '?']).to_owned());
                argument.clear();
                continue;
            }
            _ => {}
        }
        argument.push(letter);
    }
    (fields, None)
}

/// The rest of a text after its first quote. A backslash at the end of a line joins it to the next.
fn text(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut text = String::new();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => break,
            '\\' => match letters.next() {
                Some('\n') => while letters.next_if(|letter| letter.is_whitespace()).is_some() {},
                Some(escaped) => text.push(escaped),
                None => {}
            },
            letter => text.push(letter),
        }
    }
    text
}

#[test]
fn every_log_line_of_the_source_stands_in_the_table_with_its_levels_and_fields() {
    let mut source = messages();
    assert!(source.len() > 40, "{}", source.len());
    let mut wrong = Vec::new();
    for line in LOGS.groups.values().flatten() {
        let told: Facts = (
            line.levels.iter().cloned().collect(),
            line.fields.iter().cloned().collect(),
        );
        match source.remove(&line.message) {
            Some(facts) if facts == told => {}
            Some((levels, fields)) => wrong.push(format!(
                "`{}`: the source has levels {levels:?} and fields {fields:?}",
                line.message
            )),
            None => wrong.push(format!("`{}` is not in the source", line.message)),
        }
    }
    for (message, (levels, fields)) in source {
        wrong.push(format!(
            "not in logs.yaml: `{message}`, levels {levels:?}, fields {fields:?}"
        ));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_call_is_read_with_its_fields_and_its_message() {
    let call =
        "\n    %event,\n    bytes = f(a, \"b, c\"),\n    why,\n    \"first \\\n     second {}\",\n    x\n);";
    let (fields, message) = arguments(call);
    assert_eq!(fields, ["event", "bytes", "why"]);
    assert_eq!(message.as_deref(), Some("first second {}"));
}

#[test]
fn a_message_is_shown_without_names_of_the_source() {
    assert_eq!(shown("a {} b `c`"), "`a … b 'c'`");
    assert_eq!(shown("{message}"), "(no fixed text)");
}
