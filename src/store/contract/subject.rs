//! The implementations under test, and helpers of the tests.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use tempfile::TempDir;

use crate::base::clock::Timestamp;
use crate::event::{Decision, DedupKey, EventId, Received};
use crate::store::memory::MemoryStore;
use crate::store::sqlite::SqliteStore;
use crate::store::{
    AttemptRecord, Concurrency, DeliveryId, Enqueued, History, Lease, NewDelivery, NewEvent, Place, Records,
    Settings, Settled, Settlement, Store, StoreError,
};

/// Limits that allow everything.
pub const UNLIMITED: Concurrency = Concurrency {
    slots: usize::MAX,
    per_rule: usize::MAX,
};

/// An implementation of [`Store`] that can be opened, closed and opened again.
pub trait Subject: Sized {
    /// True if the store knows how much space its disk has left.
    const KNOWS_ITS_DISK: bool = true;

    /// Opens an empty store.
    async fn open(settings: Settings) -> Self;
    fn store(&self) -> &dyn Store;
    /// The store, shared by several threads.
    fn shared(&self) -> Arc<dyn Store>;
    /// Opens the state that a `kill -9` at this moment would leave.
    async fn crash(self) -> Self;
    /// Closes the store and opens it again.
    async fn restart(self) -> Self;

    /// Enqueues an event with its deliveries.
    async fn enqueue(
        &self,
        received: &Received,
        deliveries: &[NewDelivery],
    ) -> Result<Vec<Enqueued>, StoreError> {
        self.store().enqueue(new_event_of(received, deliveries)).await
    }

    /// Enqueues a delivery that must be new.
    async fn enqueue_new(&self, received: &Received, delivery: NewDelivery) -> DeliveryId {
        match self.enqueue(received, &[delivery]).await.unwrap()[..] {
            [Enqueued::New(delivery) | Enqueued::InPlaceOf(delivery, _)] => delivery,
            ref other => panic!("not new: {other:?}"),
        }
    }

    /// Leases everything that is due. Returns the ids.
    async fn lease_all(&self, now: Timestamp) -> Vec<DeliveryId> {
        let leases = self.leases(now).await;
        leases.iter().map(|lease| lease.delivery).collect()
    }

    /// Leases everything that is due.
    async fn leases(&self, now: Timestamp) -> Vec<Lease> {
        self.store().lease(UNLIMITED.into(), now).await.unwrap().leases
    }

    /// Settles without an attempt.
    async fn settle(&self, delivery: DeliveryId, settlement: Settlement) {
        let settled = Settled::unattempted(delivery, settlement);
        self.store().settle(settled).await.unwrap();
    }

    /// Sweeps until nothing is left. Returns the number of entries forgotten.
    async fn sweep_all(&self, now: Timestamp) -> usize {
        let mut swept = 0;
        loop {
            match self.store().sweep(now).await.unwrap() {
                0 => return swept,
                step => swept += step,
            }
        }
    }
}

/// An implementation whose records can be read and changed from elsewhere.
pub trait Recorded: Subject {
    fn place(&self) -> Place;

    fn records(&self) -> Records {
        Records::at(&self.place())
    }

    /// A snapshot of the records.
    fn history(&self) -> History {
        self.records().history().unwrap()
    }
}

impl Recorded for Sqlite {
    fn place(&self) -> Place {
        Place::File(self.path())
    }
}

pub struct Memory(Arc<MemoryStore>);

impl Subject for Memory {
    async fn open(settings: Settings) -> Self {
        Self(Arc::new(MemoryStore::new(settings)))
    }

    fn store(&self) -> &dyn Store {
        &*self.0
    }

    fn shared(&self) -> Arc<dyn Store> {
        Arc::clone(&self.0) as Arc<dyn Store>
    }

    async fn crash(self) -> Self {
        Self(Arc::new(self.0.reopen()))
    }

    async fn restart(self) -> Self {
        self.0.close().await.unwrap();
        self.crash().await
    }
}

pub struct Sqlite {
    store: Arc<SqliteStore>,
    settings: Settings,
    folder: TempDir,
}

impl Sqlite {
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("hookyard.db")
    }

    fn open_in(folder: TempDir, settings: Settings) -> Self {
        let store = SqliteStore::open(&folder.path().join("hookyard.db"), settings).unwrap();
        Self {
            store: Arc::new(store),
            settings,
            folder,
        }
    }

    /// The store as its own type.
    pub fn sqlite(&self) -> &SqliteStore {
        &self.store
    }
}

impl Subject for Sqlite {
    async fn open(settings: Settings) -> Self {
        Self::open_in(tempfile::tempdir().unwrap(), settings)
    }

    fn store(&self) -> &dyn Store {
        &*self.store
    }

    fn shared(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    async fn crash(self) -> Self {
        // The files of an open store are the state that a killed process leaves.
        let after = tempfile::tempdir().unwrap();
        for file in ["hookyard.db", "hookyard.db-wal"] {
            fs::copy(self.folder.path().join(file), after.path().join(file)).unwrap();
        }
        Self::open_in(after, self.settings)
    }

    async fn restart(self) -> Self {
        self.store.close().await.unwrap();
        assert!(
            !self.folder.path().join("hookyard.db-wal").exists(),
            "the log was written back"
        );
        Self::open_in(self.folder, self.settings)
    }
}

/// The moment `millis` after the tests begin.
pub fn after(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + millis)
}

/// A request that arrived `millis` after the tests began.
pub fn arrival(millis: i64) -> Received {
    let mut headers = HeaderMap::new();
    headers.append("x-first", HeaderValue::from_static("1"));
    headers.append("x-latin", HeaderValue::from_bytes(b"caf\xe9").unwrap());
    headers.append("x-first", HeaderValue::from_static("2"));
    Received {
        id: EventId::new(after(millis)),
        at: after(millis),
        endpoint: Arc::from("/deploy/{app}"),
        method: Method::POST,
        path: "/deploy/caf%C3%A9".to_owned(),
        query: "a=1&b=%00".to_owned(),
        parameters: vec![("app".to_owned(), "café".to_owned())],
        client: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        certificate: None,
        headers,
        body: Bytes::from_static(b"{\"ref\": \"main\"}\x00\xff"),
    }
}

pub fn dedup_key(text: &str) -> DedupKey {
    DedupKey::id(text.as_bytes())
}

/// A delivery due at once, whose dedup keys are remembered for a second.
pub fn pending(rule: &str, dedup_keys: &[&str]) -> NewDelivery {
    NewDelivery {
        rule: Arc::from(rule),
        item: None,
        dedup_keys: dedup_keys.iter().map(|text| dedup_key(text)).collect(),
        remember_until: after(1000),
        run_duplicates: false,
        sighting: None,
        due: after(0),
        unverified: None,
        group: None,
        debounce: None,
    }
}

/// A new event with these deliveries.
pub fn new_event_of(received: &Received, deliveries: &[NewDelivery]) -> NewEvent {
    NewEvent {
        received: Arc::new(received.clone()),
        decode: "json".to_owned(),
        deliveries: deliveries.to_vec(),
        status: Some(200),
        decision: Decision::default(),
        is_replay: false,
        fired_by: None,
        now: received.at,
    }
}

/// Bytes that no compression makes smaller.
pub fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        // Xorshift.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

pub fn record(action: usize, number: u32) -> AttemptRecord {
    AttemptRecord {
        action,
        number,
        started: after(i64::from(number)),
        duration: Duration::from_millis(1500),
        outcome: "failed".to_owned(),
        detail: format!("exit {number}"),
        stdout: b"out \xff".to_vec(),
        stderr: b"err".to_vec(),
    }
}

/// Done at `millis`.
pub fn done(millis: i64) -> Settlement {
    Settlement::Done { at: after(millis) }
}

/// A dead letter at `millis`.
pub fn dead(millis: i64) -> Settlement {
    Settlement::Dead {
        at: after(millis),
        reason: "exit 3".to_owned(),
        forget_dedup_keys: false,
        failure: None,
    }
}

/// A retry due at `millis`.
pub fn retry(millis: i64) -> Settlement {
    Settlement::Retry { due: after(millis) }
}
