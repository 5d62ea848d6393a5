//! The text of each rule as the file writes it, for the operator: with its lines, its warnings, and
//! its secrets masked (`masking.rs`).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::masking;
use crate::base::diagnostic::{Diagnostics, Severity};
use crate::base::yaml::{Document, Node};
use crate::rules::{Endpoint, Rule, RuleSource};

/// Gives each rule its text. `literals` are the secrets that are written out.
pub fn attach(documents: &[Document], endpoints: &mut [Endpoint], literals: &BTreeSet<String>) {
    let rules = endpoints.iter_mut().flat_map(|endpoint| &mut endpoint.rules);
    let mut rules: HashMap<Arc<str>, &mut Rule> = rules.map(|rule| (Arc::clone(&rule.name), rule)).collect();
    for document in documents {
        let (root, text) = (document.root(), document.text());
        let Some(list) = root.given("rules") else { continue };
        let masks = masking::masks(document, literals);
        let (mut line, mut at) = (1, 0);
        for node in list.items() {
            let name = node.get("name").and_then(|name| name.as_str());
            let Some(rule) = name.and_then(|name| rules.get_mut(name)) else {
                continue;
            };
            let (start, end) = extent(text, node);
            if start < at {
                (line, at) = (1, 0);
            }
            line += newlines(text.get(at..start).unwrap_or_default());
            at = start;
            rule.source = Some(RuleSource {
                file: node.path().to_owned(),
                first_line: line,
                text: masking::masked(text, start..end, &masks, literals),
                warnings: Vec::new(),
            });
        }
    }
}

/// Gives each rule the warnings that point into its text.
pub fn add_warnings(endpoints: &mut [Endpoint], diagnostics: &Diagnostics) {
    let rules = endpoints.iter_mut().flat_map(|endpoint| &mut endpoint.rules);
    let mut sources: Vec<&mut RuleSource> = rules.filter_map(|rule| rule.source.as_mut()).collect();
    let warnings = diagnostics.into_iter();
    for warning in warnings.filter(|warning| warning.severity != Severity::Note) {
        let Some(origin) = &warning.origin else { continue };
        let (line, _) = origin.line_column();
        let mut sources = sources.iter_mut();
        let source = sources.find(|source| {
            let last = source.first_line + newlines(&source.text);
            source.file == origin.path() && (source.first_line..=last).contains(&line)
        });
        if let Some(source) = source {
            source.warnings.push(warning.line());
        }
    }
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

/// The lines of a rule: from its first key to the last line that is indented more.
fn extent(text: &str, node: Node<'_>) -> (usize, usize) {
    let at = text.floor_char_boundary(node.range().start);
    let before = text.get(..at).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let lead = text.get(start..at).unwrap_or_default();
    if !lead.chars().all(|letter| letter == ' ' || letter == '-') {
        // In a flow collection lines say nothing.
        return (start, end_of_line(text, last_byte(node)));
    }
    let indentation = indent(lead);
    let is_dashed = lead.contains('-');
    let mut end = end_of_line(text, at);
    let mut next = end + 1;
    while let Some(rest) = text.get(next..).filter(|rest| !rest.is_empty()) {
        let line = rest.split('\n').next().unwrap_or_default();
        let own = indent(line);
        let belongs =
            own > indentation || (!is_dashed && own == indentation && !line.trim_start().starts_with('-'));
        if !line.trim().is_empty() {
            if !belongs {
                break;
            }
            end = next + line.len();
        }
        next += line.len() + 1;
    }
    (start, end)
}

fn indent(line: &str) -> usize {
    line.bytes().take_while(|byte| *byte == b' ').count()
}

fn end_of_line(text: &str, at: usize) -> usize {
    let at = text.ceil_char_boundary(at.min(text.len()));
    let rest = text.get(at..).unwrap_or_default();
    rest.find('\n').map_or(text.len(), |newline| at + newline)
}

/// The end of the last scalar of a node.
fn last_byte(node: Node<'_>) -> usize {
    let children = node.entries().into_iter().map(|(_, child)| child);
    let children = children.chain(node.items());
    children
        .map(last_byte)
        .max()
        .unwrap_or_default()
        .max(node.range().end)
}

#[cfg(test)]
mod tests {
    use crate::config::load::load_text;

    #[test]
    fn a_rule_is_shown_with_its_lines_and_without_its_secrets() {
        let text = r#"# A comment.
rules:
  - name: deploy
    endpoint: /deploy
    verify: {github: {secret: written-out-1234}}   # written-out-1234
    match:
      header.X-Token: {equals: abc}
      $.n: 3

    actions:
      - forward: {url: "https://example.com/x", headers: {Authorization: Bearer-x, X-Y: z}}
  # About the next.
  - {name: other, endpoint: /other, verify: {token: {secret: k, header: X-Key}}, actions: [{shell: "true"}]}
"#;
        let loaded = load_text("rules.yaml".as_ref(), text.to_owned(), Vec::new()).unwrap();
        let source = |name: &str| loaded.rules.rule(name).unwrap().1.source.clone().unwrap();
        let deploy = source("deploy");
        assert_eq!(deploy.first_line, 3);
        assert_eq!(
            deploy.text,
            "  - name: deploy
    endpoint: /deploy
    verify: {github: {secret: [redacted]}}   # [redacted]
    match:
      header.X-Token: {equals: [redacted]}
      $.n: 3

    actions:
      - forward: {url: \"https://example.com/x\", headers: {Authorization: [redacted], X-Y: z}}"
        );
        assert!(
            deploy.warnings[0].contains("a secret written out"),
            "{:?}",
            deploy.warnings
        );
        let other = source("other");
        assert_eq!(other.first_line, 13);
        assert!(
            other.text.contains("{secret: [redacted], header: X-Key}"),
            "{}",
            other.text
        );
    }
}
