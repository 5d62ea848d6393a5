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
pub const MAX_PAUSE: Duration = Duration::from_mins(5);
/// Time until other requests ask again while a probe is running.
pub const PROBE_RETRY: Duration = Duration::from_secs(5);

/// Circuit breaker of one target.
#[derive(Debug, Default)]
pub struct Circuit {
    state: CircuitState,
    /// Time of the last change of the state. `None` if it has not changed.
    changed: Option<Instant>,
    /// Number of state changes. A request from before a change says nothing about the time after
    /// the change.
    generation: u64,
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

/// State of a circuit, for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CircuitView {
    /// `closed`, `open` or `half-open`.
    pub name: &'static str,
    /// Failures in a row while the circuit is closed.
    pub failures: u32,
    /// Time since the last change.
    pub changed: Option<Duration>,
    /// Time until the next probe, if the circuit is open.
    pub next_try: Option<Duration>,
}

/// Permit for one request. Its end must be reported to [`Circuit::end`].
#[derive(Clone, Copy, Debug)]
pub struct Permit {
    generation: u64,
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
            CircuitState::Open { pause, .. } => self.transition(CircuitState::Probing { pause }, now),
            CircuitState::Probing { .. } => return Err(PROBE_RETRY),
        }
        Ok(Permit {
            generation: self.generation,
        })
    }

    /// Records how an admitted request ended.
    pub fn end(&mut self, permit: Permit, end: RequestEnd, now: Instant) -> Option<CircuitChange> {
        if permit.generation != self.generation {
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
                self.transition(CircuitState::default(), now);
                return Some(CircuitChange::Closed);
            }
            (CircuitState::Probing { pause }, RequestEnd::Failed) => {
                let pause = (*pause * 2).min(MAX_PAUSE);
                self.open(pause, now);
            }
            // The next request is the probe.
            (CircuitState::Probing { pause }, RequestEnd::Unknown) => {
                let pause = *pause;
                self.transition(CircuitState::Open { until: now, pause }, now);
            }
            (CircuitState::Closed { .. }, RequestEnd::Unknown) | (CircuitState::Open { .. }, _) => {}
        }
        None
    }

    /// True if there is nothing to remember.
    pub fn is_healthy(&self) -> bool {
        self.state == CircuitState::default()
    }

    fn open(&mut self, pause: Duration, now: Instant) {
        let until = now + pause;
        self.transition(CircuitState::Open { until, pause }, now);
    }

    /// The state at `now`.
    pub fn view(&self, now: Instant) -> CircuitView {
        let (name, failures, next_try) = match self.state {
            CircuitState::Closed { failures } => ("closed", failures, None),
            CircuitState::Open { until, .. } => ("open", 0, Some(until.saturating_duration_since(now))),
            CircuitState::Probing { .. } => ("half-open", 0, None),
        };
        CircuitView {
            name,
            failures,
            changed: self.changed.map(|at| now.saturating_duration_since(at)),
            next_try,
        }
    }

    fn transition(&mut self, state: CircuitState, now: Instant) {
        self.state = state;
        self.changed = Some(now);
        self.generation += 1;
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
            let permit = circuit.admit(now).unwrap();
            let change = circuit.end(permit, RequestEnd::Failed, now);
            assert_eq!(change, (number == FAILURES).then_some(CircuitChange::Opened));
        }
        circuit
    }

    #[test]
    fn failures_in_a_row_open_the_circuit_and_an_answer_resets_them() {
        let now = Instant::now();
        let mut circuit = Circuit::default();
        for end in [
            RequestEnd::Failed,
            RequestEnd::Failed,
            RequestEnd::Failed,
            RequestEnd::Failed,
            RequestEnd::Answered,
        ] {
            let permit = circuit.admit(now).unwrap();
            assert_eq!(circuit.end(permit, end, now), None);
        }
        assert!(circuit.is_healthy());
        assert_eq!(opened(now).admit(now).unwrap_err(), FIRST_PAUSE);
    }

    #[test]
    fn one_probe_is_sent_and_closes_the_circuit() {
        let now = Instant::now();
        let mut circuit = opened(now);
        let now = now + FIRST_PAUSE;
        let probe = circuit.admit(now).unwrap();
        assert_eq!(circuit.admit(now).unwrap_err(), PROBE_RETRY);
        assert_eq!(
            circuit.end(probe, RequestEnd::Answered, now),
            Some(CircuitChange::Closed)
        );
        assert!(circuit.is_healthy() && circuit.admit(now).is_ok());
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
    fn a_probe_that_was_not_made_allows_the_next() {
        let now = Instant::now();
        let mut circuit = opened(now);
        let now = now + FIRST_PAUSE;
        let probe = circuit.admit(now).unwrap();
        assert_eq!(circuit.end(probe, RequestEnd::Unknown, now), None);
        assert!(circuit.admit(now).is_ok());
        assert!(circuit.admit(now).is_err());
    }

    #[test]
    fn a_request_from_before_a_change_says_nothing_about_the_time_after_it() {
        let now = Instant::now();
        let mut circuit = Circuit::default();
        let early = circuit.admit(now).unwrap();
        for _ in 0..FAILURES {
            let permit = circuit.admit(now).unwrap();
            circuit.end(permit, RequestEnd::Failed, now);
        }
        assert_eq!(circuit.end(early, RequestEnd::Answered, now), None);
        assert!(circuit.admit(now).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// While the circuit is open, at most one probe is running. A target that answers is called
        /// again.
        #[test]
        fn there_is_never_a_second_probe_and_no_circuit_stays_open(
            steps in prop::collection::vec((0_u64..400, 0_usize..4, 0_u8..4), 1..200),
        ) {
            let mut now = Instant::now();
            let mut circuit = Circuit::default();
            let mut admitted: Vec<Permit> = Vec::new();
            for (seconds, which, what) in steps {
                now += Duration::from_secs(seconds);
                let end = match what {
                    0 => RequestEnd::Answered,
                    1 => RequestEnd::Failed,
                    2 => RequestEnd::Unknown,
                    _ => {
                        match circuit.admit(now) {
                            Ok(permit) => admitted.push(permit),
                            Err(after) => prop_assert!(!after.is_zero() && after <= MAX_PAUSE),
                        }
                        if matches!(circuit.state, CircuitState::Probing { .. }) {
                            let probes = admitted.iter().filter(|permit| permit.generation == circuit.generation);
                            prop_assert!(probes.count() <= 1);
                        }
                        continue;
                    }
                };
                if which < admitted.len() {
                    let permit = admitted.remove(which);
                    circuit.end(permit, end, now);
                }
            }
            for permit in admitted {
                circuit.end(permit, RequestEnd::Unknown, now);
            }
            now += MAX_PAUSE;
            let permit = circuit.admit(now).expect("nothing is under way, and the longest pause is over");
            circuit.end(permit, RequestEnd::Answered, now);
            prop_assert!(circuit.is_healthy());
        }
    }
}
