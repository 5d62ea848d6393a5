//! Compilation of the YAML of a `match:` to a [`Condition`].
//!
//! Reports all errors at once, including conditions that can never hold. `test.rs` compiles the
//! test of one selector; `operand.rs` compiles operators, and `reading.rs` those beside `as`.

mod reading;
mod test;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

pub use self::reading::OPERATORS as READING_OPERATORS;
use super::contradiction::{Requirement, contradiction};
use super::explanation::shortened;
use super::for_each::ForEach;
use super::operand::to_json;
use super::operator::Operators;
use super::selector::Selector;
use super::term::{Term, TermGroup};
use crate::base::diagnostic::{Diagnostic, Diagnostics, Origin};
use crate::base::patterns::Patterns;
use crate::base::yaml::Node;
use crate::payload::View;
use crate::verify::{EventName, Reads};

/// Maximum nesting depth of `all`, `any` and `not`.
const MAX_NESTING: usize = 16;
/// Maximum number of operators on one selector that are compared with each other to find a
/// condition that never holds. Of more operators, only the first are compared.
const MAX_COMPARED: usize = 32;

/// A compiled `match:`. All of its terms must hold.
pub struct Condition {
    pub(super) terms: Vec<Term>,
    /// Terms that look at an element. There are none without [`Self::for_each`].
    pub(super) element_terms: Vec<Term>,
    pub(super) for_each: Option<ForEach>,
    /// The view of the payload that the condition reads. `None`: that of the endpoint.
    pub(super) view: Option<View>,
    /// The selectors to which the slots of the terms refer.
    pub(super) selectors: Vec<Selector>,
}

impl fmt::Debug for Condition {
    // Omits the operands: one of them may be a token that a header is compared with.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Condition({} terms)", self.terms.len())
    }
}

impl Condition {
    /// Compiles a `match:`. `event_name` says where the endpoint's senders name their events, if
    /// the scheme defines it. `None` after an error, which is added to `diagnostics`.
    pub fn compile(
        node: Node<'_>,
        event_name: Option<&EventName>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        Self::compile_with(node, event_name, false, &Patterns::default(), diagnostics)
    }

    /// As [`Self::compile`], with the patterns of all conditions of a rules file. `has_elements`: the
    /// rule has a `for_each`, and its conditions may look at elements.
    pub fn compile_with(
        node: Node<'_>,
        event_name: Option<&EventName>,
        has_elements: bool,
        patterns: &Patterns,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let mut compiler = Compiler {
            event_name,
            has_elements,
            patterns,
            diagnostics,
            selectors: Vec::new(),
            slots: HashMap::new(),
        };
        let built = compiler.all_of(node, 0)?;
        let selectors = compiler.selectors;
        let terms = built.into_iter().map(|built| built.term);
        let (element_terms, terms) = terms.partition(|term| looks_at_element(term, &selectors));
        Some(Self {
            terms,
            element_terms,
            for_each: None,
            view: None,
            selectors,
        })
    }

    /// True if the rule has a `for_each`.
    pub fn has_elements(&self) -> bool {
        self.for_each.is_some()
    }

    /// The same condition for each of the elements.
    #[must_use]
    pub fn for_each(self, for_each: Option<ForEach>) -> Self {
        Self { for_each, ..self }
    }

    /// The same condition on this view of the payload.
    #[must_use]
    pub fn in_view(mut self, view: Option<View>) -> Self {
        if let Some(view) = view {
            self.selectors
                .iter_mut()
                .for_each(|selector| selector.read_in(view));
        }
        Self { view, ..self }
    }

    /// The condition of a rule without `match:`, which every event fulfils.
    pub fn always() -> Self {
        Self {
            terms: Vec::new(),
            element_terms: Vec::new(),
            for_each: None,
            view: None,
            selectors: Vec::new(),
        }
    }

    /// Redacts the values of those selectors whose text `is_secret`, in everything that is shown.
    pub fn redact(&mut self, is_secret: impl Fn(&str) -> bool) {
        for selector in &mut self.selectors {
            if is_secret(&selector.written.to_ascii_lowercase()) {
                selector.redact();
            }
        }
    }

    /// The parts of a request that the condition reads beside the body.
    pub fn reads(&self) -> Reads {
        let mut reads = Reads::default();
        for selector in &self.selectors {
            reads.extend(selector.reads());
        }
        reads
    }

    /// True if the condition reads structure of the payload, so that an unstructured payload
    /// deserves a warning.
    pub fn needs_structure(&self) -> bool {
        self.for_each.is_some() || self.selectors.iter().any(Selector::needs_structure)
    }

    /// True if the condition reads the payload at all, so that its answer may be unknown for an
    /// unreadable one.
    pub fn reads_payload(&self) -> bool {
        self.for_each.is_some() || self.selectors.iter().any(Selector::reads_payload)
    }
}

/// A term with the positions of its operators.
struct CompiledTerm {
    term: Term,
    /// For a test: the positions of its `some` operators.
    operators: Vec<Origin>,
}

impl CompiledTerm {
    /// The `some` operators of this term with the slot of their selector, if it is a test.
    fn claims(&self) -> Option<(usize, Vec<(Requirement<'_>, &Origin)>)> {
        match &self.term {
            Term::Test(test) => {
                let some = test.some.as_ref()?;
                Some((test.slot, claims(some, &self.operators).collect()))
            }
            _ => None,
        }
    }
}

/// Operators as requirements, with their positions.
fn claims<'c>(
    operators: &'c Operators,
    origins: &'c [Origin],
) -> impl Iterator<Item = (Requirement<'c>, &'c Origin)> {
    let ignore_case = operators.ignore_case;
    let claim = move |operator| Requirement {
        operator,
        ignore_case,
    };
    operators.list.iter().map(claim).zip(origins)
}

impl From<Term> for CompiledTerm {
    fn from(term: Term) -> Self {
        Self {
            term,
            operators: Vec::new(),
        }
    }
}

/// State of the compilation of one `match:`.
struct Compiler<'c> {
    event_name: Option<&'c EventName>,
    has_elements: bool,
    patterns: &'c Patterns,
    diagnostics: &'c mut Diagnostics,
    selectors: Vec<Selector>,
    /// The slots of the selectors, by their keys.
    slots: HashMap<String, usize>,
}

impl Compiler<'_> {
    fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// A mapping whose entries must all hold. The entries of an `all` inside it are merged into it.
    fn all_of(&mut self, node: Node<'_>, depth: usize) -> Option<Vec<CompiledTerm>> {
        if !node.is_mapping() {
            let diagnostic = node.error(
                "wrong-value",
                "conditions are a mapping of selectors to what they must be",
            );
            self.report(diagnostic.hint("write `$.ref: refs/heads/main`"));
            return None;
        }
        if depth > MAX_NESTING {
            self.report(node.error(
                "too-deep",
                format!("conditions nest more than {MAX_NESTING} deep"),
            ));
            return None;
        }
        let entries = node.entries();
        if entries.is_empty() {
            let diagnostic = node.error("empty-condition", "this asks nothing");
            self.report(
                diagnostic.hint("name a selector, or remove it: a rule without `match` takes every event"),
            );
            return None;
        }
        let faults = self.diagnostics.errors();
        let mut compiled = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            match key {
                "all" => {
                    for branch in self.branches(key, value, depth).unwrap_or_default() {
                        compiled.extend(branch);
                    }
                }
                "any" => {
                    let branches = self.branches(key, value, depth).unwrap_or_default();
                    let terms = branches.into_iter().map(all).collect();
                    compiled.push(Term::Any(group(terms, value)).into());
                }
                "not" => {
                    let terms = self.negated(value, depth);
                    compiled.push(Term::Not(group(terms, value)).into());
                }
                selector => compiled.extend(self.test(selector, value)),
            }
        }
        if self.diagnostics.errors() > faults {
            return None;
        }
        self.refuse_contradictions(&compiled)?;
        Some(compiled)
    }

    /// The list of an `all` or an `any`.
    fn branches(&mut self, key: &str, node: Node<'_>, depth: usize) -> Option<Vec<Vec<CompiledTerm>>> {
        if !node.value().is_sequence() {
            let diagnostic = node.error("wrong-value", format!("`{key}` wants a list of conditions"));
            self.report(diagnostic.hint(format!("write `{key}: [{{$.a: 1}}, {{$.b: 2}}]`")));
            return None;
        }
        let items = node.items();
        if items.is_empty() {
            let diagnostic = match key {
                "any" => node.error("never-holds", "an empty `any` can never hold"),
                _ => node.error("empty-condition", format!("an empty `{key}` asks nothing")),
            };
            self.report(diagnostic);
            return None;
        }
        let branches: Vec<_> = items
            .into_iter()
            .map(|item| self.all_of(item, depth + 1))
            .collect();
        branches.into_iter().collect()
    }

    fn negated(&mut self, node: Node<'_>, depth: usize) -> Vec<Term> {
        if node.value().is_sequence() {
            let diagnostic = node.error("wrong-value", "`not` wants a mapping, not a list");
            self.report(diagnostic.hint("write `not: {any: […]}`, or `not: {all: […]}`"));
            return Vec::new();
        }
        let compiled = self.all_of(node, depth + 1).unwrap_or_default();
        compiled.into_iter().map(|built| built.term).collect()
    }

    /// Reports conditions that can never hold: within a test, and between tests of one
    /// single-valued selector.
    fn refuse_contradictions(&mut self, terms: &[CompiledTerm]) -> Option<()> {
        let mut found = false;
        let mut by_slot: BTreeMap<usize, Vec<_>> = BTreeMap::new();
        for (slot, claims) in terms.iter().filter_map(CompiledTerm::claims) {
            by_slot.entry(slot).or_default().push(claims);
        }
        for (slot, tests) in by_slot {
            let single = self.selectors.get(slot).is_some_and(Selector::is_single);
            let mut together: Vec<(Requirement<'_>, &Origin)> = Vec::new();
            for claims in tests {
                if !single {
                    // Each test may be about another value.
                    together.clear();
                }
                if together.len() >= MAX_COMPARED {
                    break;
                }
                together.extend(claims);
                if self.refuse_contradiction(slot, &together).is_none() {
                    found = true;
                    break;
                }
            }
        }
        (!found).then_some(())
    }

    /// Reports operators that no value of the selector can satisfy together.
    fn refuse_contradiction(&mut self, slot: usize, claims: &[(Requirement<'_>, &Origin)]) -> Option<()> {
        let selector = self.selectors.get(slot)?;
        let text = selector.is_text().then_some(selector.written.as_str());
        let together: Vec<Requirement<'_>> = claims.iter().map(|(claim, _)| *claim).collect();
        let Some(found) = contradiction(&together, text) else {
            return Some(());
        };
        let (_, origin) = claims.get(found.at)?;
        let mut diagnostic = Diagnostic::error((*origin).clone(), "never-holds", found.message);
        diagnostic.hint = found.hint.map(str::to_owned);
        self.report(diagnostic);
        None
    }
}

/// True if the term looks at an element, at any depth.
fn looks_at_element(term: &Term, selectors: &[Selector]) -> bool {
    let mut found = false;
    term.each_test(&mut |test| found |= selectors.get(test.slot).is_some_and(Selector::is_of_element));
    found
}

/// Combines the terms of a branch into one term.
fn all(branch: Vec<CompiledTerm>) -> Term {
    let mut terms: Vec<Term> = branch.into_iter().map(|built| built.term).collect();
    match terms.pop() {
        Some(one) if terms.is_empty() => one,
        last => {
            terms.extend(last);
            Term::All(terms)
        }
    }
}

fn group(terms: Vec<Term>, node: Node<'_>) -> TermGroup {
    TermGroup {
        terms,
        written: to_json(node.value()).as_ref().map(shortened).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
