//! The daemon: starts all parts in order, and stops them in reverse.
//!
//! Start: signals → rules → logs → store → sockets → dispatch → answers → "ready". Stop: as `stop`
//! describes, then close the store and flush the logs. All remaining work is on disk.

mod availability;
mod background;
mod certificate;
mod change;
mod day;
mod fire;
mod live_output;
mod plan;
mod replay;
mod rules;
mod shared;
mod signals;
mod silence;
mod stop;
mod stop_attempts;
mod store;
mod sweep;
mod systemd_status;
#[cfg(test)]
mod tests;
mod tried_decisions;
mod tried_request;
mod try_rules;
mod usage;
mod watch;
mod watchdog;
mod watches;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::acme::RenewerHandle;
use crate::act::{self, ActionRunner};
use crate::admin::page::{Page, READS, Sources};
use crate::admin::{Judge, Judgement, Question};
use crate::base::clock::{Clock, Timestamp};
use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::heartbeat::Heartbeat;
use crate::base::live::Live;
use crate::base::yaml::MAX_TEXT;
use crate::config::{self, Loaded};
use crate::daemon::background::{report_to_supervisor, spawn_background_tasks, spawn_watch};
use crate::daemon::shared::Shared;
use crate::daemon::signals::{Signal, Signals};
use crate::daemon::silence::SilenceWatch;
use crate::daemon::stop::Stopping;
use crate::daemon::systemd_status::SystemdStatus;
use crate::pipeline::{Connections, Dispatcher, Ingest, Pipeline, Recorder, Usage};
use crate::report::{self, Metrics};
use crate::rules::RuleSet;
use crate::server::RequestHandler;
use crate::status::{StatusService, Unavailable};
use crate::store::{Pause, Pauses, Place, Records, Store};
use crate::sys::fd_limit;
use crate::{admin, server};

/// Maximum time that abandoned blocking threads delay the exit.
const LEFTOVERS_LIMIT: Duration = Duration::from_secs(1);

/// Maximum size of a question to the judge, in bytes: the largest rules file, plus escapes.
const MAX_QUESTION: usize = 2 * MAX_TEXT;

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
    let inherited = server::InheritedSockets::take(config::variable).map_err(StartError::Other)?;
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
    let served = runtime.block_on(serve(path, rules, inherited, signals));
    runtime.shutdown_timeout(LEFTOVERS_LIMIT);
    served.map_err(|message| {
        tracing::error!("{message}");
        StartError::Other(message)
    })
}

/// Runs from opening the store to closing it.
async fn serve(
    path: &Path,
    rules: RuleSet,
    inherited: server::InheritedSockets,
    mut signals: Signals,
) -> Result<(), String> {
    let (clock, metrics) = (Clock::system(), Arc::<Metrics>::default());
    let started = clock.now();
    let place = config::store_place(path, &rules.store);
    let store = store::open(&place, path, &rules, &metrics).await?;
    let admin_sockets = bind_admin(path, &rules, &place).await?;
    let listeners = server::bind(&rules.server.listen, inherited).await?;
    let addresses: Vec<String> = listeners.iter().map(server::Bound::address).collect();
    let (server, max_connections) = (rules.server.clone(), raise_fd_limit(&rules));
    metrics.keep_to(&rules);
    announce(&rules, &addresses);
    let (live, reloads) = (Arc::new(Live::new(rules)), Arc::new(Live::new(None)));
    let paused = pauses(&*store).await?;
    let shared = Shared {
        pauses: Arc::new(Live::new(Pauses::default())),
        expectations: Arc::new(Live::new(Vec::new())),
        systemd_status: Arc::new(SystemdStatus::new(&live, &reloads, &addresses)),
        clock,
        metrics,
        live,
        reloads,
        store,
        place,
        stopping: Stopping::default(),
        addresses,
        reload_now: Arc::default(),
    };
    let (stopping, dispatching_heartbeat) = (&shared.stopping, Heartbeat::of("dispatch"));
    let pipeline = Pipeline::new(Connections {
        store: Arc::clone(&shared.store),
        metrics: Arc::clone(&shared.metrics),
        live: Arc::clone(&shared.live),
        pauses: Arc::clone(&shared.pauses),
        runner: ActionRunner::new().map_err(|error| format!("cannot make requests: {error}"))?,
        closing: stopping.waiting.clone(),
        writing: stopping.writing.clone(),
        // The other half of the connections stays for senders that do not wait.
        max_waiting: max_connections.div_ceil(2),
        heartbeat: Arc::clone(&dispatching_heartbeat),
    });
    pipeline.dispatcher.adopt_pauses(Pauses::new(paused));
    let silence = silence::watch(&shared, &pipeline.heard).await?;
    let handler = request_handler(&shared, pipeline.ingest, server.request_timeout, max_connections);
    let status_service = status_service(path, &shared, started, &handler.body_budget, &pipeline.dispatcher);
    let page = page(path, &shared, &status_service)?;
    let news = Arc::new(admin::page::ArrivalNews::default());
    let admin_services = admin::AdminServices {
        status: Arc::clone(&status_service),
        judge: judge(path),
        replayer: Arc::new(replay::replayer(&shared, &handler.ingest)),
        firer: Arc::new(fire::firer(&shared, &handler.ingest)),
        planner: Arc::new(plan::planner(path, &shared)),
        stopper: Arc::new(stop_attempts::stopper(&pipeline.dispatcher)),
        rule_operator: Arc::new(rules::operator(&shared, &pipeline.dispatcher)),
        changer: Arc::new(change::changer(&shared)),
        output: Arc::new(live_output::output_service(&shared, &pipeline.dispatcher)),
        page: Arc::clone(&page),
        news: Arc::clone(&news),
        streams: admin::Streams::default(),
    };
    // Before the first handshake.
    let renewer = renewer_handle(path, &shared);

    let listeners = with_heartbeats(listeners);
    let mut heartbeats = vec![dispatching_heartbeat];
    heartbeats.extend(listeners.iter().map(|(_, heartbeat)| Arc::clone(heartbeat)));
    let mut dispatching = JoinSet::new();
    let (leasing, running) = (stopping.leasing.clone(), stopping.running.clone());
    dispatching.spawn(pipeline.dispatcher.run(leasing, running));
    let mut answering = JoinSet::new();
    let end = stopping.answering.clone();
    answering.spawn(server::serve(listeners, handler, max_connections, end));
    let mut background = JoinSet::new();
    background.spawn(news.run(page.sources().clone(), shared.stopping.leasing.clone()));
    background.spawn(admin::serve(admin_sockets, admin_services));
    heartbeats.push(spawn_watch(
        &mut background,
        path,
        &shared,
        &renewer,
        pipeline.reload_requests,
    ));
    spawn_background_tasks(
        &mut background,
        &shared,
        &pipeline.usage,
        &pipeline.recorder,
        &silence,
        renewer,
        &status_service,
    );
    report_to_supervisor(&mut background, &shared, heartbeats);

    let ended = wait_for_shutdown(&mut signals, &mut dispatching, &shared.reload_now).await;
    info!("stopping");
    shared.systemd_status.stopping();
    stopping
        .stop(&mut answering, &mut dispatching, &mut signals, server.stop_grace)
        .await;
    background.shutdown().await;
    close(&silence, &pipeline.usage, &pipeline.recorder, &*shared.store).await?;
    info!("stopped");
    ended
}

/// Builds the entry point of all requests.
fn request_handler(
    shared: &Shared,
    ingest: Ingest,
    request_timeout: Duration,
    max_connections: usize,
) -> Arc<RequestHandler> {
    Arc::new(RequestHandler {
        live: Arc::clone(&shared.live),
        ingest: Arc::new(ingest),
        metrics: Arc::clone(&shared.metrics),
        request_slots: server::ConnectionLimiter::for_requests(max_connections),
        header_budget: Arc::new(server::HeaderBudget::for_server(max_connections)),
        body_budget: Arc::new(server::BodyBudget::new(Arc::clone(&shared.metrics))),
        limiter: server::Limiter::new(tokio::time::Instant::now()),
        clock: shared.clock.clone(),
        request_timeout,
        closing: shared.stopping.accepting.clone(),
        shutdown: shared.stopping.leasing.clone(),
    })
}

/// Builds the source of `hookyard status` and the metrics.
fn status_service(
    path: &Path,
    shared: &Shared,
    started: Timestamp,
    bodies: &server::BodyBudget,
    dispatcher: &Arc<Dispatcher>,
) -> Arc<StatusService> {
    Arc::new(StatusService {
        path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
        live: Arc::clone(&shared.live),
        reloads: Arc::clone(&shared.reloads),
        store: Arc::clone(&shared.store),
        place: shared.place.clone(),
        metrics: Arc::clone(&shared.metrics),
        clock: shared.clock.clone(),
        inflight: bodies.in_use(),
        started,
        listening: shared.addresses.clone(),
        stopping: shared.stopping.accepting.clone(),
        unavailable: Arc::new(Live::new(Unavailable::new())),
        pauses: Arc::clone(&shared.pauses),
        dispatcher: Arc::clone(dispatcher),
        expectations: Arc::clone(&shared.expectations),
    })
}

/// Builds the operator's page.
fn page(path: &Path, shared: &Shared, status: &Arc<StatusService>) -> Result<Arc<Page>, String> {
    let sources = Sources {
        records: Records::at(&shared.place),
        status: Arc::clone(status),
        live: Arc::clone(&shared.live),
        clock: shared.clock.clone(),
        reads: Arc::new(Semaphore::new(READS)),
        tryer: Arc::new(try_rules::tryer(path, shared)),
    };
    Page::new(sources).map(Arc::new)
}

/// Builds the handle of certificate renewal, and puts the saved certificate in use.
fn renewer_handle(path: &Path, shared: &Shared) -> Arc<RenewerHandle> {
    let folder = config::state_folder(path, &shared.place).join("acme");
    let renewer = RenewerHandle::new(folder, shared.clock.clone());
    renewer.reloaded(shared.live.current().acme(), false);
    Arc::new(renewer)
}

/// Returns the judge of other rules files, which checks them as replacements of the file at `path`.
fn judge(path: &Path) -> Judge {
    let place = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    Judge::new(MAX_QUESTION, move |Question { shown, text }| {
        let checked = config::check_in_place_of(&place, Path::new(&shown), text);
        Judgement {
            in_place_of: place.display().to_string(),
            summary: checked.summary,
            diagnostics: checked.diagnostics.iter().map(Diagnostic::to_json).collect(),
            rendered: checked.diagnostics.render(false),
        }
    })
}

/// Reads the pauses of rules and targets.
async fn pauses(store: &dyn Store) -> Result<Vec<Pause>, String> {
    let paused = store.pauses().await;
    paused.map_err(|error| format!("the store: {error}"))
}

/// Writes the last arrivals, the pending use of secrets and the pending records of arrivals, and
/// closes the store.
async fn close(
    silence: &SilenceWatch,
    usage: &Usage,
    recorder: &Recorder,
    store: &dyn Store,
) -> Result<(), String> {
    silence.write_down().await;
    usage.write_down(store).await;
    recorder.flush().await;
    let closed = store.close().await;
    closed.map_err(|error| format!("closing the store: {error}"))
}

/// Waits until the daemon must stop. The error is the reason why it cannot continue.
async fn wait_for_shutdown(
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

/// Raises the limit of open files. Returns the maximum number of connections: the configured one,
/// or fewer if the limit cannot be raised enough.
fn raise_fd_limit(rules: &RuleSet) -> usize {
    let (wanted, deliveries) = (rules.server.max_connections, rules.wanted.concurrency.slots);
    let fd_limit::FdBudget { connections, limit } = fd_limit::raise(wanted, deliveries);
    if connections < wanted {
        warn!(
            limit,
            max_connections = wanted,
            places = connections,
            "the limit of open files is too low for `max_connections`: raise it (`LimitNOFILE=`, `ulimit -n`)"
        );
    }
    connections
}

/// Binds the admin listeners. The daemon also works without its admin socket.
async fn bind_admin(path: &Path, rules: &RuleSet, store: &Place) -> Result<admin::Doors, String> {
    let socket = config::socket_path(path, &rules.admin, store);
    let (sockets, failed) = admin::bind(&rules.admin, socket.as_deref()).await?;
    for why in failed {
        warn!(why, "an admin socket is missing");
    }
    Ok(sockets)
}

/// Logs the rules in force.
fn announce(rules: &RuleSet, addresses: &[String]) {
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
fn with_heartbeats(listeners: Vec<server::Bound>) -> Vec<(server::Bound, Arc<Heartbeat>)> {
    listeners
        .into_iter()
        .map(|listener| {
            let heartbeat = Heartbeat::of(listener.address());
            (listener, heartbeat)
        })
        .collect()
}
