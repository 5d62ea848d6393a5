//! Limit of login attempts, for each client and for all together.
//!
//! Each bucket is one number of the generic cell rate algorithm, as in `server/rate_limit.rs`. The
//! limit of all bounds the number of clients that are remembered. Pure: the time is an argument.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::base::network::client_network;

/// Failed logins of one client at once.
const LOGIN_BURST: u32 = 5;
/// Time after which a client may try once more.
const LOGIN_EVERY: Duration = Duration::from_secs(30);
/// Logins of all clients at once.
const ALL_LOGINS_BURST: u32 = 20;
/// Time after which any client may try once more.
const ALL_LOGINS_EVERY: Duration = Duration::from_secs(3);

/// State of the limit.
pub struct LoginLimit {
    begun: Instant,
    owed: Mutex<Owed>,
}

/// Times at which the buckets are full again, since the begin.
#[derive(Default)]
struct Owed {
    all: Duration,
    clients: HashMap<(u8, u64), Duration>,
}

impl LoginLimit {
    pub fn new(begun: Instant) -> Self {
        Self {
            begun,
            owed: Mutex::default(),
        }
    }

    /// Admits an attempt, or returns the time after which the client may try again.
    pub fn admit(&self, client: IpAddr, now: Instant) -> Result<(), Duration> {
        let now = now.saturating_duration_since(self.begun);
        let owed = &mut *self.owed.lock();
        owed.clients.retain(|_, until| *until > now);
        let key = client_network(Some(client));
        let of_client = owed.clients.get(&key).copied().unwrap_or_default();
        // The client's own limit comes first, so that a refused client does not use up that of all.
        let of_client = next(of_client, LOGIN_BURST, LOGIN_EVERY, now)?;
        owed.all = next(owed.all, ALL_LOGINS_BURST, ALL_LOGINS_EVERY, now)?;
        owed.clients.insert(key, of_client);
        Ok(())
    }

    /// Forgets the attempts of a client that knew the password.
    pub fn succeeded(&self, client: IpAddr) {
        self.owed.lock().clients.remove(&client_network(Some(client)));
    }
}

/// The bucket after one more attempt, or the time by which the attempt is too early.
fn next(owed: Duration, burst: u32, every: Duration, now: Duration) -> Result<Duration, Duration> {
    let early = owed.saturating_sub(now).saturating_sub(every * (burst - 1));
    if early.is_zero() {
        Ok(owed.max(now) + every)
    } else {
        Err(early)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_guesses_is_slowed_down_and_others_are_not() {
        let begun = Instant::now();
        let limit = LoginLimit::new(begun);
        let admit = |client: &str, second: u64| {
            let wait = limit.admit(client.parse().unwrap(), begun + Duration::from_secs(second));
            wait.err().map(|wait| wait.as_secs())
        };
        for _ in 0..5 {
            assert_eq!(admit("192.0.2.1", 10), None);
        }
        assert_eq!(admit("192.0.2.1", 10), Some(30));
        assert_eq!(admit("192.0.2.1", 39), Some(1));
        assert_eq!(admit("192.0.2.1", 40), None);
        assert_eq!(admit("192.0.2.1", 40), Some(30));
        assert_eq!(admit("192.0.2.2", 40), None);
        limit.succeeded("192.0.2.1".parse().unwrap());
        assert_eq!(admit("192.0.2.1", 40), None);
        // A network of IPv6 is one client.
        for last in 1..=5 {
            assert_eq!(admit(&format!("2001:db8::{last}"), 100), None);
        }
        assert_eq!(admit("2001:db8::ffff", 100), Some(30));
    }

    #[tokio::test]
    async fn many_clients_together_guess_no_faster() {
        let begun = Instant::now();
        let limit = LoginLimit::new(begun);
        let mut admitted = 0;
        for number in 0..60_000_u32 {
            let client = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
            let now = begun + Duration::from_millis(u64::from(number));
            admitted += u32::from(limit.admit(client, now).is_ok());
        }
        assert_eq!(admitted, 20 + 19);
        assert!(limit.owed.lock().clients.len() < 100);
    }
}
