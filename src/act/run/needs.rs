//! Requirements of a command on this machine: its program, its script, its folder, its user.
//!
//! The requirements are looked up at load. If something is missing, the rules load all the same.
//! Every attempt then looks again, and fails with a message that says what is missing. A complete
//! result is cached. If something disappears later, the command does not start.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::act::run::confinement::Confinement;
use crate::act::run::identity::{RequestedAccount, ResolvedAccount};
use crate::act::run::injection::ScriptFile;
use crate::act::run::program;

/// Requirements of a command.
#[derive(Debug)]
pub(super) struct Needs {
    /// Program as the rules file names it.
    pub(super) program: String,
    /// `PATH` of the command. `None` if it depends on the event.
    pub(super) search: Option<OsString>,
    /// Script that the program reads.
    pub(super) script: Option<ScriptFile>,
    pub(super) cwd: PathBuf,
    pub(super) account: RequestedAccount,
    /// Confinement, still without the user.
    pub(super) confinement: Confinement,
    /// Variables for every event, before those of the user's account: `PATH`, `HOME`, `LANG`.
    pub(super) base_environment: Vec<(&'static str, OsString)>,
    pub(super) resolved: OnceLock<ResolvedNeeds>,
}

/// Requirements as they were found.
#[derive(Debug)]
pub(super) struct ResolvedNeeds {
    /// Absolute path. With a relative one, a start would first copy the whole daemon.
    pub(super) program: PathBuf,
    pub(super) confinement: Option<Confinement>,
    pub(super) base_environment: Vec<(&'static str, OsString)>,
}

/// Kind of a missing requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NeedKind {
    Program,
    /// Script, with the position of its word.
    Script(usize),
    Cwd,
    User,
}

/// Missing requirement: its kind, a message and a hint.
pub(super) type Missing = (NeedKind, String, String);

impl Needs {
    /// Returns the cached result, or looks for everything now. The error lists what is missing, at
    /// least one thing. Reads files and accounts: not for an async worker, unless the result is
    /// cached.
    pub(super) fn find(&self) -> Result<&ResolvedNeeds, Vec<Missing>> {
        if let Some(resolved) = self.resolved.get() {
            return Ok(resolved);
        }
        let mut missing = Vec::new();
        if !self.cwd.is_dir() {
            missing.push(missing_folder(&self.cwd));
        }
        let program = program::find(&self.program, &self.cwd, self.search.as_deref());
        // A program below a missing folder is missing with it.
        let follows = !missing.is_empty() && self.program.contains('/');
        let program = program
            .map_err(|(message, hint)| (!follows).then(|| missing.push((NeedKind::Program, message, hint))))
            .ok();
        if missing.is_empty() {
            missing.extend(self.missing_script());
        }
        let rights = self.account.look_up();
        let rights = rights
            .map_err(|(message, hint)| missing.push((NeedKind::User, message, hint)))
            .ok();
        match (program, rights) {
            (Some(program), Some(rights)) if missing.is_empty() => {
                Ok(self.resolved.get_or_init(|| ResolvedNeeds {
                    program,
                    confinement: self.confinement.of(&rights),
                    base_environment: with(&self.base_environment, rights),
                }))
            }
            _ => Err(missing),
        }
    }

    /// Describes what is missing now, also of what was found before.
    pub(super) fn missing(&self) -> Option<String> {
        match self.find() {
            Ok(resolved) if !self.cwd.is_dir() => {
                debug_assert!(resolved.program.is_absolute());
                Some(missing_folder(&self.cwd).1)
            }
            Ok(resolved) => {
                program::why_not(&resolved.program, &self.cwd, self.search.as_deref()).or_else(|| {
                    self.missing_script()
                        .map(|(_, message, hint)| format!("{message} ({hint})"))
                })
            }
            Err(missing) => Some(joined_messages(&missing)),
        }
    }

    /// Describes a script that cannot be read.
    fn missing_script(&self) -> Option<Missing> {
        let ScriptFile { at, text, package } = self.script.as_ref()?;
        let resolved = program::readable(text, *package, &self.cwd, self.search.as_deref());
        let (message, hint) = resolved.err()?;
        Some((NeedKind::Script(*at), message, hint))
    }

    /// Returns the program for display: its whole path, if it was found.
    pub(super) fn display_name(&self) -> String {
        match self.resolved.get() {
            Some(resolved) => resolved.program.display().to_string(),
            None => self.program.clone(),
        }
    }
}

/// Joins what is missing to the reason of a failed attempt.
pub(super) fn joined_messages(missing: &[Missing]) -> String {
    let words: Vec<&str> = missing.iter().map(|(_, message, _)| message.as_str()).collect();
    words.join("; ")
}

fn missing_folder(cwd: &Path) -> Missing {
    let display_name = cwd.display();
    (
        NeedKind::Cwd,
        format!("there is no folder `{display_name}`"),
        format!("mkdir -p {display_name}"),
    )
}

/// Merges the common variables with those of the user's account, which win.
fn with(
    base_environment: &[(&'static str, OsString)],
    rights: ResolvedAccount,
) -> Vec<(&'static str, OsString)> {
    let mut all = base_environment.to_vec();
    all.retain(|(name, _)| rights.variables.iter().all(|(other, _)| name != other));
    all.extend(rights.variables);
    all
}
