//! The generated part of `docs/reference/rules.md`.

use serde_yaml::Value;

use super::{InForce, Key, Mapping, mappings, test_mappings};
use crate::reference::markdown::wrapped;

/// Returns a heading for each mapping of the rules file and each of its keys.
pub fn page() -> String {
    page_of(mappings())
}

/// As [`page`], for the test file.
pub fn test_page() -> String {
    page_of(test_mappings())
}

fn page_of(mappings: &[Mapping]) -> String {
    let mut page = String::new();
    for mapping in mappings {
        // The file itself has no heading, but those of its keys that are no mappings.
        let is_file = mapping.path.is_empty();
        if !is_file {
            page += &format!("## {}\n\n{}\n\n", mapping.path, wrapped(&mapping.says, 0));
        }
        // A mapping that only one key has shares the heading of the key.
        if let Some((name, key)) = key_at(mappings, &mapping.path) {
            page += &facts(name, key, &mapping.path);
        }
        for (name, key) in mapping.keys.iter().filter(|(_, key)| !key.unusable) {
            let heading = heading(mapping, name);
            if mappings.iter().any(|mapping| mapping.path == heading) {
                continue;
            }
            let level = if is_file { "##" } else { "###" };
            page += &format!("{level} {heading}\n\n{}\n\n", wrapped(&key.says, 0));
            page += &facts(name, key, &heading);
        }
    }
    page
}

/// Returns the key with this heading.
fn key_at<'m>(mappings: &'m [Mapping], path: &str) -> Option<(&'m str, &'m Key)> {
    let mut keys = mappings
        .iter()
        .flat_map(|mapping| mapping.keys.iter().map(move |(name, key)| (mapping, name, key)));
    let found = keys.find(|(mapping, name, key)| !key.unusable && heading(mapping, name) == path);
    found.map(|(_, name, key)| (name.as_str(), key))
}

/// Returns the facts of a key as a list.
fn facts(name: &str, key: &Key, heading: &str) -> String {
    let own = format!("mapping ([{heading}](#{}))", anchor(heading));
    let kind = key.kind.to_string().replace(&own, "mapping with the keys below");
    let in_force = match key.in_force {
        InForce::Never => String::new(),
        when => format!("- a change takes effect: {}\n", in_force(when)),
    };
    let lines = [
        wrapped(&format!("- type: {kind}"), 2),
        wrapped(&format!("- default: {}", default(key)), 2),
        format!("{in_force}- since: {}", key.since),
        format!("- example: `{name}: {}`", flow(&key.example)),
    ];
    format!("{}\n\n", lines.join("\n"))
}

/// Returns the heading of a key.
pub fn heading(mapping: &Mapping, name: &str) -> String {
    if mapping.path.is_empty() {
        name.to_owned()
    } else {
        format!("{}.{name}", mapping.path)
    }
}

/// Returns the anchor of a heading, as GitHub makes it.
pub fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(
        |letter: char| !(letter.is_alphanumeric() || " -_".contains(letter)),
        "",
    );
    kept.replace(' ', "-")
}

/// Returns the default of a key in words.
pub fn default(key: &Key) -> String {
    match (&key.default, &key.default_text) {
        _ if key.required && key.unless.is_empty() => "none, the key is required".to_owned(),
        _ if key.required => {
            let others: Vec<String> = key.unless.iter().map(|name| format!("`{name}`")).collect();
            format!("none, the key is required without {}", others.join(" or "))
        }
        (Some(value), _) => match value {
            Value::Sequence(items) if items.is_empty() => "none".to_owned(),
            Value::Mapping(entries) if entries.is_empty() => "none".to_owned(),
            Value::String(text) if text.is_empty() => "the empty text".to_owned(),
            value => format!("`{}`", flow(value)),
        },
        (None, Some(text)) => text.clone(),
        (None, None) => "none".to_owned(),
    }
}

pub fn in_force(in_force: InForce) -> &'static str {
    match in_force {
        InForce::Reload => "at reload",
        InForce::Restart => "after a restart",
        InForce::Never => "never",
    }
}

/// Writes a value as YAML in one line.
pub fn flow(value: &Value) -> String {
    match value {
        Value::Sequence(items) => {
            let items: Vec<String> = items.iter().map(inner).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Mapping(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{}: {}", inner(key), inner(value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::String(text) if is_plain(text, ": ") => text.clone(),
        other => quoted(other),
    }
}

/// Writes a value inside a list or a mapping, where more signs have a meaning.
fn inner(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text, ",[]{}#\"") && !text.contains("::") => text.clone(),
        Value::String(_) => quoted(value),
        other => flow(other),
    }
}

/// True if a text needs no quotes.
fn is_plain(text: &str, special: &str) -> bool {
    let read: Result<Value, _> = serde_yaml::from_str(text);
    let same = read.is_ok_and(|read| read.as_str() == Some(text));
    same && !text.contains(": ") && (special == ": " || !text.contains(|letter| special.contains(letter)))
}

/// Writes a scalar, and text in quotes.
fn quoted(value: &Value) -> String {
    match value {
        Value::String(text) if text.contains(['"', '\\']) => format!("'{}'", text.replace('\'', "''")),
        Value::String(text) => format!("\"{text}\""),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        _ => "null".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_example_is_written_as_it_is_read() {
        for mapping in mappings().iter().chain(test_mappings()) {
            for (name, key) in &mapping.keys {
                let written = format!("{name}: {}", flow(&key.example));
                let read: Value = serde_yaml::from_str(&written).unwrap();
                assert_eq!(read[name.as_str()], key.example, "{written}");
            }
        }
    }

    #[test]
    fn no_heading_stands_there_twice() {
        for page in [page(), test_page()] {
            let mut anchors = HashSet::new();
            for heading in page.lines().filter(|line| line.starts_with('#')) {
                let heading = heading.trim_start_matches('#').trim();
                assert!(anchors.insert(anchor(heading)), "{heading}");
            }
        }
    }
}
