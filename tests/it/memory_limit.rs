//! The daemon under a limit on its memory, as systemd's `MemoryMax` sets it: a control group of its own.
//!
//! The test is skipped, and says so, where control groups cannot be written. That takes root.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::flood::{affordable, honest, partial_bodies, rules};
use crate::scenario::Scenario;

/// The limit, in bytes.
const LIMIT: u64 = 512 << 20;
/// The most memory that may stay with the daemon once all connections are closed, in bytes.
const REMAINDER: u64 = 160 << 20;
/// Control groups of version 1 and 2: the folder, the file of the limit, and the file of the memory
/// in use.
const VERSIONS: [(&str, &str, &str); 2] = [
    (
        "/sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
    ),
    ("/sys/fs/cgroup", "memory.max", "memory.current"),
];

/// A control group with a limit on memory. It is removed when this is dropped, which is after its processes have ended.
struct Group {
    folder: PathBuf,
    usage: &'static str,
}

impl Group {
    fn new() -> Option<Self> {
        VERSIONS.into_iter().find_map(|(parent, limit, usage)| {
            let folder = Path::new(parent).join(format!("hookyard-test-{}", std::process::id()));
            std::fs::create_dir(&folder).ok()?;
            let group = Self { folder, usage };
            let limit = group.folder.join(limit);
            // In a folder that is no control group the write would make a file.
            (limit.exists() && std::fs::write(limit, LIMIT.to_string()).is_ok()).then_some(group)
        })
    }

    fn add(&self, process: u32) {
        std::fs::write(self.folder.join("cgroup.procs"), process.to_string()).unwrap();
    }

    fn usage(&self) -> u64 {
        let usage = std::fs::read_to_string(self.folder.join(self.usage)).unwrap();
        usage.trim().parse().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        std::fs::remove_dir(&self.folder).ok();
    }
}

#[test]
fn seven_hundred_half_sent_bodies_fit_into_half_a_gibibyte() {
    let Some(group) = Group::new() else {
        eprintln!("skipped: no control group can be made here");
        return;
    };
    let daemon = Scenario::new()
        .rules(&rules("request_timeout: 2m"))
        // As the unit sets them.
        .env("MALLOC_ARENA_MAX", "4")
        .env("MALLOC_MMAP_THRESHOLD_", "65536")
        .env("MALLOC_TRIM_THRESHOLD_", "131072")
        .start();
    group.add(daemon.pid());
    honest(&daemon, 5);
    let senders = partial_bodies(&daemon, affordable(700), 1 << 20, [127, 0, 0, 2]);
    let slowest = honest(&daemon, 20);
    let held = group.usage();
    eprintln!("slowest honest request {slowest:?}, {} MiB in use", held >> 20);
    assert!(slowest < Duration::from_secs(10), "{slowest:?}");
    assert!(
        daemon.log().contains("`max_inflight` reached"),
        "{}",
        daemon.log()
    );
    drop(senders);
    daemon.eventually("memory returns", || group.usage() < REMAINDER.min(held));
    eprintln!("{} MiB stay in use", group.usage() >> 20);
    honest(&daemon, 5);
}
