//! A connection with a runtime of its own, for callers that block.
//!
//! The connections of snapshots that are over are kept for a short time: a page of the daemon takes
//! many snapshots.

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::Instant;

use crate::store::StoreError;
use crate::store::postgres::failure::Failure;
use crate::store::postgres::link::Link;
use crate::store::postgres::target::Target;

/// Maximum connections that are kept.
const MAX_KEPT: usize = 4;

/// Time after which a kept connection is closed at the next opportunity.
const KEPT_FOR: Duration = Duration::from_secs(30);

/// Connections that are not in use, the last used one at the end.
static KEPT: Mutex<Vec<(Reader, Instant)>> = Mutex::new(Vec::new());

/// A connection with its runtime. Its link goes first: it belongs to the runtime.
pub(super) struct Reader {
    target: Arc<Target>,
    link: Option<Link>,
    runtime: Option<Runtime>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl Reader {
    /// Takes a kept connection to the target. `None` if there is none.
    pub fn kept(target: &Arc<Target>) -> Option<Self> {
        let now = Instant::now();
        let mut old = Vec::new();
        let mut kept = KEPT.lock();
        while kept
            .first()
            .is_some_and(|(_, since)| now.duration_since(*since) > KEPT_FOR)
        {
            old.push(kept.remove(0));
        }
        let place = kept.iter().rposition(|(one, _)| Arc::ptr_eq(&one.target, target));
        let found = place.map(|place| kept.remove(place).0);
        drop(kept);
        // Closed without the lock.
        drop(old);
        found
    }

    /// Connects.
    pub fn connect(target: &Arc<Target>) -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::unexpected(format!("cannot start: {error}")))?;
        let link = wait(&runtime, async || Link::connect(target, "history").await)?;
        Ok(Self {
            target: Arc::clone(target),
            link: Some(link),
            runtime: Some(runtime),
        })
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Asks, and waits for the answer.
    pub fn ask<T: Send>(
        &self,
        question: impl AsyncFnOnce(&Link) -> Result<T, Failure> + Send,
    ) -> Result<T, Failure> {
        let (Some(link), Some(runtime)) = (&self.link, &self.runtime) else {
            return Err(StoreError::Closed.into());
        };
        wait(runtime, async || question(link).await)
    }

    /// Keeps the connection for the next caller. It has no open transaction.
    pub fn keep(self) {
        let mut kept = KEPT.lock();
        let old = (kept.len() >= MAX_KEPT).then(|| kept.remove(0));
        kept.push((self, Instant::now()));
        drop(kept);
        drop(old);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        drop(self.link.take());
        if let Some(runtime) = self.runtime.take() {
            // A plain drop would wait, which is not allowed where other tasks run.
            runtime.shutdown_background();
        }
    }
}

/// Waits for a future. A thread that serves another runtime must not run one of its own.
fn wait<T: Send>(runtime: &Runtime, question: impl AsyncFnOnce() -> T + Send) -> T {
    if Handle::try_current().is_err() {
        return runtime.block_on(question());
    }
    let waited = thread::scope(|scope| scope.spawn(|| runtime.block_on(question())).join());
    waited.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
