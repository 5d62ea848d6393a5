//! `expect_every:` and `on_silence:` of an endpoint or a rule.

use std::sync::Arc;
use std::time::Duration;

use super::action_names::{ActionNames, ids};
use super::{actions, node};
use crate::act::{Action, CompileContext, Retry};
use crate::base::diagnostic::Diagnostics;
use crate::base::json_plan::Plan;
use crate::base::units::HumanDuration;
use crate::base::written::Written;
use crate::base::yaml::Node;
use crate::rules::{ExpectedArrival, OnDuplicate, PayloadUse, Respond, Rule};
use crate::store::ExpectationSubject;

/// Shortest `expect_every`.
const MIN_EXPECT_EVERY: Duration = Duration::from_secs(1);
/// Longest `expect_every`.
const MAX_EXPECT_EVERY: Duration = Duration::from_hours(366 * 24);

/// Compiles the expectation of the endpoint or rule in `node`. `None` if it has none, or a wrong
/// one.
pub fn compile(
    node: Node<'_>,
    every: Option<HumanDuration>,
    subject: ExpectationSubject,
    endpoint: &Arc<str>,
    context: &CompileContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<ExpectedArrival> {
    let list = node.given("on_silence");
    let on_silence = list.map(|list| {
        let mut rule = rule(list, &subject, context, diagnostics);
        // Reported where the rule itself is compiled.
        rule.nodes = node::nodes(node, &mut Diagnostics::new());
        rule
    });
    let Some(HumanDuration(every)) = every else {
        if let Some(list) = list.filter(|_| node.get("expect_every").is_none()) {
            let diagnostic = list.error("on-silence", "`on_silence` without `expect_every` never runs");
            diagnostics.push(diagnostic.hint("add `expect_every: 24h`"));
        }
        return None;
    };
    if !(MIN_EXPECT_EVERY..=MAX_EXPECT_EVERY).contains(&every) {
        let place = node.get("expect_every").unwrap_or(node);
        let message = "`expect_every` is between 1 second and 366 days";
        let hint = "write the longest time between two calls of the sender, such as `24h`";
        diagnostics.push(place.error("expect-every", message).hint(hint));
        return None;
    }
    Some(ExpectedArrival {
        subject,
        endpoint: Arc::clone(endpoint),
        every,
        on_silence,
    })
}

/// Compiles `on_silence` to a rule of its own.
fn rule(
    list: Node<'_>,
    subject: &ExpectationSubject,
    context: &CompileContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Rule {
    let names = ActionNames::of_list(list, diagnostics);
    let compiled = actions::on_silence(list, &names, context, diagnostics);
    let (actions, retries): (Vec<Action>, Vec<Retry>) = compiled.into_iter().unzip();
    // The daemon writes the payload, and a template may read it as `silence` or as `payload`.
    let mut plan = Plan::default();
    plan.all();
    Rule {
        name: ExpectedArrival::rule_name(subject),
        written: Written::of((list.value(), context.keyring.folder())),
        source: None,
        enabled: true,
        nodes: None,
        allowed_warnings: Vec::new(),
        expect_every: None,
        allow: None,
        alternatives: Vec::new(),
        on_duplicate: OnDuplicate::Ignore,
        needs_structure: false,
        payload_use: PayloadUse::None,
        event_name: None,
        plan: Arc::new(plan),
        // No view has this number: nothing of the payload is unpacked.
        view: Some(usize::MAX),
        is_light: actions.iter().all(Action::is_light),
        ids: ids(&names),
        actions,
        retries,
        on_failure: Vec::new(),
        failure_ids: Vec::new(),
        concurrency: None,
        for_each: None,
        debounce: None,
        respond: Respond::default(),
    }
}
