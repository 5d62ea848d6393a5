//! The text of each rule as the file writes it, for the operator: with its lines, its warnings, and
//! its secrets masked.
//!
//! Masked are the secrets that are written out, values whose key suggests a credential, and
//! credentials in URLs. A secret inside a command cannot be told from the rest of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::base::diagnostic::{Diagnostics, Severity};
use crate::base::yaml::{Document, Node};
use crate::matching::suggests_credential;
use crate::rules::{Endpoint, Rule, RuleSource};

/// Replaces a masked value.
const MASK: &str = "[redacted]";
/// Minimum length in bytes of a secret that is masked wherever it stands, also in a comment.
const LONG_SECRET: usize = 8;

/// Gives each rule its text. `literals` are the secrets that are written out.
pub fn attach(documents: &[Document], endpoints: &mut [Endpoint], literals: &BTreeSet<String>) {
    let rules = endpoints.iter_mut().flat_map(|endpoint| &mut endpoint.rules);
    let mut rules: HashMap<Arc<str>, &mut Rule> = rules.map(|rule| (Arc::clone(&rule.name), rule)).collect();
    for document in documents {
        let (root, text) = (document.root(), document.text());
        let Some(list) = root.given("rules") else { continue };
        let mut masks = BTreeMap::new();
        Masking { literals, text }.walk(root, Place::Plain, &mut masks);
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
                text: masked(text, start, end, &masks, literals),
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

/// The place of a value, as far as it decides what is masked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Plain,
    /// Below `match`.
    Conditions,
    /// Below a key that suggests a credential, in conditions.
    QuietConditions,
    /// The value of a key that suggests a credential, or of `secret`.
    Quiet,
}

struct Masking<'m> {
    literals: &'m BTreeSet<String>,
    text: &'m str,
}

impl Masking<'_> {
    /// Collects the ranges to be masked.
    fn walk(&self, node: Node<'_>, place: Place, masks: &mut BTreeMap<usize, usize>) {
        for (key, child) in node.entries() {
            let is_quiet = suggests_credential(key);
            let below = match place {
                Place::QuietConditions => Place::QuietConditions,
                Place::Conditions if is_quiet => Place::QuietConditions,
                Place::Conditions => Place::Conditions,
                Place::Plain | Place::Quiet if key == "match" => Place::Conditions,
                Place::Plain | Place::Quiet if key.starts_with("secret") => Place::Quiet,
                Place::Plain | Place::Quiet if is_quiet && !child.is_mapping() => Place::Quiet,
                Place::Quiet => Place::Quiet,
                Place::Plain => Place::Plain,
            };
            self.walk(child, below, masks);
        }
        for item in node.items() {
            self.walk(item, place, masks);
        }
        if node.is_mapping() || !node.items().is_empty() {
            return;
        }
        let range = node.range();
        let written = self.text.get(range.clone()).unwrap_or_default();
        let value = node.as_str().unwrap_or(written);
        let is_quiet = matches!(place, Place::Quiet | Place::QuietConditions) && !is_named(value);
        if is_quiet || self.literals.contains(value) || has_credentials(value) {
            masks.insert(range.start, range.end);
        }
    }
}

/// True if a text names a source or a template rather than a secret.
fn is_named(text: &str) -> bool {
    let sources = ["env:", "file:", "credential:"];
    sources.iter().any(|source| text.starts_with(source))
        || text.contains("{{")
        || text.parse::<bool>().is_ok()
}

/// True if a text is a URL with a user.
fn has_credentials(text: &str) -> bool {
    let rest = text.split_once("://").map(|(_, rest)| rest);
    let authority = rest.and_then(|rest| rest.split(['/', '?', '#']).next());
    authority.is_some_and(|authority| authority.contains('@'))
}

/// The text from `start` to `end`, masked.
fn masked(
    text: &str,
    start: usize,
    end: usize,
    masks: &BTreeMap<usize, usize>,
    literals: &BTreeSet<String>,
) -> String {
    let mut shown = String::new();
    let mut at = start;
    for (from, to) in masks.range(start..end) {
        if *from < at {
            continue;
        }
        shown.push_str(text.get(at..*from).unwrap_or_default());
        shown.push_str(MASK);
        at = *to;
    }
    shown.push_str(text.get(at.min(end)..end).unwrap_or_default());
    for literal in literals.iter().filter(|literal| literal.len() >= LONG_SECRET) {
        if shown.contains(literal.as_str()) {
            shown = shown.replace(literal.as_str(), MASK);
        }
    }
    shown
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
