//! Watch over expected arrivals: notices silence, runs `on_silence` and keeps the last arrivals in
//! the store.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::base::clock::{Clock, Timestamp};
use crate::base::live::Live;
use crate::daemon::shared::Shared;
use crate::pipeline::{Change, Heard, Listening, decide, silence_event};
use crate::report::{self, ExpectationState};
use crate::rules::{ExpectedArrival, RuleSet};
use crate::store::{Enqueued, Expectation, ExpectationSubject, Place, Store};

/// Interval between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// Interval between two writes of new arrivals. A crash loses those since the last write.
const ARRIVALS_WRITTEN_EVERY: Duration = Duration::from_secs(10);
/// Wait after the store has refused an event about a silence.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// The watch over expected arrivals.
pub(super) struct SilenceWatch {
    live: Arc<Live<RuleSet>>,
    store: Arc<dyn Store>,
    clock: Clock,
    heard: Arc<Heard>,
    /// States for the status and the metrics.
    shown: Arc<Live<Vec<ExpectationState>>>,
    /// True if other nodes note arrivals in the same store.
    is_shared: bool,
    watched: Mutex<Watched>,
}

/// Builds the watch, with what the store keeps.
pub(super) async fn watch(shared: &Shared, heard: &Arc<Heard>) -> Result<Arc<SilenceWatch>, String> {
    let kept = shared.store.expectations().await;
    let kept = kept.map_err(|error| format!("the store: {error}"))?.into_iter();
    let kept: Expectations = kept.map(|known| (known.subject.clone(), known)).collect();
    let clock = shared.store.clock();
    let now = clock.now();
    let watch = SilenceWatch {
        live: Arc::clone(&shared.live),
        store: Arc::clone(&shared.store),
        clock,
        heard: Arc::clone(heard),
        shown: Arc::clone(&shared.expectations),
        is_shared: matches!(shared.place, Place::Postgres(_)),
        watched: Mutex::new(Watched {
            listening: Listening::new(now),
            current: kept.clone(),
            written: kept,
            written_at: now,
            refused_at: None,
        }),
    };
    // The first status shows a silence that goes on.
    watch.look().await;
    Ok(Arc::new(watch))
}

/// The latest arrivals by their subjects.
type Arrivals = HashMap<ExpectationSubject, Timestamp>;

/// Expectations by their subjects.
type Expectations = BTreeMap<ExpectationSubject, Expectation>;

struct Watched {
    listening: Listening,
    current: Expectations,
    /// As the store has them.
    written: Expectations,
    written_at: Timestamp,
    /// Time of the last event that the store refused.
    refused_at: Option<Timestamp>,
}

impl SilenceWatch {
    /// Watches until `stop`. The caller then calls [`Self::write_down`].
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => self.look().await,
                () = stop.cancelled() => {}
            }
        }
    }

    /// Decides about all expectations, and writes what has changed.
    async fn look(&self) {
        let rules = self.live.current();
        let mut watched = self.watched.lock().await;
        if rules.expected.is_empty() && watched.written.is_empty() {
            if !watched.current.is_empty() {
                self.shown.replace(Vec::new());
                watched.current.clear();
            }
            return;
        }
        // Before the time is read, so that no arrival is of the future.
        let mut heard = self.heard.take();
        let now = self.clock.now();
        watched.listening.look(now);
        let is_due = now.distance(watched.written_at) >= ARRIVALS_WRITTEN_EVERY;
        if self.is_shared && (is_due || watched.falls_silent(&rules, &heard, now)) {
            self.add_noted(&watched, &mut heard).await;
        }
        let mut next = Expectations::new();
        let mut shown = Vec::with_capacity(rules.expected.len());
        for expected in &rules.expected {
            let subject = &expected.subject;
            let new = || Expectation::new(subject.clone(), now);
            let known = watched.current.get(subject).cloned().unwrap_or_else(new);
            let heard = heard.get(subject).copied();
            let (decided, change) = decide(&known, expected.every, heard, watched.listening, now);
            shown.push(ExpectationState {
                endpoint: Arc::clone(&expected.endpoint),
                every: expected.every,
                known: decided.clone(),
            });
            let is_done = match change {
                Some(Change::CallsAgain) => {
                    info!(kind = subject.kind(), name = &**subject.name(), "calls again");
                    true
                }
                Some(Change::Silent) => self.tell(&mut watched, &rules, expected, &decided, now).await,
                None => true,
            };
            // A silence that could not be told is noticed again.
            let noticed_at = decided.noticed_at.filter(|_| is_done);
            let kept = Expectation {
                noticed_at,
                ..decided
            };
            next.insert(subject.clone(), kept);
        }
        self.shown.replace(shown);
        watched.current = next;
        if is_due || watched.differ_in_more_than_arrivals() {
            self.write(&mut watched, now).await;
        }
    }

    /// Adds arrivals that other nodes have noted in the store. If they cannot be read, the event of a
    /// silence cannot be written either.
    async fn add_noted(&self, watched: &Watched, heard: &mut Arrivals) {
        for noted in self.store.expectations().await.unwrap_or_default() {
            let known = watched.current.get(&noted.subject);
            if let Some(last) = noted.last_arrival
                && known.is_some_and(|known| known.last_arrival < Some(last))
            {
                let latest = heard.entry(noted.subject).or_insert(last);
                *latest = last.max(*latest);
            }
        }
    }

    /// Logs a silence, and writes the event for `on_silence`. False if the store refuses it, now or
    /// a short time ago.
    async fn tell(
        &self,
        watched: &mut Watched,
        rules: &RuleSet,
        expected: &ExpectedArrival,
        known: &Expectation,
        now: Timestamp,
    ) -> bool {
        let mut event = None;
        if let Some(on_silence) = &expected.on_silence {
            let refused = watched.refused_at;
            if refused.is_some_and(|refused| now.distance(refused) < RETRY_AFTER) {
                return false;
            }
            let new_event = silence_event(rules, expected, on_silence, known, now);
            let id = new_event.received.id;
            match self.store.enqueue(new_event).await {
                Ok(enqueued) => event = enqueued.iter().any(Enqueued::is_new).then_some(id),
                Err(error) => {
                    watched.refused_at = Some(now);
                    report::store_failed("run `on_silence`", &error.to_string());
                    return false;
                }
            }
        }
        let (kind, name) = (known.subject.kind(), &**known.subject.name());
        let last = known.last_arrival.map(|at| at.to_string());
        let (last, expect_every) = (last.as_deref(), expected.every.as_secs_f64());
        let event = event.map(tracing::field::display);
        warn!(
            kind,
            name, last, expect_every, event, "silent: nothing genuine came"
        );
        true
    }

    /// Writes the state, with the arrivals since the last look. For the stop of the daemon.
    pub async fn write_down(&self) {
        let mut watched = self.watched.lock().await;
        for (subject, at) in self.heard.take() {
            if let Some(known) = watched.current.get_mut(&subject) {
                known.last_arrival = known.last_arrival.max(Some(at));
                known.noticed_at = None;
            }
        }
        self.write(&mut watched, self.clock.now()).await;
    }

    /// Writes what differs from the store. What cannot be written is written with the next look.
    async fn write(&self, watched: &mut Watched, now: Timestamp) {
        let changed = watched.current.values();
        let changed = changed.filter(|known| watched.written.get(&known.subject) != Some(known));
        let changed: Vec<Expectation> = changed.cloned().collect();
        let gone = watched.written.keys();
        let gone = gone.filter(|subject| !watched.current.contains_key(subject));
        let gone: Vec<ExpectationSubject> = gone.cloned().collect();
        watched.written_at = now;
        if changed.is_empty() && gone.is_empty() {
            return;
        }
        match self.store.note_expectations(changed, gone).await {
            Ok(()) => watched.written = watched.current.clone(),
            Err(error) => report::store_failed("note the last arrivals", &error.to_string()),
        }
    }
}

impl Watched {
    /// True if a silence begins, as far as this node has heard.
    fn falls_silent(&self, rules: &RuleSet, heard: &Arrivals, now: Timestamp) -> bool {
        rules.expected.iter().any(|expected| {
            let subject = &expected.subject;
            let heard = heard.get(subject).copied();
            self.current.get(subject).is_some_and(|known| {
                let (_, change) = decide(known, expected.every, heard, self.listening, now);
                matches!(change, Some(Change::Silent))
            })
        })
    }

    /// True if an expectation is new or gone, or a silence has begun or ended.
    fn differ_in_more_than_arrivals(&self) -> bool {
        let same = |known: &Expectation| {
            let written = self.written.get(&known.subject);
            written
                .is_some_and(|written| (written.since, written.noticed_at) == (known.since, known.noticed_at))
        };
        self.current.len() != self.written.len() || !self.current.values().all(same)
    }
}
