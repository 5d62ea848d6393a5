//! Figures of this process, from `/proc/self` (`proc(5)`).

use std::fs;
use std::time::Duration;

/// Clock ticks in a second as `/proc` counts them: `USER_HZ`, which is 100 on every architecture of Linux that is in use.
const TICKS: u64 = 100;

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
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let descriptors = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    Figures {
        resident: kibibytes(&status) << 10,
        // The one that the folder was read by is closed again.
        descriptors: (descriptors as u64).saturating_sub(1),
        cpu: Duration::from_millis(ticks(&stat) * 1000 / TICKS),
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

/// `utime` and `stime` of a line of `/proc/PID/stat`. The name of the process, in parentheses, may hold anything.
fn ticks(stat: &str) -> u64 {
    let Some((_, rest)) = stat.rsplit_once(')') else {
        return 0;
    };
    // The state is the third field, utime the 14th.
    let fields = rest.split_ascii_whitespace().skip(11).take(2);
    fields.filter_map(|field| field.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_whatever_the_process_is_called() {
        let stat = "7 (a) b 1) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 1";
        assert_eq!(ticks(stat), 300);
        assert_eq!(ticks("nothing"), 0);
    }

    #[test]
    fn this_process_has_figures() {
        let figures = figures();
        assert!(
            figures.resident > 1 << 20 && figures.descriptors >= 3,
            "{figures:?}"
        );
    }
}
