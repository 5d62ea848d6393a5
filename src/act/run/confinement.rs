//! A command that is not started as it is, but as another user, more politely, or with limits.
//!
//! The daemon starts itself, as [`COMMAND`], which sets all of that for its own process and then becomes the command.
//! So every start of the daemon's is a cheap one (`posix_spawn`): a change of user or limits within `Command` would copy
//! the tables of all its memory first. The command's own variables travel under other names ([`PREFIX`]): none of
//! them, `LD_PRELOAD` least of all, means anything to a process that may still be root.

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::Path;

use serde_json::json;
use tokio::process::Command;

use crate::act::outcome::Verdict;
use crate::act::run::identity::{Identity, Who};
use crate::act::run::limits::ResourceLimits;
use crate::act::run::session;
use crate::base::diagnostic::Diagnostics;
use crate::base::yaml::Node;
use crate::sys::fd_limit;

/// The subcommand that sets limits and becomes the command.
pub const COMMAND: &str = "__exec";
/// What the names of the command's variables begin with until then.
pub const PREFIX: &str = "__exec_";
/// What its complaints begin with.
pub const COMPLAINT: &str = "hookyard __exec: ";
/// Its exit code where something could not be set: trying again does not help.
pub const NOT_SET: u8 = 125;
/// Its exit code where the command could not be started then.
pub const NOT_STARTED: u8 = 126;

/// The daemon's own program: this very file, also after an update has replaced it.
const SELF: &str = "/proc/self/exe";
/// The least polite that an ordinary process may be, and the most.
const NICE: std::ops::RangeInclusive<u8> = 0..=19;

/// What a command is confined by.
#[derive(Clone, Debug)]
pub(super) struct Confinement {
    identity: Option<Identity>,
    nice: Option<u8>,
    limits: ResourceLimits,
    /// Whether it begins a session of its own, without the daemon's terminal.
    session: bool,
}

impl Confinement {
    /// Reads `nice` and `limits` of an action.
    pub(super) fn compile(node: Node<'_>, nice: Option<u8>, diagnostics: &mut Diagnostics) -> Self {
        if let (Some(false), Some(node)) = (nice.map(|nice| NICE.contains(&nice)), node.get("nice")) {
            diagnostics.push(node.error("limits", "`nice` is 0 to 19"));
        }
        let limits = node
            .get("limits")
            .and_then(|node| ResourceLimits::compile(node, diagnostics))
            .unwrap_or_default();
        Self {
            identity: None,
            nice,
            limits,
            session: session::is_needed(),
        }
    }

    /// The same as another user. Nothing where nothing is to be set.
    pub(super) fn of(&self, who: &Who) -> Option<Self> {
        let anything = self.session
            || who.identity.is_some()
            || self.nice.is_some()
            || self.limits != ResourceLimits::default();
        anything.then(|| Self {
            identity: who.identity.clone(),
            ..self.clone()
        })
    }

    /// The daemon itself, to become `program` in the folder `cwd`; the program's arguments are to follow.
    pub(super) fn command(&self, program: &Path, cwd: &Path) -> Command {
        let mut command = Command::new(SELF);
        command.arg0("hookyard").arg(COMMAND);
        if let Some(identity) = &self.identity {
            let groups: Vec<String> = identity.groups.iter().map(u32::to_string).collect();
            command
                .arg(format!("--uid={}", identity.uid))
                .arg(format!("--gid={}", identity.gid))
                .arg(format!("--groups={}", groups.join(",")));
        }
        if self.session {
            command.arg("--session");
        }
        if let Some(nice) = self.nice {
            command.arg(format!("--nice={nice}"));
        }
        for (name, value) in self.limits.each() {
            command.arg(format!("--{name}={value}"));
        }
        if let Some(descriptors) = fd_limit::of_commands() {
            command.arg(format!("--descriptors={descriptors}"));
        }
        // It goes there as the user that it becomes.
        let mut folder = OsString::from("--cwd=");
        folder.push(cwd);
        command.arg(folder).arg("--").arg(program).current_dir("/");
        command
    }

    /// Whether the command begins a session, and a process group with it, by itself.
    pub(super) fn begins_session(&self) -> bool {
        self.session
    }

    /// What it comes to, to be shown beside `described`.
    pub(super) fn describe(&self, described: &mut serde_json::Map<String, serde_json::Value>) {
        if let Some(Identity { uid, gid, groups }) = &self.identity {
            described.insert(
                "user".to_owned(),
                json!({"uid": uid, "gid": gid, "groups": groups}),
            );
        }
        if let Some(nice) = self.nice {
            described.insert("nice".to_owned(), json!(nice));
        }
        if self.limits != ResourceLimits::default() {
            described.insert("limits".to_owned(), self.limits.describe());
        }
    }
}

/// What a variable of the command is called until it is started.
pub(super) fn variable<'n>(name: &'n str, confinement: Option<&Confinement>) -> Cow<'n, str> {
    match confinement {
        None => Cow::Borrowed(name),
        Some(_) => Cow::Owned(format!("{PREFIX}{name}")),
    }
}

/// Why the command was not started, if it is that which has ended with this code and these last words.
pub(super) fn failure(code: i32, stderr: &[u8]) -> Option<(Verdict, String)> {
    let verdict = match u8::try_from(code).ok()? {
        NOT_SET => Verdict::Dead,
        NOT_STARTED => Verdict::FAILED,
        _ => return None,
    };
    let words = stderr.strip_prefix(COMPLAINT.as_bytes())?;
    let line = words.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Some((verdict, String::from_utf8_lossy(line).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_own_complaints_are_told_from_those_of_the_command() {
        let failed = |code, text: &str| failure(code, text.as_bytes());
        assert_eq!(
            failed(125, "hookyard __exec: cannot set `cpu`\nmore"),
            Some((Verdict::Dead, "cannot set `cpu`".to_owned()))
        );
        assert_eq!(
            failed(126, "hookyard __exec: cannot start\n"),
            Some((Verdict::FAILED, "cannot start".to_owned()))
        );
        for (code, text) in [
            (125, "docker: no"),
            (126, ""),
            (1, "hookyard __exec: x"),
            (-1, "hookyard __exec: x"),
        ] {
            assert_eq!(failed(code, text), None, "{code} {text}");
        }
    }
}
