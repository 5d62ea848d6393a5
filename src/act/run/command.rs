//! Command of one attempt, with all values filled in, and its standard input.
//!
//! Starting the command is left to `perform.rs`.

use std::ffi::OsStr;
use std::process::Stdio;

use bytes::Bytes;
use minijinja::Value;
use tokio::process::Command;

use crate::act::action_context::ActionContext;
use crate::act::record;
use crate::act::run::confinement::{Confinement, variable};
use crate::act::run::needs::ResolvedNeeds;
use crate::act::run::{Run, Stdin};
use crate::template::Template;

/// Filled in arguments and variables of a command.
pub(super) struct CommandTexts {
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
}

/// Maximum size of `HOOKYARD_ITEM`, in bytes. The kernel refuses a variable of 128 KiB.
const MAX_ITEM: usize = 64 << 10;

impl Run {
    /// Builds the command with all values filled in.
    pub(super) fn command(
        &self,
        resolved: &ResolvedNeeds,
        action_context: &ActionContext<'_>,
    ) -> Result<Command, String> {
        let templates = self
            .arguments
            .iter()
            .chain(self.environment.iter().map(|(_, template)| template));
        let values = if templates.into_iter().all(|template| template.literal().is_some()) {
            Value::UNDEFINED
        } else {
            action_context.values()
        };
        let confinement = resolved.confinement.as_ref();
        let mut command = if let Some(confinement) = confinement {
            confinement.command(&resolved.program, &self.needs.cwd)
        } else {
            let mut command = Command::new(&resolved.program);
            command.current_dir(&self.needs.cwd);
            command
        };
        let texts = self.texts(&values)?;
        command.args(texts.arguments);
        Self::set_environment(&mut command, resolved, action_context, texts.environment)?;
        command
            .stdin(if self.stdin == Stdin::None {
                Stdio::null()
            } else {
                Stdio::piped()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // The leader of a group cannot begin a session.
        if !confinement.is_some_and(Confinement::begins_session) {
            command.process_group(0);
        }
        Ok(command)
    }

    /// Fills in the arguments and the variables of the rules file.
    pub(super) fn texts(&self, values: &Value) -> Result<CommandTexts, String> {
        let argument = |(index, argument): (usize, &Template)| {
            let text = argument.render(values).map_err(|error| error.to_string())?;
            without_nul(text, || format!("argument {}", index + 1))
        };
        let variable = |(name, template): &(String, Template)| {
            let text = template
                .render(values)
                .map_err(|error| format!("`{name}`: {error}"))?;
            let text = without_nul(text, || format!("the variable `{name}`"))?;
            Ok::<_, String>((name.clone(), text))
        };
        Ok(CommandTexts {
            arguments: self
                .arguments
                .iter()
                .enumerate()
                .map(argument)
                .collect::<Result<_, _>>()?,
            environment: self.environment.iter().map(variable).collect::<Result<_, _>>()?,
        })
    }

    /// Replaces the environment of the command with the daemon's few variables, those of the rule
    /// and those of the event.
    fn set_environment(
        command: &mut Command,
        resolved: &ResolvedNeeds,
        action_context: &ActionContext<'_>,
        environment: Vec<(String, String)>,
    ) -> Result<(), String> {
        command.env_clear();
        let confinement = resolved.confinement.as_ref();
        let mut set = |name: &str, value: &OsStr| {
            command.env(&*variable(name, confinement), value);
        };
        for (name, value) in &resolved.base_environment {
            set(name, value);
        }
        for (name, text) in environment {
            set(&name, text.as_ref());
        }
        let received = &action_context.event.received;
        set("HOOKYARD_EVENT_ID", received.id.to_string().as_ref());
        set("HOOKYARD_RULE", action_context.rule.as_ref());
        set("HOOKYARD_ENDPOINT", (*received.endpoint).as_ref());
        set("HOOKYARD_ATTEMPT", action_context.attempt.to_string().as_ref());
        set("HOOKYARD_DELIVERY_ID", action_context.delivery.as_ref());
        set("HOOKYARD_REPLAY", action_context.replays.to_string().as_ref());
        set("HOOKYARD_VERIFIED", action_context.verified.to_string().as_ref());
        set("HOOKYARD_METHOD", received.method.as_str().as_ref());
        if let Some(client) = received.client {
            set("HOOKYARD_CLIENT_IP", client.to_canonical().to_string().as_ref());
        }
        if let Some(name) = action_context.event_name() {
            let name = without_nul(name, || "the event's name".to_owned())?;
            set("HOOKYARD_EVENT_NAME", name.as_ref());
        }
        if let Some(by) = &action_context.event.fired_by {
            set("HOOKYARD_FIRED_BY", (**by).as_ref());
        }
        if let Some(item) = &action_context.item
            && let Some(index) = item.index
        {
            set("HOOKYARD_ITEM_INDEX", index.to_string().as_ref());
            // A longer one would make every command of the rule fail, also those that do not read it.
            if let Some(json) = Some(item.json()?).filter(|json| json.len() <= MAX_ITEM) {
                set("HOOKYARD_ITEM", json.as_ref());
            }
        }
        if let Some(failure) = action_context.failure {
            set("HOOKYARD_FAILURE_ACTION", failure.action.as_ref());
            let reason = without_nul(failure.reason.to_owned(), || "the reason".to_owned())?;
            set("HOOKYARD_FAILURE_REASON", reason.as_ref());
        }
        Ok(())
    }

    /// Returns the command's standard input.
    pub(super) fn input(&self, action_context: &ActionContext<'_>) -> Result<Bytes, String> {
        match self.stdin {
            Stdin::Body => Ok(action_context.event.received.body.clone()),
            Stdin::Json => record::json(action_context)
                .map(Bytes::from)
                .map_err(|error| format!("no event record: {error}")),
            Stdin::None => Ok(Bytes::new()),
        }
    }
}

/// Returns the text, unless it holds a NUL byte, which the kernel does not take.
fn without_nul(text: String, what: impl Fn() -> String) -> Result<String, String> {
    if text.contains('\0') {
        return Err(format!("{} holds a NUL byte", what()));
    }
    Ok(text)
}
