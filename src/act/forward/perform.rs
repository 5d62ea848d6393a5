//! One attempt: the request, its answer, the verdict.

use std::time::Duration;

use http::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::act::forward::client::{Clients, Unanswered};
use crate::act::forward::{Forward, judge};
use crate::act::occasion::Occasion;
use crate::act::outcome::{HEAD, Kept, Outcome, Output, TAIL, Verdict};
use crate::clock::Clock;

/// How much of an answer is read; what is more is left to the target.
const ANSWER: u64 = (HEAD + TAIL) as u64;
/// How long the body of an answer is waited for. The status is known by then: it decides.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Makes the requests of all forwards.
#[derive(Debug)]
pub struct Courier {
    clients: Clients,
    clock: Clock,
}

impl Courier {
    /// Reads the system's root certificates. That there are none is told by the first request that needs them.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            clients: Clients::new()?,
            clock: Clock::system(),
        })
    }
}

impl Forward {
    /// Makes the request.
    pub async fn perform(
        &self,
        courier: &Courier,
        occasion: &Occasion<'_>,
        stop: &CancellationToken,
    ) -> Outcome {
        let started = Instant::now();
        let request = match self.request(occasion, courier.clock.now()) {
            Ok(request) => request,
            Err(why) => return Outcome::new(Verdict::Dead, why, started.elapsed()),
        };
        let client = courier.clients.by(&self.route);
        let deadline = started + self.timeout;
        let answered = tokio::select! {
            biased;
            () = stop.cancelled() => {
                return Outcome::new(Verdict::Stopped, "stopped", started.elapsed());
            }
            answered = timeout_at(deadline, client.request(request)) => answered,
        };
        let mut output = Output::default();
        let (verdict, detail) = match answered {
            Err(_) => (
                Verdict::FAILED,
                format!("timed out after {}", humantime::format_duration(self.timeout)),
            ),
            Ok(Err(Unanswered::Failed(why))) => (Verdict::FAILED, why),
            Ok(Err(Unanswered::Refused(why))) => (Verdict::Dead, why),
            Ok(Ok(answer)) => {
                let judged = judge::judge(answer.status(), answer.headers(), courier.clock.now());
                let patience = deadline
                    .saturating_duration_since(Instant::now())
                    .min(ANSWER_LIMIT);
                // Whether the body comes or not: the status has been given.
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
            output,
            duration: started.elapsed(),
        }
    }
}

/// Reads an answer's body up to [`ANSWER`].
async fn read(answer: Response<Incoming>, kept: &mut Kept) {
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
