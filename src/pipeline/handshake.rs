//! Answers to senders' handshakes. A handshake creates no event and runs no action.

use http::Method;

use crate::event::ArrivalOutcome;
use crate::pipeline::answer::Answer;
use crate::pipeline::arriving::Arriving;
use crate::pipeline::enroll::EnrollOutcome;
use crate::pipeline::ingest::Ingest;
use crate::report::{self, Arrival};
use crate::verify::HandshakeReply;

impl Ingest {
    /// Answers a handshake. `None` if the request is not one and continues as an event.
    pub(super) async fn handshake(&self, arriving: Arriving<'_>) -> Option<Answer> {
        let Arriving {
            endpoint, received, ..
        } = arriving;
        match endpoint.handshake_reply(received.client, |verification| verification.handshake(received)) {
            Some(Ok(reply)) => Some(self.answer(arriving, reply).await),
            Some(Err(refusal)) => Some(self.refuse(arriving, &refusal, None)),
            None if endpoint.methods.contains(&received.method) => None,
            // The endpoint admits this method only for handshakes.
            None => {
                let answer = Answer::other_method(&received.method, &endpoint.allowed_methods());
                if received.method == Method::OPTIONS {
                    return Some(answer);
                }
                Some(self.turn_away(arriving, answer, "wrong method"))
            }
        }
    }

    /// Returns the reply, after the secret that the handshake brings is stored.
    async fn answer(&self, arriving: Arriving<'_>, reply: HandshakeReply) -> Answer {
        let received = arriving.received;
        let mut news = String::new();
        if let Some(new_secret) = &reply.lesson {
            match self.enrollment.enroll(new_secret, &self.writing).await {
                EnrollOutcome::Now => {
                    news = format!(
                        "its secret is learnt, and kept in `{}`",
                        new_secret.file.display()
                    );
                }
                EnrollOutcome::Before => {}
                EnrollOutcome::Another => {
                    return self.refuse(arriving, &new_secret.contradicted(), None);
                }
                EnrollOutcome::Failed(why) => {
                    let why = format!(
                        "the handshake `{}`: its secret is not learnt: {why}",
                        new_secret.handshake
                    );
                    report::arrival(&self.metrics, &Arrival::failed(received, &why).withheld());
                    let answer = Answer::unavailable();
                    self.record(
                        arriving.withheld(),
                        ArrivalOutcome::Unavailable,
                        answer.status,
                        None,
                        || (why, Vec::new()),
                    );
                    return answer;
                }
            }
        }
        if reply.is_verified {
            self.heard.on_endpoint(arriving.endpoint, self.clock.now());
        }
        self.record(
            arriving.withheld(),
            ArrivalOutcome::Handshake,
            reply.status,
            None,
            || {
                let reason = format!("the handshake `{}` was answered", reply.handshake);
                (reason, Vec::new())
            },
        );
        report::arrival(&self.metrics, &Arrival::greeted(received, &reply.handshake, news));
        Answer::handshake(reply.status, reply.headers, reply.body)
    }
}
