//! Pauses of rules: kept also after a crash. No lease of a rule that is paused or not wanted.

use std::sync::Arc;

use super::{Subject, UNLIMITED, after, arrival, done, pending};
use crate::store::{Pause, PauseSubject, Pauses, Settings, Settlement, Wanted, WantedRules};

fn pause(subject: PauseSubject, millis: i64) -> Pause {
    Pause {
        subject,
        since: after(millis),
        by: "ann".into(),
    }
}

fn rule(name: &str) -> PauseSubject {
    PauseSubject::Rule(name.into())
}

/// Limits that allow everything but paused rules.
async fn wanted<S: Subject>(subject: &S) -> Wanted {
    Wanted {
        paused: Pauses::new(subject.store().pauses().await.unwrap()).rules,
        ..Wanted::from(UNLIMITED)
    }
}

pub async fn pauses_are_kept_also_after_a_crash_and_the_first_one_counts<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let target = pause(PauseSubject::Target("https://a.example".into()), 2);
    for new in [pause(rule("deploy"), 1), target.clone(), pause(rule("build"), 3)] {
        assert_eq!(subject.store().pause(new).await, Ok(true));
    }
    assert_eq!(subject.store().pause(pause(rule("deploy"), 9)).await, Ok(false));
    // A rule and a target of one name are two subjects.
    assert_eq!(subject.store().resume(rule("https://a.example")).await, Ok(false));
    let kept = vec![pause(rule("build"), 3), pause(rule("deploy"), 1), target.clone()];
    let subject = subject.crash().await;
    assert_eq!(subject.store().pauses().await, Ok(kept));
    let subject = subject.restart().await;
    for name in ["build", "deploy"] {
        assert_eq!(subject.store().resume(rule(name)).await, Ok(true));
    }
    assert_eq!(subject.store().resume(rule("deploy")).await, Ok(false));
    assert_eq!(subject.crash().await.store().pauses().await, Ok(vec![target]));
}

pub async fn deliveries_of_a_paused_rule_wait_and_go_on_in_order<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let mut expected = Vec::new();
    for number in 0..3 {
        let new = pending("deploy", &[]);
        expected.push(subject.enqueue_new(&arrival(number), new).await);
    }
    subject.store().pause(pause(rule("deploy"), 0)).await.unwrap();
    let mut later = pending("other", &[]);
    later.due = after(10);
    let other = subject.enqueue_new(&arrival(5), later).await;
    let subject = subject.crash().await;
    let limits = wanted(&subject).await;
    assert_eq!(
        subject.store().next_due(limits.clone()).await,
        Ok(Some(after(10)))
    );
    let leased = subject.store().lease(limits.clone(), after(20)).await.unwrap();
    let ids: Vec<_> = leased.leases.iter().map(|lease| lease.delivery).collect();
    assert_eq!(ids, [other]);
    assert!(
        !leased.held_back,
        "no end of an attempt makes room for a paused rule"
    );
    subject.settle(other, done(21)).await;
    assert_eq!(subject.store().next_due(limits).await, Ok(None));
    assert_eq!(subject.store().counts().await.unwrap().waiting, 3);
    subject.store().resume(rule("deploy")).await.unwrap();
    let limits = wanted(&subject).await;
    assert!(Arc::clone(&limits.paused).is_empty());
    let leased = subject.store().lease(limits, after(20)).await.unwrap();
    let ids: Vec<_> = leased.leases.iter().map(|lease| lease.delivery).collect();
    assert_eq!(ids, expected);
}

pub async fn an_attempt_that_runs_is_settled_and_the_next_action_waits<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let delivery = subject.enqueue_new(&arrival(0), pending("deploy", &[])).await;
    assert_eq!(subject.lease_all(after(1)).await, [delivery]);
    subject.store().pause(pause(rule("deploy"), 1)).await.unwrap();
    let next = Settlement::Next {
        action: 1,
        due: after(2),
    };
    subject.settle(delivery, next).await;
    let limits = wanted(&subject).await;
    assert!(
        subject
            .store()
            .lease(limits, after(3))
            .await
            .unwrap()
            .leases
            .is_empty()
    );
    assert_eq!(subject.lease_all(after(3)).await, [delivery]);
    subject.settle(delivery, done(4)).await;
}

pub async fn deliveries_of_rules_that_are_not_wanted_wait_and_delay_none<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    let other = subject.enqueue_new(&arrival(0), pending("other", &[])).await;
    let own = subject.enqueue_new(&arrival(1), pending("own", &[])).await;
    let only = Wanted {
        rules: WantedRules::Only(Arc::new([Arc::from("own")].into())),
        ..Wanted::from(UNLIMITED)
    };
    let store = subject.store();
    assert_eq!(store.next_due(only.clone()).await, Ok(Some(after(0))));
    let leased = store.lease(only.clone(), after(1)).await.unwrap();
    assert_eq!(leased.leases.len(), 1);
    assert_eq!((leased.leases[0].delivery, leased.held_back), (own, false));
    assert_eq!(store.next_due(only).await, Ok(None));
    assert_eq!(subject.lease_all(after(1)).await, [other]);
}
