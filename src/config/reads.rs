//! Which parts of a request a rule reads beside the body: by its conditions, and by the templates of its actions, its group
//! and its answer.
//!
//! A part counts if the rule names it. What is handed on whole (the event record, the headers of a forward) names nothing.

use http::HeaderName;

use crate::matching::Condition;
use crate::rules::{Respond, Rule};
use crate::template::PartRead;
use crate::verify::Reads;

/// What a rule with this condition reads; of an answer that is not its own, too.
pub fn of(rule: &Rule, condition: &Condition, respond: &Respond) -> Reads {
    let mut reads = condition.reads();
    reads.payload |= rule.needs_structure;
    let on_failure = rule.on_failure.iter().map(|(action, _)| action);
    let actions = rule.actions.iter().chain(on_failure);
    let group = rule.concurrency.as_ref().and_then(|one| one.group.as_ref());
    let answer = rule.respond.as_ref().unwrap_or(respond).body.as_ref();
    let templates = actions
        .flat_map(|action| action.templates())
        .chain(group)
        .chain(answer);
    for template in templates {
        reads.payload |= ["payload", "jsonpath"]
            .iter()
            .any(|name| template.source().contains(name));
        for part in template.parts() {
            add(&mut reads, part);
        }
    }
    reads
}

/// Adds what a template reads. A header whose name is known only to the event is not remembered: it could be any, and
/// proxies change many.
fn add(reads: &mut Reads, PartRead { part, name }: PartRead) {
    match (part, name) {
        ("headers", Some(name)) => {
            // `_` stands for `-` where no header has it.
            let names = [name.replace('_', "-"), name];
            let names = names
                .iter()
                .filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok());
            reads.headers.extend(names);
        }
        ("query", Some(name)) => reads.query.push(name),
        ("query", None) => reads.any_query = true,
        ("path", _) => reads.path = true,
        _ => {}
    }
}
