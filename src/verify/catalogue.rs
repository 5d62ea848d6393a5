//! Catalogue of the built-in schemes: senders, signed content and locations.
//!
//! [`catalogue`] reads the definitions by which requests are verified, so documents cannot
//! contradict the code. `hookyard schemes` prints it as a table, and the table in the documents is
//! that output.

use std::sync::LazyLock;
use std::time::Duration;

use super::definitions::{Definitions, FAMILIES};
use super::parts::settings::Settings;
use super::presets;
use super::scheme::describe::describe;
use crate::base::diagnostic::{Diagnostics, Source};
use crate::base::units::HumanDuration;
use crate::base::yaml::{Document, Node};

/// Use of a scheme that gives no settings.
static NOTHING: LazyLock<Option<Document>> = LazyLock::new(|| {
    let source = Source {
        path: "".into(),
        text: "{}".to_owned(),
    };
    Document::parse(source, &mut Diagnostics::new())
});

/// Description of one scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemeEntry {
    /// Name in the rules file.
    pub name: &'static str,
    /// Product or service that sends this way.
    pub sender: &'static str,
    /// Setting that holds the signing secret: `secret`, `password` or `private_key`.
    pub secret: &'static str,
    /// Signed content and algorithm.
    pub proof: String,
    /// Location of the proof.
    pub place: String,
    /// Location of the event name. Empty if there is none.
    pub event: String,
    /// Replay window. `None` if no timestamp is signed.
    pub window: Option<Duration>,
    /// Note for users. May be empty.
    pub note: &'static str,
}

/// All built-in schemes: the presets sorted by name, then the families.
pub fn catalogue() -> Vec<SchemeEntry> {
    let mut names: Vec<&'static str> = presets::names().collect();
    names.sort_unstable();
    names.extend(FAMILIES);
    names.into_iter().filter_map(entry).collect()
}

/// Returns the entry of one built-in scheme.
pub fn entry(name: &'static str) -> Option<SchemeEntry> {
    let nothing = NOTHING.as_ref()?.root();
    let schemes = Definitions::default();
    let (family, settings) = schemes.resolve(name, Settings::bare(nothing))?;
    let description = describe(family, &settings);
    let definition = presets::named(name).map(|(_, definition)| definition);
    let about = |key: &str| definition?.get(key)?.as_str();
    Some(SchemeEntry {
        name,
        sender: about("sender").unwrap_or_default(),
        secret: description.secret,
        proof: description.proof,
        place: description.place,
        event: settings.given("event").map(event).unwrap_or_default(),
        window: description.window,
        note: match definition {
            Some(_) => about("note").unwrap_or_default(),
            None => description.note,
        },
    })
}

/// Family of a built-in scheme, and the settings that its definitions give.
pub fn preset_settings(name: &'static str) -> Option<(&'static str, Vec<(String, serde_json::Value)>)> {
    let schemes = Definitions::default();
    let (family, settings) = schemes.resolve(name, Settings::bare(NOTHING.as_ref()?.root()))?;
    let given = settings.layers().flat_map(|layer| layer.node.entries());
    let json =
        |(key, node): (&str, Node<'_>)| Some((key.to_owned(), serde_json::to_value(node.value()).ok()?));
    // The nearest of several values counts, as a map keeps the last.
    let mut given: Vec<_> = given.filter_map(json).collect();
    given.reverse();
    Some((family, given))
}

/// Setting that holds the signing secret of a built-in scheme.
pub fn secret_key(name: &str) -> Option<&'static str> {
    let known = presets::names().chain(FAMILIES).find(|known| *known == name)?;
    Some(entry(known)?.secret)
}

/// Definition of a preset, for users.
pub struct PresetDefinition {
    /// Entry of `schemes:`, indented, with comments, and with a name that is not built in.
    pub text: String,
    /// The same definition as JSON.
    pub value: serde_json::Value,
}

/// Returns the definition of a preset.
pub fn definition(name: &str) -> Option<PresetDefinition> {
    let (name, node) = presets::named(name)?;
    let text = presets::text(name)?;
    Some(PresetDefinition {
        // A built-in scheme is not defined again, so the copy needs a name of its own.
        text: text.replacen(&format!("\n  {name}:\n"), &format!("\n  my_{name}:\n"), 1),
        value: serde_json::to_value(node.value()).ok()?,
    })
}

/// Locations of the event name, as they are written.
fn event(node: Node<'_>) -> String {
    let items = node.one_or_many();
    let names = items
        .iter()
        .filter_map(|item| ["header", "json"].iter().find_map(|key| item.get(key)));
    let names: Vec<String> = names
        .map(|name| format!("`{}`", name.as_str().unwrap_or_default()))
        .collect();
    names.join(" or ")
}

/// Formats the catalogue as a Markdown table, which is also readable in a terminal.
pub fn table() -> String {
    let heads = [
        "name",
        "sender",
        "what is verified",
        "where it stands",
        "event name",
        "fresh",
        "note",
    ];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(catalogue().into_iter().map(|entry| {
        let fresh = entry.window.map(|window| HumanDuration(window).to_string());
        [
            format!("`{}`", entry.name),
            entry.sender.to_owned(),
            entry.proof,
            entry.place,
            entry.event,
            fresh.unwrap_or_default(),
            entry.note.to_owned(),
        ]
    }));
    let mut widths = [0; 7];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &[String; 7]| {
        let padded = cells
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!(" {cell:width$} "));
        format!("|{}|", padded.collect::<Vec<_>>().join("|"))
    };
    let rule = widths.map(|width| "-".repeat(width));
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    lines.insert(1, line(&rule));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_has_its_entry_and_the_table_is_one() {
        let entries = catalogue();
        for scheme in crate::verify::schemes() {
            assert!(entries.iter().any(|entry| entry.name == scheme), "{scheme}");
        }
        assert_eq!(entries.len(), crate::verify::schemes().count());
        let table = table();
        let lengths: Vec<usize> = table.lines().map(|line| line.chars().count()).collect();
        assert!(lengths.iter().all(|length| *length == lengths[0]));
        assert!(
            table.lines().all(|line| line.matches('|').count() == 8),
            "{table}"
        );
        let stripe = entries.iter().find(|entry| entry.name == "stripe").unwrap();
        assert_eq!(stripe.proof, "`{timestamp}.{body}`: HMAC-SHA256, hex");
        assert_eq!(stripe.place, "`Stripe-Signature`, after `v1=`");
        assert_eq!(stripe.window, Some(Duration::from_mins(5)));
    }
}
