//! Pretended actions: nothing runs, and the outcome is what a test says.
//!
//! `hookyard test` and the tests of the dispatcher use them.

use std::fmt;
use std::pin::Pin;

use tokio_util::sync::CancellationToken;

use super::{Action, ActionContext, ActionRunner, Outcome, Performer};

/// Future of a pretended action.
pub type PretendedFuture = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Starts a pretended action, which must end when the token is cancelled.
type StartFn = dyn Fn(&Action, &ActionContext<'_>, CancellationToken) -> PretendedFuture + Send + Sync;

/// Replacement for all actions.
pub struct Pretended(Box<StartFn>);

impl fmt::Debug for Pretended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pretended")
    }
}

impl Pretended {
    pub fn perform(
        &self,
        action: &Action,
        action_context: &ActionContext<'_>,
        stop: CancellationToken,
    ) -> PretendedFuture {
        (self.0)(action, action_context, stop)
    }
}

impl ActionRunner {
    /// Creates a runner that calls `start` instead of every action.
    pub fn pretended(
        start: impl Fn(&Action, &ActionContext<'_>, CancellationToken) -> PretendedFuture + Send + Sync + 'static,
    ) -> Self {
        Self {
            performer: Performer::Pretended(Pretended(Box::new(start))),
        }
    }
}
