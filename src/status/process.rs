//! Figures of this process, from `/proc/self` (`proc(5)`) and its own clock.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What the kernel says of this process; zero where it does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Resident memory, in bytes.
    pub resident: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Processor time, of user and system together.
    pub cpu: Duration,
}

/// Reads them.
pub fn figures() -> Figures {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let descriptors = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    Figures {
        resident: kibibytes(&status) << 10,
        // The one that the folder was read by is closed again.
        descriptors: (descriptors as u64).saturating_sub(1),
        cpu: Duration::try_from(cpu).unwrap_or_default(),
    }
}

/// `VmRSS` in `/proc/PID/status`, in KiB.
fn kibibytes(status: &str) -> u64 {
    let mut lines = status.lines();
    let resident = lines.find_map(|line| line.strip_prefix("VmRSS:"));
    resident
        .and_then(|line| line.split_ascii_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_figures() {
        let figures = figures();
        assert!(
            figures.resident > 1 << 20 && figures.descriptors >= 3,
            "{figures:?}"
        );
        assert!(figures.cpu > Duration::ZERO, "{figures:?}");
    }
}
