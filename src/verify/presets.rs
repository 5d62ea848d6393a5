//! Presets: known senders as definitions in YAML, in `presets.yaml`.
//!
//! The text is split into its entries once. An entry is parsed when it is first used, so a start
//! costs as many entries as the rules file names.

use std::sync::{LazyLock, OnceLock};

use crate::base::diagnostic::{Diagnostics, Source};
use crate::base::yaml::{Document, Node};

const TEXT: &str = include_str!("presets.yaml");

/// Entry of the text.
struct Preset {
    name: &'static str,
    text: &'static str,
    document: OnceLock<Option<Document>>,
}

/// All presets, in the order of the text.
static PRESETS: LazyLock<Vec<Preset>> = LazyLock::new(|| {
    let (_, entries) = TEXT.split_once("\nschemes:\n").unwrap_or_default();
    let named = entries.split("\n\n").filter_map(|text| {
        Some(Preset {
            name: name_of(text)?,
            text: text.trim_end(),
            document: OnceLock::new(),
        })
    });
    named.collect()
});

/// Key of an entry: the only line that is indented by two spaces and is no comment.
fn name_of(text: &'static str) -> Option<&'static str> {
    let mut keys = text.lines().filter_map(|line| line.strip_prefix("  "));
    let key = keys.find(|line| line.starts_with(|letter: char| letter.is_ascii_alphanumeric()))?;
    key.strip_suffix(':')
}

/// Names of all presets.
pub fn names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|preset| preset.name)
}

/// Entry of a preset as text, with its comment.
pub fn text(name: &str) -> Option<&'static str> {
    let preset = PRESETS.iter().find(|preset| preset.name == name)?;
    Some(preset.text)
}

/// Name and definition of a preset.
pub fn named(name: &str) -> Option<(&'static str, Node<'static>)> {
    let preset = PRESETS.iter().find(|preset| preset.name == name)?;
    let document = preset.document.get_or_init(|| {
        let source = Source {
            path: "presets.yaml".into(),
            text: preset.text.to_owned(),
        };
        Document::parse(source, &mut Diagnostics::new())
    });
    Some((preset.name, document.as_ref()?.root().get(preset.name)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_of_the_text_is_found_and_is_a_definition() {
        let source = Source {
            path: "presets.yaml".into(),
            text: TEXT.to_owned(),
        };
        let mut diagnostics = Diagnostics::new();
        let document = Document::parse(source, &mut diagnostics).unwrap();
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        let schemes = document.root().get("schemes").unwrap();
        let whole: Vec<&str> = schemes.entries().iter().map(|(name, _)| *name).collect();
        assert_eq!(names().collect::<Vec<_>>(), whole);
        assert!(whole.len() >= 55);
        for (name, entry) in schemes.entries() {
            assert_eq!(named(name).unwrap().1.value(), entry.value(), "{name}");
            let source = text(name).unwrap().lines().next().unwrap();
            let grades = ["  # P: ", "  # E: ", "  # S: ", "  # P/E: ", "  # E/S: "];
            assert!(
                grades.iter().any(|grade| source.starts_with(grade)),
                "{name}: {source}"
            );
        }
    }
}
