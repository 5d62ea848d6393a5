//! Both stores side by side: the same random steps must give the same answers.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::{Memory, Sqlite, Subject, UNLIMITED, after, arrival, dedup_key, record, sighting};
use crate::base::clock::Timestamp;
use crate::event::EventId;
use crate::store::{
    Concurrency, Debounce, DeliveryFailure, DeliveryId, Displaced, Enqueued, Group, Keep, Lease, Leased,
    NewDelivery, Overlap, SecretUse, Settings, Settled, Settlement, Sighting, StoreError, Superseded,
};

/// A step that is applied to both stores.
#[derive(Clone, Debug)]
enum ModelStep {
    Enqueue(Vec<NewDelivery>, Option<Seen>),
    /// A sighting that no rule wanted.
    Sight(Seen),
    /// An event with the id of an earlier one.
    EnqueueAgain(usize, NewDelivery),
    Lease(Concurrency),
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
type Seen = (Vec<String>, String, i64);

fn seen() -> impl Strategy<Value = Seen> {
    let keys = prop::collection::vec("[a-d]", 1..3);
    let headers = prop::sample::select(vec!["", "x=1", "x=2", "x=1 y=1", "y=2"]);
    (keys, headers, 0_i64..200_000).prop_map(|(keys, headers, until)| (keys, headers.to_owned(), until))
}

fn sighting_of(received: &crate::event::Received, (keys, headers, until): &Seen) -> Sighting {
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

fn step() -> impl Strategy<Value = ModelStep> {
    prop_oneof![
        6 => (prop::collection::vec(new_delivery(), 0..4), prop::option::of(seen()))
            .prop_map(|(deliveries, seen)| ModelStep::Enqueue(deliveries, seen)),
        2 => seen().prop_map(ModelStep::Sight),
        1 => (any::<usize>(), new_delivery()).prop_map(|(event, delivery)| ModelStep::EnqueueAgain(event, delivery)),
        4 => (0_usize..6, 1_usize..4).prop_map(|(slots, per_rule)| ModelStep::Lease(Concurrency { slots, per_rule })),
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

fn secret_use() -> impl Strategy<Value = SecretUse> {
    ("[ab]", "[ab]", "[ab]", 0_i64..1000).prop_map(|(endpoint, scheme, source, at)| SecretUse {
        endpoint: endpoint.into(),
        scheme: scheme.into(),
        source: source.into(),
        last_matched: after(at),
    })
}

/// Both stores, with their ids of each delivery. Each store makes its own ids.
struct Pair {
    memory: Memory,
    sqlite: Sqlite,
    now: i64,
    events: Vec<EventId>,
    deliveries: Vec<[DeliveryId; 2]>,
}

/// A lease or delivery by its number, for comparison.
type Numbered = (usize, String);

impl Pair {
    async fn step(mut self, step: ModelStep) -> Self {
        match step {
            ModelStep::Enqueue(mut deliveries, seen) => {
                let received = arrival(self.now);
                let sighting = seen.map(|seen| Arc::new(sighting_of(&received, &seen)));
                for delivery in &mut deliveries {
                    delivery.sighting.clone_from(&sighting);
                }
                self.events.push(received.id);
                self.enqueue(&received, &deliveries).await;
            }
            ModelStep::Sight(seen) => {
                let sighting = sighting_of(&arrival(self.now), &seen);
                self.memory.store().remember_sighting(sighting.clone());
                self.sqlite.store().remember_sighting(sighting);
            }
            ModelStep::EnqueueAgain(event, delivery) => {
                if !self.events.is_empty() {
                    let mut received = arrival(self.now);
                    received.id = self.events[event % self.events.len()];
                    self.enqueue(&received, &[delivery]).await;
                }
            }
            ModelStep::Lease(limits) => self.lease(limits).await,
            ModelStep::Settle(delivery, attempt, settlement) => {
                self.settle(delivery, attempt, &settlement).await;
                self.meet_those_made().await;
            }
            ModelStep::Release(delivery) => {
                if let Some([memory, sqlite]) = self.delivery(delivery) {
                    self.memory.store().release(memory).await.unwrap();
                    self.sqlite.store().release(sqlite).await.unwrap();
                }
            }
            ModelStep::Begin(delivery) => {
                if let Some([memory, sqlite]) = self.delivery(delivery) {
                    self.memory.store().begin(memory).await.unwrap();
                    self.sqlite.store().begin(sqlite).await.unwrap();
                }
            }
            ModelStep::MarkBegun => {
                self.memory.store().mark_begun(self.now()).await.unwrap();
                self.sqlite.store().mark_begun(self.now()).await.unwrap();
            }
            ModelStep::Pass(millis) => self.now += millis,
            ModelStep::Sweep => {
                let now = self.now();
                assert_eq!(self.memory.sweep_all(now).await, self.sqlite.sweep_all(now).await);
            }
            ModelStep::NoteSecrets(uses) => {
                self.memory.store().note_secrets(uses.clone()).await.unwrap();
                self.sqlite.store().note_secrets(uses).await.unwrap();
            }
            ModelStep::Crash => {
                self.memory = self.memory.crash();
                self.sqlite = self.sqlite.crash();
            }
            ModelStep::Restart => {
                self.memory = self.memory.restart().await;
                self.sqlite = self.sqlite.restart().await;
            }
        }
        self.compare().await;
        self
    }

    fn now(&self) -> Timestamp {
        after(self.now)
    }

    fn delivery(&self, index: usize) -> Option<[DeliveryId; 2]> {
        let number = index.checked_rem(self.deliveries.len())?;
        self.deliveries.get(number).copied()
    }

    async fn enqueue(&mut self, received: &crate::event::Received, deliveries: &[NewDelivery]) {
        let memory = self.memory.enqueue(received, deliveries).await;
        let sqlite = self.sqlite.enqueue(received, deliveries).await;
        let (Ok(memory), Ok(sqlite)) = (&memory, &sqlite) else {
            assert_eq!(memory, sqlite);
            return;
        };
        assert_eq!(memory.len(), sqlite.len());
        for pair in memory.iter().zip(sqlite) {
            match pair {
                (Enqueued::New(memory), Enqueued::New(sqlite))
                | (Enqueued::Skipped(memory), Enqueued::Skipped(sqlite)) => {
                    self.deliveries.push([*memory, *sqlite]);
                }
                (Enqueued::InPlaceOf(memory, of), Enqueued::InPlaceOf(sqlite, of_too)) => {
                    assert_eq!(self.displaced(0, of), self.displaced(1, of_too));
                    self.deliveries.push([*memory, *sqlite]);
                }
                (memory, sqlite) => assert_eq!(memory, sqlite),
            }
        }
    }

    async fn lease(&self, limits: Concurrency) {
        let numbered = |store: usize, leased: Leased| {
            let numbered = leased.leases.into_iter().map(|lease| {
                let Lease {
                    rule,
                    action,
                    attempt,
                    unverified,
                    in_group,
                    superseded,
                    failure,
                    interrupted,
                    suspect,
                    ..
                } = &lease;
                let event = lease.received.id;
                (
                    self.number(store, lease.delivery),
                    format!("{rule} {action} {attempt} {event} {unverified:?} {in_group} {superseded:?} {failure:?} {interrupted:?} {suspect}"),
                )
            });
            (
                numbered.collect::<Vec<Numbered>>(),
                leased.held_back,
                self.displaced(store, &leased.displaced),
            )
        };
        let memory = self.memory.store().lease(limits, self.now()).await.unwrap();
        let sqlite = self.sqlite.store().lease(limits, self.now()).await.unwrap();
        assert_eq!(numbered(0, memory), numbered(1, sqlite));
    }

    async fn settle(&self, delivery: usize, attempt: Option<u32>, settlement: &Settlement) {
        let Some([memory, sqlite]) = self.delivery(delivery) else {
            return;
        };
        let settled = |delivery| Settled {
            delivery,
            attempt: attempt.map(|number| record(0, number)),
            settlement: settlement.clone(),
        };
        let both = [
            self.memory.store().settle(settled(memory)).await,
            self.sqlite.store().settle(settled(sqlite)).await,
        ];
        match both {
            [Ok(()), Ok(())]
            | [
                Err(StoreError::NotLeased { .. }),
                Err(StoreError::NotLeased { .. }),
            ] => {}
            both => panic!("{both:?}"),
        }
    }

    /// Finds the deliveries that were made for the failure of another.
    async fn meet_those_made(&mut self) {
        for event in &self.events {
            let memory = self.memory.store().deliveries(*event).await.unwrap();
            let sqlite = self.sqlite.store().deliveries(*event).await.unwrap();
            for (memory, sqlite) in memory.iter().zip(sqlite) {
                if self.deliveries.iter().all(|known| known[0] != memory.id) {
                    self.deliveries.push([memory.id, sqlite.id]);
                }
            }
        }
    }

    /// Compares the answers to every query.
    async fn compare(&self) {
        let (memory, sqlite) = (self.memory.store(), self.sqlite.store());
        assert_eq!(memory.counts().await, sqlite.counts().await);
        for limits in [
            UNLIMITED,
            Concurrency {
                slots: 4,
                per_rule: 2,
            },
        ] {
            assert_eq!(memory.next_due(limits).await, sqlite.next_due(limits).await);
        }
        assert_eq!(memory.secrets().await, sqlite.secrets().await);
        for event in &self.events {
            let numbered = async |store: usize, of: &dyn crate::store::Store| {
                let listed = of.deliveries(*event).await.unwrap();
                let numbered = listed.into_iter().map(|delivery| {
                    let number = self.number(store, delivery.id);
                    let crate::store::Delivery {
                        event,
                        rule,
                        action,
                        attempt,
                        state,
                        unverified,
                        failure_of,
                        ..
                    } = delivery;
                    let failure_of = failure_of.map(|failed| self.number(store, failed));
                    (
                        number,
                        format!("{event} {rule} {action} {attempt} {state:?} {unverified:?} {failure_of:?}"),
                    )
                });
                numbered.collect::<Vec<Numbered>>()
            };
            assert_eq!(numbered(0, memory).await, numbered(1, sqlite).await);
        }
        for [in_memory, in_sqlite] in &self.deliveries {
            assert_eq!(
                memory.attempts(*in_memory).await,
                sqlite.attempts(*in_sqlite).await
            );
        }
    }

    /// The superseded deliveries in a fixed order, because the stores find them in different
    /// orders.
    fn displaced(&self, store: usize, displaced: &Displaced) -> (Vec<usize>, Vec<Numbered>) {
        let stop = displaced
            .stop
            .iter()
            .map(|delivery| self.number(store, *delivery));
        let ended = displaced.ended.iter().map(|ended| {
            let Superseded {
                delivery,
                event,
                rule,
                reason,
            } = ended;
            (self.number(store, *delivery), format!("{event} {rule} {reason}"))
        });
        let (mut stop, mut ended): (Vec<_>, Vec<_>) = (stop.collect(), ended.collect());
        stop.sort_unstable();
        ended.sort_unstable();
        (stop, ended)
    }

    fn number(&self, store: usize, delivery: DeliveryId) -> usize {
        let mut all = self.deliveries.iter();
        all.position(|pair| pair[store] == delivery)
            .expect("every delivery has been taken")
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_stores_answer_alike(steps in prop::collection::vec(step(), 1..40)) {
        let settings = Settings {
            keep: Keep {
                done: Duration::from_mins(1),
                dead: Duration::from_mins(2),
                refused: 10,
            },
            max_size: None,
            min_free: 0,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut pair = Pair {
                memory: Memory::open(settings),
                sqlite: Sqlite::open(settings),
                now: 0,
                events: Vec::new(),
                deliveries: Vec::new(),
            };
            for step in steps {
                pair = pair.step(step).await;
            }
        });
    }
}
