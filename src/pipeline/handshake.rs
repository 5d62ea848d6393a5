//! Answers to senders' handshakes. A handshake creates no event and runs no action.

use http::Method;

use crate::event::Received;
use crate::pipeline::answer::Answer;
use crate::pipeline::enroll::Learnt;
use crate::pipeline::ingest::Ingest;
use crate::report::{self, Arrival};
use crate::rules::Endpoint;
use crate::verify::HandshakeReply;

impl Ingest {
    /// Answers a handshake. `None` if the request is not one and continues as an event.
    pub(super) async fn greet(&self, endpoint: &Endpoint, received: &Received) -> Option<Answer> {
        match endpoint.greeting(received.client, |verification| verification.handshake(received)) {
            Some(Ok(greeting)) => Some(self.answer(endpoint, received, greeting).await),
            Some(Err(refusal)) => Some(self.turn_down(endpoint, received, &refusal)),
            None if endpoint.methods.contains(&received.method) => None,
            // The endpoint admits this method only for handshakes.
            None => {
                let answer = Answer::other_method(&received.method, &endpoint.allowed_methods());
                if received.method != Method::OPTIONS {
                    let status = answer.status.as_u16();
                    report::turned_away(&received.path, received.client, status, "wrong method");
                }
                Some(answer)
            }
        }
    }

    /// Returns the reply, after the secret that the handshake brings is stored.
    async fn answer(&self, endpoint: &Endpoint, received: &Received, greeting: HandshakeReply) -> Answer {
        let mut news = String::new();
        if let Some(lesson) = &greeting.lesson {
            match self.learning.learn(lesson, &self.writing).await {
                Learnt::Now => {
                    news = format!("its secret is learnt, and kept in `{}`", lesson.file.display());
                }
                Learnt::Before => {}
                Learnt::Another => return self.turn_down(endpoint, received, &lesson.contradicted()),
                Learnt::Failed(why) => {
                    let why = format!(
                        "the handshake `{}`: its secret is not learnt: {why}",
                        lesson.handshake
                    );
                    report::arrival(&Arrival::failed(received, &why).withheld());
                    return Answer::unavailable();
                }
            }
        }
        report::arrival(&Arrival::greeted(received, &greeting.handshake, news));
        Answer::handshake(greeting.status, greeting.headers, greeting.body)
    }
}
