//! Sessions of the page on TCP, in memory only: they end with the daemon, and when the password
//! changes.
//!
//! A session is known by a random token in a cookie. Only the token's SHA-256 is kept. Pure: the
//! time is an argument.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::base::password::PasswordHash;

/// Maximum sessions. A further one ends the one that was unused longest.
const MAX_SESSIONS: usize = 100;
/// Time after which a session that is not used ends.
const SESSION_IDLE: Duration = Duration::from_hours(12);
/// Time after which every session ends.
pub const SESSION_LIFETIME: Duration = Duration::from_hours(7 * 24);

/// Length of a token, in bytes.
const TOKEN: usize = 32;

/// The sessions.
#[derive(Default)]
pub struct Sessions {
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    /// The password by which they were opened.
    password: Option<PasswordHash>,
    /// Sessions by the SHA-256 of their tokens.
    by_token: HashMap<[u8; 32], Session>,
}

struct Session {
    name: Arc<str>,
    begun: Instant,
    used: Instant,
}

impl Session {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.begun) >= SESSION_LIFETIME
            || now.saturating_duration_since(self.used) >= SESSION_IDLE
    }
}

impl Open {
    /// Ends sessions that are over, and all if the password is another one.
    fn refresh(&mut self, password: &PasswordHash, now: Instant) {
        if self.password.as_ref() != Some(password) {
            self.by_token.clear();
            self.password = Some(password.clone());
        }
        self.by_token.retain(|_, session| !session.is_over(now));
    }
}

impl Sessions {
    /// Opens a session for a peer that knows `password`. Returns its token and its name. `None` if
    /// there is no randomness.
    pub fn open(&self, password: &PasswordHash, now: Instant) -> Option<(String, Arc<str>)> {
        let (mut token, mut name) = ([0; TOKEN], [0; 4]);
        rand::fill(&mut token).ok()?;
        rand::fill(&mut name).ok()?;
        let token = BASE64URL_NOPAD.encode(&token);
        let name: Arc<str> = format!("session {}", HEXLOWER.encode(&name)).into();
        let mut open = self.open.lock();
        open.refresh(password, now);
        while open.by_token.len() >= MAX_SESSIONS {
            let oldest = open.by_token.iter().min_by_key(|(_, session)| session.used);
            let Some(oldest) = oldest.map(|(token, _)| *token) else {
                break;
            };
            open.by_token.remove(&oldest);
        }
        let session = Session {
            name: Arc::clone(&name),
            begun: now,
            used: now,
        };
        open.by_token.insert(digest(&token), session);
        Some((token, name))
    }

    /// The name of the session with this token, which counts as used.
    pub fn find(&self, token: &str, password: &PasswordHash, now: Instant) -> Option<Arc<str>> {
        let mut open = self.open.lock();
        open.refresh(password, now);
        // The digest of a guess says nothing about a token, so the time of the look-up does not
        // either.
        let session = open.by_token.get_mut(&digest(token))?;
        session.used = now;
        Some(Arc::clone(&session.name))
    }

    /// Ends the session with this token. Returns its name.
    pub fn close(&self, token: &str) -> Option<Arc<str>> {
        let session = self.open.lock().by_token.remove(&digest(token));
        session.map(|session| session.name)
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(hash: char) -> PasswordHash {
        let hash = hash.to_string().repeat(42);
        PasswordHash::parse(&format!(
            "$pbkdf2-sha256$i=600000,l=32$MDEyMzQ1Njc4OWFiY2RlZg${hash}A"
        ))
        .unwrap()
    }

    #[tokio::test]
    async fn a_session_ends_when_it_is_idle_and_after_a_week() {
        let (sessions, begun, password) = (Sessions::default(), Instant::now(), password('A'));
        let (token, name) = sessions.open(&password, begun).unwrap();
        let at = |hours: u64| sessions.find(&token, &password, begun + Duration::from_hours(hours));
        for hours in (0..168).step_by(11) {
            assert_eq!(at(hours).as_ref(), Some(&name), "{hours}");
        }
        assert_eq!(at(168), None);
        let (token, _) = sessions.open(&password, begun).unwrap();
        assert_eq!(sessions.find(&token, &password, begun + SESSION_IDLE), None);
    }

    #[tokio::test]
    async fn sessions_end_with_their_password_and_at_logout() {
        let (sessions, now, old) = (Sessions::default(), Instant::now(), password('A'));
        let (first, second) = (
            sessions.open(&old, now).unwrap().0,
            sessions.open(&old, now).unwrap().0,
        );
        assert_ne!(first, second);
        assert_eq!(first.len(), 43);
        assert!(sessions.close(&first).is_some());
        assert_eq!(sessions.close(&first), None);
        assert_eq!(sessions.find(&first, &old, now), None);
        assert!(sessions.find(&second, &old, now).is_some());
        for guess in ["", "x", "A", &format!("{second} ")] {
            assert_eq!(sessions.find(guess, &old, now), None);
        }
        assert_eq!(sessions.find(&second, &password('B'), now), None);
        // Also if the old password comes back.
        assert_eq!(sessions.find(&second, &old, now), None);
    }

    #[tokio::test]
    async fn a_further_session_ends_the_one_that_was_unused_longest() {
        let (sessions, begun, password) = (Sessions::default(), Instant::now(), password('A'));
        let at = |seconds: u64| begun + Duration::from_secs(seconds);
        let open: Vec<String> = (0..100)
            .map(|number| sessions.open(&password, at(number)).unwrap().0)
            .collect();
        assert!(sessions.find(&open[0], &password, at(200)).is_some());
        sessions.open(&password, at(201)).unwrap();
        let found: Vec<bool> = open
            .iter()
            .map(|token| sessions.find(token, &password, at(202)).is_some())
            .collect();
        assert_eq!(found.iter().filter(|found| **found).count(), 99);
        assert!(found[0] && !found[1]);
    }
}
