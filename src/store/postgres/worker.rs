//! Connections that write batches of calls.
//!
//! Concurrent calls share a transaction and its sync. If the answer to a transaction is lost, the
//! same batch is written again with the same ids, and told that it may be there already. It is never
//! enough to look whether it is there: what the look finds may not be on the standby yet. Each
//! transaction writes a row of `tally`, also a repeated one. Its own commit therefore waits for
//! everything before it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::failure::Failure;
use super::link::Link;
use super::round::{Round, Waiting};
use super::server;
use super::target::Target;
use super::write_counters::WriteCounters;
use crate::store::StoreError;

/// Maximum calls of one transaction.
const BATCH_CALLS: usize = 256;

/// Maximum bytes of one transaction, unless one call has more.
const BATCH_BYTES: usize = 16 << 20;

/// Capacity of the queue of calls. Callers wait when it is full.
const CALLS: usize = 1024;

/// Time after the end of a call's patience within which its worker says why it failed.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The work of a worker's connections.
pub(super) trait Batch: Send + Sync + 'static {
    type Call: Send + Sync + 'static;
    type Output: Send + 'static;

    /// True if the calls bring new events, which `durability: replicated` refuses without a standby.
    const TAKES_EVENTS: bool = false;

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

/// A call that waits for its answer.
type WaitingCall<B> = Waiting<<B as Batch>::Call, <B as Batch>::Output>;

/// The queue of calls, which the connections share.
type WaitingCalls<B> = tokio::sync::Mutex<mpsc::Receiver<WaitingCall<B>>>;

/// The way to the connections that write one kind of calls.
pub(super) struct Worker<B: Batch> {
    calls: Mutex<Option<mpsc::Sender<WaitingCall<B>>>>,
    connections: tokio::sync::Mutex<JoinSet<()>>,
    patience: Duration,
    counters: Arc<WriteCounters>,
}

impl<B: Batch> Worker<B> {
    /// Starts a worker with one connection for each slot.
    pub fn start(batch: &Arc<B>, target: &Arc<Target>, role: &'static str, slots: &[i16]) -> Self {
        let (calls, waiting) = mpsc::channel(CALLS);
        let waiting = Arc::new(tokio::sync::Mutex::new(waiting));
        let mut connections = JoinSet::new();
        let counters = Arc::<WriteCounters>::default();
        for slot in slots {
            let one = Connection {
                batch: Arc::clone(batch),
                target: Arc::clone(target),
                role,
                slot: *slot,
                link: None,
                counters: Arc::clone(&counters),
            };
            connections.spawn(one.run(Arc::clone(&waiting)));
        }
        Self {
            calls: Mutex::new(Some(calls)),
            connections: tokio::sync::Mutex::new(connections),
            patience: target.patience,
            counters,
        }
    }

    /// Numbers of the transactions so far.
    pub fn counters(&self) -> &WriteCounters {
        &self.counters
    }

    /// Sends a call and waits for its answer, for at most the patience of the target. After an error
    /// that may pass, the call may be carried out all the same.
    pub async fn call(&self, call: B::Call) -> Result<B::Output, StoreError> {
        let calls = self.calls.lock().clone().ok_or(StoreError::Closed)?;
        let until = Instant::now() + self.patience;
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting { call, reply, until };
        let answered = timeout_at(until + LAST_WORDS, async move {
            calls.send(waiting).await.map_err(|_closed| StoreError::Closed)?;
            answer.await.unwrap_or(Err(StoreError::Closed))
        });
        answered.await.unwrap_or_else(|_elapsed| {
            Err(StoreError::Unavailable {
                detail: format!("the server gave no answer in {:?}", self.patience),
            })
        })
    }

    /// Carries out earlier calls, then closes the connections. Later calls are answered
    /// [`StoreError::Closed`].
    pub async fn close(&self) {
        drop(self.calls.lock().take());
        let mut connections = self.connections.lock().await;
        while connections.join_next().await.is_some() {}
    }
}

type Calls<B> = Round<<B as Batch>::Call, <B as Batch>::Output>;

/// One connection of a worker.
struct Connection<B: Batch> {
    batch: Arc<B>,
    target: Arc<Target>,
    role: &'static str,
    slot: i16,
    link: Option<Link>,
    counters: Arc<WriteCounters>,
}

impl<B: Batch> Connection<B> {
    /// Works until every sender of calls is gone.
    async fn run(mut self, waiting: Arc<WaitingCalls<B>>) {
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
            let mut round = Round::new(round);
            round.fail_expired();
            self.write(round).await;
        }
    }

    /// Writes a round of calls and answers them. If it fails by the fault of one call, its halves are
    /// written apart, so that the other calls do not fail with it.
    async fn write(&mut self, round: Calls<B>) {
        let mut rounds = vec![round];
        while let Some(round) = rounds.pop() {
            if let Some((first, second)) = self.write_or_split(round).await {
                rounds.push(second);
                rounds.push(first);
            }
        }
    }

    /// Writes calls, as often as necessary.
    async fn write_or_split(&mut self, mut round: Calls<B>) -> Option<(Calls<B>, Calls<B>)> {
        let mut tries = round.tries()?;
        loop {
            let begun = Instant::now();
            let written = timeout_at(tries.until, self.try_once(&round)).await;
            let failure = match written {
                Ok(Ok(outputs)) => {
                    self.counters.add(round.len(), begun.elapsed());
                    round.answer(outputs);
                    return None;
                }
                Ok(Err(failure)) => failure,
                // The connection went with the dropped future. What it sent may still be carried out.
                Err(_) => Failure::Lost(self.no_answer()),
            };
            if failure.is_of_one_call() && round.len() > 1 {
                return Some(round.split());
            }
            round.may_be_there |= matches!(failure, Failure::Lost(_));
            if !tries.wait_after(&failure).await {
                if !failure.may_pass_soon() {
                    round.fail(&failure.into_error());
                    return None;
                }
                // Callers that came later have patience left.
                round.fail_overdue(&failure.into_error());
                tries = round.tries()?;
            }
        }
    }

    async fn try_once(&mut self, round: &Calls<B>) -> Result<Vec<Result<B::Output, StoreError>>, Failure> {
        let link = Link::ready(self.link.take(), &self.target, self.role).await?;
        let written = self.write_once(&link, round).await;
        if link.is_usable_after(written.as_ref().err()).await {
            self.link = Some(link);
        }
        written
    }

    async fn write_once(
        &self,
        link: &Link,
        round: &Calls<B>,
    ) -> Result<Vec<Result<B::Output, StoreError>>, Failure> {
        if B::TAKES_EVENTS {
            server::require_standby(link, self.target.durability).await?;
        }
        let (calls, may_be_there) = (round.calls(), round.may_be_there);
        self.batch.write(link, self.slot, calls, may_be_there).await
    }

    fn no_answer(&self) -> String {
        format!("the server gave no answer in {:?}", self.target.patience)
    }
}
