//! The calls of one transaction, with their callers.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::patience::Tries;
use crate::store::StoreError;

/// A caller whose patience ends within this time is answered with one whose patience is over. The
/// transaction is then not repeated for each of them.
const ALSO_OVER: Duration = Duration::from_millis(300);

/// A call in the queue of a worker.
pub(super) struct Waiting<C, O> {
    pub call: C,
    pub reply: oneshot::Sender<Result<O, StoreError>>,
    /// End of the caller's patience.
    pub until: Instant,
}

struct Caller<O> {
    reply: oneshot::Sender<Result<O, StoreError>>,
    until: Instant,
}

/// Calls that are written together.
pub(super) struct Round<C, O> {
    calls: Vec<C>,
    callers: Vec<Caller<O>>,
    /// True if an earlier try may have been committed.
    pub may_be_there: bool,
}

impl<C, O> Round<C, O> {
    pub fn new(waiting: Vec<Waiting<C, O>>) -> Self {
        let parts = waiting.into_iter().map(|Waiting { call, reply, until }| {
            let caller = Caller { reply, until };
            (call, caller)
        });
        let (calls, callers) = parts.unzip();
        Self {
            calls,
            callers,
            may_be_there: false,
        }
    }

    pub fn calls(&self) -> &[C] {
        &self.calls
    }

    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// The tries up to the end of the first caller's patience. None if there is no caller.
    pub fn tries(&self) -> Option<Tries> {
        let first = self.callers.iter().map(|caller| caller.until).min();
        first.map(Tries::until)
    }

    /// Answers the callers whose patience ended in the queue, and leaves their calls out.
    pub fn fail_expired(&mut self) {
        let error = StoreError::Unavailable {
            detail: "the queue in front of the server is too long".to_owned(),
        };
        self.fail_up_to(Instant::now(), &error);
    }

    /// Answers all callers, in their order.
    pub fn answer(self, outputs: Vec<Result<O, StoreError>>) {
        debug_assert_eq!(self.callers.len(), outputs.len(), "one answer per call");
        for (caller, output) in self.callers.into_iter().zip(outputs) {
            drop(caller.reply.send(output));
        }
    }

    /// Answers all callers with an error.
    pub fn fail(self, error: &StoreError) {
        for caller in self.callers {
            drop(caller.reply.send(Err(error.clone())));
        }
    }

    /// Answers the callers whose patience is over, or nearly so, and leaves their calls out.
    pub fn fail_overdue(&mut self, error: &StoreError) {
        let first = self.callers.iter().map(|caller| caller.until).min();
        let over = first.unwrap_or_else(Instant::now).max(Instant::now()) + ALSO_OVER;
        self.fail_up_to(over, error);
    }

    fn fail_up_to(&mut self, over: Instant, error: &StoreError) {
        if self.callers.iter().all(|caller| caller.until > over) {
            return;
        }
        let (calls, callers) = (std::mem::take(&mut self.calls), std::mem::take(&mut self.callers));
        for (call, caller) in calls.into_iter().zip(callers) {
            if caller.until <= over {
                drop(caller.reply.send(Err(error.clone())));
            } else {
                self.calls.push(call);
                self.callers.push(caller);
            }
        }
    }

    /// Divides the calls into halves.
    pub fn split(mut self) -> (Self, Self) {
        let middle = self.calls.len() / 2;
        let second = Self {
            calls: self.calls.split_off(middle),
            callers: self.callers.split_off(middle),
            may_be_there: self.may_be_there,
        };
        (self, second)
    }
}
