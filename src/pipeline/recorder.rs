//! Records of arrivals that became no event, written lazily and never on the way of an answer.
//!
//! Records wait in two bounded queues, one for each ring, and are written together at most once per
//! [`EVERY`]. Under a flood, the first ones of each interval are kept. The others are counted.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::base::throttle;
use crate::report::Metrics;
use crate::store::{ArrivalRecord, PerRing, Ring, Store};

/// Minimum time between two writes of records.
const EVERY: Duration = Duration::from_millis(250);
/// Maximum records of a ring that wait to be written. Further ones are left out and counted.
const WAITING: usize = 128;
/// Bytes of waiting records of a ring at which further ones are left out.
const WAITING_BYTES: u64 = 1 << 20;

/// Collects records and writes them.
pub struct Recorder {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    queues: PerRing<Mutex<RecordQueue>>,
    wake: Notify,
}

/// Waiting records of one ring.
#[derive(Default)]
struct RecordQueue {
    records: Vec<ArrivalRecord>,
    bytes: u64,
}

impl RecordQueue {
    fn is_full(&self) -> bool {
        self.records.len() >= WAITING || self.bytes >= WAITING_BYTES
    }
}

impl Recorder {
    pub(super) fn new(store: Arc<dyn Store>, metrics: Arc<Metrics>) -> Self {
        Self {
            store,
            metrics,
            queues: PerRing::default(),
            wake: Notify::new(),
        }
    }

    /// Adds the record that `record` makes, unless too many wait already.
    pub(super) fn add(&self, ring: Ring, record: impl FnOnce() -> ArrivalRecord) {
        if self.queues.get(ring).lock().is_full() {
            self.metrics.unrecorded(ring, 1);
            return;
        }
        // Made outside the lock: this takes longer than the rest.
        let record = record();
        let mut queue = self.queues.get(ring).lock();
        queue.bytes += record.weight();
        queue.records.push(record);
        drop(queue);
        self.wake.notify_one();
    }

    /// Writes records until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = self.wake.notified() => {}
                () = stop.cancelled() => return,
            }
            self.flush().await;
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Writes the records that wait.
    pub async fn flush(&self) {
        for ring in Ring::ALL {
            let records = std::mem::take(&mut *self.queues.get(ring).lock()).records;
            if records.is_empty() {
                continue;
            }
            let number = records.len() as u64;
            let Err(error) = self.store.record_arrivals(records).await else {
                continue;
            };
            self.metrics.unrecorded(ring, number);
            if let Some(left_out) = throttle::allow("store") {
                let left_out = throttle::some(left_out);
                warn!(%error, ring = ring.name(), records = number, left_out, "arrivals cannot be recorded");
            }
        }
    }
}
