//! How often an endpoint may be called, by everybody together and by each client.
//!
//! The generic cell rate algorithm (ITU-T I.371): of each bucket one number is kept, the moment at which it owes nothing any
//! more, so that nothing has to be filled up by the clock. Told the time, it only decides.
//!
//! Clients are strangers, and there may be more of them than there is memory. They share one table of fixed size (1.5 MiB
//! for the whole daemon, and nothing until a limit asks for it): a client's place is one of the [`WAYS`] of a set that is
//! chosen by a hash whose keys nobody knows. Where all are taken, the one that owes least is forgotten, so that whoever has
//! used up his own bucket is the last to be forgiven: he would have to use up some 65,000 more, each from an address of its
//! own. An IPv6 client is its /64, which is the least that anybody is given. (`governor` keeps its clients in a map that
//! grows with them and is swept when somebody asks for it: between two sweeps there is no bound.)

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::rules::{Endpoint, Pace, RuleSet};

/// How many sets the clients' table has.
const SETS: usize = 4096;
/// How many clients a set holds.
const WAYS: usize = 16;

/// What is known of how often endpoints are called. It outlives the rules.
pub struct Limiter {
    begun: Instant,
    /// What all callers of an endpoint owe together.
    totals: Mutex<HashMap<Arc<str>, u64>>,
    clients: OnceLock<RecentClients>,
}

impl Limiter {
    /// Nobody has come yet.
    pub fn new(now: Instant) -> Self {
        Self {
            begun: now,
            totals: Mutex::default(),
            clients: OnceLock::new(),
        }
    }

    /// Lets a request through, or says after how long the client may come again.
    pub fn admit(
        &self,
        rules: &RuleSet,
        endpoint: &Endpoint,
        client: Option<IpAddr>,
        now: Instant,
    ) -> Result<(), Duration> {
        let now = nanoseconds(now.saturating_duration_since(self.begun));
        // First, for who comes too often shall not use up what is there for all.
        if let Some(pace) = &endpoint.limits.per_client {
            let clients = self.clients.get_or_init(RecentClients::new);
            clients.take((&*endpoint.path, prefix(client)), pace, now)?;
        }
        let Some(pace) = &endpoint.limits.total else {
            return Ok(());
        };
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        if totals.len() > rules.endpoints.len() {
            // Of endpoints that are no more.
            totals.retain(|path, _| rules.endpoints.iter().any(|known| known.path == *path));
        }
        let owed = totals.entry(Arc::clone(&endpoint.path)).or_default();
        *owed = taken(*owed, pace, now)?;
        Ok(())
    }
}

/// What a bucket owes after one more request, or how long it is too early for that. A bucket is good for `burst` requests
/// at once, each of which it pays off within an interval.
fn taken(owed: u64, pace: &Pace, now: u64) -> Result<u64, Duration> {
    let interval = nanoseconds(pace.interval);
    let slack = interval.saturating_mul(u64::from(pace.burst.saturating_sub(1)));
    // Of a burst that was larger before the rules changed no more is owed than a full one of today.
    let owed = owed.min(now.saturating_add(slack).saturating_add(interval));
    let early = owed.saturating_sub(now).saturating_sub(slack);
    if early > 0 {
        return Err(Duration::from_nanos(early));
    }
    Ok(owed.max(now).saturating_add(interval))
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What tells one client from another. Those that are not known are one.
pub fn prefix(client: Option<IpAddr>) -> (u8, u64) {
    match client.map(|client| client.to_canonical()) {
        None => (0, 0),
        Some(IpAddr::V4(address)) => (4, address.to_bits().into()),
        Some(IpAddr::V6(address)) => {
            let network = address.to_bits() >> 64;
            (6, u64::try_from(network).unwrap_or_default())
        }
    }
}

/// The clients that came last, of all endpoints.
struct RecentClients {
    hashes: [RandomState; 2],
    sets: Box<[Mutex<[RecentClient; WAYS]>]>,
}

/// One client at one endpoint.
#[derive(Clone, Copy, Default)]
struct RecentClient {
    /// Who it is, as two hashes.
    name: [u64; 2],
    /// When it owes nothing any more; a place that owes nothing is free.
    owed: u64,
}

impl RecentClients {
    fn new() -> Self {
        Self {
            hashes: [RandomState::new(), RandomState::new()],
            sets: (0..SETS).map(|_| Mutex::default()).collect(),
        }
    }

    /// One more request of the client.
    fn take(&self, client: (&str, (u8, u64)), pace: &Pace, now: u64) -> Result<(), Duration> {
        let name = self.hashes.each_ref().map(|hash| hash.hash_one(client));
        let [first, _] = name;
        let index = usize::try_from(first % SETS as u64).unwrap_or_default();
        let Some(set) = self.sets.get(index) else {
            return Ok(());
        };
        let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = set.iter_mut().find(|known| known.name == name) {
            known.owed = taken(known.owed, pace, now)?;
            return Ok(());
        }
        let owed = taken(0, pace, now)?;
        if let Some(least) = set.iter_mut().min_by_key(|known| known.owed) {
            *least = RecentClient { name, owed };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn pace(burst: u32, millis: u64) -> Pace {
        Pace {
            interval: Duration::from_millis(millis),
            burst,
        }
    }

    fn address(text: &str) -> (u8, u64) {
        prefix(text.parse().ok())
    }

    #[test]
    fn a_burst_is_let_through_and_then_one_an_interval() {
        let pace = pace(3, 100);
        let mut owed = 0;
        for _ in 0..3 {
            owed = taken(owed, &pace, SECOND).unwrap();
        }
        assert_eq!(taken(owed, &pace, SECOND), Err(Duration::from_millis(100)));
        // Who is refused owes no more for it.
        assert_eq!(
            taken(owed, &pace, SECOND + SECOND / 20),
            Err(Duration::from_millis(50))
        );
        assert!(taken(owed, &pace, SECOND + SECOND / 10).is_ok());
    }

    #[test]
    fn a_smaller_burst_takes_effect_and_a_debt_of_old_does_not_last() {
        let mut owed = 0;
        for _ in 0..1000 {
            owed = taken(owed, &pace(1000, 1000), SECOND).unwrap();
        }
        assert_eq!(taken(owed, &pace(2, 1000), SECOND), Err(Duration::from_secs(1)));
    }

    #[test]
    fn clients_are_told_apart_by_address_and_by_64_bits() {
        assert_eq!(address("2001:db8:1:2::3"), address("2001:db8:1:2:ffff::"));
        assert_ne!(address("2001:db8:1:2::3"), address("2001:db8:1:3::3"));
        assert_eq!(address("::ffff:192.0.2.7"), address("192.0.2.7"));
        assert_ne!(address("192.0.2.7"), address("192.0.2.8"));
        assert_ne!(prefix(None), address("0.0.0.0"));
    }

    #[test]
    fn a_flood_of_others_does_not_forgive_who_has_used_up_his_own() {
        let (clients, pace) = (RecentClients::new(), pace(100, 1000));
        let attacker = ("/in", address("192.0.2.7"));
        while clients.take(attacker, &pace, SECOND).is_ok() {}
        // A million others, each once.
        for other in 0..1_000_000 {
            assert!(clients.take(("/in", (4, other)), &pace, SECOND).is_ok());
        }
        assert_eq!(clients.take(attacker, &pace, SECOND), Err(Duration::from_secs(1)));
        // Another endpoint is another bucket.
        assert!(clients.take(("/other", attacker.1), &pace, SECOND).is_ok());
    }

    #[test]
    fn the_table_is_as_large_as_it_says() {
        assert_eq!(size_of::<RecentClient>() * WAYS * SETS, 3 << 19);
        assert!(size_of::<Mutex<[RecentClient; WAYS]>>() <= size_of::<RecentClient>() * WAYS + 8);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_window_sees_more_than_burst_and_rate(
            gaps in prop::collection::vec(0_u64..400, 1..300),
            burst in 1_u32..10,
            millis in 1_u64..300,
        ) {
            let pace = pace(burst, millis);
            let (mut owed, mut now, mut admitted) = (0, SECOND, Vec::new());
            for gap in gaps {
                now += gap * 1_000_000;
                match taken(owed, &pace, now) {
                    Ok(more) => {
                        owed = more;
                        admitted.push(now);
                    }
                    // Who comes back when told is let through.
                    Err(after) => prop_assert!(taken(owed, &pace, now + nanoseconds(after)).is_ok()),
                }
            }
            for (index, first) in admitted.iter().enumerate() {
                for (count, last) in admitted[index..].iter().enumerate() {
                    let allowed = u64::from(burst) + (last - first) / (millis * 1_000_000);
                    prop_assert!((count as u64) < allowed);
                }
            }
        }
    }
}
