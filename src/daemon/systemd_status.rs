//! Notifications to systemd: ready, reloading, stopping, alive, and the status line.
//!
//! `systemctl status` shows the line. Without systemd nothing is sent. The protocol is in
//! `sys/systemd`.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use tokio_util::sync::CancellationToken;

use crate::base::count::counted;
use crate::base::heartbeat::Heartbeat;
use crate::base::live::Live;
use crate::config;
use crate::rules::RuleSet;
use crate::status::LastReload;
use crate::store::{Counts, Store};
use crate::sys::systemd::Notifier;

/// Interval at which the length of the queue is checked.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// State sent once sockets are bound and rules are in force.
const READY: &str = "READY=1";

/// Sends states and the status line.
#[derive(Debug)]
pub struct SystemdStatus {
    supervisor: Notifier,
    addresses: String,
    /// Rules at startup. Some of their settings are in force until the daemon ends.
    started: Arc<RuleSet>,
    /// Rules in force.
    live: Arc<Live<RuleSet>>,
    reloads: Arc<Live<Option<LastReload>>>,
    last_sent: Mutex<LastSent>,
}

/// Last values sent.
#[derive(Debug)]
struct LastSent {
    /// Counts of the queue. `None` if the store did not answer.
    queue: Option<Counts>,
    line: String,
}

impl SystemdStatus {
    /// Begins with an empty queue and no line sent.
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
            last_sent: Mutex::new(LastSent {
                queue: Some(Counts::default()),
                line: String::new(),
            }),
        }
    }

    /// Reports that sockets are bound and requests are answered.
    pub fn ready(&self) {
        self.update(|_| (), Some(READY));
    }

    /// Reports the end of a reload. If the reload was `asked` for, the state is sent even without a
    /// change, since the requester waits for it.
    pub fn reloaded(&self, asked: bool) {
        self.update(|_| (), asked.then_some(READY));
    }

    /// Reports the beginning of a requested reload.
    pub fn reloading(&self) {
        // The time tells this reload from one that began before the request (`notify-reload`).
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
        self.supervisor
            .tell(&["RELOADING=1", &format!("MONOTONIC_USEC={micros}")]);
    }

    /// Reports that the daemon accepts no new requests.
    pub fn stopping(&self) {
        let line = "STATUS=stopping: running actions end first";
        self.supervisor.tell(&["STOPPING=1", line]);
    }

    /// Reports that every part is alive.
    pub fn alive(&self) {
        self.supervisor.tell(&["WATCHDOG=1"]);
    }

    /// Checks the queue until `stop`. An answer from the store, even an error, counts as a sign of
    /// life.
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
            self.update(|last_sent| last_sent.queue = counted.ok(), None);
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Changes the known values. Sends the line if it has changed, together with `state`.
    fn update(&self, change: impl FnOnce(&mut LastSent), state: Option<&str>) {
        let mut last_sent = self.last_sent.lock();
        change(&mut last_sent);
        let (rules, last) = (self.live.current(), self.reloads.current());
        let refused = (*last).as_ref().filter(|last| !last.in_force);
        let line = StatusFacts {
            addresses: &self.addresses,
            rules: rules.names.len(),
            generation: rules.generation,
            diagnostics: refused.map_or(0, |last| last.errors),
            restart: &config::restart_needed(&self.started, &rules),
            queue: last_sent.queue,
        }
        .line();
        let changed = (line != last_sent.line).then(|| format!("STATUS={line}"));
        let states: Vec<&str> = state.into_iter().chain(changed.as_deref()).collect();
        if !states.is_empty() {
            self.supervisor.tell(&states);
        }
        last_sent.line = line;
    }
}

/// Facts of the status line.
struct StatusFacts<'f> {
    addresses: &'f str,
    rules: usize,
    generation: u64,
    /// Number of errors in the rejected rules file, while the previous rules are in force.
    diagnostics: usize,
    /// Changed settings that take effect only at the next start.
    restart: &'f [&'static str],
    /// Counts of the queue. `None` if the store did not answer.
    queue: Option<Counts>,
}

impl StatusFacts<'_> {
    /// Builds the line. Problems come first, since `systemctl status` cuts the line at the
    /// terminal's edge. The package's `postinst` matches the beginning.
    fn line(&self) -> String {
        let refused = if self.diagnostics == 0 {
            String::new()
        } else {
            format!(
                "the rules file does not load ({}), the rules before it are in force: ",
                counted(self.diagnostics, "diagnostic")
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
            "{refused}{restart}{}, generation {}; {queue}; listening on {}",
            counted(self.rules, "rule"),
            self.generation,
            self.addresses
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upgrade_script_matches_the_line_about_refused_rules() {
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
            "the rules file does not load (2 diagnostics), the rules before it are in force: 1 rule, generation 3; the store does not answer; listening on http://127.0.0.1:9000, unix:/run/h"
        );
    }
}
