//! Batches of calls whose answers are lost, that fail, or that are cut off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::super::failure::Failure;
use super::super::link::Link;
use super::super::session::Session;
use super::super::worker::{Batch, Worker};
use super::super::{Target, drop_schema};
use crate::store::StoreError;
use crate::store::contract::Postgres;

/// Writes numbers into a table, each of them once.
#[derive(Default)]
struct Numbers {
    /// Ends the connection before the answer to the next commit.
    lose_next: AtomicBool,
    was_there: AtomicBool,
}

/// A number that no table takes.
const BAD: i32 = -1;

impl Batch for Numbers {
    type Call = i32;
    type Output = i32;

    async fn write(
        &self,
        link: &Link,
        _slot: i16,
        calls: &[i32],
        may_be_there: bool,
    ) -> Result<Vec<Result<i32, StoreError>>, Failure> {
        self.was_there.fetch_or(may_be_there, Ordering::Relaxed);
        link.run("BEGIN").await?;
        link.execute(
            "INSERT INTO numbers SELECT * FROM unnest($1::integer[]) ON CONFLICT DO NOTHING",
            &[&calls],
        )
        .await?;
        link.run("COMMIT").await?;
        if self.lose_next.swap(false, Ordering::Relaxed) {
            link.run("SELECT pg_terminate_backend(pg_backend_pid())").await?;
        }
        Ok(calls.iter().map(|number| Ok(*number)).collect())
    }

    fn size(_: &i32) -> usize {
        4
    }
}

/// A schema with a table of numbers, which is dropped at the end.
struct Table(Arc<Target>);

impl Table {
    async fn new(patience: Duration) -> Self {
        let target = Arc::new(Target {
            patience,
            ..Postgres::target()
        });
        let link = Link::connect(&target, "test").await.unwrap();
        let schema = &target.schema;
        link.run(&format!(
            "CREATE SCHEMA {schema}; CREATE TABLE numbers (number integer PRIMARY KEY CHECK (number >= 0))"
        ))
        .await
        .unwrap();
        Self(target)
    }

    async fn count(&self) -> i64 {
        let session = Session::new(&self.0, "test");
        let count = session.ask(|link| {
            Box::pin(async move { Ok(link.query("SELECT count(*) FROM numbers", &[]).await?[0].get(0)) })
        });
        count.await.unwrap()
    }

    async fn dropped(self) {
        drop_schema(&self.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: `just cluster`"]
async fn a_batch_whose_answer_is_lost_is_written_again() {
    let table = Table::new(Duration::from_secs(8)).await;
    let numbers = Arc::new(Numbers::default());
    let worker = Worker::start(&numbers, &table.0, "test", &[0]);
    assert_eq!(worker.call(1).await, Ok(1));
    assert!(!numbers.was_there.load(Ordering::Relaxed));
    numbers.lose_next.store(true, Ordering::Relaxed);
    assert_eq!(worker.call(2).await, Ok(2));
    assert!(numbers.was_there.load(Ordering::Relaxed));
    worker.close().await;
    assert_eq!(table.count().await, 2);
    table.dropped().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: `just cluster`"]
async fn a_bad_call_fails_alone() {
    let table = Table::new(Duration::from_secs(8)).await;
    let worker = Arc::new(Worker::start(
        &Arc::new(Numbers::default()),
        &table.0,
        "test",
        &[0],
    ));
    let mut calls = JoinSet::new();
    for number in 0..200 {
        let worker = Arc::clone(&worker);
        let number = if number == 77 { BAD } else { number };
        calls.spawn(async move { (number, worker.call(number).await) });
    }
    while let Some(called) = calls.join_next().await {
        match called.unwrap() {
            (BAD, output) => assert!(matches!(output, Err(StoreError::Unexpected { .. })), "{output:?}"),
            (number, output) => assert_eq!(output, Ok(number)),
        }
    }
    assert_eq!(table.count().await, 199);
    table.dropped().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: `just cluster`"]
async fn closing_carries_out_earlier_calls() {
    let table = Table::new(Duration::from_secs(8)).await;
    let worker = Arc::new(Worker::start(
        &Arc::new(Numbers::default()),
        &table.0,
        "test",
        &[0, 1],
    ));
    let mut calls = JoinSet::new();
    for number in 0..100 {
        let worker = Arc::clone(&worker);
        calls.spawn(async move { worker.call(number).await });
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    worker.close().await;
    let mut written = 0;
    while let Some(called) = calls.join_next().await {
        match called.unwrap() {
            Ok(_) => written += 1,
            Err(error) => assert_eq!(error, StoreError::Closed),
        }
    }
    assert_eq!(table.count().await, written);
    assert_eq!(worker.call(1).await, Err(StoreError::Closed));
    table.dropped().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: `just cluster`"]
async fn patience_ends_also_while_another_transaction_holds_everything_up() {
    let table = Table::new(Duration::from_secs(1)).await;
    let holder = Link::connect(&table.0, "test").await.unwrap();
    holder.run("BEGIN; LOCK TABLE numbers").await.unwrap();
    let worker = Worker::start(&Arc::new(Numbers::default()), &table.0, "test", &[0]);
    let session = Session::new(&table.0, "test");
    let begun = Instant::now();
    let asked = session.ask(|link| Box::pin(async move { link.query("SELECT * FROM numbers", &[]).await }));
    let (called, asked) = tokio::join!(worker.call(1), asked);
    for error in [called.unwrap_err(), asked.unwrap_err()] {
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    holder.run("ROLLBACK").await.unwrap();
    assert_eq!(worker.call(2).await, Ok(2));
    table.dropped().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: `just cluster`"]
async fn a_session_survives_its_connection() {
    let table = Table::new(Duration::from_secs(8)).await;
    let session = Session::new(&table.0, "test");
    let process = session.ask(|link| {
        Box::pin(async move { Ok(link.query("SELECT pg_backend_pid()", &[]).await?[0].get::<_, i32>(0)) })
    });
    let process = process.await.unwrap();
    let other = Link::connect(&table.0, "test").await.unwrap();
    other
        .query("SELECT pg_terminate_backend($1, 5000)", &[&process])
        .await
        .unwrap();
    assert_eq!(table.count().await, 0);
    let again = session.ask(|link| {
        Box::pin(async move { Ok(link.query("SELECT pg_backend_pid()", &[]).await?[0].get::<_, i32>(0)) })
    });
    assert_ne!(again.await.unwrap(), process);
    table.dropped().await;
}
