//! The decision of a rule set about an arrival that is kept: for `hookyard plan`.
//!
//! Nothing is verified, because credentials are not stored. The record tells which verifications
//! succeeded. If a verification is written in another way than in the rules before, its result is
//! unknown. Whether an event is a duplicate is not decided.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::act;
use crate::base::url_path;
use crate::event::Received;
use crate::matching::Elements;
use crate::payload::{self, Event, Payload};
use crate::pipeline::authorization::Authorization;
use crate::pipeline::ingest::without_credentials;
use crate::pipeline::new_delivery::group;
use crate::pipeline::preview::Preview;
use crate::rules::{Endpoint, Rule, RuleSet, path_parameters};
use crate::store::ProofRecord;
use crate::verify::Verification;

/// An arrival as it is kept.
#[derive(Debug)]
pub struct KeptArrival {
    pub received: Arc<Received>,
    /// The verifications that succeeded.
    pub proofs: Vec<ProofRecord>,
    /// True if the whole body is kept.
    pub is_whole: bool,
}

/// The decision of a rule set about a kept arrival.
pub struct Verdict<'r> {
    rules: &'r RuleSet,
    /// The endpoint that takes the request, or the reason why there is none.
    taken: Result<Taken<'r>, String>,
}

/// A request that an endpoint takes.
struct Taken<'r> {
    endpoint: &'r Endpoint,
    event: Event,
    authorization: Authorization<'r>,
    /// Rules that match, by index.
    matched: BTreeSet<usize>,
    /// Rules that may match, by index, and what is not known.
    unknown: Vec<(usize, Unknown)>,
}

/// The reason why it is not known whether a rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unknown {
    /// The body was not kept whole.
    Body,
    /// The verification is written in another way than before, and no signature is kept.
    Verification,
}

impl<'r> Verdict<'r> {
    /// Decides about an arrival. `before` are the rules whose verifications gave the known results.
    /// `None`: these rules are the same.
    pub fn new(rules: &'r RuleSet, before: Option<&RuleSet>, arrival: &KeptArrival) -> Self {
        let taken = Taken::new(rules, before, arrival);
        Self { rules, taken }
    }

    /// Names of the rules that match.
    pub fn matched(&self) -> impl Iterator<Item = &'r Arc<str>> {
        let taken = self.taken.iter();
        taken.flat_map(|taken| {
            let rules = taken.matched.iter();
            rules.filter_map(|index| taken.name(*index))
        })
    }

    /// Names of the rules of which it is not known whether they match, and why.
    pub fn unknown(&self) -> impl Iterator<Item = (&'r Arc<str>, Unknown)> {
        let taken = self.taken.iter();
        taken.flat_map(|taken| {
            let rules = taken.unknown.iter();
            rules.filter_map(|(index, why)| Some((taken.name(*index)?, *why)))
        })
    }

    /// Returns the condition of a rule that does not hold, or another reason why the rule does not
    /// match. It contains no value of the arrival, so that arrivals can be grouped by it.
    pub fn reason(&self, rule: &str) -> String {
        let Some(&(_, index)) = self.rules.names.get(rule) else {
            return "there is no such rule".to_owned();
        };
        let taken = match &self.taken {
            Ok(taken) => taken,
            Err(why) => return why.clone(),
        };
        if taken.name(index).is_none_or(|name| **name != *rule) {
            return format!("the request belongs to the endpoint `{}`", taken.endpoint.path);
        }
        if !taken.endpoint.rules.get(index).is_some_and(|rule| rule.enabled) {
            return "it is not enabled".to_owned();
        }
        if let Some(word) = taken.authorization.refusal_word(index) {
            return format!("it refuses the request: {word}");
        }
        match taken.endpoint.matcher.explain(&taken.event, index).failed {
            Some(miss) => format!("{}: expected {}", miss.selector, miss.expected),
            None => "its actions need the payload, which cannot be read".to_owned(),
        }
    }

    /// Returns the indices of the elements for which a rule acts. `None`: it acts for the event as a
    /// whole.
    pub fn elements(&self, rule: &str) -> Option<Vec<u32>> {
        let (taken, index) = self.taken(rule)?;
        match taken.endpoint.matcher.elements(&taken.event, index)? {
            Elements::Matching(indices) => Some(indices),
            Elements::TooMany(_) => Some(Vec::new()),
        }
    }

    /// Returns the group and the actions of a rule that matches, rendered for each of `elements`. For
    /// the event as a whole if that is `None`.
    pub fn rendered(&self, rule: &str, elements: Option<&[u32]>) -> Vec<Value> {
        let Some((taken, index)) = self.taken(rule) else {
            return Vec::new();
        };
        let rule = taken.endpoint.rules.get(index);
        rule.map_or_else(Vec::new, |rule| taken.rendered(rule, elements))
    }

    fn taken(&self, rule: &str) -> Option<(&Taken<'r>, usize)> {
        let &(_, index) = self.rules.names.get(rule)?;
        Some((self.taken.as_ref().ok()?, index))
    }
}

impl<'r> Taken<'r> {
    fn new(rules: &'r RuleSet, before: Option<&RuleSet>, arrival: &KeptArrival) -> Result<Self, String> {
        let (endpoint, received) = routed(rules, &arrival.received)?;
        let path = url_path::normalized(&received.path);
        let endpoint_before = before
            .and_then(|before| before.endpoint(&path))
            .map(|(endpoint, _)| endpoint);
        let is_known = |verification: &Verification| {
            let mut known = endpoint_before
                .iter()
                .flat_map(|endpoint| &endpoint.verifications);
            before.is_none()
                || verification.is_none()
                || known.any(|known| known.is_written_like(verification))
        };
        let authorization = Authorization::recorded(endpoint, &arrival.proofs, &received, is_known);
        let limit = endpoint.max_body;
        let (decode, unpack, plan) = (endpoint.decode, endpoint.unpack.as_ref(), &endpoint.plan);
        let decoded =
            payload::decode_unpacked(decode, unpack, &received.headers, &received.body, limit, plan);
        let payload = match decoded {
            Ok(payload) => payload,
            Err(error) if error.is_too_large() && arrival.is_whole => return Err(error.to_string()),
            Err(error) => Payload::unreadable(&error),
        };
        let views = endpoint.decode_views(&received.headers, &received.body, &|_| true);
        let event = Event {
            received,
            payload,
            views,
            fired_by: None,
        };
        let unclear: Vec<bool> = endpoint
            .verifications
            .iter()
            .map(|known| !is_known(known))
            .collect();
        let mut taken = Self {
            endpoint,
            event,
            authorization,
            matched: BTreeSet::new(),
            unknown: Vec::new(),
        };
        taken.decide(arrival.is_whole, &unclear);
        Ok(taken)
    }

    /// Decides which rules match. `unclear` are the verifications whose results are not known.
    fn decide(&mut self, is_whole: bool, unclear: &[bool]) {
        let (endpoint, event) = (self.endpoint, &self.event);
        let is_unclear = |index: usize| {
            let rule = endpoint.rules.get(index).filter(|rule| rule.enabled);
            rule.is_some_and(|rule| {
                let mut indices = rule.alternatives.iter().map(|known| known.verification);
                rule.allows(event.received.client)
                    && indices.any(|index| unclear.get(index).is_some_and(|unclear| *unclear))
            })
        };
        let may_match = |index: usize| self.authorization.trusts(index) || is_unclear(index);
        if !is_whole {
            let rules = (0..endpoint.rules.len()).filter(|index| may_match(*index));
            self.unknown = rules.map(|index| (index, Unknown::Body)).collect();
            return;
        }
        let considered = |index: usize| may_match(index) && endpoint.can_act(index, event);
        let matching = endpoint.matcher.matching(event, &considered).into_iter();
        let (matched, unknown): (Vec<usize>, Vec<usize>) =
            matching.partition(|index| self.authorization.trusts(*index));
        self.matched = matched.into_iter().collect();
        let unknown = unknown.into_iter();
        self.unknown = unknown.map(|index| (index, Unknown::Verification)).collect();
    }

    fn name(&self, index: usize) -> Option<&'r Arc<str>> {
        self.endpoint.rules.get(index).map(|rule| &rule.name)
    }

    fn rendered(&self, rule: &Rule, elements: Option<&[u32]>) -> Vec<Value> {
        let endpoint = self.endpoint;
        let stripped = without_credentials(endpoint, Received::clone(&self.event.received));
        let received = Arc::new(stripped);
        let unpack = endpoint.unpack_in(rule.view);
        let stored = Event::from_store(Arc::clone(&received), endpoint.decode.name(), unpack, &rule.plan);
        let stored = match stored {
            Ok(stored) => stored,
            Err(error) => return vec![json!({"error": error})],
        };
        // The group is chosen before the event is stored, and may read more of it.
        let whole = Event {
            received,
            ..self.event.seen_in(rule.view).into_owned()
        };
        match elements {
            None => vec![delivery(endpoint, rule, None, &stored, &whole)],
            Some(elements) => {
                let indices = elements.iter().map(|index| usize::try_from(*index).ok());
                indices
                    .map(|index| delivery(endpoint, rule, index, &stored, &whole))
                    .collect()
            }
        }
    }
}

/// Renders the actions and the group of one delivery: of the element at `index`, or of the event.
fn delivery(endpoint: &Endpoint, rule: &Rule, index: Option<usize>, stored: &Event, whole: &Event) -> Value {
    let preview = Preview::new(endpoint, rule, index, stored);
    let (actions, on_failure) = preview.to_json();
    let mut rendered = serde_json::Map::new();
    rendered.insert("actions".to_owned(), actions.into());
    if !rule.on_failure.is_empty() {
        rendered.insert("on_failure".to_owned(), on_failure.into());
    }
    if let Some(concurrency) = &rule.concurrency {
        let items = rule
            .for_each
            .as_ref()
            .map(|for_each| act::items(whole, &for_each.path));
        let item = items
            .zip(index)
            .and_then(|(items, index)| items.into_iter().nth(index));
        let group = group(rule, concurrency, true, item, whole);
        rendered.insert("group".to_owned(), (&*group.name).into());
    }
    rendered.into()
}

/// Finds the endpoint that takes a request, and the request as it arrives there. The error is the
/// reason why there is none.
fn routed<'r>(rules: &'r RuleSet, received: &Arc<Received>) -> Result<(&'r Endpoint, Arc<Received>), String> {
    let path = url_path::normalized(&received.path);
    let unknown = || format!("no endpoint for `{}`", received.endpoint);
    let (endpoint, parameters) = rules.endpoint(&path).ok_or_else(unknown)?;
    if !endpoint.methods.contains(&received.method) {
        return Err(format!("the endpoint takes {}", endpoint.allowed_methods()));
    }
    if !endpoint.allows(received.client) {
        return Err("`allow` does not let the client in".to_owned());
    }
    if received.body.len() as u64 > endpoint.max_body {
        return Err("the body is larger than `max_body`".to_owned());
    }
    if endpoint.path == received.endpoint {
        return Ok((endpoint, Arc::clone(received)));
    }
    let received = Received {
        endpoint: Arc::clone(&endpoint.path),
        parameters: path_parameters(&parameters).ok_or_else(unknown)?,
        ..Received::clone(received)
    };
    Ok((endpoint, Arc::new(received)))
}
