//! Process group of a command.
//!
//! The group is signalled as a whole, so that no grandchild outlives the command's time.

use std::fs;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{
    Pid, Signal, WaitOptions, kill_process, kill_process_group, test_kill_process_group, waitpgid,
};
use tokio::process::Child;
use tokio::time::{sleep, timeout};

/// Interval between two checks that the group has ended.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// Number of checks per search through all processes of the machine for those of the group.
const CHECKS_PER_SEARCH: u32 = 10;
/// Maximum time for the kernel to end a killed process. Only uninterruptible sleep takes longer.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// Process group of a command. If it is dropped before the command has ended, the group is killed:
/// an abandoned attempt must not go on.
#[derive(Debug)]
pub struct ProcessGroup {
    leader: Option<Pid>,
    armed: bool,
}

impl ProcessGroup {
    /// Returns the group that this child leads.
    pub fn of(child: &Child) -> Self {
        let leader = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        Self { leader, armed: true }
    }

    /// Leaves the group alone from now on. The leader has ended and is reaped.
    pub fn release(&mut self) {
        self.armed = false;
    }

    /// Sends TERM, waits up to `grace` for the whole group to end, and sends KILL. Reaps the
    /// leader.
    pub async fn terminate(&mut self, child: &mut Child, grace: Duration) -> Option<ExitStatus> {
        if !self.signal(Signal::TERM)
            && let Some(leader) = self.leader
        {
            // The leader has no group yet. The leader is not reaped, so its number is still its
            // own.
            kill_process(leader, Signal::TERM).ok();
        }
        let mut status = None;
        let ended = timeout(grace, async {
            status = child.wait().await.ok();
            // The leader is gone, but its children may ignore TERM.
            self.reap();
            for check in 1_u32.. {
                if !self.exists() || (check % CHECKS_PER_SEARCH == 0 && self.is_dead()) {
                    break;
                }
                sleep(CHECK_INTERVAL).await;
                self.reap();
            }
        })
        .await;
        if ended.is_err() {
            self.signal(Signal::KILL);
            // A fork in progress survives the first signal.
            sleep(CHECK_INTERVAL).await;
            self.signal(Signal::KILL);
        }
        if status.is_none() {
            status = timeout(KILL_LIMIT, child.wait()).await.ok().and_then(Result::ok);
        }
        self.release();
        status
    }

    /// Signals the whole group. Returns false if there is no such group.
    fn signal(&self, signal: Signal) -> bool {
        self.leader
            .is_some_and(|leader| kill_process_group(leader, signal).is_ok())
    }

    /// Reaps processes of the group that have lost their parent and become children of the daemon.
    /// If the daemon is process 1, no other process reaps them, and they still count as part of the
    /// group. The leader's status is already read and cannot be lost.
    fn reap(&self) {
        while let Some(leader) = self.leader
            && let Ok(Some(_)) = waitpgid(leader, WaitOptions::NOHANG)
        {}
    }

    /// True if only dead processes that are not reaped are left of the group. If their parent is
    /// slow, waiting for them would use up the whole grace period.
    fn is_dead(&self) -> bool {
        let Some(leader) = self.leader else { return true };
        let group = leader.as_raw_nonzero().to_string();
        let Ok(processes) = fs::read_dir("/proc") else {
            return false;
        };
        let mut of_group = processes.filter_map(|process| {
            let stat = fs::read_to_string(process.ok()?.path().join("stat")).ok()?;
            let (state, of) = state_and_group(&stat)?;
            (of == group).then(|| state.to_owned())
        });
        // If the processes of other users are hidden, none may be visible. Then nothing is known.
        let Some(first) = of_group.next() else {
            return false;
        };
        first == "Z" && of_group.all(|state| state == "Z")
    }

    /// True if any process of the group is left.
    fn exists(&self) -> bool {
        self.leader
            .is_some_and(|leader| test_kill_process_group(leader).is_ok())
    }
}

/// Parses state and process group in a line of `/proc/PID/stat` (`proc_pid_stat(5)`). The name of
/// the process, in parentheses, may hold anything.
fn state_and_group(stat: &str) -> Option<(&str, &str)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    Some((state, fields.nth(1)?))
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if self.armed {
            self.signal(Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;

    use super::*;

    #[test]
    fn state_and_group_are_found_whatever_the_process_is_called() {
        let stat = "7 (a) Z 9) S 1 42 42 0 -1 4194304";
        assert_eq!(state_and_group(stat), Some(("S", "42")));
        assert_eq!(state_and_group("7 (cut"), None);
    }

    #[test]
    fn a_group_of_dead_processes_is_dead_although_not_reaped() {
        let start = |program: &str, argument: &str| {
            let mut command = std::process::Command::new(program);
            let child = command.arg(argument).process_group(0).spawn().unwrap();
            let leader = Pid::from_raw(i32::try_from(child.id()).unwrap());
            let group = ProcessGroup { leader, armed: false };
            (child, group)
        };
        let (mut living, group) = start("sleep", "60");
        assert!(group.exists() && !group.is_dead());
        living.kill().unwrap();
        // Dead, and not reaped yet.
        while !group.is_dead() {
            std::thread::sleep(CHECK_INTERVAL);
        }
        assert!(group.exists());
        living.wait().unwrap();
        assert!(!group.exists());
    }
}
