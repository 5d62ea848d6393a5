//! Requests that sign nothing: the comparison of a secret that is sent as it is, and the ids of
//! such events.

use std::borrow::Cow;
use std::sync::Arc;

use http::HeaderValue;

use super::keys::{ConfiguredKey, decide};
use super::source::{self, Location, only_line, only_query};
use crate::base::clock::Timestamp;
use crate::base::secret::Secret;
use crate::event::{DedupKey, Received};
use crate::verify::outgoing::{OutgoingRequest, Signed};
use crate::verify::proof::Proof;
use crate::verify::refusal::Refusal;

/// Describes unsigned ids. Empty if there are none.
pub fn ids_in_words(ids: &[Location]) -> String {
    let words: Vec<String> = ids.iter().map(|place| place.words(0)).collect();
    match words.as_slice() {
        [] => String::new(),
        words => format!("the id in {}", words.join(", else in ")),
    }
}

/// Returns the source of the secret that equals `candidate`. All secrets are compared, so that
/// timing does not disclose which one matched.
pub fn which(
    secrets: &[ConfiguredKey<Secret>],
    candidate: &[u8],
    now: Timestamp,
    wrong: impl FnOnce() -> Refusal,
) -> Result<Arc<str>, Refusal> {
    let compared: Vec<bool> = secrets.iter().map(|held| held.key.matches(candidate)).collect();
    decide(secrets.iter().zip(compared), now, wrong)
}

/// Proof of a request that signs nothing. Its dedup key is the first id that the request has.
///
/// Without an id, the event is not remembered. Requiring one would give no protection: a sender
/// with the secret can write any id.
pub fn proof(
    ids: &[Location],
    received: &Received,
    max_body: u64,
    secret: Option<Arc<str>>,
) -> Result<Proof, Refusal> {
    let mut dedup_keys = Vec::new();
    for place in ids {
        if let Some(id) = id_at(place, received, max_body)? {
            dedup_keys.push(DedupKey::id(&id));
            break;
        }
    }
    Ok(Proof {
        timestamp: None,
        dedup_keys,
        secret,
    })
}

/// Reads the id at a location, if there is one.
fn id_at<'r>(
    place: &Location,
    received: &'r Received,
    max_body: u64,
) -> Result<Option<Cow<'r, [u8]>>, Refusal> {
    let headers = &received.headers;
    Ok(match place {
        Location::Json(path) => {
            let json = source::json(headers, &received.body, max_body, path.plan());
            let id = json.and_then(|json| source::id_at(path, &json));
            id.ok().map(Cow::Owned)
        }
        Location::Headers(names) => match names.iter().find(|name| headers.contains_key(*name)) {
            Some(name) => only_line(headers, name)?
                .filter(|id| !id.is_empty())
                .map(Cow::Borrowed),
            None => None,
        },
        Location::Query(name) => {
            let repeated = || Refusal::MalformedId {
                place: place.words(0),
                fault: "stands more than once".to_owned(),
            };
            let found = only_query(&received.query, name, repeated)?;
            let id = found.filter(|id| !id.is_empty());
            id.map(|id| Cow::Owned(id.into_bytes()))
        }
        Location::Item(_) => None,
    })
}

/// Returns the header or query parameter for the id of a signed request. An id in the body is left
/// to the author of the body.
pub fn sign_id(ids: &[Location], draft: &OutgoingRequest<'_>) -> Result<Signed, String> {
    let mut signed = Signed::default();
    match ids.first() {
        Some(Location::Headers(names)) => {
            let value = HeaderValue::from_str(draft.id).map_err(|error| format!("the id: {error}"))?;
            let name = names.first().cloned();
            signed.headers.extend(name.map(|name| (name, value)));
        }
        Some(Location::Query(name)) => signed.query.push((name.clone(), draft.id.to_owned())),
        _ => {}
    }
    Ok(signed)
}

/// Builds a header value and marks it as sensitive.
pub fn sensitive(bytes: &[u8]) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_bytes(bytes)
        .map_err(|error| format!("the secret cannot stand in a header: {error}"))?;
    value.set_sensitive(true);
    Ok(value)
}
