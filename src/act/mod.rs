//! Actions: run a command, forward the request, append a line.
//!
//! [`Action::compile`] reads one action of a rule at load. [`ActionRunner::perform`] runs it for
//! one [`ActionContext`] and returns an [`Outcome`]. Every action ends: it has a time limit, its
//! output is kept up to a bound, and `stop` ends it early. [`Retry`] only holds the rule's policy.
//! The decision to retry is left to the caller.

mod action_context;
mod append;
mod appender;
mod forward;
mod live_output;
mod locked_file;
mod outcome;
mod performed;
mod pretended;
mod record;
mod rehearsed;
mod rendered;
mod retry;
mod rotate;
mod run;
mod settings;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use minijinja::Value;
use tokio_util::sync::CancellationToken;

use crate::act::pretended::Pretended;
use crate::act::settings::ActionKind;
use crate::base::diagnostic::Diagnostics;
use crate::base::secret::Keyring;
use crate::base::yaml::Node;
use crate::template::{NamedAction, PartRead, Place, RenderError, Template, Templates};
use crate::verify::Definitions;

pub use action_context::{ActionContext, FailureContext, Item, items, no_item};
pub use append::{Append, LIMIT as APPEND_TIMEOUT};
pub use forward::{
    DEFAULT_TIMEOUT as FORWARD_TIMEOUT, Forward, Forwarder, MAX_RETRY_AFTER, TargetState, WAITS_FOR_CIRCUIT,
    WAITS_FOR_RATE, WAITS_FOR_TARGET,
};
pub use live_output::{LiveBudget, LiveOutput, LivePiece, StreamName};
pub use outcome::{CapturedStream, Outcome, Output, Verdict};
pub use performed::{MAX_SEEN, PerformedAction};
pub use pretended::PretendedFuture;
pub use rendered::{RenderedAction, RenderedCommand, StatedOutcome};
pub use retry::Retry;
pub use rotate::Rotate;
pub use run::{DEFAULT_GRACE as COMMAND_GRACE, DEFAULT_TIMEOUT as COMMAND_TIMEOUT, Run, exec};

/// Compiled action.
#[derive(Debug)]
pub enum Action {
    /// `run` and `shell`.
    Run(Run),
    Forward(Forward),
    Append(Append),
}

/// Inputs for compiling an action.
#[derive(Clone, Copy)]
pub struct CompileContext<'w> {
    /// Source of secrets, which also knows the folder of the rules file.
    pub keyring: &'w Keyring,
    pub templates: &'w Templates,
    /// Schemes that `sign` can name.
    pub schemes: &'w Definitions<'w>,
    /// Returns true if the rule's condition excludes a leading `-` in the text at this event path.
    pub excludes_dash: Option<&'w dyn Fn(&Place) -> bool>,
    /// Timeout of commands and forwards that do not state one. `None`: by the kind of the action.
    pub timeout: Option<std::time::Duration>,
}

/// Performs actions. The daemon has a single one, because it holds the connections.
#[derive(Debug)]
pub struct ActionRunner {
    performer: Performer,
}

/// The way in which actions are performed.
#[derive(Debug)]
enum Performer {
    Real(Box<Forwarder>),
    /// For tests, of rules and of the dispatcher: nothing runs.
    Pretended(Pretended),
}

impl Action {
    /// Reads the key and the id of an action, without its other keys. `None` if it has no key of an
    /// action.
    pub fn named(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<NamedAction> {
        settings::named(node, diagnostics)
    }

    /// Compiles one action, or adds all that is wrong with it to `diagnostics`.
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

    /// Returns the key in the rules file: `run`, `shell`, `forward` or `append`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Run(run) => run.name(),
            Self::Forward(_) => "forward",
            Self::Append(_) => "append",
        }
    }

    /// True if the action holds neither a process nor a connection while it is performed.
    pub fn is_light(&self) -> bool {
        matches!(self, Self::Append(_))
    }

    /// Parts of the request that a forward passes on by name: `method`, `path` or `query: original`.
    pub fn passes_on(&self) -> Vec<PartRead> {
        match self {
            Self::Forward(forward) => forward.passes_on(),
            Self::Run(_) | Self::Append(_) => Vec::new(),
        }
    }

    /// Maximum time for one attempt.
    pub fn timeout(&self) -> std::time::Duration {
        match self {
            Self::Run(run) => run.time_limit(),
            Self::Forward(forward) => forward.time_limit(),
            Self::Append(_) => APPEND_TIMEOUT,
        }
    }

    /// True if the action runs a command.
    pub fn is_run(&self) -> bool {
        matches!(self, Self::Run(_))
    }

    pub fn templates(&self) -> Vec<&Template> {
        match self {
            Self::Run(run) => run.templates(),
            Self::Forward(forward) => forward.templates(),
            Self::Append(append) => append.template().into_iter().collect(),
        }
    }

    /// Returns the file that the action appends to, and its rotation.
    pub fn appends_to(&self) -> Option<(&Path, Option<Rotate>)> {
        match self {
            Self::Append(append) => Some(append.file()),
            Self::Run(_) | Self::Forward(_) => None,
        }
    }

    /// The target of a forward, in the form in which targets are compared. The outer `None`: the
    /// action calls no target. The inner one: the event names it.
    pub fn target(&self) -> Option<Option<String>> {
        match self {
            Self::Forward(forward) => Some(forward.target()),
            Self::Run(_) | Self::Append(_) => None,
        }
    }

    /// The target of a URL, in the same form. The error is the reason why there is none.
    pub fn target_of(url: &str) -> Result<String, &'static str> {
        Forward::target_of(url)
    }

    /// Describes what the action needs and this machine lacks now. Reads files and accounts: not
    /// for an async worker.
    pub fn missing(&self) -> Option<String> {
        match self {
            Self::Run(run) => run.missing(),
            Self::Append(append) => append.missing(),
            Self::Forward(_) => None,
        }
    }

    /// True if the action needs the payload. If an event's payload cannot be read, such an action
    /// fails. The raw body is always available.
    pub fn reads_payload(&self) -> bool {
        match self {
            Self::Run(run) => run.reads_payload(),
            Self::Forward(forward) => forward.reads_payload(),
            Self::Append(append) => append.reads_payload(),
        }
    }

    /// True if a template of the action reads the outputs of earlier actions.
    pub fn reads_actions(&self) -> bool {
        self.templates().into_iter().any(Template::reads_actions)
    }

    /// Returns the policy for retries if the rule has none.
    pub fn default_retry(&self) -> Retry {
        match self {
            Self::Run(_) | Self::Append(_) => Retry::for_commands(),
            Self::Forward(_) => Retry::for_requests(),
        }
    }

    /// Describes what the action would do with these values. Secrets are masked.
    pub fn describe(&self, values: &Value) -> Result<serde_json::Value, RenderError> {
        match self {
            Self::Run(run) => run.describe(values),
            Self::Forward(forward) => forward.describe(values),
            Self::Append(append) => append.describe(values),
        }
    }
}

impl ActionRunner {
    /// Reads the system's root certificates. If there are none, the first request that needs them
    /// fails.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            performer: Performer::Real(Box::new(Forwarder::new()?)),
        })
    }

    /// True if nothing runs, and nothing may be written either.
    pub fn is_pretended(&self) -> bool {
        matches!(self.performer, Performer::Pretended(_))
    }

    /// Lists the targets that have failed or for whose turn deliveries wait.
    pub fn targets(&self) -> Vec<TargetState> {
        match &self.performer {
            Performer::Real(forwarder) => forwarder.targets(),
            Performer::Pretended(_) => Vec::new(),
        }
    }

    /// Pauses exactly these targets.
    pub fn pause_targets(&self, targets: HashSet<Arc<str>>) {
        if let Performer::Real(forwarder) = &self.performer {
            forwarder.pause(targets);
        }
    }

    /// Divides the rate of each target by the number of nodes that make requests.
    pub fn share_rates(&self, nodes: u32) {
        if let Performer::Real(forwarder) = &self.performer {
            forwarder.share_rates(nodes);
        }
    }

    /// Forgets a delivery that will not come back, and frees its turns at targets.
    pub fn forget(&self, delivery: &str) {
        if let Performer::Real(forwarder) = &self.performer {
            forwarder.forget(delivery);
        }
    }

    /// Performs an action until it ends, times out, or `stop` is cancelled. If the future is
    /// dropped, a running command is killed.
    pub async fn perform(
        &self,
        action: &Action,
        action_context: &ActionContext<'_>,
        stop: CancellationToken,
    ) -> Outcome {
        let forwarder = match &self.performer {
            Performer::Real(forwarder) => forwarder,
            Performer::Pretended(pretended) => return pretended.perform(action, action_context, stop).await,
        };
        match action {
            Action::Run(run) => run.perform(action_context, &stop).await,
            Action::Forward(forward) => forward.perform(forwarder, action_context, &stop).await,
            Action::Append(append) => append.perform(action_context).await,
        }
    }
}

#[cfg(test)]
mod tests;
