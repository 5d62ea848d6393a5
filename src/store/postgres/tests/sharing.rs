//! Several nodes on one store.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::store::contract::{Postgres, Subject, UNLIMITED, after, arrival, done, new_event_of, pending};
use crate::store::postgres::{Target, Wake};
use crate::store::{
    DeliveryId, Group, InForce, Interruption, NewDelivery, NewEvent, Overlap, Settings, Settlement,
    StoreError, StoreOrder, Wanted, WantedRules,
};

/// Longer than anything here takes, for a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// Runs a statement, as another program would.
async fn run(subject: &Postgres, sql: &'static str) {
    let requests = &subject.postgres().requests;
    let ran = requests.ask(move |link| Box::pin(async move { link.run(sql).await }));
    ran.await.unwrap();
}

async fn with_lease(lease: Duration) -> Postgres {
    Postgres::open_as(Target {
        lease,
        ..Postgres::target()
    })
    .await
}

fn rules(names: &[&str]) -> InForce {
    let rules: Arc<HashSet<Arc<str>>> = Arc::new(names.iter().map(|name| Arc::from(*name)).collect());
    InForce {
        generation: 3,
        sha256: "abc".to_owned(),
        known: Arc::clone(&rules),
        rules,
    }
}

/// Has a node make a heartbeat at once, and waits until others know of it.
async fn beat(subject: &Postgres) {
    let before = heard_of(subject).await;
    subject.postgres().node.beat_now.notify_one();
    timeout(LIMIT, async {
        while heard_of(subject).await == before {
            sleep(Duration::from_millis(5)).await;
        }
        // The end of the heartbeat.
        subject.store().next_due(UNLIMITED.into()).await.unwrap();
    })
    .await
    .unwrap();
}

async fn heard_of(subject: &Postgres) -> String {
    let heard = subject.postgres().requests.ask(move |link| {
        Box::pin(async move {
            let rows = link
                .query("SELECT string_agg(id || ' ' || heard_of, ' ') FROM nodes", &[])
                .await?;
            Ok(rows[0].get::<_, Option<String>>(0).unwrap_or_default())
        })
    });
    heard.await.unwrap()
}

/// Leases until there is something.
async fn lease_some(subject: &Postgres) -> Vec<crate::store::Lease> {
    timeout(LIMIT, async {
        loop {
            let leases = subject.leases(after(0)).await;
            if !leases.is_empty() {
                return leases;
            }
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap()
}

async fn order(subject: &Postgres) -> StoreOrder {
    timeout(LIMIT, subject.store().news().order()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: `just cluster`"]
async fn two_nodes_lease_everything_once() {
    let one = Postgres::open(Settings::default()).await;
    let other = one.another("other").await;
    let mut all = HashSet::new();
    for _ in 0..60 {
        all.insert(one.enqueue_new(&arrival(0), pending("deploy", &[])).await);
    }
    let (first, second) = tokio::join!(one.lease_all(after(0)), other.lease_all(after(0)));
    let rest = one.lease_all(after(0)).await;
    let leased: Vec<DeliveryId> = [first, second, rest].concat();
    assert_eq!(leased.len(), 60);
    assert_eq!(leased.into_iter().collect::<HashSet<_>>(), all);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: `just cluster`"]
async fn deliveries_of_a_node_that_is_gone_go_on_elsewhere() {
    let one = with_lease(Duration::from_millis(1200)).await;
    let other = one.another("other").await;
    let delivery = one.enqueue_new(&arrival(0), pending("deploy", &[])).await;
    assert_eq!(one.lease_all(after(0)).await, [delivery]);
    one.store().mark_begun(after(0)).await.unwrap();
    assert!(other.lease_all(after(0)).await.is_empty());
    let schema = one.killed();
    let leases = lease_some(&other).await;
    let since = after(0);
    assert_eq!(leases[0].interrupted, Some(Interruption { in_a_row: 1, since }));
    assert_eq!(
        (leases[0].delivery, leases[0].attempt, leases[0].suspect),
        (delivery, 2, true)
    );
    let attempts = other.store().attempts(delivery).await.unwrap();
    assert_eq!(attempts.len(), 1);
    let nodes = other.store().nodes().await.unwrap();
    assert_eq!(nodes.len(), 1);
    assert_eq!(
        (&*nodes[0].name, nodes[0].is_self, nodes[0].leases),
        ("other", true, 1)
    );
    drop(schema);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: `just cluster`"]
async fn a_node_that_lives_is_not_buried() {
    let one = with_lease(Duration::from_millis(1200)).await;
    let other = one.another("other").await;
    let delivery = one.enqueue_new(&arrival(0), pending("deploy", &[])).await;
    assert_eq!(one.lease_all(after(0)).await, [delivery]);
    sleep(Duration::from_millis(3600)).await;
    assert!(other.lease_all(after(0)).await.is_empty());
    one.settle(delivery, done(0)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: `just cluster`"]
async fn a_buried_node_writes_nothing_and_joins_again() {
    let one = Postgres::open(Settings::default()).await;
    let other = one.another("other").await;
    let delivery = one.enqueue_new(&arrival(0), pending("deploy", &[])).await;
    assert_eq!(one.lease_all(after(0)).await, [delivery]);
    let before = one.postgres().node_id();
    other.postgres().bury(&[before]).await.unwrap();
    assert!(
        one.lease_all(after(0)).await.is_empty(),
        "a buried node leases nothing"
    );
    assert_eq!(other.lease_all(after(0)).await, [delivery]);
    let late = crate::store::Settled::unattempted(delivery, done(1));
    assert_eq!(
        one.store().settle(late).await,
        Err(StoreError::NotLeased { delivery })
    );
    other.settle(delivery, done(2)).await;
    beat(&one).await;
    assert_ne!(one.postgres().node_id(), before);
    assert_eq!(order(&one).await, StoreOrder::StopGroups);
    let next = other.enqueue_new(&arrival(1), pending("deploy", &[])).await;
    assert_eq!(one.lease_all(after(0)).await, [next]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: `just cluster`"]
async fn the_next_action_is_for_the_node_that_began_as_long_as_it_lives() {
    let one = Postgres::open(Settings::default()).await;
    let other = one.another("other").await;
    let delivery = one.enqueue_new(&arrival(0), pending("deploy", &[])).await;
    for action in 1..3 {
        assert_eq!(one.lease_all(after(0)).await, [delivery]);
        let due = after(0);
        one.settle(delivery, Settlement::Next { action, due }).await;
        assert!(other.lease_all(after(0)).await.is_empty());
        assert_eq!(other.store().next_due(UNLIMITED.into()).await, Ok(None));
    }
    other.postgres().bury(&[one.postgres().node_id()]).await.unwrap();
    let leases = other.leases(after(0)).await;
    assert_eq!(
        (leases.len(), leases[0].delivery, leases[0].action),
        (1, delivery, 2)
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: `just cluster`"]
async fn what_another_node_supersedes_is_stopped() {
    let one = Postgres::open(Settings::default()).await;
    let other = one.another("other").await;
    let replacing = || NewDelivery {
        group: Some(Group {
            name: Arc::from("g"),
            limit: 1,
            overlap: Overlap::Replace,
        }),
        ..pending("deploy", &[])
    };
    let running = one.enqueue_new(&arrival(0), replacing()).await;
    assert_eq!(one.lease_all(after(0)).await, [running]);
    let newer = other.enqueue_new(&arrival(1), replacing()).await;
    assert!(other.lease_all(after(1)).await.is_empty());
    beat(&one).await;
    assert_eq!(order(&one).await, StoreOrder::Stop(running));
    let (at, reason) = (after(1), "replaced".to_owned());
    one.settle(running, Settlement::Superseded { at, reason }).await;
    assert_eq!(other.lease_all(after(1)).await, [newer]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: `just cluster`"]
async fn a_clean_stop_releases_at_once() {
    let one = Postgres::open(Settings::default()).await;
    let other = one.another("other").await;
    let delivery = one.enqueue_new(&arrival(0), pending("deploy", &[])).await;
    assert_eq!(one.lease_all(after(0)).await, [delivery]);
    one.store().close().await.unwrap();
    let leases = other.leases(after(0)).await;
    assert_eq!(
        (leases[0].delivery, leases[0].attempt, leases[0].suspect),
        (delivery, 1, false)
    );
    assert_eq!(other.store().attempts(delivery).await.unwrap().len(), 1);
    let counts = other.store().counts().await.unwrap();
    assert_eq!((counts.events, counts.leased), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: `just cluster`"]
async fn a_lease_of_which_the_node_does_not_know_is_released() {
    let one = Postgres::open(Settings::default()).await;
    let delivery = one.enqueue_new(&arrival(0), pending("deploy", &[])).await;
    run(
        &one,
        "UPDATE queue SET node = (SELECT max(id) FROM nodes), lease = 7, leased_at = 0",
    )
    .await;
    assert!(one.lease_all(after(0)).await.is_empty());
    beat(&one).await;
    assert_eq!(one.lease_all(after(0)).await, [delivery]);
    beat(&one).await;
    one.settle(delivery, done(0)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: `just cluster`"]
async fn a_rule_that_no_node_has_for_ten_minutes_is_leased_by_one_that_lacks_it() {
    let one = Postgres::open(Settings::default()).await;
    let other = one.another("other").await;
    let only = |name: &str| Wanted {
        rules: WantedRules::Only(rules(&[name]).rules),
        ..Wanted::from(UNLIMITED)
    };
    let delivery = one.enqueue_new(&arrival(0), pending("gone", &[])).await;
    other.store().serve(rules(&["gone"]));
    beat(&other).await;
    one.store().serve(rules(&["own"]));
    beat(&one).await;
    run(&one, "UPDATE orphans SET since = since - interval '11 min'").await;
    let leased = |lease: crate::store::Leased| -> Vec<DeliveryId> {
        lease.leases.iter().map(|lease| lease.delivery).collect()
    };
    let lease = async || leased(one.store().lease(only("own"), after(0)).await.unwrap());
    beat(&one).await;
    assert!(lease().await.is_empty(), "the other node has the rule");
    other.store().serve(rules(&["own"]));
    beat(&other).await;
    beat(&one).await;
    beat(&other).await;
    assert!(lease().await.is_empty(), "a node may come that has it");
    run(&one, "UPDATE orphans SET since = since - interval '11 min'").await;
    beat(&one).await;
    beat(&other).await;
    let by_other = leased(other.store().lease(only("own"), after(0)).await.unwrap());
    // One of them has the duty.
    assert_eq!([lease().await, by_other].concat(), [delivery]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: `just cluster`"]
async fn nodes_list_each_other_with_their_rules() {
    let one = Postgres::open(Settings::default()).await;
    let other = one.another("other").await;
    other.store().serve(rules(&["deploy"]));
    beat(&other).await;
    let nodes = one.store().nodes().await.unwrap();
    let listed: Vec<_> = nodes
        .iter()
        .map(|node| (&*node.name, node.is_self, node.generation, node.sha256.as_str()))
        .collect();
    assert_eq!(listed, [("other", false, 3, "abc"), ("test", true, 0, "")]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: `just cluster`"]
async fn a_node_that_is_cut_off_stops_its_groups_and_takes_nothing() {
    let one = with_lease(Duration::from_secs(3)).await;
    // Heartbeats wait for this transaction.
    let locked = run(&one, "BEGIN; LOCK TABLE nodes; SELECT pg_sleep(4); COMMIT");
    let cut_off = async {
        assert_eq!(order(&one).await, StoreOrder::StopGroups);
        let enqueued = one.enqueue(&arrival(0), &[pending("deploy", &[])]).await;
        assert!(
            matches!(enqueued, Err(StoreError::Unavailable { .. })),
            "{enqueued:?}"
        );
        let leased = one.store().lease(UNLIMITED.into(), after(0)).await;
        assert!(matches!(leased, Err(StoreError::Unavailable { .. })));
        assert!(one.store().health().await.unwrap().full.is_some());
    };
    tokio::join!(locked, cut_off);
    beat(&one).await;
    let delivery = one.enqueue_new(&arrival(0), pending("deploy", &[])).await;
    assert_eq!(one.lease_all(after(0)).await, [delivery]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: `just cluster`"]
async fn a_delivery_whose_sender_waits_is_for_the_node_that_took_it() {
    let one = Postgres::open(Settings::default()).await;
    let other = one.another("other").await;
    let awaited = NewEvent {
        status: None,
        ..new_event_of(&arrival(0), &[pending("own", &[]), pending("foreign", &[])])
    };
    one.store().serve(rules(&["own"]));
    one.store().enqueue(awaited).await.unwrap();
    let leases = other.leases(after(0)).await;
    let rules_leased: Vec<&str> = leases.iter().map(|lease| &*lease.rule).collect();
    assert_eq!(
        rules_leased,
        ["foreign"],
        "the other one is not performed by the node that took it"
    );
    assert_eq!(one.leases(after(0)).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: `just cluster`"]
async fn a_node_wakes_another_for_work_that_it_does_not_do() {
    let one = Postgres::open_as(Target {
        wake: Wake::Notify,
        ..Postgres::target()
    })
    .await;
    let other = one.another("other").await;
    let listened = async {
        // Until both listen, nothing that is told is heard.
        loop {
            let replacing = || NewDelivery {
                group: Some(Group {
                    name: Arc::from("g"),
                    limit: 1,
                    overlap: Overlap::Replace,
                }),
                ..pending("deploy", &[])
            };
            let running = one.enqueue_new(&arrival(0), replacing()).await;
            let leased = one.lease_all(after(0)).await;
            other.enqueue_new(&arrival(1), replacing()).await;
            let told = timeout(Duration::from_millis(300), one.store().news().order()).await;
            let (at, reason) = (after(1), "replaced".to_owned());
            for delivery in leased {
                one.settle(
                    delivery,
                    Settlement::Superseded {
                        at,
                        reason: reason.clone(),
                    },
                )
                .await;
            }
            for delivery in one.lease_all(after(1)).await {
                one.settle(delivery, done(1)).await;
            }
            if told == Ok(StoreOrder::Stop(running)) {
                return;
            }
        }
    };
    timeout(LIMIT, listened).await.unwrap();
}
