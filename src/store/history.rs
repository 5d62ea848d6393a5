//! History for the operator's commands: arrivals, deliveries and attempts, read whether a daemon
//! runs or not.
//!
//! A [`History`] reads one snapshot and writes nothing. An attempt is known to run once the daemon
//! has recorded its start, and only while that daemon uses the store.

use std::collections::{BTreeMap, HashMap};

use super::{
    ArrivalFilter, ArrivalRecord, ArrivalWindow, AttemptRecord, Backlog, BacklogCounts, DeadGroup,
    DeliveryFilter, DeliveryId, Groups, ListedArrival, ListedDelivery, Lookup, Pause, Place, RefusedGroup,
    SelectedDeliveries, StoreError, StoredEvent, Tail, TailCursor, postgres, sqlite,
};
use crate::base::clock::Timestamp;
use crate::event::EventId;

/// A snapshot of a store.
#[derive(Debug)]
pub struct History(Snapshot);

#[derive(Debug)]
enum Snapshot {
    File(Box<sqlite::History>),
    Server(Box<postgres::History>),
}

/// Asks the snapshot, whatever keeps it.
macro_rules! ask {
    ($history:ident.$method:ident($($argument:expr),*)) => {
        match &$history.0 {
            Snapshot::File(snapshot) => snapshot.$method($($argument),*),
            Snapshot::Server(snapshot) => snapshot.$method($($argument),*),
        }
    };
}

impl History {
    /// Opens the store at `place`.
    pub(super) fn open(place: &Place) -> Result<Self, StoreError> {
        Ok(Self(match place {
            Place::File(path) => Snapshot::File(Box::new(sqlite::History::open(path)?)),
            Place::Postgres(target) => Snapshot::Server(Box::new(postgres::History::open(target)?)),
        }))
    }

    /// Lists at most `limit` deliveries before the row `before`, newest first.
    pub fn before(
        &self,
        filter: &DeliveryFilter,
        before: i64,
        limit: usize,
    ) -> Result<Vec<ListedDelivery>, StoreError> {
        ask!(self.before(filter, before, limit))
    }

    /// Lists the deliveries of an event in the order of arrival, at most the first
    /// [`DELIVERIES_LISTED`](super::DELIVERIES_LISTED).
    pub fn of_event(&self, event: EventId) -> Result<Vec<ListedDelivery>, StoreError> {
        ask!(self.of_event(event))
    }

    /// Lists the pauses of rules and targets.
    pub fn pauses(&self) -> Result<Vec<Pause>, StoreError> {
        ask!(self.pauses())
    }

    /// Reads an event with its body. Returns `None` if the id is unknown.
    pub fn event(&self, event: EventId) -> Result<Option<StoredEvent>, StoreError> {
        ask!(self.event(event))
    }

    /// Lists the latest attempts at a delivery, oldest first, including recorded replays and drops.
    pub fn attempts(&self, delivery: DeliveryId) -> Result<Vec<AttemptRecord>, StoreError> {
        ask!(self.attempts(delivery))
    }

    /// Reads the record of an arrival that became no event. Returns `None` if there is none.
    pub fn arrival(&self, id: EventId) -> Result<Option<ArrivalRecord>, StoreError> {
        ask!(self.arrival(id))
    }

    /// Lists the wanted arrivals of the latest `rows` events, and of as many other arrivals, before
    /// the id `before`. Newest first, at most `limit`, without their deliveries.
    pub fn arrivals_in_window(
        &self,
        filter: &ArrivalFilter,
        before: Option<EventId>,
        rows: usize,
        limit: usize,
    ) -> Result<ArrivalWindow, StoreError> {
        ask!(self.arrivals_in_window(filter, before, rows, limit))
    }

    /// Lists the wanted arrivals that were written after `cursor`, of at most `limit` events and as
    /// many other arrivals, and moves the cursor behind them. They are in the order of their ids.
    pub fn listed_after(
        &self,
        filter: &ArrivalFilter,
        cursor: &mut TailCursor,
        limit: usize,
    ) -> Result<Vec<ListedArrival>, StoreError> {
        ask!(self.listed_after(filter, cursor, limit))
    }

    /// Lists the wanted arrivals that a tail has not seen, of at most `limit` new events and as many
    /// other arrivals, with their deliveries. They are in the order of their ids.
    pub fn arrivals_after(
        &self,
        filter: &ArrivalFilter,
        tail: &mut Tail,
        limit: usize,
    ) -> Result<Vec<ListedArrival>, StoreError> {
        match &self.0 {
            Snapshot::File(snapshot) => {
                let mut listed = snapshot.listed_after(filter, &mut tail.cursor, limit)?;
                snapshot.add_deliveries(&mut listed)?;
                Ok(listed)
            }
            Snapshot::Server(snapshot) => snapshot.arrivals_after(filter, tail, limit),
        }
    }

    /// A tail that has read everything.
    pub fn tail(&self) -> Result<Tail, StoreError> {
        match &self.0 {
            Snapshot::File(snapshot) => Ok(Tail {
                cursor: snapshot.tail_cursor()?,
                ..Tail::default()
            }),
            Snapshot::Server(snapshot) => snapshot.tail(),
        }
    }

    /// The position of a tail that has read everything.
    pub fn tail_cursor(&self) -> Result<TailCursor, StoreError> {
        ask!(self.tail_cursor())
    }

    /// Adds the deliveries of each arrival.
    pub fn add_deliveries(&self, rows: &mut [ListedArrival]) -> Result<(), StoreError> {
        ask!(self.add_deliveries(rows))
    }

    /// Looks up the prefix of an id. Ids begin with the time, so an event shares a long prefix with
    /// its deliveries. A prefix that fits them all means the event.
    pub fn find(&self, prefix: &str) -> Result<Lookup, StoreError> {
        ask!(self.find(prefix))
    }

    /// Groups the dead letters by rule and stable reason, the latest
    /// [`DEAD_LOOKED_AT`](super::DEAD_LOOKED_AT) of them.
    pub fn dead_groups(&self) -> Result<Groups<DeadGroup>, StoreError> {
        ask!(self.dead_groups())
    }

    /// Groups the refused arrivals by endpoint, outcome and stable reason, the latest
    /// [`REFUSED_LOOKED_AT`](super::REFUSED_LOOKED_AT) records of each ring.
    pub fn refused_groups(&self) -> Result<Groups<RefusedGroup>, StoreError> {
        ask!(self.refused_groups())
    }

    /// Counts the dead letters of each rule, the latest [`DEAD_LOOKED_AT`](super::DEAD_LOOKED_AT)
    /// of them.
    pub fn dead_by_rule(&self) -> Result<HashMap<String, u64>, StoreError> {
        ask!(self.dead_by_rule())
    }

    /// Selects the dead letters of a group: of a rule, with the stable part `stable` of their
    /// reason. Without it, all of the rule.
    pub fn select_dead(&self, rule: &str, stable: Option<&str>) -> Result<SelectedDeliveries, StoreError> {
        ask!(self.select_dead(rule, stable))
    }

    /// The deliveries that have not ended, at `now`. `running` is the number of those that the
    /// caller knows to run, which are listed, too.
    pub fn backlog(&self, now: Timestamp, running: usize) -> Result<Backlog, StoreError> {
        ask!(self.backlog(now, running))
    }

    /// Numbers of the deliveries that have not ended, by rule.
    pub fn backlog_counts(&self, now: Timestamp) -> Result<BTreeMap<String, BacklogCounts>, StoreError> {
        ask!(self.backlog_counts(now))
    }
}
