//! What systemd is told: ready, reloading, stopping, alive; and one line of what is going on, which `systemctl status`
//! shows. Without systemd all of it is nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio_util::sync::CancellationToken;

use crate::base::live::Live;
use crate::config;
use crate::rules::RuleSet;
use crate::status::LastReload;
use crate::store::{Counts, Store};
use crate::sys::heartbeat::Heartbeat;
use crate::sys::systemd::Notifier;

/// How often it is looked how long the queue is.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Sockets are bound, the rules are in force.
const READY: &str = "READY=1";

/// Tells the line of status.
#[derive(Debug)]
pub struct SystemdStatus {
    supervisor: Notifier,
    addresses: String,
    /// The rules that the daemon has started with: some of what they say is in force until it ends.
    started: Arc<RuleSet>,
    /// The rules in force.
    live: Arc<Live<RuleSet>>,
    /// The last reload.
    reloads: Arc<Live<Option<LastReload>>>,
    told: Mutex<LastSent>,
}

/// What was told last.
#[derive(Debug)]
struct LastSent {
    /// The queue; none where the store could not tell.
    queue: Option<Counts>,
    line: String,
}

impl SystemdStatus {
    /// What is known at the start.
    pub fn new(
        live: &Arc<Live<RuleSet>>,
        reloads: &Arc<Live<Option<LastReload>>>,
        addresses: &[String],
    ) -> Self {
        Self {
            supervisor: Notifier::new(config::variable),
            addresses: addresses.join(", "),
            started: live.current(),
            live: Arc::clone(live),
            reloads: Arc::clone(reloads),
            told: Mutex::new(LastSent {
                queue: Some(Counts::default()),
                line: String::new(),
            }),
        }
    }

    /// Sockets are bound and requests are answered.
    pub fn ready(&self) {
        self.tell_with(|_| (), Some(READY));
    }

    /// A reload has ended; whether somebody `asked` for it: he waits to hear that it is over, also where nothing has
    /// changed.
    pub fn reloaded(&self, asked: bool) {
        self.tell_with(|_| (), asked.then_some(READY));
    }

    /// A reload has begun that somebody asked for.
    pub fn reloading(&self) {
        // With the moment, by which systemd tells this reload from one that had begun before it asked (`notify-reload`).
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
        self.supervisor
            .tell(&["RELOADING=1", &format!("MONOTONIC_USEC={micros}")]);
    }

    /// Nothing new is taken.
    pub fn stopping(&self) {
        let line = "STATUS=stopping: what is under way comes to its end";
        self.supervisor.tell(&["STOPPING=1", line]);
    }

    /// Every part lives.
    pub fn alive(&self) {
        self.supervisor.tell(&["WATCHDOG=1"]);
    }

    /// Looks how long the queue is until `stop`. That the store answers, were it with an error, is its sign of life.
    pub async fn watch_queue(
        self: Arc<Self>,
        store: Arc<dyn Store>,
        heartbeat: Arc<Heartbeat>,
        stop: CancellationToken,
    ) {
        loop {
            let counted = tokio::select! {
                counted = store.counts() => counted,
                () = stop.cancelled() => return,
            };
            heartbeat.beat();
            self.tell_with(|told| told.queue = counted.ok(), None);
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Changes what is known, and tells the line if it is another, with a state if there is one.
    fn tell_with(&self, change: impl FnOnce(&mut LastSent), state: Option<&str>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut told);
        let (rules, last) = (self.live.current(), self.reloads.current());
        let refused = (*last).as_ref().filter(|last| !last.in_force);
        let line = StatusFacts {
            addresses: &self.addresses,
            rules: rules.names.len(),
            generation: rules.generation,
            diagnostics: refused.map_or(0, |last| last.errors),
            restart: &config::restart_needed(&self.started, &rules),
            queue: told.queue,
        }
        .line();
        let changed = (line != told.line).then(|| format!("STATUS={line}"));
        let states: Vec<&str> = state.into_iter().chain(changed.as_deref()).collect();
        if !states.is_empty() {
            self.supervisor.tell(&states);
        }
        told.line = line;
    }
}

/// What is going on.
struct StatusFacts<'f> {
    addresses: &'f str,
    rules: usize,
    generation: u64,
    /// How many findings the rules file has that was refused last, while the rules before it are in force.
    diagnostics: usize,
    /// What the rules say that takes effect at the next start only.
    restart: &'f [&'static str],
    /// None where the store could not tell.
    queue: Option<Counts>,
}

impl StatusFacts<'_> {
    /// The line: what is wrong first, for `systemctl status` cuts it at the terminal's edge. The package's `postinst` goes
    /// by how that begins.
    fn line(&self) -> String {
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let refused = if self.diagnostics == 0 {
            String::new()
        } else {
            let diagnostics = self.diagnostics;
            let many = plural(diagnostics);
            format!(
                "the rules file does not load ({diagnostics} finding{many}), the rules before it are in force: "
            )
        };
        let restart = if self.restart.is_empty() {
            String::new()
        } else {
            format!("a restart is needed for {}: ", self.restart.join(", "))
        };
        let queue = self.queue.map_or_else(
            || "the store does not answer".to_owned(),
            |Counts {
                 waiting,
                 leased,
                 dead,
                 ..
             }| { format!("queue: {waiting} waiting, {leased} under way, {dead} dead") },
        );
        format!(
            "{refused}{restart}{} rule{}, generation {}; {queue}; listening on {}",
            self.rules,
            plural(self.rules),
            self.generation,
            self.addresses
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_knows_the_line_that_tells_of_refused_rules() {
        let script = include_str!("../../systemd/debian/postinst");
        let line = StatusFacts {
            addresses: "",
            rules: 0,
            generation: 1,
            diagnostics: 1,
            restart: &[],
            queue: None,
        }
        .line();
        let (_, rest) = script.split_once("*:\"").unwrap();
        let (beginning, _) = rest.split_once("\"*)").unwrap();
        assert!(line.starts_with(beginning), "{line}");
    }

    #[test]
    fn the_line_tells_what_is_wrong_first() {
        let mut facts = StatusFacts {
            addresses: "http://127.0.0.1:9000, unix:/run/h",
            rules: 1,
            generation: 3,
            diagnostics: 0,
            restart: &[],
            queue: Some(Counts {
                waiting: 4,
                leased: 2,
                dead: 1,
                ..Counts::default()
            }),
        };
        assert_eq!(
            facts.line(),
            "1 rule, generation 3; queue: 4 waiting, 2 under way, 1 dead; listening on http://127.0.0.1:9000, unix:/run/h"
        );
        facts.restart = &["server.listen", "log"];
        assert!(
            facts
                .line()
                .starts_with("a restart is needed for server.listen, log: 1 rule, generation 3;"),
            "{}",
            facts.line()
        );
        facts.restart = &[];
        facts.diagnostics = 2;
        facts.queue = None;
        assert_eq!(
            facts.line(),
            "the rules file does not load (2 findings), the rules before it are in force: 1 rule, generation 3; the store does not answer; listening on http://127.0.0.1:9000, unix:/run/h"
        );
    }
}
