//! Session of a command: a command that asks on `/dev/tty` must fail at once, not wait for an
//! operator.
//!
//! A daemon that systemd starts has no terminal, and its commands have none either. A daemon that
//! is started in a terminal passes it on, so `ssh` or `sudo` would ask there until the command
//! times out. Such a daemon starts each command through [`exec::COMMAND`](super::exec::COMMAND),
//! which begins a session of its own. The price is a second start of a program, but only in this
//! case.

use std::fs::File;
use std::sync::OnceLock;

/// True if the daemon has a terminal on which commands could ask.
static TERMINAL: OnceLock<bool> = OnceLock::new();

/// Checks that this process has a terminal. The daemon calls it once, before rules are loaded.
pub fn note_terminal() {
    TERMINAL.get_or_init(|| File::open("/dev/tty").is_ok());
}

/// True if commands need a session of their own.
pub(super) fn is_needed() -> bool {
    TERMINAL.get().copied().unwrap_or(false)
}
