//! Do it: run a command, forward the request, append a line.
//!
//! [`Action::compile`] reads one action of a rule at load; [`ActionRunner::perform`] does it for one [`ActionContext`] and says
//! how it went in an [`Outcome`]. Every action ends: it has a time limit, what it puts out is kept up to a bound,
//! and `stop` ends it early. Whether a failed action is tried again is decided elsewhere; [`Retry`] only says how a
//! rule wishes it.

mod action_context;
mod append;
mod forward;
mod held;
mod lines;
mod outcome;
mod record;
mod retry;
mod rotate;
mod run;
#[cfg(test)]
mod script;
mod settings;

use std::path::Path;

use minijinja::Value;
use tokio_util::sync::CancellationToken;

use crate::act::settings::ActionKind;
use crate::base::diagnostic::Diagnostics;
use crate::base::secret::Keyring;
use crate::base::yaml::Node;
use crate::template::{Place, RenderError, Template, Templates};

pub use action_context::{ActionContext, FailureContext};
pub use append::Append;
pub use forward::{Forward, Forwarder, MAX_RETRY_AFTER};
pub use outcome::{CapturedStream, Outcome, Output, Verdict};
pub use retry::Retry;
pub use rotate::Rotate;
pub use run::{Run, exec};

/// One thing to do, compiled.
#[derive(Debug)]
pub enum Action {
    /// `run` and `shell`.
    Run(Run),
    /// `forward`.
    Forward(Forward),
    /// `append`.
    Append(Append),
}

/// What compiling an action takes.
#[derive(Clone, Copy)]
pub struct CompileContext<'w> {
    /// Reads secrets, and knows the folder of the rules file.
    pub keyring: &'w Keyring,
    /// The templates of the rule set.
    pub templates: &'w Templates,
    /// Whether the rule's condition says that the text at this place of the event never begins with `-`.
    pub excludes_dash: Option<&'w dyn Fn(&Place) -> bool>,
}

/// Performs actions. One for the whole daemon, for it holds the connections.
#[derive(Debug)]
pub struct ActionRunner {
    courier: Forwarder,
    /// Performs them in its place: in a test whose time is moved by hand no command can be waited for.
    #[cfg(test)]
    script: Option<script::Script>,
}

impl Action {
    /// Reads one action, or adds all that is wrong with it to `diagnostics`.
    pub fn compile(
        node: Node<'_>,
        context: &CompileContext<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        match settings::kind(node, diagnostics)? {
            kind @ (ActionKind::Run | ActionKind::Shell) => {
                Run::compile(node, kind, context, diagnostics).map(Self::Run)
            }
            ActionKind::Forward => Forward::compile(node, context, diagnostics).map(Self::Forward),
            ActionKind::Append => Append::compile(node, context, diagnostics).map(Self::Append),
        }
    }

    /// The key under which it is written: `run`, `shell`, `forward`, `append`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Run(run) => run.name(),
            Self::Forward(_) => "forward",
            Self::Append(_) => "append",
        }
    }

    /// Its templates.
    pub fn templates(&self) -> Vec<&Template> {
        match self {
            Self::Run(run) => run.templates(),
            Self::Forward(forward) => forward.templates(),
            Self::Append(append) => append.template().into_iter().collect(),
        }
    }

    /// The file that it appends to, and how that is rotated.
    pub fn appends_to(&self) -> Option<(&Path, Option<Rotate>)> {
        match self {
            Self::Append(append) => Some(append.file()),
            Self::Run(_) | Self::Forward(_) => None,
        }
    }

    /// What it needs and this machine does not have now, in words. It looks at files and accounts: not for an async worker.
    pub fn missing(&self) -> Option<String> {
        match self {
            Self::Run(run) => run.missing(),
            Self::Append(append) => append.missing(),
            Self::Forward(_) => None,
        }
    }

    /// Whether it needs the payload: then nothing comes of it for an event whose payload cannot be read. The raw body is
    /// there always.
    pub fn reads_payload(&self) -> bool {
        match self {
            Self::Run(run) => run.reads_payload(),
            Self::Forward(forward) => forward.reads_payload(),
            Self::Append(append) => append.reads_payload(),
        }
    }

    /// How it is retried where the rule does not say.
    pub fn default_retry(&self) -> Retry {
        match self {
            Self::Run(_) | Self::Append(_) => Retry::for_commands(),
            Self::Forward(_) => Retry::for_requests(),
        }
    }

    /// What it would do with these values, to be shown: secrets are masked.
    pub fn describe(&self, values: &Value) -> Result<serde_json::Value, RenderError> {
        match self {
            Self::Run(run) => run.describe(values),
            Self::Forward(forward) => forward.describe(values),
            Self::Append(append) => append.describe(values),
        }
    }
}

impl ActionRunner {
    /// Reads the system's root certificates. That there are none is told by the first request that needs them.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            courier: Forwarder::new()?,
            #[cfg(test)]
            script: None,
        })
    }

    /// A delivery will not come back: whatever turn it was given at a target is another's.
    pub fn forget(&self, delivery: &str) {
        self.courier.forget(delivery);
    }

    /// Does it, until it has ended, its time is up, or `stop` is cancelled. May be dropped at any point: a command
    /// is then killed.
    pub async fn perform(
        &self,
        action: &Action,
        action_context: &ActionContext<'_>,
        stop: CancellationToken,
    ) -> Outcome {
        #[cfg(test)]
        if let Some(script) = &self.script {
            return script.perform(action_context, stop).await;
        }
        match action {
            Action::Run(run) => run.perform(action_context, &stop).await,
            Action::Forward(forward) => forward.perform(&self.courier, action_context, &stop).await,
            Action::Append(append) => append.perform(action_context).await,
        }
    }
}

#[cfg(test)]
mod tests;
