//! The session of a command: a command that asks on `/dev/tty` must fail at once, not wait for an operator.
//!
//! A daemon that systemd starts has no terminal, nor have its commands. One that is tried in a terminal hands that on:
//! `ssh` or `sudo` would ask there, and wait until the command's time is up. Such a daemon starts each command
//! through [`exec::COMMAND`](super::exec::COMMAND), which begins a session of its own. That costs a second start
//! of a program. In the usual case nothing is paid.

use std::fs::File;
use std::sync::OnceLock;

/// Whether the daemon has a terminal that commands could ask on.
static TERMINAL: OnceLock<bool> = OnceLock::new();

/// Looks whether this process has a terminal. To be called once, by the daemon, before rules are loaded.
pub fn note_terminal() {
    TERMINAL.get_or_init(|| File::open("/dev/tty").is_ok());
}

/// Whether commands need a session of their own.
pub(super) fn is_needed() -> bool {
    TERMINAL.get().copied().unwrap_or(false)
}
