//! `defaults:` of the rules file, for rules and actions that do not state a key themselves.
//!
//! A key of a rule wins as a whole: nothing of the default is merged into it. Each default is
//! compiled once by itself, so that its faults are reported once, and again for each rule that has
//! it: a rule may wait for its actions or have elements.

use std::collections::HashSet;
use std::time::Duration;

use super::action_names::ActionNames;
use super::document::DefaultsShape;
use super::{actions, concurrency};
use crate::act::{CompileContext, Retry};
use crate::base::diagnostic::{Diagnostics, Severity};
use crate::base::units::HumanDuration;
use crate::base::yaml::Node;
use crate::rules::OnDuplicate;
use crate::store::Wanted;
use crate::template::Templates;

pub struct Defaults<'d, 'w> {
    node: Option<Node<'d>>,
    shape: DefaultsShape,
    /// Templates of the main file, in which the defaults stand.
    templates: &'w Templates,
    /// Errors of the defaults by themselves, which rules do not repeat.
    known: HashSet<String>,
}

impl<'d, 'w> Defaults<'d, 'w> {
    /// Reads `defaults:` of the main file.
    pub fn read(
        node: Option<Node<'d>>,
        wanted: &Wanted,
        context: &CompileContext<'w>,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let mut found = Diagnostics::new();
        let mut defaults = Self {
            node: node.filter(Node::is_mapping),
            shape: DefaultsShape::default(),
            templates: context.templates,
            known: HashSet::new(),
        };
        let Some(node) = node else { return defaults };
        if !node.is_mapping() {
            let diagnostic = node.error("wrong-value", "`defaults` is a mapping");
            diagnostics.push(diagnostic.hint("write `defaults: {retry: {attempts: 5}}`"));
            return defaults;
        }
        defaults.shape = node.read(&mut found).unwrap_or_default();
        let periods = [
            ("timeout", defaults.shape.timeout),
            ("replay_window", defaults.shape.replay_window),
        ];
        for (key, period) in periods {
            if let (Some(place), Some(HumanDuration(period))) = (node.get(key), period)
                && period.is_zero()
            {
                found.push(place.error("wrong-value", format!("`{key}` must be longer than nothing")));
            }
        }
        if let Some(node) = node.given("retry") {
            Retry::compile(node, &mut found);
        }
        if let Some(node) = node.given("concurrency") {
            concurrency::compile(node, false, wanted.concurrency, context, &mut found);
        }
        if let Some(list) = node.given("on_failure") {
            let names = ActionNames::read(node, None, &mut found);
            actions::on_failure(list, &names.on_failure, context, &mut found);
        }
        defaults.known = found
            .iter()
            .map(|diagnostic| diagnostic.message.clone())
            .collect();
        diagnostics.extend(found.iter().cloned());
        defaults
    }

    /// The default of this key, if it is present.
    pub fn given(&self, key: &str) -> Option<Node<'d>> {
        self.node?.given(key)
    }

    pub fn timeout(&self) -> Option<Duration> {
        self.shape.timeout.map(|period| period.0)
    }

    pub fn replay_window(&self) -> Option<HumanDuration> {
        self.shape.replay_window
    }

    pub fn on_duplicate(&self) -> Option<OnDuplicate> {
        self.shape.on_duplicate
    }

    /// Templates for a rule that has a default. `of_elements`: it has a `for_each`.
    pub fn templates(&self, of_elements: bool) -> Templates {
        if of_elements {
            self.templates.for_elements()
        } else {
            self.templates.clone()
        }
    }

    /// Reports at `rule` the errors that its default for `key` has there and not by itself.
    pub fn report(&self, key: &str, rule: Node<'_>, found: &Diagnostics, diagnostics: &mut Diagnostics) {
        let errors = found.iter().filter(|one| one.severity == Severity::Error);
        for error in errors.filter(|error| !self.known.contains(&error.message)) {
            let place = rule.get("name").unwrap_or(rule);
            let message = format!("`{key}` of `defaults` does not fit this rule: {}", error.message);
            let diagnostic = place.error(error.code, message);
            diagnostics.push(diagnostic.hint(format!("give the rule its own `{key}`")));
        }
    }
}
