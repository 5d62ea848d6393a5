//! The process of a node, as other nodes of its machine find it.
//!
//! A daemon that starts again after a crash need not wait until its predecessor has been silent for
//! long enough: its process is gone.

use std::fs;

use rustix::io::Errno;
use rustix::process::{Pid, getpid, test_kill_process};

/// The columns `machine` and `process` of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeProcess {
    /// Boot of the machine, and namespace of its process ids. Processes of another one are unknown.
    pub machine: String,
    /// Process id and start of the process.
    pub process: String,
}

impl NodeProcess {
    /// This process. The columns are empty if the machine does not tell.
    pub fn own() -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        let pid = getpid();
        let known = (!boot.is_empty()).then(|| started(pid)).flatten();
        match known {
            Some(started) => Self {
                machine: format!("{} {}", boot.trim(), namespace.display()),
                process: format!("{} {started}", pid.as_raw_nonzero()),
            },
            None => Self {
                machine: String::new(),
                process: String::new(),
            },
        }
    }

    /// True if the process of another node ran on this machine and has ended. False if that is not
    /// known.
    pub fn has_seen_the_end_of(&self, other: &Self) -> bool {
        if self.machine.is_empty() || self.machine != other.machine || self.process == other.process {
            return false;
        }
        let mut parts = other.process.split(' ');
        let pid = parts
            .next()
            .and_then(|pid| pid.parse().ok())
            .and_then(Pid::from_raw);
        let (Some(pid), Some(began)) = (pid, parts.next()) else {
            return false;
        };
        match test_kill_process(pid) {
            Err(Errno::SRCH) => true,
            // Another process has got its id. If /proc hides it, it may be the same one.
            _ => started(pid).is_some_and(|now| now != began),
        }
    }
}

/// Start of a process, in ticks since the boot.
fn started(pid: Pid) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The name of the program comes second, in parentheses, and may have blanks and parentheses.
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_that_ended_is_seen_to_be_gone_and_no_other_is() {
        let own = NodeProcess::own();
        assert!(!own.machine.is_empty());
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        let other = NodeProcess {
            process: format!("{} {}", child.id(), started(pid).unwrap()),
            ..own.clone()
        };
        let earlier = NodeProcess {
            process: format!("{} 1", child.id()),
            ..own.clone()
        };
        let elsewhere = NodeProcess {
            machine: "another boot".to_owned(),
            ..earlier.clone()
        };
        assert!(!own.has_seen_the_end_of(&own) && !own.has_seen_the_end_of(&other));
        assert!(own.has_seen_the_end_of(&earlier), "its id was given again");
        assert!(!own.has_seen_the_end_of(&elsewhere));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(own.has_seen_the_end_of(&other));
    }
}
