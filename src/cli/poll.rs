//! Waits of commands for a state of the store, which they read at intervals.

use std::thread;
use std::time::{Duration, Instant};

/// Interval between reads of the store.
const PAUSE: Duration = Duration::from_millis(100);

/// Calls `look` at intervals until it returns a value. It is told whether `limit` has passed, and
/// returns a value then.
pub fn until<T>(limit: Duration, mut look: impl FnMut(bool) -> Option<T>) -> T {
    let begun = now();
    loop {
        if let Some(found) = look(begun.elapsed() >= limit) {
            return found;
        }
        thread::sleep(PAUSE.min(limit));
    }
}

#[expect(clippy::disallowed_methods, reason = "a command waits by the machine's clock")]
fn now() -> Instant {
    Instant::now()
}
