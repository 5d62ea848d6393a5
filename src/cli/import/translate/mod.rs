//! The translation of hooks files to a rules file, from text to text.

use std::sync::Arc;

use super::rule::{Defaults, rule};
use super::{file, go_template, hooks};
use crate::base::diagnostic::{Diagnostic, Diagnostics, Source};
use crate::base::yaml::{Document, Node};

/// The result of translating hooks files.
pub(super) struct Translation {
    /// The rules. `None` if no file could be read.
    pub(super) text: Option<String>,
    /// Number of rules, without those that are written as comments.
    pub(super) rules: usize,
    pub(super) diagnostics: Diagnostics,
}

/// Translates hooks files. `are_templates`: they are Go templates.
pub(super) fn translate(sources: Vec<Source>, are_templates: bool, defaults: &Defaults) -> Translation {
    let mut diagnostics = Diagnostics::new();
    let names: Vec<String> = sources
        .iter()
        .map(|source| source.path.display().to_string())
        .collect();
    let documents: Vec<Document> = sources
        .into_iter()
        .filter_map(|source| document(source, are_templates, &mut diagnostics))
        .collect();
    let mut is_read = false;
    let mut rules = Vec::new();
    let (mut rule_names, mut paths) = (Vec::new(), Vec::new());
    for document in &documents {
        let Some(hooks) = hooks::read(document.root(), &mut diagnostics) else {
            continue;
        };
        is_read = true;
        for hook in hooks {
            if let Some(rule) = rule(&hook, defaults, &mut rule_names, &mut diagnostics)
                && is_first(&rule.path, rule.node, &mut paths, &mut diagnostics)
            {
                rules.push(rule);
            }
        }
    }
    let written = is_read.then(|| file::write(&names.join(" "), &rules, &mut diagnostics));
    let (text, rules) = written.unzip();
    Translation {
        text,
        rules: rules.unwrap_or_default(),
        diagnostics,
    }
}

/// True if no earlier hook has this path.
fn is_first(path: &str, node: Node<'_>, paths: &mut Vec<String>, diagnostics: &mut Diagnostics) -> bool {
    if paths.iter().any(|known| known == path) {
        let message = format!("another hook has the path `{path}`");
        diagnostics.push(
            node.error("duplicate-hook", message)
                .hint("this hook is left out"),
        );
        return false;
    }
    paths.push(path.to_owned());
    true
}

/// Parses a hooks file, with its templates translated. Diagnostics show the file as it is.
fn document(source: Source, is_template: bool, diagnostics: &mut Diagnostics) -> Option<Document> {
    let source = Arc::new(source);
    let parse = |text: String, diagnostics: &mut Diagnostics| {
        let path = source.path.clone();
        let source = Source { path, text };
        Document::parse_json(&source).or_else(|| Document::parse(source, diagnostics))
    };
    if is_template {
        let text = go_template::expanded(&source, diagnostics);
        let document = parse(text, diagnostics)?;
        return Some(document.shown_as(Arc::clone(&source)));
    }
    let document = parse(source.text.clone(), diagnostics);
    if document.is_none() && source.text.contains("{{") {
        let message = format!("`{}` looks like a Go template", source.path.display());
        diagnostics.push(Diagnostic::unplaced("template", message).hint("translate it with `--template`"));
    }
    document
}

#[cfg(test)]
mod tests;
