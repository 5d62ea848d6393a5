//! A request's way to its answer: verify → decode → match → one durable write → answer.
//!
//! Handshakes are answered before (`handshake.rs`). An event is stored durably before it is
//! answered as accepted. `authorization.rs` decides which rules trust the request.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::base::clock::Clock;
use crate::event::{ArrivalOutcome, Decision, Received, RuleDecision};
use crate::payload::{self, Event, Payload, Undecodable, View};
use crate::pipeline::answer::{Answer, TOO_LARGE};
use crate::pipeline::arriving::{Arriving, decisions, taken_before};
use crate::pipeline::authorization::{Authorization, Match, Recognised};
use crate::pipeline::decode_limits::{BodyLimits, DecodeLimits};
use crate::pipeline::enroll::SecretEnrollment;
use crate::pipeline::heard::Heard;
use crate::pipeline::new_delivery::{new_deliveries, owners};
use crate::pipeline::outcome_waiters::OutcomeWaiters;
use crate::pipeline::recorder::Recorder;
use crate::pipeline::response::{ResponseBuilder, outcome};
use crate::pipeline::supersede::Supersede;
use crate::pipeline::unmatched::{blind, nearest, no_rule, unstructured};
use crate::pipeline::usage::Usage;
use crate::report::{self, Arrival, Metrics};
use crate::rules::{Endpoint, Rule, RuleSet};
use crate::store::{Enqueued, NewEvent, Sighting, Store};
use crate::verify::Refusal;

/// A value that is kept as long as the body of a request may be in memory.
pub type Hold = Arc<dyn Any + Send + Sync>;

/// The payload of an endpoint, and those of the views of its rules.
type Payloads = (Payload, Vec<(View, Payload)>);

/// Processes received requests.
pub struct Ingest {
    pub(super) store: Arc<dyn Store>,
    pub(super) metrics: Arc<Metrics>,
    /// Senders that wait for an outcome.
    pub(super) waiters: Arc<OutcomeWaiters>,
    /// Cancelled when the daemon is about to end. Senders that wait for an outcome are answered
    /// then.
    pub(super) closing: CancellationToken,
    /// Events being written. The daemon waits for them before it stops.
    pub(super) writing: TaskTracker,
    /// Stores secrets from handshakes.
    pub(super) enrollment: SecretEnrollment,
    /// Ends deliveries that a new one supersedes.
    pub(super) supersede: Supersede,
    /// Clock by which deliveries are leased.
    pub(super) clock: Clock,
    /// Last matches of the secrets.
    pub(super) usage: Arc<Usage>,
    /// Genuine arrivals that are expected.
    pub(super) heard: Arc<Heard>,
    /// Limits on decoding.
    pub(super) decode_limits: DecodeLimits,
    /// Records arrivals that become no event.
    pub(super) recorder: Arc<Recorder>,
}

impl Ingest {
    /// Processes one request on `endpoint` and returns the answer. `hold` is dropped when the body
    /// is no longer needed. The event may be written after the sender has disconnected.
    pub async fn accept(
        &self,
        rules: &RuleSet,
        endpoint: &Endpoint,
        received: Received,
        hold: Hold,
    ) -> Answer {
        let arriving = Arriving::new(rules, endpoint, &received);
        if !endpoint.handshakes.is_empty()
            && let Some(answer) = self.handshake(arriving).await
        {
            return answer;
        }
        let judging = self
            .decode_limits
            .run(&received, || Authorization::new(endpoint, &received));
        let Some(authorization) = judging.await else {
            return self.too_busy(arriving);
        };
        authorization.note(&self.usage);
        if !authorization.trusts_any() {
            return self.refuse_untrusted(arriving, &authorization);
        }
        // A request that is only observed has proved nothing.
        if authorization.is_genuine() {
            self.heard.on_endpoint(endpoint, self.clock.now());
        }
        let trusted = |index: usize| authorization.trusts(index);
        let Some((_memory, decoded)) = self.decode(endpoint, &received, &trusted).await else {
            return self.too_busy(arriving);
        };
        let (payload, views) = match decoded {
            Ok(payloads) => payloads,
            Err(error) if error.is_too_large() => {
                let why = error.to_string();
                return self.refuse_unreadable(arriving, TOO_LARGE, &why, Some(&authorization));
            }
            // Rules that do not read the payload accept the event all the same.
            Err(error) => (Payload::unreadable(&error), Vec::new()),
        };
        let event = Event {
            received: Arc::new(received),
            payload,
            views,
            fired_by: None,
        };
        let considered = |index: usize| authorization.trusts(index) && endpoint.can_act(index, &event);
        let matched = endpoint.matcher.matching(&event, &considered);
        if matched.is_empty() {
            return self.ignore(rules, endpoint, &event, &authorization);
        }
        if event.has_fault() {
            let others = |index: usize| authorization.trusts(index) && !matched.contains(&index);
            let blind: Vec<(&str, &str)> = blind(endpoint, &event, others).collect();
            let fault = blind.first().map(|(_, fault)| *fault);
            if let Some(fault) = fault.or(event.payload.decode_error.as_deref()) {
                report::not_asked(&event.received, blind.iter().map(|(rule, _)| *rule), fault);
            }
        }
        let recognised = authorization.recognised(&event.received);
        let reasons = decisions(endpoint, &event, &authorization, &matched);
        let matched: Vec<Match<'_>> = matched
            .into_iter()
            .filter_map(|index| authorization.matched(index))
            .map(|one| one.with_elements(endpoint, &event))
            .collect();
        for (index, recognised) in recognised.iter().enumerate() {
            // The sightings of rules that accept the event are written together with it.
            if !matched.iter().any(|one| one.verification == index) {
                self.remember(recognised);
            }
        }
        let accepted = Acceptance {
            rules,
            endpoint,
            authorization: &authorization,
            matched: &matched,
            recognised: &recognised,
        };
        self.enqueue(&accepted, event, reasons, hold).await
    }

    /// Decodes the body, and again in each view of the rules that are `considered`, with a permit
    /// for the memory. `None` if too many bodies are being decoded.
    pub(super) async fn decode(
        &self,
        endpoint: &Endpoint,
        received: &Received,
        considered: &(dyn Fn(usize) -> bool + Sync),
    ) -> Option<(OwnedSemaphorePermit, Result<Payloads, Undecodable>)> {
        let (format, unpack, limit) = (endpoint.decode, endpoint.unpack.as_ref(), endpoint.max_body);
        let (headers, body) = (&received.headers, &received.body);
        let memory = self
            .decode_limits
            .memory(received, BodyLimits::of(endpoint))
            .await?;
        let decode = || {
            let payload = payload::decode_unpacked(format, unpack, headers, body, limit, &endpoint.plan)?;
            Ok((payload, endpoint.decode_views(headers, body, considered)))
        };
        Some((memory, self.decode_limits.run(received, decode).await?))
    }

    /// Remembers a genuine request for its endpoint if no rule of its verification accepts it.
    fn remember(&self, recognised: &Recognised) {
        if let Some(sighting) = &recognised.sighting {
            self.store.remember_sighting(Sighting::clone(sighting));
        }
    }

    /// Answers a request that found no slot: too many large bodies are being decoded.
    fn too_busy(&self, arriving: Arriving<'_>) -> Answer {
        let why = "too many large or compressed bodies at once";
        self.turn_away(arriving, Answer::unavailable(), why)
    }

    /// Refuses a request from an address that the endpoint does not allow. Its body need not have
    /// been read.
    pub fn bar(&self, arriving: Arriving<'_>) -> Answer {
        let client = arriving.received.client;
        self.refuse(arriving, &Refusal::AddressNotAllowed { client }, None)
    }

    /// Stores the event in one durable write and answers.
    async fn enqueue(
        &self,
        acceptance: &Acceptance<'_>,
        event: Event,
        decided: Vec<RuleDecision>,
        hold: Hold,
    ) -> Answer {
        let &Acceptance {
            rules,
            endpoint,
            authorization,
            matched,
            recognised,
        } = acceptance;
        let Event {
            received,
            payload,
            views,
            fired_by,
        } = event;
        let id = received.id;
        // No other owner is left, so nothing is copied.
        let kept = Arc::new(without_credentials(endpoint, Arc::unwrap_or_clone(received)));
        let event = Event {
            received: Arc::clone(&kept),
            payload,
            views,
            fired_by,
        };
        let reply = ResponseBuilder {
            endpoint,
            rules: matched.iter().map(|one| one.rule).collect(),
            event: &event,
            verified: matched.iter().all(|one| one.unverified.is_none()),
            metrics: &self.metrics,
        };
        let awaited = matched.iter().filter(|one| one.rule.is_awaited());
        let awaited: usize = awaited.map(Match::deliveries).sum();
        // Both before the write: dispatch may finish the deliveries before the write returns.
        let wait = (awaited > 0).then(|| self.waiters.enter(id, awaited)).flatten();
        let now = self.clock.now();
        let decision = Decision {
            verified: authorization.verified(),
            ..Arriving::new(rules, endpoint, &kept).decision(decided)
        };
        let new_event = NewEvent {
            received: Arc::clone(&kept),
            decode: endpoint.decode.name().to_owned(),
            deliveries: new_deliveries(matched, recognised, &event, now),
            status: (awaited == 0).then(|| reply.success_status().as_u16()),
            decision,
            is_replay: false,
            fired_by: None,
            now,
        };
        let enqueued = match self.write(&kept, new_event, Arc::clone(&hold)).await {
            Ok(enqueued) => enqueued,
            Err(why) => {
                let answer = Answer::unavailable();
                self.conclude(acceptance, &event, &answer, &why);
                return answer;
            }
        };
        for (one, enqueued) in owners(matched).zip(&enqueued) {
            if one.unverified.is_none() && !matches!(enqueued, Enqueued::Altered { .. }) {
                self.heard.for_rule(one.rule, now);
            }
        }
        if !enqueued.iter().any(Enqueued::is_new) {
            let answer = self.duplicate(endpoint, &reply, matched, &enqueued).await;
            self.conclude(acceptance, &event, &answer, &taken_before(&enqueued));
            return answer;
        }
        let new_awaited = owners(matched)
            .zip(&enqueued)
            .filter(|(one, enqueued)| enqueued.is_new() && one.rule.is_awaited());
        let new_awaited: Vec<&Rule> = new_awaited.map(|(one, _)| one.rule).collect();
        let answer = match (wait, new_awaited.as_slice(), respond_limit(matched)) {
            // Too many senders wait already. The event is accepted, and the answer is the one that
            // this sender would get if it had waited too long.
            (None, [_, ..], _) => reply.late(&[], &[]),
            (Some(wait), deliveries @ [_, ..], Some(limit)) => {
                let limit = self.clock.sleep(limit);
                outcome(wait, deliveries, limit, &self.closing, &reply).await
            }
            _ => reply.success("accepted", &[]),
        };
        if let Some(why) = answer.unrendered.clone()
            && let Err(error) = self.store.mark_answer(id, why).await
        {
            report::store_failed("mark an answer", &error.to_string());
        }
        answer
    }

    /// Records an arrival that matched, but was accepted before or cannot be stored.
    fn conclude(&self, acceptance: &Acceptance<'_>, event: &Event, answer: &Answer, why: &str) {
        let arriving = Arriving::new(acceptance.rules, acceptance.endpoint, &event.received);
        let outcome = match answer.outcome {
            // A sender that waits is told that the first delivery is still pending.
            "pending" => ArrivalOutcome::Duplicate,
            word => ArrivalOutcome::of_answer(word),
        };
        let authorization = acceptance.authorization;
        self.record(arriving, outcome, answer.status, Some(authorization), || {
            let matched: Vec<usize> = acceptance.matched.iter().map(|one| one.index).collect();
            let decided = decisions(acceptance.endpoint, event, authorization, &matched);
            (with_fault(why.to_owned(), answer), decided)
        });
    }

    /// Answers a verified event that no rule matches.
    fn ignore(
        &self,
        rules: &RuleSet,
        endpoint: &Endpoint,
        event: &Event,
        authorization: &Authorization<'_>,
    ) -> Answer {
        let arriving = Arriving::new(rules, endpoint, &event.received);
        if let Some(why) = unstructured(endpoint, event, &|index| authorization.trusts(index)) {
            // Not remembered, so that the sender can send the same content again with another
            // header.
            return self.unreadable(arriving, event, &why, authorization);
        }
        for sighting in authorization.sightings(&event.received) {
            self.store.remember_sighting(sighting);
        }
        if tracing::enabled!(tracing::Level::INFO) {
            let considered = |index: usize| authorization.trusts(index);
            let nearest_miss =
                endpoint
                    .matcher
                    .nearest_miss(event, &considered)
                    .and_then(|(index, explanation)| {
                        let rule = &endpoint.rules.get(index)?.name;
                        Some(nearest(rule, &explanation))
                    });
            let why = nearest_miss.unwrap_or_else(|| no_rule(endpoint));
            let arrival = Arrival::ignored(&event.received, why);
            report::arrival(
                &self.metrics,
                &if authorization.is_verified() {
                    arrival
                } else {
                    arrival.unproven()
                },
            );
        } else {
            self.metrics.arrived(&event.received.endpoint, "ignored");
        }
        let reply = ResponseBuilder {
            endpoint,
            rules: authorization.early_answering().collect(),
            event,
            verified: authorization.is_genuine(),
            metrics: &self.metrics,
        };
        let answer = reply.ignored(authorization.is_proven());
        let outcome = ArrivalOutcome::Ignored;
        self.record(arriving, outcome, answer.status, Some(authorization), || {
            let decided = decisions(endpoint, event, authorization, &[]);
            let why = decided.first().map(|first| nearest(&first.rule, &first.reason));
            (with_fault(why.unwrap_or_default(), &answer), decided)
        });
        answer
    }
}

/// An event that rules accept, with everything that led to it.
struct Acceptance<'r> {
    rules: &'r RuleSet,
    endpoint: &'r Endpoint,
    authorization: &'r Authorization<'r>,
    matched: &'r [Match<'r>],
    recognised: &'r [Recognised],
}

/// Removes credentials from a received request, since secrets are not stored.
pub fn without_credentials(endpoint: &Endpoint, mut received: Received) -> Received {
    for name in &endpoint.credentials {
        received.headers.remove(name);
    }
    if !endpoint.credential_queries.is_empty() {
        let kept = form_urlencoded::parse(received.query.as_bytes())
            .filter(|(name, _)| !endpoint.credential_queries.iter().any(|secret| secret == name));
        received.query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(kept)
            .finish();
    }
    received
}

/// Adds the reason why the stated body of the answer was not sent to the reason of an outcome.
pub(super) fn with_fault(reason: String, answer: &Answer) -> String {
    match &answer.unrendered {
        Some(fault) if reason.is_empty() => fault.clone(),
        Some(fault) => format!("{fault}; {reason}"),
        None => reason,
    }
}

/// Returns the longest wait that a matched rule grants the sender.
fn respond_limit(matched: &[Match<'_>]) -> Option<Duration> {
    matched.iter().filter_map(|one| one.rule.respond.wait).max()
}
