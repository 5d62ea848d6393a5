//! A daemon without listeners, for tests: operations on it, and views of its state.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::act::{ActionContext, ActionRunner, Outcome, Verdict};
use crate::base::clock::{Clock, Timestamp};
use crate::base::heartbeat::Heartbeat;
use crate::base::live::Live;
use crate::config;
use crate::event::{EventId, Received};
use crate::pipeline::{Connections, Ingest, Pipeline};
use crate::rules::RuleSet;
use crate::store::memory::MemoryStore;
use crate::store::{Pauses, Settings, Store};

/// An attempt that has started.
#[derive(Debug)]
pub struct Begun {
    pub rule: String,
    pub group: u64,
    pub event: EventId,
    pub for_failure: bool,
    /// Ends the attempt. `None` once it has ended.
    end: Option<oneshot::Sender<Verdict>>,
}

impl Begun {
    /// True while the attempt runs.
    pub fn goes_on(&self) -> bool {
        self.end.as_ref().is_some_and(|end| !end.is_closed())
    }
}

/// An accepted event.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub rule: usize,
    pub group: u64,
    pub event: EventId,
}

pub struct World {
    pub live: Arc<Live<RuleSet>>,
    pub store: Arc<MemoryStore>,
    pub clock: Clock,
    /// All started attempts, oldest first.
    begun: Arc<Mutex<Vec<Begun>>>,
    pub sent: Vec<Sent>,
    life: Life,
}

/// State that a kill destroys.
struct Life {
    ingest: Ingest,
    stop: CancellationToken,
    abort: CancellationToken,
    dispatching: JoinSet<()>,
}

impl World {
    /// Creates a daemon with these rules and an empty store.
    pub fn new(rules: &str) -> Self {
        let loaded = config::load_text(Path::new("/tmp/rules.yaml"), rules.to_owned(), Vec::new());
        let rules = loaded
            .map_err(|diagnostics| diagnostics.render(false))
            .unwrap()
            .rules;
        let live = Arc::new(Live::new(rules));
        let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
        let store = Arc::new(MemoryStore::with_clock(Settings::default(), clock.clone()));
        let begun = Arc::default();
        let running = Life::new(&live, &store, &begun);
        Self {
            live,
            store,
            clock,
            begun,
            sent: Vec::new(),
            life: running,
        }
    }

    /// Sends an event to the rule at an index, through the endpoint of its name.
    pub async fn send(&mut self, rule: usize, group: u64) {
        let now = self.clock.now();
        let rules = self.live.current();
        let endpoint = &rules.endpoints[rule];
        let received = Received {
            id: EventId::new(now),
            at: now,
            endpoint: Arc::clone(&endpoint.path),
            method: Method::POST,
            path: endpoint.path.to_string(),
            query: String::new(),
            parameters: Vec::new(),
            client: None,
            certificate: None,
            headers: HeaderMap::new(),
            body: Bytes::from(format!("{{\"group\": {group}}}")),
        };
        let event = received.id;
        let answer = self
            .life
            .ingest
            .accept(&rules, endpoint, received, Arc::new(()))
            .await;
        assert_eq!(answer.status, StatusCode::OK);
        self.sent.push(Sent { rule, group, event });
        self.rest().await;
    }

    /// Ends one of the running attempts.
    pub async fn end(&self, index: usize, verdict: Verdict) {
        let end = {
            let mut begun = self.begun();
            let mut going: Vec<&mut Begun> = begun.iter_mut().filter(|begun| begun.goes_on()).collect();
            let count = going.len().max(1);
            let chosen = going.get_mut(index % count);
            chosen.and_then(|begun| begun.end.take())
        };
        if let Some(end) = end {
            end.send(verdict).unwrap();
        }
        self.rest().await;
    }

    /// Advances the clock.
    pub async fn pass(&self, duration: Duration) {
        self.clock.advance(duration);
        self.rest().await;
    }

    /// Simulates `kill -9` and a start.
    pub async fn kill(&mut self) {
        self.life.dispatching.shutdown().await;
        self.store = Arc::new(self.store.reopen());
        self.begin();
        self.rest().await;
    }

    /// Simulates SIGTERM without grace, and a start.
    pub async fn restart(&mut self) {
        self.life.stop.cancel();
        self.life.abort.cancel();
        while self.life.dispatching.join_next().await.is_some() {}
        self.store.close().await.unwrap();
        self.store = Arc::new(self.store.reopen());
        self.begin();
        self.rest().await;
    }

    fn begin(&mut self) {
        self.life = Life::new(&self.live, &self.store, &self.begun);
    }

    /// Waits until all tasks are idle.
    pub async fn rest(&self) {
        for _ in 0..4 {
            // Time that passes is no news.
            self.store.news().announce();
            for _ in 0..16 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// All started attempts.
    pub fn begun(&self) -> MutexGuard<'_, Vec<Begun>> {
        self.begun.lock()
    }

    /// Numbers of running attempts by rule and group. `on_failure` counts separately.
    pub fn going(&self) -> BTreeMap<(String, u64, bool), usize> {
        let mut going = BTreeMap::new();
        for begun in self.begun().iter().filter(|begun| begun.goes_on()) {
            let key = (begun.rule.clone(), begun.group, begun.for_failure);
            *going.entry(key).or_default() += 1;
        }
        going
    }
}

impl Life {
    fn new(live: &Arc<Live<RuleSet>>, store: &Arc<MemoryStore>, begun: &Arc<Mutex<Vec<Begun>>>) -> Self {
        let list = Arc::clone(begun);
        let pipeline = Pipeline::new(Connections {
            store: Arc::clone(store) as Arc<dyn Store>,
            metrics: Arc::default(),
            live: Arc::clone(live),
            pauses: Arc::new(Live::new(Pauses::default())),
            runner: ActionRunner::pretended(move |_, context, stop| perform(&list, context, stop)),
            closing: CancellationToken::new(),
            writing: TaskTracker::new(),
            max_waiting: 1,
            heartbeat: Heartbeat::of("dispatch"),
        });
        let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
        let mut dispatching = JoinSet::new();
        dispatching.spawn(pipeline.dispatcher.run(stop.clone(), abort.clone()));
        Self {
            ingest: pipeline.ingest,
            stop,
            abort,
            dispatching,
        }
    }
}

/// An action that ends when the test says so, or when it is stopped.
fn perform(
    begun: &Mutex<Vec<Begun>>,
    action_context: &ActionContext<'_>,
    stop: CancellationToken,
) -> std::pin::Pin<Box<dyn Future<Output = Outcome> + Send>> {
    let (end, ended) = oneshot::channel();
    begun.lock().push(Begun {
        rule: action_context.rule.to_owned(),
        group: action_context.event.payload.whole().value["group"]
            .as_u64()
            .unwrap(),
        event: action_context.event.received.id,
        for_failure: action_context.failure.is_some(),
        end: Some(end),
    });
    Box::pin(async move {
        let verdict = tokio::select! {
            verdict = ended => verdict.unwrap_or(Verdict::Stopped),
            () = stop.cancelled() => Verdict::Stopped,
        };
        Outcome::new(verdict, verdict.name(), Duration::ZERO)
    })
}
