//! Commands: `run`, a list of arguments without a shell, and `shell`, a fixed text for `/bin/sh
//! -eu`.
//!
//! Values reach a program only as arguments, and a shell only through its environment. Text of a
//! sender is never part of a script. Another user, niceness and limits are left to
//! `confinement.rs`.

mod command;
mod compile;
mod confinement;
mod elf;
mod env_argument;
mod environment;
mod executable;
mod identity;
mod injection;
mod interpreter;
mod limits;
mod needs;
mod perform;
mod process_group;
mod program;
mod session;
mod shell_script;
mod words;

use std::sync::Arc;
use std::time::Duration;

use minijinja::Value;
use serde::Deserialize;
use serde_json::json;

use crate::act::action_context::ActionContext;
use crate::act::outcome::Verdict;
use crate::act::rendered::RenderedCommand;
use crate::act::run::needs::Needs;
use crate::base::units::HumanDuration;
use crate::template::{RenderError, Template};

/// Interface between the daemon and [`exec::COMMAND`].
pub mod exec {
    pub use super::confinement::{COMMAND, COMPLAINT, NOT_SET, NOT_STARTED, PREFIX};
    pub use super::session::note_terminal;
}

/// Default timeout of a command. Deploys take minutes, and a command that hangs is still noticed
/// today.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_mins(10);
/// Default time between TERM and KILL.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(10);

/// Compiled command.
#[derive(Debug)]
pub struct Run {
    needs: Arc<Needs>,
    arguments: Vec<Template>,
    environment: Vec<(String, Template)>,
    stdin: Stdin,
    timeout: Duration,
    grace: Duration,
    exit: Exit,
    /// Script, if this is a `shell`.
    script: Option<String>,
}

/// Standard input of a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stdin {
    /// Raw body.
    #[default]
    Body,
    /// Event record.
    Json,
    None,
}

/// Meaning of the exit codes. Any other code is a failure that may be retried.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exit {
    /// Codes for success.
    #[serde(default = "default_done")]
    done: Vec<u8>,
    /// Codes for a failure that a retry may fix.
    #[serde(default)]
    retry: Vec<u8>,
    /// Codes for a failure that a retry cannot fix.
    #[serde(default)]
    dead: Vec<u8>,
}

/// Returns the default of `done`.
fn default_done() -> Vec<u8> {
    vec![0]
}

impl Exit {
    fn verdict(&self, code: u8) -> Verdict {
        if self.done.contains(&code) {
            Verdict::Done
        } else if self.dead.contains(&code) {
            Verdict::Dead
        } else {
            Verdict::FAILED
        }
    }

    /// Returns a code that stands in two lists, if any.
    fn ambiguous(&self) -> Option<u8> {
        let twice = |code: &&u8| {
            [&self.done, &self.retry, &self.dead]
                .iter()
                .filter(|list| list.contains(code))
                .count()
                > 1
        };
        self.retry.iter().chain(&self.dead).find(twice).copied()
    }
}

impl Run {
    pub(super) fn templates(&self) -> Vec<&Template> {
        let environment = self.environment.iter().map(|(_, template)| template);
        self.arguments.iter().chain(environment).collect()
    }

    /// Returns the key in the rules file: `run` or `shell`.
    pub fn name(&self) -> &'static str {
        if self.script.is_some() { "shell" } else { "run" }
    }

    /// Describes what is missing on this machine. Reads files and accounts: not for an async
    /// worker.
    pub fn missing(&self) -> Option<String> {
        self.needs.missing()
    }

    /// True if the command gets values from the payload.
    pub fn reads_payload(&self) -> bool {
        let environment = self.environment.iter().map(|(_, value)| value);
        self.stdin == Stdin::Json
            || self
                .arguments
                .iter()
                .chain(environment)
                .any(Template::reads_payload)
    }

    /// The command as an attempt would start it, without this machine's variables and folders.
    pub(super) fn rendered(&self, context: &ActionContext<'_>) -> Result<RenderedCommand, String> {
        let values = context.values();
        let texts = self.texts(&values)?;
        let words = match &self.script {
            Some(script) => vec![script.clone()],
            None => std::iter::once(self.needs.program.clone())
                .chain(texts.arguments)
                .collect(),
        };
        Ok(RenderedCommand {
            words,
            is_script: self.script.is_some(),
            env: texts.environment,
            stdin: self.input(context)?,
            cwd: self.needs.cwd.clone(),
        })
    }

    pub(super) fn time_limit(&self) -> Duration {
        self.timeout
    }

    /// The verdict on an exit code, and its detail.
    pub(super) fn verdict_on(&self, code: u8) -> (Verdict, String) {
        (self.exit.verdict(code), format!("exit {code}"))
    }

    /// Describes the command that would run.
    pub fn describe(&self, values: &Value) -> Result<serde_json::Value, RenderError> {
        let mut environment = serde_json::Map::new();
        for (name, template) in &self.environment {
            environment.insert(name.clone(), template.render_masked(values)?.into());
        }
        let what = if let Some(script) = &self.script {
            json!(script)
        } else {
            let mut words = vec![self.needs.display_name()];
            for argument in &self.arguments {
                words.push(argument.render_masked(values)?);
            }
            json!(words)
        };
        let mut described = serde_json::Map::new();
        described.insert(self.name().to_owned(), what);
        described.insert("env".to_owned(), environment.into());
        described.insert("cwd".to_owned(), self.needs.cwd.display().to_string().into());
        described.insert(
            "timeout".to_owned(),
            HumanDuration(self.timeout).to_string().into(),
        );
        if let Some(confinement) = self
            .needs
            .resolved
            .get()
            .and_then(|resolved| resolved.confinement.as_ref())
        {
            confinement.describe(&mut described);
        }
        Ok(described.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_have_the_meaning_of_the_rule() {
        let exit: Exit = serde_json::from_str(r#"{"done": [0, 10], "retry": [75], "dead": [78]}"#).unwrap();
        for (code, verdict) in [
            (0, Verdict::Done),
            (10, Verdict::Done),
            (1, Verdict::FAILED),
            (75, Verdict::FAILED),
            (78, Verdict::Dead),
        ] {
            assert_eq!(exit.verdict(code), verdict, "{code}");
        }
        assert_eq!(exit.ambiguous(), None);
        let exit: Exit = serde_json::from_str(r#"{"dead": [0]}"#).unwrap();
        assert_eq!(exit.ambiguous(), Some(0));
    }
}
