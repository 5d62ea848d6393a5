//! Circuit breaker: a target that keeps failing is not called for a while.
//!
//! Pure: time and results are arguments. After [`FAILURES`] failures in a row, nothing is sent for
//! [`FIRST_PAUSE`]. Then one request goes out as a probe. The probe closes the circuit again, or
//! doubles the pause.

use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row that open the circuit.
pub const FAILURES: u32 = 5;
/// First pause of an open circuit.
pub const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// Maximum pause between two probes.
pub const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// Time until other requests ask again while a probe is running.
pub const PROBING: Duration = Duration::from_secs(5);

/// Circuit breaker of one target.
#[derive(Debug, Default)]
pub struct Circuit {
    state: CircuitState,
    /// Number of state changes. A request from before a change says nothing about the time after
    /// the change.
    era: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum CircuitState {
    /// Requests are sent. Counts the failures in a row.
    Closed { failures: u32 },
    /// No request is sent.
    Open { until: Instant, pause: Duration },
    /// A single request is sent as a probe.
    Probing { pause: Duration },
}

impl Default for CircuitState {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

/// Permit for one request. Its end must be reported to [`Circuit::end`].
#[derive(Clone, Copy, Debug)]
pub struct Permit {
    era: u64,
}

/// End of a request, as far as it says something about the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestEnd {
    /// The target works.
    Answered,
    /// The target cannot be reached, or is unhealthy.
    Failed,
    /// The request was not made, or its end was not seen.
    Unknown,
}

/// Change of the circuit that is worth a log entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitChange {
    /// The target is not called any more.
    Opened,
    /// The target is called again.
    Closed,
}

impl Circuit {
    /// Admits a request. The error is the time until the caller may ask again.
    pub fn admit(&mut self, now: Instant) -> Result<Permit, Duration> {
        match self.state {
            CircuitState::Closed { .. } => {}
            CircuitState::Open { until, .. } if now < until => return Err(until - now),
            CircuitState::Open { pause, .. } => self.turn(CircuitState::Probing { pause }),
            CircuitState::Probing { .. } => return Err(PROBING),
        }
        Ok(Permit { era: self.era })
    }

    /// Records how an admitted request ended.
    pub fn end(&mut self, pass: Permit, end: RequestEnd, now: Instant) -> Option<CircuitChange> {
        if pass.era != self.era {
            return None;
        }
        match (&mut self.state, end) {
            (CircuitState::Closed { failures }, RequestEnd::Answered) => *failures = 0,
            (CircuitState::Closed { failures }, RequestEnd::Failed) => {
                *failures += 1;
                if *failures >= FAILURES {
                    self.open(FIRST_PAUSE, now);
                    return Some(CircuitChange::Opened);
                }
            }
            (CircuitState::Probing { .. }, RequestEnd::Answered) => {
                self.turn(CircuitState::default());
                return Some(CircuitChange::Closed);
            }
            (CircuitState::Probing { pause }, RequestEnd::Failed) => {
                let pause = (*pause * 2).min(LONGEST_PAUSE);
                self.open(pause, now);
            }
            // The next request is the probe.
            (CircuitState::Probing { pause }, RequestEnd::Unknown) => {
                let pause = *pause;
                self.turn(CircuitState::Open { until: now, pause });
            }
            (CircuitState::Closed { .. }, RequestEnd::Unknown) | (CircuitState::Open { .. }, _) => {}
        }
        None
    }

    /// True if there is nothing to remember.
    pub fn is_untroubled(&self) -> bool {
        self.state == CircuitState::default()
    }

    fn open(&mut self, pause: Duration, now: Instant) {
        let until = now + pause;
        self.turn(CircuitState::Open { until, pause });
    }

    fn turn(&mut self, state: CircuitState) {
        self.state = state;
        self.era += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns a circuit that has just opened.
    fn opened(now: Instant) -> Circuit {
        let mut circuit = Circuit::default();
        for number in 1..=FAILURES {
            let pass = circuit.admit(now).unwrap();
            let change = circuit.end(pass, RequestEnd::Failed, now);
            assert_eq!(change, (number == FAILURES).then_some(CircuitChange::Opened));
        }
        circuit
    }

    #[test]
    fn failures_in_a_row_open_it_and_an_answer_between_begins_anew() {
        let now = Instant::now();
        let mut circuit = Circuit::default();
        for end in [
            RequestEnd::Failed,
            RequestEnd::Failed,
            RequestEnd::Failed,
            RequestEnd::Failed,
            RequestEnd::Answered,
        ] {
            let pass = circuit.admit(now).unwrap();
            assert_eq!(circuit.end(pass, end, now), None);
        }
        assert!(circuit.is_untroubled());
        assert_eq!(opened(now).admit(now).unwrap_err(), FIRST_PAUSE);
    }

    #[test]
    fn one_probe_goes_and_closes_it() {
        let now = Instant::now();
        let mut circuit = opened(now);
        let now = now + FIRST_PAUSE;
        let probe = circuit.admit(now).unwrap();
        assert_eq!(circuit.admit(now).unwrap_err(), PROBING);
        assert_eq!(
            circuit.end(probe, RequestEnd::Answered, now),
            Some(CircuitChange::Closed)
        );
        assert!(circuit.is_untroubled() && circuit.admit(now).is_ok());
    }

    #[test]
    fn a_probe_that_fails_doubles_the_pause_up_to_the_longest() {
        let mut now = Instant::now();
        let mut circuit = opened(now);
        for seconds in [30, 60, 120, 240, 300, 300] {
            let pause = Duration::from_secs(seconds);
            assert_eq!(circuit.admit(now).unwrap_err(), pause);
            now += pause;
            let probe = circuit.admit(now).unwrap();
            assert_eq!(circuit.end(probe, RequestEnd::Failed, now), None);
        }
    }

    #[test]
    fn a_probe_that_was_not_made_leaves_room_for_the_next() {
        let now = Instant::now();
        let mut circuit = opened(now);
        let now = now + FIRST_PAUSE;
        let probe = circuit.admit(now).unwrap();
        assert_eq!(circuit.end(probe, RequestEnd::Unknown, now), None);
        assert!(circuit.admit(now).is_ok());
        assert!(circuit.admit(now).is_err());
    }

    #[test]
    fn what_began_before_a_change_tells_nothing_of_the_time_after_it() {
        let now = Instant::now();
        let mut circuit = Circuit::default();
        let early = circuit.admit(now).unwrap();
        for _ in 0..FAILURES {
            let pass = circuit.admit(now).unwrap();
            circuit.end(pass, RequestEnd::Failed, now);
        }
        assert_eq!(circuit.end(early, RequestEnd::Answered, now), None);
        assert!(circuit.admit(now).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// While the circuit is open, at most one probe is running. A target that answers is called
        /// again.
        #[test]
        fn it_never_lets_two_probes_go_and_never_stays_open_for_good(
            steps in prop::collection::vec((0_u64..400, 0_usize..4, 0_u8..4), 1..200),
        ) {
            let mut now = Instant::now();
            let mut circuit = Circuit::default();
            let mut under_way: Vec<Permit> = Vec::new();
            for (seconds, which, what) in steps {
                now += Duration::from_secs(seconds);
                let end = match what {
                    0 => RequestEnd::Answered,
                    1 => RequestEnd::Failed,
                    2 => RequestEnd::Unknown,
                    _ => {
                        match circuit.admit(now) {
                            Ok(pass) => under_way.push(pass),
                            Err(after) => prop_assert!(!after.is_zero() && after <= LONGEST_PAUSE),
                        }
                        if matches!(circuit.state, CircuitState::Probing { .. }) {
                            let probes = under_way.iter().filter(|pass| pass.era == circuit.era);
                            prop_assert!(probes.count() <= 1);
                        }
                        continue;
                    }
                };
                if which < under_way.len() {
                    let pass = under_way.remove(which);
                    circuit.end(pass, end, now);
                }
            }
            for pass in under_way {
                circuit.end(pass, RequestEnd::Unknown, now);
            }
            now += LONGEST_PAUSE;
            let pass = circuit.admit(now).expect("nothing is under way, and the longest pause is over");
            circuit.end(pass, RequestEnd::Answered, now);
            prop_assert!(circuit.is_untroubled());
        }
    }
}
