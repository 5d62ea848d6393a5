//! Background tasks of the daemon, started after its parts and shut down before them.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::acme::{Renewer, RenewerHandle};
use crate::base::heartbeat::Heartbeat;
use crate::base::throttle;
use crate::config::{self, Reloader};
use crate::daemon::shared::Shared;
use crate::daemon::silence::SilenceWatch;
use crate::daemon::{availability, certificate, day, plan, sweep, usage, watch, watchdog};
use crate::pipeline::{Recorder, ReloadRequest, Usage};
use crate::status::StatusService;
use crate::sys::systemd;

/// Starts the watch over the rules file. Returns its heartbeat.
pub(super) fn spawn_watch(
    background: &mut JoinSet<()>,
    path: &Path,
    shared: &Shared,
    renewer: &Arc<RenewerHandle>,
    reload_requests: mpsc::Receiver<ReloadRequest>,
) -> Arc<Heartbeat> {
    let heartbeat = Heartbeat::of("the watch over the rules");
    let watch = watch::Watch {
        reloader: Arc::new(Reloader::new(path, Arc::clone(&shared.live), plan::gate(shared))),
        live: Arc::clone(&shared.live),
        metrics: Arc::clone(&shared.metrics),
        reloads: Arc::clone(&shared.reloads),
        clock: shared.clock.clone(),
        store: Arc::clone(&shared.store),
        now: Arc::clone(&shared.reload_now),
        reload_requests,
        systemd_status: Arc::clone(&shared.systemd_status),
        renewer: Arc::clone(renewer),
        heartbeat: Arc::clone(&heartbeat),
    };
    background.spawn(watch.run(shared.stopping.leasing.clone()));
    heartbeat
}

/// Starts the periodic background tasks.
pub(super) fn spawn_background_tasks(
    background: &mut JoinSet<()>,
    shared: &Shared,
    usage: &Arc<Usage>,
    recorder: &Arc<Recorder>,
    silence: &Arc<SilenceWatch>,
    renewer: Arc<RenewerHandle>,
    status: &Arc<StatusService>,
) {
    let (clock, stop) = (&shared.clock, &shared.stopping.leasing);
    let (live, store) = (|| Arc::clone(&shared.live), || Arc::clone(&shared.store));
    let rules = live();
    background.spawn(Renewer::new(renewer).run(move || rules.current().acme().cloned()));
    background.spawn(availability::run(
        live(),
        Arc::clone(&status.unavailable),
        stop.clone(),
    ));
    background.spawn(day::run(Arc::clone(status), stop.clone()));
    background.spawn(throttle::tell_left_out(stop.clone()));
    background.spawn(certificate::run(live(), clock.clone(), stop.clone()));
    background.spawn(sweep::run(store(), clock.clone(), stop.clone()));
    background.spawn(Arc::clone(recorder).run(stop.clone()));
    background.spawn(Arc::clone(silence).run(stop.clone()));
    background.spawn(usage::run(Arc::clone(usage), store(), stop.clone()));
}

/// Tells systemd that the daemon is ready, and then its status until it stops.
pub(super) fn report_to_supervisor(
    background: &mut JoinSet<()>,
    shared: &Shared,
    mut heartbeats: Vec<Arc<Heartbeat>>,
) {
    let (status, stop) = (&shared.systemd_status, &shared.stopping.accepting);
    status.ready();
    let writing = Heartbeat::of("the store");
    heartbeats.push(Arc::clone(&writing));
    let store = Arc::clone(&shared.store);
    background.spawn(Arc::clone(status).watch_queue(store, writing, stop.clone()));
    if let Some(limit) = systemd::watchdog_limit(config::variable) {
        let status = Arc::clone(status);
        background.spawn(watchdog::run(status, heartbeats, limit, stop.clone()));
    }
}
