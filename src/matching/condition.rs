//! From the YAML of a `match:` to a condition.

use std::fmt;

use super::contradiction::{Claim, contradiction};
use super::explanation::shortened;
use super::operand::to_json;
use super::operator::{Operator, Operators};
use super::selector::Selector;
use super::term::{Group, Term, Test};
use crate::diagnostic::{Finding, Findings, Origin};
use crate::verify::EventName;
use crate::yaml::Node;

/// How deep `all`, `any` and `not` may nest.
const MAX_NESTING: usize = 16;

/// A compiled `match:`; all of its terms must hold.
pub struct Condition {
    pub(super) terms: Vec<Term>,
    /// What the slots of the terms stand for.
    pub(super) selectors: Vec<Selector>,
}

impl fmt::Debug for Condition {
    // Without its operands: one of them may be a token that a header is compared with.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Condition({} terms)", self.terms.len())
    }
}

impl Condition {
    /// Reads a `match:`. `event_name` is where the endpoint's senders name their events, if the verification knows.
    /// `None` if anything in it is wrong, which is then in `findings`.
    pub fn compile(node: Node<'_>, event_name: Option<&EventName>, findings: &mut Findings) -> Option<Self> {
        let mut compiler = Compiler {
            event_name,
            findings,
            selectors: Vec::new(),
        };
        let drafts = compiler.all_of(node, 0)?;
        let selectors = compiler.selectors;
        Some(Self {
            terms: drafts.into_iter().map(|draft| draft.term).collect(),
            selectors,
        })
    }

    /// The condition of a rule that has none: every event.
    pub fn always() -> Self {
        Self {
            terms: Vec::new(),
            selectors: Vec::new(),
        }
    }

    /// Whether it looks into the payload, so that a payload without structure deserves a word.
    pub fn needs_structure(&self) -> bool {
        self.selectors.iter().any(Selector::needs_structure)
    }
}

/// A term with the places of what it was made of.
struct Draft {
    term: Term,
    /// Of a test, where its `some` operators stand.
    operators: Vec<Origin>,
}

impl From<Term> for Draft {
    fn from(term: Term) -> Self {
        Self {
            term,
            operators: Vec::new(),
        }
    }
}

/// Operators with the places of their operands.
struct Placed {
    operators: Operators,
    origins: Vec<Origin>,
}

/// The reading of one `match:`.
struct Compiler<'c> {
    event_name: Option<&'c EventName>,
    findings: &'c mut Findings,
    selectors: Vec<Selector>,
}

impl Compiler<'_> {
    fn fault(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// A mapping, all of whose entries must hold; those of an `all` in it among them.
    fn all_of(&mut self, node: Node<'_>, depth: usize) -> Option<Vec<Draft>> {
        if !node.is_mapping() {
            let finding = node.error(
                "wrong-value",
                "conditions are a mapping of selectors to what they must be",
            );
            self.fault(finding.hint("write `$.ref: refs/heads/main`"));
            return None;
        }
        if depth > MAX_NESTING {
            self.fault(node.error(
                "too-deep",
                format!("conditions nest more than {MAX_NESTING} deep"),
            ));
            return None;
        }
        let entries = node.entries();
        if entries.is_empty() {
            let finding = node.error("empty-condition", "this asks nothing");
            self.fault(
                finding.hint("name a selector, or remove it: a rule without `match` takes every event"),
            );
            return None;
        }
        let faults = self.findings.errors();
        let mut drafts = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            match key {
                "all" => {
                    for branch in self.branches(key, value, depth).unwrap_or_default() {
                        drafts.extend(branch);
                    }
                }
                "any" => {
                    let branches = self.branches(key, value, depth).unwrap_or_default();
                    let terms = branches.into_iter().map(all).collect();
                    drafts.push(Term::Any(group(terms, value)).into());
                }
                "not" => {
                    let terms = self.negated(value, depth);
                    drafts.push(Term::Not(group(terms, value)).into());
                }
                selector => drafts.extend(self.test(selector, value)),
            }
        }
        if self.findings.errors() > faults {
            return None;
        }
        self.refuse_contradictions(&drafts)?;
        Some(drafts)
    }

    /// The list of an `all` or an `any`.
    fn branches(&mut self, key: &str, node: Node<'_>, depth: usize) -> Option<Vec<Vec<Draft>>> {
        if !node.value().is_sequence() {
            let finding = node.error("wrong-value", format!("`{key}` wants a list of conditions"));
            self.fault(finding.hint(format!("write `{key}: [{{$.a: 1}}, {{$.b: 2}}]`")));
            return None;
        }
        let items = node.items();
        if items.is_empty() {
            let finding = match key {
                "any" => node.error("never-holds", "an empty `any` can never hold"),
                _ => node.error("empty-condition", format!("an empty `{key}` asks nothing")),
            };
            self.fault(finding);
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
            let finding = node.error("wrong-value", "`not` wants a mapping, not a list");
            self.fault(finding.hint("write `not: {any: […]}`, or `not: {all: […]}`"));
            return Vec::new();
        }
        let drafts = self.all_of(node, depth + 1).unwrap_or_default();
        drafts.into_iter().map(|draft| draft.term).collect()
    }

    /// What is asked of one selector.
    fn test(&mut self, written: &str, node: Node<'_>) -> Option<Draft> {
        let selector = Selector::compile(written, node, self.event_name, self.findings);
        let slot = selector.map(|selector| self.slot(selector));
        let mut test = Test {
            slot: slot.unwrap_or(usize::MAX),
            exists: None,
            some: None,
            every: None,
            none: None,
            written: to_json(node.value()).as_ref().map(shortened).unwrap_or_default(),
        };
        let mut operators = Vec::new();
        if node.is_mapping() {
            self.read_test(node, &mut test, &mut operators)?;
        } else {
            if node.value().is_sequence() {
                test.written = format!("one of {}", test.written);
            }
            let placed = self.short_form(node)?;
            test.some = Some(placed.operators);
            operators = placed.origins;
        }
        slot?;
        Some(Draft {
            term: Term::Test(test),
            operators,
        })
    }

    /// The selector's place in the table, where each stands once.
    fn slot(&mut self, selector: Selector) -> usize {
        let known = self
            .selectors
            .iter()
            .position(|known| known.key() == selector.key());
        known.unwrap_or_else(|| {
            self.selectors.push(selector);
            self.selectors.len() - 1
        })
    }

    /// A scalar means `equals`, a list `in`.
    fn short_form(&mut self, node: Node<'_>) -> Option<Placed> {
        let name = if node.value().is_sequence() {
            "in"
        } else {
            "equals"
        };
        let operator = Operator::compile(name, node, false, self.findings)?;
        Some(Placed {
            operators: Operators {
                list: vec![operator],
                ignore_case: false,
            },
            origins: vec![node.origin()],
        })
    }

    /// A mapping of operators: `exists`, `every` and `none` are about all values, the others about one.
    fn read_test(&mut self, node: Node<'_>, test: &mut Test, places: &mut Vec<Origin>) -> Option<()> {
        let entries = node.entries();
        if entries.is_empty() {
            let finding = node.error("empty-condition", "this asks nothing of the value");
            self.fault(finding.hint("write a value, an operator such as `{prefix: v}`, or `{exists: true}`"));
            return None;
        }
        let faults = self.findings.errors();
        let mut asked = Vec::new();
        for (name, value) in entries {
            match name {
                "exists" => test.exists = self.flag(name, value),
                "every" => test.every = self.quantified(value),
                "none" => test.none = self.quantified(value),
                _ => asked.push((name, value)),
            }
        }
        if !asked.is_empty() {
            let placed = self.operators(node, asked);
            if let Some(placed) = placed {
                test.some = Some(placed.operators);
                *places = placed.origins;
            }
        }
        if test.exists == Some(false) && (test.some.is_some() || test.every.is_some() || test.none.is_some())
        {
            let place = node.get("exists").unwrap_or(node);
            let finding = place.error(
                "never-holds",
                "what does not exist has no value: this can never hold",
            );
            self.fault(finding.hint("use `any: [{…: {exists: false}}, {…: …}]`"));
        }
        (self.findings.errors() == faults).then_some(())
    }

    fn flag(&mut self, name: &str, node: Node<'_>) -> Option<bool> {
        let flag = node.value().as_bool();
        if flag.is_none() {
            self.fault(node.error("wrong-value", format!("`{name}` is `true` or `false`")));
        }
        flag
    }

    /// What `every` or `none` of the values must be.
    fn quantified(&mut self, node: Node<'_>) -> Option<Operators> {
        if !node.is_mapping() {
            return self.short_form(node).map(|placed| placed.operators);
        }
        let entries = node.entries();
        if entries.is_empty() {
            self.fault(node.error("empty-condition", "this asks nothing of the values"));
            return None;
        }
        self.operators(node, entries).map(|placed| placed.operators)
    }

    /// Operators for one value, with their modifier.
    fn operators(&mut self, node: Node<'_>, entries: Vec<(&str, Node<'_>)>) -> Option<Placed> {
        let modifier = entries.iter().find(|(name, _)| *name == "ignore_case");
        let ignore_case = modifier
            .and_then(|(_, value)| self.flag("ignore_case", *value))
            .unwrap_or(false);
        let mut operators = Vec::new();
        let mut origins = Vec::new();
        let faults = self.findings.errors();
        for (name, value) in entries.iter().filter(|(name, _)| *name != "ignore_case") {
            operators.extend(Operator::compile(name, *value, ignore_case, self.findings));
            origins.push(value.origin());
        }
        if self.findings.errors() > faults {
            return None;
        }
        if operators.is_empty() {
            self.fault(node.error("empty-condition", "`ignore_case` alone asks nothing of the value"));
            return None;
        }
        if ignore_case
            && !operators
                .iter()
                .any(|operator| operator.folds() || matches!(operator, Operator::Matches(_)))
            && let Some((_, value)) = modifier
        {
            self.findings
                .push(value.warning("no-effect", "no operator here has regard to case"));
        }
        Some(Placed {
            operators: Operators {
                list: operators,
                ignore_case,
            },
            origins,
        })
    }

    /// Conditions that can never hold: within a test, and between the tests of one selector that has one value.
    fn refuse_contradictions(&mut self, drafts: &[Draft]) -> Option<()> {
        let faults = self.findings.errors();
        for slot in 0..self.selectors.len() {
            let Some(selector) = self.selectors.get(slot) else {
                continue;
            };
            let text = selector.is_text().then(|| selector.written.clone());
            let single = selector.is_single();
            let mut together: Vec<(Claim<'_>, &Origin)> = Vec::new();
            for draft in drafts {
                let Term::Test(test) = &draft.term else { continue };
                let Some(some) = test.some.as_ref().filter(|_| test.slot == slot) else {
                    continue;
                };
                if !single {
                    // Each test may be about another value.
                    together.clear();
                }
                together.extend(some.list.iter().zip(&draft.operators).map(|(operator, origin)| {
                    let ignore_case = some.ignore_case;
                    (
                        Claim {
                            operator,
                            ignore_case,
                        },
                        origin,
                    )
                }));
                if self.contradicts(&together, text.as_deref()) {
                    break;
                }
            }
        }
        (self.findings.errors() == faults).then_some(())
    }

    fn contradicts(&mut self, together: &[(Claim<'_>, &Origin)], text: Option<&str>) -> bool {
        let claims: Vec<Claim<'_>> = together.iter().map(|(claim, _)| *claim).collect();
        let Some(found) = contradiction(&claims, text) else {
            return false;
        };
        if let Some((_, origin)) = together.get(found.at) {
            let mut finding = Finding::error((*origin).clone(), "never-holds", found.message);
            finding.hint = found.hint.map(str::to_owned);
            self.fault(finding);
        }
        true
    }
}

/// The terms of one branch as one term.
fn all(branch: Vec<Draft>) -> Term {
    let mut terms: Vec<Term> = branch.into_iter().map(|draft| draft.term).collect();
    match terms.pop() {
        Some(one) if terms.is_empty() => one,
        last => {
            terms.extend(last);
            Term::All(terms)
        }
    }
}

fn group(terms: Vec<Term>, node: Node<'_>) -> Group {
    Group {
        terms,
        written: to_json(node.value()).as_ref().map(shortened).unwrap_or_default(),
    }
}
