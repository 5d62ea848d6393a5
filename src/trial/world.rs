//! The real pipeline in a world that stands still: a store in memory, a clock that is moved by hand,
//! and actions that are only rendered.
//!
//! Every wait is a wait for the clock: retries, debouncing, attempts that take long, and senders
//! that wait for an outcome. When nothing is due, the clock moves to the next of these times.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::attempts::{AttemptLog, Stage};
use super::outcomes::{OutcomeScript, Outcomes};
use super::request::StatedRequest;
use super::sender::sign;
use crate::act::ActionRunner;
use crate::base::clock::{Clock, Timestamp};
use crate::base::heartbeat::Heartbeat;
use crate::base::live::Live;
use crate::base::url_path;
use crate::event::{EventId, Received};
use crate::pipeline::{Answer, Arriving, Connections, Dispatcher, Ingest, Pipeline};
use crate::report::Metrics;
use crate::rules::{RuleSet, path_parameters};
use crate::store::memory::MemoryStore;
use crate::store::{Pauses, Store};

/// Passes of the scheduler after which nothing is left to do at the same time.
const PASSES: usize = 24;
/// Maximum leases of deliveries in one test.
const MAX_LEASES: usize = 100_000;
/// Maximum time that passes in one test.
const MAX_TIME: Duration = Duration::from_hours(10 * 365 * 24);
/// Maximum senders that wait in one test.
const MAX_WAITING: usize = 1024;

/// The world of one test.
pub(super) struct World {
    pub store: Arc<MemoryStore>,
    rules: Arc<Live<RuleSet>>,
    clock: Clock,
    started: Timestamp,
    ingest: Arc<Ingest>,
    dispatcher: Arc<Dispatcher>,
    attempting: JoinSet<()>,
    answering: JoinSet<(usize, Answer)>,
    /// Answers by the number of the request.
    pub answers: BTreeMap<usize, Answer>,
    pub log: Arc<Mutex<AttemptLog>>,
    pub script: Arc<OutcomeScript>,
    leases: usize,
}

/// A request as it was received.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub id: EventId,
    /// `None` if there is no such endpoint.
    pub received: Option<Received>,
}

impl World {
    pub fn new(
        rules: &Arc<Live<RuleSet>>,
        metrics: &Arc<Metrics>,
        script: OutcomeScript,
        now: Timestamp,
    ) -> Self {
        let clock = Clock::manual(now);
        let settings = rules.current().store.settings;
        let store = Arc::new(MemoryStore::with_clock(settings, clock.clone()));
        let (log, script) = (Arc::default(), Arc::new(script));
        let stage = Stage {
            log: Arc::clone(&log),
            script: Arc::clone(&script),
            rules: Arc::clone(rules),
            clock: clock.clone(),
        };
        let pipeline = Pipeline::new(Connections {
            store: Arc::clone(&store) as Arc<dyn Store>,
            metrics: Arc::clone(metrics),
            live: Arc::clone(rules),
            pauses: Arc::new(Live::new(Pauses::default())),
            runner: ActionRunner::pretended(move |action, context, stop| {
                stage.perform(action, context, stop)
            }),
            closing: CancellationToken::new(),
            writing: TaskTracker::new(),
            max_waiting: MAX_WAITING,
            heartbeat: Heartbeat::of("test"),
        });
        Self {
            store,
            rules: Arc::clone(rules),
            clock,
            started: now,
            ingest: Arc::new(pipeline.ingest),
            dispatcher: pipeline.dispatcher,
            attempting: JoinSet::new(),
            answering: JoinSet::new(),
            answers: BTreeMap::new(),
            log,
            script,
            leases: 0,
        }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Sends request `number` of the test, and does what is due at this moment. The error is the
    /// reason why the request cannot be made.
    pub async fn send(
        &mut self,
        number: usize,
        request: &StatedRequest,
        outcomes: &Outcomes,
    ) -> Result<Sent, String> {
        let rules = self.rules.current();
        let path = request.target.split('?').next().unwrap_or_default().to_owned();
        let normalized = url_path::normalized(&path);
        let found = rules.endpoint(&normalized);
        let endpoint = found.as_ref().map(|(endpoint, _)| *endpoint);
        let signed = sign(request, &rules, endpoint, self.now())?;
        let now = self.now();
        let id = EventId::numbered(now, u64::try_from(number).unwrap_or(u64::MAX));
        self.script.add(id, outcomes);
        let query = signed.target.split_once('?').map(|(_, query)| query.to_owned());
        let found = found.and_then(|(endpoint, found)| Some((endpoint, path_parameters(&found)?)));
        let received = found.map(|(endpoint, parameters)| Received {
            id,
            at: now,
            endpoint: Arc::clone(&endpoint.path),
            method: signed.method,
            path,
            query: query.unwrap_or_default(),
            parameters,
            client: Some(request.client),
            certificate: request.certificate.clone(),
            headers: signed.headers,
            body: signed.body,
        });
        let sent = Sent {
            id,
            received: received.clone(),
        };
        let (ingest, rules) = (Arc::clone(&self.ingest), Arc::clone(&rules));
        self.answering
            .spawn(async move { (number, answer(&ingest, &rules, received).await) });
        self.do_due().await?;
        Ok(sent)
    }

    /// Lets time pass, and does what is due until then.
    pub async fn pass(&mut self, time: Duration) -> Result<(), String> {
        let until = self.now().plus(time);
        while let Some(next) = self.next_time().await?.filter(|next| *next <= until) {
            self.clock.set(next);
            self.do_due().await?;
        }
        self.clock.set(until);
        self.do_due().await
    }

    /// Lets time pass until nothing is left to do.
    pub async fn end(&mut self) -> Result<(), String> {
        while let Some(next) = self.next_time().await? {
            self.clock.set(next);
            self.do_due().await?;
        }
        if self.attempting.is_empty() && self.answering.is_empty() {
            return Ok(());
        }
        Err("the test does not end: something waits, and not for time".to_owned())
    }

    /// Does everything that is due at this moment.
    async fn do_due(&mut self) -> Result<(), String> {
        loop {
            self.settle().await;
            let begun = self.dispatcher.begin_due(&mut self.attempting).await;
            let begun = begun.map_err(|error| error.to_string())?;
            if begun == 0 {
                return Ok(());
            }
            self.leases += begun;
            if self.leases > MAX_LEASES {
                return Err(format!(
                    "the test does not end: it has had more than {MAX_LEASES} attempts"
                ));
            }
        }
    }

    /// Runs all tasks until they are done or wait for time.
    async fn settle(&mut self) {
        for _ in 0..PASSES {
            tokio::task::yield_now().await;
        }
        while self.attempting.try_join_next().is_some() {}
        while let Some(answered) = self.answering.try_join_next() {
            if let Ok((number, answer)) = answered {
                self.answers.insert(number, answer);
            }
        }
    }

    /// The next time at which something is to be done.
    async fn next_time(&self) -> Result<Option<Timestamp>, String> {
        let now = self.now();
        let wanted = self.rules.current().wanted.clone();
        let due = self
            .store
            .next_due(wanted)
            .await
            .map_err(|error| error.to_string())?;
        let later = |at: &Timestamp| *at > now;
        let next = [due, self.clock.earliest_wait()];
        let next = next.into_iter().flatten().filter(later).min();
        if next.is_some_and(|next| next.since(self.started) > MAX_TIME) {
            return Err("the test does not end: ten years have passed".to_owned());
        }
        Ok(next)
    }
}

/// Answers a request as the server does once it has read the body.
async fn answer(ingest: &Ingest, rules: &RuleSet, received: Option<Received>) -> Answer {
    let not_found = || Answer::new(StatusCode::NOT_FOUND, "not found", None);
    let Some(received) = received else {
        return not_found();
    };
    let path = url_path::normalized(&received.path).into_owned();
    let Some((endpoint, _)) = rules.endpoint(&path) else {
        return not_found();
    };
    let arriving = Arriving::new(rules, endpoint, &received);
    if !endpoint.admits(&received.method) {
        return Answer::other_method(&received.method, &endpoint.allowed_methods());
    }
    if !endpoint.allows(received.client) {
        return ingest.bar(arriving);
    }
    if received.body.len() as u64 > endpoint.max_body {
        let answer = Answer::new(StatusCode::PAYLOAD_TOO_LARGE, "too large", None);
        return ingest.turn_away(arriving, answer, "too large");
    }
    ingest.accept(rules, endpoint, received, Arc::new(())).await
}
