//! Refused requests: a log line and a record with the reason, and an answer without it.

use http::StatusCode;

use crate::event::ArrivalOutcome;
use crate::payload::Event;
use crate::pipeline::answer::{Answer, INVALID, TOO_LARGE};
use crate::pipeline::arriving::{Arriving, distrusted};
use crate::pipeline::authorization::Authorization;
use crate::pipeline::ingest::{Ingest, with_fault};
use crate::pipeline::response::ResponseBuilder;
use crate::pipeline::unmatched::no_rule;
use crate::report::{self, Arrival};
use crate::verify::Refusal;

impl Ingest {
    /// Answers a request that no rule trusts.
    pub(super) fn refuse_untrusted(
        &self,
        arriving: Arriving<'_>,
        authorization: &Authorization<'_>,
    ) -> Answer {
        let Some(refusal) = authorization.refusal() else {
            // Nothing is verified here because no rule is in force here.
            let answer = Answer::new(StatusCode::NOT_FOUND, "not found", None);
            return self.turn_away(arriving, answer, &no_rule(arriving.endpoint));
        };
        self.refuse(arriving, &refusal, Some(authorization))
    }

    /// Logs and records the reason of a refusal. The answer does not contain it.
    pub(super) fn refuse(
        &self,
        arriving: Arriving<'_>,
        refusal: &Refusal,
        authorization: Option<&Authorization<'_>>,
    ) -> Answer {
        if let Some(too_large) = refusal.is_unreadable() {
            let answer = if too_large { TOO_LARGE } else { INVALID };
            let answer = self.refuse_unreadable(arriving, answer, &refusal.to_string(), authorization);
            return Answer {
                refusal: Some(refusal.reason()),
                ..answer
            };
        }
        report::arrival(&self.metrics, &Arrival::refused(arriving.received, refusal));
        let (outcome, mut answer) = if refusal.is_stale() {
            let answer = Answer::new(StatusCode::BAD_REQUEST, "stale", None);
            (ArrivalOutcome::Stale, answer)
        } else if refusal.is_malformed() {
            let answer = Answer::new(StatusCode::BAD_REQUEST, "bad request", None);
            (ArrivalOutcome::Refused, answer)
        } else {
            // Only challenges of enabled rules: credentials for a disabled one would not help.
            let endpoint = arriving.endpoint;
            let enabled = endpoint.rules.iter().filter(|rule| rule.enabled);
            let alternatives = enabled.flat_map(|rule| &rule.alternatives);
            let mut challenges =
                alternatives.filter_map(|known| endpoint.verifications.get(known.verification)?.challenge());
            (ArrivalOutcome::Refused, Answer::refused(challenges.next()))
        };
        answer.refusal = Some(refusal.reason());
        let recorded = if refusal.handshake().is_some() {
            arriving.withheld()
        } else {
            arriving
        };
        let reason = refusal.to_string();
        self.record_refused(recorded, outcome, answer.status, &reason, authorization);
        answer
    }

    /// Answers a genuine request whose body is unreadable for every rule that might match it.
    pub(super) fn refuse_unreadable(
        &self,
        arriving: Arriving<'_>,
        (status, word): (StatusCode, &'static str),
        why: &str,
        authorization: Option<&Authorization<'_>>,
    ) -> Answer {
        let answer = Answer::new(status, word, None);
        self.note_unreadable(arriving, &answer, why, authorization);
        answer
    }

    /// Answers a request that a rule has verified, but no rule can read. The rules may state the
    /// answer.
    pub(super) fn unreadable(
        &self,
        arriving: Arriving<'_>,
        event: &Event,
        why: &str,
        authorization: &Authorization<'_>,
    ) -> Answer {
        let (status, word) = INVALID;
        let mut answer = Answer::new(status, word, None);
        if authorization.is_proven() {
            let reply = ResponseBuilder {
                endpoint: arriving.endpoint,
                rules: authorization.early_answering().collect(),
                event,
                verified: authorization.is_genuine(),
                metrics: &self.metrics,
            };
            reply.unreadable(&mut answer);
        }
        self.note_unreadable(arriving, &answer, why, Some(authorization));
        answer
    }

    /// Logs and records a request whose body is unreadable.
    fn note_unreadable(
        &self,
        arriving: Arriving<'_>,
        answer: &Answer,
        why: &str,
        authorization: Option<&Authorization<'_>>,
    ) {
        let outcome = ArrivalOutcome::of_answer(answer.outcome);
        let decode = arriving.endpoint.decode.name();
        report::arrival(
            &self.metrics,
            &Arrival::unread(arriving.received, outcome, decode, why),
        );
        // The sender may never retry, so at least the request's arrival can be looked up.
        let why = with_fault(why.to_owned(), answer);
        self.record_refused(arriving, outcome, answer.status, &why, authorization);
    }

    fn record_refused(
        &self,
        arriving: Arriving<'_>,
        outcome: ArrivalOutcome,
        status: StatusCode,
        reason: &str,
        authorization: Option<&Authorization<'_>>,
    ) {
        self.record(arriving, outcome, status, authorization, || {
            let mut decided = Vec::new();
            if let Some(authorization) = authorization {
                distrusted(arriving.endpoint, authorization, &mut decided);
            }
            (reason.to_owned(), decided)
        });
    }
}
