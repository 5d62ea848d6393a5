//! A request's way to its answer: verify → decode → match → one durable write → answer.
//!
//! Handshakes are answered before (`handshake.rs`). An event is stored durably before it is answered as
//! accepted. `authorization.rs` decides which rules trust the request.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::act::ActionContext;
use crate::base::clock::{Clock, Timestamp};
use crate::event::Received;
use crate::payload::{self, BodyKind, Event, Payload};
use crate::pipeline::answer::Answer;
use crate::pipeline::authorization::{Authorization, Match, Recognised};
use crate::pipeline::decode_limits::Heavy;
use crate::pipeline::enroll::SecretEnrollment;
use crate::pipeline::outcome_waiters::OutcomeWaiters;
use crate::pipeline::payload_cache::PayloadCache;
use crate::pipeline::response::{ResponseBuilder, outcome};
use crate::pipeline::supersede::Supersede;
use crate::pipeline::usage::Usage;
use crate::report::{self, Arrival, metrics};
use crate::rules::{Endpoint, GroupSettings, OnDuplicate, PayloadUse};
use crate::store::group::reason;
use crate::store::{DeliveryState, Enqueued, Group, NewDelivery, NewEvent, RefusedRequest, Sighting, Store};
use crate::verify::Refusal;

/// A value that is kept as long as the body of a request may be in memory.
pub type Hold = Arc<dyn Any + Send + Sync>;

/// Processes received requests.
pub struct Ingest {
    pub store: Arc<dyn Store>,
    /// Wakes dispatch.
    pub wake: Arc<Notify>,
    /// Senders that wait for an outcome.
    pub waiting: Arc<OutcomeWaiters>,
    /// Decoded payloads of the latest events.
    pub payload_cache: Arc<PayloadCache>,
    /// Cancelled when the daemon is about to end. Senders that wait for an outcome are answered
    /// then.
    pub closing: CancellationToken,
    /// Events being written. The daemon waits for them before it stops.
    pub writing: TaskTracker,
    /// Stores secrets from handshakes.
    pub learning: SecretEnrollment,
    /// Ends deliveries that a new one supersedes.
    pub supersede: Supersede,
    /// Clock by which deliveries are leased.
    pub clock: Clock,
    /// Last matches of the secrets.
    pub usage: Arc<Usage>,
    /// Limits on decoding.
    pub heavy: Heavy,
}

impl Ingest {
    /// Processes one request on `endpoint` and returns the answer. `hold` is dropped when the body
    /// is no longer needed. The event may be written after the sender has disconnected.
    pub async fn accept(&self, endpoint: &Endpoint, received: Received, hold: Hold) -> Answer {
        if !endpoint.greeters.is_empty()
            && let Some(answer) = self.greet(endpoint, &received).await
        {
            return answer;
        }
        let judging = self
            .heavy
            .run(&received, || Authorization::new(endpoint, &received));
        let Some(authorization) = judging.await else {
            return Self::too_busy(&received);
        };
        authorization.note(&self.usage);
        if !authorization.trusts_any() {
            return self.refuse(endpoint, &received, &authorization);
        }
        let limit = endpoint.max_body;
        let known = authorization
            .read()
            .and_then(|json| payload::known(endpoint.decode, &received.headers, &received.body, json));
        let decode = || payload::decode(endpoint.decode, &received.headers, &received.body, limit);
        let Some(_memory) = self.heavy.memory(&received, limit).await else {
            return Self::too_busy(&received);
        };
        let decoding = self.heavy.run(&received, || known.map_or_else(decode, Ok));
        let Some(decoded) = decoding.await else {
            return Self::too_busy(&received);
        };
        let payload = match decoded {
            Ok(payload) => payload,
            Err(error) if error.is_too_large() => {
                return self.unread(endpoint, &received, TOO_LARGE, &error.to_string());
            }
            // Rules that do not read the payload accept the event all the same.
            Err(error) => Payload::unreadable(&error),
        };
        let event = Event {
            received: Arc::new(received),
            payload,
        };
        let considered = |index: usize| authorization.trusts(index) && endpoint.can_act(index, &event);
        let matched = endpoint.matcher.matching(&event, &considered);
        if matched.is_empty() {
            return self.ignore(endpoint, &event, &authorization);
        }
        if let Some(fault) = &event.payload.fault {
            let others = |index: usize| authorization.trusts(index) && !matched.contains(&index);
            report::not_asked(&event.received, blind(endpoint, &event, others), fault);
        }
        let recognised = authorization.recognised(&event.received);
        let matched: Vec<Match<'_>> = matched
            .into_iter()
            .filter_map(|index| authorization.matched(index))
            .collect();
        for (index, recognised) in recognised.iter().enumerate() {
            // The sightings of rules that accept the event are written together with it.
            if !matched.iter().any(|one| one.rule.verification == index) {
                self.sight(recognised);
            }
        }
        self.take(endpoint, event, &matched, &recognised, hold).await
    }

    /// Remembers a genuine request for its endpoint if no rule of its verification accepts it.
    fn sight(&self, recognised: &Recognised) {
        if let Some(sighting) = &recognised.sighting {
            self.store.sight(Sighting::clone(sighting));
        }
    }

    /// Answers a request that found no slot: too many large bodies are being decoded.
    fn too_busy(received: &Received) -> Answer {
        let answer = Answer::unavailable();
        let why = "too many large or compressed bodies at once";
        report::turned_away(&received.path, received.client, answer.status.as_u16(), why);
        answer
    }

    /// Refuses a request from an address that the endpoint does not allow. Its body need not have
    /// been read.
    pub fn bar(&self, endpoint: &Endpoint, received: &Received) -> Answer {
        let client = received.client;
        self.turn_down(endpoint, received, &Refusal::AddressNotAllowed { client })
    }

    /// Stores the event in one durable write and answers.
    async fn take(
        &self,
        endpoint: &Endpoint,
        event: Event,
        matched: &[Match<'_>],
        recognised: &[Recognised],
        hold: Hold,
    ) -> Answer {
        let Event { received, payload } = event;
        let id = received.id;
        // No other owner is left, so nothing is copied.
        let kept = Arc::new(without_credentials(endpoint, Arc::unwrap_or_clone(received)));
        let event = Event {
            received: Arc::clone(&kept),
            payload,
        };
        let respond = matched
            .iter()
            .find_map(|one| one.rule.respond.as_ref())
            .unwrap_or(&endpoint.respond);
        let awaited = matched.iter().filter(|one| one.rule.is_awaited(endpoint)).count();
        // Both before the write: dispatch may finish the deliveries before the write returns.
        let wait = (awaited > 0).then(|| self.waiting.enter(id, awaited));
        self.payload_cache.add(&event);
        let now = self.clock.now();
        let taking = NewEvent {
            received: Arc::clone(&kept),
            decode: endpoint.decode.name().to_owned(),
            deliveries: matched
                .iter()
                .map(|one| delivery(one, recognised, &event, now))
                .collect(),
            now,
        };
        let Some(taken) = self.write_down(&kept, taking, Arc::clone(&hold)).await else {
            return Answer::unavailable();
        };
        let reply = ResponseBuilder {
            respond,
            event: &event,
            verified: matched.iter().all(|one| one.unverified.is_none()),
        };
        if !taken.iter().any(Enqueued::is_new) {
            self.payload_cache.remove(id);
            return self.duplicate(endpoint, &reply, matched, &taken).await;
        }
        let new_awaited = matched
            .iter()
            .zip(&taken)
            .filter(|(one, taken)| taken.is_new() && one.rule.is_awaited(endpoint));
        match (wait, new_awaited.count(), respond_limit(endpoint, matched)) {
            (Some(wait), deliveries @ 1.., Some(limit)) => {
                outcome(wait, deliveries, limit, &self.closing, &reply).await
            }
            _ => reply.success("accepted", &[]),
        }
    }

    /// Writes the event, wakes dispatch and logs the arrival. `None` if the event cannot be
    /// written.
    ///
    /// Runs as its own task: a sender that disconnects cancels the request's task. The event would
    /// then be stored without waking dispatch and without a log line.
    async fn write_down(&self, kept: &Arc<Received>, taking: NewEvent, hold: Hold) -> Option<Vec<Enqueued>> {
        let (store, wake, kept) = (Arc::clone(&self.store), Arc::clone(&self.wake), Arc::clone(kept));
        let supersede = self.supersede.clone();
        let written = self.writing.spawn(async move {
            let _hold = hold;
            let rules: Vec<Arc<str>> = taking
                .deliveries
                .iter()
                .map(|delivery| Arc::clone(&delivery.rule))
                .collect();
            let mut unverified = taking.deliveries.iter().filter_map(|delivery| {
                let why = delivery.unverified.as_ref()?;
                Some((Arc::clone(&delivery.rule), Arc::clone(why)))
            });
            let unverified = unverified.next();
            let taken = match store.take(taking).await {
                Ok(taken) => taken,
                Err(error) => {
                    report::arrival(&Arrival::failed(&kept, &error.to_string()));
                    return None;
                }
            };
            for (rule, taken) in rules.iter().zip(&taken) {
                if taken.is_new() {
                    metrics::given(rule, kept.at);
                }
                match taken {
                    Enqueued::InPlaceOf(_, displaced) => supersede.of(displaced),
                    Enqueued::Skipped(_) => report::superseded(kept.id, rule, reason::SKIPPED),
                    Enqueued::New(_) | Enqueued::Duplicate { .. } | Enqueued::Altered { .. } => {}
                }
            }
            wake.notify_one();
            if let Some(arrival) = altered(&kept, &rules, &taken, &*store) {
                report::arrival(&arrival);
                return Some(taken);
            }
            let named = |new: bool| {
                let pairs = rules.iter().zip(&taken);
                pairs
                    .filter(move |(_, taken)| taken.is_new() == new)
                    .map(|(rule, _)| &**rule)
            };
            let arrival = Arrival::taken(&kept, named(true), named(false));
            report::arrival(&match &unverified {
                Some((rule, why)) => arrival.unverified(rule, why),
                None => arrival,
            });
            Some(taken)
        });
        written.await.ok().flatten()
    }

    /// Answers an event that was accepted before.
    async fn duplicate(
        &self,
        endpoint: &Endpoint,
        reply: &ResponseBuilder<'_>,
        matched: &[Match<'_>],
        taken: &[Enqueued],
    ) -> Answer {
        for (one, taken) in matched.iter().zip(taken) {
            if let Enqueued::Duplicate { of } = taken
                && one.rule.is_awaited(endpoint)
            {
                // The sender retries while the first delivery is in progress. Success would promise
                // too much: if that delivery fails, the sender would not retry.
                let deliveries = self.store.deliveries(*of).await.unwrap_or_default();
                let open = |state: &DeliveryState| {
                    matches!(state, DeliveryState::Waiting { .. } | DeliveryState::Leased)
                };
                if deliveries
                    .iter()
                    .any(|known| known.rule == one.rule.name && open(&known.state))
                {
                    return Answer::new(StatusCode::GATEWAY_TIMEOUT, "pending", Some(*of));
                }
            }
        }
        let word = if taken
            .iter()
            .any(|taken| matches!(taken, Enqueued::Altered { .. }))
        {
            "altered"
        } else {
            "duplicate"
        };
        // If a sender signs the content alone, a second event with equal content is lost. The
        // answer does not say so, but the log does.
        let known = matched.iter().zip(taken);
        let mut alone = known.filter(|(one, taken)| {
            matches!(taken, Enqueued::Duplicate { .. }) && one.proof.is_content_alone()
        });
        if let Some((one, _)) = alone.next() {
            let verification = endpoint.verifications.get(one.rule.verification);
            let scheme = verification.map_or("", |verification| &**verification.scheme());
            report::repeated(&reply.event.received, &one.rule.name, scheme);
        }
        // Answer with the id of the accepted event, since that is the one to look up.
        let first = taken.iter().find_map(|taken| match taken {
            Enqueued::Duplicate { of } | Enqueued::Altered { of, .. } => Some(*of),
            _ => None,
        });
        if matched
            .iter()
            .any(|one| one.rule.on_duplicate == OnDuplicate::Reject)
        {
            return Answer::new(StatusCode::CONFLICT, word, first);
        }
        let mut answer = Answer::new(reply.respond.status, word, first);
        reply.shape(&mut answer, &[]);
        answer
    }

    /// Answers a verified event that no rule matches.
    fn ignore(&self, endpoint: &Endpoint, event: &Event, authorization: &Authorization<'_>) -> Answer {
        if let Some(why) = unstructured(endpoint, event, &|index| authorization.trusts(index)) {
            // Not remembered, so that the sender can send the same content again with another
            // header.
            return self.unread(endpoint, &event.received, INVALID, &why);
        }
        for sighting in authorization.sightings(&event.received) {
            self.store.sight(sighting);
        }
        if tracing::enabled!(tracing::Level::INFO) {
            let considered = |index: usize| authorization.trusts(index);
            let nearest =
                endpoint
                    .matcher
                    .nearest_miss(event, &considered)
                    .and_then(|(index, explanation)| {
                        let rule = &endpoint.rules.get(index)?.name;
                        Some(format!("nearest rule {rule}: {explanation}"))
                    });
            let why = nearest.unwrap_or_else(|| no_rule(endpoint));
            let arrival = Arrival::ignored(&event.received, why);
            report::arrival(&if authorization.is_verified() {
                arrival
            } else {
                arrival.unproven()
            });
        } else {
            metrics::arrived(&event.received.endpoint, "ignored");
        }
        let reply = ResponseBuilder {
            respond: &endpoint.respond,
            event,
            verified: authorization.is_genuine(),
        };
        reply.success("ignored", &[])
    }

    /// Answers a request that no rule trusts.
    fn refuse(&self, endpoint: &Endpoint, received: &Received, authorization: &Authorization<'_>) -> Answer {
        let Some(refusal) = authorization.refusal() else {
            // Nothing is verified here because no rule is in force here.
            let status = StatusCode::NOT_FOUND.as_u16();
            report::turned_away(&received.path, received.client, status, &no_rule(endpoint));
            return Answer::new(StatusCode::NOT_FOUND, "not found", None);
        };
        self.turn_down(endpoint, received, &refusal)
    }

    /// Logs the reason of a refusal. The answer does not contain it.
    pub(super) fn turn_down(&self, endpoint: &Endpoint, received: &Received, refusal: &Refusal) -> Answer {
        if let Some(too_large) = refusal.is_unreadable() {
            let answer = if too_large { TOO_LARGE } else { INVALID };
            return self.unread(endpoint, received, answer, &refusal.to_string());
        }
        report::arrival(&Arrival::refused(received, refusal));
        self.keep(received, refusal.to_string());
        if refusal.is_stale() {
            return Answer::new(StatusCode::BAD_REQUEST, "stale", None);
        }
        if refusal.is_malformed() {
            return Answer::new(StatusCode::BAD_REQUEST, "bad request", None);
        }
        // Only challenges of enabled rules: credentials for a disabled one would not help.
        let enabled = endpoint.rules.iter().filter(|rule| rule.enabled);
        let mut asked = enabled.filter_map(|rule| endpoint.verifications.get(rule.verification)?.challenge());
        Answer::refused(asked.next())
    }

    /// Answers a genuine request whose body is unreadable for every rule that might match it.
    fn unread(
        &self,
        endpoint: &Endpoint,
        received: &Received,
        (status, word): (StatusCode, &'static str),
        why: &str,
    ) -> Answer {
        report::arrival(&Arrival::unread(received, word, endpoint.decode.name(), why));
        // The sender may never retry, so at least the request's arrival can be looked up.
        self.keep(received, format!("{word}: {why}"));
        Answer::new(status, word, None)
    }

    /// Stores a record of a refused request.
    fn keep(&self, received: &Received, reason: String) {
        self.store.refuse(RefusedRequest {
            at: received.at,
            endpoint: Arc::clone(&received.endpoint),
            client: received.client,
            reason,
            headers: names(received),
        });
    }
}

/// Returns the names of the headers: enough to see what a sender forgot, without secrets.
fn names(received: &Received) -> String {
    let names: Vec<&str> = received.headers.keys().map(http::HeaderName::as_str).collect();
    names.join(", ")
}

/// Returns the log line of an altered request of which nothing was accepted, and stores it among
/// the refused requests.
fn altered<'r>(
    received: &'r Received,
    rules: &[Arc<str>],
    taken: &[Enqueued],
    store: &dyn Store,
) -> Option<Arrival<'r>> {
    if taken.iter().any(Enqueued::is_new) {
        return None;
    }
    let (of, header) = taken.iter().find_map(|taken| match taken {
        Enqueued::Altered { of, header } => Some((*of, header)),
        _ => None,
    })?;
    store.refuse(RefusedRequest {
        at: received.at,
        endpoint: Arc::clone(&received.endpoint),
        client: received.client,
        reason: format!("altered: {}", report::altered(of, header)),
        headers: names(received),
    });
    Some(Arrival::altered(
        received,
        rules.iter().map(|rule| &**rule),
        of,
        header,
    ))
}

/// Builds the delivery of one event to one rule, due now.
fn delivery(one: &Match<'_>, recognised: &[Recognised], event: &Event, now: Timestamp) -> NewDelivery {
    let at = event.received.at;
    // A request that is only observed has proved nothing.
    let recognised = recognised
        .get(one.rule.verification)
        .filter(|_| one.unverified.is_none());
    NewDelivery {
        group: one
            .rule
            .concurrency
            .as_ref()
            .map(|concurrency| group(one, concurrency, event)),
        rule: Arc::clone(&one.rule.name),
        dedup_keys: recognised
            .map(|recognised| recognised.keys.clone())
            .unwrap_or_default(),
        sighting: recognised.and_then(|recognised| recognised.sighting.clone()),
        remember_until: at.plus(one.proof.memory(one.rule.replay_window)),
        run_duplicates: one.rule.on_duplicate == OnDuplicate::Run,
        debounce: one.rule.debounce,
        due: now,
        unverified: one
            .unverified
            .as_ref()
            .map(|refusal| bounded(&refusal.to_string())),
    }
}

/// Maximum name of a group, in bytes.
const MAX_GROUP: usize = 256;

/// Returns the concurrency group of a delivery. If the group's name cannot be rendered, the
/// delivery joins the rule's own group: it must not overlap with the others.
fn group(one: &Match<'_>, concurrency: &GroupSettings, event: &Event) -> Group {
    let named = concurrency.group.as_ref().map(|group| {
        let action_context = ActionContext {
            event,
            rule: &one.rule.name,
            delivery: String::new(),
            attempt: 1,
            replays: 0,
            verified: one.unverified.is_none(),
            withheld: &[],
            failure: None,
        };
        let name = group
            .render(&action_context.values())
            .map_err(|error| error.to_string())?;
        if name.is_empty() || name.len() > MAX_GROUP {
            return Err(format!(
                "the name of a group has 1 to {MAX_GROUP} bytes, this one has {}",
                name.len()
            ));
        }
        Ok(name)
    });
    // The prefixes keep a group named by an event apart from another rule's own group.
    let own = || format!("rule:{}", one.rule.name);
    let name = match named {
        None => own(),
        Some(Ok(name)) => format!("group:{name}"),
        Some(Err(why)) => {
            report::groupless(&event.received, &one.rule.name, &why);
            own()
        }
    };
    Group {
        name: name.into(),
        limit: concurrency.limit,
        overlap: concurrency.overlap,
    }
}

/// Maximum stored reason why an event was not verified, in bytes.
const MAX_REASON: usize = 1024;

fn bounded(reason: &str) -> Arc<str> {
    let end = reason.floor_char_boundary(MAX_REASON);
    reason.get(..end).unwrap_or_default().into()
}

/// Explains why an event is ignored if there is no nearest rule.
fn no_rule(endpoint: &Endpoint) -> String {
    let mut rules = endpoint.rules.iter().peekable();
    if rules.peek().is_none() || rules.any(|rule| rule.enabled) {
        return "no rule looks at such an event".to_owned();
    }
    let named: Vec<&str> = endpoint
        .rules
        .iter()
        .take(NAMED)
        .map(|rule| &*rule.name)
        .collect();
    let more = if endpoint.rules.len() > NAMED { " …" } else { "" };
    let named = named.join(", ");
    format!("every rule of this endpoint is disabled (`enabled: false`): {named}{more}")
}

/// Maximum disabled rules named in a log line.
const NAMED: usize = 5;

/// Returns the `trusted` rules that might match the event but have to read its unreadable payload.
fn blind<'e>(
    endpoint: &'e Endpoint,
    event: &Event,
    trusted: impl Fn(usize) -> bool,
) -> impl Iterator<Item = &'e str> {
    let rules = endpoint.rules.iter().enumerate();
    let blind = rules.filter(move |(index, rule)| {
        let reads = rule.payload_use != PayloadUse::None;
        reads && trusted(*index) && endpoint.matcher.might_want(event, *index)
    });
    blind.map(|(_, rule)| &*rule.name)
}

/// Explains why no rule could match the event, if so. Either its body is text and every trusting
/// rule reads a structure, or its body is unreadable and a rule might otherwise have matched.
pub fn unstructured(endpoint: &Endpoint, event: &Event, trusted: &dyn Fn(usize) -> bool) -> Option<String> {
    if let Some(fault) = &event.payload.fault {
        return blind(endpoint, event, trusted).next().map(|_| fault.to_string());
    }
    if event.payload.kind != BodyKind::Text {
        return None;
    }
    let mut trusting = endpoint
        .rules
        .iter()
        .enumerate()
        .filter(|(index, _)| trusted(*index))
        .peekable();
    trusting.peek()?;
    let what = if event.received.body.is_empty() {
        "the body is empty"
    } else {
        "the body is text"
    };
    trusting.all(|(_, rule)| rule.needs_structure).then(|| {
        format!("{what}, and every rule reads into it: send `Content-Type: application/json`, or set `decode: json`")
    })
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

/// Returns the longest wait that a matched rule grants the sender.
fn respond_limit(endpoint: &Endpoint, matched: &[Match<'_>]) -> Option<Duration> {
    matched
        .iter()
        .filter_map(|one| one.rule.respond.as_ref().unwrap_or(&endpoint.respond).wait)
        .max()
}

/// Answer to a genuine sender whose body is unreadable for the rules.
pub const INVALID: (StatusCode, &str) = (StatusCode::BAD_REQUEST, "invalid payload");

/// Answer to a genuine sender whose body is too large after decompression.
pub const TOO_LARGE: (StatusCode, &str) = (StatusCode::PAYLOAD_TOO_LARGE, "too large");
