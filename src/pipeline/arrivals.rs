//! Decisions and records of arrivals.
//!
//! The decision on an accepted event is stored with the event. For every other arrival a record is
//! made, which `recorder.rs` writes later.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::event::{ArrivalOutcome, Decision, Received, Ring, RuleDecision};
use crate::payload::Event;
use crate::pipeline::answer::Answer;
use crate::pipeline::authorization::Authorization;
use crate::pipeline::ingest::{Ingest, without_credentials};
use crate::report;
use crate::rules::{Endpoint, RuleSet};
use crate::store::ArrivalRecord;

/// A request on its way, with the rules that decide about it.
#[derive(Clone, Copy)]
pub struct Arriving<'r> {
    pub rules: &'r RuleSet,
    pub endpoint: &'r Endpoint,
    pub received: &'r Received,
}

impl Arriving<'_> {
    /// The decision of these rules.
    pub(super) fn decision(&self, rules: Vec<RuleDecision>) -> Decision {
        let digest = self.rules.sha256.get(..Decision::DIGEST);
        Decision {
            generation: self.rules.generation,
            rules_sha256: digest.unwrap_or_default().into(),
            unlisted: self.endpoint.rules.len().saturating_sub(rules.len()),
            rules,
        }
    }
}

/// What became of an arrival, and why.
pub(super) struct Conclusion<'a> {
    pub outcome: ArrivalOutcome,
    pub status: StatusCode,
    /// If empty, the record names the nearest rule.
    pub reason: &'a str,
}

/// Decides for each rule why it does or does not match the event, in the order of
/// [`Decision::rules`]. `matched` are the indices of the rules that match.
pub(super) fn decisions(
    endpoint: &Endpoint,
    event: &Event,
    authorization: &Authorization<'_>,
    matched: &[usize],
) -> Vec<RuleDecision> {
    let mut decided: Vec<RuleDecision> = matched
        .iter()
        .filter_map(|index| decision(endpoint, *index, None))
        .take(Decision::RULES)
        .collect();
    if decided.len() == endpoint.rules.len() {
        return decided;
    }
    let left = Decision::RULES - decided.len();
    let considered = |index: usize| authorization.trusts(index) && !matched.contains(&index);
    for (index, explanation) in endpoint.matcher.nearest(event, &considered, left) {
        let reason = if explanation.matched {
            "its actions need the payload, which cannot be read".to_owned()
        } else {
            explanation.to_string()
        };
        decided.extend(decision(endpoint, index, Some(reason)));
    }
    distrusted(endpoint, authorization, &mut decided);
    decided
}

/// Adds the reasons of the rules that do not trust the request.
pub(super) fn distrusted(
    endpoint: &Endpoint,
    authorization: &Authorization<'_>,
    decided: &mut Vec<RuleDecision>,
) {
    for index in 0..endpoint.rules.len() {
        if decided.len() >= Decision::RULES {
            break;
        }
        let reason = authorization.distrust(index);
        decided.extend(reason.and_then(|reason| decision(endpoint, index, Some(reason))));
    }
}

/// The decision of the rule at `index`. It matches if there is no reason against it.
fn decision(endpoint: &Endpoint, index: usize, reason: Option<String>) -> Option<RuleDecision> {
    let matched = reason.is_none();
    let mut reason = reason.unwrap_or_default();
    reason.truncate(reason.floor_char_boundary(Decision::REASON));
    Some(RuleDecision {
        rule: Arc::clone(&endpoint.rules.get(index)?.name),
        matched,
        reason,
    })
}

impl Ingest {
    /// Answers a request that is turned away before its body is read, and records it.
    pub fn turn_away(&self, arriving: Arriving<'_>, answer: Answer, why: &str) -> Answer {
        let received = arriving.received;
        let status = answer.status;
        report::turned_away(
            &self.metrics,
            &received.path,
            received.client,
            status.as_u16(),
            why,
        );
        let conclusion = Conclusion {
            outcome: ArrivalOutcome::of_answer(answer.outcome),
            status,
            reason: why,
        };
        self.record(arriving, &conclusion, None, Vec::new);
        answer
    }

    /// Records an arrival that becomes no event, unless its endpoint keeps none or too many wait.
    /// `decide` is only called for a record.
    pub(super) fn record(
        &self,
        arriving: Arriving<'_>,
        conclusion: &Conclusion<'_>,
        authorization: Option<&Authorization<'_>>,
        decide: impl FnOnce() -> Vec<RuleDecision>,
    ) {
        let ring = ring(conclusion.outcome, authorization);
        let limit = arriving.endpoint.keep.records(ring);
        if limit == Some(0) {
            return;
        }
        self.recorder.add(ring, || {
            let decision = arriving.decision(decide());
            let nearest = decision.rules.first().filter(|_| conclusion.reason.is_empty());
            let reason = match nearest {
                Some(nearest) => cut(&format!("nearest rule {}: {}", nearest.rule, nearest.reason)),
                None => cut(conclusion.reason),
            };
            ArrivalRecord {
                received: Arc::new(kept(arriving, ring, conclusion.outcome)),
                ring,
                outcome: conclusion.outcome,
                status: conclusion.status.as_u16(),
                reason,
                decision,
                decode: arriving.endpoint.decode.name().to_owned(),
                size: arriving.received.body.len() as u64,
                proofs: authorization.map(Authorization::records).unwrap_or_default(),
                endpoint_limit: limit,
            }
        });
    }
}

/// The ring for an arrival. Unverified senders must not push out verified arrivals.
fn ring(outcome: ArrivalOutcome, authorization: Option<&Authorization<'_>>) -> Ring {
    let verified = authorization.is_some_and(Authorization::is_verified);
    match outcome {
        ArrivalOutcome::Ignored
        | ArrivalOutcome::Duplicate
        | ArrivalOutcome::Unreadable
        | ArrivalOutcome::TooLarge
        | ArrivalOutcome::Unavailable
            if verified =>
        {
            Ring::Ignored
        }
        _ => Ring::Refused,
    }
}

fn cut(reason: &str) -> String {
    let end = reason.floor_char_boundary(ArrivalRecord::REASON);
    reason.get(..end).unwrap_or_default().to_owned()
}

/// Returns the part of a request that its record keeps: no credentials, and a bounded body.
fn kept(arriving: Arriving<'_>, ring: Ring, outcome: ArrivalOutcome) -> Received {
    let received = arriving.received;
    let body = match outcome {
        // It may hold a secret.
        ArrivalOutcome::Handshake => &[],
        _ => received.body.get(..ArrivalRecord::BODY).unwrap_or(&received.body),
    };
    let whole = Received {
        headers: HeaderMap::new(),
        certificate: None,
        // A copy: the rest of the body is not to stay in memory.
        body: Bytes::copy_from_slice(body),
        ..received.clone()
    };
    let mut kept = without_credentials(arriving.endpoint, whole);
    kept.headers = headers(arriving.endpoint, &received.headers, ring);
    if ring == Ring::Refused {
        kept.query = query(&kept.query);
    }
    kept
}

/// Placeholder of a value that may be a credential.
const REDACTED: &str = "[redacted]";

/// Returns the headers without the values of credentials, up to [`ArrivalRecord::HEADERS`] bytes.
fn headers(endpoint: &Endpoint, headers: &HeaderMap, ring: Ring) -> HeaderMap {
    let mut kept = HeaderMap::with_capacity(headers.len());
    let mut bytes = 0;
    for (name, value) in headers {
        let is_secret = endpoint.credentials.contains(name)
            // A sender of another endpoint may bring its token here.
            || (ring == Ring::Refused && may_be_credential(name.as_str()));
        let value = if is_secret {
            HeaderValue::from_static(REDACTED)
        } else {
            value.clone()
        };
        bytes += name.as_str().len() + value.len();
        if bytes > ArrivalRecord::HEADERS {
            break;
        }
        kept.append(HeaderName::clone(name), value);
    }
    kept
}

/// Returns the query without the values of parameters that may be credentials.
fn query(query: &str) -> String {
    let is_secret = form_urlencoded::parse(query.as_bytes()).any(|(name, _)| may_be_credential(&name));
    if !is_secret {
        return query.to_owned();
    }
    let pairs = form_urlencoded::parse(query.as_bytes()).map(|(name, value)| {
        let value = if may_be_credential(&name) {
            REDACTED.into()
        } else {
            value
        };
        (name, value)
    });
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

/// True if a header or parameter of this name usually holds a secret or a signature.
fn may_be_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [
        "token", "secret", "key", "sign", "auth", "password", "hmac", "jwt", "session", "cookie",
    ]
    .iter()
    .any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_loses_the_values_that_may_be_credentials() {
        for (given, expected) in [
            ("", ""),
            ("a=1&b", "a=1&b"),
            ("a=1&token=geheim", "a=1&token=%5Bredacted%5D"),
            ("X-Amz-Signature=ff&x=%20", "X-Amz-Signature=%5Bredacted%5D&x=+"),
        ] {
            assert_eq!(query(given), expected);
        }
    }
}
