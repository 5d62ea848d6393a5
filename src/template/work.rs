//! The work limit of a render for values of the event.
//!
//! minijinja charges its fuel for what an instruction creates. Operators and filters that walk a
//! value, such as `==` and `| string`, are charged afterwards or not at all, and a list of the
//! event can be repeated without cost. Every access to a value of the event is therefore counted
//! here. No caller in between can pass on an error, so a render that exceeds the limit is unwound.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Maximum work of a render: about this many accesses to values of the event, or
/// [`BYTES_PER_UNIT`] bytes of their text for each. A render beyond it fails.
const MAX_WORK: u64 = 2 << 20;
/// Bytes of text that count as one access.
const BYTES_PER_UNIT: usize = 8;

thread_local! {
    /// The work that is left to the render on this thread. `None` outside of a render.
    static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// The payload of the unwinding. No panic hook sees it.
struct Exceeded;

/// Counts accesses. Does not return if the render exceeds its limit.
pub fn charge(units: usize) {
    let Some(left) = LEFT.get() else { return };
    let units = u64::try_from(units).unwrap_or(u64::MAX);
    let Some(left) = left.checked_sub(units) else {
        resume_unwind(Box::new(Exceeded));
    };
    LEFT.set(Some(left));
}

/// Counts text that is copied or written.
pub fn charge_text(bytes: usize) {
    charge(bytes / BYTES_PER_UNIT);
}

/// Runs a render with a full limit. `None` if the render exceeded it.
pub fn limited<T>(render: impl FnOnce() -> T) -> Option<T> {
    let before = LEFT.replace(Some(MAX_WORK));
    let done = catch_unwind(AssertUnwindSafe(render));
    LEFT.set(before);
    match done {
        Ok(done) => Some(done),
        Err(payload) if payload.is::<Exceeded>() => None,
        Err(payload) => resume_unwind(payload),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_render_beyond_the_limit_ends_and_the_next_one_has_a_full_limit() {
        for _ in 0..2 {
            assert_eq!(limited(|| charge(usize::try_from(MAX_WORK).unwrap())), Some(()));
            let endless = || -> () {
                loop {
                    charge_text(80);
                }
            };
            assert_eq!(limited(endless), None);
        }
        charge(usize::MAX);
    }
}
