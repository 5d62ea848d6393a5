//! Who is next: a queue for each rule, of which the heads, and the leases, are in memory; the queues themselves are on disk.
//!
//! The head of a rule's queue holds every delivery of it that waits and is not leased up to a horizon, in order; what
//! lies beyond is read from the index when the head runs out. So a lease never looks at what is leased, nor at what
//! waits for a rule that has no room, and a million waiting deliveries take no more memory than a thousand.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::store::{DeliveryId, Room};

/// A place in the queue of its rule: by due time, then in the order of arrival.
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

/// A lease whose attempt is not on disk as begun.
#[derive(Debug)]
struct Unmarked {
    /// The moment of the lease, in milliseconds.
    since: i64,
    /// The attempt does not begin with the lease.
    by_itself: bool,
}

/// A place in the queue of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waits {
    /// The rule.
    pub rule: Arc<str>,
    /// Where in its queue.
    pub place: Place,
}

/// How many places all heads hold together, roughly; past its share of them the later half of a head is left to the disk.
const PLACES: usize = 8192;

/// The share of a head, however many there are.
const LEAST: usize = 32;

/// How many places are read from the disk at once, at most.
pub(super) const REFILL: usize = 1024;

/// The queues, and the leases.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heads: HashMap<Arc<str>, Head>,
    /// The first place of each head that has one.
    fronts: BTreeMap<Place, Arc<str>>,
    /// Heads that have run out, with more of them on disk.
    dry: HashSet<Arc<str>>,
    /// Whether every rule that something waits for has a head.
    complete: bool,
    leases: HashMap<DeliveryId, Waits>,
    leased: HashSet<i64>,
    /// Leases whose attempts are not on disk as begun, with the moment of the lease.
    unmarked: HashMap<DeliveryId, Unmarked>,
    /// Leases whose attempts are.
    marked: HashSet<DeliveryId>,
    under_way: HashMap<Arc<str>, usize>,
    /// When each rule had its last turn, counted in turns.
    turns: HashMap<Arc<str>, u64>,
    turn: u64,
}

/// Of how many rules it is remembered when they had their last turn; then all begin anew.
const TURNS_KEPT: usize = 16_384;

/// The head of one rule's queue.
#[derive(Debug)]
struct Head {
    places: BTreeSet<Place>,
    /// Everything up to here that waits is in the head.
    horizon: Place,
}

impl Queue {
    /// Queues of which nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the heads but not the leases: somebody else has written to the file.
    pub fn look_again(&mut self) {
        self.heads.clear();
        self.fronts.clear();
        self.dry.clear();
        self.complete = false;
    }

    /// Whether it is known for which rules something waits; if not, they are to be [`begin`](Self::begin)ned with.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// These are the rules for which something waits, on disk.
    pub fn begin(&mut self, rules: Vec<Arc<str>>) {
        self.look_again();
        for rule in rules {
            let places = BTreeSet::new();
            let horizon = Place::FIRST;
            self.heads.insert(Arc::clone(&rule), Head { places, horizon });
            self.dry.insert(rule);
        }
        self.complete = true;
    }

    /// A delivery waits, on disk too.
    pub fn wait(&mut self, Waits { rule, place }: Waits) {
        if !self.complete {
            return;
        }
        let share = self.share();
        let head = self.heads.entry(Arc::clone(&rule)).or_insert_with(|| Head {
            places: BTreeSet::new(),
            horizon: Place::LAST,
        });
        if place > head.horizon {
            return;
        }
        let front = head.places.first().copied();
        head.places.insert(place);
        if head.places.len() > share {
            let kept = head.places.iter().nth(share / 2).copied();
            if let Some(first_left) = kept {
                drop(head.places.split_off(&first_left));
                head.horizon = head.places.last().copied().unwrap_or(Place::FIRST);
            }
        }
        self.put_in_front(&rule, front);
    }

    /// Nobody waits there any longer, on disk either.
    pub fn forget(&mut self, Waits { rule, place }: &Waits) {
        if let Some(head) = self.heads.get_mut(rule) {
            let front = head.places.first().copied();
            head.places.remove(place);
            self.put_in_front(rule, front);
        }
    }

    /// The first to be due of those whose rule may have another leased; none if there is no such in the heads.
    pub fn first(&self, room: Room) -> Option<Waits> {
        let mut fronts = self.fronts.iter();
        let found = fronts.find(|(_, rule)| self.has_room(room, rule))?;
        Some(Self::waits(found))
    }

    /// Whose turn it is of those that are due at `now`.
    pub fn next(&self, room: Room, now: i64) -> Option<Waits> {
        let due = self.fronts.iter().take_while(|(place, _)| place.due <= now);
        let with_room = due.filter(|(_, rule)| self.has_room(room, rule));
        let found = with_room.min_by_key(|(place, rule)| {
            let turn = self.turns.get(*rule).copied().unwrap_or(0);
            (self.under_way(rule), turn, **place)
        })?;
        Some(Self::waits(found))
    }

    fn waits((place, rule): (&Place, &Arc<str>)) -> Waits {
        Waits {
            rule: Arc::clone(rule),
            place: *place,
        }
    }

    fn has_room(&self, room: Room, rule: &str) -> bool {
        room.admits(self.under_way(rule), self.leases.len())
    }

    /// Whether anything in the heads is due.
    pub fn is_due(&self, now: i64) -> bool {
        self.fronts
            .first_key_value()
            .is_some_and(|(place, _)| place.due <= now)
    }

    /// A rule whose head has run out, the place after which to read on, and how many.
    pub fn dry(&self) -> Option<(Arc<str>, Place, usize)> {
        let rule = self.dry.iter().next()?;
        let after = self.heads.get(rule)?.horizon;
        Some((Arc::clone(rule), after, (self.share() / 2).min(REFILL)))
    }

    /// The places read after the horizon of a rule, in order; fewer than were asked for are the last there are.
    pub fn refill(&mut self, rule: &Arc<str>, read: &[Place], asked: usize) {
        let Some(head) = self.heads.get_mut(rule) else {
            return;
        };
        let front = head.places.first().copied();
        let fresh = read.iter().filter(|place| !self.leased.contains(&place.seq));
        head.places.extend(fresh);
        head.horizon = match read.last() {
            Some(last) if read.len() >= asked => *last,
            _ => Place::LAST,
        };
        self.put_in_front(rule, front);
    }

    /// Somebody leases a delivery, which waits no longer.
    ///
    /// If `by_itself`, its attempt begins only once [`mark`](Self::mark) says so: a lease that is given up before its
    /// attempt must not be taken for an interrupted one.
    pub fn lease(&mut self, delivery: DeliveryId, waits: Waits, now: i64, by_itself: bool) {
        self.forget(&waits);
        self.unmarked.insert(
            delivery,
            Unmarked {
                since: now,
                by_itself,
            },
        );
        if self.turns.len() >= TURNS_KEPT {
            self.turns.clear();
        }
        self.turn += 1;
        self.turns.insert(Arc::clone(&waits.rule), self.turn);
        *self.under_way.entry(Arc::clone(&waits.rule)).or_default() += 1;
        self.leased.insert(waits.place.seq);
        self.leases.insert(delivery, waits);
    }

    /// Where a leased delivery waited.
    pub fn leased(&self, delivery: DeliveryId) -> Option<&Waits> {
        self.leases.get(&delivery)
    }

    /// Whether the delivery of this row is leased.
    pub fn is_leased(&self, seq: i64) -> bool {
        self.leased.contains(&seq)
    }

    /// Leases up to a moment whose attempts have begun with the lease and are not on disk as begun.
    pub fn unmarked(&self, leased_by: i64) -> impl Iterator<Item = (DeliveryId, i64)> {
        let begun = self.unmarked.iter().filter(|(_, unmarked)| !unmarked.by_itself);
        let all = begun.map(|(delivery, unmarked)| (*delivery, unmarked.since));
        all.filter(move |(_, since)| *since <= leased_by)
    }

    /// The moment since which this delivery is leased, if its attempt is not on disk as begun.
    pub fn unmarked_since(&self, delivery: DeliveryId) -> Option<i64> {
        self.unmarked.get(&delivery).map(|unmarked| unmarked.since)
    }

    /// The attempt at a leased delivery is on disk as begun.
    pub fn mark(&mut self, delivery: DeliveryId) {
        if self.unmarked.remove(&delivery).is_some() {
            self.marked.insert(delivery);
        }
    }

    /// Whether the attempt at a leased delivery is on disk as begun.
    pub fn is_marked(&self, delivery: DeliveryId) -> bool {
        self.marked.contains(&delivery)
    }

    /// Ends a lease; where the delivery waited.
    pub fn end(&mut self, delivery: DeliveryId) -> Option<Waits> {
        let waits = self.leases.remove(&delivery)?;
        self.unmarked.remove(&delivery);
        self.marked.remove(&delivery);
        self.leased.remove(&waits.place.seq);
        if let Some(count) = self.under_way.get_mut(&waits.rule) {
            *count -= 1;
            if *count == 0 {
                self.under_way.remove(&waits.rule);
            }
        }
        Some(waits)
    }

    /// Ends a lease without a change: the delivery waits where it did.
    pub fn release(&mut self, delivery: DeliveryId) {
        if let Some(waits) = self.end(delivery) {
            self.wait(waits);
        }
    }

    /// Whether anything was leased since the start.
    pub fn has_leased(&self) -> bool {
        self.turn > 0
    }

    /// How many deliveries are leased.
    pub fn leases(&self) -> usize {
        self.leases.len()
    }

    /// How many deliveries of a rule are leased.
    fn under_way(&self, rule: &str) -> usize {
        self.under_way.get(rule).copied().unwrap_or(0)
    }

    /// How many places one head may hold.
    fn share(&self) -> usize {
        (PLACES / self.heads.len().max(1)).max(LEAST)
    }

    /// The head of a rule has changed, whose first place was `before`.
    fn put_in_front(&mut self, rule: &Arc<str>, before: Option<Place>) {
        let Some(head) = self.heads.get(rule) else {
            return;
        };
        let first = head.places.first().copied();
        if first != before {
            if let Some(before) = before {
                self.fronts.remove(&before);
            }
            if let Some(first) = first {
                self.fronts.insert(first, Arc::clone(rule));
            }
        }
        match first {
            Some(_) => {
                self.dry.remove(rule);
            }
            None if head.horizon < Place::LAST => {
                self.dry.insert(Arc::clone(rule));
            }
            None => {
                self.dry.remove(rule);
                self.heads.remove(rule);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    const ALL: Room = Room {
        slots: usize::MAX,
        per_rule: usize::MAX,
    };

    fn place(due: i64, seq: i64) -> Place {
        Place { due, seq }
    }

    fn rule(name: &str) -> Arc<str> {
        Arc::from(name)
    }

    fn waits(name: &str, due: i64, seq: i64) -> Waits {
        let rule = rule(name);
        Waits {
            rule,
            place: place(due, seq),
        }
    }

    fn delivery(number: i64) -> DeliveryId {
        DeliveryId::new(Timestamp::from_millis(number))
    }

    /// Reads on from a disk, as the store does, on which all is of one rule.
    fn next(queue: &mut Queue, disk: &BTreeSet<Place>) -> Option<Place> {
        if !queue.is_complete() {
            queue.begin(vec![rule("one")]);
        }
        while let Some((rule, after, count)) = queue.dry() {
            let read: Vec<_> = disk
                .iter()
                .copied()
                .filter(|place| *place > after)
                .take(count)
                .collect();
            queue.refill(&rule, &read, count);
        }
        let first = queue.first(ALL)?;
        queue.forget(&first);
        Some(first.place)
    }

    #[test]
    fn the_head_is_bounded_and_nothing_is_lost_beyond_it() {
        let mut queue = Queue::new();
        let mut disk = BTreeSet::new();
        assert_eq!(next(&mut queue, &disk), None);
        // Everything is known, so all of them come into the head, until it is full.
        for seq in 0..20_000 {
            disk.insert(place(7, seq));
            queue.wait(waits("one", 7, seq));
            assert!(queue.heads["one"].places.len() <= PLACES);
        }
        let mut leases = Vec::new();
        for seq in 0..20_000 {
            assert_eq!(next(&mut queue, &disk), Some(place(7, seq)));
            let delivery = delivery(seq);
            queue.lease(delivery, waits("one", 7, seq), 7, false);
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
            queue.wait(waits("one", new.due, new.seq));
        }
        disk.remove(&place(0, 0));
        let mut seen = Vec::new();
        while let Some(place) = next(&mut queue, &disk) {
            seen.push(place);
        }
        assert_eq!(seen, disk.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn many_rules_share_what_one_may_hold() {
        let mut queue = Queue::new();
        queue.begin(Vec::new());
        let held = |queue: &Queue| queue.heads.values().map(|head| head.places.len()).sum::<usize>();
        for seq in 0..1000 {
            for rule in 0..100 {
                queue.wait(waits(&rule.to_string(), seq, seq * 100 + rule));
            }
        }
        assert!(held(&queue) <= PLACES + LEAST * 100, "{}", held(&queue));
        assert_eq!(queue.fronts.len(), 100);
        assert_eq!(queue.first(ALL), Some(waits("0", 0, 0)));
    }

    #[test]
    fn a_rule_is_passed_over_while_it_has_as_much_as_is_left() {
        let mut queue = Queue::new();
        queue.begin(Vec::new());
        for seq in 0..20 {
            queue.wait(waits("slow", 0, seq));
        }
        queue.wait(waits("other", 5, 20));
        let mut room = Room {
            slots: 8,
            per_rule: 64,
        };
        let lease = |queue: &mut Queue, room| {
            let first = queue.next(room, 9)?;
            queue.lease(delivery(first.place.seq), first.clone(), 9, false);
            Some(first.rule.to_string())
        };
        // The other has its turn, however much waits before it; then as many as are left beside the one that is kept.
        for rule in ["slow", "other", "slow", "slow"] {
            assert_eq!(lease(&mut queue, room).as_deref(), Some(rule));
        }
        assert_eq!(lease(&mut queue, room), None);
        assert!(queue.is_due(0));
        room.slots = 100;
        room.per_rule = 5;
        assert_eq!(lease(&mut queue, room).as_deref(), Some("slow"));
        assert_eq!(lease(&mut queue, room).as_deref(), Some("slow"));
        assert_eq!(lease(&mut queue, room), None);
    }
}
