//! Information from `/proc`: the running commands of this test, and the open file descriptors of a
//! daemon.

use std::path::Path;

use super::scene::MARK;

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
