//! Simulated actions, which end when and as a test says.

use std::fmt;
use std::pin::Pin;

use tokio_util::sync::CancellationToken;

use super::{ActionContext, ActionRunner, Forwarder, Outcome};

/// Future of a simulated action.
type ScriptedFuture = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Starts a simulated action, which must end when the token is cancelled.
type StartFn = dyn Fn(&ActionContext<'_>, CancellationToken) -> ScriptedFuture + Send + Sync;

/// Replacement for all actions.
pub struct Script(Box<StartFn>);

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}

impl Script {
    pub fn perform(&self, action_context: &ActionContext<'_>, stop: CancellationToken) -> ScriptedFuture {
        (self.0)(action_context, stop)
    }
}

impl ActionRunner {
    /// Creates a runner that performs `script` instead of every action.
    pub fn scripted(
        script: impl Fn(&ActionContext<'_>, CancellationToken) -> ScriptedFuture + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        Ok(Self {
            forwarder: Forwarder::new()?,
            script: Some(Script(Box::new(script))),
        })
    }
}
