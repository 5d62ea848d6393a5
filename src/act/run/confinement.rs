//! Confinement of a command: another user, another niceness, or limits.
//!
//! The daemon starts itself as [`COMMAND`], which applies the settings to its own process and then
//! becomes the command. So the daemon always starts programs with `posix_spawn`, which is cheap:
//! settings in `Command` would first copy the tables of all its memory. The command's variables
//! travel under other names ([`PREFIX`]). Otherwise a variable such as `LD_PRELOAD` would affect a
//! process that may still be root.

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::Path;

use serde_json::json;
use tokio::process::Command;

use crate::act::outcome::Verdict;
use crate::act::run::identity::{Identity, ResolvedAccount};
use crate::act::run::limits::ResourceLimits;
use crate::act::run::session;
use crate::base::diagnostic::Diagnostics;
use crate::base::yaml::Node;
use crate::sys::fd_limit;

/// Subcommand that applies the settings and becomes the command.
pub const COMMAND: &str = "__exec";
/// Prefix of the command's variables until then.
pub const PREFIX: &str = "__exec_";
/// Prefix of the subcommand's error messages.
pub const COMPLAINT: &str = "hookyard __exec: ";
/// Exit code if a setting could not be applied. A retry does not help.
pub const NOT_SET: u8 = 125;
/// Exit code if the command could not be started. A retry may help.
pub const NOT_STARTED: u8 = 126;

/// Path of the daemon's own program. Names the running file, even if an update has replaced it.
const SELF: &str = "/proc/self/exe";
/// Values of `nice` that an ordinary process may use.
const NICE: std::ops::RangeInclusive<u8> = 0..=19;

/// Settings by which a command is confined.
#[derive(Clone, Debug)]
pub(super) struct Confinement {
    identity: Option<Identity>,
    nice: Option<u8>,
    limits: ResourceLimits,
    /// True if the command begins a session of its own, without the daemon's terminal.
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

    /// Adds the user. Returns `None` if nothing has to be set.
    pub(super) fn of(&self, resolved: &ResolvedAccount) -> Option<Self> {
        let is_set = self.session
            || resolved.identity.is_some()
            || self.nice.is_some()
            || self.limits != ResourceLimits::default();
        is_set.then(|| Self {
            identity: resolved.identity.clone(),
            ..self.clone()
        })
    }

    /// Builds the start of the daemon's own program, to become `program` in the folder `cwd`. The
    /// caller adds the arguments of `program`.
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
        // The subcommand enters the folder after it has become the user.
        let mut folder = OsString::from("--cwd=");
        folder.push(cwd);
        command.arg(folder).arg("--").arg(program).current_dir("/");
        command
    }

    /// True if the command begins a session, and thus a process group, by itself.
    pub(super) fn begins_session(&self) -> bool {
        self.session
    }

    /// Adds a description of the settings to `described`.
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

/// Returns the name under which a variable travels until the command starts.
pub(super) fn variable<'n>(name: &'n str, confinement: Option<&Confinement>) -> Cow<'n, str> {
    match confinement {
        None => Cow::Borrowed(name),
        Some(_) => Cow::Owned(format!("{PREFIX}{name}")),
    }
}

/// Returns why the command was not started, if this exit code and output come from the subcommand.
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
    fn errors_of_the_starter_are_distinguished_from_those_of_the_command() {
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
