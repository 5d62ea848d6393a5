//! Connections that write batches of calls.
//!
//! Concurrent calls share a transaction and its sync. If the answer to a transaction is lost, the
//! same batch is written again with the same ids, and told that it may be there already. It is never
//! enough to look whether it is there: what the look finds may not be on the standby yet. Each
//! transaction writes a row of `tally`, also a repeated one. Its own commit therefore waits for
//! everything before it.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::failure::Failure;
use super::link::Link;
use super::target::Target;
use crate::store::StoreError;

/// Maximum calls of one transaction.
const BATCH_CALLS: usize = 256;

/// Maximum bytes of one transaction, unless one call has more.
const BATCH_BYTES: usize = 16 << 20;

/// Capacity of the queue of calls. Callers wait when it is full.
const CALLS: usize = 1024;

/// What the connections of a worker do with calls.
pub(super) trait Batch: Send + Sync + 'static {
    type Call: Send + Sync + 'static;
    type Output: Send + 'static;

    /// Carries out calls in one transaction of its own, from `BEGIN` to `COMMIT`. The answer has one
    /// item per call, in their order. After an error everything is undone, or unknown.
    ///
    /// `slot` is the row of `tally` that belongs to this connection. With `may_be_there`, an earlier
    /// try at some of these calls may have been committed.
    fn write(
        &self,
        link: &Link,
        slot: i16,
        calls: &[Self::Call],
        may_be_there: bool,
    ) -> impl Future<Output = Result<Vec<Result<Self::Output, StoreError>>, Failure>> + Send;

    /// Bytes of a call that count towards the size of a batch.
    fn size(call: &Self::Call) -> usize;
}

struct Waiting<B: Batch> {
    call: B::Call,
    reply: oneshot::Sender<Result<B::Output, StoreError>>,
}

/// The way to the connections that write one kind of calls.
pub(super) struct Worker<B: Batch> {
    calls: mpsc::Sender<Waiting<B>>,
}

impl<B: Batch> Worker<B> {
    /// Sends a call and waits for its answer.
    pub async fn call(&self, call: B::Call) -> Result<B::Output, StoreError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.calls.send(Waiting { call, reply }).await;
        sent.map_err(|_| StoreError::Closed)?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Starts a worker with one connection for each slot.
    pub fn start(batch: &Arc<B>, target: &Arc<Target>, role: &'static str, slots: &[i16]) -> Self {
        let (calls, waiting) = mpsc::channel(CALLS);
        let waiting = Arc::new(tokio::sync::Mutex::new(waiting));
        for slot in slots {
            let one = Connection {
                batch: Arc::clone(batch),
                target: Arc::clone(target),
                role,
                slot: *slot,
                link: None,
            };
            tokio::spawn(one.run(Arc::clone(&waiting)));
        }
        Self { calls }
    }
}

/// One connection of a worker.
struct Connection<B: Batch> {
    batch: Arc<B>,
    target: Arc<Target>,
    role: &'static str,
    slot: i16,
    link: Option<Link>,
}

impl<B: Batch> Connection<B> {
    /// Works until every sender of calls is gone.
    async fn run(mut self, waiting: Arc<tokio::sync::Mutex<mpsc::Receiver<Waiting<B>>>>) {
        loop {
            let mut round = Vec::new();
            {
                let mut waiting = waiting.lock().await;
                let Some(first) = waiting.recv().await else {
                    return;
                };
                let mut bytes = B::size(&first.call);
                round.push(first);
                while round.len() < BATCH_CALLS && bytes < BATCH_BYTES {
                    let Ok(next) = waiting.try_recv() else { break };
                    bytes += B::size(&next.call);
                    round.push(next);
                }
            }
            self.write(round).await;
        }
    }

    /// Writes a round of calls and answers them.
    async fn write(&mut self, round: Vec<Waiting<B>>) {
        let (calls, replies): (Vec<_>, Vec<_>) = round.into_iter().map(|one| (one.call, one.reply)).unzip();
        let outputs = self.outputs(&calls).await;
        for (reply, output) in replies.into_iter().zip(outputs) {
            drop(reply.send(output));
        }
    }

    /// Writes calls, as often as necessary.
    async fn outputs(&mut self, calls: &[B::Call]) -> Vec<Result<B::Output, StoreError>> {
        let until = Instant::now() + self.target.patience;
        let mut may_be_there = false;
        loop {
            let failed = match self.try_once(calls, may_be_there).await {
                Ok(outputs) => return outputs,
                Err(Failure::Failed(error)) => error,
                Err(Failure::Conflict(detail)) => StoreError::Unavailable { detail },
                Err(Failure::Lost(detail)) => {
                    self.link = None;
                    may_be_there = true;
                    StoreError::Unavailable { detail }
                }
            };
            if Instant::now() >= until || !failed.may_pass() {
                return calls.iter().map(|_| Err(failed.clone())).collect();
            }
        }
    }

    async fn try_once(
        &mut self,
        calls: &[B::Call],
        may_be_there: bool,
    ) -> Result<Vec<Result<B::Output, StoreError>>, Failure> {
        let link = match self.link.take() {
            Some(link) if !link.is_closed() => link,
            _ => Link::connect(&self.target, self.role).await?,
        };
        let written = self.batch.write(&link, self.slot, calls, may_be_there).await;
        if written.is_err() {
            link.run("ROLLBACK").await?;
        }
        self.link = Some(link);
        written
    }
}
