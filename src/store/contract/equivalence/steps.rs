//! Random steps for both stores.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::super::{after, dedup_key, sighting};
use crate::store::{
    Concurrency, Debounce, DeliveryFailure, Group, NewDelivery, Overlap, SecretUse, Settlement, Sighting,
    Wanted,
};

/// A step that is applied to both stores.
#[derive(Clone, Debug)]
pub enum ModelStep {
    Enqueue(Vec<NewDelivery>, Option<Seen>),
    /// A sighting that no rule wanted.
    Sight(Seen),
    /// An event with the id of an earlier one.
    EnqueueAgain(usize, NewDelivery),
    Lease(Wanted),
    /// Settles one of the deliveries seen so far, leased or not.
    Settle(usize, Option<u32>, Settlement),
    Release(usize),
    Begin(usize),
    MarkBegun,
    Pass(i64),
    Sweep,
    NoteSecrets(Vec<SecretUse>),
    Crash,
    Restart,
}

fn new_delivery() -> impl Strategy<Value = NewDelivery> {
    let dedup_keys = prop::collection::vec("[a-f]", 0..3);
    let overlap = prop_oneof![
        Just(Overlap::Queue),
        Just(Overlap::Skip),
        Just(Overlap::Replace),
        Just(Overlap::Coalesce),
    ];
    let group = prop::option::of(("[xy]", 1_u32..3, overlap));
    let debounce = prop::option::weighted(0.3, (0_u64..5000, 1_u64..3));
    (
        (group, debounce),
        0_u8..3,
        dedup_keys,
        0_i64..200_000,
        any::<bool>(),
        -20_000_i64..20_000,
    )
        .prop_map(
            |((group, debounce), rule, dedup_keys, until, again, due)| NewDelivery {
                rule: Arc::from(format!("rule-{rule}")),
                // Rules 0 and 1 take whole events, so that an event has no element twice.
                item: (rule == 2).then_some(due.rem_euclid(1 << 20).try_into().unwrap_or(0)),
                dedup_keys: dedup_keys.iter().map(|text| dedup_key(text)).collect(),
                remember_until: after(until),
                run_duplicates: again && rule == 0,
                sighting: None,
                due: after(due),
                unverified: (rule == 2).then(|| Arc::from("the signature does not match")),
                group: group.map(|(name, limit, overlap)| Group {
                    name: name.into(),
                    limit,
                    overlap,
                }),
                debounce: debounce.map(|(quiet, times)| Debounce {
                    quiet: Duration::from_millis(quiet),
                    at_most: Duration::from_millis(quiet * times),
                }),
            },
        )
}

/// A sighting without its arrival: keys, headers and the moment until which it is remembered.
pub type Seen = (Vec<String>, String, i64);

fn seen() -> impl Strategy<Value = Seen> {
    let keys = prop::collection::vec("[a-d]", 1..3);
    let headers = prop::sample::select(vec!["", "x=1", "x=2", "x=1 y=1", "y=2"]);
    (keys, headers, 0_i64..200_000).prop_map(|(keys, headers, until)| (keys, headers.to_owned(), until))
}

pub fn sighting_of(received: &crate::event::Received, (keys, headers, until): &Seen) -> Sighting {
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    Sighting {
        remember_until: after(*until),
        ..sighting(received, &keys, headers)
    }
}

fn settlement() -> impl Strategy<Value = Settlement> {
    let moment = (0_i64..300_000).prop_map(after);
    prop_oneof![
        (0_usize..4, moment.clone()).prop_map(|(action, due)| Settlement::Next { action, due }),
        moment.clone().prop_map(|at| Settlement::Done { at }),
        moment.clone().prop_map(|due| Settlement::Retry { due }),
        moment.clone().prop_map(|at| Settlement::Superseded {
            at,
            reason: "superseded".to_owned(),
        }),
        moment.clone().prop_map(|due| Settlement::Wait { due }),
        (moment.clone(), prop::option::of(moment.clone()), any::<bool>())
            .prop_map(|(since, due, counts)| Settlement::Interrupted { since, due, counts }),
        (moment, any::<bool>(), any::<bool>()).prop_map(|(at, forget_dedup_keys, failed)| Settlement::Dead {
            at,
            reason: "exit 3".to_owned(),
            forget_dedup_keys,
            failure: failed.then(|| Box::new(DeliveryFailure {
                action: "run".to_owned(),
                reason: "exit 3".to_owned(),
                output: "no space".to_owned(),
            })),
        }),
    ]
}

pub fn step() -> impl Strategy<Value = ModelStep> {
    prop_oneof![
        6 => (prop::collection::vec(new_delivery(), 0..4), prop::option::of(seen()))
            .prop_map(|(deliveries, seen)| ModelStep::Enqueue(deliveries, seen)),
        2 => seen().prop_map(ModelStep::Sight),
        1 => (any::<usize>(), new_delivery()).prop_map(|(event, delivery)| ModelStep::EnqueueAgain(event, delivery)),
        4 => (0_usize..6, 1_usize..4, any::<bool>(), any::<bool>())
            .prop_map(|(slots, per_rule, light, paused)| ModelStep::Lease(wanted(slots, per_rule, light, paused))),
        6 => (any::<usize>(), any::<Option<u32>>(), settlement())
            .prop_map(|(delivery, attempt, settlement)| ModelStep::Settle(delivery, attempt, settlement)),
        1 => any::<usize>().prop_map(ModelStep::Release),
        2 => any::<usize>().prop_map(ModelStep::Begin),
        2 => Just(ModelStep::MarkBegun),
        3 => (0_i64..60_000).prop_map(ModelStep::Pass),
        2 => Just(ModelStep::Sweep),
        1 => prop::collection::vec(secret_use(), 0..4).prop_map(ModelStep::NoteSecrets),
        1 => Just(ModelStep::Crash),
        1 => Just(ModelStep::Restart),
    ]
}

/// Limits, perhaps with a light rule and a paused one.
fn wanted(slots: usize, per_rule: usize, light: bool, paused: bool) -> Wanted {
    let paused = paused.then(|| Arc::from("rule-0"));
    let light_rules = light.then(|| Arc::from("rule-1"));
    Wanted {
        light_rules: Arc::new(light_rules.into_iter().collect()),
        paused: Arc::new(paused.into_iter().collect()),
        ..Wanted::from(Concurrency { slots, per_rule })
    }
}

fn secret_use() -> impl Strategy<Value = SecretUse> {
    ("[ab]", "[ab]", "[ab]", 0_i64..1000).prop_map(|(endpoint, scheme, source, at)| SecretUse {
        endpoint: endpoint.into(),
        scheme: scheme.into(),
        source: source.into(),
        last_matched: after(at),
    })
}
