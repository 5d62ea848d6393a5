//! Records of a store as the operator's commands see them.
//!
//! The commands get them through `operator_access.rs`.

use std::sync::Arc;

use uuid::Uuid;
use uuid::fmt::{Hyphenated, Simple};

use super::{Counts, Delivery, DeliveryId};
use crate::base::clock::Timestamp;
use crate::event::{Decision, EventId, Received};

/// A filter for deliveries. `None` matches everything.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    /// The rule of the delivery.
    pub rule: Option<String>,
    /// The endpoint of the event.
    pub endpoint: Option<String>,
    /// The state: `waiting`, `done`, `superseded` or `dead`. `dead` matches dead letters only, not
    /// failed deliveries that were made for the failure of another.
    pub state: Option<&'static str>,
    /// Earliest arrival time of the event.
    pub since: Option<Timestamp>,
}

/// A delivery as a list shows it, with facts of its event.
#[derive(Clone, Debug)]
pub struct ListedDelivery {
    /// Row of the delivery; rows are in the order of arrival.
    pub row: i64,
    pub received_at: Timestamp,
    pub endpoint: String,
    pub delivery: Delivery,
    /// Number of replays.
    pub replays: u32,
    /// Start of the running attempt. `None` if no attempt is known to run, and while no daemon is
    /// known to use the store.
    pub begun_at: Option<Timestamp>,
}

/// An event as the store keeps it.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    pub received: Arc<Received>,
    /// The decoding of the body.
    pub decode: String,
    /// Status of the answer. `None` if the sender waited for the outcome of the deliveries.
    pub status: Option<u16>,
    pub decision: Decision,
    /// True if the event was ignored when it arrived, and the operator replayed it.
    pub is_replay: bool,
    /// The reason why the stated body of the answer was not sent.
    pub answer_error: Option<String>,
    /// The user who ran a rule by hand, or who replayed the event. `None` for other arrivals.
    pub fired_by: Option<String>,
}

/// The arrival or delivery that an id belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    Event(EventId),
    Delivery { id: DeliveryId, event: EventId },
}

/// The result of looking up the prefix of an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Exactly one event or delivery.
    Found(Named),
    /// No id has the prefix.
    Nothing,
    /// Several ids have the prefix; some of them.
    Several(Vec<String>),
}

impl Lookup {
    /// Maximum ids of each kind that are read for one prefix.
    pub(super) const MATCHES: usize = 1001;

    /// The result for all ids that have the prefix. A prefix of one arrival and only its own
    /// deliveries means the arrival.
    pub(super) fn of(arrivals: &[EventId], deliveries: &[(DeliveryId, EventId)]) -> Self {
        match (arrivals, deliveries) {
            ([], []) => Self::Nothing,
            ([], &[(id, event)]) => Self::Found(Named::Delivery { id, event }),
            (&[event], deliveries) if deliveries.iter().all(|(_, of)| *of == event) => {
                Self::Found(Named::Event(event))
            }
            _ => {
                let arrivals = arrivals.iter().map(ToString::to_string);
                let deliveries = deliveries.iter().map(|(id, _)| id.to_string());
                Self::Several(arrivals.chain(deliveries).collect())
            }
        }
    }
}

/// The first and the last id that have a prefix. `None` if no id can have it.
pub(super) fn ids_with_prefix(prefix: &str) -> Option<(Uuid, Uuid)> {
    const DASHES: [usize; 4] = [8, 13, 18, 23];
    let fits = |(place, byte): (usize, u8)| {
        if DASHES.contains(&place) {
            byte == b'-'
        } else {
            byte.is_ascii_hexdigit()
        }
    };
    if prefix.is_empty() || prefix.len() > Hyphenated::LENGTH || !prefix.bytes().enumerate().all(fits) {
        return None;
    }
    let filled = |digit: char| {
        let digits = prefix.bytes().filter(|byte| *byte != b'-').map(char::from);
        let digits: String = digits
            .chain(std::iter::repeat(digit))
            .take(Simple::LENGTH)
            .collect();
        Uuid::try_parse(&digits).ok()
    };
    Some((filled('0')?, filled('f')?))
}

/// Numbers of dropped deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Waiting deliveries that are dead now.
    pub given_up: usize,
    /// Ended deliveries that were deleted.
    pub forgotten: usize,
}

/// The result of a check of the whole file.
#[derive(Clone, Debug)]
pub struct CheckReport {
    /// The faults; empty if the file is sound.
    pub faults: Vec<String>,
    /// Numbers of rows, as far as they can be counted. Leased deliveries count as waiting.
    pub counts: Counts,
    /// Bytes of the file.
    pub size: u64,
    /// Free bytes in the file.
    pub free: u64,
}

/// The result of [`Records::vacuum`](super::Records::vacuum).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vacuumed {
    /// Bytes of the file before.
    pub before: u64,
    /// Bytes of the file after.
    pub after: u64,
}
