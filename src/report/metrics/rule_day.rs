//! Figures of each rule in the last 24 hours: attempts, durations, the last failure.
//!
//! A rule without an attempt takes no memory. A rule with attempts takes about 200 bytes for each
//! hour in which it had some.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::store::DeliveryId;

/// Maximum rules whose figures are kept, which bounds them to 10 MiB. The rule whose last attempt is
/// longest ago is forgotten.
pub const MAX_RULES: usize = 2048;
/// Hours kept, the current one included.
const HOURS: i64 = 24;
/// Buckets of durations. The first ends at 1 ms, each further one at √2 times that; the last has no
/// end. 45 steps are 1.6 hours.
const BUCKETS: usize = 47;
/// Maximum characters kept of the detail of a failure.
const MAX_DETAIL: usize = 300;

/// Figures of the rules with attempts.
#[derive(Debug, Default)]
pub(super) struct RuleDays {
    rules: HashMap<Arc<str>, RuleDay>,
}

#[derive(Debug)]
struct RuleDay {
    hours: VecDeque<Hour>,
    /// Time of the first attempt that is counted.
    since: Timestamp,
    used: Timestamp,
    last_failure: Option<Failure>,
}

#[derive(Debug)]
struct Hour {
    /// Hours since the epoch.
    number: i64,
    done: u32,
    failed: u32,
    durations: [u32; BUCKETS],
}

/// The last failed attempt of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub at: Timestamp,
    pub delivery: DeliveryId,
    /// The outcome in words, such as `exit 3`.
    pub detail: String,
}

/// Figures of a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleFigures {
    /// Time from which attempts are counted; within the last 24 hours.
    pub since: Timestamp,
    pub done: u64,
    pub failed: u64,
    /// Duration that 95 of 100 attempts do not exceed, within 20 %. `None` without an attempt.
    pub p95: Option<Duration>,
    pub last_failure: Option<Failure>,
}

/// An attempt that has ended.
pub(super) struct Ended<'a> {
    pub at: Timestamp,
    pub rule: &'a Arc<str>,
    pub delivery: DeliveryId,
    pub is_done: bool,
    pub detail: &'a str,
    pub duration: Duration,
}

impl RuleDays {
    /// Counts an attempt.
    pub fn count(&mut self, ended: &Ended<'_>) {
        if !self.rules.contains_key(ended.rule) && self.rules.len() >= MAX_RULES {
            let oldest = self.rules.iter().min_by_key(|(_, day)| day.used);
            if let Some(oldest) = oldest.map(|(rule, _)| Arc::clone(rule)) {
                self.rules.remove(&oldest);
            }
        }
        let day = self
            .rules
            .entry(Arc::clone(ended.rule))
            .or_insert_with(|| RuleDay {
                hours: VecDeque::new(),
                since: ended.at,
                used: ended.at,
                last_failure: None,
            });
        day.count(ended);
    }

    /// Forgets rules that are not in `is_known`.
    pub fn retain(&mut self, is_known: impl Fn(&Arc<str>) -> bool) {
        self.rules.retain(|rule, _| is_known(rule));
    }

    /// Figures of all rules that are known.
    pub fn figures(&mut self, now: Timestamp) -> Vec<(Arc<str>, RuleFigures)> {
        let rules = self.rules.iter_mut();
        rules
            .map(|(rule, day)| (Arc::clone(rule), day.figures(now)))
            .collect()
    }
}

impl RuleDay {
    fn count(&mut self, ended: &Ended<'_>) {
        self.used = self.used.max(ended.at);
        let number = self.roll(ended.at);
        if self.hours.back().is_none_or(|hour| hour.number < number) {
            self.hours.push_back(Hour {
                number,
                done: 0,
                failed: 0,
                durations: [0; BUCKETS],
            });
        }
        let Some(hour) = self.hours.back_mut() else { return };
        if ended.is_done {
            hour.done = hour.done.saturating_add(1);
        } else {
            hour.failed = hour.failed.saturating_add(1);
            self.last_failure = Some(Failure {
                at: ended.at,
                delivery: ended.delivery,
                detail: ended.detail.chars().take(MAX_DETAIL).collect(),
            });
        }
        if let Some(count) = hour.durations.get_mut(bucket(ended.duration)) {
            *count = count.saturating_add(1);
        }
    }

    /// Drops hours that are too old. Returns the number of the hour of `now`.
    fn roll(&mut self, now: Timestamp) -> i64 {
        let number = now.as_seconds().div_euclid(3600);
        while self
            .hours
            .front()
            .is_some_and(|hour| hour.number <= number - HOURS)
        {
            self.hours.pop_front();
        }
        number
    }

    fn figures(&mut self, now: Timestamp) -> RuleFigures {
        let number = self.roll(now);
        let first = Timestamp::from_seconds((number - HOURS + 1) * 3600);
        let sum = |of: fn(&Hour) -> u32| self.hours.iter().map(|hour| u64::from(of(hour))).sum();
        let mut durations = [0_u64; BUCKETS];
        for hour in &self.hours {
            for (sum, count) in durations.iter_mut().zip(hour.durations) {
                *sum += u64::from(count);
            }
        }
        RuleFigures {
            since: self.since.max(first),
            done: sum(|hour| hour.done),
            failed: sum(|hour| hour.failed),
            p95: p95(&durations),
            last_failure: self.last_failure.clone(),
        }
    }
}

/// The bucket of a duration.
fn bucket(duration: Duration) -> usize {
    let steps = (duration.as_secs_f64() * 1000.0).log2() * 2.0;
    // Zero has no logarithm: it is far below 0, and the conversion keeps to the range.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the conversion saturates"
    )]
    let bucket = steps.ceil().max(0.0) as usize;
    bucket.min(BUCKETS - 1)
}

/// The middle of the bucket in which 95 of 100 attempts have ended.
fn p95(durations: &[u64; BUCKETS]) -> Option<Duration> {
    let all: u64 = durations.iter().sum();
    let wanted = (all * 95).div_ceil(100);
    let mut seen = 0;
    for (bucket, count) in durations.iter().enumerate() {
        seen += count;
        if *count > 0 && seen >= wanted {
            let steps = f64::from(u32::try_from(bucket).unwrap_or(0)) - 0.5;
            return Some(Duration::from_secs_f64((steps / 2.0).exp2() / 1000.0));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(days: &mut RuleDays, rule: &str, second: i64, is_done: bool, millis: u64) {
        days.count(&Ended {
            at: Timestamp::from_seconds(second),
            rule: &rule.into(),
            delivery: DeliveryId::new(Timestamp::EPOCH),
            is_done,
            detail: "exit 3",
            duration: Duration::from_millis(millis),
        });
    }

    fn figures(days: &mut RuleDays, rule: &str, second: i64) -> RuleFigures {
        let all = days.figures(Timestamp::from_seconds(second));
        all.into_iter().find(|(name, _)| &**name == rule).unwrap().1
    }

    #[test]
    fn durations_are_within_a_fifth_of_the_truth() {
        for millis in [1, 2, 3, 7, 20, 99, 1000, 1001, 59_999, 300_000, 3_600_000] {
            let mut days = RuleDays::default();
            count(&mut days, "a", 0, true, millis);
            let p95 = figures(&mut days, "a", 0).p95.unwrap().as_secs_f64() * 1000.0;
            let truth = f64::from(u32::try_from(millis).unwrap());
            assert!(
                p95 > truth / 1.2 && p95 < truth * 1.2,
                "{millis} is said to be {p95}"
            );
        }
        for (millis, last) in [(0, 0), (1, 0), (u64::MAX, BUCKETS - 1)] {
            assert_eq!(bucket(Duration::from_millis(millis)), last);
        }
    }

    #[test]
    fn the_p95_leaves_out_the_slowest_twentieth() {
        let mut days = RuleDays::default();
        for attempt in 0..100 {
            count(&mut days, "a", 0, true, if attempt < 95 { 10 } else { 60_000 });
        }
        assert!(figures(&mut days, "a", 0).p95.unwrap() < Duration::from_millis(20));
        count(&mut days, "a", 0, false, 60_000);
        assert!(figures(&mut days, "a", 0).p95.unwrap() > Duration::from_secs(40));
    }

    #[test]
    fn what_is_older_than_a_day_is_not_counted_and_the_last_failure_stays() {
        let mut days = RuleDays::default();
        count(&mut days, "a", 0, false, 5);
        count(&mut days, "a", 7200, true, 5);
        let early = figures(&mut days, "a", 7300);
        assert_eq!((early.done, early.failed, early.since), (1, 1, Timestamp::EPOCH));
        let late = figures(&mut days, "a", 24 * 3600);
        assert_eq!((late.done, late.failed), (1, 0));
        assert_eq!(late.since, Timestamp::from_seconds(3600));
        assert_eq!(late.last_failure.unwrap().at, Timestamp::EPOCH);
        let empty = figures(&mut days, "a", 100 * 3600);
        assert_eq!((empty.done, empty.failed, empty.p95), (0, 0, None));
    }

    #[test]
    fn the_number_of_rules_is_bounded_and_the_least_used_one_goes() {
        let mut days = RuleDays::default();
        for rule in 0..=MAX_RULES {
            count(
                &mut days,
                &rule.to_string(),
                i64::try_from(rule).unwrap(),
                true,
                1,
            );
        }
        assert_eq!(days.rules.len(), MAX_RULES);
        assert!(!days.rules.contains_key("0"));
        days.retain(|rule| &**rule == "5");
        assert_eq!(days.rules.len(), 1);
        assert!(size_of::<Hour>() * 24 * MAX_RULES < 10 << 20);
    }
}
