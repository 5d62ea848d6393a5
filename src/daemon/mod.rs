//! The daemon: lights on in order, off in reverse.
//!
//! On: signals → rules → logs → store → sockets → dispatch → answers → "ready". Off: as `stop` says, then close the
//! store and flush the logs. What remains is on disk.

mod signals;
mod stop;
mod supervise;
mod sweep;
#[cfg(test)]
mod tests;
mod usage;
mod watch;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;
use tracing::{info, warn};

use self::signals::{Signal, Signals};
use self::stop::Stopping;
use crate::act::Actor;
use crate::clock::Clock;
use crate::config::{self, Loaded, Reloader};
use crate::diagnostic::Findings;
use crate::listen::{self, Door};
use crate::live::Live;
use crate::pipeline::{Dispatch, Fresh, Intake, Learning, Running, Usage, Waiting};
use crate::report;
use crate::rules::{RuleSet, StoreSettings};
use crate::store::Store;
use crate::store::sqlite::SqliteStore;

/// How long work on threads that nobody awaits any more may hold up the end.
const LEFTOVERS_LIMIT: Duration = Duration::from_secs(1);

/// How long a thread for what blocks (files, names) is kept when it has nothing to do: as long as the daemon lives. Where
/// none is left and the machine has no more, asking for one is a panic; as it is, what blocks waits for one.
const THREADS_KEPT: Duration = Duration::from_hours(10 * 365 * 24);

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
    let failed = |what: &str, error: &io::Error| StartError::Other(format!("cannot {what}: {error}"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_keep_alive(THREADS_KEPT)
        .build()
        .map_err(|error| failed("start the runtime", &error))?;
    // Before anything that takes time: a HUP that nobody listens for is the end of a process.
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
    // Dropped last: it flushes the logs.
    let _log = report::start(&rules.log, journal).map_err(StartError::Other)?;
    for warning in &warnings {
        warn!(code = warning.code, "{}", warning.line());
    }
    let served = runtime.block_on(serve(path, rules, signals));
    runtime.shutdown_timeout(LEFTOVERS_LIMIT);
    served.map_err(|message| {
        tracing::error!("{message}");
        StartError::Other(message)
    })
}

/// From the store to the last answer.
async fn serve(path: &Path, rules: RuleSet, mut signals: Signals) -> Result<(), String> {
    let clock = Clock::system();
    let store = open_store(&rules.store)?;
    let listeners = listen::bind(&rules.server.listen).await?;
    let addresses: Vec<String> = listeners.iter().map(listen::Bound::address).collect();
    let server = rules.server.clone();
    let live = Arc::new(Live::new(rules));
    announce(&live.current(), &addresses);

    let stopping = Stopping::default();
    let (wake, waiting) = (Arc::new(Notify::new()), Arc::new(Waiting::default()));
    let fresh = Arc::new(Fresh::default());
    let shared = store;
    let under_way = Arc::new(Running::default());
    let dispatch = Arc::new(Dispatch {
        store: Arc::clone(&shared),
        live: Arc::clone(&live),
        actor: Arc::new(Actor::new().map_err(|error| format!("cannot make requests: {error}"))?),
        // What waits for another attempt is not to wait longer because the machine's clock is set back.
        clock: Clock::steady(clock.clone()),
        wake: Arc::clone(&wake),
        waiting: Arc::clone(&waiting),
        fresh: Arc::clone(&fresh),
        running: Arc::clone(&under_way),
        begun: Mutex::default(),
    });
    let usage = Arc::new(Usage::default());
    let (relearn, learnt) = mpsc::channel(1);
    let intake = Arc::new(Intake {
        store: Arc::clone(&shared),
        wake,
        waiting,
        fresh,
        closing: stopping.waiting.clone(),
        writing: stopping.writing.clone(),
        learning: Learning::new(relearn),
        running: under_way,
        usage: Arc::clone(&usage),
    });
    let request_timeout = server.request_timeout;
    let door = Arc::new(Door {
        live: Arc::clone(&live),
        intake,
        room: Semaphore::new(server.max_connections),
        limiter: listen::Limiter::new(tokio::time::Instant::now()),
        clock: clock.clone(),
        request_timeout,
        closing: stopping.accepting.clone(),
    });
    let reloader = Arc::new(Reloader::new(path, Arc::clone(&live)));

    let mut dispatching = JoinSet::new();
    dispatching.spawn(dispatch.run(stopping.leasing.clone(), stopping.running.clone()));
    let mut answering = JoinSet::new();
    let (connections, over) = (server.max_connections, stopping.answering.clone());
    answering.spawn(listen::serve(listeners, door, connections, over));
    let mut aside = JoinSet::new();
    let reload_now = Arc::new(Notify::new());
    let watch = watch::Watch {
        reloader,
        live,
        store: Arc::clone(&shared),
        now: Arc::clone(&reload_now),
        learnt,
    };
    aside.spawn(watch.run(stopping.leasing.clone()));
    aside.spawn(sweep::run(Arc::clone(&shared), clock, stopping.leasing.clone()));
    aside.spawn(usage::run(
        Arc::clone(&usage),
        Arc::clone(&shared),
        stopping.leasing.clone(),
    ));
    supervise::ready(&addresses);

    let orderly = loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::Reload => reload_now.notify_one(),
                Signal::Stop => break Ok(()),
            },
            // Without a store nothing can be taken or done. Whoever supervises us can start anew; we cannot.
            _ = dispatching.join_next() => break Err("the store has ended by itself".to_owned()),
        }
    };
    info!("stopping");
    supervise::stopping();
    stopping
        .stop(&mut answering, &mut dispatching, &mut signals, server.stop_grace)
        .await;
    aside.shutdown().await;
    usage.write_down(&*shared).await;
    shared
        .close()
        .await
        .map_err(|error| format!("closing the store: {error}"))?;
    info!("stopped");
    orderly
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

/// Opens the store.
fn open_store(settings: &StoreSettings) -> Result<Arc<dyn Store>, String> {
    SqliteStore::open(&config::store_path(settings), settings.settings)
        .map(|store| Arc::new(store) as Arc<dyn Store>)
        .map_err(|error| format!("cannot open the store: {error}"))
}
