//! Expected arrivals: kept also after a crash, replaced and forgotten.

use super::{Subject, after};
use crate::store::{Expectation, ExpectationSubject, Settings};

fn expectation(subject: ExpectationSubject, last: Option<i64>, noticed: Option<i64>) -> Expectation {
    Expectation {
        last_arrival: last.map(after),
        noticed_at: noticed.map(after),
        ..Expectation::new(subject, after(1))
    }
}

fn rule(name: &str) -> ExpectationSubject {
    ExpectationSubject::Rule(name.into())
}

fn endpoint(path: &str) -> ExpectationSubject {
    ExpectationSubject::Endpoint(path.into())
}

pub async fn expectations_are_kept_also_after_a_crash_and_the_latest_counts<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    assert_eq!(subject.store().expectations().await, Ok(Vec::new()));
    let first = vec![
        expectation(rule("deploy"), None, None),
        expectation(endpoint("/b"), Some(2), None),
        expectation(endpoint("/a"), Some(3), Some(9)),
    ];
    subject
        .store()
        .note_expectations(first, Vec::new())
        .await
        .unwrap();
    // An earlier time replaces a later one, too: the clock of the machine may have been wrong.
    let changed = vec![
        expectation(rule("deploy"), Some(5), Some(7)),
        expectation(endpoint("/b"), Some(1), None),
    ];
    let store = subject.store();
    store
        .note_expectations(changed.clone(), Vec::new())
        .await
        .unwrap();
    let [deploy, b] = <[_; 2]>::try_from(changed).unwrap();
    let kept = vec![expectation(endpoint("/a"), Some(3), Some(9)), b, deploy];
    let subject = subject.crash().await;
    assert_eq!(subject.store().expectations().await, Ok(kept.clone()));
    let subject = subject.restart().await;
    assert_eq!(subject.store().expectations().await, Ok(kept));
}

pub async fn a_forgotten_expectation_is_gone_and_only_that_one<S: Subject>() {
    let subject = S::open(Settings::default()).await;
    // A rule and an endpoint of one name are two subjects.
    let all = vec![
        expectation(endpoint("x"), None, None),
        expectation(rule("x"), None, None),
    ];
    let store = subject.store();
    store.note_expectations(all.clone(), Vec::new()).await.unwrap();
    let gone = vec![rule("x"), rule("unknown")];
    store.note_expectations(Vec::new(), gone).await.unwrap();
    let kept = all.into_iter().take(1).collect();
    assert_eq!(subject.crash().await.store().expectations().await, Ok(kept));
}
