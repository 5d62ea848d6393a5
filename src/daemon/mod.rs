//! The daemon: starts all parts in order, and stops them in reverse.
//!
//! Start: signals → rules → logs → store → sockets → dispatch → answers → "ready". A store on a server
//! comes after the sockets, see `front.rs`. Stop: as `stop`
//! describes, then close the store and flush the logs. All remaining work is on disk.

mod availability;
mod background;
mod certificate;
mod change;
mod day;
mod fire;
mod front;
mod live_output;
mod plan;
mod replay;
mod rules;
mod server_watch;
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

use crate::act::{self, ActionRunner};
use crate::admin::page::{Page, READS, Sources};
use crate::admin::{Judge, Judgement, Question};
use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::heartbeat::Heartbeat;
use crate::base::live::Live;
use crate::base::yaml::MAX_TEXT;
use crate::config::{self, Loaded};
use crate::daemon::background::{report_to_supervisor, spawn_background_tasks, spawn_watch};
use crate::daemon::front::Front;
use crate::daemon::shared::Shared;
use crate::daemon::signals::{Signal, Signals};
use crate::daemon::silence::SilenceWatch;
use crate::daemon::store::Opened;
use crate::pipeline::{Connections, Dispatcher, Pipeline, Recorder, Usage};
use crate::report;
use crate::rules::RuleSet;
use crate::status::{StatusService, Unavailable};
use crate::store::{Pause, Pauses, Records, Store};
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
    let server_settings = rules.server.clone();
    let mut front = Front::bind(path, rules, inherited).await?;
    let (mut answering, mut background) = (JoinSet::new(), JoinSet::new());
    let opened = front.open(&mut answering, &mut background, &mut signals).await?;
    let Some(Opened { store, server }) = opened else {
        return Ok(());
    };
    store.serve(front.live.current().in_force());
    let paused = pauses(&*store).await?;
    let shared = shared(&mut front, store);
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
        max_waiting: front.max_connections.div_ceil(2),
        heartbeat: Arc::clone(&dispatching_heartbeat),
    });
    pipeline.dispatcher.adopt_pauses(Pauses::new(paused));
    let silence = silence::watch(&shared, &pipeline.heard).await?;
    let ingest = Arc::new(pipeline.ingest);
    let status_service = status_service(path, &shared, &front, &pipeline.dispatcher);
    let page = page(path, &shared, &status_service)?;
    let news = Arc::new(admin::page::ArrivalNews::default());
    let rule_operator = rules::operator(&shared, &pipeline.dispatcher);
    let admin_services = admin::AdminServices {
        status: Arc::clone(&status_service),
        judge: judge(path),
        replayer: Arc::new(replay::replayer(&shared, &ingest)),
        firer: Arc::new(fire::firer(&shared, &ingest)),
        planner: Arc::new(plan::planner(path, &shared)),
        stopper: Arc::new(stop_attempts::stopper(&pipeline.dispatcher)),
        rule_operator: Arc::new(rules::service(&rule_operator)),
        changer: Arc::new(change::changer(&shared)),
        output: Arc::new(live_output::output_service(&shared, &pipeline.dispatcher)),
        page: Arc::clone(&page),
        news: Arc::clone(&news),
        streams: admin::Streams::default(),
    };
    let mut heartbeats = vec![dispatching_heartbeat];
    heartbeats.append(&mut front.heartbeats);
    let mut dispatching = JoinSet::new();
    let (leasing, running) = (stopping.leasing.clone(), stopping.running.clone());
    dispatching.spawn(pipeline.dispatcher.run(leasing, running));
    background.spawn(news.run(page.sources().clone(), shared.stopping.leasing.clone()));
    if let Some(server) = server {
        let stop = shared.stopping.leasing.clone();
        background.spawn(server_watch::run(
            server,
            Arc::clone(&shared.server),
            stop.clone(),
        ));
        background.spawn(rules::follow(rule_operator, stop));
    }
    // Nothing has set them before.
    front.served.services.set(admin_services).ok();
    front.handler.ingest.set(ingest).ok();
    front.answer(&mut answering, &mut background);
    heartbeats.push(spawn_watch(
        &mut background,
        path,
        &shared,
        &front.renewer,
        pipeline.reload_requests,
    ));
    spawn_background_tasks(
        &mut background,
        &shared,
        &pipeline.usage,
        &pipeline.recorder,
        &silence,
        Arc::clone(&front.renewer),
        &status_service,
    );
    report_to_supervisor(&mut background, &shared, heartbeats);

    let ended = wait_for_shutdown(&mut signals, &mut dispatching, &shared.reload_now).await;
    info!("stopping");
    shared.systemd_status.stopping();
    stopping
        .stop(
            &mut answering,
            &mut dispatching,
            &mut signals,
            server_settings.stop_grace,
        )
        .await;
    background.shutdown().await;
    close(&silence, &pipeline.usage, &pipeline.recorder, &*shared.store).await?;
    info!("stopped");
    ended
}

/// Gathers what several parts of the daemon share.
fn shared(front: &mut Front, store: Arc<dyn Store>) -> Shared {
    Shared {
        pauses: Arc::new(Live::new(Pauses::default())),
        expectations: Arc::new(Live::new(Vec::new())),
        systemd_status: Arc::clone(&front.systemd_status),
        clock: front.clock.clone(),
        metrics: Arc::clone(&front.metrics),
        live: Arc::clone(&front.live),
        reloads: Arc::clone(&front.reloads),
        store,
        place: front.place.clone(),
        server: Arc::new(Live::new(None)),
        stopping: std::mem::take(&mut front.stopping),
        addresses: front.addresses.clone(),
        reload_now: Arc::clone(&front.reload_now),
    }
}

/// Builds the source of `hookyard status` and the metrics.
fn status_service(
    path: &Path,
    shared: &Shared,
    front: &Front,
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
        inflight: front.handler.body_budget.in_use(),
        started: front.started,
        listening: shared.addresses.clone(),
        stopping: shared.stopping.accepting.clone(),
        unavailable: Arc::new(Live::new(Unavailable::new())),
        pauses: Arc::clone(&shared.pauses),
        dispatcher: Arc::clone(dispatcher),
        expectations: Arc::clone(&shared.expectations),
        server: Arc::clone(&shared.server),
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
