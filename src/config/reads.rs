//! Request parts that a rule reads besides the body: in its conditions, and in the templates of its
//! actions, group and response.
//!
//! A part counts only if the rule names it, also with `query: original` of a forward. Data that is
//! passed on whole, such as the event record or forwarded headers, does not count.

use http::{HeaderName, Method};

use crate::act::Action;
use crate::matching::Condition;
use crate::rules::{AnswerKind, Respond, Rule};
use crate::template::PartRead;
use crate::verify::Reads;

/// Request parts that `rule` reads on an endpoint with these methods. An answer that the rule does not state is that of `respond`.
pub fn of(rule: &Rule, condition: &Condition, respond: &Respond, methods: &[Method]) -> Reads {
    let mut reads = condition.reads();
    reads.payload |= rule.needs_structure;
    let on_failure = rule.on_failure.iter().map(|(action, _)| action);
    let actions = rule.actions.iter().chain(on_failure);
    let group = rule.concurrency.as_ref().and_then(|one| one.group.as_ref());
    let answers = AnswerKind::OF_A_RULE.into_iter().filter_map(|kind| {
        let stated = rule.respond.of(kind).or_else(|| respond.of(kind));
        stated?.body.as_ref()
    });
    let templates = actions
        .flat_map(|action| action.templates())
        .chain(group)
        .chain(answers);
    let mut names_event = rule.actions.iter().any(Action::is_run);
    for template in templates {
        reads.payload |= ["payload", "jsonpath"]
            .iter()
            .any(|name| template.source().contains(name));
        for part in template.parts() {
            names_event |= part.may_be("event", "name");
            add(&mut reads, part);
        }
    }
    if let Some(name) = rule.event_name.as_ref().filter(|_| names_event) {
        reads.payload |= name.reads_payload();
        reads.headers.extend(name.headers());
    }
    let passed_on = rule.actions.iter().flat_map(Action::passes_on);
    passed_on.for_each(|part| add(&mut reads, &part));
    // A command is told the method, which says nothing if there is only one.
    reads.method |= methods.len() > 1 && rule.actions.iter().any(Action::is_run);
    reads
}

/// Adds the parts that a template reads. A header whose name is computed from the event is left
/// out: it could be any header, and proxies change many.
fn add(reads: &mut Reads, PartRead { part, name }: &PartRead) {
    match (*part, name) {
        ("headers", Some(name)) => {
            // In templates, `_` matches `-` if no header has the underscore.
            let names = [name.replace('_', "-"), name.clone()];
            let names = names
                .iter()
                .filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok());
            reads.headers.extend(names);
        }
        ("query", Some(name)) => reads.query.push(name.clone()),
        ("query", None) => reads.any_query = true,
        ("path", _) => reads.path = true,
        ("method", _) => reads.method = true,
        _ => {}
    }
}
