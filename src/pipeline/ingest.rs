//! One request to its answer: verify → decode → match → one durable write → answer. A handshake is answered before
//! (`greet`).

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
use crate::pipeline::heavy::Heavy;
use crate::pipeline::learn::SecretEnrollment;
use crate::pipeline::outcome_waiters::OutcomeWaiters;
use crate::pipeline::payload_cache::PayloadCache;
use crate::pipeline::reply::{ResponseBuilder, outcome};
use crate::pipeline::supersede::Supersede;
use crate::pipeline::usage::Usage;
use crate::report::{self, Arrival, metrics};
use crate::rules::{Endpoint, GroupSettings, OnDuplicate, PayloadUse};
use crate::store::group::reason;
use crate::store::{DeliveryState, Enqueued, Group, NewDelivery, NewEvent, RefusedRequest, Sighting, Store};
use crate::verify::{Recognition, Refusal, Verification};

/// Whatever must stay as long as the body of a request may be in memory.
pub type Hold = Arc<dyn Any + Send + Sync>;

/// Takes requests in.
pub struct Ingest {
    /// Where events are written down.
    pub store: Arc<dyn Store>,
    /// Wakes dispatch.
    pub wake: Arc<Notify>,
    /// Senders that wait.
    pub waiting: Arc<OutcomeWaiters>,
    /// What was taken last, decoded.
    pub payload_cache: Arc<PayloadCache>,
    /// The daemon is about to end: who waits for an outcome is answered now.
    pub closing: CancellationToken,
    /// Events that are being written down; whoever stops waits for them.
    pub writing: TaskTracker,
    /// Keeps the secrets that come with handshakes.
    pub learning: SecretEnrollment,
    /// Sees to what gives way to what comes.
    pub supersede: Supersede,
    /// The time by which deliveries are leased.
    pub clock: Clock,
    /// Which secrets are in use.
    pub usage: Arc<Usage>,
    /// Bounds on what decoding takes.
    pub heavy: Heavy,
}

impl Ingest {
    /// Takes one request on `endpoint` to its answer. `hold` is dropped when its body is needed no more: the event may be
    /// written after the sender has gone.
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
            // Rules that do not look into it take the event all the same.
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
            // What is written with the event is that of the rules that take it.
            if !matched.iter().any(|one| one.rule.verification == index) {
                self.sight(recognised);
            }
        }
        self.take(endpoint, event, &matched, &recognised, hold).await
    }

    /// Remembers a genuine request for its endpoint that no rule of its verification takes.
    fn sight(&self, recognised: &Recognised) {
        if let Some(sighting) = &recognised.sighting {
            self.store.sight(Sighting::clone(sighting));
        }
    }

    /// Its turn has not come: too many large bodies are being decoded.
    fn too_busy(received: &Received) -> Answer {
        let answer = Answer::unavailable();
        let why = "too many large or compressed bodies at once";
        report::turned_away(&received.path, received.client, answer.status.as_u16(), why);
        answer
    }

    /// Refuses what comes from where the endpoint takes nothing from. Its body need not have been read.
    pub fn bar(&self, endpoint: &Endpoint, received: &Received) -> Answer {
        let client = received.client;
        self.turn_down(endpoint, received, &Refusal::AddressNotAllowed { client })
    }

    /// One durable write; then the answer.
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
        // Nobody else holds it, so nothing is copied.
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
        // Both before the write: dispatch may have done it all before the write returns to us.
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

    /// Writes the event down, wakes dispatch and says so; `None` if it cannot be written.
    ///
    /// In a task of its own: a sender that hangs up takes its request's task along, and would leave an event behind
    /// that nobody was woken for and no line tells of.
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

    /// The very event was taken before.
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
                // The sender's retry while the first is still under way: success would be a promise too many, for
                // if the first fails nobody would try again.
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
        // Of a sender that signs the same each time the second event is lost, and the answer does not tell it.
        let known = matched.iter().zip(taken);
        let mut alone = known.filter(|(one, taken)| {
            matches!(taken, Enqueued::Duplicate { .. }) && one.proof.is_content_alone()
        });
        if let Some((one, _)) = alone.next() {
            let verification = endpoint.verifications.get(one.rule.verification);
            let scheme = verification.map_or("", Verification::scheme);
            report::repeated(&reply.event.received, &one.rule.name, scheme);
        }
        // The id of the event that was taken, for it is the one that can be looked up.
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

    /// Verified, and no rule wants it.
    fn ignore(&self, endpoint: &Endpoint, event: &Event, authorization: &Authorization<'_>) -> Answer {
        if let Some(why) = unstructured(endpoint, event, &|index| authorization.trusts(index)) {
            // Not remembered: its sender has to send the same content again, with another header.
            return self.unread(endpoint, &event.received, INVALID, &why);
        }
        if endpoint.recognitions.iter().any(Recognition::reads_headers) {
            for recognised in authorization.recognised(&event.received) {
                self.sight(&recognised);
            }
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

    /// Not trusted by any rule.
    fn refuse(&self, endpoint: &Endpoint, received: &Received, authorization: &Authorization<'_>) -> Answer {
        let Some(refusal) = authorization.refusal() else {
            // Nothing is verified here because no rule is in force here.
            let status = StatusCode::NOT_FOUND.as_u16();
            report::turned_away(&received.path, received.client, status, &no_rule(endpoint));
            return Answer::new(StatusCode::NOT_FOUND, "not found", None);
        };
        self.turn_down(endpoint, received, &refusal)
    }

    /// Says why it is refused, but not to the sender.
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
        // Of rules that are in force: another's challenge would ask for what lets nobody in.
        let enabled = endpoint.rules.iter().filter(|rule| rule.enabled);
        let mut asked = enabled.filter_map(|rule| endpoint.verifications.get(rule.verification)?.challenge());
        Answer::refused(asked.next())
    }

    /// Genuine, and the body cannot be read by any rule that might want it.
    fn unread(
        &self,
        endpoint: &Endpoint,
        received: &Received,
        (status, word): (StatusCode, &'static str),
        why: &str,
    ) -> Answer {
        report::arrival(&Arrival::unread(received, word, endpoint.decode.name(), why));
        // Its sender may never come again: at least that it came can be looked up.
        self.keep(received, format!("{word}: {why}"));
        Answer::new(status, word, None)
    }

    /// Keeps a note of a request that was not let in.
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

/// The names of the headers that came: enough to see what a sender forgot, and no secret among them.
fn names(received: &Received) -> String {
    let names: Vec<&str> = received.headers.keys().map(http::HeaderName::as_str).collect();
    names.join(", ")
}

/// What is said of a request that was altered, if nothing of it was taken; and it is listed among what was refused.
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

/// One event owed to one rule, due now.
fn delivery(one: &Match<'_>, recognised: &[Recognised], event: &Event, now: Timestamp) -> NewDelivery {
    let at = event.received.at;
    // What is only observed has proved nothing.
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

/// The longest name of a group, in bytes.
const MAX_GROUP: usize = 256;

/// The lane in which a delivery goes. Where the name of its group cannot be told it goes by itself with the rule's others,
/// rather than beside something that it must not overlap.
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
    // A group that an event names is never another rule's own.
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

/// How much is kept of why an event was not verified, in bytes.
const MAX_REASON: usize = 1024;

fn bounded(reason: &str) -> Arc<str> {
    let end = reason.floor_char_boundary(MAX_REASON);
    reason.get(..end).unwrap_or_default().into()
}

/// Why an event is ignored that no rule nearly wanted.
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

/// Disabled rules that are named in a log line.
const NAMED: usize = 5;

/// The rules, of those that `trusted` lets through, that might want an event and cannot: they would have to read what it says.
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

/// Why no rule could have wanted the event: its body is text, and every rule that trusts it reads into its payload; or the
/// body cannot be read, and a rule might have wanted it if it could.
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

/// The received request without what only its verification needed: secrets are not written down.
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

/// The longest that any of the rules lets the sender wait.
fn respond_limit(endpoint: &Endpoint, matched: &[Match<'_>]) -> Option<Duration> {
    matched
        .iter()
        .filter_map(|one| one.rule.respond.as_ref().unwrap_or(&endpoint.respond).wait)
        .max()
}

/// What a genuine sender is told whose body cannot be read as the rules need it.
pub const INVALID: (StatusCode, &str) = (StatusCode::BAD_REQUEST, "invalid payload");

/// What a genuine sender is told whose body is too large once it is decompressed.
pub const TOO_LARGE: (StatusCode, &str) = (StatusCode::PAYLOAD_TOO_LARGE, "too large");
