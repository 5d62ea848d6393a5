//! Actions that end when and as a test says.

use std::fmt;
use std::pin::Pin;

use tokio_util::sync::CancellationToken;

use super::{ActionContext, ActionRunner, Forwarder, Outcome};

/// What is yet to come of an action.
type Performing = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Begins one; it is to end when it is stopped.
type Begin = dyn Fn(&ActionContext<'_>, CancellationToken) -> Performing + Send + Sync;

/// Takes the place of all actions.
pub struct Script(Box<Begin>);

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}

impl Script {
    /// Performs it.
    pub fn perform(&self, action_context: &ActionContext<'_>, stop: CancellationToken) -> Performing {
        (self.0)(action_context, stop)
    }
}

impl ActionRunner {
    /// One whose every action is what `script` says.
    pub fn scripted(
        script: impl Fn(&ActionContext<'_>, CancellationToken) -> Performing + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        Ok(Self {
            courier: Forwarder::new()?,
            script: Some(Script(Box::new(script))),
        })
    }
}
