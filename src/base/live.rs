//! A value that is replaced while others use it.
//!
//! [`Live::current`] returns the current value. A caller keeps its value even if a new one is
//! swapped in. A lock round an `Arc` is enough: a replacement every few minutes does not justify a
//! lock-free swap.

use std::sync::Arc;

use parking_lot::RwLock;

/// The current value, shared and replaceable.
#[derive(Debug)]
pub struct Live<T> {
    current: RwLock<Arc<T>>,
}

impl<T> Live<T> {
    pub fn new(first: T) -> Self {
        Self {
            current: RwLock::new(Arc::new(first)),
        }
    }

    pub fn current(&self) -> Arc<T> {
        Arc::clone(&self.current.read())
    }

    /// Replaces the value in one step and returns the previous one.
    pub fn replace(&self, next: T) -> Arc<T> {
        let mut current = self.current.write();
        std::mem::replace(&mut current, Arc::new(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_in_use_survives_its_replacement() {
        let live = Live::new(1);
        let held = live.current();
        assert_eq!(*live.replace(2), 1);
        assert_eq!((*held, *live.current()), (1, 2));
    }
}
