//! Silence: nothing genuine came for `expect_every`.
//!
//! The decision is pure: time is an argument. The event for `on_silence` is made here, too.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::json;

use crate::base::clock::Timestamp;
use crate::base::units::HumanDuration;
use crate::event::{Decision, DedupKey, EventId, Received, RuleDecision};
use crate::payload::Decode;
use crate::rules::{ExpectedArrival, Rule, RuleSet};
use crate::store::{Expectation, NewDelivery, NewEvent};

/// `fired_by` of an event about a silence.
pub const FIRED_BY: &str = "hookyard (silence)";

/// Longest time for which the daemon listens, after a start or a sleep of the machine, before it
/// calls a sender silent. What the sender called in between may come again.
pub const GRACE: Duration = Duration::from_hours(1);

/// Time without a look after which the machine is taken to have slept.
pub const SLEPT: Duration = Duration::from_mins(1);

/// Time for which an event about a silence is remembered, so that a crash causes no second one.
const REMEMBERED: Duration = Duration::from_hours(366 * 24);

/// A change of an expectation that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing genuine came for too long.
    Silent,
    /// Something genuine came after a silence.
    CallsAgain,
}

/// The time from which the daemon has listened without a gap.
#[derive(Clone, Copy, Debug)]
pub struct Listening {
    pub since: Timestamp,
    last_look: Timestamp,
}

impl Listening {
    pub fn new(now: Timestamp) -> Self {
        Self {
            since: now,
            last_look: now,
        }
    }

    /// Records a look at `now`. After a gap, the daemon has listened since now.
    pub fn look(&mut self, now: Timestamp) {
        if now.distance(self.last_look) > SLEPT {
            self.since = now;
        }
        self.last_look = now;
    }

    /// True if the daemon has listened for long enough to call a sender silent.
    fn is_long_enough(self, every: Duration, now: Timestamp) -> bool {
        now.since(self.since) >= every.min(GRACE)
    }
}

/// Decides what becomes of an expectation. `heard` is the last genuine arrival since the last
/// decision.
pub fn decide(
    known: &Expectation,
    every: Duration,
    heard: Option<Timestamp>,
    listening: Listening,
    now: Timestamp,
) -> (Expectation, Option<Change>) {
    // A time in the future comes from a clock that was wrong.
    let mut next = Expectation {
        since: known.since.min(now),
        last_arrival: known.last_arrival.max(heard).map(|at| at.min(now)),
        ..known.clone()
    };
    if heard.is_some() {
        let was_silent = next.noticed_at.take().is_some();
        return (next, was_silent.then_some(Change::CallsAgain));
    }
    if now.since(next.quiet_since()) < every {
        // The rules allow a longer silence now.
        next.noticed_at = None;
        return (next, None);
    }
    if next.noticed_at.is_some() || !listening.is_long_enough(every, now) {
        return (next, None);
    }
    next.noticed_at = Some(now);
    (next, Some(Change::Silent))
}

/// Builds the event of a silence with its only delivery, to the actions of `on_silence`.
///
/// Its dedup key names the silence by its beginning. A daemon that ends between this write and the
/// next one notices the same silence again, and the store then calls the event a duplicate.
pub fn silence_event(
    rules: &RuleSet,
    expected: &ExpectedArrival,
    on_silence: &Rule,
    known: &Expectation,
    now: Timestamp,
) -> NewEvent {
    let quiet_since = known.quiet_since();
    let silent_for = HumanDuration(Duration::from_secs(now.since(quiet_since).as_secs()));
    let every = HumanDuration(expected.every);
    let body = json!({
        "endpoint": &*expected.endpoint,
        "rule": expected.rule().map_or("", |rule| &**rule),
        "last": known.last_arrival.map_or_else(|| "never".to_owned(), |at| at.to_string()),
        "expected": every.to_string(),
        "for": silent_for.rounded(),
    });
    let json = HeaderValue::from_static("application/json");
    let received = Received {
        id: EventId::new(now),
        at: now,
        endpoint: Arc::clone(&expected.endpoint),
        method: Method::POST,
        path: expected.endpoint.to_string(),
        query: String::new(),
        parameters: Vec::new(),
        client: None,
        certificate: None,
        headers: HeaderMap::from_iter([(header::CONTENT_TYPE, json)]),
        body: Bytes::from(body.to_string()),
    };
    let decided = RuleDecision {
        rule: Arc::clone(&on_silence.name),
        matched: true,
        reason: String::new(),
        verified_by: None,
    };
    let digest = rules.sha256.get(..Decision::DIGEST);
    NewEvent {
        received: Arc::new(received),
        decode: Decode::Json.name().to_owned(),
        deliveries: vec![NewDelivery {
            rule: Arc::clone(&on_silence.name),
            item: None,
            dedup_keys: vec![DedupKey::id(quiet_since.to_string().as_bytes())],
            remember_until: now.plus(REMEMBERED),
            run_duplicates: false,
            sighting: None,
            due: now,
            unverified: None,
            group: None,
            debounce: None,
        }],
        // No sender was answered.
        status: None,
        decision: Decision {
            generation: rules.generation,
            rules_sha256: digest.unwrap_or_default().into(),
            unlisted: 0,
            rules: vec![decided],
            verified: Vec::new(),
        },
        is_replay: false,
        fired_by: Some(FIRED_BY.into()),
        now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ExpectationSubject;

    const HOUR: i64 = 3600;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    /// An expectation since 0, with its last arrival and the time at which silence was noticed.
    fn known(last: Option<i64>, noticed: Option<i64>) -> Expectation {
        Expectation {
            last_arrival: last.map(at),
            noticed_at: noticed.map(at),
            ..Expectation::new(ExpectationSubject::Rule("deploy".into()), at(0))
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn silence_begins_after_the_expected_time_and_ends_with_an_arrival() {
        use Change::{CallsAgain, Silent};
        let day = 24 * HOUR;
        for (what, last, noticed, heard, listening, now, expected, change) in [
            ("nothing yet", None, None, None, 0, day - 1, (None, None), None),
            (
                "never called",
                None,
                None,
                None,
                0,
                day,
                (None, Some(day)),
                Some(Silent),
            ),
            (
                "called in time",
                Some(5),
                None,
                None,
                0,
                day,
                (Some(5), None),
                None,
            ),
            (
                "silent",
                Some(5),
                None,
                None,
                0,
                day + 5,
                (Some(5), Some(day + 5)),
                Some(Silent),
            ),
            (
                "said once",
                Some(5),
                Some(day + 5),
                None,
                0,
                2 * day,
                (Some(5), Some(day + 5)),
                None,
            ),
            (
                "calls again",
                Some(5),
                Some(day + 5),
                Some(2 * day),
                0,
                2 * day,
                (Some(2 * day), None),
                Some(CallsAgain),
            ),
            (
                "called just before the look",
                Some(5),
                None,
                Some(day + 4),
                0,
                day + 6,
                (Some(day + 4), None),
                None,
            ),
            (
                "after a start the sender has an hour",
                Some(5),
                None,
                None,
                2 * day,
                2 * day + HOUR - 1,
                (Some(5), None),
                None,
            ),
            (
                "and no more than that",
                Some(5),
                None,
                None,
                2 * day,
                2 * day + HOUR,
                (Some(5), Some(2 * day + HOUR)),
                Some(Silent),
            ),
            (
                "a silence outlives a start",
                Some(5),
                Some(day + 5),
                None,
                2 * day,
                2 * day,
                (Some(5), Some(day + 5)),
                None,
            ),
            (
                "an arrival of the future counts from now",
                Some(9 * day),
                None,
                None,
                0,
                day,
                (Some(day), None),
                None,
            ),
            (
                "an arrival heard in the future, too",
                Some(5),
                None,
                Some(9 * day),
                0,
                day,
                (Some(day), None),
                None,
            ),
        ] {
            let listening = Listening::new(at(listening));
            let (next, found) = decide(
                &known(last, noticed),
                Duration::from_hours(24),
                heard.map(at),
                listening,
                at(now),
            );
            let (last, noticed) = expected;
            assert_eq!((next, found), (known(last, noticed), change), "{what}");
        }
    }

    #[test]
    fn a_longer_expectation_ends_a_silence_without_a_call_and_a_shorter_one_begins_it() {
        let (day, listening) = (24 * HOUR, Listening::new(at(0)));
        let silent = known(Some(0), Some(day));
        let longer = decide(&silent, Duration::from_hours(48), None, listening, at(day + 1));
        assert_eq!(longer, (known(Some(0), None), None));
        let shorter = decide(&longer.0, Duration::from_hours(2), None, listening, at(day + 2));
        assert_eq!(shorter, (known(Some(0), Some(day + 2)), Some(Change::Silent)));
    }

    #[test]
    fn a_short_expectation_waits_only_as_long_after_a_start() {
        let known = known(Some(0), None);
        let every = Duration::from_secs(10);
        let decide = |now| decide(&known, every, None, Listening::new(at(100)), at(now)).1;
        assert_eq!(decide(109), None);
        assert_eq!(decide(110), Some(Change::Silent));
    }

    #[test]
    fn a_gap_between_two_looks_is_no_silence_of_the_sender() {
        let mut listening = Listening::new(at(0));
        for now in [30, 60, 120] {
            listening.look(at(now));
            assert_eq!(listening.since, at(0));
        }
        listening.look(at(HOUR));
        assert_eq!(listening.since, at(HOUR));
        listening.look(at(HOUR + 1));
        assert_eq!(listening.since, at(HOUR));
    }

    #[test]
    fn an_expectation_that_began_in_the_future_begins_now() {
        let known = Expectation::new(ExpectationSubject::Endpoint("/a".into()), at(1000));
        let (next, change) = decide(
            &known,
            Duration::from_secs(10),
            None,
            Listening::new(at(0)),
            at(100),
        );
        assert_eq!((next.since, change), (at(100), None));
    }
}
