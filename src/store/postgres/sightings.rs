//! Sightings of requests that no rule wanted. They wait in memory, and are written before the next
//! events of this node are compared with them. They therefore count from the moment of the answer.

use std::sync::Arc;

use super::PostgresStore;
use super::failure::Failure;
use super::link::Link;
use super::seen::SeenContents;
use super::tally::{REQUESTS, Tally};
use crate::store::columns::integer;
use crate::store::waiting_sightings::WaitingSightings;
use crate::store::{Sighting, StoreError};

/// A crash may lose these sightings, so their write does not wait for the disk.
const BEGIN: &str = "BEGIN; SET LOCAL synchronous_commit = off";

/// The sightings of this node that wait.
#[derive(Debug, Default)]
pub(super) struct NotedSightings {
    waiting: WaitingSightings,
    /// Held during a write. What is being written counts as soon as it is there.
    writing: tokio::sync::Mutex<()>,
}

impl NotedSightings {
    /// Queues a sighting. Returns true if they must be written soon.
    fn add(&self, sighting: Sighting) -> bool {
        self.waiting.add(sighting)
    }

    /// Writes what waits, in a transaction of its own. `row` is the row of `tally` that belongs to
    /// the connection. Returns when the writes of other connections are there, too.
    pub async fn flush(&self, link: &Link, row: (i64, i16)) -> Result<(), Failure> {
        let _writing = self.writing.lock().await;
        let mut taken = Taken {
            waiting: &self.waiting,
            sightings: self.waiting.take(),
        };
        if taken.sightings.is_empty() {
            return Ok(());
        }
        let written = write(link, row, &taken.sightings).await;
        if let Err(Failure::Failed(error)) = &written
            && !error.may_pass()
        {
            link.run("ROLLBACK").await?;
            tracing::warn!(%error, "a sighting is not remembered");
            taken.sightings.clear();
            return Ok(());
        }
        if written.is_ok() {
            taken.sightings.clear();
        }
        written
    }
}

/// Sightings on their way to the server. They wait again if this is dropped before they are there.
struct Taken<'n> {
    waiting: &'n WaitingSightings,
    sightings: Vec<Sighting>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if !self.sightings.is_empty() {
            self.waiting.put_back(std::mem::take(&mut self.sightings));
        }
    }
}

/// Writes sightings. One that would alter a header is skipped: the first sighting counts.
async fn write(link: &Link, row: (i64, i16), sightings: &[Sighting]) -> Result<(), Failure> {
    link.run(BEGIN).await?;
    let mut seen = SeenContents::of(sightings.iter());
    seen.read(link).await?;
    for sighting in sightings {
        if seen.altered(sighting).is_none() {
            seen.remember(sighting, false);
        }
    }
    let new = seen.new_keys();
    new.insert(link).await?;
    seen.renewed_keys().renew(link).await?;
    let tally = Tally {
        sightings: integer(new.len()),
        ..Tally::default()
    };
    tally.add(link, row).await?;
    link.run("COMMIT").await
}

impl PostgresStore {
    pub(super) fn note_sighting(&self, sighting: Sighting) {
        if self.node.sightings.add(sighting) {
            let (node, requests) = (Arc::clone(&self.node), Arc::clone(&self.requests));
            #[expect(
                clippy::disallowed_methods,
                reason = "what it does not write, the next batch writes"
            )]
            tokio::spawn(async move {
                let row = (node.id(), REQUESTS);
                let flushed = requests.ask(move |link| {
                    let node = Arc::clone(&node);
                    Box::pin(async move { node.sightings.flush(link, row).await })
                });
                if let Err(error) = flushed.await {
                    tracing::warn!(%error, "cannot write ignored events down");
                }
            });
        }
    }

    /// Writes the sightings that wait.
    pub(super) async fn flush_sightings(&self) -> Result<(), StoreError> {
        let node = Arc::clone(&self.node);
        self.write_small(move |link, _| {
            let node = Arc::clone(&node);
            let row = (node.id(), REQUESTS);
            Box::pin(async move { node.sightings.flush(link, row).await })
        })
        .await
    }
}
