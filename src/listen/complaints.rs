//! What would be said many times a second must not fill the disk with the log on top: it is said once, and later how often
//! it was not.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often the same is said.
const EVERY: Duration = Duration::from_secs(1);

/// One kind of complaint.
#[derive(Debug, Default)]
pub struct Complaints(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    last: Option<Instant>,
    left_out: u32,
}

impl Complaints {
    /// Whether to say it at `now`, unless it was said just before; and of how many times it was not said since.
    pub fn hear(&self, now: Instant) -> Option<u32> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.last.is_some_and(|last| now.duration_since(last) < EVERY) {
            said.left_out = said.left_out.saturating_add(1);
            return None;
        }
        said.last = Some(now);
        Some(std::mem::take(&mut said.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_spoken_of_once_a_second() {
        let start = Instant::now();
        let complaints = Complaints::default();
        let said =
            [0, 10, 999, 1000, 1500, 2000].map(|at| complaints.hear(start + Duration::from_millis(at)));
        assert_eq!(said, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
