//! A path on which webhooks arrive, with its limits, verifications and rules.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method};

use super::respond::Respond;
use super::rule::{PayloadUse, Rule, is_allowed};
use crate::base::json_plan::Plan;
use crate::base::network::Networks;
use crate::matching::Matcher;
use crate::payload::{Decode, Event, Payload, Unpack, View, decode_unpacked};
use crate::store::PerRing;
use crate::verify::{HandshakeReply, Recognition, Refusal, Verification};

/// A path on which webhooks arrive.
#[derive(Debug)]
pub struct Endpoint {
    /// Path as written, with parameters: `/deploy/{app}`.
    pub path: Arc<str>,
    /// Longest time without a verified request. `None`: none is expected.
    pub expect_every: Option<Duration>,
    /// Methods of events.
    pub methods: Vec<Method>,
    /// Networks whose requests are accepted. `None`: all.
    pub allow: Option<Networks>,
    pub limits: RateLimits,
    /// Maximum size of a body in bytes, as sent and again after decompression.
    pub max_body: u64,
    pub decode: Decode,
    /// Fields of the payload that are unpacked. `None`: none.
    pub unpack: Option<Unpack>,
    /// Ways to unpack payloads that rules add. Each includes the fields of the endpoint.
    pub views: Vec<Unpack>,
    /// Answers to verified events.
    pub respond: Respond,
    /// Maximum records of arrivals that became no event. `None`: as many as the store keeps.
    pub keep: PerRing<Option<usize>>,
    /// Distinct verifications of the rules. Each is computed once per request.
    pub verifications: Vec<Verification>,
    /// Deduplication of the events of each verification, by the same index.
    pub recognitions: Vec<Recognition>,
    /// Rules in the order of the file.
    pub rules: Vec<Rule>,
    /// Indices of the rules that state an answer which is given before a rule is chosen. There are
    /// few, while an endpoint may have thousands of rules.
    pub early_answering: Vec<usize>,
    /// Indexed conditions of the rules.
    pub matcher: Matcher,
    /// Values of a JSON payload that the conditions, the names of groups and the answers read.
    pub plan: Arc<Plan>,
    /// Headers that carry a sender's signature or secret. They are never stored, forwarded or
    /// logged.
    pub credentials: Vec<HeaderName>,
    /// Query parameters that carry a sender's secret. They are never stored, forwarded or logged.
    pub credential_queries: Vec<String>,
    /// Verifications that answer handshakes.
    pub handshakes: HandshakeVerifiers,
}

impl Endpoint {
    /// Returns the methods as the value of an `Allow` header.
    pub fn allowed_methods(&self) -> String {
        let names: Vec<&str> = self.methods.iter().map(Method::as_str).collect();
        format!("{}, OPTIONS", names.join(", "))
    }

    /// True if the method is one of events or of a handshake.
    pub fn admits(&self, method: &Method) -> bool {
        self.methods.contains(method) || self.handshakes.methods.contains(method)
    }

    /// True unless the rule at `index` has actions that read the payload and the payload is
    /// unreadable.
    pub fn can_act(&self, index: usize, event: &Event) -> bool {
        let needs_payload = |rule: &&Rule| rule.payload_use == PayloadUse::Actions;
        let rule = self.rules.get(index).filter(needs_payload);
        rule.is_none_or(|rule| event.payload_in(rule.view).decode_error.is_none())
    }

    /// The fields that are unpacked in a view.
    pub fn unpack_in(&self, view: Option<View>) -> Option<&Unpack> {
        view.map_or(self.unpack.as_ref(), |view| self.views.get(view))
    }

    /// Decodes a body in each view that a rule has, of those that are `considered`. A view that
    /// cannot be unpacked is unreadable.
    pub fn decode_views(
        &self,
        headers: &HeaderMap,
        body: &Bytes,
        considered: &dyn Fn(usize) -> bool,
    ) -> Vec<(View, Payload)> {
        let decode = |(view, unpack): (View, &Unpack)| {
            let mut rules = self.rules.iter().enumerate();
            let is_read = rules.any(|(index, rule)| rule.view == Some(view) && considered(index));
            let decode = || {
                decode_unpacked(
                    self.decode,
                    Some(unpack),
                    headers,
                    body,
                    self.max_body,
                    &self.plan,
                )
            };
            is_read.then(|| (view, decode().unwrap_or_else(|error| Payload::unreadable(&error))))
        };
        self.views.iter().enumerate().filter_map(decode).collect()
    }

    /// True if the endpoint allows this address and so does one of its enabled rules. If no rule is
    /// enabled, only the endpoint decides.
    pub fn allows(&self, client: Option<IpAddr>) -> bool {
        is_allowed(self.allow.as_ref(), client) && self.some_rule_allows(client, |_| true)
    }

    /// True if an enabled rule that is `of_interest` allows this address, or if no rule is enabled.
    fn some_rule_allows(&self, client: Option<IpAddr>, of_interest: impl Fn(&Rule) -> bool) -> bool {
        let mut enabled = self.rules.iter().filter(|rule| rule.enabled).peekable();
        enabled.peek().is_none() || enabled.any(|rule| of_interest(rule) && rule.allows(client))
    }

    /// Asks each verification in turn for the answer to a handshake from `client`. Returns the
    /// first reply, else the first refusal. `None` if no verification knows the handshake.
    pub fn handshake_reply(
        &self,
        client: Option<IpAddr>,
        reply_of: impl Fn(&Verification) -> Option<Result<HandshakeReply, Refusal>>,
    ) -> Option<Result<HandshakeReply, Refusal>> {
        let allows =
            |index: &&usize| self.some_rule_allows(client, |rule| rule.alternative(**index).is_some());
        let indices = self.handshakes.indices.iter().filter(allows);
        let verifications = indices.filter_map(|index| self.verifications.get(*index));
        let mut replies = verifications.filter_map(reply_of);
        let first = replies.next()?;
        Some(first.or_else(|refusal| replies.find_map(Result::ok).ok_or(refusal)))
    }
}

/// Rate limits of an endpoint. `None`: unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// Limit for all clients together.
    pub total: Option<Pace>,
    /// Limit for each client.
    pub per_client: Option<Pace>,
}

/// A rate: `burst` requests at once, then one per `interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Time from one request to the next.
    pub interval: Duration,
    /// Maximum requests at once. At least 1.
    pub burst: u32,
}

/// Verifications of an endpoint that know a handshake.
#[derive(Debug)]
pub struct HandshakeVerifiers {
    /// Indices into the endpoint's `verifications`.
    indices: Vec<usize>,
    /// Methods of these handshakes.
    methods: Vec<Method>,
}

impl HandshakeVerifiers {
    /// Collects the verifications that know a handshake. As with events, only verifications of
    /// enabled rules count, or all of them if no rule is enabled.
    pub fn new(verifications: &[Verification], rules: &[Rule]) -> Self {
        let mut enabled = rules.iter().filter(|rule| rule.enabled).peekable();
        let all = enabled.peek().is_none();
        let used: BTreeSet<usize> = enabled
            .flat_map(|rule| &rule.alternatives)
            .map(|alternative| alternative.verification)
            .collect();
        let mut handshakes = Self {
            indices: Vec::new(),
            methods: Vec::new(),
        };
        for (index, verification) in verifications.iter().enumerate() {
            let mut methods = verification.handshake_methods().peekable();
            if methods.peek().is_some() && (all || used.contains(&index)) {
                handshakes.indices.push(index);
                handshakes.methods.extend(methods.cloned());
            }
        }
        handshakes
    }

    /// True if there are none, so that every request is an event.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }
}
