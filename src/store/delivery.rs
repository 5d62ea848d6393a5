//! Plain values that go into a store and come out of it.
//!
//! [`NewEvent`] goes in and is answered with [`Enqueued`]. [`Lease`] comes out and is answered with
//! [`Settled`]. The other types are listed by history.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::base::clock::Timestamp;
use crate::base::id::{derived, id_at};
use crate::event::{Decision, DedupKey, EventId, Received};
use crate::store::{Debounce, DeliveryState, Group, Sighting};

/// Id of a delivery: a version 7 UUID, made by the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(Uuid);

impl DeliveryId {
    /// Makes an id for a delivery enqueued at `at`.
    pub fn new(at: Timestamp) -> Self {
        Self(id_at(at))
    }

    /// The id of a new delivery at `at`. That of an element is always the same for an event and a
    /// rule.
    pub(super) fn of_new(delivery: &NewDelivery, event: EventId, at: Timestamp) -> Self {
        Self::of_element(delivery, event).unwrap_or_else(|| Self::new(at))
    }

    /// The id of a new delivery as [`Self::of_new`] makes it, without random bits: `number` tells it
    /// from other deliveries of the event.
    pub(super) fn of_known(delivery: &NewDelivery, event: EventId, number: usize) -> Self {
        let whole = || Self(derived(event.as_bytes(), format!("delivery {number}").as_bytes()));
        Self::of_element(delivery, event).unwrap_or_else(whole)
    }

    /// The id of the delivery for the failure of this one, without random bits.
    pub(super) fn of_failure(self) -> Self {
        Self(derived(self.0.as_bytes(), b"failure"))
    }

    fn of_element(delivery: &NewDelivery, event: EventId) -> Option<Self> {
        let item = delivery.item?;
        let name = [&item.to_be_bytes(), delivery.rule.as_bytes()].concat();
        Some(Self(derived(event.as_bytes(), &name)))
    }
}

impl From<Uuid> for DeliveryId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl From<DeliveryId> for Uuid {
    fn from(id: DeliveryId) -> Self {
        id.0
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl FromStr for DeliveryId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

/// An event to be written, with one delivery for each rule that wants it.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// The request, without the headers that must not be kept.
    pub received: Arc<Received>,
    /// The decoding of the body, in the caller's notation. Each [`Lease`] gives it back.
    pub decode: String,
    pub deliveries: Vec<NewDelivery>,
    /// Status of the answer. `None` if the sender waits for the outcome of the deliveries.
    pub status: Option<u16>,
    pub decision: Decision,
    /// True if the operator replays an arrival that was ignored. Its record is deleted in the same
    /// write, so that it runs once.
    pub is_replay: bool,
    /// The user who ran a rule by hand, or who replayed an ignored arrival. `None` for other
    /// arrivals.
    pub fired_by: Option<Arc<str>>,
    /// The current time of the clock by which deliveries are leased. It differs from the arrival
    /// time if the machine's clock was set in between.
    pub now: Timestamp,
}

/// A delivery to be written: an event owed to one rule.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    pub rule: Arc<str>,
    /// Index of the element that the delivery is about. Elements of a rule follow each other, and
    /// only the first of them has the dedup keys. `None` for a delivery of the whole event.
    pub item: Option<u32>,
    /// The keys by which the event is recognised again. Any one of them is enough.
    pub dedup_keys: Vec<DedupKey>,
    /// The last moment at which the dedup keys are remembered.
    pub remember_until: Timestamp,
    /// True if the delivery is enqueued even if one of its dedup keys is remembered.
    pub run_duplicates: bool,
    /// The request as its endpoint remembers it; `None` if nothing is to be remembered.
    pub sighting: Option<Arc<Sighting>>,
    /// Due time of the first action.
    pub due: Timestamp,
    /// The reason why an unverified event is delivered; `None` if it was verified.
    pub unverified: Option<Arc<str>>,
    /// The concurrency group; `None` if the delivery belongs to none.
    pub group: Option<Group>,
    /// The wait for quiet before the delivery is due; `None` if there is none.
    pub debounce: Option<Debounce>,
}

/// The last use of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretUse {
    pub endpoint: Arc<str>,
    pub scheme: Arc<str>,
    /// The origin of the secret as the rules file names it, such as `env:NAME`. Never the secret.
    pub source: Arc<str>,
    /// Arrival time of the last event that the secret verified.
    pub last_matched: Timestamp,
}

/// The answer for one [`NewDelivery`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// The delivery was written.
    New(DeliveryId),
    /// The delivery was written and has superseded others.
    InPlaceOf(DeliveryId, Displaced),
    /// The delivery was written and has ended at once, because its group was busy.
    Skipped(DeliveryId),
    /// The rule has received the event before. Nothing was written.
    Duplicate {
        /// The first event with this dedup key.
        of: EventId,
    },
    /// The content arrived before, with another value of a header that no signature covers. Nothing
    /// was written.
    Altered {
        /// The first arrival with this content.
        of: EventId,
        /// The header whose value differs.
        header: Arc<str>,
    },
}

impl Enqueued {
    /// True if the delivery was written.
    pub fn is_new(&self) -> bool {
        !matches!(self, Self::Duplicate { .. } | Self::Altered { .. })
    }

    /// The delivery that was written.
    pub fn delivery(&self) -> Option<DeliveryId> {
        match self {
            Self::New(id) | Self::InPlaceOf(id, _) | Self::Skipped(id) => Some(*id),
            Self::Duplicate { .. } | Self::Altered { .. } => None,
        }
    }

    /// The answer for a written delivery that has superseded `displaced`, which may be empty.
    pub(super) fn in_place_of(delivery: DeliveryId, displaced: Displaced) -> Self {
        if displaced == Displaced::default() {
            Self::New(delivery)
        } else {
            Self::InPlaceOf(delivery, displaced)
        }
    }
}

/// Deliveries that are superseded by a new one, or by one whose wait for quiet is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Displaced {
    /// Leased deliveries whose actions are to be stopped.
    pub stop: Vec<DeliveryId>,
    /// Deliveries that were not leased and have ended.
    pub ended: Vec<Superseded>,
}

/// A delivery that ended before all its actions were performed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superseded {
    pub delivery: DeliveryId,
    pub event: EventId,
    pub rule: Arc<str>,
    /// The text, from [`reason`](super::group::reason).
    pub reason: &'static str,
}

/// The answer to [`Store::lease`](super::Store::lease).
#[derive(Clone, Debug, Default)]
pub struct Leased {
    /// The leases, in the order in which they were made.
    pub leases: Vec<Lease>,
    /// True if more deliveries are due than the limits allow. The end of a lease may let one of
    /// them start.
    pub held_back: bool,
    /// Deliveries superseded by one whose wait for quiet is over, including that delivery itself if
    /// it was skipped.
    pub displaced: Displaced,
}

/// Set on a delivery whose latest attempt was interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interruption {
    /// Number of consecutive interrupted attempts, including the latest.
    pub in_a_row: u32,
    /// Start of the latest interrupted attempt.
    pub since: Timestamp,
}

/// A delivery that the caller is to work on until it settles or releases it.
#[derive(Clone, Debug)]
pub struct Lease {
    pub delivery: DeliveryId,
    pub rule: Arc<str>,
    /// Index of the element that the delivery is about.
    pub item: Option<u32>,
    /// Index of the action to be performed.
    pub action: usize,
    /// Number of the attempt at this action, from 1.
    pub attempt: u32,
    /// The request. Deliveries of one event that are leased together share it.
    pub received: Arc<Received>,
    /// The decoding of the body, as given in the [`NewEvent`].
    pub decode: String,
    /// Name of the operator who made the event, as given in the [`NewEvent`].
    pub fired_by: Option<Arc<str>>,
    /// The reason why an unverified event is delivered, as given in the [`NewDelivery`].
    pub unverified: Option<Arc<str>>,
    /// True if the delivery belongs to a concurrency group, in which others may wait for its end.
    pub in_group: bool,
    /// The reason why the delivery is to be settled as superseded instead of performed: another one
    /// replaced it while it was running.
    pub superseded: Option<String>,
    /// Number of replays by the operator.
    pub replays: u32,
    /// The failure of another delivery for which this one was made; `None` for a delivery of the
    /// event itself.
    pub failure: Option<Arc<DeliveryFailure>>,
    /// Set if the latest attempt was interrupted.
    pub interrupted: Option<Interruption>,
    /// True if the delivery may have ended the last daemon. The caller then has the attempt marked
    /// as begun before it starts.
    pub suspect: bool,
}

impl Lease {
    /// True if the attempt begins only with [`Store::begin`](super::Store::begin), rather than with
    /// the lease. Such an attempt can be given up before it begins, or can end the daemon.
    pub fn begins_by_itself(&self) -> bool {
        self.suspect || self.interrupted.is_some()
    }
}

/// The failure of a delivery, passed to the delivery that is made for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFailure {
    /// The name of the action that failed.
    pub action: String,
    /// The reason why the delivery was given up.
    pub reason: String,
    /// The output of the last attempt, bounded by the caller.
    pub output: String,
}

/// The replacement of a leased delivery of a whole event by deliveries of its elements.
#[derive(Clone, Debug)]
pub struct Expansion {
    /// The leased delivery, which ends as superseded.
    pub delivery: DeliveryId,
    /// The event of that delivery.
    pub event: EventId,
    pub reason: String,
    /// Deliveries of elements, to the same rule.
    pub deliveries: Vec<NewDelivery>,
    pub at: Timestamp,
}

/// The end of a lease.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The leased delivery.
    pub delivery: DeliveryId,
    /// The attempt, if one was made.
    pub attempt: Option<AttemptRecord>,
    pub settlement: Settlement,
}

impl Settled {
    /// A settlement without an attempt.
    pub fn unattempted(delivery: DeliveryId, settlement: Settlement) -> Self {
        Self {
            delivery,
            attempt: None,
            settlement,
        }
    }
}

/// The record of one attempt at one action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    /// Index of the action.
    pub action: usize,
    /// Number of the attempt at that action, from 1.
    pub number: u32,
    pub started: Timestamp,
    /// Duration of the attempt, kept in milliseconds.
    pub duration: Duration,
    /// The result: `done`, `failed`, `dead`, `interrupted` or `cancelled`. `replayed` and `dropped`
    /// record an action of the operator.
    pub outcome: String,
    /// The outcome in the operator's words, such as `exit 3` or `HTTP 503`.
    pub detail: String,
    /// The standard output of the command, or the body of the response; bounded by the caller.
    pub stdout: Vec<u8>,
    /// The standard error of the command, bounded by the caller.
    pub stderr: Vec<u8>,
}

/// The state of a delivery after its lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// The delivery waits for its next action.
    Next {
        /// Index of that action.
        action: usize,
        /// Due time of its first attempt.
        due: Timestamp,
    },
    /// The last action is done.
    Done { at: Timestamp },
    /// The delivery ends early because a newer one replaced it.
    Superseded { at: Timestamp, reason: String },
    /// The delivery waits for the next attempt at the same action.
    Retry { due: Timestamp },
    /// The delivery waits for the same attempt at the same action, because none was made.
    Wait { due: Timestamp },
    /// A stop of the daemon interrupted the attempt. The delivery waits for another one.
    Interrupted {
        /// Start of the interrupted attempt.
        since: Timestamp,
        /// Due time of the next attempt; `None` keeps the due time as it was.
        due: Option<Timestamp>,
        /// True if the interrupted attempt counts, so that the next one has the next number.
        counts: bool,
    },
    /// The delivery is given up.
    Dead {
        at: Timestamp,
        reason: String,
        /// True if the dedup keys that this event stored for the rule are forgotten, so that the
        /// identical request is accepted again.
        forget_dedup_keys: bool,
        /// The failure for which another delivery of the same event to the same rule is made. That
        /// delivery belongs to no group and has this one's due time. It never counts as a dead
        /// letter, and its own failure makes no further delivery.
        failure: Option<Box<DeliveryFailure>>,
    },
}

impl Settlement {
    /// True if the delivery has ended.
    pub fn is_end(&self) -> bool {
        match self {
            Self::Done { .. } | Self::Superseded { .. } | Self::Dead { .. } => true,
            Self::Next { .. } | Self::Retry { .. } | Self::Wait { .. } | Self::Interrupted { .. } => false,
        }
    }
}

/// A delivery as history lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub id: DeliveryId,
    pub event: EventId,
    pub rule: Arc<str>,
    /// Index of the element that the delivery is about.
    pub item: Option<u32>,
    /// Index of the action that the delivery has reached.
    pub action: usize,
    /// Number of the attempt at that action that is next, is running, or was the last.
    pub attempt: u32,
    pub state: DeliveryState,
    /// The reason why an unverified event is delivered.
    pub unverified: Option<Arc<str>>,
    /// The delivery for whose failure this one was made.
    pub failure_of: Option<DeliveryId>,
}
