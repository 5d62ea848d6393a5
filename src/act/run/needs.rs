//! What a command needs of this machine: its program, its folder, its user.
//!
//! All of it is looked for when the rules are loaded. What is missing then does not keep the rules from loading: the
//! attempts at the command fail and say what is missing, and each looks again. What was found is not looked for again;
//! if it is gone, the command does not start.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::act::run::confinement::Confinement;
use crate::act::run::identity::{Who, Wish};
use crate::act::run::program;

/// What a command needs.
#[derive(Debug)]
pub(super) struct Needs {
    /// As the rules file names it.
    pub(super) program: String,
    /// The `PATH` of the command; unknown if it depends on the event.
    pub(super) search: Option<OsString>,
    pub(super) cwd: PathBuf,
    pub(super) wish: Wish,
    /// What it is confined by, whoever it runs as.
    pub(super) confinement: Confinement,
    /// What is the same for every event, whoever it runs as: `PATH`, `HOME`, `LANG`.
    pub(super) surroundings: Vec<(&'static str, OsString)>,
    pub(super) found: OnceLock<Found>,
}

/// What was found of it.
#[derive(Debug)]
pub(super) struct Found {
    /// Absolute: only so is the program started without a copy of the whole daemon being made first.
    pub(super) program: PathBuf,
    pub(super) confinement: Option<Confinement>,
    pub(super) surroundings: Vec<(&'static str, OsString)>,
}

/// What is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Program,
    Cwd,
    User,
}

/// Something that is missing: what, in which words, and what would help.
pub(super) type Missing = (What, String, String);

impl Needs {
    /// What was found before, or is found now; else what is missing, at least one thing. It looks at files and accounts:
    /// not for an async worker, unless it was found before.
    pub(super) fn find(&self) -> Result<&Found, Vec<Missing>> {
        if let Some(found) = self.found.get() {
            return Ok(found);
        }
        let mut missing = Vec::new();
        if !self.cwd.is_dir() {
            missing.push(no_folder(&self.cwd));
        }
        let program = program::find(&self.program, &self.cwd, self.search.as_deref());
        // A program below a folder that is missing is missing with it.
        let follows = !missing.is_empty() && self.program.contains('/');
        let program = program
            .map_err(|(message, hint)| (!follows).then(|| missing.push((What::Program, message, hint))))
            .ok();
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

    /// What is missing now, in words; also of what was found before.
    pub(super) fn missing(&self) -> Option<String> {
        match self.find() {
            Ok(found) if !self.cwd.is_dir() => {
                debug_assert!(found.program.is_absolute());
                Some(no_folder(&self.cwd).1)
            }
            Ok(found) => program::why_not(&found.program, &self.cwd, self.search.as_deref()),
            Err(missing) => Some(in_words(&missing)),
        }
    }

    /// The program as it is shown: whole where it was found.
    pub(super) fn shown(&self) -> String {
        match self.found.get() {
            Some(found) => found.program.display().to_string(),
            None => self.program.clone(),
        }
    }
}

/// What is missing, as the reason of an attempt.
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

/// What every command finds around it, with what the account of its user says in place of the daemon's own.
fn with(surroundings: &[(&'static str, OsString)], who: Who) -> Vec<(&'static str, OsString)> {
    let mut all = surroundings.to_vec();
    all.retain(|(name, _)| who.variables.iter().all(|(other, _)| name != other));
    all.extend(who.variables);
    all
}
