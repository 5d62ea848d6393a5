//! Lists of what a store holds, as the operator's commands and the page show them.

use std::sync::Arc;

use super::{Recorded, Subject, after, arrival, dead, done, new_event_of, pending, record};
use crate::event::{ArrivalOutcome, Decision, EventId, Received, RuleDecision};
use crate::store::{
    ArrivalFilter, ArrivalRecord, DeliveryFilter, DeliveryState, History, Lookup, Named, NewEvent, Ring,
    Settings, Settled, Settlement,
};

/// A request from a client at a moment. Several have the same one.
fn request(number: i64) -> Received {
    let octet = u8::try_from(number % 5).unwrap();
    Received {
        endpoint: Arc::from(if number % 4 == 0 { "/a" } else { "/b" }),
        client: Some([192, 0, 2, octet].into()),
        ..arrival(number / 7)
    }
}

fn refused(number: i64) -> ArrivalRecord {
    let received = request(number);
    ArrivalRecord {
        size: received.body.len() as u64,
        received: Arc::new(received),
        ring: Ring::Refused,
        outcome: ArrivalOutcome::Refused,
        status: 403,
        reason: format!("no signature {number}"),
        decision: Decision::default(),
        decode: "json".to_owned(),
        proofs: Vec::new(),
        endpoint_limit: None,
    }
}

/// An arrival as a test knows it.
struct Known {
    id: EventId,
    number: i64,
    outcome: &'static str,
    rule: &'static str,
    state: &'static str,
}

/// Fills a store with events, whose deliveries are done, dead or wait, and with refused arrivals.
async fn filled(subject: &impl Subject, number: i64) -> Vec<Known> {
    let mut all = Vec::new();
    for number in 0..number {
        let received = request(number);
        let mut known = Known {
            id: received.id,
            number,
            outcome: "accepted",
            rule: if number % 3 == 0 { "rare" } else { "often" },
            state: ["waiting", "done", "dead"][usize::try_from(number % 11 % 3).unwrap()],
        };
        if number % 5 == 2 {
            let record = refused(number);
            known.id = record.received.id;
            (known.outcome, known.rule, known.state) = ("refused", "", "");
            subject.store().record_arrivals(vec![record]).await.unwrap();
        } else {
            if number % 5 == 3 {
                known.outcome = "fired";
            }
            let event = NewEvent {
                fired_by: (known.outcome == "fired").then(|| "lea".into()),
                ..new_event_of(&received, &[pending(known.rule, &[])])
            };
            subject.store().enqueue(event).await.unwrap();
            for id in subject.lease_all(after(number)).await {
                match known.state {
                    "done" => subject.settle(id, done(number)).await,
                    "dead" => subject.settle(id, dead(number)).await,
                    _ => {
                        subject
                            .settle(
                                id,
                                Settlement::Retry {
                                    due: after(1_000_000),
                                },
                            )
                            .await;
                    }
                }
            }
        }
        all.push(known);
    }
    all.sort_by_key(|known| std::cmp::Reverse(known.id));
    all
}

/// All arrivals of a filter, by windows of `rows` with pages of `limit`.
fn pages(history: &History, filter: &ArrivalFilter, rows: usize, limit: usize) -> Vec<EventId> {
    let (mut ids, mut before) = (Vec::new(), None);
    loop {
        let window = history.arrivals_in_window(filter, before, rows, limit).unwrap();
        let listed: Vec<EventId> = window.arrivals.iter().map(|listed| listed.id).collect();
        assert!(listed.len() <= limit);
        assert!(listed.is_sorted_by(|one, next| one > next));
        let next = if listed.len() == limit {
            listed.last().copied()
        } else {
            window.floor
        };
        ids.extend(listed);
        match next {
            None => return ids,
            Some(next) => {
                assert!(before.is_none_or(|before| next < before), "the windows move back");
                before = Some(next);
            }
        }
    }
}

/// Decides whether a filter wants an arrival.
type Wants = fn(&Known) -> bool;

fn filters() -> Vec<(ArrivalFilter, Wants)> {
    let all = ArrivalFilter::default;
    let outcome = |outcome| ArrivalFilter {
        outcome: Some(outcome),
        ..all()
    };
    vec![
        (all(), |_| true),
        (outcome(ArrivalOutcome::Accepted), |known| {
            known.outcome == "accepted"
        }),
        (outcome(ArrivalOutcome::Fired), |known| known.outcome == "fired"),
        (outcome(ArrivalOutcome::Refused), |known| {
            known.outcome == "refused"
        }),
        (outcome(ArrivalOutcome::Ignored), |_| false),
        (
            ArrivalFilter {
                endpoint: Some("/a".to_owned()),
                ..all()
            },
            |known| known.number % 4 == 0,
        ),
        (
            ArrivalFilter {
                rule: Some("rare".to_owned()),
                ..all()
            },
            |known| known.rule == "rare",
        ),
        (
            ArrivalFilter {
                state: Some("dead"),
                rule: Some("often".to_owned()),
                ..all()
            },
            |known| known.state == "dead" && known.rule == "often",
        ),
        (
            ArrivalFilter {
                state: Some("waiting"),
                ..all()
            },
            |known| known.state == "waiting",
        ),
        (
            ArrivalFilter {
                client: Some("192.0.2.3/31".parse().unwrap()),
                ..all()
            },
            |known| known.number % 5 == 2 || known.number % 5 == 3,
        ),
        (
            ArrivalFilter {
                since: Some(after(3)),
                until: Some(after(8)),
                ..all()
            },
            |known| (3..8).contains(&(known.number / 7)),
        ),
    ]
}

pub async fn arrivals_are_listed_newest_first_without_gaps_also_at_equal_moments<S: Recorded>() {
    let subject = S::open(Settings::default()).await;
    let all = filled(&subject, 90).await;
    let history = subject.history();
    for (filter, wants) in filters() {
        let wanted = all.iter().filter(|known| wants(known));
        let wanted: Vec<EventId> = wanted.map(|known| known.id).collect();
        for (rows, limit) in [(1000, 1000), (13, 1000), (13, 4)] {
            assert_eq!(
                pages(&history, &filter, rows, limit),
                wanted,
                "{filter:?} by {rows} and {limit}"
            );
        }
    }
    let mut newest = history
        .arrivals_in_window(&ArrivalFilter::default(), None, 9, 9)
        .unwrap()
        .arrivals;
    history.add_deliveries(&mut newest).unwrap();
    for (listed, known) in newest.iter().zip(&all) {
        let rules: Vec<&str> = listed.deliveries.iter().map(|one| &*one.delivery.rule).collect();
        let expected: &[&str] = if known.rule.is_empty() { &[] } else { &[known.rule] };
        assert_eq!(rules, expected);
        assert_eq!(listed.headers.get_all("x-first").iter().count(), 2);
    }
}

pub async fn a_tail_shows_each_arrival_once_in_the_order_of_arrival<S: Recorded>() {
    let subject = S::open(Settings::default()).await;
    filled(&subject, 10).await;
    let mut tail = subject.history().tail().unwrap();
    let mut cursor = subject.history().tail_cursor().unwrap();
    let all = ArrivalFilter::default();
    assert!(
        subject
            .history()
            .arrivals_after(&all, &mut tail, 9)
            .unwrap()
            .is_empty()
    );
    let new = filled(&subject, 20).await;
    let (mut shown, mut counted) = (Vec::new(), 0);
    for _ in 0..9 {
        let listed = subject.history().arrivals_after(&all, &mut tail, 3).unwrap();
        assert!(
            listed
                .iter()
                .all(|listed| (listed.outcome == ArrivalOutcome::Refused) == listed.deliveries.is_empty())
        );
        shown.extend(listed.into_iter().map(|listed| listed.id));
        counted += subject
            .history()
            .listed_after(&all, &mut cursor, 3)
            .unwrap()
            .len();
    }
    shown.sort_unstable_by(|one, other| other.cmp(one));
    assert_eq!(shown, new.iter().map(|known| known.id).collect::<Vec<_>>());
    assert_eq!(counted, new.len());
    assert_eq!(cursor, subject.history().tail_cursor().unwrap());
}

pub async fn an_event_is_read_back_with_its_decision_and_the_attempts_at_its_deliveries<S: Recorded>() {
    let subject = S::open(Settings::default()).await;
    let received = arrival(1);
    let decision = Decision {
        generation: 7,
        rules_sha256: "00ff".into(),
        verified: Vec::new(),
        rules: vec![RuleDecision {
            rule: "deploy".into(),
            matched: true,
            reason: String::new(),
            verified_by: None,
        }],
        unlisted: 2,
    };
    let event = NewEvent {
        decision: decision.clone(),
        fired_by: Some("lea".into()),
        ..new_event_of(&received, &[pending("deploy", &["a"]), pending("build", &["b"])])
    };
    subject.store().enqueue(event).await.unwrap();
    let ids = subject.lease_all(after(2)).await;
    let settled = Settled {
        delivery: ids[0],
        attempt: Some(record(0, 1)),
        settlement: dead(5),
    };
    subject.store().settle(settled).await.unwrap();
    subject
        .store()
        .mark_answer(received.id, "no template".to_owned())
        .await
        .unwrap();

    let history = subject.history();
    let stored = history.event(received.id).unwrap().unwrap();
    let read = &stored.received;
    assert_eq!((&read.body, &read.headers), (&received.body, &received.headers));
    assert_eq!((&read.path, read.client), (&received.path, received.client));
    assert_eq!(
        (stored.decode.as_str(), stored.status, stored.is_replay),
        ("json", Some(200), false)
    );
    assert_eq!(stored.decision, decision);
    assert_eq!(stored.answer_error.as_deref(), Some("no template"));
    assert_eq!(stored.fired_by.as_deref(), Some("lea"));
    assert!(history.event(arrival(2).id).unwrap().is_none());
    let listed = history.of_event(received.id).unwrap();
    let rules: Vec<&str> = listed.iter().map(|one| &*one.delivery.rule).collect();
    assert_eq!(rules, ["deploy", "build"]);
    assert_eq!(
        listed[0].delivery.state,
        DeliveryState::Dead {
            at: after(5),
            reason: "exit 3".to_owned()
        }
    );
    assert_eq!(
        (listed[0].received_at, listed[0].endpoint.as_str()),
        (after(1), "/deploy/{app}")
    );
    let attempts = history.attempts(ids[0]).unwrap();
    assert_eq!(attempts.len(), 1);
    assert_eq!(
        (attempts[0].stdout.as_slice(), attempts[0].detail.as_str()),
        (&b"out \xff"[..], "exit 1")
    );

    let arrival = refused(3);
    subject
        .store()
        .record_arrivals(vec![arrival.clone()])
        .await
        .unwrap();
    let found = subject.history().arrival(arrival.received.id).unwrap().unwrap();
    assert_eq!(
        (found.received.body.clone(), found.reason),
        (arrival.received.body.clone(), arrival.reason)
    );
    assert!(
        history.arrival(arrival.received.id).unwrap().is_none(),
        "a snapshot stays as it was"
    );
    let refused = subject.history().refused_groups().unwrap();
    assert_eq!(
        (refused.number, refused.looked_at, refused.groups[0].count),
        (1, 1, 1)
    );
    assert_eq!(refused.groups[0].sample, arrival.received.id);
}

pub async fn deliveries_are_listed_by_rule_endpoint_state_and_time<S: Recorded>() {
    let subject = S::open(Settings::default()).await;
    let all = filled(&subject, 60).await;
    let history = subject.history();
    let listed = |filter: &DeliveryFilter| {
        let (mut rows, mut before) = (Vec::new(), i64::MAX);
        loop {
            let page = history.before(filter, before, 7).unwrap();
            let Some(last) = page.last() else { break };
            before = last.row;
            rows.extend(page.into_iter().map(|listed| listed.delivery.event));
        }
        rows
    };
    let cases: [(DeliveryFilter, Wants); 5] = [
        (DeliveryFilter::default(), |_| true),
        (
            DeliveryFilter {
                rule: Some("rare".to_owned()),
                ..DeliveryFilter::default()
            },
            |known| known.rule == "rare",
        ),
        (
            DeliveryFilter {
                endpoint: Some("/a".to_owned()),
                state: Some("dead"),
                ..DeliveryFilter::default()
            },
            |known| known.number % 4 == 0 && known.state == "dead",
        ),
        (
            DeliveryFilter {
                state: Some("waiting"),
                ..DeliveryFilter::default()
            },
            |known| known.state == "waiting",
        ),
        (
            DeliveryFilter {
                since: Some(after(4)),
                ..DeliveryFilter::default()
            },
            |known| known.number / 7 >= 4,
        ),
    ];
    for (filter, wants) in cases {
        let mut wanted: Vec<&Known> = all
            .iter()
            .filter(|known| !known.rule.is_empty() && wants(known))
            .collect();
        wanted.sort_by_key(|known| std::cmp::Reverse(known.number));
        let wanted: Vec<EventId> = wanted.iter().map(|known| known.id).collect();
        assert_eq!(listed(&filter), wanted, "{filter:?}");
    }
}

pub async fn a_prefix_finds_an_id_if_it_fits_one_event_only<S: Recorded>() {
    let subject = S::open(Settings::default()).await;
    let (first, second) = (arrival(0), arrival(86_400_000));
    let ids = [
        subject.enqueue_new(&first, pending("deploy", &["a"])).await,
        subject.enqueue_new(&second, pending("deploy", &["b"])).await,
    ];
    let history = subject.history();
    let find = |prefix: &str| history.find(prefix).unwrap();
    let event = Lookup::Found(Named::Event(first.id));
    assert_eq!(find(&first.id.to_string()), event);
    assert_eq!(find(first.id.to_string().get(..13).unwrap()), event);
    assert_eq!(find(&first.id.to_string().to_uppercase()), event);
    let delivery = Named::Delivery {
        id: ids[1],
        event: second.id,
    };
    assert_eq!(find(&ids[1].to_string()), Lookup::Found(delivery));
    for nothing in ["", "zz", "%", "ffffffff", "0' OR 1", "0-", "é"] {
        assert_eq!(find(nothing), Lookup::Nothing, "{nothing}");
    }
    assert!(matches!(find("0"), Lookup::Several(ids) if ids.len() == 4));
}
