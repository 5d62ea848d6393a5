//! Requests of days: without a table of their day, and of a past day.

use super::super::drop_schema;
use super::super::link::Link;
use crate::store::Settings;
use crate::store::contract::{Postgres, Subject, after, arrival, done, pending};

/// The tables of days, as a query.
const TABLES: &str = "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
     WHERE i.inhparent = 'requests'::regclass AND c.relname ~ '[0-9]{8}$' ORDER BY 1";

async fn count(link: &Link, sql: &str) -> usize {
    link.texts(sql).await.unwrap()[0].parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: `just cluster`"]
async fn an_event_of_a_day_without_a_table_is_kept_all_the_same() {
    let target = Postgres::target();
    let subject = Postgres::open_at(target.clone(), Settings::default()).await;
    let link = Link::connect(&target, "test").await.unwrap();
    let tables = link.texts(TABLES).await.unwrap();
    assert_eq!(tables.len(), 9, "{tables:?}");
    for table in tables {
        link.run(&format!("DROP TABLE {table}")).await.unwrap();
    }
    let given = arrival(0);
    subject.enqueue_new(&given, pending("deploy", &["a"])).await;
    // The table of that day is not made any more, the others are.
    assert_eq!(subject.store().sweep(after(0)).await, Ok(0));
    assert_eq!(link.texts(TABLES).await.unwrap().len(), 8);
    let subject = subject.crash().await;
    let leases = subject.leases(after(0)).await;
    assert_eq!(leases[0].received.body, given.body);
    subject.settle(leases[0].delivery, done(0)).await;
    assert_eq!(subject.sweep_all(after(i64::from(u32::MAX))).await, 2);
    assert_eq!(count(&link, "SELECT count(*) FROM requests").await, 0);
    drop(link);
    drop_schema(&target).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: `just cluster`"]
async fn the_table_of_a_past_day_goes_and_requests_that_are_needed_stay() {
    let target = Postgres::target();
    let subject = Postgres::open_at(target.clone(), Settings::default()).await;
    let link = Link::connect(&target, "test").await.unwrap();
    let [waits, ended] = [arrival(0), arrival(1)];
    let delivery = subject.enqueue_new(&ended, pending("deploy", &[])).await;
    assert_eq!(subject.lease_all(after(1)).await, [delivery]);
    subject.settle(delivery, done(1)).await;
    subject.enqueue_new(&waits, pending("deploy", &[])).await;
    link.run(
        "CREATE TABLE requests_20200101 (LIKE requests INCLUDING ALL); \
         ALTER TABLE requests ATTACH PARTITION requests_20200101 FOR VALUES FROM ('2020-01-01') TO ('2020-01-02'); \
         UPDATE events SET day = '2020-01-01'; UPDATE requests SET day = '2020-01-01'",
    )
    .await
    .unwrap();
    // What waits is not forgotten, although the clock of the server and its day say so.
    let week = after(7 * 24 * 3_600_000 + 2);
    assert_eq!(subject.store().sweep(week).await, Ok(1));
    assert_eq!(count(&link, "SELECT count(*) FROM requests_20200101").await, 2);
    assert_eq!(subject.store().sweep(week).await, Ok(0));
    assert_eq!(link.texts(TABLES).await.unwrap().len(), 9);
    assert_eq!(count(&link, "SELECT count(*) FROM requests_kept").await, 1);
    let subject = subject.crash().await;
    let leases = subject.leases(after(1)).await;
    assert_eq!((leases.len(), &leases[0].received.body), (1, &waits.body));
    subject.settle(leases[0].delivery, done(1)).await;
    assert_eq!(subject.sweep_all(after(i64::from(u32::MAX))).await, 1);
    assert_eq!(count(&link, "SELECT count(*) FROM requests_kept").await, 0);
    drop(link);
    drop_schema(&target).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: `just cluster`"]
async fn a_table_in_use_is_dropped_by_a_later_sweep() {
    let target = Postgres::target();
    let subject = Postgres::open_at(target.clone(), Settings::default()).await;
    let (link, reader) = (
        Link::connect(&target, "test").await.unwrap(),
        Link::connect(&target, "test").await.unwrap(),
    );
    link.run(
        "CREATE TABLE requests_20200101 (LIKE requests INCLUDING ALL); \
         ALTER TABLE requests ATTACH PARTITION requests_20200101 FOR VALUES FROM ('2020-01-01') TO ('2020-01-02')",
    )
    .await
    .unwrap();
    reader.run("BEGIN; SELECT * FROM requests").await.unwrap();
    assert_eq!(subject.store().sweep(after(0)).await, Ok(0));
    assert_eq!(link.texts(TABLES).await.unwrap().len(), 10);
    reader.run("COMMIT").await.unwrap();
    assert_eq!(subject.store().sweep(after(0)).await, Ok(0));
    assert_eq!(link.texts(TABLES).await.unwrap().len(), 9);
    drop((link, reader));
    drop_schema(&target).await;
}
