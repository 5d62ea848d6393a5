//! The daemon: lights on in order, off in reverse.
//!
//! On: rules → logs → store → sockets → dispatch → answers → "ready". Off: accept no more → answer what is in flight
//! → lease no more → wait for running actions up to the grace → stop what still runs → close the store → flush the
//! logs. What remains is on disk.

mod signals;
mod supervise;
mod sweep;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::act::Actor;
use crate::clock::Clock;
use crate::config::{self, Loaded, Reloader};
use crate::diagnostic::Findings;
use crate::listen::{self, Door};
use crate::live::Live;
use crate::pipeline::{Dispatch, Fresh, Intake, Waiting};
use crate::report;
use crate::rules::{RuleSet, StoreSettings};
use crate::store::Store;
use crate::store::sqlite::SqliteStore;

/// How long stopped actions get to end after the grace: their own grace runs from TERM to KILL.
const ABORT_GRACE: Duration = Duration::from_secs(15);

/// Why the daemon did not start.
#[derive(Debug)]
pub enum StartError {
    /// The rules file does not load.
    Rules(Findings),
    /// Something else; in words.
    Other(String),
}

/// Runs the daemon on the rules file at `path` until a signal ends it.
pub fn run(path: &Path) -> Result<(), StartError> {
    let Loaded { mut rules, warnings } =
        config::load(path, config::environment()).map_err(StartError::Rules)?;
    rules.generation = 1;
    let journal = config::variable("JOURNAL_STREAM").is_some();
    // Dropped last: it flushes the logs.
    let _log = report::start(&rules.log, journal).map_err(StartError::Other)?;
    for warning in &warnings {
        warn!(code = warning.code, "{}", warning.line());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| StartError::Other(format!("cannot start the runtime: {error}")))?;
    let served = runtime.block_on(serve(path, rules));
    runtime.shutdown_timeout(Duration::from_secs(1));
    served.map_err(|message| {
        tracing::error!("{message}");
        StartError::Other(message)
    })
}

/// From the store to the last answer.
async fn serve(path: &Path, rules: RuleSet) -> Result<(), String> {
    let mut signals =
        signals::Signals::listen().map_err(|error| format!("cannot listen for signals: {error}"))?;
    let clock = Clock::system();
    let store = open_store(&rules.store)?;
    let listeners = listen::bind(&rules.server.listen).await?;
    let addresses: Vec<String> = listeners.iter().map(listen::Bound::address).collect();
    let server = rules.server.clone();
    let live = Arc::new(Live::new(rules));
    announce(&live.current(), &addresses);

    let stop_accepting = CancellationToken::new();
    let stop_leasing = CancellationToken::new();
    let abort = CancellationToken::new();
    let (wake, waiting) = (Arc::new(Notify::new()), Arc::new(Waiting::default()));
    let fresh = Arc::new(Fresh::default());
    let tracker = TaskTracker::new();
    let shared = store;
    let dispatch = Arc::new(Dispatch {
        store: Arc::clone(&shared),
        live: Arc::clone(&live),
        actor: Arc::new(Actor::new().map_err(|error| format!("cannot make requests: {error}"))?),
        clock: clock.clone(),
        wake: Arc::clone(&wake),
        waiting: Arc::clone(&waiting),
        fresh: Arc::clone(&fresh),
        begun: Mutex::default(),
    });
    let intake = Arc::new(Intake {
        store: Arc::clone(&shared),
        clock: clock.clone(),
        wake,
        waiting,
        fresh,
        writing: tracker.clone(),
    });
    let request_timeout = server.request_timeout;
    let door = Arc::new(Door {
        live: Arc::clone(&live),
        intake,
        clock: clock.clone(),
        request_timeout,
    });
    let reloader = Arc::new(Reloader::new(path, Arc::clone(&live)));

    let mut dispatching = JoinSet::new();
    dispatching.spawn(dispatch.run(stop_leasing.clone(), abort.clone()));
    let mut answering = JoinSet::new();
    let (connections, grace) = (server.max_connections, server.stop_grace);
    answering.spawn(listen::serve(
        listeners,
        door,
        connections,
        stop_accepting.clone(),
        grace,
    ));
    let mut aside = JoinSet::new();
    let reload_now = Arc::new(Notify::new());
    let watch = watch::Watch {
        reloader,
        live,
        store: Arc::clone(&shared),
        now: Arc::clone(&reload_now),
    };
    aside.spawn(watch.run(stop_leasing.clone()));
    aside.spawn(sweep::run(Arc::clone(&shared), clock, stop_leasing.clone()));
    supervise::ready(&addresses);

    while signals.next().await == signals::Signal::Reload {
        reload_now.notify_one();
    }
    info!("stopping");
    supervise::stopping();
    stop_accepting.cancel();
    while answering.join_next().await.is_some() {}
    // Events whose senders have hung up are still being written down.
    tracker.close();
    tracker.wait().await;
    stop_leasing.cancel();
    let patience = tokio::select! {
        ended = tokio::time::timeout(grace, join_all(&mut dispatching)) => ended.or(Err("the grace is over")),
        () = signals.stop() => Err("a second signal came"),
    };
    if let Err(why) = patience {
        warn!(
            why,
            "actions that are still running are stopped; their deliveries stay queued"
        );
        abort.cancel();
        drop(tokio::time::timeout(ABORT_GRACE, join_all(&mut dispatching)).await);
    }
    aside.shutdown().await;
    shared
        .close()
        .await
        .map_err(|error| format!("closing the store: {error}"))?;
    info!("stopped");
    Ok(())
}

/// Waits for every task of a set.
async fn join_all(tasks: &mut JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}

/// Says what is in force.
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

/// Opens the store where the rules file, systemd or the working directory says.
fn open_store(settings: &StoreSettings) -> Result<Arc<dyn Store>, String> {
    let folder = config::variable("STATE_DIRECTORY");
    // systemd may hand over several directories, separated by colons.
    let folder = folder
        .as_deref()
        .and_then(|folders| folders.split(':').next())
        .map_or(PathBuf::from("."), PathBuf::from);
    let path = settings
        .path
        .clone()
        .unwrap_or_else(|| folder.join("hookyard.db"));
    SqliteStore::open(&path, settings.settings)
        .map(|store| Arc::new(store) as Arc<dyn Store>)
        .map_err(|error| format!("cannot open the store: {error}"))
}
