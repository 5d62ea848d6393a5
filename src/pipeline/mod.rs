//! The order of the steps, written once: an event's way through the other modules.
//!
//! [`Ingest`] takes a request to its answer, [`Dispatcher`] a delivery to its settlement. Senders
//! that wait for an outcome are in `outcome_waiters.rs`. Decisions (`settlement`, `answer`) are
//! pure: time is an argument.

mod answer;
mod arrivals;
mod arriving;
mod attempt;
mod authorization;
mod begin_marks;
mod decode_limits;
mod dispatch;
mod duplicate;
mod enroll;
mod event_cache;
mod expansion;
mod fire;
mod fire_request;
mod followers;
mod handshake;
mod heard;
mod ingest;
mod live_output;
mod new_delivery;
mod ongoing;
mod outcome_waiters;
mod perform;
mod preview;
mod put_off;
mod recorder;
mod refuse;
mod replay;
mod response;
mod resumption;
mod running;
mod seen;
mod settlement;
mod silence;
mod supersede;
mod unattempted;
mod unmatched;
mod usage;
mod verdict;
mod writing;

pub use answer::{Answer, INVALID, STATUS, TOO_LARGE};
pub use arriving::Arriving;
pub use dispatch::Dispatcher;
pub use enroll::ReloadRequest;
pub use fire::{Fired, NotFired};
pub use fire_request::{Firing, filled_path};
pub use heard::Heard;
pub use ingest::{Hold, Ingest, without_credentials};
pub use live_output::{OutputCursor, OutputPiece, OutputReader};
pub use ongoing::{AfterStop, AttemptEnd, Cancel, OngoingAttempt, RunningAttempt, StopTarget};
pub use preview::Preview;
pub use put_off::MAX_PUT_OFF;
pub use recorder::Recorder;
pub use replay::Replayed;
pub use seen::Seen;
pub use silence::{Change, Listening, decide, silence_event};
pub use unmatched::unstructured;
pub use usage::{EVERY as USAGE_WRITTEN_EVERY, Usage};
pub use verdict::{KeptArrival, Unknown, Verdict};

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::act::ActionRunner;
use crate::base::heartbeat::Heartbeat;
use crate::base::live::Live;
use crate::pipeline::decode_limits::DecodeLimits;
use crate::pipeline::enroll::SecretEnrollment;
use crate::pipeline::outcome_waiters::OutcomeWaiters;
use crate::pipeline::running::Running;
use crate::pipeline::supersede::Supersede;
use crate::report::Metrics;
use crate::rules::RuleSet;
use crate::store::{Pauses, Store};

/// Everything that the pipeline needs from the daemon.
pub struct Connections {
    pub store: Arc<dyn Store>,
    pub metrics: Arc<Metrics>,
    /// Rules in force.
    pub live: Arc<Live<RuleSet>>,
    /// Rules and targets that the operator has paused.
    pub pauses: Arc<Live<Pauses>>,
    pub runner: ActionRunner,
    /// Cancelled when the daemon is about to end. Senders that wait for an outcome are answered
    /// then.
    pub closing: CancellationToken,
    /// Tracks events being written. The daemon waits for them before it stops.
    pub writing: TaskTracker,
    /// Maximum senders that wait for an outcome. Further ones get the answer that it is pending.
    pub max_waiting: usize,
    /// Beats with every look at the queue.
    pub heartbeat: Arc<Heartbeat>,
}

/// The pipeline: both ends of it, connected to each other.
pub struct Pipeline {
    pub ingest: Ingest,
    pub dispatcher: Arc<Dispatcher>,
    /// Last matches of the secrets.
    pub usage: Arc<Usage>,
    /// Genuine arrivals that are expected.
    pub heard: Arc<Heard>,
    /// Writes records of arrivals.
    pub recorder: Arc<Recorder>,
    /// Requests for a reload, after a handshake has brought a secret.
    pub reload_requests: mpsc::Receiver<ReloadRequest>,
}

impl Pipeline {
    pub fn new(connections: Connections) -> Self {
        let Connections {
            store,
            metrics,
            live,
            pauses,
            runner,
            closing,
            writing,
            max_waiting,
            heartbeat,
        } = connections;
        let (clock, waiters) = (store.clock(), Arc::new(OutcomeWaiters::new(max_waiting)));
        let (running, usage) = (Arc::<Running>::default(), Arc::<Usage>::default());
        let heard = Arc::<Heard>::default();
        let runner = Arc::new(runner);
        let supersede = Supersede::new(&metrics, &running, &waiters, &runner);
        let (reload, reload_requests) = mpsc::channel(1);
        let enrollment = if runner.is_pretended() {
            SecretEnrollment::pretended(reload)
        } else {
            SecretEnrollment::new(reload)
        };
        let recorder = Arc::new(Recorder::new(Arc::clone(&store), Arc::clone(&metrics)));
        let dispatcher = Dispatcher {
            store: Arc::clone(&store),
            metrics: Arc::clone(&metrics),
            live,
            pauses,
            runner,
            clock: clock.clone(),
            news: store.news(),
            waiters: Arc::clone(&waiters),
            running,
            put_off: put_off::PutOff::default(),
            supersede: supersede.clone(),
            begun: parking_lot::Mutex::default(),
            decode_limits: DecodeLimits::default(),
            heartbeat,
        };
        let ingest = Ingest {
            store,
            metrics,
            waiters,
            closing,
            writing,
            enrollment,
            supersede,
            clock,
            usage: Arc::clone(&usage),
            heard: Arc::clone(&heard),
            decode_limits: DecodeLimits::default(),
            recorder: Arc::clone(&recorder),
        };
        Self {
            ingest,
            dispatcher: Arc::new(dispatcher),
            usage,
            heard,
            recorder,
            reload_requests,
        }
    }
}
