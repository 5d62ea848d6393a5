//! A store that is moved from a file to a server.

use std::sync::Arc;

use crate::store::contract::{
    Postgres, Recorded, Sqlite, Subject, after, arrival, dedup_key, done, new_event_of, pending, record,
    retry,
};
use crate::store::postgres::drop_schema;
use crate::store::{
    ArrivalFilter, DeliveryFailure, DeliveryFilter, Enqueued, Group, History, NewDelivery, Overlap, Pause,
    PauseSubject, Place, Records, SecretUse, Settings, Settled, Settlement, StoreError,
};

/// Everything that a snapshot lists, as text.
fn listed(history: &History) -> Vec<String> {
    let mut all = Vec::new();
    let window = history
        .arrivals_in_window(&ArrivalFilter::default(), None, 99, 99)
        .unwrap();
    for mut arrival in window.arrivals {
        history
            .add_deliveries(std::slice::from_mut(&mut arrival))
            .unwrap();
        all.push(format!("{arrival:?}"));
        let event = history.event(arrival.id).unwrap();
        all.push(format!("{event:?} {:?}", history.arrival(arrival.id).unwrap()));
    }
    for delivery in history.before(&DeliveryFilter::default(), i64::MAX, 99).unwrap() {
        all.push(format!(
            "{delivery:?} {:?}",
            history.attempts(delivery.delivery.id).unwrap()
        ));
    }
    all.push(format!("{:?}", history.dead_groups().unwrap()));
    all.push(format!("{:?}", history.backlog(after(50), 0).unwrap()));
    all.push(format!("{:?}", history.pauses().unwrap()));
    all.push(format!("{:?}", history.tail_cursor().unwrap()));
    all
}

/// Fills a store with something of everything.
async fn filled() -> Sqlite {
    let subject = Sqlite::open(Settings::default()).await;
    let in_group = |rule: &str| NewDelivery {
        group: Some(Group {
            name: "site".into(),
            limit: 1,
            overlap: Overlap::Queue,
        }),
        ..pending(rule, &["x"])
    };
    let deliveries = [
        pending("deploy", &["a"]),
        in_group("build"),
        in_group("test"),
        pending("report", &["b"]),
    ];
    subject.enqueue(&arrival(1), &deliveries).await.unwrap();
    for id in subject.lease_all(after(2)).await {
        let delivery = subject
            .history()
            .before(&DeliveryFilter::default(), i64::MAX, 9)
            .unwrap();
        let found = delivery.iter().find(|one| one.delivery.id == id).unwrap();
        let rule = Arc::clone(&found.delivery.rule);
        let settlement = match &*rule {
            "deploy" => Settlement::Dead {
                at: after(3),
                reason: "exit 3".to_owned(),
                forget_dedup_keys: false,
                failure: Some(Box::new(DeliveryFailure {
                    action: "make".into(),
                    reason: "exit 3".into(),
                    // PostgreSQL stores no NUL in a text.
                    output: "nothing\0 to do".into(),
                })),
            },
            "build" => retry(900),
            _ => done(3),
        };
        let settled = Settled {
            delivery: id,
            attempt: Some(record(0, 1)),
            settlement,
        };
        subject.store().settle(settled).await.unwrap();
    }
    let pause = Pause {
        subject: PauseSubject::Rule("build".into()),
        since: after(5),
        by: "lea".into(),
    };
    subject.store().pause(pause).await.unwrap();
    let used = SecretUse {
        endpoint: "/deploy/{app}".into(),
        scheme: "github".into(),
        source: "env:SECRET".into(),
        last_matched: after(1),
    };
    subject.store().note_secrets(vec![used]).await.unwrap();
    subject
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: `just cluster`"]
async fn a_moved_store_lists_the_same_and_goes_on_where_it_was() {
    let file = filled().await;
    let before = listed(&file.history());
    let target = Postgres::target();
    let server = Records::at(&Place::Postgres(target.clone().into()));
    assert!(matches!(
        server.move_from(&file.path()),
        Err(StoreError::InUse { .. })
    ));
    assert!(server.history().is_err(), "nothing was made");
    file.store().close().await.unwrap();
    let counts = server.move_from(&file.path()).unwrap();
    assert_eq!(
        (counts.events, counts.waiting, counts.dead, counts.done),
        (1, 3, 1, 1)
    );
    assert_eq!(server.check().unwrap().faults, [""; 0]);
    assert_eq!(listed(&server.history().unwrap()), before);
    assert_eq!(server.secrets().unwrap(), file.records().secrets().unwrap());
    let again = server.move_from(&file.path()).unwrap_err();
    assert!(again.to_string().contains("is not empty"), "{again}");

    let moved = Postgres::open_at(target.clone(), Settings::default()).await;
    let known = moved
        .enqueue(&arrival(9), &[pending("deploy", &["a"])])
        .await
        .unwrap();
    assert!(matches!(known[..], [Enqueued::Duplicate { .. }]), "{known:?}");
    let again = NewDelivery {
        dedup_keys: vec![dedup_key("new")],
        ..pending("deploy", &[])
    };
    moved
        .store()
        .enqueue(new_event_of(&arrival(10), &[again]))
        .await
        .unwrap();
    assert_eq!(moved.lease_all(after(20)).await.len(), 2);
    assert_eq!(moved.lease_all(after(1000)).await.len(), 1);
    moved.store().close().await.unwrap();
    drop_schema(&target).await;
}
