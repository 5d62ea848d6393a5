//! Pacing of requests to a target: evenly, one request per interval.
//!
//! Pure: the time is an argument. A delivery that must wait long keeps its turn, so that each of
//! many waiting deliveries comes back once, in order. A delivery that misses its turn gets another
//! one. Missed turns are not made up for, so two requests are never closer than the interval.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

pub use crate::base::units::Rate;

/// Maximum time that a delivery waits inside its action. With a later turn, a delivery waits in the
/// store.
pub const MAX_WAIT: Duration = Duration::from_secs(1);
/// Time before its turn at which a delivery comes back, because the way through the store takes
/// time.
const LEAD_TIME: Duration = Duration::from_millis(250);
/// Maximum turns kept for waiting deliveries. A further delivery comes back after the last of them.
const MAX_TURNS: usize = 10_000;

/// Turns at one target.
#[derive(Debug, Default)]
pub struct Pacer {
    /// First turn that is free.
    next_free: Option<Instant>,
    /// Turn and interval of each delivery that waits in the store.
    reserved: HashMap<String, (Instant, Duration)>,
}

impl Pacer {
    /// Takes a turn and returns the time until the request of `delivery`. If that is too long, the
    /// error is the time until the delivery must come back.
    pub fn take_turn(&mut self, delivery: &str, rate: Rate, now: Instant) -> Result<Duration, Duration> {
        let own_turn = self.reserved.remove(delivery).map(|(turn, _)| turn);
        let own_turn = own_turn.filter(|turn| now <= *turn);
        let turn = own_turn.unwrap_or_else(|| self.next_free.map_or(now, |next_free| next_free.max(now)));
        let wait = turn.saturating_duration_since(now);
        if wait <= MAX_WAIT || self.reserve(delivery, (turn, rate.interval()), now) {
            let after = turn + rate.interval();
            self.next_free = Some(self.next_free.map_or(after, |next_free| next_free.max(after)));
        }
        if wait <= MAX_WAIT {
            Ok(wait)
        } else {
            Err(wait.saturating_sub(LEAD_TIME))
        }
    }

    /// Number of deliveries that wait for their turn at `now`.
    pub fn waiting(&self, now: Instant) -> usize {
        self.reserved.values().filter(|(turn, _)| now <= *turn).count()
    }

    /// Releases the turn of a delivery that will not come back. If it was the last turn, the next
    /// delivery gets it.
    pub fn release(&mut self, delivery: &str) {
        let Some((turn, interval)) = self.reserved.remove(delivery) else {
            return;
        };
        if self.next_free == Some(turn + interval) {
            self.next_free = Some(turn);
        }
    }

    /// Keeps a turn, unless `MAX_TURNS` are kept already.
    fn reserve(&mut self, delivery: &str, turn: (Instant, Duration), now: Instant) -> bool {
        if self.reserved.len() >= MAX_TURNS {
            // Drop the turns of deliveries that did not come back.
            self.reserved.retain(|_, (turn, _)| now <= *turn);
        }
        let has_capacity = self.reserved.len() < MAX_TURNS;
        if has_capacity {
            self.reserved.insert(delivery.to_owned(), turn);
        }
        has_capacity
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(text: &str) -> Rate {
        Rate::parse(text).unwrap()
    }

    /// Takes a turn, and returns the wait in either case.
    fn wait_of(pacer: &mut Pacer, delivery: &str, rate: Rate, now: Instant) -> Duration {
        pacer.take_turn(delivery, rate, now).unwrap_or_else(|after| after)
    }

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn each_waiting_delivery_comes_back_once_and_in_order() {
        let start = Instant::now();
        let (mut pacer, rate) = (Pacer::default(), rate("2/s"));
        let waits: Vec<_> = (0..6)
            .map(|n| pacer.take_turn(&n.to_string(), rate, start))
            .collect();
        assert_eq!(waits[..3], [0, 500, 1000].map(|wait| Ok(millis(wait))));
        assert_eq!(waits[3..], [1250, 1750, 2250].map(|wait| Err(millis(wait))));
        assert_eq!(pacer.take_turn("3", rate, start + millis(1250)), Ok(millis(250)));
        assert_eq!(pacer.take_turn("4", rate, start + millis(1800)), Ok(millis(200)));
        // A new delivery queues behind those that wait.
        assert_eq!(
            pacer.take_turn("new", rate, start + millis(2000)),
            Ok(millis(1000))
        );
        assert_eq!(pacer.take_turn("5", rate, start + millis(2250)), Ok(millis(250)));
        assert!(pacer.reserved.is_empty());
    }

    #[test]
    fn a_released_last_turn_goes_to_the_next_delivery() {
        let start = Instant::now();
        let (mut pacer, rate) = (Pacer::default(), rate("1/m"));
        assert_eq!(pacer.take_turn("first", rate, start), Ok(millis(0)));
        // Each delivery replaces the one before, and the turn does not move.
        for delivery in ["a", "b", "c", "d"] {
            assert_eq!(pacer.take_turn(delivery, rate, start), Err(millis(59_750)));
            pacer.release(delivery);
        }
        assert_eq!(pacer.take_turn("e", rate, start + millis(60_000)), Ok(millis(0)));
        pacer.release("nobody");
        assert_eq!(
            pacer.take_turn("f", rate, start + millis(60_000)),
            Err(millis(59_750))
        );
    }

    #[test]
    fn missed_turns_are_not_made_up_for() {
        let start = Instant::now();
        let (mut pacer, rate) = (Pacer::default(), rate("1/s"));
        for delivery in ["a", "b", "c", "d", "e"] {
            wait_of(&mut pacer, delivery, rate, start);
        }
        // All waiting deliveries come back an hour late.
        let late = start + Duration::from_hours(1);
        let waits = ["c", "d", "e"].map(|delivery| pacer.take_turn(delivery, rate, late));
        assert_eq!(waits, [Ok(millis(0)), Ok(millis(1000)), Err(millis(1750))]);
    }

    #[test]
    fn turns_of_deliveries_that_never_come_back_are_dropped() {
        let start = Instant::now();
        let (mut pacer, rate) = (Pacer::default(), rate("1000/s"));
        for delivery in 0..MAX_TURNS + 2000 {
            wait_of(&mut pacer, &delivery.to_string(), rate, start);
        }
        assert_eq!(pacer.reserved.len(), MAX_TURNS);
        let later = start + Duration::from_mins(1);
        assert_eq!(pacer.take_turn("new", rate, later), Ok(Duration::ZERO));
        pacer.next_free = Some(later + Duration::from_mins(1));
        assert!(pacer.take_turn("other", rate, later).is_err());
        assert_eq!(pacer.reserved.len(), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_two_requests_are_closer_than_the_interval(
            calls in prop::collection::vec((0_u8..20, 0_u64..3000), 1..200),
            count in 1_u32..20,
        ) {
            let (mut pacer, rate) = (Pacer::default(), rate(&format!("{count}/s")));
            let mut now = Instant::now();
            let mut sent = Vec::new();
            for (delivery, pass) in calls {
                now += Duration::from_millis(pass);
                if let Ok(wait) = pacer.take_turn(&delivery.to_string(), rate, now) {
                    sent.push(now + wait);
                }
            }
            sent.sort_unstable();
            for pair in sent.windows(2) {
                prop_assert!(pair[1] >= pair[0] + rate.interval());
            }
        }

        #[test]
        fn a_delivery_that_comes_back_in_time_is_admitted(others in 1_usize..200, count in 1_u32..50) {
            let (mut pacer, rate) = (Pacer::default(), rate(&format!("{count}/s")));
            let start = Instant::now();
            for other in 0..others {
                wait_of(&mut pacer, &other.to_string(), rate, start);
            }
            if let Err(after) = pacer.take_turn("mine", rate, start) {
                prop_assert_eq!(pacer.take_turn("mine", rate, start + after), Ok(LEAD_TIME));
            }
        }
    }
}
