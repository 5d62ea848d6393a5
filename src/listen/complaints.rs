//! What would be said many times a second must not fill the disk with the log on top: it is said once, and later how often
//! it was not.

use std::time::Duration;

use tokio::time::Instant;

/// How often the same is said.
const EVERY: Duration = Duration::from_secs(1);

/// One kind of complaint.
#[derive(Debug, Default)]
pub struct Complaints {
    last: Option<Instant>,
    left_out: u32,
}

impl Complaints {
    /// Whether to say it at `now`, unless it was said just before; and of how many times it was not said since.
    pub fn hear(&mut self, now: Instant) -> Option<u32> {
        if self.last.is_some_and(|last| now.duration_since(last) < EVERY) {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.left_out))
    }
}
