//! The daemon before it has its store: listeners, and answers that say so.
//!
//! A store in a file is opened first, and connections wait in the kernel until everything is there. A
//! store on a server may be out of reach for long. Requests are then answered 503, and the admin
//! listeners say that the daemon lives and is not ready.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::acme::RenewerHandle;
use crate::admin::{self, Doors, Served};
use crate::base::clock::{Clock, Timestamp};
use crate::base::heartbeat::Heartbeat;
use crate::base::live::Live;
use crate::config;
use crate::daemon::raise_fd_limit;
use crate::daemon::signals::{Signal, Signals};
use crate::daemon::stop::Stopping;
use crate::daemon::store::{self, Opened};
use crate::daemon::systemd_status::SystemdStatus;
use crate::report::Metrics;
use crate::rules::RuleSet;
use crate::server::{self, Bound, InheritedSockets, RequestHandler};
use crate::status::{LastReload, StartingStatus};
use crate::store::Place;

/// Listeners with their heartbeats.
type Listeners = Vec<(Bound, Arc<Heartbeat>)>;

/// Everything that does not need the store.
pub(super) struct Front {
    pub place: Place,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    /// Rules in force.
    pub live: Arc<Live<RuleSet>>,
    pub reloads: Arc<Live<Option<LastReload>>>,
    pub stopping: Stopping,
    pub reload_now: Arc<Notify>,
    /// Addresses of the listeners.
    pub addresses: Vec<String>,
    pub systemd_status: Arc<SystemdStatus>,
    pub started: Timestamp,
    pub max_connections: usize,
    pub handler: Arc<RequestHandler>,
    pub served: Arc<Served>,
    pub renewer: Arc<RenewerHandle>,
    /// Heartbeats of the listeners.
    pub heartbeats: Vec<Arc<Heartbeat>>,
    /// The listeners, until requests are answered.
    listeners: Option<(Listeners, Doors)>,
    /// The store, if it is a file.
    opened: Option<Opened>,
}

impl Front {
    /// Opens a store that is a file, and binds the listeners.
    pub async fn bind(path: &Path, rules: RuleSet, inherited: InheritedSockets) -> Result<Self, String> {
        let (clock, metrics) = (Clock::system(), Arc::<Metrics>::default());
        let started = clock.now();
        let place = config::store_place(path, &rules.store);
        // Before the sockets: a second daemon on one file takes nothing from the first.
        let opened = match &place {
            Place::File(file) => Some(store::open_file(file, path, &rules, &metrics).await?),
            Place::Postgres(_) => None,
        };
        let doors = bind_admin(path, &rules, &place).await?;
        let listeners = server::bind(&rules.server.listen, inherited).await?;
        let addresses: Vec<String> = listeners.iter().map(Bound::address).collect();
        let max_connections = raise_fd_limit(&rules);
        metrics.keep_to(&rules);
        announce(&rules, &addresses);
        let request_timeout = rules.server.request_timeout;
        let (live, reloads) = (Arc::new(Live::new(rules)), Arc::new(Live::new(None)));
        let listeners = with_heartbeats(listeners);
        let stopping = Stopping::default();
        let starting = StartingStatus {
            path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
            live: Arc::clone(&live),
            clock: clock.clone(),
            started,
            listening: addresses.clone(),
        };
        Ok(Self {
            handler: Arc::new(RequestHandler {
                live: Arc::clone(&live),
                ingest: OnceLock::new(),
                metrics: Arc::clone(&metrics),
                request_slots: server::ConnectionLimiter::for_requests(max_connections),
                header_budget: Arc::new(server::HeaderBudget::for_server(max_connections)),
                body_budget: Arc::new(server::BodyBudget::new(Arc::clone(&metrics))),
                limiter: server::Limiter::new(tokio::time::Instant::now()),
                clock: clock.clone(),
                request_timeout,
                closing: stopping.accepting.clone(),
                shutdown: stopping.leasing.clone(),
            }),
            served: Arc::new(Served {
                services: OnceLock::new(),
                starting,
                waits_for: Arc::new(Live::new("the daemon starts".to_owned())),
            }),
            renewer: renewer(path, &place, &clock, &live),
            systemd_status: Arc::new(SystemdStatus::new(&live, &reloads, &addresses)),
            heartbeats: listeners
                .iter()
                .map(|(_, heartbeat)| Arc::clone(heartbeat))
                .collect(),
            listeners: Some((listeners, doors)),
            reload_now: Arc::default(),
            place,
            clock,
            metrics,
            live,
            reloads,
            stopping,
            addresses,
            started,
            max_connections,
            opened,
        })
    }

    /// Begins to answer, unless that has begun.
    pub fn answer(&mut self, answering: &mut JoinSet<()>, background: &mut JoinSet<()>) {
        let Some((listeners, doors)) = self.listeners.take() else {
            return;
        };
        let (handler, end) = (Arc::clone(&self.handler), self.stopping.answering.clone());
        answering.spawn(server::serve(listeners, handler, self.max_connections, end));
        background.spawn(admin::serve(doors, Arc::clone(&self.served)));
    }

    /// Opens the store. While a server is out of reach, requests are answered 503. `None`: the daemon
    /// was told to stop before.
    pub async fn open(
        &mut self,
        answering: &mut JoinSet<()>,
        background: &mut JoinSet<()>,
        signals: &mut Signals,
    ) -> Result<Option<Opened>, String> {
        let target = match &self.place {
            Place::File(_) => return Ok(self.opened.take()),
            Place::Postgres(target) => Arc::clone(target),
        };
        self.answer(answering, background);
        let rules = self.live.current();
        let mut reaching = std::pin::pin!(store::reach(
            &target,
            &rules,
            &self.metrics,
            &self.served.waits_for
        ));
        loop {
            tokio::select! {
                opened = &mut reaching => return opened.map(Some),
                signal = signals.next() => match signal {
                    Signal::Reload => self.reload_now.notify_one(),
                    Signal::Stop => break,
                },
            }
        }
        info!("stopping before the store was reached");
        self.systemd_status.stopping();
        Ok(None)
    }
}

/// Builds the handle of certificate renewal, and puts the saved certificate in use.
fn renewer(path: &Path, place: &Place, clock: &Clock, live: &Live<RuleSet>) -> Arc<RenewerHandle> {
    let folder = config::state_folder(path, place).join("acme");
    let renewer = RenewerHandle::new(folder, clock.clone());
    renewer.reloaded(live.current().acme(), false);
    Arc::new(renewer)
}

/// Binds the admin listeners. The daemon also works without its admin socket.
async fn bind_admin(path: &Path, rules: &RuleSet, store: &Place) -> Result<Doors, String> {
    let socket = config::socket_path(path, &rules.admin, store);
    let (doors, failed) = admin::bind(&rules.admin, socket.as_deref()).await?;
    for why in failed {
        warn!(why, "an admin socket is missing");
    }
    Ok(doors)
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
fn with_heartbeats(listeners: Vec<Bound>) -> Vec<(Bound, Arc<Heartbeat>)> {
    listeners
        .into_iter()
        .map(|listener| {
            let heartbeat = Heartbeat::of(listener.address());
            (listener, heartbeat)
        })
        .collect()
}
