//! `hookyard schemes`: the built-in schemes as a table, or the definition of one as YAML.

use serde_json::{Value, json};

use super::{Format, YES, fail, say};
use crate::base::diagnostic::did_you_mean;
use crate::verify;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Print the definition of this scheme, ready to paste under `schemes:` of a rules file, where
    /// it gets a name of your own.
    #[arg(long, value_name = "NAME")]
    show: Option<String>,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub fn run(arguments: &Arguments) -> u8 {
    let text = match (&arguments.show, arguments.format) {
        (Some(name), format) => match shown(name, format) {
            Ok(text) => text,
            Err(message) => return fail(&message),
        },
        (None, Format::Json) => as_json().to_string(),
        (None, Format::Text) => verify::table(),
    };
    say(&text, YES)
}

/// Formats the definition of a preset. The error says what is known.
fn shown(name: &str, format: Format) -> Result<String, String> {
    let Some(definition) = verify::definition(name) else {
        let known = || verify::catalogue().into_iter().map(|entry| entry.name);
        if known().any(|known| known == name) {
            return Err(format!(
                "`{name}` is not defined by another scheme: write its settings themselves, as in `rules.example.yaml`"
            ));
        }
        let meant = did_you_mean(name, known()).filter(|_| !name.is_empty());
        let meant = meant.map(|near| format!("did you mean `{near}`? "));
        let meant = meant.unwrap_or_default();
        return Err(format!(
            "unknown scheme `{name}` ({meant}`hookyard schemes` lists all)"
        ));
    };
    Ok(match format {
        Format::Json => json!({"name": name, "definition": definition.value}).to_string(),
        Format::Text => definition.text,
    })
}

/// Formats the schemes as JSON.
fn as_json() -> Value {
    let entries = verify::catalogue().into_iter().map(|entry| {
        serde_json::json!({
            "name": entry.name,
            "sender": entry.sender,
            "proof": entry.proof,
            "place": entry.place,
            "event": entry.event,
            "fresh_seconds": entry.window.map(|window| window.as_secs()),
            "note": entry.note,
        })
    });
    entries.collect()
}
