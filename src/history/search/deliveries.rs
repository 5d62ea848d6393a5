//! Search for deliveries: by columns of the store, and by a condition, for which each event must be
//! read.

use crate::event::EventId;
use crate::history::DeliveryStatus;
use crate::history::stored::decoded;
use crate::matching::{Condition, Matcher};
use crate::store::{DeliveryFilter, History, ListedDelivery, StoreError};

/// Maximum deliveries read for a condition.
const READ: usize = 10_000;
/// Deliveries read at once for a condition.
const PAGE: usize = 200;

/// A search for deliveries, with a cache of the last event read.
#[derive(Debug)]
pub struct DeliverySearch {
    filter: DeliveryFilter,
    condition: Option<Matcher>,
    /// The event read last, and the result of its condition. Deliveries of an event are adjacent.
    last: Option<(EventId, bool)>,
}

/// The result of a search.
#[derive(Debug)]
pub struct FoundDeliveries {
    pub entries: Vec<ListedDelivery>,
    /// True if older ones were not read.
    pub cut: bool,
}

impl DeliverySearch {
    pub fn new(filter: DeliveryFilter, condition: Option<Condition>) -> Self {
        Self {
            filter,
            condition: condition.map(|condition| Matcher::new(vec![condition])),
            last: None,
        }
    }

    /// Finds at most `limit` deliveries, newest first.
    pub fn newest(&mut self, history: &History, limit: usize) -> Result<FoundDeliveries, StoreError> {
        if self.condition.is_none() {
            let entries = history.before(&self.filter, i64::MAX, limit)?;
            return Ok(FoundDeliveries { entries, cut: false });
        }
        let mut found = FoundDeliveries {
            entries: Vec::new(),
            cut: false,
        };
        let (mut before, mut read) = (i64::MAX, 0);
        while found.entries.len() < limit {
            if read >= READ {
                found.cut = true;
                break;
            }
            let page = history.before(&self.filter, before, PAGE)?;
            let Some(oldest) = page.last() else { break };
            (before, read) = (oldest.row, read + page.len());
            for entry in page {
                if found.entries.len() < limit && self.reads(history, &entry)? {
                    found.entries.push(entry);
                }
            }
        }
        Ok(found)
    }

    /// True if a delivery passes all filters.
    pub fn wants(&mut self, history: &History, entry: &ListedDelivery) -> Result<bool, StoreError> {
        let DeliveryFilter {
            rule,
            endpoint,
            state,
            since,
        } = &self.filter;
        let wanted = rule.as_ref().is_none_or(|rule| **rule == *entry.delivery.rule)
            && endpoint
                .as_ref()
                .is_none_or(|endpoint| *endpoint == entry.endpoint)
            && state.is_none_or(|state| state == DeliveryStatus::of(entry).name())
            && since.is_none_or(|since| entry.received_at >= since);
        Ok(wanted && self.reads(history, entry)?)
    }

    /// True if the event of a delivery meets the condition.
    fn reads(&mut self, history: &History, entry: &ListedDelivery) -> Result<bool, StoreError> {
        let Some(condition) = &self.condition else {
            return Ok(true);
        };
        let id = entry.delivery.event;
        if let Some((last, wanted)) = self.last
            && last == id
        {
            return Ok(wanted);
        }
        let event = history.event(id)?;
        let event = event.and_then(|stored| decoded(&stored.received, &stored.decode).ok());
        let wanted = event.is_some_and(|event| !condition.matching(&event, &|_| true).is_empty());
        self.last = Some((id, wanted));
        Ok(wanted)
    }
}
