//! How many files may be open: the daemon raises its own limit as far as it needs, and bounds what is let in by the rest.
//!
//! The usual limit is 1024, for the sake of old programs (`select(2)`), and anybody may raise it to a far higher one.
//! Connections that do nothing must not use up what commands, forwards, the store and the next reload need: those have a
//! reserve. Commands are given back the limit that the daemon was started with.

use std::sync::OnceLock;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

/// What the daemon holds beside connections and deliveries: the store, logs, watches, listeners, the operator's door,
/// files of rules and of certificates while they are read.
const BASE: u64 = 256;
/// What a delivery may hold: the pipes of a command, both ends of them while it starts, and its process; or the
/// connections of a forward, one of which may be kept for the next.
const PER_DELIVERY: u64 = 8;

/// The limit that the daemon was started with, if it has another one now.
static BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// What there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FdBudget {
    /// How many connections.
    pub connections: usize,
    /// How many files may be open.
    pub limit: u64,
}

/// Raises the limit of this process to what so many connections and deliveries need, or as far as may be, and says what
/// there is room for then.
pub fn raise(connections: usize, deliveries: usize) -> FdBudget {
    let before = getrlimit(Resource::Nofile);
    let (soft, hard) = (
        before.current.unwrap_or(u64::MAX),
        before.maximum.unwrap_or(u64::MAX),
    );
    let wanted = needed(connections, deliveries).min(hard);
    let raised = Rlimit {
        current: Some(wanted),
        maximum: before.maximum,
    };
    let mut limit = soft;
    if wanted > soft && setrlimit(Resource::Nofile, raised).is_ok() {
        limit = wanted;
        BEFORE.get_or_init(|| before);
    }
    FdBudget {
        connections: fitting(limit, connections, deliveries),
        limit,
    }
}

/// What a command is to have in place of the daemon's limit; none: the same.
pub fn of_commands() -> Option<u64> {
    BEFORE.get().and_then(|before| before.current)
}

/// Gives a command that was started just now the limit that the daemon had. It runs already, so it may have seen the
/// daemon's for a moment, which is not much higher; anything more exact would take a slow start. One that has become
/// somebody else meanwhile keeps it.
pub fn give_back(command: Option<u32>) {
    let command = command
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(Pid::from_raw);
    if let (Some(before), Some(command)) = (BEFORE.get(), command) {
        prlimit(Some(command), Resource::Nofile, *before).ok();
    }
}

/// All that is needed.
fn needed(connections: usize, deliveries: usize) -> u64 {
    (connections as u64).saturating_add(reserve(deliveries))
}

/// What is kept from connections.
fn reserve(deliveries: usize) -> u64 {
    BASE.saturating_add(PER_DELIVERY.saturating_mul(deliveries as u64))
}

/// How many of the connections fit into a limit. A low one is shared: half of it for either.
fn fitting(limit: u64, connections: usize, deliveries: usize) -> usize {
    let left = limit - reserve(deliveries).min(limit / 2);
    connections
        .min(usize::try_from(left).unwrap_or(usize::MAX))
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_what_they_bring_about() {
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
            assert_eq!(fitting(limit, connections, 128), expected, "{limit}");
        }
    }
}
