//! The time since this node was heard of, as it knows itself.
//!
//! A node that is cut off cannot tell a dead server from a broken cable, and another node may run its
//! deliveries soon. It therefore stops in time. It counts from the sending of the last heartbeat that
//! was answered, by a clock that also runs while the machine is suspended.

use std::time::Duration;

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};

use crate::store::StoreError;

/// Heartbeats in the time of a lease.
const BEATS: u32 = 6;

/// A moment of the clock that runs while the machine is suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BootTime(Duration);

impl BootTime {
    pub fn now() -> Self {
        let now = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(now.tv_nsec).unwrap_or(0);
        Self(Duration::new(seconds, nanos))
    }
}

/// Time of the last heartbeat of this node.
#[derive(Debug)]
pub(super) struct Liveness {
    lease: Duration,
    state: Mutex<LivenessState>,
}

#[derive(Debug)]
struct LivenessState {
    /// Sending of the last heartbeat that was answered.
    heard: BootTime,
    /// True if it was noticed that the node is cut off.
    noticed: bool,
}

impl Liveness {
    pub fn new(lease: Duration) -> Self {
        let heard = BootTime::now();
        Self {
            lease,
            state: Mutex::new(LivenessState {
                heard,
                noticed: false,
            }),
        }
    }

    /// Time from one heartbeat to the next.
    pub fn interval(&self) -> Duration {
        self.lease / BEATS
    }

    /// Notes that a heartbeat was answered that was sent at `sent`. True if the node was cut off, and
    /// is back.
    pub fn heard(&self, sent: BootTime) -> bool {
        let mut state = self.state.lock();
        state.heard = state.heard.max(sent);
        let is_back = state.noticed && !self.is_late(state.heard, BootTime::now());
        if is_back {
            state.noticed = false;
        }
        is_back
    }

    /// True if the node is cut off and this was not noticed before.
    pub fn notice(&self) -> bool {
        let mut state = self.state.lock();
        let is_new = !state.noticed && self.is_late(state.heard, BootTime::now());
        state.noticed |= is_new;
        is_new
    }

    /// Refuses calls of a node that is cut off.
    pub fn check(&self) -> Result<(), StoreError> {
        let (heard, now) = (self.state.lock().heard, BootTime::now());
        if !self.is_late(heard, now) {
            return Ok(());
        }
        let silent = now.0.saturating_sub(heard.0).as_secs();
        Err(StoreError::Unavailable {
            detail: format!("the server has not answered for {silent} s, and other nodes may take over"),
        })
    }

    /// True after two thirds of the lease. The rest is left to stop what runs.
    fn is_late(&self, heard: BootTime, now: BootTime) -> bool {
        now.0.saturating_sub(heard.0) > self.lease * 2 / 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_cut_off_after_two_thirds_of_its_lease() {
        let liveness = Liveness::new(Duration::from_mins(1));
        let second = |second| BootTime(Duration::from_secs(second));
        assert!(!liveness.is_late(second(100), second(140)));
        assert!(liveness.is_late(second(100), second(141)));
        assert_eq!(liveness.interval(), Duration::from_secs(10));
    }

    #[test]
    fn it_is_noticed_once_and_ends_with_an_answer_to_a_recent_heartbeat() {
        let liveness = Liveness::new(Duration::from_millis(30));
        assert!(liveness.check().is_ok() && !liveness.notice());
        let early = BootTime::now();
        std::thread::sleep(Duration::from_millis(40));
        assert!(liveness.check().is_err());
        assert!(liveness.notice() && !liveness.notice());
        assert!(!liveness.heard(early), "the answer is too old");
        assert!(liveness.heard(BootTime(Duration::MAX)) && liveness.check().is_ok());
    }
}
