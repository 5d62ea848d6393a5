//! A cache of decoded payloads of the latest events.
//!
//! Most deliveries begin a moment after their event was written, and need not decode its body
//! again. The cache is bounded in number and in estimated memory. On a miss the payload is decoded
//! from the stored bytes, with the same result. Compressed bodies are not cached, since their size
//! says little about the memory of the payload.

use std::collections::{HashMap, VecDeque};

use http::header::CONTENT_ENCODING;
use parking_lot::Mutex;

use crate::event::EventId;
use crate::payload::{self, Event, Payload};

/// Maximum payloads.
const PAYLOADS: usize = 256;
/// Maximum memory of all payloads together, in bytes, by an upper estimate.
const BYTES: u64 = 16 << 20;

#[derive(Debug, Default)]
pub struct PayloadCache {
    latest: Mutex<Latest>,
}

/// Payloads by event, and the order in which they came.
#[derive(Debug, Default)]
struct Latest {
    payloads: HashMap<EventId, (Payload, u64)>,
    order: VecDeque<EventId>,
    bytes: u64,
}

impl PayloadCache {
    /// Adds an event's payload and evicts the oldest if there are too many.
    pub fn add(&self, event: &Event) {
        let bytes = payload::weight(&event.received.body);
        if bytes > BYTES || event.received.headers.contains_key(CONTENT_ENCODING) {
            return;
        }
        let mut latest = self.latest.lock();
        latest.bytes += bytes;
        latest
            .payloads
            .insert(event.received.id, (event.payload.clone(), bytes));
        latest.order.push_back(event.received.id);
        while latest.order.len() > PAYLOADS || latest.bytes > BYTES {
            let Some(oldest) = latest.order.pop_front() else {
                break;
            };
            latest.remove(oldest);
        }
    }

    /// Returns an event's payload if it is cached.
    pub fn payload(&self, event: EventId) -> Option<Payload> {
        let latest = self.latest.lock();
        latest.payloads.get(&event).map(|(payload, _)| payload.clone())
    }

    /// Removes an event's payload. Called when a delivery has ended, since few events have more
    /// than one.
    pub fn remove(&self, event: EventId) {
        self.latest.lock().remove(event);
    }
}

impl Latest {
    fn remove(&mut self, event: EventId) {
        if let Some((_, bytes)) = self.payloads.remove(&event) {
            self.bytes -= bytes;
        }
    }
}
