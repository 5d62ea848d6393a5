//! Attempt at a forward: the request, its response, the verdict.
//!
//! The status alone decides the verdict (`classify.rs`), never the body. Building the request is
//! left to `request.rs`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::act::action_context::ActionContext;
use crate::act::forward::circuit::RequestEnd;
use crate::act::forward::target_health::{RequestPermit, TargetHealth, TargetState};
use crate::act::forward::{Forward, classify, target};
use crate::act::outcome::{CapturedStream, HEAD, Outcome, Output, TAIL, Verdict};
use crate::base::clock::Clock;
use crate::base::live::Live;
use crate::base::units::HumanDuration;
use crate::client::{ClientError, ClientPool};

/// Maximum bytes read of a response. The rest is not read.
const MAX_RESPONSE: u64 = (HEAD + TAIL) as u64;
/// Maximum time to wait for the body of a response. The status is known by then, and decides.
const RESPONSE_LIMIT: Duration = Duration::from_secs(2);

/// Time until a delivery to a paused target asks again.
const PAUSED_RETRY: Duration = Duration::from_secs(5);

/// Reason to put off a delivery whose target the operator has paused.
pub const WAITS_FOR_TARGET: &str = "the target is paused";
/// Reason to put off a delivery whose target keeps failing.
pub const WAITS_FOR_CIRCUIT: &str = "the circuit is open";
/// Reason to put off a delivery whose turn by `rate` is later.
pub const WAITS_FOR_RATE: &str = "the rate is reached";

/// Sends the requests of all forwards.
#[derive(Debug)]
pub struct Forwarder {
    clients: ClientPool,
    targets: TargetHealth,
    clock: Clock,
    /// Targets that the operator has paused.
    paused: Live<HashSet<Arc<str>>>,
}

impl Forwarder {
    /// Reads the system's root certificates. If there are none, the first request that needs them
    /// fails.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            clients: ClientPool::new()?,
            targets: TargetHealth::default(),
            clock: Clock::system(),
            paused: Live::new(HashSet::new()),
        })
    }

    /// Pauses exactly these targets.
    pub(in crate::act) fn pause(&self, targets: HashSet<Arc<str>>) {
        self.paused.replace(targets);
    }

    /// Divides all rates by the number of nodes that make requests.
    pub(in crate::act) fn share_rates(&self, nodes: u32) {
        self.targets.share_rates(nodes);
    }

    fn is_paused(&self, target: &str) -> bool {
        let paused = self.paused.current();
        !paused.is_empty() && paused.contains(&*target::normal(target))
    }

    /// Lists the targets that have failed or for whose turn deliveries wait.
    pub(in crate::act) fn targets(&self) -> Vec<TargetState> {
        self.targets.states()
    }

    /// Forgets a delivery that will not come back for its turn.
    pub(in crate::act) fn forget(&self, delivery: &str) {
        self.targets.forget(delivery);
    }
}

impl Forward {
    /// Sends the request, unless its target must not be called yet.
    pub async fn perform(
        &self,
        forwarder: &Forwarder,
        action_context: &ActionContext<'_>,
        stop: &CancellationToken,
    ) -> Outcome {
        let started = Instant::now();
        let request = match self.request(action_context, forwarder.clock.now()) {
            Ok(request) => request,
            Err(why) => return Outcome::new(Verdict::Dead, why, started.elapsed()),
        };
        let target = target::shown(&request.uri, self.url.source());
        Outcome {
            target: Some(target),
            ..self
                .send(forwarder, request.into(), &action_context.delivery, stop)
                .await
        }
    }

    /// Sends a request that is built, unless its target must not be called yet.
    async fn send(
        &self,
        forwarder: &Forwarder,
        request: Request<Full<Bytes>>,
        delivery: &str,
        stop: &CancellationToken,
    ) -> Outcome {
        let started = Instant::now();
        let stopped = || Outcome::new(Verdict::Stopped, "stopped", started.elapsed());
        let permit = tokio::select! {
            biased;
            () = stop.cancelled() => return stopped(),
            permit = self.permit(forwarder, &request, delivery) => permit,
        };
        let permit = match permit {
            Ok(permit) => permit,
            Err((after, why)) => return Outcome::new(Verdict::Later { after }, why, started.elapsed()),
        };
        let started = Instant::now();
        let deadline = started + self.timeout;
        let client = forwarder.clients.by(&self.route);
        let response = tokio::select! {
            biased;
            () = stop.cancelled() => return stopped(),
            response = timeout_at(deadline, client.request(request)) => response,
        };
        permit.end(match &response {
            Ok(Ok(response)) if is_unhealthy(response.status()) => RequestEnd::Failed,
            Ok(Ok(_)) => RequestEnd::Answered,
            // A request that the rules forbid says nothing about the target.
            Ok(Err(ClientError::Refused(_))) => RequestEnd::Unknown,
            Ok(Err(ClientError::Failed(_))) | Err(_) => RequestEnd::Failed,
        });
        let mut output = Output::default();
        let (verdict, detail) = match response {
            Err(_) => (
                Verdict::FAILED,
                format!("timed out after {}", HumanDuration(self.timeout)),
            ),
            Ok(Err(ClientError::Failed(why))) => (Verdict::FAILED, why),
            Ok(Err(ClientError::Refused(why))) => (Verdict::Dead, why),
            Ok(Ok(response)) => {
                let (headers, now) = (response.headers(), forwarder.clock.now());
                let verdict = classify::classify(response.status(), headers, now, &self.status);
                read_until(deadline, response, &mut output.stdout, stop).await;
                verdict
            }
        };
        Outcome {
            verdict,
            detail,
            target: None,
            output,
            duration: started.elapsed(),
        }
    }

    /// Waits for a permit to call the target. If that takes long, the error is the time until the
    /// delivery may ask again, and the reason.
    async fn permit<'c>(
        &self,
        forwarder: &'c Forwarder,
        request: &Request<Full<Bytes>>,
        delivery: &str,
    ) -> Result<RequestPermit<'c>, (Duration, &'static str)> {
        let url = request.uri().to_string();
        let target = target::base(&url);
        if forwarder.is_paused(target) {
            return Err((PAUSED_RETRY, WAITS_FOR_TARGET));
        }
        let permit = forwarder
            .targets
            .admit(target, self.route.digest())
            .map_err(|after| (after, WAITS_FOR_CIRCUIT))?;
        if let Some(rate) = self.rate {
            let turn = forwarder.targets.turn(target, delivery, rate);
            let wait = turn.map_err(|after| (after, WAITS_FOR_RATE))?;
            sleep(wait).await;
        }
        Ok(permit)
    }
}

/// True if a response means that the target is unhealthy.
fn is_unhealthy(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

/// Reads the body of a response until the deadline. The status has decided, even if the body does
/// not arrive.
async fn read_until(
    deadline: Instant,
    response: Response<Incoming>,
    captured: &mut CapturedStream,
    stop: &CancellationToken,
) {
    let limit = deadline.saturating_duration_since(Instant::now());
    let reading = timeout(limit.min(RESPONSE_LIMIT), read(response, captured));
    tokio::select! {
        () = stop.cancelled() => {}
        _ = reading => {}
    }
}

/// Reads the body of a response up to [`MAX_RESPONSE`].
async fn read(response: Response<Incoming>, captured: &mut CapturedStream) {
    let mut body = response.into_body();
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(data) = frame.data_ref() {
            captured.push(data);
        }
        if captured.total() > MAX_RESPONSE {
            return;
        }
    }
}
