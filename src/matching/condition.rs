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
    fn read_test(&mut self, node: Node<'_>, test: &mut Test, origins: &mut Vec<Origin>) -> Option<()> {
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
        if !asked.is_empty()
            && let Some(placed) = self.operators(node, &asked)
        {
            test.some = Some(placed.operators);
            *origins = placed.origins;
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
        self.operators(node, &entries).map(|placed| placed.operators)
    }

    /// Operators for one value, with their modifier.
    fn operators(&mut self, node: Node<'_>, entries: &[(&str, Node<'_>)]) -> Option<Placed> {
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
            let always_text = selector.is_text().then(|| selector.written.clone());
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
                if self.contradicts(&together, always_text.as_deref()) {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::matching::testing::{condition, document, event, findings};

    #[test]
    fn what_is_wrong_is_found_at_its_place() {
        let cases = [
            // Selectors.
            (
                "evnt: push",
                "1:1: unknown selector `evnt` (did you mean `event`?",
            ),
            (
                "headers.X-Foo: a",
                "1:1: unknown selector `headers.X-Foo` (did you mean `header.X-Foo`?",
            ),
            (
                "ref: main",
                "1:1: unknown selector `ref` (the payload's field is `$.ref`;",
            ),
            (
                "payload.ref: main",
                "1:1: unknown selector `payload.ref` (the payload is `$`: did you mean `$.ref`?)",
            ),
            ("header.: a", "1:1: `` is no name of a header"),
            ("\"header.X Y\": a", "1:1: `X Y` is no name of a header"),
            ("query.: a", "1:1: unknown selector `query.`"),
            (
                "$.content-type: a",
                "1:1: invalid JSONPath `$.content-type`: not understood at its character 10",
            ),
            ("$..a..b: {prefix: a}", "1:1: more than one `..` in a JSONPath"),
            // Operators and operands.
            (
                "$.a: {prefxi: b}",
                "1:7: unknown operator `prefxi` (did you mean `prefix`?",
            ),
            (
                "$.a: {not: b}",
                "1:7: unknown operator `not` (`not` stands beside selectors, not below one",
            ),
            ("$.a: {prefix: 5}", "1:15: `prefix` wants text; put it in quotes"),
            ("$.a: {in: b}", "1:11: `in` wants a list"),
            ("$.a: {in: [b, .nan]}", "1:15: JSON has no such value"),
            (
                "$.a: {matches: 'a('}",
                "1:16: invalid regular expression: unclosed group",
            ),
            (
                "$.a: {matches: 'a)|(b'}",
                "1:16: invalid regular expression: unopened group",
            ),
            (
                "$.a: {matches: '(?x)a # b'}",
                "1:16: invalid regular expression: unclosed group",
            ),
            (
                "$.a: {matches: '\\w{1000}'}",
                "1:16: invalid regular expression: it compiles to something too large",
            ),
            (
                "$.a: {glob: 'a['}",
                "1:13: invalid glob: unclosed character class",
            ),
            (
                "$.a: {in_cidr: 10.0.0.0/33}",
                "1:16: invalid network `10.0.0.0/33`",
            ),
            ("$.a: {in_cidr: [10.0.0.1, x]}", "1:27: invalid network `x`"),
            (
                "$.a: {gt: soon}",
                "1:11: `gt` wants a number or an RFC 3339 instant, not the text `soon`",
            ),
            ("$.a: {type: text}", "1:13: unknown type `text`"),
            ("$.a: {length: -1}", "1:15: a length is a whole number, 0 or more"),
            (
                "$.a: {length: {gtt: 1}}",
                "1:16: unknown operator of a length `gtt` (did you mean `gt`?",
            ),
            ("$.a: {exists: maybe}", "1:15: `exists` is `true` or `false`"),
            (
                "$.a: {prefix: b, ignore_case: 1}",
                "1:31: `ignore_case` is `true` or `false`",
            ),
            // Shapes.
            ("main", "1:1: conditions are a mapping of selectors"),
            ("{}", "1:1: this asks nothing"),
            ("$.a: {}", "1:1: this asks nothing of the value"),
            ("$.a: {every: {}}", "1:7: this asks nothing of the values"),
            ("$.a: {every: {exists: true}}", "1:15: unknown operator `exists`"),
            ("$.a: {length: {}}", "1:7: `length` asks nothing"),
            (
                "$.a: {ignore_case: true}",
                "1:1: `ignore_case` alone asks nothing",
            ),
            ("any: {$.a: 1}", "1:1: `any` wants a list of conditions"),
            ("not: [{$.a: 1}]", "1:1: `not` wants a mapping, not a list"),
            ("not: {}", "1:1: this asks nothing"),
            ("all: []", "1:1: an empty `all` asks nothing"),
            ("any: [{}]", "1:7: this asks nothing"),
        ];
        for (text, expected) in cases {
            let found = findings(text);
            assert_eq!(found.len(), 1, "{text}: {found:#?}");
            assert!(found[0].starts_with(expected), "{text}: {}", found[0]);
        }
    }

    #[test]
    fn what_can_never_hold_is_found() {
        let cases = [
            ("any: []", "1:1: an empty `any` can never hold"),
            ("$.a: []", "1:1: an empty `in` can never hold"),
            ("$.a: {in: []}", "1:7: an empty `in` can never hold"),
            ("$.a: {in_cidr: []}", "1:7: an empty `in_cidr` can never hold"),
            ("$.a: {type: []}", "1:7: an empty `type` can never hold"),
            ("$.a: {gt: 5, lt: 3}", "1:18: this can never hold: the bounds"),
            ("$.a: {gt: 5, lte: 5}", "1:19: this can never hold: the bounds"),
            ("$.a: {lt: 3, gte: 3.0}", "1:19: this can never hold: the bounds"),
            (
                "$.a: {gt: 2026-01-02T00:00:00Z, lt: 2026-01-02T01:00:00+01:00}",
                "1:37: this can never hold: the bounds",
            ),
            (
                "$.a: {gt: 5, lt: 2026-01-02T00:00:00Z}",
                "1:18: this can never hold: the operators beside it want",
            ),
            (
                "$.a: {equals: 5, prefix: a}",
                "1:26: this can never hold: the operators beside it want",
            ),
            (
                "$.a: {equals: 5, gt: 5}",
                "1:15: this can never hold: the operators beside it refuse that value",
            ),
            (
                "$.a: {equals: a, in: [b, c]}",
                "1:15: this can never hold: the operators beside it refuse that value",
            ),
            ("$.a: {equals: dev, prefix: main}", "1:15: this can never hold"),
            (
                "$.a: {in: [x, y], matches: '[ab]'}",
                "1:7: this can never hold: the operators beside it refuse every",
            ),
            (
                "$.a: {in: [x, y], type: number}",
                "1:25: this can never hold: the operators beside it want",
            ),
            (
                "$.a: {length: {gt: 3, lt: 4}}",
                "1:7: this can never hold: no length lies between",
            ),
            (
                "$.a: {length: {lt: 0}}",
                "1:7: this can never hold: nothing has such a length",
            ),
            (
                "$.a: {exists: false, prefix: b}",
                "1:15: what does not exist has no value",
            ),
            (
                "header.X-Count: 5",
                "1:17: `header.X-Count` is always text, so this can never hold (text is compared with text",
            ),
            ("header.X-Count: {gt: 5}", "1:22: `header.X-Count` is always text"),
            ("method: {in: [1, null]}", "1:10: `method` is always text"),
            ("body: {contains: 5}", "1:18: `body` is always text"),
            (
                "{$.a: 1, all: [{$.a: 2}]}",
                "1:7: this can never hold: the operators beside it refuse",
            ),
            (
                "{$.a: {prefix: x}, all: [{$.a: b}]}",
                "1:32: this can never hold: the operators beside it refuse",
            ),
            (
                "not: {$.a: {gt: 5, lt: 3}}",
                "1:24: this can never hold: the bounds",
            ),
        ];
        for (text, expected) in cases {
            let found = findings(text);
            assert_eq!(found.len(), 1, "{text}: {found:#?}");
            assert!(found[0].starts_with(expected), "{text}: {}", found[0]);
        }
    }

    #[test]
    fn what_can_hold_is_taken() {
        for text in [
            "$.a: {gte: 5, lte: 5}",
            "$.a: {gt: 5, lt: 6}",
            "$.a: {equals: Main, prefix: ma, ignore_case: true}",
            "$.a: {in: [x, 5], gt: 3}",
            "$.a: {length: {gte: 3, lte: 3}}",
            "$.a: {type: [string, 'null', integer]}",
            "$.a: {type: null}",
            "$.a: {exists: true, prefix: b}",
            "$.a: {contains: x, length: 2}",
            // Two of several values may differ.
            "{header.X: a, all: [{header.X: b}]}",
            "{'$.a[*]': a, all: [{'$.a[*]': b}]}",
            "{$.a: {prefix: x}, any: [{$.a: b}, {$.a: xa}]}",
            "$.a: {equals: [1, 2], contains: 2}",
            "client.ip: {in_cidr: [10.0.0.0/8, '::1']}",
        ] {
            assert_eq!(findings(text), Vec::<String>::new(), "{text}");
        }
        // It loads, and the operator is told.
        let found = findings("$.a: {gt: 5, ignore_case: true}");
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("1:27: no operator here has regard to case"),
            "{found:?}"
        );
    }

    #[test]
    fn all_is_found_at_once_and_nesting_is_bounded() {
        let found = findings(
            "{evnt: a, $.a: {prefix: 1, glob: '['}, any: [{$.b: []}, {bdoy: x}], not: {$.c: {gt: x}}}",
        );
        assert_eq!(found.len(), 6, "{found:#?}");
        let deep = format!("{}$.a: 1{}", "not: {".repeat(20), "}".repeat(20));
        assert!(findings(&deep)[0].contains("conditions nest more than 16 deep"));
        assert!(findings(&format!("{}$.a: 1{}", "not: {".repeat(16), "}".repeat(16))).is_empty());
    }

    #[test]
    fn event_stands_where_the_verification_says() {
        let text = "event: push";
        let compile = |name: Option<&EventName>| {
            let mut found = Findings::new();
            let document = document(text);
            let condition = Condition::compile(document.root(), name, &mut found);
            let findings: Vec<String> = found.iter().map(Finding::line).collect();
            (condition, findings)
        };
        let (none, found) = compile(None);
        assert!(none.is_none());
        assert!(
            found[0].contains("does not say where the event's name stands (name the place:"),
            "{found:?}"
        );
        let event = event(json!({"type": "push"}));
        for (name, structure) in [
            (EventName::Header("x-github-event".parse().unwrap()), false),
            (EventName::Payload("$.type"), true),
        ] {
            let condition = compile(Some(&name)).0.unwrap();
            assert_eq!(condition.needs_structure(), structure);
            let matcher = crate::matching::Matcher::new(vec![condition]);
            assert_eq!(matcher.matching(&event, &|_| true), [0]);
        }
    }

    #[test]
    fn structure_is_needed_below_the_root_alone() {
        for (text, needed) in [
            ("$: {type: string}", false),
            ("body: {contains: x}", false),
            ("$.a: 1", true),
            ("$[*]: 1", true),
            ("any: [{method: POST}, {not: {$.a: 1}}]", true),
        ] {
            assert_eq!(condition(text).needs_structure(), needed, "{text}");
        }
        assert!(!Condition::always().needs_structure());
    }

    proptest! {
        #[test]
        fn no_text_panics(
            selector in "\\$[ -~]{0,30}|\\$(\\.[ab]|\\[[?@0-9:*',().=<!&| a$-]{0,12}\\]){0,4}|[a-z.]{0,12}",
            operator in "equals|in|prefix|matches|glob|gt|in_cidr|type|length|exists|every|any|[a-z]{0,4}",
            operand in "[ -~]{0,20}|\\[[0-9a,]{0,6}\\]|\\{(gt|prefix): [0-9a]{1,3}\\}",
        ) {
            let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
            let selector = quoted(&selector);
            for text in [
                format!("{selector}: {{{operator}: {operand}}}"),
                format!("{selector}: {{{operator}: {}}}", quoted(&operand)),
                format!("{operator}: [{{{selector}: {operand}}}]"),
                operand.clone(),
            ] {
                let mut found = Findings::new();
                let source = crate::diagnostic::Source { path: "m".into(), text };
                if let Some(document) = crate::yaml::Document::parse(source, &mut found) {
                    let condition = Condition::compile(document.root(), None, &mut found);
                    prop_assert_eq!(condition.is_none(), found.has_errors());
                }
            }
        }
    }
}
