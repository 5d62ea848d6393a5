//! `hookyard check`.

use std::path::{Path, PathBuf};

use super::{Format, NO, YES, coloured, complain, rules_path, say, secrets};
use crate::config;
use crate::diagnostic::{Finding, Findings, Severity, counted};
use crate::verify;

/// The arguments of `hookyard check`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The rules file [default: `rules.yaml`, else `/etc/hookyard/rules.yaml`].
    rules: Option<PathBuf>,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// If it loads, show its secrets in place of the summary: until when each counts, and when it last matched, by the
    /// store that the rules name. A daemon may be running on it.
    #[arg(long, conflicts_with = "list_schemes")]
    secrets: bool,
    /// Read no rules file: list the schemes that `verify` can name, and what each verifies.
    #[arg(long, conflicts_with = "rules")]
    list_schemes: bool,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> u8 {
    if arguments.list_schemes {
        let text = match arguments.format {
            Format::Json => schemes_as_json().to_string(),
            Format::Text => verify::table(),
        };
        return say(&text, YES);
    }
    let path = rules_path(arguments.rules.as_ref());
    let (findings, summary) = match config::load(&path, config::environment()) {
        Ok(loaded) if arguments.secrets => {
            if !loaded.warnings.is_empty() {
                complain(&loaded.warnings.render(coloured(&std::io::stderr())));
            }
            return secrets::run(&loaded.rules, arguments.format, YES);
        }
        Ok(loaded) => {
            let (endpoints, rules) = (loaded.rules.endpoints.len(), loaded.rules.names.len());
            (loaded.warnings, Some((endpoints, rules)))
        }
        Err(findings) => (findings, None),
    };
    let code = if summary.is_some() { YES } else { NO };
    let text = match arguments.format {
        Format::Json => json(&findings, summary).to_string(),
        Format::Text => text(&path, &findings, summary),
    };
    say(&text, code)
}

/// The schemes for programs.
fn schemes_as_json() -> serde_json::Value {
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

/// The result for people.
fn text(path: &Path, findings: &Findings, summary: Option<(usize, usize)>) -> String {
    let mut text = String::new();
    if !findings.is_empty() {
        text = format!("{}\n\n", findings.render(coloured(&std::io::stdout())));
    }
    let path = path.display();
    text + &match summary {
        Some((endpoints, rules)) => format!(
            "{path} loads: {}, {}, {}{}",
            counted(endpoints, "endpoint"),
            counted(rules, "rule"),
            counted(findings.count(Severity::Warning), "warning"),
            notes(findings.count(Severity::Note))
        ),
        None => format!("{path} does not load: {}", counted(findings.errors(), "error")),
    }
}

/// How many notes there are, if there are any.
fn notes(count: usize) -> String {
    match count {
        0 => String::new(),
        count => format!(", {}", counted(count, "note")),
    }
}

/// The result as one JSON object.
fn json(findings: &Findings, summary: Option<(usize, usize)>) -> serde_json::Value {
    serde_json::json!({
        "loads": summary.is_some(),
        "endpoints": summary.map(|(endpoints, _)| endpoints),
        "rules": summary.map(|(_, rules)| rules),
        "findings": findings.iter().map(Finding::to_json).collect::<Vec<_>>(),
    })
}
