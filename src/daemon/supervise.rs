//! What systemd is told (`sd_notify(3)`): ready, reloading, stopping, alive; and one line of what is going on, which
//! `systemctl status` shows.
//!
//! Without systemd (`NOTIFY_SOCKET` unset) all of it is nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use crate::admin::LastReload;
use crate::live::Live;
use crate::pulse::Pulse;
use crate::rules::RuleSet;
use crate::store::{Counts, Store};

/// How often it is looked how long the queue is.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Tells the line of status.
#[derive(Debug)]
pub struct Supervised {
    addresses: String,
    /// The rules in force.
    live: Arc<Live<RuleSet>>,
    /// The last reload.
    reloads: Arc<Live<Option<LastReload>>>,
    told: Mutex<Told>,
}

/// What was told last.
#[derive(Debug)]
struct Told {
    /// The queue; none where the store could not tell.
    queue: Option<Counts>,
    line: String,
}

impl Supervised {
    /// What is known at the start.
    pub fn new(
        live: &Arc<Live<RuleSet>>,
        reloads: &Arc<Live<Option<LastReload>>>,
        addresses: &[String],
    ) -> Self {
        Self {
            addresses: addresses.join(", "),
            live: Arc::clone(live),
            reloads: Arc::clone(reloads),
            told: Mutex::new(Told {
                queue: Some(Counts::default()),
                line: String::new(),
            }),
        }
    }

    /// Sockets are bound and requests are answered.
    pub fn ready(&self) {
        self.tell_with(|_| (), Some(NotifyState::Ready));
    }

    /// A reload has ended; whether somebody `asked` for it: he waits to hear that it is over, also where nothing has
    /// changed.
    pub fn reloaded(&self, asked: bool) {
        self.tell_with(|_| (), asked.then_some(NotifyState::Ready));
    }

    /// Looks how long the queue is until `stop`. That the store answers, were it with an error, is its sign of life.
    pub async fn watch_queue(
        self: Arc<Self>,
        store: Arc<dyn Store>,
        pulse: Arc<Pulse>,
        stop: CancellationToken,
    ) {
        loop {
            let counted = tokio::select! {
                counted = store.counts() => counted,
                () = stop.cancelled() => return,
            };
            pulse.beat();
            self.tell_with(|told| told.queue = counted.ok(), None);
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Changes what is known, and tells the line if it is another, with a state if there is one.
    fn tell_with(&self, change: impl FnOnce(&mut Told), state: Option<NotifyState<'_>>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut told);
        let (rules, last) = (self.live.current(), self.reloads.current());
        let refused = (*last).as_ref().filter(|last| !last.in_force);
        let line = Facts {
            addresses: &self.addresses,
            rules: rules.names.len(),
            generation: rules.generation,
            findings: refused.map_or(0, |last| last.errors),
            queue: told.queue,
        }
        .line();
        let changed = (line != told.line).then_some(NotifyState::Status(&line));
        let states: Vec<NotifyState<'_>> = state.into_iter().chain(changed).collect();
        if !states.is_empty() {
            tell(&states);
        }
        told.line = line;
    }
}

/// What is going on.
struct Facts<'f> {
    addresses: &'f str,
    rules: usize,
    generation: u64,
    /// How many findings the rules file has that was refused last, while the rules before it are in force.
    findings: usize,
    /// None where the store could not tell.
    queue: Option<Counts>,
}

impl Facts<'_> {
    /// The line: what is wrong first, for `systemctl status` cuts it at the terminal's edge. The package's `postinst` goes
    /// by how that begins.
    fn line(&self) -> String {
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let refused = if self.findings == 0 {
            String::new()
        } else {
            let findings = self.findings;
            let many = plural(findings);
            format!(
                "the rules file does not load ({findings} finding{many}), the rules before it are in force: "
            )
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
            "{refused}{} rule{}, generation {}; {queue}; listening on {}",
            self.rules,
            plural(self.rules),
            self.generation,
            self.addresses
        )
    }
}

/// A reload has begun that somebody asked for.
pub fn reloading() {
    // With the moment, by which systemd tells this reload from one that had begun before it asked (`notify-reload`).
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the monotonic clock cannot be read"),
    }
}

/// Nothing new is taken.
pub fn stopping() {
    tell(&[
        NotifyState::Stopping,
        NotifyState::Status("stopping: what is under way comes to its end"),
    ]);
}

/// Every part lives.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How soon the supervisor takes the daemon for dead, if it does.
pub fn watchdog_limit() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// Sends the states; a supervisor that does not listen is no reason to stop serving.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd could not be notified");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_knows_the_line_that_tells_of_refused_rules() {
        let script = include_str!("../../systemd/debian/postinst");
        let line = Facts {
            addresses: "",
            rules: 0,
            generation: 1,
            findings: 1,
            queue: None,
        }
        .line();
        let (_, rest) = script.split_once("*:\"").unwrap();
        let (beginning, _) = rest.split_once("\"*)").unwrap();
        assert!(line.starts_with(beginning), "{line}");
    }

    #[test]
    fn the_line_tells_what_is_wrong_first() {
        let mut facts = Facts {
            addresses: "http://127.0.0.1:9000, unix:/run/h",
            rules: 1,
            generation: 3,
            findings: 0,
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
        facts.findings = 2;
        facts.queue = None;
        assert_eq!(
            facts.line(),
            "the rules file does not load (2 findings), the rules before it are in force: 1 rule, generation 3; the store does not answer; listening on http://127.0.0.1:9000, unix:/run/h"
        );
    }
}
