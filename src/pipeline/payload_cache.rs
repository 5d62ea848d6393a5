//! What was taken last, decoded: most deliveries begin a moment after their event was written down, and its body need
//! not be decoded a second time for that.
//!
//! Bounded in number and in bytes of bodies; what is not here is decoded from the store's bytes, to the same end. So is
//! what came compressed, for its bytes say nothing of how much it takes.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use http::header::CONTENT_ENCODING;

use crate::event::EventId;
use crate::payload::{self, Event, Payload};

/// How many payloads are kept.
const PAYLOADS: usize = 256;
/// Memory of all of them together, in bytes, by an upper estimate.
const BYTES: u64 = 16 << 20;

/// The payloads of the latest events.
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
    /// Keeps an event's payload; the oldest go when there are too many.
    pub fn add(&self, event: &Event) {
        let bytes = payload::weight(&event.received.body);
        if bytes > BYTES || event.received.headers.contains_key(CONTENT_ENCODING) {
            return;
        }
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
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

    /// An event's payload, if it is still here.
    pub fn payload(&self, event: EventId) -> Option<Payload> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.payloads.get(&event).map(|(payload, _)| payload.clone())
    }

    /// Forgets an event's payload: a delivery of it has ended, and few have more than one.
    pub fn remove(&self, event: EventId) {
        self.latest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(event);
    }
}

impl Latest {
    fn remove(&mut self, event: EventId) {
        if let Some((_, bytes)) = self.payloads.remove(&event) {
            self.bytes -= bytes;
        }
    }
}
