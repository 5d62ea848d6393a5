//! Property test: random sequences of events, failures, kills and restarts keep each rule's
//! promises about its deliveries.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::world::World;
use crate::act::Verdict;
use crate::store::{Delivery, DeliveryId, DeliveryState, Store};

/// Rules with their `concurrency` or `debounce`, and the maximum that runs at once per group. Each
/// has an endpoint of its name.
const RULES: [(&str, &str, usize); 7] = [
    ("queue", "concurrency: {overlap: queue, GROUP}", 1),
    ("skip", "concurrency: {overlap: skip, GROUP}", 1),
    ("replace", "concurrency: {overlap: replace, GROUP}", 1),
    ("coalesce", "concurrency: {overlap: coalesce, GROUP}", 1),
    ("pair", "concurrency: {overlap: queue, limit: 2, GROUP}", 2),
    (
        "quiet",
        "debounce: {quiet: 30s, at_most: 2m}\n    concurrency: {GROUP}",
        1,
    ),
    ("free", "enabled: true", usize::MAX),
];

/// Maximum attempts per action.
const ATTEMPTS: u32 = 2;
/// Maximum deliveries that run at once.
const SLOTS: usize = 9;
/// Maximum deliveries of one rule that run at once.
const PER_RULE: usize = 4;

fn rules() -> String {
    let rules = RULES.map(|(name, settings, _)| {
        let group = format!("group: \"{name} {{{{ payload.group }}}}\"");
        let settings = settings.replace("GROUP", &group);
        format!(
            "  - name: {name}
    endpoint: /{name}
    verify: none
    {settings}
    retry: {{attempts: {ATTEMPTS}, backoff: [10s]}}
    actions: [{{run: [/bin/true]}}, {{run: [/bin/true]}}]
    on_failure: [{{run: [/bin/true]}}]
"
        )
    });
    let slots = format!("deliveries: {{limit: {SLOTS}, per_rule: {PER_RULE}}}");
    format!("{slots}\nrules:\n{}", rules.concat())
}

#[derive(Clone, Debug)]
enum Step {
    Send(usize, u64),
    End(usize, Verdict),
    Pass(u64),
    Kill,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let verdict = prop_oneof![
        4 => Just(Verdict::Done),
        3 => Just(Verdict::FAILED),
        1 => Just(Verdict::Dead),
        1 => Just(Verdict::Later { after: Duration::from_secs(5) }),
    ];
    prop_oneof![
        8 => (0..RULES.len(), 0_u64..2).prop_map(|(rule, group)| Step::Send(rule, group)),
        8 => (any::<usize>(), verdict).prop_map(|(index, verdict)| Step::End(index, verdict)),
        4 => (1_u64..40).prop_map(Step::Pass),
        1 => Just(Step::Kill),
        1 => Just(Step::Restart),
    ]
}

/// Asserts that no limit is exceeded at this moment.
async fn look(world: &World) {
    alone(world).await;
    let going = world.going();
    assert!(going.values().sum::<usize>() <= SLOTS, "{going:?}");
    for (name, _, limit) in RULES {
        let of_rule = going.iter().filter(|((rule, ..), _)| rule == name);
        assert!(
            of_rule.map(|(_, count)| count).sum::<usize>() <= PER_RULE,
            "{going:?}"
        );
        for group in 0..2 {
            let key = (name.to_owned(), group, false);
            assert!(going.get(&key).copied().unwrap_or(0) <= limit, "{going:?}");
        }
    }
}

/// Asserts that at most one delivery waits beside the running one, where the rule says so.
async fn alone(world: &World) {
    let mut owed: BTreeMap<(&str, u64), usize> = BTreeMap::new();
    for sent in &world.sent {
        let name = RULES[sent.rule].0;
        let deliveries = world.store.deliveries(sent.event).await.unwrap();
        if deliveries[0].state.is_pending() {
            *owed.entry((name, sent.group)).or_default() += 1;
        }
    }
    for (name, most) in [("skip", 1), ("replace", 2), ("coalesce", 2)] {
        let of_rule = owed.iter().filter(|((rule, _), _)| *rule == name);
        assert!(
            of_rule.map(|(_, count)| *count).max().unwrap_or(0) <= most,
            "{owed:?}"
        );
    }
}

/// Ends everything that runs or waits.
async fn drain(world: &World) {
    for _ in 0..2000 {
        let counts = world.store.counts().await.unwrap();
        if counts.waiting + counts.leased == 0 {
            return;
        }
        if world.going().is_empty() {
            world.pass(Duration::from_mins(1)).await;
        } else {
            world.end(0, Verdict::Done).await;
        }
        look(world).await;
    }
    panic!("never: {:?}", world.store.counts().await);
}

/// Reads the state of a delivery, and the outcomes of its attempts by action.
async fn history(world: &World, delivery: &Delivery) -> (DeliveryState, BTreeMap<usize, Vec<String>>) {
    let mut tries: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for attempt in world.store.attempts(delivery.id).await.unwrap() {
        let of_action = tries.entry(attempt.action).or_default();
        // Interrupted attempts in a row count once: the next attempt may have the same number.
        if of_action.len() == attempt.number as usize {
            assert_eq!(of_action.pop().as_deref(), Some("interrupted"), "{attempt:?}");
        }
        of_action.push(attempt.outcome.clone());
        // Attempts are numbered from 1, without gaps or repeats.
        assert_eq!(of_action.len(), attempt.number as usize, "{attempt:?}");
    }
    (delivery.state.clone(), tries)
}

/// Asserts that every delivery ended as its rule promises.
async fn judge(world: &World) {
    let mut seen = BTreeSet::new();
    for (at, sent) in world.sent.iter().enumerate() {
        let name = RULES[sent.rule].0;
        let deliveries = world.store.deliveries(sent.event).await.unwrap();
        let (delivery, made) = deliveries.split_first().unwrap();
        let (state, tries) = history(world, delivery).await;
        let begun = |for_failure: bool| {
            let all = world.begun();
            let mut of_event = all.iter().filter(|begun| begun.event == sent.event);
            of_event.any(|begun| begun.for_failure == for_failure)
        };
        let others = |range: &[super::world::Sent]| {
            let mut others = range.iter();
            others.any(|other| (other.rule, other.group) == (sent.rule, sent.group))
        };
        let (first, last) = (!others(&world.sent[..at]), !others(&world.sent[at + 1..]));
        assert!(
            tries.values().all(|tries| tries.len() <= ATTEMPTS as usize),
            "{name} {tries:?}"
        );
        match &state {
            DeliveryState::Done { .. } => {
                let ends: Vec<_> = tries
                    .values()
                    .map(|tries| tries.last().unwrap().as_str())
                    .collect();
                assert_eq!(ends, ["done", "done"], "{name}");
            }
            DeliveryState::Dead { reason, .. } => {
                let (_, tries) = tries.last_key_value().unwrap();
                assert!(
                    tries.last().unwrap() == "dead"
                        || tries.len() == ATTEMPTS as usize
                        || reason.contains("attempts in a row"),
                    "{reason} {tries:?}"
                );
            }
            DeliveryState::Superseded { reason, .. } => {
                assert!(
                    ["skip", "replace", "coalesce", "quiet"].contains(&name),
                    "{name} {reason}"
                );
                // Only deliveries that are replaced may have started.
                assert!(name == "replace" || !begun(false), "{name} {reason}");
                assert!(
                    name == "skip" || !last,
                    "the newest of {name} is never superseded"
                );
                assert!(name != "skip" || !first, "the first of skip is never skipped");
            }
            other => panic!("{name} {other:?}"),
        }
        // Each failure creates one delivery to `on_failure`, and nothing else does.
        let dead = matches!(state, DeliveryState::Dead { .. });
        assert_eq!((made.len(), begun(true)), (usize::from(dead), dead), "{name}");
        for made in made {
            assert_eq!(made.failure_of, Some(delivery.id));
            seen.insert(made.id);
        }
        seen.insert(delivery.id);
    }
    let all: BTreeSet<DeliveryId> = seen;
    let counts = world.store.counts().await.unwrap();
    assert_eq!(all.len() as u64, counts.done + counts.dead);
    in_order(world);
}

/// Asserts that groups with limit 1 run in the order of arrival, and that no delivery runs again
/// after the next one started.
fn in_order(world: &World) {
    for (index, (name, _, limit)) in RULES.iter().enumerate() {
        for group in 0..2 {
            let sent = world
                .sent
                .iter()
                .filter(|sent| (sent.rule, sent.group) == (index, group));
            let order: BTreeMap<_, _> = sent.enumerate().map(|(at, sent)| (sent.event, at)).collect();
            let begun = world.begun();
            let of_group = begun
                .iter()
                .filter(|begun| begun.rule == *name && begun.group == group && !begun.for_failure);
            let places: Vec<usize> = of_group.map(|begun| order[&begun.event]).collect();
            if *limit == 1 {
                assert!(places.is_sorted(), "{name} {group}: {places:?}");
            }
        }
    }
}

fn run(steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut world = World::new(&rules());
        for step in steps {
            match step {
                Step::Send(rule, group) => world.send(rule, group).await,
                Step::End(index, verdict) => world.end(index, verdict).await,
                Step::Pass(seconds) => world.pass(Duration::from_secs(seconds)).await,
                Step::Kill => world.kill().await,
                Step::Restart => world.restart().await,
            }
            look(&world).await;
        }
        drain(&world).await;
        judge(&world).await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_rules_promise_is_kept_whatever_happens(steps in prop::collection::vec(step(), 1..60)) {
        run(steps);
    }
}
