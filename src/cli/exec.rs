//! `__exec`: becomes a command with another user, niceness, or limits.
//!
//! Only the daemon starts this command; see `act`. The process has one thread. Its settings are
//! applied in an order in which none undoes an earlier one: the user with its groups,
//! `no_new_privs`, the niceness, the folder. A check makes sure that the user took effect. Limits
//! come last, since they would also bind the remaining steps. If any step fails, the command is not
//! started.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use nix::unistd::{Gid, Uid, getgroups, getresgid, getresuid, setgroups, setresgid, setresuid};
use rustix::fs::{FileType, fchown, fstat};
use rustix::process::{
    self, Resource, Rlimit, getpriority_process, getrlimit, setpriority_process, setrlimit,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, no_new_privs, set_capabilities,
    set_no_new_privs,
};

use crate::act::exec::{COMPLAINT, NOT_SET, NOT_STARTED, PREFIX};
use crate::cli::complain;
use crate::config;

/// Seconds from SIGXCPU, which a program may handle, to the kill.
const MERCY: u64 = 2;
/// The kernel's error "Argument list too long".
const E2BIG: i32 = 7;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// User id.
    #[arg(long, requires = "gid")]
    uid: Option<u32>,
    /// Group id.
    #[arg(long, requires = "uid")]
    gid: Option<u32>,
    /// Supplementary groups.
    #[arg(long, value_delimiter = ',')]
    groups: Vec<u32>,
    /// Start a session, detached from the daemon's terminal.
    #[arg(long)]
    session: bool,
    /// Niceness.
    #[arg(long)]
    nice: Option<i32>,
    /// Limit on processor time, in seconds.
    #[arg(long)]
    cpu: Option<u64>,
    /// Limit on data, in bytes.
    #[arg(long)]
    memory: Option<u64>,
    /// Limit on open files.
    #[arg(long)]
    files: Option<u64>,
    /// Soft limit on open files, which the command may raise. `files` is applied after it.
    #[arg(long)]
    descriptors: Option<u64>,
    /// Limit on the user's processes.
    #[arg(long)]
    processes: Option<u64>,
    /// Working directory.
    #[arg(long)]
    cwd: PathBuf,
    /// Absolute path of the program.
    #[arg(required = true)]
    program: OsString,
    /// Arguments of the program.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<OsString>,
}

/// Reason why the command was not started, with the exit code.
struct StartFailure {
    code: u8,
    words: String,
}

/// Becomes the command, or reports why not.
pub fn run(arguments: &Arguments) -> u8 {
    let Err(StartFailure { code, words }) = become_command(arguments);
    complain(&format!("{COMPLAINT}{words}"));
    code
}

fn become_command(arguments: &Arguments) -> Result<Infallible, StartFailure> {
    if arguments.session {
        process::setsid().map_err(not_set("the session"))?;
    }
    if let (Some(uid), Some(gid)) = (arguments.uid, arguments.gid) {
        if [uid, gid].contains(&u32::MAX) {
            return Err(not_set("the user")("to the kernel that number means `as it is`"));
        }
        hand_over_pipes(uid, gid);
        become_user(uid, gid, &arguments.groups)?;
    }
    if let Some(nice) = arguments.nice {
        be_nice(nice).map_err(not_set("the niceness"))?;
    }
    let cwd = arguments.cwd.display();
    std::env::set_current_dir(&arguments.cwd)
        .map_err(|error| not_started(format!("cannot enter `{cwd}`: {error}")))?;
    let mut command = Command::new(&arguments.program);
    command.args(&arguments.rest).env_clear();
    for (name, value) in config::environment() {
        if let Some(name) = name.into_vec().strip_prefix(PREFIX.as_bytes()) {
            command.env(OsStr::from_bytes(name), value);
        }
    }
    if let Some(soft) = arguments.descriptors {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let current = Some(soft);
        setrlimit(Resource::Nofile, Rlimit { current, maximum }).map_err(not_set("the open files"))?;
    }
    let limits = [
        (Resource::Nproc, arguments.processes, 0, "`processes`"),
        (Resource::Nofile, arguments.files, 0, "`files`"),
        (Resource::Cpu, arguments.cpu, MERCY, "`cpu`"),
        (Resource::Data, arguments.memory, 0, "`memory`"),
    ];
    for (resource, value, more, name) in limits {
        if let Some(value) = value {
            limit(resource, value, more).map_err(not_set(name))?;
        }
    }
    let error = command.exec();
    let program = arguments.program.display();
    let failure = not_started(format!("cannot start `{program}`: {error}"));
    Err(match error.raw_os_error() {
        Some(E2BIG) => StartFailure {
            code: NOT_SET,
            ..failure
        },
        _ => failure,
    })
}

/// Gives the pipes to the daemon to the user, who otherwise could not open `/dev/stdout`. If that
/// is not allowed, the pipes themselves still work.
fn hand_over_pipes(uid: u32, gid: u32) {
    let owner = process::Uid::from_raw(uid);
    let group = process::Gid::from_raw(gid);
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    for pipe in [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()] {
        // Pipes only, since `/dev/null` and the like are shared.
        if fstat(pipe).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo) {
            fchown(pipe, Some(owner), Some(group)).ok();
        }
    }
}

/// Takes the user's rights, exactly and irrevocably.
fn become_user(uid: u32, gid: u32, groups: &[u32]) -> Result<(), StartFailure> {
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
    let wanted: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
    setgroups(&wanted).map_err(not_set("the groups"))?;
    setresgid(group, group, group).map_err(not_set("the group"))?;
    setresuid(user, user, user).map_err(not_set("the user"))?;
    if !user.is_root() {
        // The kernel drops capabilities when root changes its user, but not those of another user.
        let none = CapabilitySet::empty();
        let none = CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        };
        clear_ambient_capability_set().map_err(not_set("the capabilities"))?;
        set_capabilities(None, none).map_err(not_set("the capabilities"))?;
    }
    set_no_new_privs(true).map_err(not_set("`no_new_privs`"))?;
    if took_effect(user, group, groups).unwrap_or(false) {
        Ok(())
    } else {
        Err(not_set("the user")("it did not take effect"))
    }
}

/// True if this process is the user's, and cannot change back.
fn took_effect(user: Uid, group: Gid, groups: &[u32]) -> io::Result<bool> {
    let (uids, gids) = (getresuid()?, getresgid()?);
    let sorted = |mut groups: Vec<u32>| {
        groups.sort_unstable();
        groups.dedup();
        groups
    };
    let have = sorted(getgroups()?.into_iter().map(Gid::as_raw).collect());
    let root = Uid::from_raw(0);
    Ok([uids.real, uids.effective, uids.saved] == [user; 3]
        && [gids.real, gids.effective, gids.saved] == [group; 3]
        && have == sorted(groups.to_vec())
        && no_new_privs()?
        && (user.is_root() || setresuid(root, root, root).is_err()))
}

/// Raises the niceness. A higher one is kept, since lowering it needs rights.
fn be_nice(nice: i32) -> io::Result<()> {
    if getpriority_process(None)? < nice {
        setpriority_process(None, nice)?;
    }
    Ok(())
}

/// Sets a limit, at most to the current maximum.
fn limit(resource: Resource, value: u64, more: u64) -> io::Result<()> {
    let ceiling = getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let limit = Rlimit {
        current: Some(value.min(ceiling)),
        maximum: Some(value.saturating_add(more).min(ceiling)),
    };
    Ok(setrlimit(resource, limit)?)
}

/// Reports a setting that failed.
fn not_set<E: Display>(what: &str) -> impl Fn(E) -> StartFailure {
    move |error| StartFailure {
        code: NOT_SET,
        words: format!("cannot set {what}: {error}"),
    }
}

/// Reports that the settings took effect, but the command did not start.
fn not_started(words: String) -> StartFailure {
    StartFailure {
        code: NOT_STARTED,
        words,
    }
}
