//! `hookyard check`.

use std::path::PathBuf;

use super::{Format, NO, YES, coloured, rules_path};
use crate::config;
use crate::diagnostic::{Finding, Findings};

/// The arguments of `hookyard check`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The rules file [default: `rules.yaml`, else `/etc/hookyard/rules.yaml`].
    rules: Option<PathBuf>,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> u8 {
    let path = rules_path(arguments.rules.as_ref());
    let (findings, summary) = match config::load(&path, config::environment()) {
        Ok(loaded) => {
            let (endpoints, rules) = (loaded.rules.endpoints.len(), loaded.rules.names.len());
            (loaded.warnings, Some((endpoints, rules)))
        }
        Err(findings) => (findings, None),
    };
    match arguments.format {
        Format::Json => println!("{}", json(&findings, summary)),
        Format::Text => {
            if !findings.is_empty() {
                println!("{}\n", findings.render(coloured(&std::io::stdout())));
            }
            match summary {
                Some((endpoints, rules)) => println!(
                    "{} loads: {endpoints} endpoints, {rules} rules, {} warnings",
                    path.display(),
                    findings.iter().count()
                ),
                None => println!("{} does not load: {} errors", path.display(), findings.errors()),
            }
        }
    }
    if summary.is_some() { YES } else { NO }
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
