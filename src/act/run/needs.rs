//! Requirements of a command on this machine: its program, its script, its folder, its user.
//!
//! The requirements are looked up at load. If something is missing, the rules load all the same.
//! Every attempt then looks again, and fails with a message that says what is missing. A complete
//! result is cached. If something disappears later, the command does not start.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::act::run::confinement::Confinement;
use crate::act::run::identity::{Who, Wish};
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
    pub(super) wish: Wish,
    /// Confinement, still without the user.
    pub(super) confinement: Confinement,
    /// Variables for every event, before those of the user's account: `PATH`, `HOME`, `LANG`.
    pub(super) surroundings: Vec<(&'static str, OsString)>,
    pub(super) found: OnceLock<Found>,
}

/// Requirements as they were found.
#[derive(Debug)]
pub(super) struct Found {
    /// Absolute path. With a relative one, a start would first copy the whole daemon.
    pub(super) program: PathBuf,
    pub(super) confinement: Option<Confinement>,
    pub(super) surroundings: Vec<(&'static str, OsString)>,
}

/// Kind of a missing requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Program,
    /// Script, with the position of its word.
    Script(usize),
    Cwd,
    User,
}

/// Missing requirement: its kind, a message and a hint.
pub(super) type Missing = (What, String, String);

impl Needs {
    /// Returns the cached result, or looks for everything now. The error lists what is missing, at
    /// least one thing. Reads files and accounts: not for an async worker, unless the result is
    /// cached.
    pub(super) fn find(&self) -> Result<&Found, Vec<Missing>> {
        if let Some(found) = self.found.get() {
            return Ok(found);
        }
        let mut missing = Vec::new();
        if !self.cwd.is_dir() {
            missing.push(no_folder(&self.cwd));
        }
        let program = program::find(&self.program, &self.cwd, self.search.as_deref());
        // A program below a missing folder is missing with it.
        let follows = !missing.is_empty() && self.program.contains('/');
        let program = program
            .map_err(|(message, hint)| (!follows).then(|| missing.push((What::Program, message, hint))))
            .ok();
        if missing.is_empty() {
            missing.extend(self.no_script());
        }
        let who = self.wish.look_up();
        let who = who
            .map_err(|(message, hint)| missing.push((What::User, message, hint)))
            .ok();
        match (program, who) {
            (Some(program), Some(who)) if missing.is_empty() => Ok(self.found.get_or_init(|| Found {
                program,
                confinement: self.confinement.of(&who),
                surroundings: with(&self.surroundings, who),
            })),
            _ => Err(missing),
        }
    }

    /// Describes what is missing now, also of what was found before.
    pub(super) fn missing(&self) -> Option<String> {
        match self.find() {
            Ok(found) if !self.cwd.is_dir() => {
                debug_assert!(found.program.is_absolute());
                Some(no_folder(&self.cwd).1)
            }
            Ok(found) => program::why_not(&found.program, &self.cwd, self.search.as_deref()).or_else(|| {
                self.no_script()
                    .map(|(_, message, hint)| format!("{message} ({hint})"))
            }),
            Err(missing) => Some(in_words(&missing)),
        }
    }

    /// Describes a script that cannot be read.
    fn no_script(&self) -> Option<Missing> {
        let ScriptFile { at, text, package } = self.script.as_ref()?;
        let found = program::readable(text, *package, &self.cwd, self.search.as_deref());
        let (message, hint) = found.err()?;
        Some((What::Script(*at), message, hint))
    }

    /// Returns the program for display: its whole path, if it was found.
    pub(super) fn shown(&self) -> String {
        match self.found.get() {
            Some(found) => found.program.display().to_string(),
            None => self.program.clone(),
        }
    }
}

/// Joins what is missing to the reason of a failed attempt.
pub(super) fn in_words(missing: &[Missing]) -> String {
    let words: Vec<&str> = missing.iter().map(|(_, message, _)| message.as_str()).collect();
    words.join("; ")
}

fn no_folder(cwd: &Path) -> Missing {
    let shown = cwd.display();
    (
        What::Cwd,
        format!("there is no folder `{shown}`"),
        format!("mkdir -p {shown}"),
    )
}

/// Merges the common variables with those of the user's account, which win.
fn with(surroundings: &[(&'static str, OsString)], who: Who) -> Vec<(&'static str, OsString)> {
    let mut all = surroundings.to_vec();
    all.retain(|(name, _)| who.variables.iter().all(|(other, _)| name != other));
    all.extend(who.variables);
    all
}
