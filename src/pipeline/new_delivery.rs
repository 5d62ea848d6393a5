//! Deliveries of an accepted event, as they are stored with it.
//!
//! A delivery joins a concurrency group here, by name. The store decides when it runs.

use std::sync::Arc;

use crate::act::ActionContext;
use crate::base::clock::Timestamp;
use crate::payload::Event;
use crate::pipeline::authorization::{Match, Recognised};
use crate::report;
use crate::rules::{GroupSettings, OnDuplicate};
use crate::store::{Group, NewDelivery};

/// Builds the delivery of one event to one rule, due now.
pub(super) fn new_delivery(
    one: &Match<'_>,
    recognised: &[Recognised],
    event: &Event,
    now: Timestamp,
) -> NewDelivery {
    let at = event.received.at;
    // A request that is only observed has proved nothing.
    let verified = one.unverified.is_none();
    let sighting = recognised.get(one.verification).filter(|_| verified);
    // The keys of every alternative that accepts the request. Otherwise a client that removes one
    // of two valid signatures could have the event accepted again.
    let alternatives = one.rule.alternatives.iter().filter(|_| verified);
    let dedup_keys = alternatives.filter_map(|known| recognised.get(known.verification));
    NewDelivery {
        group: one
            .rule
            .concurrency
            .as_ref()
            .map(|concurrency| group(one, concurrency, event)),
        rule: Arc::clone(&one.rule.name),
        item: None,
        dedup_keys: dedup_keys.flat_map(|one| one.keys.iter().cloned()).collect(),
        sighting: sighting.and_then(|recognised| recognised.sighting.clone()),
        remember_until: at.plus(one.memory),
        run_duplicates: one.rule.on_duplicate == OnDuplicate::Run,
        debounce: one.rule.debounce,
        due: now,
        unverified: one
            .unverified
            .as_ref()
            .map(|refusal| bounded(&refusal.to_string())),
    }
}

/// Maximum name of a group, in bytes.
const MAX_GROUP: usize = 256;

/// Returns the concurrency group of a delivery. If the group's name cannot be rendered, the
/// delivery joins the rule's own group: it must not overlap with the others.
fn group(one: &Match<'_>, concurrency: &GroupSettings, event: &Event) -> Group {
    let named = concurrency.group.as_ref().map(|group| {
        let action_context = ActionContext {
            event,
            rule: &one.rule.name,
            delivery: String::new(),
            attempt: 1,
            replays: 0,
            verified: one.unverified.is_none(),
            actions: &[],
            withheld: &[],
            event_name: one.rule.event_name.as_ref(),
            failure: None,
        };
        let name = group
            .render(&action_context.values())
            .map_err(|error| error.to_string())?;
        if name.is_empty() || name.len() > MAX_GROUP {
            return Err(format!(
                "the name of a group has 1 to {MAX_GROUP} bytes, this one has {}",
                name.len()
            ));
        }
        Ok(name)
    });
    // The prefixes keep a group named by an event apart from another rule's own group.
    let own = || format!("rule:{}", one.rule.name);
    let name = match named {
        None => own(),
        Some(Ok(name)) => format!("group:{name}"),
        Some(Err(why)) => {
            report::groupless(&event.received, &one.rule.name, &why);
            own()
        }
    };
    Group {
        name: name.into(),
        limit: concurrency.limit,
        overlap: concurrency.overlap,
    }
}

/// Maximum stored reason why an event was not verified, in bytes.
const MAX_REASON: usize = 1024;

fn bounded(reason: &str) -> Arc<str> {
    let end = reason.floor_char_boundary(MAX_REASON);
    reason.get(..end).unwrap_or_default().into()
}
