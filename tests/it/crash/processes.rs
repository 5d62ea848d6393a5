//! Information from `/proc`: the running commands of this test, and the open file descriptors of a
//! daemon.

use std::path::Path;
use std::time::Duration;

use super::scene::MARK;
use crate::scenario::PATIENCE;

/// Processes with this scenario's mark in their environment: commands and their children.
pub fn marked(folder: &Path) -> Vec<i32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| carries_mark(*pid, folder))
        .collect()
}

/// True if the process runs and belongs to this test. A zombie has no environment.
pub fn carries_mark(pid: i32, folder: &Path) -> bool {
    let mark = format!("{MARK}={}", folder.display());
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment
        .split(|byte| *byte == 0)
        .any(|variable| variable == mark.as_bytes())
}

/// Number of open file descriptors of a process, once it is stable.
pub fn idle_descriptors(pid: u32) -> usize {
    let count = || std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let (step, mut rested, mut last) = (Duration::from_millis(100), 0, count());
    for _ in 0..PATIENCE.as_millis() / step.as_millis() {
        std::thread::sleep(step);
        let now = count();
        rested = if now == last { rested + 1 } else { 0 };
        last = now;
        if rested >= 10 {
            break;
        }
    }
    last
}
