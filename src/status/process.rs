//! Figures of this process, from `/proc/self` (`proc(5)`) and its own clock.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Resource usage of this process. A figure that the kernel does not provide is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Resident memory, in bytes.
    pub resident: u64,
    /// Number of open file descriptors.
    pub descriptors: u64,
    /// Processor time in user and system mode together.
    pub cpu: Duration,
}

/// Reads the figures.
pub fn figures() -> Figures {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let descriptors = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    Figures {
        resident: kibibytes(&status) << 10,
        // Without the descriptor by which the folder was read.
        descriptors: (descriptors as u64).saturating_sub(1),
        cpu: Duration::try_from(cpu).unwrap_or_default(),
    }
}

/// Parses `VmRSS` in `/proc/PID/status`, in KiB.
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
    fn the_figures_of_this_process_are_known() {
        let figures = figures();
        assert!(
            figures.resident > 1 << 20 && figures.descriptors >= 3,
            "{figures:?}"
        );
        assert!(figures.cpu > Duration::ZERO, "{figures:?}");
    }
}
