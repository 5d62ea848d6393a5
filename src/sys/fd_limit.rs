//! Limit on open files: the daemon raises its own limit as far as needed, and bounds connections by
//! what is left.
//!
//! The usual limit is 1024, for old programs that use `select(2)`. Any process may raise it to a
//! far higher one. Idle connections must not use up the file descriptors of commands, forwards, the
//! store and the next reload: those have a reserve. Commands get the limit with which the daemon
//! was started.

use std::sync::OnceLock;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

/// File descriptors besides connections and deliveries: the store, logs, watches, listeners, the
/// admin socket, and rules and certificates while they are read.
const BASE: u64 = 256;
/// File descriptors of one delivery. A command needs its process, and both ends of its pipes while
/// it starts. A forward needs its connections, of which one may be kept for reuse.
const PER_DELIVERY: u64 = 8;

/// The original limit, if the daemon has changed it.
static BEFORE: OnceLock<Rlimit> = OnceLock::new();

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FdBudget {
    /// Maximum number of connections.
    pub connections: usize,
    /// Maximum number of open files.
    pub limit: u64,
}

/// Raises the limit of this process for these numbers of connections and deliveries, as far as
/// allowed. Returns the resulting budget.
pub fn raise(connections: usize, deliveries: usize) -> FdBudget {
    let before = getrlimit(Resource::Nofile);
    let (soft, hard) = (
        before.current.unwrap_or(u64::MAX),
        before.maximum.unwrap_or(u64::MAX),
    );
    let requested = needed(connections, deliveries).min(hard);
    let raised = Rlimit {
        current: Some(requested),
        maximum: before.maximum,
    };
    let mut limit = soft;
    if requested > soft && setrlimit(Resource::Nofile, raised).is_ok() {
        limit = requested;
        BEFORE.get_or_init(|| before);
    }
    FdBudget {
        connections: fitting_connections(limit, connections, deliveries),
        limit,
    }
}

/// Limit on open files for commands. `None`: the same as the daemon's.
pub fn of_commands() -> Option<u64> {
    BEFORE.get().and_then(|before| before.current)
}

/// Restores the original limit for a command that has just started. The command may see the
/// daemon's limit for a moment, which does little harm; an exact way would slow down the start. A
/// command that has already switched to another user keeps it.
pub fn give_back(command: Option<u32>) {
    let command = command
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(Pid::from_raw);
    if let (Some(before), Some(command)) = (BEFORE.get(), command) {
        prlimit(Some(command), Resource::Nofile, *before).ok();
    }
}

/// File descriptors needed in total.
fn needed(connections: usize, deliveries: usize) -> u64 {
    (connections as u64).saturating_add(reserve(deliveries))
}

/// File descriptors that connections may not use.
fn reserve(deliveries: usize) -> u64 {
    BASE.saturating_add(PER_DELIVERY.saturating_mul(deliveries as u64))
}

/// Number of connections within a limit. Of a low limit, connections get half.
fn fitting_connections(limit: u64, connections: usize, deliveries: usize) -> usize {
    let left = limit - reserve(deliveries).min(limit / 2);
    connections
        .min(usize::try_from(left).unwrap_or(usize::MAX))
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_their_deliveries() {
        assert_eq!(needed(1024, 128), 1024 + 256 + 1024);
        for (limit, connections, expected) in [
            (u64::MAX, 1024, 1024),
            (2304, 1024, 1024),
            (2048, 1024, 1024),
            (2000, 1024, 1000),
            (1024, 1024, 512),
            (1024, 100, 100),
            (64, 1024, 32),
            (1, 1024, 1),
        ] {
            assert_eq!(fitting_connections(limit, connections, 128), expected, "{limit}");
        }
    }
}
