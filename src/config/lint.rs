//! Warnings of what is valid and probably not meant. A rule can allow each of them (`warnings.rs`).
//!
//! Conditions are compared as sets of terms, each a number, so that thousands of rules are compared
//! in a moment: equal sets meet in a map, and a set is compared only with those that have its
//! rarest term.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::endpoint::EndpointBuilder;
use super::terms::Terms;
use super::{for_each, replays};
use crate::base::diagnostic::{Diagnostic, Diagnostics, Origin};
use crate::base::yaml::Node;
use crate::rules::Rule;

/// Maximum comparisons of conditions in one load. Pairs beyond it are not looked at.
const MAX_COMPARISONS: usize = 1_000_000;
/// Signs that have a meaning in a regular expression.
const META: [char; 14] = [
    '\\', '.', '+', '*', '?', '(', ')', '|', '[', ']', '{', '}', '^', '$',
];

/// Checks a rule by itself.
pub fn check_rule(node: Node<'_>, diagnostics: &mut Diagnostics) {
    if let Some(conditions) = node.given("match") {
        plain_patterns(conditions, diagnostics);
    }
    if let Some(elements) = node
        .given("for_each")
        .filter(|elements| elements.get("limit").is_none())
    {
        let limit = for_each::DEFAULT_LIMIT;
        let message =
            format!("an event with more than {limit} elements is one dead letter, and runs nothing");
        let diagnostic = Diagnostic::note(elements.origin(), "default-limit", message);
        diagnostics.push(diagnostic.hint(format!(
            "say how many may come: `for_each: {{path: …, limit: {limit}}}`"
        )));
    }
}

/// Warns of `matches` with a text that every regular expression engine takes literally.
fn plain_patterns(conditions: Node<'_>, diagnostics: &mut Diagnostics) {
    for (key, value) in conditions.entries() {
        if key != "matches" {
            plain_patterns(value, diagnostics);
            continue;
        }
        for item in value.one_or_many() {
            if let Some(text) = item.as_str().filter(|text| !text.contains(META)) {
                let message =
                    format!("`{text}` has no metacharacter, and `matches` compares the whole value");
                let warning = item.warning("plain-pattern", message);
                diagnostics.push(warning.hint("write `equals`, or `contains` if it may stand anywhere"));
            }
        }
    }
    for item in conditions.items() {
        plain_patterns(item, diagnostics);
    }
}

/// Checks the rules of all endpoints together.
pub fn check(builders: &[EndpointBuilder<'_>], diagnostics: &mut Diagnostics) {
    let mut comparisons = MAX_COMPARISONS;
    for builder in builders {
        conditions(builder, &mut comparisons, diagnostics);
    }
    shared_secrets(builders, diagnostics);
}

/// A rule with what decides whether it takes an event.
struct Written<'b> {
    rule: &'b Rule,
    node: Node<'b>,
    /// The numbers of its conditions, sorted.
    terms: Vec<u32>,
}

/// Compares the conditions of the enabled rules of one endpoint.
fn conditions(builder: &EndpointBuilder<'_>, comparisons: &mut usize, diagnostics: &mut Diagnostics) {
    let mut terms = Terms::default();
    let mut equal: HashMap<(u32, Vec<u32>), Node<'_>> = HashMap::new();
    let mut same_actions: HashMap<(u32, u32), Vec<Written<'_>>> = HashMap::new();
    for (rule, node) in builder.rules_with_nodes().filter(|(rule, _)| rule.enabled) {
        let verified: Vec<usize> = rule.alternatives.iter().map(|one| one.verification).collect();
        // What else decides about an event, beside the conditions.
        let others = ["allow", "for_each", "unpack"].map(|key| terms.of_value(node.get(key)));
        let base = terms.number(format!("{verified:?} {others:?}"));
        let own = terms.of_conditions(node.given("match"));
        let is_conditional = !own.is_empty();
        if let Some(first) = equal.get(&(base, own.clone())).filter(|_| is_conditional) {
            if !rule.allows_warning("equal-conditions") {
                diagnostics.push(equal_conditions(rule, node, *first));
            }
        } else {
            equal.insert((base, own.clone()), node);
            let actions = terms.of_value(node.get("actions"));
            let folder = node.path().parent().unwrap_or(Path::new("")).display();
            let actions = terms.number(format!("{actions:?} {folder}"));
            let rules = same_actions.entry((base, actions)).or_default();
            rules.push(Written {
                rule,
                node,
                terms: own,
            });
        }
    }
    for rules in same_actions.values().filter(|rules| rules.len() > 1) {
        parts(rules, comparisons, diagnostics);
    }
}

fn equal_conditions(rule: &Rule, node: Node<'_>, first: Node<'_>) -> Diagnostic {
    let origin = name_of(node);
    let other = name_of(first);
    let message = format!(
        "the rule `{}` has the same conditions as `{}` in {}",
        rule.name,
        first
            .get("name")
            .and_then(|name| name.as_str())
            .unwrap_or_default(),
        other.seen_from(&origin)
    );
    let warning = Diagnostic::warning(origin, "equal-conditions", message);
    warning.hint(
        "if both are meant, say `allow_warnings: [equal-conditions]`; else write one rule with all actions",
    )
}

/// Warns of each rule whose conditions are a part of those of another with the same actions.
fn parts(rules: &[Written<'_>], comparisons: &mut usize, diagnostics: &mut Diagnostics) {
    let mut counts: HashMap<u32, usize> = HashMap::new();
    for term in rules.iter().flat_map(|rule| &rule.terms) {
        *counts.entry(*term).or_default() += 1;
    }
    // Candidates by their rarest term. Those without a condition are a part of any.
    let mut candidates: HashMap<Option<u32>, Vec<&Written<'_>>> = HashMap::new();
    for rule in rules {
        let rarest = rule.terms.iter().copied().min_by_key(|term| counts.get(term));
        if !rule.rule.allows_warning("part-of-conditions") {
            candidates.entry(rarest).or_default().push(rule);
        }
    }
    for wider in rules {
        let terms = wider.terms.iter().copied().map(Some).chain([None]);
        for term in terms {
            let Some(candidates) = candidates.get_mut(&term) else {
                continue;
            };
            candidates.retain(|candidate| {
                *comparisons = comparisons.saturating_sub(1);
                let is_part = candidate.terms.len() < wider.terms.len()
                    && *comparisons > 0
                    && candidate
                        .terms
                        .iter()
                        .all(|term| wider.terms.binary_search(term).is_ok());
                if is_part {
                    diagnostics.push(part_of(candidate, wider));
                }
                !is_part
            });
        }
    }
}

fn part_of(part: &Written<'_>, whole: &Written<'_>) -> Diagnostic {
    let (origin, other) = (name_of(part.node), name_of(whole.node));
    let message = format!(
        "the conditions of the rule `{}` are a part of those of `{}` in {}, which has the same actions: they run twice",
        part.rule.name,
        whole.rule.name,
        other.seen_from(&origin)
    );
    let warning = Diagnostic::warning(origin, "part-of-conditions", message);
    warning.hint("remove the other rule, or let the conditions exclude each other")
}

fn name_of(node: Node<'_>) -> Origin {
    node.get("name").unwrap_or(node).origin()
}

/// Warns of a secret by which requests of one endpoint are accepted at another.
fn shared_secrets(builders: &[EndpointBuilder<'_>], diagnostics: &mut Diagnostics) {
    /// The endpoints of a secret, and the place where the second one names it.
    struct Shared<'b> {
        endpoints: Vec<&'b str>,
        second: Option<Origin>,
    }
    // In the order of the file.
    let mut order = Vec::new();
    let mut all: HashMap<(String, PathBuf), Shared<'_>> = HashMap::new();
    for builder in builders {
        for (index, declared) in builder.written().enumerate() {
            let mut rules = builder.rules_of(index);
            if rules.all(|rule| rule.allows_warning("shared-secret")) {
                continue;
            }
            for (source, _) in declared.verification.secrets() {
                let is_path = source.starts_with("file:");
                if !is_path && !source.starts_with("env:") && !source.starts_with("credential:") {
                    continue;
                }
                let folder = declared.origin.path().parent().filter(|_| is_path);
                let key = (source.to_string(), folder.unwrap_or(Path::new("")).to_owned());
                let shared = all.entry(key.clone()).or_insert_with(|| {
                    order.push(key);
                    Shared {
                        endpoints: Vec::new(),
                        second: None,
                    }
                });
                if shared.endpoints.last() != Some(&&*builder.path) {
                    shared.endpoints.push(&builder.path);
                    if shared.endpoints.len() == 2 {
                        shared.second = Some(declared.origin.clone());
                    }
                }
            }
        }
    }
    for key in order {
        let Some(Shared {
            endpoints,
            second: Some(second),
        }) = all.remove(&key)
        else {
            continue;
        };
        let names = replays::listed(endpoints.into_iter());
        let message = format!(
            "`{}` is the secret of {names}: a request to one is accepted by the others",
            key.0
        );
        let warning = Diagnostic::warning(second, "shared-secret", message);
        diagnostics.push(warning.hint(
            "give each endpoint a secret of its own, or say `allow_warnings: [shared-secret]` in its rules",
        ));
    }
}
