//! Watches the rules file and its secrets, and reloads when they change.
//!
//! A file system that reports nothing (NFS, some overlays), a lost watch and an overflowing queue are caught by looking
//! every [`POLL`]. Files are looked at on threads for what blocks: a load that hangs is given up after [`LOAD_LIMIT`], and
//! later loads go on without it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::acme::RenewerHandle;
use crate::base::clock::Clock;
use crate::base::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::base::live::Live;
use crate::config::{Cause, REST, Reload, Reloader};
use crate::daemon::watches::Watches;
use crate::pipeline::Relearn;
use crate::report::metrics;
use crate::rules::RuleSet;
use crate::status::LastReload;
use crate::status::SystemdStatus;
use crate::store::Store;
use crate::sys::heartbeat::Heartbeat;

/// The longest that changes without a rest put a reload off.
const LONGEST_UNREST: Duration = Duration::from_secs(2);
/// How often the files are looked at although nothing was reported.
pub const POLL: Duration = Duration::from_secs(5);
/// The longest that a load may take. It is less than what the watchdog grants a part that gives no sign of life.
const LOAD_LIMIT: Duration = Duration::from_secs(45);
/// Loads that may hang at once. Beyond that, none is begun until one of them comes back.
const MAX_HANGING: usize = 4;

/// The watch over one rules file.
pub struct Watch {
    /// Reloads it.
    pub reloader: Arc<Reloader>,
    /// The rules in force.
    pub live: Arc<Live<RuleSet>>,
    /// Is told its settings.
    pub store: Arc<dyn Store>,
    /// Rung to reload at once.
    pub now: Arc<Notify>,
    /// Is told what became of the last reload.
    pub reloads: Arc<Live<Option<LastReload>>>,
    /// The time.
    pub clock: Clock,
    /// A secret was learnt: its sender waits for it to be in force.
    pub learnt: mpsc::Receiver<Relearn>,
    /// Is told what became of it.
    pub systemd_status: Arc<SystemdStatus>,
    /// Is told that the rules are others: it may be another certificate that is to be asked for.
    pub renewer: Arc<RenewerHandle>,
    /// Beats while changes are watched for.
    pub heartbeat: Arc<Heartbeat>,
}

/// Why the files are looked at, and who waits for it.
type Called = (Cause, Option<Relearn>);

impl Watch {
    /// Reloads on every change and whenever `now` is rung, until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let watches = Watches::new().map(Arc::new).inspect_err(
            |error| warn!(%error, "files cannot be watched; they are looked at every few seconds"),
        );
        let watches = watches.ok();
        // At its own pace: changes that never end must not put off the look.
        let mut poll = tokio::time::interval_at(Instant::now() + POLL, POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut hanging = Vec::new();
        // What has changed since the rules were loaded and before the files were watched.
        let mut first = Some((Cause::Change, None));
        loop {
            let heartbeat = Arc::clone(&self.heartbeat);
            let called = if first.is_some() {
                first.take()
            } else {
                let called = async {
                    tokio::select! {
                        called = self.called(watches.as_deref()) => Some(called),
                        _ = poll.tick() => Some((Cause::Time, None)),
                        () = stop.cancelled() => None,
                    }
                };
                heartbeat.beating(called).await
            };
            let Some((cause, sender)) = called else { return };
            let asked = cause == Cause::Operator;
            // Not for what a changed file brings: nobody waits for that, and most often nothing has changed that matters.
            if asked {
                self.systemd_status.reloading();
            }
            let loading = self.load(cause, watches.clone(), &mut hanging);
            let Some(outcome) = heartbeat.beating(loading).await else {
                self.systemd_status.reloaded(asked);
                continue;
            };
            if let Reload::InForce { rules, .. } = &outcome {
                self.store.adopt(rules.store.settings);
                // More deliveries may be under way now, which take descriptors; those of connections are as at the start.
                crate::daemon::places(rules);
                self.renewer.changed(rules.acme(), asked);
            }
            report(&outcome, cause);
            self.remember(&outcome);
            self.systemd_status.reloaded(asked);
            // Who waits for the end of the reload learns of it so.
            drop(sender);
        }
    }

    /// Waits until the files are to be looked at.
    async fn called(&mut self, watches: Option<&Watches>) -> Called {
        tokio::select! {
            Some(sender) = self.learnt.recv() => (Cause::Change, Some(sender)),
            () = self.now.notified() => (Cause::Operator, None),
            () = changed(watches) => rested(watches, &self.now, &mut self.learnt).await,
        }
    }

    /// Loads the files, within a limit. `None` if that has failed in a way that is told already.
    async fn load(
        &self,
        cause: Cause,
        watches: Option<Arc<Watches>>,
        hanging: &mut Vec<JoinHandle<Reload>>,
    ) -> Option<Reload> {
        hanging.retain(|load| !load.is_finished());
        if hanging.len() >= MAX_HANGING {
            return Some(self.reloader.gives_up(cause, LOAD_LIMIT));
        }
        let (reloader, live) = (Arc::clone(&self.reloader), Arc::clone(&self.live));
        let mut load = tokio::task::spawn_blocking(move || {
            let watch = || {
                let mut files = reloader.files();
                files.extend(live.current().files.iter().cloned());
                if let Some(watches) = &watches {
                    watches.watch(&files);
                }
            };
            // Before the files are read, so that no change is missed in between; and then those that the new rules name.
            watch();
            let outcome = reloader.reload(cause);
            watch();
            outcome
        });
        match timeout(LOAD_LIMIT, &mut load).await {
            Ok(Ok(outcome)) => Some(outcome),
            Ok(Err(error)) => {
                // A panic in the compiler of rules is a bug; the rules in force stay.
                error!(%error, "reload");
                None
            }
            Err(_) => {
                hanging.push(load);
                Some(self.reloader.gives_up(cause, LOAD_LIMIT))
            }
        }
    }
}

impl Watch {
    /// Remembers what became of a reload, if it had something to do.
    fn remember(&self, outcome: &Reload) {
        let none = Diagnostics::new();
        let (in_force, diagnostics) = match outcome {
            Reload::Unchanged => {
                let was_kept = (*self.reloads.current())
                    .as_ref()
                    .is_some_and(|last| !last.in_force);
                if !was_kept || self.reloader.is_refused() {
                    return;
                }
                // The file was put back as it was.
                (true, &none)
            }
            Reload::InForce { rules, warnings, .. } => {
                metrics::reloaded("in force");
                metrics::keep_to(rules);
                (true, warnings)
            }
            Reload::Kept(diagnostics) => {
                metrics::reloaded("kept");
                (false, diagnostics)
            }
        };
        let lines = diagnostics.into_iter().take(LastReload::FINDINGS);
        drop(self.reloads.replace(Some(LastReload {
            at: self.clock.now(),
            in_force,
            diagnostics: lines.map(Diagnostic::line).collect(),
            errors: diagnostics.errors(),
        })));
    }
}

/// Waits for a change of the files; for ever where they cannot be watched.
async fn changed(watches: Option<&Watches>) {
    if let Some(watches) = watches
        && watches.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// Waits until nothing has changed for a while, or until a reload is asked for.
async fn rested(watches: Option<&Watches>, now: &Notify, learnt: &mut mpsc::Receiver<Relearn>) -> Called {
    let rest = async { while timeout(REST, changed(watches)).await.is_ok() {} };
    tokio::select! {
        Some(sender) = learnt.recv() => (Cause::Change, Some(sender)),
        () = now.notified() => (Cause::Operator, None),
        _ = timeout(LONGEST_UNREST, rest) => (Cause::Change, None),
    }
}

/// Says what became of a reload.
fn report(outcome: &Reload, cause: Cause) {
    let cause = cause.name();
    match outcome {
        Reload::Unchanged => {}
        Reload::InForce {
            rules,
            warnings,
            restart,
        } => {
            log_findings(warnings);
            for key in restart {
                warn!(key, "changed, and takes effect at the next restart only");
            }
            let (generation, sha256) = (rules.generation, &rules.sha256);
            info!(generation, %sha256, endpoints = rules.endpoints.len(), rules = rules.names.len(), cause, "reloaded");
        }
        Reload::Kept(diagnostics) => {
            log_findings(diagnostics);
            let count = diagnostics.errors();
            error!(
                cause,
                diagnostics = count,
                "the rules file does not load; the rules in force stay"
            );
        }
    }
}

/// One line for each finding. Notes are for `check`: they need no attention at each start.
pub fn log_findings(diagnostics: &Diagnostics) {
    for diagnostic in diagnostics {
        match diagnostic.severity {
            Severity::Error => error!(code = diagnostic.code, "{}", diagnostic.line()),
            Severity::Warning | Severity::Unavailable => {
                warn!(code = diagnostic.code, "{}", diagnostic.line())
            }
            Severity::Note => debug!(code = diagnostic.code, "{}", diagnostic.line()),
        }
    }
}
