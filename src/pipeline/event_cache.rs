//! Decoded events of rules with `for_each`, shared by the deliveries of their elements. Without the
//! cache, the payload of a large event would be decoded for each element.
//!
//! An entry keeps the memory permit of its payload, so that the budget of `decode_limits.rs` bounds
//! the cache in bytes. Payloads that are small enough to need no permit are bounded by their number.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;

use crate::act::{self, Item};
use crate::base::json_plan::Plan;
use crate::base::jsonpath::JsonPath;
use crate::event::EventId;
use crate::payload::Event;

/// Maximum decoded events in the cache. The oldest one is dropped.
const MAX_EVENTS: usize = 8;

/// A decoded event, with the elements that a rule selects.
#[derive(Debug)]
pub(super) struct DecodedEvent {
    pub(super) event: Event,
    items: OnceLock<Vec<Item>>,
    _memory: Option<OwnedSemaphorePermit>,
}

impl DecodedEvent {
    pub(super) fn new(event: Event, memory: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            event,
            items: OnceLock::new(),
            _memory: memory,
        }
    }

    /// The element at `index` of those that `path` selects, which is that of the rule.
    pub(super) fn item(&self, path: &JsonPath, index: u32) -> Option<Item> {
        let items = self.items.get_or_init(|| act::items(&self.event, path));
        items.get(usize::try_from(index).ok()?).cloned()
    }
}

/// The cache.
#[derive(Debug, Default)]
pub(super) struct EventCache {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<Entry>,
    /// Number of deliveries that wait for memory. Nothing is cached while there are any.
    waiting: usize,
}

/// An event as one rule reads it. The plan is that of the rule in one version of the rules file.
#[derive(Debug)]
struct Entry {
    id: EventId,
    plan: Arc<Plan>,
    decoded: Arc<DecodedEvent>,
}

impl EventCache {
    /// The event `id`, if it was decoded for the rule with this plan.
    pub(super) fn get(&self, id: EventId, plan: &Arc<Plan>) -> Option<Arc<DecodedEvent>> {
        let state = self.state.lock();
        let mut entries = state.entries.iter();
        let entry = entries.find(|entry| entry.id == id && Arc::ptr_eq(&entry.plan, plan))?;
        Some(Arc::clone(&entry.decoded))
    }

    /// Keeps a decoded event for the deliveries to come, unless another one waits for its memory.
    pub(super) fn keep(&self, id: EventId, plan: &Arc<Plan>, decoded: &Arc<DecodedEvent>) {
        let mut state = self.state.lock();
        if state.waiting > 0 {
            return;
        }
        // Attempts that began at the same time have decoded it as well.
        state
            .entries
            .retain(|entry| entry.id != id || !Arc::ptr_eq(&entry.plan, plan));
        if state.entries.len() == MAX_EVENTS {
            state.entries.pop_front();
        }
        state.entries.push_back(Entry {
            id,
            plan: Arc::clone(plan),
            decoded: Arc::clone(decoded),
        });
    }

    /// Drops all entries: no delivery is due.
    pub(super) fn clear(&self) {
        self.state.lock().entries.clear();
    }

    /// Drops all entries, and caches nothing until the result is dropped.
    pub(super) fn make_room(&self) -> Waiting<'_> {
        let mut state = self.state.lock();
        state.entries.clear();
        state.waiting += 1;
        Waiting(self)
    }
}

/// A delivery that waits for memory.
pub(super) struct Waiting<'c>(&'c EventCache);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state.lock().waiting -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Timestamp;
    use crate::matching::testing::event;

    #[test]
    fn an_event_is_found_by_its_id_and_the_plan_of_its_rule_until_there_is_no_room() {
        let cache = EventCache::default();
        let ids: Vec<EventId> = (0..10)
            .map(|at| EventId::new(Timestamp::from_seconds(at)))
            .collect();
        let plans = [Arc::<Plan>::default(), Arc::<Plan>::default()];
        let decoded = Arc::new(DecodedEvent::new(event(serde_json::json!({})), None));
        cache.keep(ids[0], &plans[0], &decoded);
        assert!(cache.get(ids[0], &plans[0]).is_some());
        assert!(cache.get(ids[0], &plans[1]).is_none());
        assert!(cache.get(ids[1], &plans[0]).is_none());
        for id in &ids {
            cache.keep(*id, &plans[1], &decoded);
        }
        assert!(cache.get(ids[0], &plans[0]).is_none());
        assert!(cache.get(ids[1], &plans[1]).is_none());
        assert!(cache.get(ids[9], &plans[1]).is_some());
        let waiting = cache.make_room();
        assert!(cache.get(ids[9], &plans[1]).is_none());
        cache.keep(ids[9], &plans[1], &decoded);
        assert!(cache.get(ids[9], &plans[1]).is_none());
        drop(waiting);
        cache.keep(ids[9], &plans[1], &decoded);
        assert!(cache.get(ids[9], &plans[1]).is_some());
        cache.clear();
        assert!(cache.get(ids[9], &plans[1]).is_none());
    }
}
