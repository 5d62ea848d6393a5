//! Answered events are there after the server is gone and a standby has taken over, if the server
//! waited for the standby. Each test has a control that loses events, so that the tests can fail.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::super::failure::Failure;
use super::super::link::Link;
use super::super::worker::{Batch, Worker};
use super::super::{Durability, PostgresStore, Target};
use super::instance::Instance;
use crate::store::contract::{arrival, new_event_of, pending};
use crate::store::{Enqueued, Settings, Store, StoreError};

/// Senders at the same time.
const SENDERS: u32 = 16;

/// Name of the standby.
const STANDBY: &str = "b";

/// A server and its standby.
struct Pair {
    primary: Instance,
    standby: Instance,
}

impl Pair {
    /// Starts both. With `waits`, the server waits for the standby.
    async fn start(waits: bool) -> Arc<Self> {
        let pair = tokio::task::spawn_blocking(move || {
            let primary = Instance::start(&["wal_keep_size = 256MB"]);
            let standby = primary.standby(STANDBY);
            while primary.sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") != "1" {
                std::thread::sleep(Duration::from_millis(50));
            }
            if waits {
                primary.set(&[&format!("synchronous_standby_names = '{STANDBY}'")]);
                while primary.sql("SELECT sync_state FROM pg_stat_replication") != "sync" {
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
            Self { primary, standby }
        });
        Arc::new(pair.await.unwrap())
    }

    fn target(&self) -> Target {
        self.primary.target(&[&self.standby], Durability::Local)
    }

    /// Lets the standby receive nothing any more.
    fn cut_off(&self) {
        self.standby.set(&["primary_conninfo = ''"]);
    }

    fn kill_and_promote(&self) {
        self.primary.kill();
        std::thread::sleep(Duration::from_millis(300));
        self.standby.promote();
    }
}

/// The numbers that senders were told are safe.
#[derive(Default)]
struct Answered {
    numbers: Mutex<BTreeSet<u32>>,
    last: AtomicU32,
    is_over: AtomicBool,
}

impl Answered {
    /// Sends numbers until it is over. What failed is sent again, as senders do.
    fn send<F>(self: &Arc<Self>, call: impl Fn(u32) -> F + Clone + Send + 'static) -> JoinSet<()>
    where
        F: Future<Output = Result<(), StoreError>> + Send,
    {
        let mut senders = JoinSet::new();
        for _ in 0..SENDERS {
            let (this, call) = (Arc::clone(self), call.clone());
            senders.spawn(async move {
                while !this.is_over.load(Ordering::Relaxed) {
                    let number = this.last.fetch_add(1, Ordering::Relaxed);
                    while !this.is_over.load(Ordering::Relaxed) {
                        if call(number).await.is_ok() {
                            this.numbers.lock().insert(number);
                            break;
                        }
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            });
        }
        senders
    }

    fn count(&self) -> usize {
        self.numbers.lock().len()
    }

    /// Waits until some more numbers were answered.
    async fn wait_for_more(&self) {
        let (before, begun) = (self.count(), Instant::now());
        while self.count() < before + 100 {
            assert!(
                begun.elapsed() < Duration::from_mins(1),
                "nothing is answered any more"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The answered numbers that are not there.
    fn lost(&self, there: &str) -> usize {
        let there: BTreeSet<u32> = there.lines().map(|line| line.parse().unwrap()).collect();
        self.numbers.lock().difference(&there).count()
    }
}

async fn blocking<T: Send + 'static>(pair: &Arc<Pair>, work: impl FnOnce(&Pair) -> T + Send + 'static) -> T {
    let pair = Arc::clone(pair);
    tokio::task::spawn_blocking(move || work(&pair)).await.unwrap()
}

/// Sends events to a store while `fault` happens, and returns what was answered, once the senders
/// are answered again.
async fn events_during(pair: &Arc<Pair>, fault: impl FnOnce(&Pair) + Send + 'static) -> Arc<Answered> {
    let store = PostgresStore::open(pair.target(), Settings::default())
        .await
        .unwrap();
    let store = Arc::new(store);
    let answered = Arc::new(Answered::default());
    let sending = Arc::clone(&store);
    let mut senders = answered.send(move |number| {
        let store = Arc::clone(&sending);
        async move {
            let event = new_event_of(
                &arrival(i64::from(number)),
                &[pending("deploy", &[&number.to_string()])],
            );
            let enqueued = store.enqueue(event).await?;
            assert!(matches!(
                enqueued[..],
                [Enqueued::New(_) | Enqueued::Duplicate { .. }]
            ));
            Ok(())
        }
    });
    answered.wait_for_more().await;
    blocking(pair, fault).await;
    answered.wait_for_more().await;
    answered.is_over.store(true, Ordering::Relaxed);
    while senders.join_next().await.is_some() {}
    answered
}

/// The numbers of the events that a server has, by their arrival.
fn numbers_of(server: &Instance) -> String {
    server.sql("SELECT DISTINCT received_at - 1700000000000 FROM hookyard.events")
}

/// Asserts that everything on a server is whole and there once.
fn assert_whole(server: &Instance) {
    for (what, count) in [
        (
            "events without a delivery",
            "SELECT count(*) FROM hookyard.events e WHERE NOT EXISTS (SELECT FROM hookyard.queue q WHERE q.event = e.id)",
        ),
        (
            "events without a request",
            "SELECT count(*) FROM hookyard.events e WHERE NOT EXISTS (SELECT FROM hookyard.requests r WHERE r.event = e.id)",
        ),
        (
            "events without a dedup key",
            "SELECT count(*) FROM hookyard.events e WHERE NOT EXISTS (SELECT FROM hookyard.dedup_keys k WHERE k.event = e.id)",
        ),
        (
            "events more than counted",
            "SELECT (SELECT count(*) FROM hookyard.events) - (SELECT sum(events) FROM hookyard.tally)",
        ),
        (
            "events more than numbers",
            "SELECT count(*) - count(DISTINCT received_at) FROM hookyard.events",
        ),
    ] {
        assert_eq!(server.sql(count), "0", "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: `just cluster`"]
async fn a_synchronous_standby_that_takes_over_has_all_that_was_answered() {
    let pair = Pair::start(true).await;
    let answered = events_during(&pair, Pair::kill_and_promote).await;
    assert_eq!(
        answered.lost(&numbers_of(&pair.standby)),
        0,
        "of {}",
        answered.count()
    );
    assert_whole(&pair.standby);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: `just cluster`"]
async fn an_asynchronous_standby_that_lags_loses_what_was_answered() {
    let pair = Pair::start(false).await;
    let answered = events_during(&pair, |pair| {
        pair.cut_off();
        std::thread::sleep(Duration::from_millis(500));
        pair.kill_and_promote();
    })
    .await;
    assert_ne!(answered.lost(&numbers_of(&pair.standby)), 0, "the test can fail");
    assert_whole(&pair.standby);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: `just cluster`"]
async fn a_primary_that_starts_again_has_all_that_was_answered() {
    let pair = Pair::start(false).await;
    let answered = events_during(&pair, |pair| {
        pair.primary.kill();
        std::thread::sleep(Duration::from_millis(300));
        pair.primary.restart();
    })
    .await;
    assert_eq!(
        answered.lost(&numbers_of(&pair.primary)),
        0,
        "of {}",
        answered.count()
    );
    assert_whole(&pair.primary);
}

/// Ways to end the wait for a standby.
const CANCELS: [&str; 2] = ["pg_terminate_backend", "pg_cancel_backend"];

/// Cuts the standby off, ends the waits for it, and lets it take over.
fn cancel_waits_and_fail_over(pair: &Pair, cancel: &str) {
    pair.cut_off();
    std::thread::sleep(Duration::from_millis(500));
    let cancelled = pair.primary.sql(&format!(
        "SELECT count({cancel}(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    ));
    assert_ne!(cancelled, "0", "a commit waited");
    std::thread::sleep(Duration::from_millis(800));
    pair.kill_and_promote();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: `just cluster`"]
async fn a_commit_that_no_longer_waits_for_its_standby_is_not_believed() {
    for cancel in CANCELS {
        let pair = Pair::start(true).await;
        let answered = events_during(&pair, |pair| cancel_waits_and_fail_over(pair, cancel)).await;
        assert_eq!(
            answered.lost(&numbers_of(&pair.standby)),
            0,
            "of {}",
            answered.count()
        );
        assert_whole(&pair.standby);
    }
}

/// Writes numbers, and believes that one that it finds after a lost answer is safe.
struct Believing;

impl Batch for Believing {
    type Call = i32;
    type Output = ();

    async fn write(
        &self,
        link: &Link,
        _slot: i16,
        calls: &[i32],
        may_be_there: bool,
    ) -> Result<Vec<Result<(), StoreError>>, Failure> {
        let found = link
            .query("SELECT count(*) FROM numbers WHERE number = ANY ($1)", &[&calls])
            .await?;
        if !may_be_there || found[0].get::<_, i64>(0) != i64::try_from(calls.len()).unwrap() {
            link.run("BEGIN").await?;
            link.execute(
                "INSERT INTO numbers SELECT * FROM unnest($1::integer[]) ON CONFLICT DO NOTHING",
                &[&calls],
            )
            .await?;
            link.run("COMMIT").await?;
        }
        Ok(calls.iter().map(|_| Ok(())).collect())
    }

    fn size(_: &i32) -> usize {
        4
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: `just cluster`"]
async fn who_looks_and_believes_loses_what_was_answered() {
    let pair = Pair::start(true).await;
    let link = Link::connect(&pair.target(), "test").await.unwrap();
    link.run("CREATE SCHEMA hookyard; CREATE TABLE hookyard.numbers (number integer PRIMARY KEY)")
        .await
        .unwrap();
    let worker = Arc::new(Worker::start(
        &Arc::new(Believing),
        &Arc::new(pair.target()),
        "test",
        &[0, 1],
    ));
    let answered = Arc::new(Answered::default());
    let mut senders = answered.send(move |number| {
        let worker = Arc::clone(&worker);
        async move { worker.call(i32::try_from(number).unwrap()).await }
    });
    answered.wait_for_more().await;
    blocking(&pair, |pair| cancel_waits_and_fail_over(pair, CANCELS[0])).await;
    answered.wait_for_more().await;
    answered.is_over.store(true, Ordering::Relaxed);
    while senders.join_next().await.is_some() {}
    let there = pair.standby.sql("SELECT number FROM hookyard.numbers");
    assert_ne!(answered.lost(&there), 0, "the test can fail");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: `just cluster`"]
async fn new_events_are_refused_while_there_is_no_synchronous_standby() {
    let pair = Pair::start(true).await;
    let target = Target {
        durability: Durability::Replicated,
        ..pair.target()
    };
    let store = PostgresStore::open(target, Settings::default()).await.unwrap();
    let event = |number| new_event_of(&arrival(number), &[pending("deploy", &[&number.to_string()])]);
    store.enqueue(event(1)).await.unwrap();
    let report = store.server_report().await.unwrap();
    assert!(report.is_replicated && report.refusal.is_none(), "{report:?}");
    assert_eq!(report.standbys.len(), 1);
    assert!(report.warnings.is_empty(), "{report:?}");

    blocking(&pair, |pair| {
        pair.primary.set(&["synchronous_standby_names = ''"])
    })
    .await;
    let refused = store.enqueue(event(2)).await.unwrap_err();
    assert!(
        refused.may_pass() && refused.to_string().contains("synchronous_standby_names"),
        "{refused}"
    );
    let report = store.server_report().await.unwrap();
    assert!(!report.is_replicated && report.refusal.is_some(), "{report:?}");
    assert!(report.warnings[0].contains("a failover may lose"), "{report:?}");

    blocking(&pair, |pair| {
        pair.primary
            .set(&[&format!("synchronous_standby_names = '{STANDBY}'")])
    })
    .await;
    store.enqueue(event(2)).await.unwrap();
}
