//! An entry of `rules:`, from its mapping to a [`Rule`] on its endpoint.
//!
//! Every part is checked, whichever part is wrong. Agreement with other rules is left to
//! `cross_checks.rs`.

use std::sync::Arc;
use std::time::Duration;

use super::action_names::{ActionNames, ids};
use super::cross_checks::CrossChecks;
use super::defaults::Defaults;
use super::document::RuleShape;
use super::endpoint::EndpointBuilder;
use super::endpoints::EndpointBuilders;
use super::respond::RuleAnswers;
use super::rule_checks::{allow, check_name, parameters, unverified};
use super::{
    actions, concurrency, debounce, event_name, expectation, for_each, lint, node, respond, unpack, warnings,
};
use crate::act::{Action, CompileContext, Retry};
use crate::base::diagnostic::Diagnostics;
use crate::base::json_plan::Plan;
use crate::base::patterns::Patterns;
use crate::base::units::HumanDuration;
use crate::base::written::Written;
use crate::base::yaml::Node;
use crate::matching::{Condition, ForEach};
use crate::payload::EventNameReader;
use crate::rules::{Alternative, ExpectedArrival, GroupSettings, PayloadUse, Respond, Rule};
use crate::store::{Debounce, ExpectationSubject, Wanted};
use crate::template::Place;
use crate::verify::{EventName, Verification};

/// Compiles a rule and adds it to its endpoint. Reports all errors, whichever part is wrong.
pub fn compile<'d>(
    node: Node<'d>,
    builders: &mut EndpointBuilders<'d, '_>,
    cross_checks: &mut CrossChecks,
    diagnostics: &mut Diagnostics,
) {
    if !node.is_mapping() {
        let diagnostic = node.error("wrong-value", "a rule is a mapping");
        diagnostics.push(diagnostic.hint("write `- name: …`, and its other keys below `name`"));
        return;
    }
    let shape: RuleShape = node.read(diagnostics).unwrap_or_default();
    for key in ["name", "endpoint", "actions"] {
        diagnostics.extend(node.missing(key));
    }
    if let (Some(name), Some(node)) = (&shape.name, node.get("name")) {
        check_name(name, node, diagnostics);
    }
    let path_node = node.get("endpoint").unwrap_or(node);
    let index = shape
        .endpoint
        .as_deref()
        .and_then(|path| builders.named(path, path_node, diagnostics));
    let compiler = RuleCompiler {
        node,
        public_url: builders.public_url,
        wanted: builders.wanted,
        defaults: builders.defaults,
        context: builders.context,
        patterns: builders.patterns,
    };
    let on_duplicate = shape.on_duplicate.or(builders.defaults.on_duplicate());
    let allowed = warnings::allowed(node, diagnostics);
    let before = diagnostics.len();
    lint::check_rule(node, diagnostics);
    let expected = compiler.expected(&shape, diagnostics);
    if let Some(on_silence) = expected.as_ref().and_then(|one| one.on_silence.as_ref()) {
        cross_checks.check(on_silence, node, diagnostics);
    }
    if let Some(builder) = index.and_then(|index| builders.at(index)) {
        if let Some((mut rule, condition)) = compiler.rule(shape, builder, true, diagnostics) {
            cross_checks.check(&rule, node, diagnostics);
            let silent = on_duplicate.or(builder.shape.on_duplicate).is_none();
            rule.allowed_warnings.clone_from(&allowed);
            if let Some(expected) = expected.filter(|_| rule.enabled) {
                builder.expect(expected);
            }
            builder.add(rule, node, condition, silent);
        }
    } else {
        let mut detached = builders.detached(node);
        if let Some((rule, _)) = compiler.rule(shape, &mut detached, false, diagnostics) {
            cross_checks.check(&rule, node, diagnostics);
        }
    }
    diagnostics.allow_since(before, &allowed);
}

/// A rule's mapping, and what its parts are compiled with.
struct RuleCompiler<'d, 'w> {
    node: Node<'d>,
    public_url: Option<&'w str>,
    wanted: &'w Wanted,
    defaults: &'w Defaults<'d, 'w>,
    context: &'w CompileContext<'w>,
    patterns: &'w Patterns,
}

impl<'d> RuleCompiler<'d, '_> {
    /// Compiles the rule with its condition. `is_known`: `endpoint` is the rule's own, not a
    /// detached one.
    fn rule(
        &self,
        shape: RuleShape,
        endpoint: &mut EndpointBuilder<'d>,
        is_known: bool,
        diagnostics: &mut Diagnostics,
    ) -> Option<(Rule, Condition)> {
        let (node, context) = (self.node, self.context);
        let name = shape.name.as_deref().unwrap_or_default();
        let verification = self.verification(name, endpoint, is_known, diagnostics);
        let verified: Option<Vec<&Verification>> = verification
            .as_ref()
            .map(|indices| endpoint.verifications_at(indices).collect());
        let default_windows: Option<Vec<Duration>> = verified
            .as_ref()
            .map(|verified| verified.iter().map(|one| one.default_window()).collect());
        let condition = self.condition(verified.as_deref(), is_known.then_some(&*endpoint), diagnostics);
        let elements = node.given("for_each");
        let templates = match elements {
            Some(_) => context.templates.for_elements(),
            None => context.templates.clone(),
        };
        let element_context = CompileContext {
            templates: &templates,
            ..*context
        };
        let is_verified = verified.is_some();
        let event_name = self.event_name(verified.as_deref().unwrap_or_default());
        let allow = node
            .given("allow")
            .and_then(|node| allow(node, endpoint, diagnostics));
        let names = ActionNames::read(node, self.defaults.given("on_failure"), diagnostics);
        let respond = self.respond(name, &names, endpoint, diagnostics);
        let awaited = respond.wait.is_some();
        let for_each = elements.and_then(|node| for_each::compile(node, awaited, self.patterns, diagnostics));
        let (actions, retries, on_failure) =
            self.actions(condition.as_ref(), awaited, &names, &element_context, diagnostics);
        let on_failures = on_failure.iter().map(|(action, _)| action);
        let is_light = actions.iter().chain(on_failures).all(Action::is_light);
        let (concurrency, debounce) = self.queueing(is_light, awaited, &element_context, diagnostics);
        let window = self.replay_window(shape.replay_window, endpoint, diagnostics);
        if is_verified && event_name.is_none() {
            let on_failures = on_failure.iter().map(|(action, _)| action);
            let templates = actions.iter().chain(on_failures).flat_map(Action::templates);
            let group = concurrency.as_ref().and_then(|one| one.group.as_ref());
            event_name::check_use(
                node,
                templates.chain(group).chain(respond.templates()),
                diagnostics,
            );
        }
        let unpack = node.given("unpack");
        let view = unpack.and_then(|node| unpack::view(node, endpoint, self.patterns, diagnostics));
        let condition = condition?.for_each(for_each.clone()).in_view(view);
        let alternatives = verification?.into_iter().zip(default_windows?);
        let alternatives = alternatives.map(|(verification, default_window)| Alternative {
            verification,
            replay_window: window.unwrap_or(default_window),
        });
        let rule = Rule {
            name: shape.name?.into(),
            written: Written::of((node.value(), context.keyring.folder())),
            source: None,
            enabled: shape.enabled.unwrap_or(true),
            nodes: node::nodes(node, diagnostics),
            expect_every: shape.expect_every.map(|every| every.0),
            allowed_warnings: Vec::new(),
            allow,
            alternatives: alternatives.collect(),
            on_duplicate: shape
                .on_duplicate
                .or(endpoint.shape.on_duplicate)
                .or(self.defaults.on_duplicate())
                .unwrap_or_default(),
            needs_structure: condition.needs_structure(),
            payload_use: payload_use(&condition, &actions),
            plan: Arc::new(plan(
                &actions,
                &on_failure,
                event_name.as_deref(),
                for_each.as_ref(),
            )),
            event_name,
            view,
            is_light,
            ids: ids(&names.actions),
            failure_ids: ids(&names.on_failure),
            actions,
            retries,
            on_failure,
            concurrency,
            for_each,
            debounce,
            respond,
        };
        Some((rule, condition))
    }

    /// Compiles `expect_every` and `on_silence`.
    fn expected(&self, shape: &RuleShape, diagnostics: &mut Diagnostics) -> Option<ExpectedArrival> {
        let subject = ExpectationSubject::Rule(shape.name.as_deref().unwrap_or_default().into());
        let endpoint = shape.endpoint.as_deref().unwrap_or_default().into();
        let every = shape.expect_every;
        expectation::compile(self.node, every, subject, &endpoint, self.context, diagnostics)
    }

    /// Compiles `respond`, with what the endpoint states.
    fn respond(
        &self,
        name: &str,
        names: &ActionNames,
        endpoint: &mut EndpointBuilder<'d>,
        diagnostics: &mut Diagnostics,
    ) -> Respond {
        let own = self.node.given("respond");
        let of_rule = RuleAnswers {
            endpoint: &endpoint.respond,
            actions: names,
        };
        let respond = respond::compile(own, Some(of_rule), self.context, diagnostics);
        if let Some(own) = own {
            endpoint.early_answers.check(name, own, diagnostics);
        }
        if respond.wait.is_none() {
            respond::check_wait(own, diagnostics);
        }
        respond
    }

    /// Returns the replay window of the rule, of its endpoint or of the defaults.
    fn replay_window(
        &self,
        own: Option<HumanDuration>,
        endpoint: &EndpointBuilder<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Duration> {
        let window = own.or(endpoint.shape.replay_window);
        let Some(HumanDuration(window)) = window else {
            return self.defaults.replay_window().map(|window| window.0);
        };
        if window.is_zero() {
            let node = self.node.get("replay_window").unwrap_or(self.node);
            diagnostics.push(node.error("replay-window", "a window of `0s` would call every event stale"));
        }
        Some(window)
    }

    /// Compiles `concurrency` and `debounce`.
    fn queueing(
        &self,
        is_light: bool,
        awaited: bool,
        context: &CompileContext<'_>,
        diagnostics: &mut Diagnostics,
    ) -> (Option<GroupSettings>, Option<Debounce>) {
        let limits = if is_light {
            self.wanted.light
        } else {
            self.wanted.concurrency
        };
        let concurrency = self.own_or_default("concurrency", context, diagnostics, |node, context, found| {
            concurrency::compile(node, awaited, limits, context, found)
        });
        let has_elements = self.node.given("for_each").is_some();
        let debounce = self.node.given("debounce");
        let debounce = debounce.and_then(|node| debounce::compile(node, awaited, has_elements, diagnostics));
        (concurrency.flatten(), debounce)
    }

    /// Compiles the rule's `key`, else that of the defaults.
    fn own_or_default<T>(
        &self,
        key: &str,
        context: &CompileContext<'_>,
        diagnostics: &mut Diagnostics,
        compile: impl FnOnce(Node<'d>, &CompileContext<'_>, &mut Diagnostics) -> T,
    ) -> Option<T> {
        if self.node.get(key).is_some() {
            let own = self.node.given(key);
            return own.map(|node| compile(node, context, diagnostics));
        }
        let default = self.defaults.given(key)?;
        let templates = self.defaults.templates(self.node.given("for_each").is_some());
        let context = CompileContext {
            templates: &templates,
            ..*context
        };
        let mut found = Diagnostics::new();
        let compiled = compile(default, &context, &mut found);
        self.defaults.report(key, self.node, &found, diagnostics);
        Some(compiled)
    }

    /// Compiles `verify` of the rule or of its endpoint.
    fn verification(
        &self,
        name: &str,
        endpoint: &mut EndpointBuilder<'d>,
        is_known: bool,
        diagnostics: &mut Diagnostics,
    ) -> Option<Vec<usize>> {
        let verify = self.node.given("verify").or(endpoint.verify);
        // An endpoint that was not found might have a `verify`.
        if verify.is_none() && is_known && self.node.missing("verify").is_some() {
            diagnostics.push(unverified(self.node, name));
        }
        endpoint.verification(verify?, self.public_url, self.context, diagnostics)
    }

    /// Returns the reader of the sender's event names. `None` if the scheme does not say where they
    /// stand.
    fn event_name(&self, verified: &[&Verification]) -> Option<Arc<EventNameReader>> {
        let name = EventName::combined(verified.iter().filter_map(|one| one.event_name()))?;
        event_name::reader(&name, self.patterns).map(Arc::new)
    }

    /// Compiles `match`. Without an `endpoint`, names of path parameters are not checked.
    fn condition(
        &self,
        verified: Option<&[&Verification]>,
        endpoint: Option<&EndpointBuilder<'_>>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Condition> {
        let Some(node) = self.node.given("match") else {
            return Some(Condition::always());
        };
        if let Some(endpoint) = endpoint {
            parameters(node, endpoint, diagnostics);
        }
        // If the verification is invalid, assume that it knows the event's name: the condition is
        // not at fault.
        let assumed = || EventName::Payload("$.event".to_owned());
        let event_name = match verified {
            Some(verified) => EventName::combined(verified.iter().filter_map(|one| one.event_name())),
            None => Some(assumed()),
        };
        let has_elements = self.node.given("for_each").is_some();
        Condition::compile_with(
            node,
            event_name.as_ref(),
            has_elements,
            self.patterns,
            diagnostics,
        )
    }

    /// Compiles `actions` with their retries, and `on_failure`.
    fn actions(
        &self,
        condition: Option<&Condition>,
        awaited: bool,
        names: &ActionNames,
        context: &CompileContext<'_>,
        diagnostics: &mut Diagnostics,
    ) -> (Vec<Action>, Vec<Retry>, Vec<(Action, Retry)>) {
        // A condition on a value also protects the actions that receive this value. An invalid
        // condition counts as protecting all.
        let excludes_dash =
            |location: &Place| condition.is_none_or(|condition| condition.excludes(location, '-'));
        let context = CompileContext {
            excludes_dash: Some(&excludes_dash),
            ..*context
        };
        let retry = self.own_or_default("retry", &context, diagnostics, |node, _, found| {
            Retry::compile(node, found)
        });
        let retry = retry.flatten();
        let (actions, retries) = actions::compile(
            self.node,
            retry.as_ref(),
            awaited,
            &names.actions,
            &context,
            diagnostics,
        );
        let is_empty = |list: Node<'_>| list.value().as_sequence().is_some_and(Vec::is_empty);
        if self.defaults.given("on_failure").is_some() && self.node.get("on_failure").is_some_and(is_empty) {
            return (actions, retries, Vec::new());
        }
        let on_failure = self.own_or_default("on_failure", &context, diagnostics, |list, context, found| {
            actions::on_failure(list, &names.on_failure, context, found)
        });
        (actions, retries, on_failure.unwrap_or_default())
    }
}

/// Returns the part of a rule that reads the payload.
fn payload_use(condition: &Condition, actions: &[Action]) -> PayloadUse {
    if condition.has_elements() || actions.iter().any(Action::reads_payload) {
        PayloadUse::Actions
    } else if condition.reads_payload() {
        PayloadUse::Conditions
    } else {
        PayloadUse::None
    }
}

/// Returns the values of a JSON payload that the actions read.
fn plan(
    actions: &[Action],
    on_failure: &[(Action, Retry)],
    event_name: Option<&EventNameReader>,
    for_each: Option<&ForEach>,
) -> Plan {
    let mut plan = Plan::default();
    if let Some(for_each) = for_each {
        for_each.add_to(&mut plan);
    }
    if let Some(name) = event_name {
        name.add_to(&mut plan);
    }
    let on_failure = on_failure.iter().map(|(action, _)| action);
    for template in actions.iter().chain(on_failure).flat_map(Action::templates) {
        template.add_to(&mut plan);
    }
    plan
}
