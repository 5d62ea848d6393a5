//! Both stores side by side: the same random steps must give the same answers.

mod steps;

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use self::steps::{ModelStep, sighting_of, step};
use super::{Memory, Sqlite, Subject, UNLIMITED, after, arrival, record};
use crate::base::clock::Timestamp;
use crate::event::EventId;
use crate::store::{
    Concurrency, DeliveryId, Displaced, Enqueued, Keep, Lease, Leased, NewDelivery, Settings, Settled,
    Settlement, StoreError, Superseded, Wanted,
};

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
            ModelStep::Lease(wanted) => self.lease(wanted).await,
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
                self.memory = self.memory.crash().await;
                self.sqlite = self.sqlite.crash().await;
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

    async fn lease(&self, wanted: Wanted) {
        let numbered = |store: usize, leased: Leased| {
            let numbered = leased.leases.into_iter().map(|lease| {
                let Lease {
                    rule,
                    item,
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
                    format!("{rule} {item:?} {action} {attempt} {event} {unverified:?} {in_group} {superseded:?} {failure:?} {interrupted:?} {suspect}"),
                )
            });
            (
                numbered.collect::<Vec<Numbered>>(),
                leased.held_back,
                self.displaced(store, &leased.displaced),
            )
        };
        let memory = self
            .memory
            .store()
            .lease(wanted.clone(), self.now())
            .await
            .unwrap();
        let sqlite = self
            .sqlite
            .store()
            .lease(wanted.clone(), self.now())
            .await
            .unwrap();
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
            assert_eq!(
                memory.next_due(limits.into()).await,
                sqlite.next_due(limits.into()).await
            );
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
                        item,
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
                        format!("{event} {rule} {item:?} {action} {attempt} {state:?} {unverified:?} {failure_of:?}"),
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
                ..Keep::default()
            },
            max_size: None,
            min_free: 0,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut pair = Pair {
                memory: Memory::open(settings).await,
                sqlite: Sqlite::open(settings).await,
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
