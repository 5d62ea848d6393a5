//! Stores that are opened: by several nodes at once, by roles with few privileges, or after a later
//! hookyard.

use tokio::task::JoinSet;

use super::super::link::Link;
use super::super::{PostgresStore, ServerUrl, Target, connect_check, drop_schema};
use crate::store::contract::Postgres;
use crate::store::{Settings, StoreError};

async fn run(target: &Target, sql: &str) {
    Link::connect(target, "test")
        .await
        .unwrap()
        .run(sql)
        .await
        .unwrap();
}

async fn opened(target: &Target) -> Result<PostgresStore, StoreError> {
    PostgresStore::open(target.clone(), Settings::default()).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: `just cluster`"]
async fn nodes_that_start_at_the_same_moment_make_the_tables_once() {
    let target = Postgres::target();
    let mut starting = JoinSet::new();
    for _ in 0..6 {
        let target = target.clone();
        starting.spawn(async move { opened(&target).await });
    }
    let mut stores = Vec::new();
    while let Some(started) = starting.join_next().await {
        stores.push(started.unwrap().unwrap());
    }
    let ids: std::collections::BTreeSet<i64> = stores.iter().map(PostgresStore::node_id).collect();
    assert_eq!(ids.len(), 6);
    drop(stores);
    drop_schema(&target).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: `just cluster`"]
async fn tables_of_a_later_hookyard_are_used_only_if_it_allows_it() {
    let target = Postgres::target();
    assert_eq!(connect_check(&target).await.unwrap().schema, None);
    drop(opened(&target).await.unwrap());
    assert_eq!(connect_check(&target).await.unwrap().schema, Some(1));
    run(&target, "UPDATE store SET version = 9").await;
    drop(opened(&target).await.unwrap());
    assert_eq!(connect_check(&target).await.unwrap().schema, Some(9));
    run(&target, "UPDATE store SET least = 8").await;
    let newer = StoreError::NewerSchema {
        schema: target.schema.clone(),
        found: 9,
        known: 1,
    };
    assert_eq!(opened(&target).await.err(), Some(newer.clone()));
    assert_eq!(connect_check(&target).await.err(), Some(newer.clone()));
    assert!(!newer.may_pass());
    drop_schema(&target).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: `just cluster`"]
async fn a_role_needs_no_more_than_a_schema_of_its_own() {
    let admin = Postgres::target();
    let role = format!("role_{}", &admin.schema[5..]);
    run(&admin, &format!("CREATE ROLE {role} LOGIN")).await;
    let url = std::env::var("HOOKYARD_TEST_POSTGRES").unwrap();
    let target = Target {
        server: ServerUrl::parse(&url.replace("postgres@", &format!("{role}@"))).unwrap(),
        ..admin.clone()
    };
    match opened(&target).await.err() {
        Some(StoreError::Refused { detail }) => {
            assert!(
                detail.contains("42501") && detail.contains("CREATE SCHEMA"),
                "{detail}"
            );
        }
        other => panic!("not refused: {other:?}"),
    }
    run(
        &admin,
        &format!("CREATE SCHEMA {} AUTHORIZATION {role}", admin.schema),
    )
    .await;
    drop(opened(&target).await.unwrap());
    // It sees that there are standbys, without being allowed to see their state.
    assert_eq!(connect_check(&target).await.unwrap().refusal, None);

    let stranger = format!("other_{}", &admin.schema[5..]);
    run(&admin, &format!("CREATE ROLE {stranger} LOGIN")).await;
    let outside = Target {
        server: ServerUrl::parse(&url.replace("postgres@", &format!("{stranger}@"))).unwrap(),
        ..admin.clone()
    };
    for refused in [opened(&outside).await.err(), connect_check(&outside).await.err()] {
        let refused = refused.unwrap();
        assert!(matches!(refused, StoreError::Refused { .. }), "{refused}");
        assert!(
            refused.to_string().contains("permission denied for schema"),
            "{refused}"
        );
    }
    drop_schema(&admin).await;
    run(&admin, &format!("DROP ROLE {role}; DROP ROLE {stranger}")).await;
}
