//! The writer thread: batches, a full disk, and writes of other programs.

use std::sync::mpsc;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, StatementStatus, params_from_iter};

use super::super::arrivals::OLDEST;
use super::super::groups::NEXT_QUEUED;
use super::super::reading::{LATER, NEXT_RULE, SAME_DUE};
use super::super::settling::FORGET_DEDUP_KEYS;
use super::super::writer::Writer;
use crate::base::clock::Timestamp;
use crate::event::Received;
use crate::store::contract::{
    Sqlite, Subject, UNLIMITED, after, arrival, done, new_event_of, noise, pending, record, retry,
};
use crate::store::{Answer, DeliveryState, Enqueued, Settings, Settled, StoreError};

/// Runs `work` on the writer's thread.
async fn in_writer<T: Send + 'static>(
    subject: &Sqlite,
    work: impl FnOnce(&mut Writer) -> rusqlite::Result<T> + Send + 'static,
) -> T {
    let done = subject.sqlite().read(move |writer| Ok(work(writer).unwrap()));
    done.await.unwrap()
}

/// Blocks the writer, so that later calls reach it in one round. A send on the sender releases it.
fn hold(subject: &Sqlite) -> (mpsc::Sender<()>, Answer<'_, ()>) {
    let (began, beginning) = mpsc::channel();
    let (go, going) = mpsc::channel();
    let mut answer = subject.sqlite().read(move |_| {
        began.send(()).unwrap();
        going.recv().unwrap();
        Ok(())
    });
    assert!(is_pending(&mut answer));
    beginning.recv().unwrap();
    (go, answer)
}

/// Polls a call once.
fn is_pending<T>(answer: &mut Answer<'_, T>) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    answer.as_mut().poll(&mut context).is_pending()
}

/// Limits the growth of the database to `pages`.
async fn let_grow_by(subject: &Sqlite, pages: i64) {
    in_writer(subject, move |writer| {
        let now: i64 = writer
            .file
            .connection
            .pragma_query_value(None, "page_count", |row| row.get(0))?;
        let most = now + pages;
        let mut limit = writer
            .file
            .connection
            .prepare(&format!("PRAGMA max_page_count = {most}"))?;
        limit.query_row([], |_| Ok(()))
    })
    .await;
}

fn large(millis: i64) -> Received {
    Received {
        body: Bytes::from(noise(40_000)),
        ..arrival(millis)
    }
}

#[tokio::test]
async fn a_full_disk_is_an_error_that_keeps_nothing_and_passes() {
    let subject = Sqlite::open(Settings::default()).await;
    let delivery = subject.enqueue_new(&arrival(0), pending("deploy", &["a"])).await;
    subject.lease_all(after(0)).await;
    let before = subject.store().counts().await.unwrap();
    let_grow_by(&subject, 2).await;
    let taken = subject
        .enqueue(&large(1), &[pending("deploy", &["b"])])
        .await
        .unwrap_err();
    assert!(
        matches!(taken, StoreError::Full { .. }) && taken.may_pass(),
        "{taken}"
    );
    let mut attempt = record(0, 1);
    attempt.stdout = vec![b'x'; 40_000];
    let settled = Settled {
        delivery,
        attempt: Some(attempt),
        settlement: done(2),
    };
    let error = subject.store().settle(settled.clone()).await.unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert_eq!(subject.store().counts().await, Ok(before));
    let_grow_by(&subject, 1000).await;
    // The lease is in place, and the dedup key of the refused event is not remembered.
    subject.store().settle(settled).await.unwrap();
    subject.enqueue_new(&large(3), pending("deploy", &["b"])).await;
    let subject = subject.crash().await;
    assert_eq!(subject.store().attempts(delivery).await.unwrap().len(), 1);
    assert_eq!(subject.store().counts().await.unwrap().events, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_call_in_a_batch_fails_alone() {
    let subject = Sqlite::open(Settings::default()).await;
    let known = arrival(0);
    subject.enqueue_new(&known, pending("deploy", &["a"])).await;
    let (go, going) = hold(&subject);
    let store = subject.store();
    let fresh = arrival(1);
    let takes = [
        (&fresh, "b"),
        (&known, "c"),
        (&arrival(2), "b"),
        (&arrival(3), "d"),
    ];
    let mut takes: Vec<_> = takes
        .iter()
        .map(|(received, dedup_key)| {
            store.enqueue(new_event_of(received, &[pending("deploy", &[dedup_key])]))
        })
        .collect();
    assert!(takes.iter_mut().all(is_pending));
    go.send(()).unwrap();
    going.await.unwrap();
    let mut answers = Vec::new();
    for take in takes {
        answers.push(take.await);
    }
    let [first, second, third, fourth] = <[_; 4]>::try_from(answers).unwrap();
    assert!(matches!(first.unwrap()[..], [Enqueued::New(_)]));
    assert_eq!(second, Err(StoreError::IdTaken { event: known.id }));
    assert_eq!(third, Ok(vec![Enqueued::Duplicate { of: fresh.id }]));
    assert!(matches!(fourth.unwrap()[..], [Enqueued::New(_)]));
    let before = store.counts().await.unwrap();
    assert_eq!((before.events, before.waiting, before.dedup_keys), (3, 3, 3));
    assert_eq!(subject.lease_all(after(0)).await.len(), 3);
    let after_crash = subject.crash().await.store().counts().await.unwrap();
    assert_eq!(
        (after_crash.events, after_crash.waiting, after_crash.dedup_keys),
        (3, 3, 3)
    );
}

#[tokio::test]
async fn leases_of_a_cancelled_call_are_taken_back() {
    let subject = Sqlite::open(Settings::default()).await;
    let delivery = subject.enqueue_new(&arrival(0), pending("deploy", &[])).await;
    // The writer is blocked, because otherwise the answer might be ready before the future is
    // dropped.
    let (go, going) = hold(&subject);
    let mut lease = subject.store().lease(UNLIMITED.into(), after(0));
    assert!(is_pending(&mut lease));
    go.send(()).unwrap();
    going.await.unwrap();
    // The call was carried out, and its answer is on the way.
    in_writer(&subject, |_| Ok(())).await;
    drop(lease);
    assert_eq!(
        subject.store().next_due(UNLIMITED.into()).await,
        Ok(Some(after(0)))
    );
    assert_eq!(subject.lease_all(after(0)).await, [delivery]);
}

#[tokio::test]
async fn a_write_of_another_program_is_noticed() {
    let subject = Sqlite::open(Settings::default()).await;
    let first = subject.enqueue_new(&arrival(0), pending("deploy", &[])).await;
    let second = subject.enqueue_new(&arrival(0), pending("deploy", &[])).await;
    assert_eq!(subject.lease_all(after(0)).await, [first, second]);
    subject.settle(first, retry(500)).await;
    let other = Connection::open(subject.path()).unwrap();
    other.execute("UPDATE deliveries SET due = 7", []).unwrap();
    assert_eq!(
        subject.store().next_due(UNLIMITED.into()).await,
        Ok(Some(Timestamp::from_millis(7)))
    );
    assert_eq!(subject.lease_all(after(0)).await, [first]);
    other.execute("DELETE FROM events", []).unwrap();
    let counts = subject.store().counts().await.unwrap();
    assert_eq!((counts.events, counts.waiting), (0, 0));
    let settled = Settled::unattempted(second, done(0));
    let error = subject.store().settle(settled).await;
    assert_eq!(error, Err(StoreError::NotLeased { delivery: second }));
}

#[tokio::test]
async fn an_unreadable_event_is_a_dead_letter_and_delays_no_other() {
    let subject = Sqlite::open(Settings::default()).await;
    let broken = arrival(0);
    subject.enqueue_new(&broken, pending("deploy", &[])).await;
    let sound = subject.enqueue_new(&arrival(1), pending("deploy", &[])).await;
    let other = Connection::open(subject.path()).unwrap();
    let harm = "UPDATE events SET headers = 'x' WHERE id = ?1";
    other.execute(harm, [broken.id.to_string()]).unwrap();
    assert_eq!(subject.lease_all(after(0)).await, [sound]);
    let listed = subject.store().deliveries(broken.id).await.unwrap();
    let reason =
        "the event cannot be read back: the column `headers`: expected value at line 1 column 1".to_owned();
    assert_eq!(listed[0].state, DeliveryState::Dead { at: after(0), reason });
    assert_eq!(subject.store().counts().await.unwrap().dead, 1);
}

#[tokio::test]
async fn no_statement_is_recompiled_for_its_bound_values() {
    let subject = Sqlite::open(Settings::default()).await;
    let compiled = in_writer(&subject, |writer| {
        let connection = &writer.file.connection;
        // Statements that use a partial index, a join, and a limit.
        let sqls = [NEXT_QUEUED, FORGET_DEDUP_KEYS, OLDEST];
        for value in 0..9 {
            for sql in sqls {
                let mut statement = connection.prepare_cached(sql)?;
                let unbound = vec![value; statement.parameter_count()];
                let mut rows = statement.query(params_from_iter(unbound))?;
                while rows.next()?.is_some() {}
            }
        }
        let again = |sql| {
            Ok(connection
                .prepare_cached(sql)?
                .get_status(StatementStatus::RePrepare))
        };
        sqls.into_iter().map(again).collect::<rusqlite::Result<Vec<_>>>()
    })
    .await;
    assert_eq!(compiled, [0, 0, 0]);
}

#[tokio::test]
async fn the_queue_is_read_by_its_index_from_the_last_key() {
    let subject = Sqlite::open(Settings::default()).await;
    for (sql, by) in [
        (SAME_DUE, "rule=? AND due=? AND seq>?"),
        (LATER, "rule=? AND due>?"),
        (NEXT_RULE, "rule>?"),
    ] {
        let plan = in_writer(&subject, move |writer| {
            let mut plan = writer
                .file
                .connection
                .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
            let unbound = vec![0; plan.parameter_count()];
            let steps = plan.query_map(params_from_iter(unbound), |row| row.get::<_, String>(3))?;
            steps.collect::<rusqlite::Result<Vec<_>>>()
        })
        .await;
        assert_eq!(
            plan,
            [format!(
                "SEARCH deliveries USING COVERING INDEX deliveries_due ({by})"
            )]
        );
    }
}

#[tokio::test]
async fn the_log_is_checkpointed_and_stays_small() {
    let subject = Sqlite::open(Settings::default()).await;
    for number in 0..800 {
        subject.enqueue_new(&large(number), pending("deploy", &[])).await;
    }
    let log = subject.path().with_extension("db-wal").metadata().unwrap().len();
    assert!(log < 24 << 20, "{log}");
}

#[tokio::test]
async fn a_sweep_forgets_a_few_large_events_at_a_time() {
    let mut settings = Settings::default();
    settings.keep.done = Duration::ZERO;
    let subject = Sqlite::open(settings).await;
    for number in 0..5 {
        let large = Received {
            body: Bytes::from(vec![b'x'; 3 << 20]),
            ..arrival(number)
        };
        let delivery = subject.enqueue_new(&large, pending("deploy", &[])).await;
        subject.lease_all(after(number)).await;
        subject.settle(delivery, done(number)).await;
    }
    let mut steps = Vec::new();
    while let step @ 1.. = subject.store().sweep(after(1000)).await.unwrap() {
        steps.push(step);
    }
    assert_eq!(steps, [3, 2]);
}
