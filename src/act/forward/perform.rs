//! Attempt at a forward: the request, its response, the verdict.
//!
//! The status alone decides the verdict (`classify.rs`), never the body. Building the request is left
//! to `request.rs`.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::act::action_context::ActionContext;
use crate::act::forward::circuit::RequestEnd;
use crate::act::forward::target_health::{RequestPermit, TargetHealth};
use crate::act::forward::{Forward, classify, target};
use crate::act::outcome::{CapturedStream, HEAD, Outcome, Output, TAIL, Verdict};
use crate::base::clock::Clock;
use crate::client::{ClientError, ClientPool};

/// Maximum bytes read of a response. The rest is not read.
const ANSWER: u64 = (HEAD + TAIL) as u64;
/// Maximum time to wait for the body of a response. The status is known by then, and decides.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Sends the requests of all forwards.
#[derive(Debug)]
pub struct Forwarder {
    clients: ClientPool,
    targets: TargetHealth,
    clock: Clock,
}

impl Forwarder {
    /// Reads the system's root certificates. If there are none, the first request that needs them
    /// fails.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            clients: ClientPool::new()?,
            targets: TargetHealth::default(),
            clock: Clock::system(),
        })
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
        courier: &Forwarder,
        action_context: &ActionContext<'_>,
        stop: &CancellationToken,
    ) -> Outcome {
        let started = Instant::now();
        let request = match self.request(action_context, courier.clock.now()) {
            Ok(request) => request,
            Err(why) => return Outcome::new(Verdict::Dead, why, started.elapsed()),
        };
        let target = target::shown(request.uri(), self.url.source());
        Outcome {
            target: Some(target),
            ..self.send(courier, request, &action_context.delivery, stop).await
        }
    }

    /// Sends a request that is built, unless its target must not be called yet.
    async fn send(
        &self,
        courier: &Forwarder,
        request: Request<Full<Bytes>>,
        delivery: &str,
        stop: &CancellationToken,
    ) -> Outcome {
        let started = Instant::now();
        let stopped = || Outcome::new(Verdict::Stopped, "stopped", started.elapsed());
        let leave = tokio::select! {
            biased;
            () = stop.cancelled() => return stopped(),
            leave = self.leave(courier, &request, delivery) => leave,
        };
        let passage = match leave {
            Ok(passage) => passage,
            Err((after, why)) => return Outcome::new(Verdict::Later { after }, why, started.elapsed()),
        };
        let started = Instant::now();
        let deadline = started + self.timeout;
        let client = courier.clients.by(&self.route);
        let answered = tokio::select! {
            biased;
            () = stop.cancelled() => return stopped(),
            answered = timeout_at(deadline, client.request(request)) => answered,
        };
        passage.end(match &answered {
            Ok(Ok(answer)) if is_unwell(answer.status()) => RequestEnd::Failed,
            Ok(Ok(_)) => RequestEnd::Answered,
            // A request that the rules forbid says nothing about the target.
            Ok(Err(ClientError::Refused(_))) => RequestEnd::Unknown,
            Ok(Err(ClientError::Failed(_))) | Err(_) => RequestEnd::Failed,
        });
        let mut output = Output::default();
        let (verdict, detail) = match answered {
            Err(_) => (
                Verdict::FAILED,
                format!("timed out after {}", humantime::format_duration(self.timeout)),
            ),
            Ok(Err(ClientError::Failed(why))) => (Verdict::FAILED, why),
            Ok(Err(ClientError::Refused(why))) => (Verdict::Dead, why),
            Ok(Ok(answer)) => {
                let judged = classify::judge(answer.status(), answer.headers(), courier.clock.now());
                let patience = deadline
                    .saturating_duration_since(Instant::now())
                    .min(ANSWER_LIMIT);
                // The status has decided, even if the body does not arrive.
                let reading = timeout(patience, read(answer, &mut output.stdout));
                tokio::select! {
                    () = stop.cancelled() => {}
                    _ = reading => {}
                }
                judged
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
    async fn leave<'c>(
        &self,
        courier: &'c Forwarder,
        request: &Request<Full<Bytes>>,
        delivery: &str,
    ) -> Result<RequestPermit<'c>, (Duration, &'static str)> {
        let url = request.uri().to_string();
        let target = target::base(&url);
        let passage = courier
            .targets
            .admit(target, self.route.digest())
            .map_err(|after| (after, "the circuit is open"))?;
        if let Some(rate) = self.rate {
            let turn = courier.targets.turn(target, delivery, rate);
            let wait = turn.map_err(|after| (after, "the rate is reached"))?;
            sleep(wait).await;
        }
        Ok(passage)
    }
}

/// True if a response means that the target is unhealthy.
fn is_unwell(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

/// Reads the body of a response up to [`ANSWER`].
async fn read(answer: Response<Incoming>, kept: &mut CapturedStream) {
    let mut body = answer.into_body();
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(data) = frame.data_ref() {
            kept.push(data);
        }
        if kept.total() > ANSWER {
            return;
        }
    }
}
