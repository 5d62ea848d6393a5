//! The replacement of a delivery by deliveries of the elements of its event.

use super::contents::MemoryContents;
use crate::store::{Enqueued, Expansion, NewDelivery, Settled, Settlement, StoreError};

impl MemoryContents {
    /// Ends a leased delivery, and adds those of its elements.
    pub fn expand(&mut self, expansion: Expansion) -> Result<Vec<Enqueued>, StoreError> {
        let Expansion {
            delivery,
            event,
            reason,
            deliveries,
            at,
        } = expansion;
        let settlement = Settlement::Superseded { at, reason };
        self.settle(Settled::unattempted(delivery, settlement))?;
        let add = |new: NewDelivery| {
            let mut known = self.deliveries.iter().map(|stored| &stored.delivery);
            if known.any(|known| {
                known.event == event
                    && known.rule == new.rule
                    && known.item == new.item
                    && known.failure_of.is_none()
            }) {
                return Enqueued::Duplicate { of: event };
            }
            self.add_delivery(new, event, at)
        };
        Ok(deliveries.into_iter().map(add).collect())
    }
}
