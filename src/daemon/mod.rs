//! The daemon: starts all parts in order, and stops them in reverse.
//!
//! Start: signals → rules → logs → store → sockets → dispatch → answers → "ready". Stop: as `stop`
//! describes, then close the store and flush the logs. All remaining work is on disk.

mod availability;
mod certificate;
mod signals;
mod stop;
mod store;
mod sweep;
#[cfg(test)]
mod tests;
mod usage;
mod watch;
mod watchdog;
mod watches;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::acme::{Renewer, RenewerHandle};
use crate::act::{self, ActionRunner};
use crate::admin::{Judge, Judgement, Question};
use crate::base::clock::Clock;
use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::live::Live;
use crate::base::throttle;
use crate::config::{self, Loaded, Reloader};
use crate::daemon::signals::{Signal, Signals};
use crate::daemon::stop::Stopping;
use crate::pipeline::{
    Dispatcher, Heavy, Ingest, OutcomeWaiters, PayloadCache, Running, SecretEnrollment, Supersede, Usage,
};
use crate::report::{self, metrics};
use crate::rules::RuleSet;
use crate::server::RequestHandler;
use crate::status::SystemdStatus;
use crate::status::{StatusService, Unavailable};
use crate::store::Store;
use crate::sys::fd_limit;
use crate::sys::heartbeat::Heartbeat;
use crate::sys::systemd;
use crate::{admin, server};

/// Maximum time that abandoned blocking threads delay the exit.
const LEFTOVERS_LIMIT: Duration = Duration::from_secs(1);

/// Time that idle blocking threads (for files and names) are kept: as long as the daemon lives. If
/// the machine has no thread left, spawning one panics, while work for a kept thread just waits.
const THREADS_KEPT: Duration = Duration::from_hours(10 * 365 * 24);

/// Reason why the daemon did not start.
#[derive(Debug)]
pub enum StartError {
    Rules(Diagnostics),
    /// Any other reason, as text.
    Other(String),
}

/// Runs the daemon on the rules file at `path` until a signal stops it.
pub fn run(path: &Path) -> Result<(), StartError> {
    // Before the memory holds anything secret. The kernel does not refuse this.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).ok();
    act::exec::note_terminal();
    // Before a second thread exists, which could start a process that inherits the sockets.
    let handed = server::InheritedSockets::take(config::variable).map_err(StartError::Other)?;
    let failed = |what: &str, error: &io::Error| StartError::Other(format!("cannot {what}: {error}"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_keep_alive(THREADS_KEPT)
        .build()
        .map_err(|error| failed("start the runtime", &error))?;
    // Before anything slow: without a listener, a HUP ends the process.
    let signals = runtime
        .block_on(async { Signals::listen() })
        .map_err(|error| failed("listen for signals", &error))?;
    let first = runtime.spawn_blocking(|| ());
    runtime
        .block_on(first)
        .map_err(|error| StartError::Other(format!("cannot start a thread: {error}")))?;
    let Loaded { mut rules, warnings } =
        config::load(path, config::environment()).map_err(StartError::Rules)?;
    rules.generation = 1;
    let journal = config::variable("JOURNAL_STREAM").is_some();
    // Dropped last, since that flushes the logs.
    let _log = report::start(&rules.log, journal).map_err(StartError::Other)?;
    watch::log_diagnostics(&warnings);
    let served = runtime.block_on(serve(path, rules, handed, signals));
    runtime.shutdown_timeout(LEFTOVERS_LIMIT);
    served.map_err(|message| {
        tracing::error!("{message}");
        StartError::Other(message)
    })
}

/// Runs from opening the store to closing it.
#[expect(
    clippy::too_many_lines,
    reason = "the lights go on one after the other, to be read in one place"
)]
async fn serve(
    path: &Path,
    rules: RuleSet,
    handed: server::InheritedSockets,
    mut signals: Signals,
) -> Result<(), String> {
    let clock = Clock::system();
    let started = clock.now();
    let store_path = config::store_path(path, &rules.store);
    let shared = store::open(path, &rules).await?;
    let doors = open_doors(path, &rules, &store_path).await?;
    let listeners = server::bind(&rules.server.listen, handed).await?;
    let addresses: Vec<String> = listeners.iter().map(server::Bound::address).collect();
    let server = rules.server.clone();
    let places = places(&rules);
    let live = Arc::new(Live::new(rules));
    announce(&live.current(), &addresses);
    let reloads = Arc::new(Live::new(None));
    let systemd_status = Arc::new(SystemdStatus::new(&live, &reloads, &addresses));
    let dispatching_pulse = Heartbeat::of("dispatch");

    let stopping = Stopping::default();
    let (wake, waiting) = (Arc::new(Notify::new()), Arc::new(OutcomeWaiters::default()));
    let (payload_cache, under_way) = (Arc::new(PayloadCache::default()), Arc::new(Running::default()));
    let actor = Arc::new(ActionRunner::new().map_err(|error| format!("cannot make requests: {error}"))?);
    // A steady clock: setting back the machine's clock must not prolong waits.
    let steady = Clock::steady(clock.clone());
    let supersede = Supersede::new(&under_way, &waiting, &payload_cache, &actor);
    let dispatch = Arc::new(Dispatcher {
        store: Arc::clone(&shared),
        live: Arc::clone(&live),
        actor,
        clock: steady.clone(),
        wake: Arc::clone(&wake),
        waiting: Arc::clone(&waiting),
        payload_cache: Arc::clone(&payload_cache),
        running: under_way,
        supersede: supersede.clone(),
        begun: Mutex::default(),
        heartbeat: Arc::clone(&dispatching_pulse),
    });
    let usage = Arc::new(Usage::default());
    let (relearn, learnt) = mpsc::channel(1);
    let ingest = Arc::new(Ingest {
        store: Arc::clone(&shared),
        wake,
        waiting,
        payload_cache,
        closing: stopping.waiting.clone(),
        writing: stopping.writing.clone(),
        learning: SecretEnrollment::new(relearn),
        supersede,
        clock: steady,
        usage: Arc::clone(&usage),
        heavy: Heavy::default(),
    });
    let bodies = Arc::new(server::BodyBudget::default());
    let door = Arc::new(RequestHandler {
        live: Arc::clone(&live),
        ingest,
        room: server::ConnectionLimiter::for_requests(places),
        heads: Arc::new(server::HeaderBudget::of_all(places)),
        bodies: Arc::clone(&bodies),
        limiter: server::Limiter::new(tokio::time::Instant::now()),
        clock: clock.clone(),
        request_timeout: server.request_timeout,
        closing: stopping.accepting.clone(),
        over: stopping.leasing.clone(),
    });

    let listeners = with_pulses(listeners);
    let watching_pulse = Heartbeat::of("the watch over the rules");
    let mut pulses = vec![dispatching_pulse, Arc::clone(&watching_pulse)];
    pulses.extend(listeners.iter().map(|(_, heartbeat)| Arc::clone(heartbeat)));

    let folder = store_path.parent().unwrap_or(Path::new("")).join("acme");
    let renewer = Arc::new(RenewerHandle::new(folder, clock.clone()));
    // Before the first handshake.
    renewer.changed(live.current().acme(), false);
    let mut dispatching = JoinSet::new();
    dispatching.spawn(dispatch.run(stopping.leasing.clone(), stopping.running.clone()));
    let mut answering = JoinSet::new();
    let over = stopping.answering.clone();
    answering.spawn(server::serve(listeners, door, places, over));
    let mut aside = JoinSet::new();
    let reload_now = Arc::new(Notify::new());
    let (keeper, rules) = (Renewer::new(Arc::clone(&renewer)), Arc::clone(&live));
    aside.spawn(keeper.run(move || rules.current().acme().cloned()));
    let unavailable = Arc::new(Live::new(Unavailable::new()));
    let looking = availability::run(
        Arc::clone(&live),
        Arc::clone(&unavailable),
        stopping.leasing.clone(),
    );
    aside.spawn(looking);
    let status_service = Arc::new(StatusService {
        path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
        live: Arc::clone(&live),
        reloads: Arc::clone(&reloads),
        store: Arc::clone(&shared),
        store_path,
        clock: clock.clone(),
        inflight: bodies.in_use(),
        started,
        listening: addresses.clone(),
        stopping: stopping.accepting.clone(),
        unavailable: Arc::clone(&unavailable),
    });
    aside.spawn(admin::serve(doors, status_service, judge(path)));
    let watch = watch::Watch {
        reloader: Arc::new(Reloader::new(path, Arc::clone(&live))),
        live: Arc::clone(&live),
        reloads,
        clock: clock.clone(),
        store: Arc::clone(&shared),
        now: Arc::clone(&reload_now),
        learnt,
        systemd_status: Arc::clone(&systemd_status),
        renewer,
        heartbeat: watching_pulse,
    };
    aside.spawn(watch.run(stopping.leasing.clone()));
    keep_house(&mut aside, &shared, &usage, live, clock, &stopping.leasing);
    report_to_supervisor(&mut aside, &systemd_status, &shared, pulses, &stopping.accepting);

    let orderly = until_told(&mut signals, &mut dispatching, &reload_now).await;
    info!("stopping");
    systemd_status.stopping();
    stopping
        .stop(&mut answering, &mut dispatching, &mut signals, server.stop_grace)
        .await;
    aside.shutdown().await;
    close(&usage, &*shared).await?;
    info!("stopped");
    orderly
}

/// Returns the judge of other rules files, which checks them as replacements of the file at `path`.
fn judge(path: &Path) -> Judge {
    let place = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    Judge::new(move |Question { shown, text }| {
        let checked = config::check_in_place_of(&place, Path::new(&shown), text);
        Judgement {
            in_place_of: place.display().to_string(),
            summary: checked.summary,
            diagnostics: checked.diagnostics.iter().map(Diagnostic::to_json).collect(),
            rendered: checked.diagnostics.render(false),
        }
    })
}

/// Writes the pending use of secrets, and closes the store.
async fn close(usage: &Usage, store: &dyn Store) -> Result<(), String> {
    usage.write_down(store).await;
    let closed = store.close().await;
    closed.map_err(|error| format!("closing the store: {error}"))
}

/// Starts the periodic background tasks.
fn keep_house(
    aside: &mut JoinSet<()>,
    store: &Arc<dyn Store>,
    usage: &Arc<Usage>,
    live: Arc<Live<RuleSet>>,
    clock: Clock,
    stop: &CancellationToken,
) {
    aside.spawn(throttle::tell_left_out(stop.clone()));
    aside.spawn(certificate::run(live, clock.clone(), stop.clone()));
    aside.spawn(sweep::run(Arc::clone(store), clock, stop.clone()));
    aside.spawn(usage::run(Arc::clone(usage), Arc::clone(store), stop.clone()));
}

/// Waits until the daemon must stop. The error is the reason why it cannot continue.
async fn until_told(
    signals: &mut Signals,
    dispatching: &mut JoinSet<()>,
    reload_now: &Notify,
) -> Result<(), String> {
    loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::Reload => reload_now.notify_one(),
                Signal::Stop => return Ok(()),
            },
            // Without a store, no event can be accepted or acted on. The supervisor can restart the
            // daemon; the daemon cannot.
            _ = dispatching.join_next() => return Err("the store has ended by itself".to_owned()),
        }
    }
}

/// Returns the maximum number of connections: the configured one, or fewer if open files are
/// limited.
fn places(rules: &RuleSet) -> usize {
    let (wished, deliveries) = (rules.server.max_connections, rules.room.slots);
    let fd_limit::FdBudget { connections, limit } = fd_limit::raise(wished, deliveries);
    if connections < wished {
        warn!(
            limit,
            max_connections = wished,
            places = connections,
            "the limit of open files is too low for `max_connections`: raise it (`LimitNOFILE=`, `ulimit -n`)"
        );
    }
    connections
}

/// Binds the admin listeners. The daemon also works without its admin socket.
async fn open_doors(path: &Path, rules: &RuleSet, store: &Path) -> Result<admin::Doors, String> {
    let socket = config::socket_path(path, &rules.admin, store);
    let (doors, failed) = admin::bind(&rules.admin, socket.as_deref()).await?;
    if let Some(why) = failed {
        warn!(why, "`hookyard status` will not work");
    }
    Ok(doors)
}

/// Logs the rules in force, and limits metric labels to their names.
fn announce(rules: &RuleSet, addresses: &[String]) {
    metrics::keep_to(rules);
    info!(
        version = env!("CARGO_PKG_VERSION"),
        generation = rules.generation,
        sha256 = %rules.sha256,
        endpoints = rules.endpoints.len(),
        rules = rules.names.len(),
        listening = addresses.join(", "),
        "serving"
    );
}

/// Pairs each listener with a heartbeat.
fn with_pulses(listeners: Vec<server::Bound>) -> Vec<(server::Bound, Arc<Heartbeat>)> {
    listeners
        .into_iter()
        .map(|listener| {
            let heartbeat = Heartbeat::of(listener.address());
            (listener, heartbeat)
        })
        .collect()
}

/// Tells systemd that the daemon is ready, and then its status until it stops.
fn report_to_supervisor(
    aside: &mut JoinSet<()>,
    systemd_status: &Arc<SystemdStatus>,
    store: &Arc<dyn Store>,
    mut pulses: Vec<Arc<Heartbeat>>,
    stop: &CancellationToken,
) {
    systemd_status.ready();
    let writing = Heartbeat::of("the store");
    pulses.push(Arc::clone(&writing));
    aside.spawn(Arc::clone(systemd_status).watch_queue(Arc::clone(store), writing, stop.clone()));
    if let Some(limit) = systemd::watchdog_limit(config::variable) {
        aside.spawn(watchdog::run(
            Arc::clone(systemd_status),
            pulses,
            limit,
            stop.clone(),
        ));
    }
}
