//! What the selectors of an endpoint find in one event, each looked for at most once and only when asked.

use std::cell::OnceCell;

use super::selector::{Selected, Selector};
use crate::payload::Event;

/// The findings of the selectors in one event.
pub(super) struct SelectedValues<'m, 'e> {
    event: &'e Event,
    selectors: &'m [Selector],
    found: Vec<OnceCell<Selected<'e>>>,
}

impl<'m, 'e> SelectedValues<'m, 'e> {
    pub(super) fn new(event: &'e Event, selectors: &'m [Selector]) -> Self {
        Self {
            event,
            selectors,
            found: selectors.iter().map(|_| OnceCell::new()).collect(),
        }
    }

    /// The selector at `slot`.
    pub(super) fn selector(&self, slot: usize) -> Option<&'m Selector> {
        self.selectors.get(slot)
    }

    /// Why nothing can be said of the selector at `slot`: it looks into a payload that could not be read. What it finds
    /// elsewhere counts all the same.
    pub(super) fn fault(&self, slot: usize) -> Option<&'e str> {
        let fault = self.event.payload.fault.as_deref()?;
        let blind = self.selectors.get(slot)?.reads_payload() && self.found(slot).values().is_empty();
        blind.then_some(fault)
    }

    /// What the selector at `slot` finds.
    pub(super) fn found(&self, slot: usize) -> &Selected<'e> {
        match (self.selectors.get(slot), self.found.get(slot)) {
            (Some(selector), Some(found)) => found.get_or_init(|| selector.select(self.event)),
            // Slots come from the same table; one outside it would find nothing.
            _ => &Selected::Nothing,
        }
    }
}
