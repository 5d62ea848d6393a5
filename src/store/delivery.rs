//! What goes into a store and comes out of it: plain values.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::id::id_at;
use crate::store::{Debounce, Interruption, Lane, Sighting};
use crate::verify::{EventId, Nonce, Received};

/// The id of a delivery: a version 7 UUID, made by the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(Uuid);

impl DeliveryId {
    /// A new id for a delivery taken at `at`.
    pub fn new(at: Timestamp) -> Self {
        Self(id_at(at))
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

/// An event to be written down, and the rules that it is owed to.
#[derive(Clone, Debug)]
pub struct Taking {
    /// What arrived, without the headers that must not be kept.
    pub received: Arc<Received>,
    /// How its body is decoded: the caller's word, given back in each [`Lease`].
    pub decode: String,
    /// One delivery for each rule that wants it.
    pub deliveries: Vec<NewDelivery>,
    /// Now, by the clock by which deliveries are leased; it is not that of the arrival where the machine's clock was set.
    pub now: Timestamp,
}

/// An event owed to one rule.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    /// The rule's name.
    pub rule: Arc<str>,
    /// What the event is recognised by again, any of them.
    pub nonces: Vec<Nonce>,
    /// The last moment at which the nonces are remembered.
    pub remember_until: Timestamp,
    /// Whether it is taken even if a nonce of it is remembered.
    pub run_duplicates: bool,
    /// What its endpoint remembers of the request; none: nothing.
    pub sighting: Option<Arc<Sighting>>,
    /// When its first action is due.
    pub due: Timestamp,
    /// Why it is owed although the event was not verified for its rule; none: it was.
    pub unverified: Option<Arc<str>>,
    /// The lane in which it goes; none: it waits for nobody.
    pub lane: Option<Lane>,
    /// How it waits for quiet before it is due; none: it does not.
    pub debounce: Option<Debounce>,
}

/// When a secret last matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretUse {
    /// The endpoint on which it matched.
    pub endpoint: Arc<str>,
    /// The scheme that it is the secret of.
    pub scheme: Arc<str>,
    /// Where it comes from, as the rules file names it: `env:NAME`. Never the secret.
    pub source: Arc<str>,
    /// When an event that it verified arrived last.
    pub last_matched: Timestamp,
}

/// What became of a [`NewDelivery`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was written down.
    New(DeliveryId),
    /// It was written down, and others have given way to it.
    InPlaceOf(DeliveryId, Displaced),
    /// It was written down and has ended at once: its lane was busy.
    Skipped(DeliveryId),
    /// The rule has had it before.
    Duplicate {
        /// The event that it came with the first time.
        of: EventId,
    },
    /// Its content came before, with another value of a header that no signature covers.
    Altered {
        /// The arrival that it came with the first time.
        of: EventId,
        /// The header.
        header: Arc<str>,
    },
}

impl Taken {
    /// Whether it was written down.
    pub fn is_new(&self) -> bool {
        !matches!(self, Self::Duplicate { .. } | Self::Altered { .. })
    }

    /// It was written down, and `displaced` has given way to it, if anything has.
    pub(super) fn in_place_of(delivery: DeliveryId, displaced: Displaced) -> Self {
        if displaced == Displaced::default() {
            Self::New(delivery)
        } else {
            Self::InPlaceOf(delivery, displaced)
        }
    }
}

/// What gives way to a delivery that comes, or whose wait for quiet is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Displaced {
    /// Those under way, which are to be stopped.
    pub stop: Vec<DeliveryId>,
    /// Those that have ended, and were not under way.
    pub ended: Vec<Superseded>,
}

/// A delivery that has ended before it was performed to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superseded {
    /// The delivery.
    pub delivery: DeliveryId,
    /// The event that was owed.
    pub event: EventId,
    /// The rule that it was owed to.
    pub rule: Arc<str>,
    /// Why: one of [`reason`](super::lane::reason).
    pub reason: &'static str,
}

/// For how many leases there is room.
///
/// A rule that has none leased may have one while any slot is free. Another it may have only while it has fewer than are
/// free beside an eighth that is kept for those that have none: alone it gets nearly half of the slots, and what comes for
/// others finds room. Where all slots are taken by more rules than that, each waits for one turn of theirs, not for what
/// waits behind them: of the rules that may have another, that one gets it which has the fewest, then that which has had
/// none for the longest time, then that whose delivery has been due for longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// How many deliveries may be leased at once.
    pub slots: usize,
    /// How many of one rule, at most.
    pub per_rule: usize,
}

impl Room {
    /// Whether a rule that has `of_rule` leased may have another, when `all` are leased.
    pub fn admits(self, of_rule: usize, all: usize) -> bool {
        let free = self.slots.saturating_sub(all);
        if of_rule == 0 {
            return free > 0 && self.per_rule > 0;
        }
        of_rule < self.per_rule.min(free.saturating_sub(self.kept()))
    }

    /// How many of one rule are leased at once at most, when nothing else is.
    pub fn most_of_one_rule(self) -> usize {
        self.per_rule.min((self.slots - self.kept()).div_ceil(2).max(1))
    }

    /// How many slots are kept for rules that have none.
    fn kept(self) -> usize {
        self.slots / 8
    }
}

/// What a call leases.
#[derive(Clone, Debug, Default)]
pub struct Leased {
    /// The leases, in order.
    pub leases: Vec<Lease>,
    /// Whether more is due that there was no room for, so that the end of a lease may make room for it.
    pub held_back: bool,
    /// What has given way to one whose wait for quiet is over; itself, if it was skipped.
    pub displaced: Displaced,
}

/// A delivery that is somebody's to work on.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The delivery.
    pub delivery: DeliveryId,
    /// The rule that it is owed to.
    pub rule: Arc<str>,
    /// The index of the action to be performed.
    pub action: usize,
    /// Which try at this action it is, counted from 1.
    pub attempt: u32,
    /// What arrived; deliveries of one event that are leased together share it.
    pub received: Arc<Received>,
    /// How its body is decoded, as it was given in the [`Taking`].
    pub decode: String,
    /// Why it is owed although the event was not verified, as it was given in the [`NewDelivery`].
    pub unverified: Option<Arc<str>>,
    /// Whether it goes in a lane, in which others may wait for its end.
    pub in_lane: bool,
    /// Why it is to be settled as superseded rather than performed: another has replaced it while it was under way.
    pub superseded: Option<String>,
    /// How often the operator has had it done again.
    pub replays: u32,
    /// The failure of another delivery that it was made for; none: it is owed for its event.
    pub failure: Option<Arc<Failure>>,
    /// That the latest attempt was interrupted; none: it was not, or there was none.
    pub interrupted: Option<Interruption>,
    /// Whether it may be what ended the last daemon: it is to be written down as begun before its attempt.
    pub suspect: bool,
}

impl Lease {
    /// Whether its attempt begins only when [`Store::begin`](super::Store::begin) says so, rather than with the lease. So
    /// it is where the attempt may be given up before it begins, or may end the daemon.
    pub fn begins_by_itself(&self) -> bool {
        self.suspect || self.interrupted.is_some()
    }
}

/// How a delivery failed, for the one that is made for its failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// The name of the action that failed.
    pub action: String,
    /// Why the delivery was given up on.
    pub reason: String,
    /// What the last attempt put out; the caller has bounded it.
    pub output: String,
}

/// How a lease ends.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The delivery, which is leased.
    pub delivery: DeliveryId,
    /// The attempt that was made, if one was.
    pub attempt: Option<AttemptRecord>,
    /// What becomes of the delivery.
    pub settlement: Settlement,
}

impl Settled {
    /// One without an attempt.
    pub fn unattempted(delivery: DeliveryId, settlement: Settlement) -> Self {
        Self {
            delivery,
            attempt: None,
            settlement,
        }
    }
}

/// One try at one action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    /// The index of the action.
    pub action: usize,
    /// Which try at it this was, counted from 1.
    pub number: u32,
    /// When it began.
    pub started: Timestamp,
    /// How long it took; the store keeps milliseconds.
    pub duration: Duration,
    /// How it went: `done`, `failed`, `dead`, `interrupted`, `cancelled`; `replayed` or `dropped` where it is no try but the operator's doing.
    pub outcome: String,
    /// How it went in the operator's words: `exit 3`, `HTTP 503`.
    pub detail: String,
    /// What the command wrote to its standard output, or the response's body; the caller has bounded it.
    pub stdout: Vec<u8>,
    /// What the command wrote to its standard error; the caller has bounded it.
    pub stderr: Vec<u8>,
}

/// What becomes of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It waits for its next action, whose first attempt is due at `due`.
    Next {
        /// The index of that action.
        action: usize,
        /// When it is due.
        due: Timestamp,
    },
    /// Its last action is done.
    Done {
        /// Since when.
        at: Timestamp,
    },
    /// It ends without being performed to its end, for another took its place.
    Superseded {
        /// Since when.
        at: Timestamp,
        /// Why.
        reason: String,
    },
    /// It waits for the next attempt at the same action.
    Retry {
        /// When it is due.
        due: Timestamp,
    },
    /// It waits for the same attempt at the same action: none was made.
    Wait {
        /// When it is due.
        due: Timestamp,
    },
    /// The attempt was interrupted by a stop of the daemon. The delivery waits for another one.
    Interrupted {
        /// When the attempt began.
        since: Timestamp,
        /// When the next one is due; none: as before.
        due: Option<Timestamp>,
        /// Whether the interrupted attempt counts, so that the next one has the next number.
        counts: bool,
    },
    /// It is given up on.
    Dead {
        /// Since when.
        at: Timestamp,
        /// Why.
        reason: String,
        /// Whether the nonces that this delivery's event put there for its rule are forgotten, so that the very
        /// same request is taken again.
        forget_nonces: bool,
        /// The failure for which another delivery of the same event to the same rule is made, in no lane and at this one's
        /// place in the queue. Such a one ends without being counted as a dead letter, and none is made for it in turn.
        failure: Option<Box<Failure>>,
    },
}

impl Settlement {
    /// Whether it is over with it.
    pub fn is_end(&self) -> bool {
        match self {
            Self::Done { .. } | Self::Superseded { .. } | Self::Dead { .. } => true,
            Self::Next { .. } | Self::Retry { .. } | Self::Wait { .. } | Self::Interrupted { .. } => false,
        }
    }
}

/// A delivery as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its id.
    pub id: DeliveryId,
    /// The event that is owed.
    pub event: EventId,
    /// The rule that it is owed to.
    pub rule: Arc<str>,
    /// The index of the action that it has reached.
    pub action: usize,
    /// Which try at that action is next, is under way, or was the last.
    pub attempt: u32,
    /// What it is doing.
    pub state: State,
    /// Why it is owed although the event was not verified.
    pub unverified: Option<Arc<str>>,
    /// The delivery for whose failure it was made.
    pub failure_of: Option<DeliveryId>,
}

/// What a delivery is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits for its turn.
    Waiting {
        /// When it is due.
        due: Timestamp,
    },
    /// Somebody is at work on it.
    Leased,
    /// All its actions are done.
    Done {
        /// Since when.
        at: Timestamp,
    },
    /// It ended without being performed to its end.
    Superseded {
        /// Since when.
        at: Timestamp,
        /// Why.
        reason: String,
    },
    /// It was given up on.
    Dead {
        /// Since when.
        at: Timestamp,
        /// Why.
        reason: String,
    },
}

/// A request that was not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// When it arrived.
    pub at: Timestamp,
    /// The endpoint that it arrived on.
    pub endpoint: Arc<str>,
    /// The client's address.
    pub client: Option<IpAddr>,
    /// Why it was refused; cut at [`Refused::REASON_KEPT`] bytes.
    pub reason: String,
    /// What its headers said, as far as it may be kept; cut at [`Refused::HEADERS_KEPT`] bytes.
    pub headers: String,
}

impl Refused {
    /// How much of a reason is kept.
    pub const REASON_KEPT: usize = 1024;
    /// How much of the headers is kept.
    pub const HEADERS_KEPT: usize = 4096;

    /// The same with its texts cut: strangers decide how long they are.
    pub(super) fn bounded(mut self) -> Self {
        cut(&mut self.reason, Self::REASON_KEPT);
        cut(&mut self.headers, Self::HEADERS_KEPT);
        self
    }
}

/// Cuts a text at a character boundary.
fn cut(text: &mut String, bytes: usize) {
    text.truncate(text.floor_char_boundary(bytes));
    text.shrink_to_fit();
}
