//! Values that the selectors of an endpoint find in one event. Each selector is evaluated lazily,
//! at most once.

use std::cell::OnceCell;
use std::sync::Arc;

use super::selected::{Element, Selected};
use super::selector::Selector;
use crate::base::json::JsonDocument;
use crate::base::json_plan::Plan;
use crate::payload::{Event, View};

pub(super) struct SelectedValues<'m, 'e> {
    event: &'e Event,
    selectors: &'m [Selector],
    /// True if the payload was read by a plan that covers all selectors, so that none has to be
    /// compared with it.
    covered: bool,
    /// The element that selectors of an element look at.
    element: Option<Element<'e>>,
    found: Vec<OnceCell<Selected<'e>>>,
}

impl<'m, 'e> SelectedValues<'m, 'e> {
    /// `plan` covers all selectors.
    pub(super) fn new(event: &'e Event, selectors: &'m [Selector], plan: Option<&Arc<Plan>>) -> Self {
        Self {
            event,
            selectors,
            covered: plan.is_some_and(|plan| event.payload.document.is_read_by(plan)),
            element: None,
            found: selectors.iter().map(|_| OnceCell::new()).collect(),
        }
    }

    /// The payload of the event in a view.
    pub(super) fn document(&self, view: Option<View>) -> &'e JsonDocument {
        &self.event.payload_in(view).document
    }

    /// The reason why the payload could not be decoded in a view.
    pub(super) fn fault_of_payload(&self, view: Option<View>) -> Option<&'e str> {
        self.event.payload_in(view).decode_error.as_deref()
    }

    /// Sets the element. `slots` are those of the selectors that look at it.
    pub(super) fn look_at(&mut self, element: Element<'e>, slots: &[usize]) {
        self.element = Some(element);
        for slot in slots {
            if let Some(found) = self.found.get_mut(*slot) {
                found.take();
            }
        }
    }

    pub(super) fn selector(&self, slot: usize) -> Option<&'m Selector> {
        self.selectors.get(slot)
    }

    /// The reason why the selector at `slot` is undecidable: it reads a payload that could not be
    /// decoded. A value found elsewhere counts nevertheless.
    pub(super) fn fault(&self, slot: usize) -> Option<&'e str> {
        let selector = self.selectors.get(slot)?;
        let fault = self.fault_of_payload(selector.view())?;
        let blind = selector.reads_payload() && self.found(slot).values().is_empty();
        blind.then_some(fault)
    }

    /// The values that the selector at `slot` finds.
    pub(super) fn found(&self, slot: usize) -> &Selected<'e> {
        match (self.selectors.get(slot), self.found.get(slot)) {
            (Some(selector), Some(found)) => {
                found.get_or_init(|| selector.select(self.event, self.covered, self.element))
            }
            // Slots come from the same table; one outside it would select nothing.
            _ => &Selected::Nothing,
        }
    }
}
