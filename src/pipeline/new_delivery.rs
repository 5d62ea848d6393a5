//! Deliveries of an accepted event, as they are stored with it.
//!
//! A delivery joins a concurrency group here, by name. The store decides when it runs.

use std::sync::Arc;

use crate::act::{self, ActionContext, Item};
use crate::base::clock::Timestamp;
use crate::matching::Elements;
use crate::payload::Event;
use crate::pipeline::authorization::{Match, Recognised};
use crate::report;
use crate::rules::{GroupSettings, OnDuplicate, Rule};
use crate::store::{Group, Lease, NewDelivery};

/// Builds the deliveries of one event to the rules that want it, due now. With `for_each`, a rule has
/// one for each element that it wants.
pub(super) fn new_deliveries(
    matched: &[Match<'_>],
    recognised: &[Recognised],
    event: &Event,
    now: Timestamp,
) -> Vec<NewDelivery> {
    let mut deliveries = Vec::with_capacity(matched.iter().map(Match::deliveries).sum());
    for one in matched {
        let event = &*event.seen_in(one.rule.view);
        let delivery = new_delivery(one, recognised, event, now);
        let verified = one.unverified.is_none();
        match (&one.elements, &one.rule.concurrency) {
            (None, Some(concurrency)) => deliveries.push(NewDelivery {
                group: Some(group(one.rule, concurrency, verified, None, event)),
                ..delivery
            }),
            // A delivery with too many elements fails at once, and waits for no other.
            (None, None) | (Some(Elements::TooMany(_)), _) => deliveries.push(delivery),
            (Some(Elements::Matching(indices)), _) => {
                let first = indices.first().copied();
                deliveries.extend(
                    of_elements(one.rule, indices, verified, event).map(|(item, group)| {
                        NewDelivery {
                            item: Some(item),
                            group,
                            // The first stands for all of them.
                            dedup_keys: if first == Some(item) {
                                delivery.dedup_keys.clone()
                            } else {
                                Vec::new()
                            },
                            ..delivery.clone()
                        }
                    }),
                );
            }
        }
    }
    deliveries
}

/// The rule of each delivery of [`new_deliveries`], in their order.
pub(super) fn owners<'m, 'e>(matched: &'m [Match<'e>]) -> impl Iterator<Item = &'m Match<'e>> {
    matched
        .iter()
        .flat_map(|one| std::iter::repeat_n(one, one.deliveries()))
}

/// The deliveries of elements that take the place of a leased delivery of the whole event.
pub(super) fn expanded(
    lease: &Lease,
    rule: &Rule,
    indices: &[u32],
    event: &Event,
    now: Timestamp,
) -> Vec<NewDelivery> {
    let verified = lease.unverified.is_none();
    let of_elements = of_elements(rule, indices, verified, event);
    let delivery = |(item, group)| NewDelivery {
        rule: Arc::clone(&rule.name),
        item: Some(item),
        dedup_keys: Vec::new(),
        remember_until: now,
        run_duplicates: true,
        sighting: None,
        due: now,
        unverified: lease.unverified.clone(),
        group,
        debounce: None,
    };
    of_elements.map(delivery).collect()
}

/// The elements at `indices`, each with its concurrency group.
fn of_elements(
    rule: &Rule,
    indices: &[u32],
    verified: bool,
    event: &Event,
) -> impl Iterator<Item = (u32, Option<Group>)> {
    let named = rule.concurrency.as_ref().is_some_and(|one| one.group.is_some());
    let for_each = rule.for_each.as_ref().filter(|_| named);
    let items = for_each.map_or_else(Vec::new, |for_each| act::items(event, &for_each.path));
    indices.iter().map(move |index| {
        let item = usize::try_from(*index).ok().and_then(|at| items.get(at)).cloned();
        let concurrency = rule.concurrency.as_ref();
        let group = concurrency.map(|concurrency| group(rule, concurrency, verified, item, event));
        (*index, group)
    })
}

/// Builds a delivery of one event to one rule, without its group.
fn new_delivery(one: &Match<'_>, recognised: &[Recognised], event: &Event, now: Timestamp) -> NewDelivery {
    let at = event.received.at;
    // A request that is only observed has proved nothing.
    let verified = one.unverified.is_none();
    let sighting = recognised.get(one.verification).filter(|_| verified);
    // The keys of every alternative that accepts the request. Otherwise a client that removes one
    // of two valid signatures could have the event accepted again.
    let alternatives = one.rule.alternatives.iter().filter(|_| verified);
    let dedup_keys = alternatives.filter_map(|known| recognised.get(known.verification));
    NewDelivery {
        group: None,
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
pub(super) fn group(
    rule: &Rule,
    concurrency: &GroupSettings,
    verified: bool,
    item: Option<Item>,
    event: &Event,
) -> Group {
    let named = concurrency.group.as_ref().map(|group| {
        let action_context = ActionContext {
            event,
            rule: &rule.name,
            delivery: String::new(),
            attempt: 1,
            replays: 0,
            verified,
            actions: &[],
            withheld: &[],
            event_name: rule.event_name.as_ref(),
            item,
            failure: None,
            live: None,
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
    let own = || format!("rule:{}", rule.name);
    let name = match named {
        None => own(),
        Some(Ok(name)) => format!("group:{name}"),
        Some(Err(why)) => {
            report::groupless(&event.received, &rule.name, &why);
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
