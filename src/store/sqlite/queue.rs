//! Who is next: the head of the queue, and the leases, in memory; the queue itself is on disk.
//!
//! The head holds every delivery that waits and is not leased up to a horizon, in order; what lies beyond it is read
//! from the index when the head runs out. So a lease never looks at what is leased, and a million waiting deliveries
//! take no more memory than a thousand.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::store::DeliveryId;

/// A place in the queue: by due time, then in the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    /// When it is due, in milliseconds.
    pub due: i64,
    /// The delivery's row.
    pub seq: i64,
}

impl Place {
    /// Before all others.
    const FIRST: Self = Self {
        due: i64::MIN,
        seq: i64::MIN,
    };
    /// After all others.
    const LAST: Self = Self {
        due: i64::MAX,
        seq: i64::MAX,
    };
}

/// How many places the head holds at most; past it the later half is left to the disk.
const HEAD: usize = 8192;

/// How many places are read from the disk at once.
pub(super) const REFILL: usize = 1024;

/// The head of the queue, and the leases.
#[derive(Debug)]
pub(super) struct Queue {
    head: BTreeSet<Place>,
    /// Everything up to here that waits is in the head.
    horizon: Place,
    leases: HashMap<DeliveryId, Place>,
    leased: HashSet<i64>,
}

impl Queue {
    /// A queue of which nothing is known yet.
    pub fn new() -> Self {
        Self {
            head: BTreeSet::new(),
            horizon: Place::FIRST,
            leases: HashMap::new(),
            leased: HashSet::new(),
        }
    }

    /// Forgets the head but not the leases: somebody else has written to the file.
    pub fn look_again(&mut self) {
        self.head.clear();
        self.horizon = Place::FIRST;
    }

    /// A delivery waits at `place`, on disk too.
    pub fn wait(&mut self, place: Place) {
        if place > self.horizon {
            return;
        }
        self.head.insert(place);
        if self.head.len() > HEAD {
            let kept = self.head.iter().nth(HEAD / 2).copied();
            if let Some(first_left) = kept {
                drop(self.head.split_off(&first_left));
                self.horizon = self.head.last().copied().unwrap_or(Place::FIRST);
            }
        }
    }

    /// Nobody waits at `place` any longer, on disk either.
    pub fn forget(&mut self, place: Place) {
        self.head.remove(&place);
    }

    /// The first place; none if the head is empty.
    pub fn first(&self) -> Option<Place> {
        self.head.first().copied()
    }

    /// Takes the first place away.
    pub fn take_first(&mut self) -> Option<Place> {
        self.head.pop_first()
    }

    /// The place after which to read on, unless everything is known.
    pub fn read_on_after(&self) -> Option<Place> {
        (self.horizon < Place::LAST).then_some(self.horizon)
    }

    /// The places read after the horizon, in order; fewer than were asked for are the last there are.
    pub fn refill(&mut self, read: &[Place], asked: usize) {
        let fresh = read.iter().filter(|place| !self.leased.contains(&place.seq));
        self.head.extend(fresh);
        self.horizon = match read.last() {
            Some(last) if read.len() >= asked => *last,
            _ => Place::LAST,
        };
    }

    /// Somebody leases the delivery at a place that has been taken away.
    pub fn lease(&mut self, delivery: DeliveryId, place: Place) {
        self.leases.insert(delivery, place);
        self.leased.insert(place.seq);
    }

    /// The place at which a leased delivery waited.
    pub fn leased(&self, delivery: DeliveryId) -> Option<Place> {
        self.leases.get(&delivery).copied()
    }

    /// Whether the delivery of this row is leased.
    pub fn is_leased(&self, seq: i64) -> bool {
        self.leased.contains(&seq)
    }

    /// Ends a lease; the place at which the delivery waited.
    pub fn end(&mut self, delivery: DeliveryId) -> Option<Place> {
        let place = self.leases.remove(&delivery)?;
        self.leased.remove(&place.seq);
        Some(place)
    }

    /// Ends a lease without a change: the delivery waits where it did.
    pub fn release(&mut self, delivery: DeliveryId) {
        if let Some(place) = self.end(delivery) {
            self.wait(place);
        }
    }

    /// How many deliveries are leased.
    pub fn leases(&self) -> usize {
        self.leases.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn place(due: i64, seq: i64) -> Place {
        Place { due, seq }
    }

    /// Reads on from a disk, as the store does.
    fn next(queue: &mut Queue, disk: &BTreeSet<Place>) -> Option<Place> {
        while queue.first().is_none() {
            let after = queue.read_on_after()?;
            let read: Vec<_> = disk
                .iter()
                .copied()
                .filter(|place| *place > after)
                .take(REFILL)
                .collect();
            queue.refill(&read, REFILL);
        }
        queue.take_first()
    }

    #[test]
    fn the_head_is_bounded_and_nothing_is_lost_beyond_it() {
        let mut queue = Queue::new();
        let mut disk = BTreeSet::new();
        assert_eq!(next(&mut queue, &disk), None);
        // Everything is known, so all of them come into the head, until it is full.
        for seq in 0..20_000 {
            disk.insert(place(7, seq));
            queue.wait(place(7, seq));
            assert!(queue.head.len() <= HEAD);
        }
        let mut leases = Vec::new();
        for seq in 0..20_000 {
            assert_eq!(next(&mut queue, &disk), Some(place(7, seq)));
            let delivery = DeliveryId::new(Timestamp::from_millis(seq));
            queue.lease(delivery, place(7, seq));
            leases.push(delivery);
        }
        // All are leased, so none is found again, though all are on disk.
        assert_eq!(next(&mut queue, &disk), None);
        queue.look_again();
        assert_eq!(next(&mut queue, &disk), None);
        queue.release(leases[12_345]);
        assert_eq!(next(&mut queue, &disk), Some(place(7, 12_345)));
    }

    #[test]
    fn what_comes_before_the_horizon_is_seen_and_what_comes_after_it_is_read_once() {
        let mut queue = Queue::new();
        let mut disk: BTreeSet<Place> = (0..3000).map(|seq| place(seq, seq)).collect();
        assert_eq!(next(&mut queue, &disk), Some(place(0, 0)));
        for new in [place(5, 4000), place(2000, 4001)] {
            disk.insert(new);
            queue.wait(new);
        }
        disk.remove(&place(0, 0));
        let mut seen = Vec::new();
        while let Some(place) = next(&mut queue, &disk) {
            seen.push(place);
        }
        assert_eq!(seen, disk.into_iter().collect::<Vec<_>>());
    }
}
