//! A clock that stands still until it is moved, with the waits for its times, in milliseconds.
//!
//! A wait ends when the clock is moved to its time or past it. The owner of the clock asks for the
//! earliest wait and moves the clock there.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

#[derive(Debug)]
pub(super) struct ManualClock {
    state: Mutex<ManualState>,
}

#[derive(Debug)]
struct ManualState {
    now: i64,
    /// Waits by time and number.
    waits: BTreeMap<(i64, u64), Waker>,
    /// Number of waits so far.
    begun: u64,
}

impl ManualClock {
    pub(super) fn at(start: i64) -> Self {
        let state = ManualState {
            now: start,
            waits: BTreeMap::new(),
            begun: 0,
        };
        Self {
            state: Mutex::new(state),
        }
    }

    pub(super) fn now(&self) -> i64 {
        self.state.lock().now
    }

    /// Moves the clock, and ends the waits up to its time.
    pub(super) fn set(&self, moment: i64) {
        let mut state = self.state.lock();
        state.now = moment;
        let later = state.waits.split_off(&(moment, u64::MAX));
        let ended = std::mem::replace(&mut state.waits, later);
        drop(state);
        ended.into_values().for_each(Waker::wake);
    }

    /// Earliest time that is waited for.
    pub(super) fn earliest_wait(&self) -> Option<i64> {
        let state = self.state.lock();
        state.waits.first_key_value().map(|((at, _), _)| *at)
    }
}

/// A wait for a time.
#[derive(Debug)]
pub(super) struct ManualWait {
    clock: Arc<ManualClock>,
    until: i64,
    number: Option<u64>,
}

impl ManualWait {
    pub(super) fn new(clock: &Arc<ManualClock>, until: i64) -> Self {
        Self {
            clock: Arc::clone(clock),
            until,
            number: None,
        }
    }
}

impl Future for ManualWait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let clock = Arc::clone(&self.clock);
        let mut state = clock.state.lock();
        if state.now >= self.until {
            return Poll::Ready(());
        }
        let number = *self.number.get_or_insert_with(|| {
            state.begun += 1;
            state.begun
        });
        state.waits.insert((self.until, number), context.waker().clone());
        Poll::Pending
    }
}

impl Drop for ManualWait {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.clock.state.lock().waits.remove(&(self.until, number));
        }
    }
}
