//! Watch over the rules file and its secrets: reloads when they change.
//!
//! Some file systems report nothing (NFS, some overlays), and a watch may be lost or its queue
//! overflow. So the files are also checked every [`POLL`]. Files are read on blocking threads. A
//! load that hangs is abandoned after [`LOAD_LIMIT`], and later loads continue without it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::acme::RenewerHandle;
use crate::base::clock::Clock;
use crate::base::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::base::heartbeat::Heartbeat;
use crate::base::live::Live;
use crate::config::{Cause, REST, Reload, Reloader};
use crate::daemon::systemd_status::SystemdStatus;
use crate::daemon::watches::Watches;
use crate::pipeline::ReloadRequest;
use crate::report::Metrics;
use crate::rules::RuleSet;
use crate::status::LastReload;
use crate::store::Store;

/// Maximum delay of a reload while changes keep coming.
const LONGEST_UNREST: Duration = Duration::from_secs(2);
/// Interval at which the files are checked without a reported change.
pub const POLL: Duration = Duration::from_secs(5);
/// Maximum time for a load. Less than the watchdog allows without a heartbeat.
const LOAD_LIMIT: Duration = Duration::from_secs(45);
/// Maximum hanging loads at once. Beyond it, no load starts until one of them returns.
const MAX_HANGING: usize = 4;

/// The watch over one rules file.
pub struct Watch {
    pub reloader: Arc<Reloader>,
    pub live: Arc<Live<RuleSet>>,
    pub metrics: Arc<Metrics>,
    /// Receives changed settings.
    pub store: Arc<dyn Store>,
    /// Notified when the operator asks for a reload.
    pub now: Arc<Notify>,
    /// Holds the outcome of the last reload.
    pub reloads: Arc<Live<Option<LastReload>>>,
    pub clock: Clock,
    /// Newly enrolled secrets. Each sender waits until its secret is in force.
    pub reload_requests: mpsc::Receiver<ReloadRequest>,
    /// Receives the outcome of each reload.
    pub systemd_status: Arc<SystemdStatus>,
    /// Notified of each new rule set, which may need another certificate.
    pub renewer: Arc<RenewerHandle>,
    /// Beats while waiting for changes and while loading.
    pub heartbeat: Arc<Heartbeat>,
}

/// The reason to read the files, and the sender that waits for it.
type Called = (Cause, Option<ReloadRequest>);

impl Watch {
    /// Reloads on every change and on every request by `now`, until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let watches = Watches::new().map(Arc::new).inspect_err(
            |error| warn!(%error, "files cannot be watched; they are looked at every few seconds"),
        );
        let watches = watches.ok();
        // Fixed interval. Endless changes delay the poll by `LONGEST_UNREST` at most, and end in a
        // load as it does.
        let mut poll = tokio::time::interval_at(Instant::now() + POLL, POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut hanging = Vec::new();
        // The files may have changed after the rules were loaded and before the watches were set.
        let mut first = Some((Cause::Change, None));
        loop {
            let heartbeat = Arc::clone(&self.heartbeat);
            let called = if first.is_some() {
                first.take()
            } else {
                let called = async {
                    tokio::select! {
                        called = self.called(watches.as_deref(), &mut poll) => Some(called),
                        () = stop.cancelled() => None,
                    }
                };
                heartbeat.beating(called).await
            };
            let Some((cause, sender)) = called else { return };
            let asked = cause == Cause::Operator;
            // Only for the operator. A changed file often needs no reload, and no client waits for
            // it.
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
                self.store.serve(rules.in_force());
                // More deliveries may run at once now, and need file descriptors. The limit on
                // connections stays as at the start.
                crate::daemon::raise_fd_limit(rules);
                self.renewer.reloaded(rules.acme(), asked);
            }
            report(&outcome, cause);
            self.remember(&outcome);
            self.systemd_status.reloaded(asked);
            // Dropping the sender tells the waiting side that the reload is over.
            drop(sender);
        }
    }

    /// Waits until the files must be checked. A poll that is due never interrupts a change that
    /// waits for further ones: the change has been read from the kernel, and would be lost with the
    /// wait.
    async fn called(&mut self, watches: Option<&Watches>, poll: &mut Interval) -> Called {
        tokio::select! {
            biased;
            Some(sender) = self.reload_requests.recv() => (Cause::Change, Some(sender)),
            () = self.now.notified() => (Cause::Operator, None),
            () = changed(watches) => rested(watches, &self.now, &mut self.reload_requests).await,
            _ = poll.tick() => (Cause::Time, None),
        }
    }

    /// Loads the files within a time limit. Returns `None` after a failure that is already logged.
    async fn load(
        &self,
        cause: Cause,
        watches: Option<Arc<Watches>>,
        hanging: &mut Vec<JoinHandle<Reload>>,
    ) -> Option<Reload> {
        hanging.retain(|load| !load.is_finished());
        if hanging.len() >= MAX_HANGING {
            return Some(self.reloader.give_up(cause, LOAD_LIMIT));
        }
        let (reloader, live) = (Arc::clone(&self.reloader), Arc::clone(&self.live));
        let mut load = tokio::task::spawn_blocking(move || {
            let watch = || {
                let mut files = reloader.files();
                files.extend(live.current().files.iter().cloned());
                if let Some(watches) = &watches {
                    watches.watch(&files, &reloader.patterns());
                }
            };
            // Watch before reading, so that no change is missed in between. Watch again afterwards,
            // for the files that the new rules name.
            watch();
            let outcome = reloader.reload(cause);
            watch();
            outcome
        });
        match timeout(LOAD_LIMIT, &mut load).await {
            Ok(Ok(outcome)) => Some(outcome),
            Ok(Err(error)) => {
                // A panic in the rules compiler is a bug; the rules in force stay.
                error!(%error, "reload");
                None
            }
            Err(_) => {
                hanging.push(load);
                Some(self.reloader.give_up(cause, LOAD_LIMIT))
            }
        }
    }
}

impl Watch {
    /// Records the outcome of a reload, unless nothing changed.
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
                // The file was restored to the version in force.
                (true, &none)
            }
            Reload::InForce { rules, warnings, .. } => {
                self.metrics.reloaded("in force");
                self.metrics.keep_to(rules);
                (true, warnings)
            }
            Reload::Kept(diagnostics) => {
                self.metrics.reloaded("kept");
                (false, diagnostics)
            }
        };
        let lines = diagnostics.into_iter().take(LastReload::FINDINGS);
        drop(self.reloads.replace(Some(LastReload {
            at: self.clock.now(),
            in_force,
            diagnostics: lines.clone().map(Diagnostic::line).collect(),
            rendered: lines.map(|diagnostic| diagnostic.render(false)).collect(),
            errors: diagnostics.errors(),
        })));
    }
}

/// Waits for a change of the files; forever if they cannot be watched.
async fn changed(watches: Option<&Watches>) {
    match watches {
        Some(watches) => watches.changed().await,
        None => std::future::pending().await,
    }
}

/// Waits until the files have not changed for a while, or until a reload is requested.
async fn rested(
    watches: Option<&Watches>,
    now: &Notify,
    reload_requests: &mut mpsc::Receiver<ReloadRequest>,
) -> Called {
    let rest = async { while timeout(REST, changed(watches)).await.is_ok() {} };
    tokio::select! {
        Some(sender) = reload_requests.recv() => (Cause::Change, Some(sender)),
        () = now.notified() => (Cause::Operator, None),
        _ = timeout(LONGEST_UNREST, rest) => (Cause::Change, None),
    }
}

/// Logs the outcome of a reload.
fn report(outcome: &Reload, cause: Cause) {
    let cause = cause.name();
    match outcome {
        Reload::Unchanged => {}
        Reload::InForce {
            rules,
            warnings,
            restart,
        } => {
            log_diagnostics(warnings);
            for key in restart {
                warn!(key, "changed, and takes effect at the next restart only");
            }
            let (generation, sha256) = (rules.generation, &rules.sha256);
            info!(generation, %sha256, endpoints = rules.endpoints.len(), rules = rules.names.len(), cause, "reloaded");
        }
        Reload::Kept(diagnostics) => {
            log_diagnostics(diagnostics);
            let count = diagnostics.errors();
            error!(
                cause,
                diagnostics = count,
                "the rules file is refused; the rules in force stay"
            );
        }
    }
}

/// Logs each diagnostic as a line. Notes are for `check`: they need no attention at each start.
pub fn log_diagnostics(diagnostics: &Diagnostics) {
    for diagnostic in diagnostics {
        match diagnostic.severity {
            Severity::Error => error!(code = diagnostic.code, "{}", diagnostic.line()),
            Severity::Warning | Severity::Unavailable => {
                warn!(code = diagnostic.code, "{}", diagnostic.line());
            }
            Severity::Note => debug!(code = diagnostic.code, "{}", diagnostic.line()),
        }
    }
}
