//! Compilation of the YAML below one selector to a [`Test`].

use super::{CompiledTerm, Compiler, Requirement, claims, reading};
use crate::base::diagnostic::{Diagnostic, Origin};
use crate::base::yaml::Node;
use crate::matching::explanation::shortened;
use crate::matching::operand::to_json;
use crate::matching::operator::{Operator, Operators};
use crate::matching::selector::Selector;
use crate::matching::term::{Term, Test};

/// Operators with the positions of their operands.
struct Placed {
    operators: Operators,
    origins: Vec<Origin>,
}

impl Placed {
    fn claims(&self) -> Vec<(Requirement<'_>, &Origin)> {
        claims(&self.operators, &self.origins).collect()
    }
}

impl Compiler<'_> {
    /// Compiles the test of a selector.
    pub(super) fn test(&mut self, written: &str, node: Node<'_>) -> Option<CompiledTerm> {
        let selector = Selector::compile(
            written,
            node,
            self.event_name,
            self.has_elements,
            self.patterns,
            self.diagnostics,
        );
        let is_readable = selector.as_ref().is_none_or(Selector::is_readable);
        let slot = selector.map(|selector| self.slot(selector));
        let mut test = Test {
            slot: slot.unwrap_or(usize::MAX),
            exists: None,
            some: None,
            every: None,
            none: None,
            written: to_json(node.value()).as_ref().map(shortened).unwrap_or_default(),
        };
        let (some, every) = if node.is_mapping() {
            self.read_test(node, &mut test)?
        } else {
            if node.value().is_sequence() {
                test.written = format!("one of {}", test.written);
            }
            (Some(self.short_form(node)?), None)
        };
        if let Some(every) = every {
            self.refuse_contradiction(slot?, &every.claims())?;
            test.every = Some(every.operators);
        }
        let (some, operators) = some.map(|some| (some.operators, some.origins)).unzip();
        test.some = some;
        slot?;
        if let Some(reading) = test.reading().filter(|_| !is_readable) {
            let kind = reading.name();
            let message = format!("`{written}` is never a {kind}, so this can never hold");
            self.report(Diagnostic::error(node.key_origin(), "never-holds", message));
            return None;
        }
        Some(CompiledTerm {
            term: Term::Test(test),
            operators: operators.unwrap_or_default(),
        })
    }

    /// The index of the selector in the table, which holds each selector once.
    fn slot(&mut self, selector: Selector) -> usize {
        let next = self.selectors.len();
        let slot = *self.slots.entry(selector.key().to_owned()).or_insert(next);
        if slot == next {
            self.selectors.push(selector);
        }
        slot
    }

    /// A scalar means `equals`, a list `in`.
    fn short_form(&mut self, node: Node<'_>) -> Option<Placed> {
        let name = if node.value().is_sequence() {
            "in"
        } else {
            "equals"
        };
        let operator = Operator::compile(name, node, false, self.patterns, self.diagnostics)?;
        Some(Placed {
            operators: Operators {
                list: vec![operator],
                ignore_case: false,
            },
            origins: vec![node.origin()],
        })
    }

    /// A mapping of operators. `exists`, `every` and `none` concern all values, the others one
    /// value.
    fn read_test(&mut self, node: Node<'_>, test: &mut Test) -> Option<(Option<Placed>, Option<Placed>)> {
        let entries = node.entries();
        if entries.is_empty() {
            let diagnostic = node.error("empty-condition", "this asks nothing of the value");
            self.report(
                diagnostic.hint("write a value, an operator such as `{prefix: v}`, or `{exists: true}`"),
            );
            return None;
        }
        let faults = self.diagnostics.errors();
        let (mut some, mut every) = (None, None);
        let mut asked = Vec::new();
        for (name, value) in entries {
            match name {
                "exists" => test.exists = self.flag(name, value),
                "every" => every = self.quantified(value),
                "none" => test.none = self.quantified(value).map(|placed| placed.operators),
                _ => asked.push((name, value)),
            }
        }
        if !asked.is_empty() {
            some = self.operators(node, &asked);
        }
        if test.exists == Some(false) && (some.is_some() || every.is_some() || test.none.is_some()) {
            let place = node.get("exists").unwrap_or(node);
            let diagnostic = place.error(
                "never-holds",
                "what does not exist has no value: this can never hold",
            );
            self.report(diagnostic.hint("use `any: [{…: {exists: false}}, {…: …}]`"));
        }
        (self.diagnostics.errors() == faults).then_some((some, every))
    }

    fn flag(&mut self, name: &str, node: Node<'_>) -> Option<bool> {
        let flag = node.value().as_bool();
        if flag.is_none() {
            self.report(node.error("wrong-value", format!("`{name}` is `true` or `false`")));
        }
        flag
    }

    /// The operators of `every` or `none`.
    fn quantified(&mut self, node: Node<'_>) -> Option<Placed> {
        if !node.is_mapping() {
            return self.short_form(node);
        }
        let entries = node.entries();
        if entries.is_empty() {
            self.report(node.error("empty-condition", "this asks nothing of the values"));
            return None;
        }
        self.operators(node, &entries)
    }

    /// Operators for one value, with the modifiers `as` and `ignore_case`.
    fn operators(&mut self, node: Node<'_>, entries: &[(&str, Node<'_>)]) -> Option<Placed> {
        let faults = self.diagnostics.errors();
        let modifier = entries.iter().find(|(name, _)| *name == "ignore_case");
        let ignore_case = modifier
            .and_then(|(_, value)| self.flag("ignore_case", *value))
            .unwrap_or(false);
        let read_as = match entries.iter().find(|(name, _)| *name == "as") {
            Some((_, value)) => Some(reading::reading(*value, self.diagnostics)?),
            None => None,
        };
        let mut operators = Vec::new();
        let mut origins = Vec::new();
        for (name, value) in entries {
            if matches!(*name, "as" | "ignore_case") {
                continue;
            }
            operators.extend(match read_as {
                Some(read_as) => reading::operator(read_as, name, *value, self.diagnostics),
                None => Operator::compile(name, *value, ignore_case, self.patterns, self.diagnostics),
            });
            origins.push(value.origin());
        }
        if self.diagnostics.errors() > faults {
            return None;
        }
        if operators.is_empty() {
            let name = read_as.map_or("ignore_case", |_| "as");
            let diagnostic = node.error(
                "empty-condition",
                format!("`{name}` alone asks nothing of the value"),
            );
            self.report(match read_as {
                Some(_) => diagnostic.hint("write `{as: number, gt: 5}`, inside `every` or `none` too"),
                None => diagnostic,
            });
            return None;
        }
        if ignore_case
            && !operators
                .iter()
                .any(|operator| operator.folds() || matches!(operator, Operator::Matches(_)))
            && let Some((_, value)) = modifier
        {
            self.diagnostics
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
}
