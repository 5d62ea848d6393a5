//! Records of arrivals that became no event. `recorder.rs` writes them later.
//!
//! The decision on an accepted event is stored with the event.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::event::{ArrivalOutcome, Received, RuleDecision};
use crate::pipeline::answer::Answer;
use crate::pipeline::arriving::Arriving;
use crate::pipeline::authorization::Authorization;
use crate::pipeline::ingest::{Ingest, without_credentials};
use crate::report;
use crate::rules::Endpoint;
use crate::store::{ArrivalRecord, Ring};

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
        let outcome = ArrivalOutcome::of_answer(answer.outcome);
        self.record(arriving, outcome, status, None, || (why.to_owned(), Vec::new()));
        answer
    }

    /// Records an arrival that becomes no event, unless its endpoint keeps none or too many wait.
    /// `describe` returns the reason and the decisions of the rules. It is only called for a record.
    pub(super) fn record(
        &self,
        arriving: Arriving<'_>,
        outcome: ArrivalOutcome,
        status: StatusCode,
        authorization: Option<&Authorization<'_>>,
        describe: impl FnOnce() -> (String, Vec<RuleDecision>),
    ) {
        let ring = ring(outcome, authorization);
        let limit = *arriving.endpoint.keep.get(ring);
        if limit == Some(0) {
            return;
        }
        self.recorder.add(ring, || {
            let (mut reason, decisions) = describe();
            reason.truncate(reason.floor_char_boundary(ArrivalRecord::REASON));
            ArrivalRecord {
                received: Arc::new(kept(arriving, ring)),
                ring,
                outcome,
                status: status.as_u16(),
                reason,
                decision: arriving.decision(decisions),
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

/// Returns the part of a request that its record keeps: no credentials, and a bounded body.
fn kept(arriving: Arriving<'_>, ring: Ring) -> Received {
    let received = arriving.received;
    let length = if arriving.is_withheld {
        0
    } else {
        received.body.len().min(ArrivalRecord::BODY)
    };
    let body = received.body.get(..length).unwrap_or_default();
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
