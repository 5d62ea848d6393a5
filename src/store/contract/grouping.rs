//! Groups of dead letters, and the deliveries that have not ended, as the operator sees them.

use super::{Recorded, after, arrival, pending};
use crate::store::{
    BacklogCounts, Debounce, DeliveryId, Group, GroupBacklog, NewDelivery, Overlap, Settings, Settlement,
};

async fn dead(subject: &impl Recorded, rule: &str, millis: i64, reason: &str) -> DeliveryId {
    let id = subject.enqueue_new(&arrival(millis), pending(rule, &[])).await;
    subject.lease_all(after(millis)).await;
    let settlement = Settlement::Dead {
        at: after(millis),
        reason: reason.to_owned(),
        forget_dedup_keys: false,
        failure: None,
    };
    subject.settle(id, settlement).await;
    id
}

fn groups(subject: &impl Recorded) -> Vec<(String, String, u64)> {
    let groups = subject.history().dead_groups().unwrap();
    let groups = groups.groups.into_iter();
    groups
        .map(|group| (group.rule, group.reason, group.count))
        .collect()
}

fn group(rule: &str, reason: &str, count: u64) -> (String, String, u64) {
    (rule.to_owned(), reason.to_owned(), count)
}

pub async fn dead_letters_of_one_cause_are_one_group_that_is_selected_replayed_and_dropped_exactly<
    S: Recorded,
>() {
    let subject = S::open(Settings::default()).await;
    let first = dead(&subject, "deploy", 1, "exit 3").await;
    let second = dead(&subject, "deploy", 2, "exit 3").await;
    dead(&subject, "deploy", 3, "exit 4").await;
    let refused = dead(&subject, "build", 4, "cannot connect to 127.0.0.1:41000").await;
    let last = dead(&subject, "build", 5, "cannot connect to 127.0.0.1:42000").await;
    let stable = "cannot connect to 127.0.0.1:…";
    assert_eq!(
        groups(&subject),
        [
            group("build", stable, 2),
            group("deploy", "exit 3", 2),
            group("deploy", "exit 4", 1)
        ]
    );
    let history = subject.history();
    let found = history.dead_groups().unwrap();
    assert_eq!((found.number, found.looked_at, found.is_cut), (3, 5, false));
    let build = &found.groups[0];
    assert_eq!(
        (build.first, build.last, build.sample),
        (after(4), after(5), last)
    );
    assert_eq!(build.sample_reason, "cannot connect to 127.0.0.1:42000");
    assert_eq!(history.dead_by_rule().unwrap()["deploy"], 3);

    let selected = |rule, reason| history.select_dead(rule, reason).unwrap();
    assert_eq!(selected("build", Some(stable)).deliveries, [refused, last]);
    assert_eq!(
        (
            selected("deploy", None).count,
            selected("deploy", Some("exit 9")).count
        ),
        (3, 0)
    );
    let deploy = selected("deploy", Some("exit 3"));
    assert_eq!((&*deploy.deliveries, deploy.count), (&[first, second][..], 2));

    assert_eq!(
        subject.records().replay(&deploy.deliveries, after(9), "lea"),
        Ok(2)
    );
    assert_eq!(
        groups(&subject),
        [group("build", stable, 2), group("deploy", "exit 4", 1)]
    );
    // What is dead again is the group again.
    subject.lease_all(after(10)).await;
    let again = dead(&subject, "deploy", 11, "exit 3").await;
    assert_eq!(groups(&subject).last(), Some(&group("deploy", "exit 4", 1)));
    let gone = [refused, last, again];
    assert_eq!(
        subject
            .records()
            .drop_deliveries(&gone, after(12), "lea")
            .unwrap()
            .forgotten,
        3
    );
    assert_eq!(groups(&subject), [group("deploy", "exit 4", 1)]);
    // The failed delivery of a failure is no dead letter, and a snapshot stays as it was.
    assert_eq!(history.dead_groups().unwrap().looked_at, 5);
}

pub async fn the_backlog_counts_what_waits_and_ended_deliveries_do_not_count<S: Recorded>() {
    let subject = S::open(Settings::default()).await;
    dead(&subject, "one", 1, "exit 3").await;
    let in_group = || NewDelivery {
        group: Some(Group {
            name: "site".into(),
            limit: 1,
            overlap: Overlap::Queue,
        }),
        ..pending("one", &[])
    };
    for millis in 2..5 {
        subject.enqueue_new(&arrival(millis), in_group()).await;
    }
    let later = NewDelivery {
        due: after(500),
        ..pending("two", &[])
    };
    subject.enqueue_new(&arrival(6), later).await;
    let debounce = Debounce {
        quiet: std::time::Duration::from_secs(1),
        at_most: std::time::Duration::from_mins(1),
    };
    let debounced = NewDelivery {
        debounce: Some(debounce),
        due: after(1007),
        ..pending("three", &[])
    };
    subject.enqueue_new(&arrival(7), debounced).await;

    let history = subject.history();
    let backlog = history.backlog(after(10), 0).unwrap();
    let counts = |rule: &str| backlog.rules[rule];
    assert_eq!((counts("one").due, counts("one").queued), (1, 2));
    assert_eq!(
        counts("two"),
        BacklogCounts {
            later: 1,
            next_due: Some(after(500)),
            ..BacklogCounts::default()
        }
    );
    assert_eq!((counts("three").debounced, counts("three").all()), (1, 1));
    assert_eq!(backlog.group_count, 1);
    assert_eq!(
        backlog.groups,
        [GroupBacklog {
            name: "site".to_owned(),
            rule: "one".to_owned(),
            begun: 1,
            queued: 2,
            limit: 1,
        }]
    );
    let first: Vec<(&str, u64)> = backlog
        .first
        .iter()
        .map(|entry| (&*entry.listed.delivery.rule, entry.ahead))
        .collect();
    assert_eq!(
        first,
        [("one", 0), ("two", 0), ("three", 0), ("one", 0), ("one", 1)]
    );
}
