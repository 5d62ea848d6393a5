//! Figures beside `SQLite`, for comparison on one machine in one run. They are printed, not judged.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::event::Received;
use crate::store::contract::{
    Postgres, Sqlite, Subject, after, arrival, done, new_event_of, pending, record,
};
use crate::store::{Concurrency, NewDelivery, Settings, Settled, Store};

const EVENTS: usize = 20_000;
const CALLERS: usize = 64;
const BODY: usize = 7000;
const ROUNDS: usize = 3;
const SLOTS: Concurrency = Concurrency {
    slots: 128,
    per_rule: 128,
};

/// A push as GitHub sends it.
fn body() -> Bytes {
    let push = include_bytes!("../../../../tests/fixtures/github/push.json");
    push.iter().copied().cycle().take(BODY).collect()
}

/// Enqueues all events with some callers at a time.
async fn enqueue_all(store: &Arc<dyn Store>) -> Duration {
    let (begun, next, body) = (Instant::now(), Arc::new(AtomicUsize::new(0)), body());
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (store, next, body) = (Arc::clone(store), Arc::clone(&next), body.clone());
        callers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= EVENTS {
                    return;
                }
                let received = Received {
                    body: body.clone(),
                    ..arrival(0)
                };
                let key = number.to_string();
                let delivery = NewDelivery {
                    rule: format!("rule-{}", number % 4).into(),
                    ..pending("", &[&key])
                };
                let enqueued = store.enqueue(new_event_of(&received, &[delivery])).await;
                assert!(enqueued.unwrap()[0].is_new());
            }
        });
    }
    callers.join_all().await;
    begun.elapsed()
}

/// Leases and settles until all is done.
async fn settle_all(store: &Arc<dyn Store>) -> Duration {
    let begun = Instant::now();
    let (mut running, mut settled) = (JoinSet::new(), 0);
    while settled < EVENTS {
        let leased = store.lease(SLOTS.into(), after(0)).await.unwrap();
        for lease in leased.leases {
            let store = Arc::clone(store);
            running.spawn(async move {
                let settled = Settled {
                    delivery: lease.delivery,
                    attempt: Some(record(0, 1)),
                    settlement: done(1),
                };
                store.settle(settled).await.unwrap();
            });
        }
        if running.is_empty() {
            drop(tokio::time::timeout(Duration::from_millis(20), store.news().look()).await);
        }
        // As the dispatcher does: some end, and their slots are filled together.
        settled += usize::from(running.join_next().await.is_some());
        while running.try_join_next().is_some() {
            settled += 1;
        }
    }
    begun.elapsed()
}

async fn measure<S: Subject>(name: &str) -> [f64; 3] {
    let rate = |took: Duration| 20_000.0 / took.as_secs_f64();
    let settings = Settings {
        max_size: None,
        ..Settings::default()
    };
    let subject = S::open(settings).await;
    let store = subject.shared();
    let enqueued = rate(enqueue_all(&store).await);
    let settled = rate(settle_all(&store).await);
    let subject = S::open(settings).await;
    let store = subject.shared();
    let begun = Instant::now();
    let all = tokio::join!(enqueue_all(&store), settle_all(&store));
    let both = rate(begun.elapsed());
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.waiting, counts.done), (0, EVENTS as u64), "{all:?}");
    println!("{name}: enqueue {enqueued:.0}/s, lease and settle {settled:.0}/s, both at once {both:.0}/s");
    [enqueued, settled, both]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: `just cluster`"]
async fn the_same_work_beside_sqlite() {
    for _ in 0..ROUNDS {
        let sqlite = measure::<Sqlite>("SQLite").await;
        let postgres = measure::<Postgres>("PostgreSQL").await;
        let ratios = sqlite
            .iter()
            .zip(postgres)
            .map(|(sqlite, postgres)| postgres / sqlite);
        println!("ratios: {:.2?}", ratios.collect::<Vec<_>>());
    }
}
