//! The whole rules file: its head, its endpoints, its rules.
//!
//! The file always loads. A rule that does not is written as a comment, with the reason.

use std::path::Path;

use super::rule::Written;
use super::yaml::{Map, Yaml, comment_lines};
use crate::base::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::config;
use crate::reference::Described;

/// Name of the file in diagnostics of it.
const SHOWN: &str = "rules.yaml";
/// A secret in place of one that only the service knows.
const STAND_IN: &str = "in-place-of-a-secret";
/// Remarks that hold for all rules.
const HEAD: [&str; 2] = [
    "What differs from adnanh/webhook stands above the line that it is about. Beside that, a command is stopped \
     after 10 minutes (`timeout`), gets few variables of the daemon's environment (`env`), and runs once for \
     each signed event.",
    "Secrets are better kept out of this file: `secret: env:NAME`.",
];

/// Writes the rules. `from` names the hooks files. The number is that of the rules that load.
pub(super) fn write(from: &str, rules: &[Written<'_>], diagnostics: &mut Diagnostics) -> (String, usize) {
    let mut out = Described::Rules.modeline() + "\n";
    comment_lines(
        &mut out,
        &format!(
            "Rules for hookyard, made by `hookyard import {from}`. Check them: `hookyard check rules.yaml`."
        ),
        0,
    );
    for line in HEAD {
        comment_lines(&mut out, line, 0);
    }
    let refused: Vec<Option<String>> = rules.iter().map(|rule| refusal(rule)).collect();
    let loading = || {
        rules
            .iter()
            .zip(&refused)
            .filter(|(_, refused)| refused.is_none())
    };
    let mut endpoints = Map::new();
    for (rule, _) in loading().filter(|(rule, _)| !rule.endpoint.is_empty()) {
        endpoints.add(&rule.path, rule.endpoint.clone().into());
    }
    if !endpoints.is_empty() {
        out.push_str("\nendpoints:\n");
        endpoints.write(&mut out, 2);
    }
    out.push_str(if loading().next().is_some() {
        "\nrules:\n"
    } else {
        "\nrules: []\n"
    });
    for (at, (rule, refused)) in rules.iter().zip(&refused).enumerate() {
        if at > 0 {
            out.push('\n');
        }
        match refused {
            None => rule.rule.write_item(&mut out, 2),
            Some(reason) => {
                let hint = "it is written as a comment: complete it by hand";
                let message = format!("this hook makes no rule that loads: {reason}");
                diagnostics.push(rule.node.error("not-translated", &message).hint(hint));
                comment_lines(&mut out, &format!("{message}; {hint}"), 2);
                comment_out(&mut out, rule);
            }
        }
    }
    (out, loading().count())
}

/// Writes a rule as a comment.
fn comment_out(out: &mut String, rule: &Written<'_>) {
    let mut text = String::new();
    rule.rule.write_item(&mut text, 0);
    if !rule.endpoint.is_empty() {
        text.push_str("and in `endpoints`:\n");
        let endpoint = Map::new().with(&rule.path, Yaml::from(rule.endpoint.clone()));
        endpoint.write(&mut text, 2);
    }
    for line in text.lines() {
        out.push_str(format!("  # {line}").trim_end());
        out.push('\n');
    }
}

/// Why a rule does not load, if it does not. Secrets of the environment need not be there.
fn refusal(rule: &Written<'_>) -> Option<String> {
    let mut text = String::new();
    if !rule.endpoint.is_empty() {
        text.push_str("endpoints:\n");
        Map::new()
            .with(&rule.path, Yaml::from(rule.endpoint.clone()))
            .write(&mut text, 2);
    }
    text.push_str("rules:\n");
    rule.rule.write_item(&mut text, 2);
    let shown = Path::new(SHOWN);
    let offline = config::check_offline(shown, text.clone()).diagnostics;
    // A program may be an interpreter by another name, which only this machine knows.
    let mut environment = config::environment();
    environment.extend(variables(&text).map(|name| (name.into(), STAND_IN.into())));
    let here = config::load_text(shown, text, environment)
        .err()
        .unwrap_or_default();
    let of_machine = here.iter().filter(|diagnostic| diagnostic.code != "secret");
    let mut errors = offline.iter().chain(of_machine);
    let error = errors.find(|diagnostic| diagnostic.severity == Severity::Error)?;
    Some(reason(error))
}

/// The variables that rules name.
fn variables(text: &str) -> impl Iterator<Item = &str> {
    let names = ["env:", "secret(\""]
        .into_iter()
        .flat_map(|before| text.split(before).skip(1));
    names.map(|rest| {
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        rest.split(|letter| !is_name(letter)).next().unwrap_or_default()
    })
}

fn reason(error: &Diagnostic) -> String {
    match &error.hint {
        Some(hint) => format!("{} ({hint})", error.message),
        None => error.message.clone(),
    }
}
