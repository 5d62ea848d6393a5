//! Faults of the crash test: `kill -9` of the daemon and of its commands, stops, rewritten and
//! broken rules, a full disk.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};

use super::dice::Dice;
use super::processes;
use super::scene;
use super::senders::Senders;
use crate::scenario::{Daemon, Target};

/// Bytes by which the largest file of an action may still grow while the disk is full for the
/// store.
const ROOM: u64 = 32 << 10;

/// State of the fault injection.
pub struct Befallen {
    dice: Dice,
    /// Address of the target in the rules.
    target: String,
    /// Process ids of the daemons, in order.
    pub lives: Vec<i32>,
    /// Killed commands, each with the index of the daemon at that time.
    pub killed: BTreeSet<(usize, i32)>,
    pub figures: Figures,
}

/// Counts of the faults.
#[derive(Default)]
pub struct Figures {
    pub kills: u64,
    stops: u64,
    commands: u64,
    editions: u64,
    reloads: u64,
    broken: u64,
    full: u64,
}

impl fmt::Display for Figures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kills,
            stops,
            commands,
            editions,
            reloads,
            broken,
            full,
        } = self;
        write!(
            out,
            "befallen: {kills} kills and {stops} stops of the daemon, {commands} kills of its processes; {editions} other \
             rules written and {reloads} reloaded, {broken} broken ones; {full} full disks"
        )
    }
}

impl Befallen {
    /// Starts with a daemon in its first life.
    pub fn new(daemon: &Daemon, target: &Target, dice: Dice) -> Self {
        Self {
            dice,
            target: target.url(),
            lives: vec![pid(daemon)],
            killed: BTreeSet::new(),
            figures: Figures::default(),
        }
    }

    /// Lets the daemon run for a while with random faults, ends it, and starts it again.
    pub fn one_life(&mut self, daemon: &mut Daemon, senders: &Senders) {
        // From very short to well under way, and sometimes longer.
        let mut left = match self.dice.below(20) {
            0 => 800,
            1..5 => self.dice.below(300),
            _ => self.dice.below(120),
        };
        while left > 0 {
            let rest = self.dice.below(60).clamp(1, left);
            left -= rest;
            std::thread::sleep(Duration::from_millis(rest));
            match self.dice.below(10) {
                0 | 1 => {
                    let broken = self.dice.once_in(3);
                    self.write_rules(daemon, broken);
                    // At once, or after the watcher has seen the change.
                    if self.dice.once_in(2) {
                        kill_process(Pid::from_raw(pid(daemon)).unwrap(), Signal::HUP).unwrap();
                    }
                }
                2 => self.fill_disk(daemon),
                3 => limit_files(daemon, None),
                4..6 => self.kill_command(daemon.folder()),
                _ => {}
            }
        }
        self.figures.reloads += daemon.log().matches(" reloaded ").count() as u64;
        daemon.still_runs();
        if self.dice.once_in(12) {
            // With a full disk, the daemon waits for its store until a second signal.
            limit_files(daemon, None);
            assert_eq!(daemon.stop(), Some(0), "{}", daemon.log());
            self.figures.stops += 1;
        } else {
            daemon.kill();
            self.figures.kills += 1;
        }
        // The daemon would not start with broken rules.
        self.write_rules(daemon, false);
        let (life, draft) = (daemon.folder().join("life"), daemon.folder().join("draft.life"));
        std::fs::write(&draft, format!("{}\n", self.lives.len())).unwrap();
        std::fs::rename(draft, life).unwrap();
        daemon.start();
        self.lives.push(pid(daemon));
        senders.turn_to(daemon.address);
    }

    /// Writes another edition of the rules, or rules that do not load.
    fn write_rules(&mut self, daemon: &Daemon, broken: bool) {
        self.figures.editions += 1;
        let mut text = scene::rules(daemon.folder(), &self.target, self.figures.editions);
        if broken {
            self.figures.broken += 1;
            text.push_str("  - {name: record, endpont: /in}\n");
        }
        let (rules, draft) = (
            daemon.folder().join("rules.yaml"),
            daemon.folder().join("draft.yaml"),
        );
        if self.dice.once_in(2) {
            std::fs::write(rules, text).unwrap();
        } else {
            std::fs::write(&draft, text).unwrap();
            std::fs::rename(draft, rules).unwrap();
        }
    }

    /// Kills a command or one of its child processes.
    fn kill_command(&mut self, folder: &Path) {
        let running = processes::marked(folder);
        if running.is_empty() {
            return;
        }
        let chosen = self.dice.below(running.len() as u64);
        let pid = running[usize::try_from(chosen).unwrap()];
        // Recorded first: output that is missing by now may never come.
        self.killed.insert((self.lives.len() - 1, pid));
        // The command may have ended by itself.
        if processes::carries_mark(pid, folder)
            && kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).is_ok()
        {
            self.figures.commands += 1;
        }
    }

    /// Makes the disk full for the store, but not for actions: limits the file size to a value that
    /// only the store has already passed.
    fn fill_disk(&mut self, daemon: &Daemon) {
        let size = |name: &str| std::fs::metadata(daemon.folder().join(name)).map_or(0, |file| file.len());
        let files = ["first.txt", "second.txt", "run.txt", "turns.txt", "failing.txt"];
        let limit = files.map(size).into_iter().max().unwrap_or(0) + ROOM;
        if size("hookyard.db") > limit {
            limit_files(daemon, Some(limit));
            self.figures.full += 1;
        }
    }
}

/// Stops the daemon while endless commands run, some of them after their timeout. Asserts that no
/// process is left.
pub fn nothing_outlives_a_stop(daemon: &mut Daemon) {
    for (kind, numbers) in [("hanging", 0..3), ("endless", 3..6)] {
        for n in numbers {
            let body = format!(r#"{{"n": {n}, "kind": "{kind}"}}"#);
            let answer = daemon.post("/in").json(body).github(scene::SECRET).send();
            assert_eq!(answer.outcome(), (200, "accepted".to_owned()));
        }
    }
    daemon.eventually("the commands hang", || daemon.lines("hanging.txt") == 6);
    daemon.eventually("those whose time is up are stopped", || {
        daemon.log().matches("rule=\"hanging\"").count() >= 3 && processes::marked(daemon.folder()).len() == 9
    });
    assert_eq!(daemon.stop(), Some(0));
    let left = processes::marked(daemon.folder());
    assert!(left.is_empty(), "they outlive the stop: {left:?}");
}

/// Limits the size of files that the daemon writes, or removes the limit.
fn limit_files(daemon: &Daemon, limit: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    let limit = Rlimit {
        current: limit.or(maximum),
        maximum,
    };
    prlimit(Pid::from_raw(pid(daemon)), Resource::Fsize, limit).unwrap();
}

/// The daemon's process id, as commands see it.
fn pid(daemon: &Daemon) -> i32 {
    i32::try_from(daemon.pid()).unwrap()
}
