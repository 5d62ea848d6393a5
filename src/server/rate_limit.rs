//! Rate limits of endpoints, for all clients together and for each client.
//!
//! Each bucket is one number of the generic cell rate algorithm (ITU-T I.371): the
//! theoretical arrival time of the next request. Buckets need no timer. Pure: time is an argument.
//!
//! There may be more clients than memory. They share one table of fixed size, 1.5 MiB for the
//! daemon, which is allocated when a limit first needs it. A client's entry is one of the [`WAYS`]
//! of a set chosen by a hash with secret keys. If a set is full, the entry that owes least is
//! evicted. A client that has used up its bucket is therefore evicted last: it would need 65,000
//! other addresses that have used up theirs. An IPv6 client is its /64, the smallest network that
//! is handed out. `governor` was not used: its map of clients grows without a bound between two
//! sweeps.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::base::network::client_network;
use crate::rules::{Endpoint, Pace, RuleSet};

/// Number of sets in the table of clients.
const SETS: usize = 4096;
/// Number of clients in a set.
const WAYS: usize = 16;

/// State of all rate limits. It outlives the rules.
pub struct Limiter {
    started_at: Instant,
    /// Times at which the endpoints' buckets for all clients owe nothing any more, in nanoseconds.
    totals: Mutex<HashMap<Arc<str>, u64>>,
    clients: OnceLock<RecentClients>,
}

impl Limiter {
    /// Creates a limiter without entries.
    pub fn new(now: Instant) -> Self {
        Self {
            started_at: now,
            totals: Mutex::default(),
            clients: OnceLock::new(),
        }
    }

    /// Admits a request, or returns the time after which the client may try again.
    pub fn admit(
        &self,
        rules: &RuleSet,
        endpoint: &Endpoint,
        client: Option<IpAddr>,
        now: Instant,
    ) -> Result<(), Duration> {
        let now = nanoseconds(now.saturating_duration_since(self.started_at));
        // The client's own limit comes first, so that a refused client does not use up the common
        // one.
        if let Some(pace) = &endpoint.limits.per_client {
            let clients = self.clients.get_or_init(RecentClients::new);
            clients.admit((&*endpoint.path, client_network(client)), pace, now)?;
        }
        let Some(pace) = &endpoint.limits.total else {
            return Ok(());
        };
        let mut totals = self.totals.lock();
        if totals.len() > rules.endpoints.len() {
            // Remove endpoints that no longer exist.
            totals.retain(|path, _| rules.endpoints.iter().any(|known| known.path == *path));
        }
        let arrival_time = totals.entry(Arc::clone(&endpoint.path)).or_default();
        *arrival_time = next_arrival(*arrival_time, pace, now)?;
        Ok(())
    }
}

/// Returns the bucket after one more request, or the time by which the request is too early. A
/// bucket allows `burst` requests at once and regains one per interval.
fn next_arrival(arrival_time: u64, pace: &Pace, now: u64) -> Result<u64, Duration> {
    let interval = nanoseconds(pace.interval);
    let slack = interval.saturating_mul(u64::from(pace.burst.saturating_sub(1)));
    // If the rules have lowered the burst, the bucket owes at most one full burst of today.
    let arrival_time = arrival_time.min(now.saturating_add(slack).saturating_add(interval));
    let early = arrival_time.saturating_sub(now).saturating_sub(slack);
    if early > 0 {
        return Err(Duration::from_nanos(early));
    }
    Ok(arrival_time.max(now).saturating_add(interval))
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Most recent clients of all endpoints.
struct RecentClients {
    hashes: [RandomState; 2],
    sets: Box<[Mutex<[RecentClient; WAYS]>]>,
}

#[derive(Clone, Copy, Default)]
struct RecentClient {
    /// Client and endpoint, as two hashes.
    name: [u64; 2],
    /// Time at which the bucket owes nothing any more, in nanoseconds. An entry of the past is
    /// free.
    arrival_time: u64,
}

impl RecentClients {
    fn new() -> Self {
        Self {
            hashes: [RandomState::new(), RandomState::new()],
            sets: (0..SETS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Counts one more request of a client.
    fn admit(&self, client: (&str, (u8, u64)), pace: &Pace, now: u64) -> Result<(), Duration> {
        let name = self.hashes.each_ref().map(|hash| hash.hash_one(client));
        let [first, _] = name;
        let index = usize::try_from(first % SETS as u64).unwrap_or_default();
        let Some(set) = self.sets.get(index) else {
            return Ok(());
        };
        let mut set = set.lock();
        if let Some(known) = set.iter_mut().find(|known| known.name == name) {
            known.arrival_time = next_arrival(known.arrival_time, pace, now)?;
            return Ok(());
        }
        let arrival_time = next_arrival(0, pace, now)?;
        if let Some(least) = set.iter_mut().min_by_key(|known| known.arrival_time) {
            *least = RecentClient { name, arrival_time };
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
        client_network(text.parse().ok())
    }

    #[test]
    fn a_burst_is_admitted_and_then_one_request_per_interval() {
        let pace = pace(3, 100);
        let mut arrival_time = 0;
        for _ in 0..3 {
            arrival_time = next_arrival(arrival_time, &pace, SECOND).unwrap();
        }
        assert_eq!(
            next_arrival(arrival_time, &pace, SECOND),
            Err(Duration::from_millis(100))
        );
        // A refused request does not count.
        assert_eq!(
            next_arrival(arrival_time, &pace, SECOND + SECOND / 20),
            Err(Duration::from_millis(50))
        );
        assert!(next_arrival(arrival_time, &pace, SECOND + SECOND / 10).is_ok());
    }

    #[test]
    fn a_smaller_burst_takes_effect_at_once() {
        let mut arrival_time = 0;
        for _ in 0..1000 {
            arrival_time = next_arrival(arrival_time, &pace(1000, 1000), SECOND).unwrap();
        }
        assert_eq!(
            next_arrival(arrival_time, &pace(2, 1000), SECOND),
            Err(Duration::from_secs(1))
        );
    }

    #[test]
    fn clients_are_distinguished_by_address_and_by_64_bits() {
        assert_eq!(address("2001:db8:1:2::3"), address("2001:db8:1:2:ffff::"));
        assert_ne!(address("2001:db8:1:2::3"), address("2001:db8:1:3::3"));
        assert_eq!(address("::ffff:192.0.2.7"), address("192.0.2.7"));
        assert_ne!(address("192.0.2.7"), address("192.0.2.8"));
        assert_ne!(client_network(None), address("0.0.0.0"));
    }

    #[test]
    fn a_flood_of_other_clients_does_not_reset_a_used_up_bucket() {
        let (clients, pace) = (RecentClients::new(), pace(100, 1000));
        let attacker = ("/in", address("192.0.2.7"));
        while clients.admit(attacker, &pace, SECOND).is_ok() {}
        // A million other clients, each once.
        for other in 0..1_000_000 {
            assert!(clients.admit(("/in", (4, other)), &pace, SECOND).is_ok());
        }
        assert_eq!(
            clients.admit(attacker, &pace, SECOND),
            Err(Duration::from_secs(1))
        );
        // Another endpoint has another bucket.
        assert!(clients.admit(("/other", attacker.1), &pace, SECOND).is_ok());
    }

    #[test]
    fn the_table_has_its_documented_size() {
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
            let (mut arrival_time, mut now, mut admitted) = (0, SECOND, Vec::new());
            for gap in gaps {
                now += gap * 1_000_000;
                match next_arrival(arrival_time, &pace, now) {
                    Ok(more) => {
                        arrival_time = more;
                        admitted.push(now);
                    }
                    // A client that returns after the given time is admitted.
                    Err(after) => prop_assert!(next_arrival(arrival_time, &pace, now + nanoseconds(after)).is_ok()),
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
