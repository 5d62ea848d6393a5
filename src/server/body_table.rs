//! Bodies that arrive in pieces, by client, in the order of eviction.
//!
//! The table decides which body is evicted, in time logarithmic in the number of bodies. Limits and
//! sums are left to `body_budget.rs`.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::server::client_key::ClientKey;

/// Time without growth after which a partial body may be evicted by its own client.
pub const IDLE: Duration = Duration::from_millis(200);

/// Bodies that arrived in more than one piece.
#[derive(Debug, Default)]
pub struct BodyTable {
    count: u64,
    bodies: HashMap<u64, BodyEntry>,
    clients: HashMap<ClientKey, ClientUse>,
    /// Clients by the bytes of their partial bodies.
    order: BTreeSet<(u64, ClientKey)>,
}

#[derive(Debug)]
struct BodyEntry {
    client: ClientKey,
    bytes: u64,
    /// Time of the last growth.
    grown_at: Instant,
    evicted: CancellationToken,
}

#[derive(Debug, Default)]
struct ClientUse {
    bodies: usize,
    bytes: u64,
    partial_bytes: u64,
    /// Partial bodies, the one that has not grown for longest first.
    partial: BTreeSet<(Instant, u64)>,
}

impl BodyTable {
    /// Adds a partial body of 0 bytes.
    pub fn insert(&mut self, client: ClientKey, grown_at: Instant) -> (u64, CancellationToken) {
        self.count += 1;
        let number = self.count;
        let evicted = CancellationToken::new();
        let entry = BodyEntry {
            client,
            bytes: 0,
            grown_at,
            evicted: evicted.clone(),
        };
        self.bodies.insert(number, entry);
        let client_use = self.clients.entry(client).or_default();
        client_use.bodies += 1;
        client_use.partial.insert((grown_at, number));
        (number, evicted)
    }

    /// Returns the client of a body and the bytes and number of all its bodies. `None` if the body
    /// was evicted.
    pub fn usage(&self, number: u64) -> Option<(ClientKey, u64, usize)> {
        let client = self.bodies.get(&number)?.client;
        let client_use = self.clients.get(&client)?;
        Some((client, client_use.bytes, client_use.bodies))
    }

    /// Changes a client's entry, and the client's rank with it.
    fn change(&mut self, client: ClientKey, change: impl FnOnce(&mut ClientUse)) {
        let Some(client_use) = self.clients.get_mut(&client) else {
            return;
        };
        self.order.remove(&(client_use.partial_bytes, client));
        change(client_use);
        if !client_use.partial.is_empty() {
            self.order.insert((client_use.partial_bytes, client));
        }
        if client_use.bodies == 0 {
            self.clients.remove(&client);
        }
    }

    pub fn grow(&mut self, number: u64, more: u64, now: Instant) {
        let Some(entry) = self.bodies.get_mut(&number) else {
            return;
        };
        let before = std::mem::replace(&mut entry.grown_at, now);
        entry.bytes += more;
        let (client, after) = (entry.client, entry.grown_at);
        self.change(client, |client| {
            client.bytes += more;
            client.partial_bytes += more;
            client.partial.remove(&(before, number));
            client.partial.insert((after, number));
        });
    }

    pub fn complete(&mut self, number: u64) {
        let Some(entry) = self.bodies.get(&number) else {
            return;
        };
        let (grown_at, bytes) = (entry.grown_at, entry.bytes);
        self.change(entry.client, |client| {
            if client.partial.remove(&(grown_at, number)) {
                client.partial_bytes -= bytes;
            }
        });
    }

    /// Removes a body and returns the bytes that it held.
    pub fn remove(&mut self, number: u64) -> Option<u64> {
        self.complete(number);
        let entry = self.bodies.remove(&number)?;
        self.change(entry.client, |client| {
            client.bodies -= 1;
            client.bytes -= entry.bytes;
        });
        Some(entry.bytes)
    }

    /// Evicts a partial body in favour of `requester`, which needs `more` bytes. Returns the bytes
    /// freed.
    pub fn evict(
        &mut self,
        (requester, number): (ClientKey, Option<u64>),
        more: u64,
        now: Instant,
    ) -> Option<u64> {
        let (largest, victim) = *self.order.last()?;
        let own = self.clients.get(&requester);
        let own = own.map_or(0, |client| client.partial_bytes) + more;
        if victim == requester || largest <= own {
            return self.evict_own(requester, number.unwrap_or_default(), now);
        }
        let (_, oldest) = *self.clients.get(&victim)?.partial.first()?;
        self.evict_body(oldest)
    }

    /// Evicts the client's partial body that has not grown for longest, if that is longer than
    /// [`IDLE`]. Never evicts `number`.
    pub fn evict_own(&mut self, client: ClientKey, number: u64, now: Instant) -> Option<u64> {
        let partial = &self.clients.get(&client)?.partial;
        let (grown_at, oldest) = *partial.iter().find(|(_, other)| *other != number)?;
        (now.duration_since(grown_at) >= IDLE).then(|| self.evict_body(oldest))?
    }

    fn evict_body(&mut self, number: u64) -> Option<u64> {
        let evicted = self.bodies.get(&number)?.evicted.clone();
        evicted.cancel();
        self.remove(number)
    }

    /// True if no body is in the table.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.bodies.is_empty() && self.clients.is_empty() && self.order.is_empty()
    }
}
