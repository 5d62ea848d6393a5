//! Answers to senders' handshakes. A handshake creates no event and runs no action.

use http::Method;

use crate::event::Received;
use crate::pipeline::answer::Answer;
use crate::pipeline::enroll::EnrollOutcome;
use crate::pipeline::ingest::Ingest;
use crate::pipeline::refuse::refuse;
use crate::report::{self, Arrival};
use crate::rules::Endpoint;
use crate::verify::HandshakeReply;

impl Ingest {
    /// Answers a handshake. `None` if the request is not one and continues as an event.
    pub(super) async fn handshake(&self, endpoint: &Endpoint, received: &Received) -> Option<Answer> {
        match endpoint.handshake_reply(received.client, |verification| verification.handshake(received)) {
            Some(Ok(reply)) => Some(self.answer(endpoint, received, reply).await),
            Some(Err(refusal)) => Some(refuse(&self.metrics, &*self.store, endpoint, received, &refusal)),
            None if endpoint.methods.contains(&received.method) => None,
            // The endpoint admits this method only for handshakes.
            None => {
                let answer = Answer::other_method(&received.method, &endpoint.allowed_methods());
                if received.method != Method::OPTIONS {
                    let status = answer.status.as_u16();
                    report::turned_away(
                        &self.metrics,
                        &received.path,
                        received.client,
                        status,
                        "wrong method",
                    );
                }
                Some(answer)
            }
        }
    }

    /// Returns the reply, after the secret that the handshake brings is stored.
    async fn answer(&self, endpoint: &Endpoint, received: &Received, reply: HandshakeReply) -> Answer {
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
                    return refuse(
                        &self.metrics,
                        &*self.store,
                        endpoint,
                        received,
                        &new_secret.contradicted(),
                    );
                }
                EnrollOutcome::Failed(why) => {
                    let why = format!(
                        "the handshake `{}`: its secret is not learnt: {why}",
                        new_secret.handshake
                    );
                    report::arrival(&self.metrics, &Arrival::failed(received, &why).withheld());
                    return Answer::unavailable();
                }
            }
        }
        report::arrival(&self.metrics, &Arrival::greeted(received, &reply.handshake, news));
        Answer::handshake(reply.status, reply.headers, reply.body)
    }
}
