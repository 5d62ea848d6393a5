//! A value that is replaced while others use it.
//!
//! [`Live::current`] hands out the value in force; whoever holds it keeps it, whatever is swapped in meanwhile.
//! A lock round an `Arc` rather than a lock-free swap: a replacement every few minutes does not pay for one.

use std::sync::{Arc, PoisonError, RwLock};

/// The value in force.
#[derive(Debug)]
pub struct Live<T> {
    current: RwLock<Arc<T>>,
}

impl<T> Live<T> {
    /// Puts the first value in force.
    pub fn new(first: T) -> Self {
        Self {
            current: RwLock::new(Arc::new(first)),
        }
    }

    /// The value in force now.
    pub fn current(&self) -> Arc<T> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another value in force, in one step, and returns the one that was.
    pub fn replace(&self, next: T) -> Arc<T> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut current, Arc::new(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_a_value_keeps_it_when_another_comes_into_force() {
        let live = Live::new(1);
        let held = live.current();
        assert_eq!(*live.replace(2), 1);
        assert_eq!((*held, *live.current()), (1, 2));
    }
}
