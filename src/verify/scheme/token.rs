//! Senders that send the secret itself: in a header, in the query or in the body.
//!
//! Nothing is signed. Events are therefore deduplicated only if the sender has an id.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::SchemeContext;
use super::presets::{PLAIN_ID, TokenRow};
use super::settings::{self, row_place};
use super::sign_body::Body;
use super::signature::keys::{ConfiguredKey, decide};
use super::source::{self, Location, Unverified, only_line, only_query};
use super::sparse::Plan;
use crate::base::clock::Timestamp;
use crate::base::diagnostic::Diagnostics;
use crate::base::secret::Secret;
use crate::base::weak_secret::SHORT;
use crate::base::yaml::Node;
use crate::event::Received;
use crate::verify::{DedupKey, OutgoingRequest, Proof, Refusal, Signed};

/// Compiled `token`, or a preset of that kind.
#[derive(Debug)]
pub struct TokenScheme {
    /// Location of the token. In a body, only this value is kept, bounded by `max_body`.
    place: Location,
    /// Accepted tokens.
    pub secrets: Vec<ConfiguredKey<Secret>>,
    ids: Vec<Location>,
    unverified: Unverified,
    plan: Plan,
}

/// Settings of `token`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "secret, id and what concerns handshakes are read from the node, item by item"
)]
struct TokenShape {
    /// Source of the secret. May be a list during rotation.
    secret: Option<IgnoredAny>,
    /// Header that holds the token.
    header: Option<IgnoredAny>,
    /// Query parameter that holds the token.
    query: Option<IgnoredAny>,
    /// `JSONPath` of the token in the body.
    json: Option<IgnoredAny>,
    /// Location of the id that identifies an event.
    id: Option<IgnoredAny>,
    /// Handshake to answer. Default: none.
    handshake: Option<IgnoredAny>,
    /// Token that the sender of a handshake must present.
    verify_token: Option<IgnoredAny>,
    /// Not supported here, and reported as such.
    learn: Option<IgnoredAny>,
}

/// Compiles the value of `token:` (without a row), or of a preset of that kind.
pub fn compile(
    node: Node<'_>,
    row: Option<&TokenRow>,
    scheme_context: &SchemeContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<TokenScheme> {
    if node.is_mapping() {
        node.read::<TokenShape>(diagnostics)?;
    }
    let given = ["header", "query", "json"].map(|key| (key, node.given(key).is_some()));
    let place = if given.iter().any(|(_, given)| *given) {
        settings::place(node, "the token", &given, diagnostics)
    } else {
        let place = row.and_then(|row| row_place(&row.place));
        if place.is_none() {
            diagnostics.push(nowhere(node));
        }
        place
    };
    if let (Some(Location::Headers(names)), Some(at)) = (&place, node.given("header"))
        && names.len() > 1
    {
        diagnostics.push(at.error("wrong-value", "wrong type: one header is taken here"));
    }
    let in_header = matches!(place, Some(Location::Headers(_)));
    let secrets: Vec<ConfiguredKey<Secret>> = held(node, "secret", in_header, scheme_context, diagnostics);
    let id = row.and_then(|row| row.id.as_ref());
    let ids = settings::unsigned_ids(node, id, PLAIN_ID, diagnostics);
    let place = place?;
    let plan = match &place {
        Location::Json(path) => source::plan([path]),
        _ => Plan::default(),
    };
    (!secrets.is_empty()).then_some(TokenScheme {
        place,
        secrets,
        ids,
        unverified: Unverified::of(scheme_context),
        plan,
    })
}

/// Reads the secrets under `key`. If `in_header` is true, each must be a valid header value.
pub fn held(
    node: Node<'_>,
    key: &str,
    in_header: bool,
    scheme_context: &SchemeContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<ConfiguredKey<Secret>> {
    let secrets = settings::secrets(node, key, SHORT, scheme_context.keyring, diagnostics);
    let mut all = Vec::with_capacity(secrets.len());
    for (place, held) in secrets {
        let text = held.key.expose();
        // HTTP strips whitespace from both ends of a value (RFC 9110 §5.5).
        if in_header && (text.trim_ascii().len() < text.len() || HeaderValue::from_bytes(text).is_err()) {
            let message = "a header cannot hold this secret: it begins or ends with a blank or a line break, or has a control character";
            diagnostics.push(place.error("secret", message));
        }
        all.push(held);
    }
    all
}

fn nowhere(node: Node<'_>) -> crate::base::diagnostic::Diagnostic {
    node.error("missing-key", "`token` does not say where the token stands")
        .hint("`{token: {header: X-Token, secret: env:NAME}}`; also `query: NAME` or `json: $.path`")
}

impl TokenScheme {
    /// Locations of the ids that identify events.
    pub fn ids(&self) -> &[Location] {
        &self.ids
    }

    /// Checks that the token is one of the secrets.
    pub fn prove(&self, received: &Received) -> Result<Proof, Refusal> {
        let token = self.token(received)?;
        let wrong = || Refusal::BadToken {
            place: self.place.words(0) + self.hint(&token),
        };
        let source = which(&self.secrets, &token, received.at, wrong)?;
        proof(&self.ids, received, self.unverified.max_body, Some(source))
    }

    /// Returns true if the token is in the body.
    pub fn reads_unverified(&self) -> bool {
        self.place.is_in_body()
    }

    /// Hint for a token that was correct before a `+` in the query was decoded as a space.
    fn hint(&self, token: &[u8]) -> &'static str {
        let plus: Vec<u8> = token
            .iter()
            .map(|byte| if *byte == b' ' { b'+' } else { *byte })
            .collect();
        let is_meant = plus != token && self.secrets.iter().any(|held| held.key.matches(&plus));
        if is_meant && self.query().is_some() {
            " (a `+` in a query stands for a blank: the sender must write `%2B`)"
        } else {
            ""
        }
    }

    fn token<'r>(&self, received: &'r Received) -> Result<Cow<'r, [u8]>, Refusal> {
        let place = || self.place.words(0);
        let found = match &self.place {
            Location::Headers(names) => match names.first() {
                Some(header) => only_line(&received.headers, header)?.map(Cow::Borrowed),
                None => None,
            },
            Location::Query(name) => {
                let repeated = || Refusal::RepeatedToken { place: place() };
                only_query(&received.query, name, repeated)?.map(|token| Cow::Owned(token.into_bytes()))
            }
            Location::Json(path) => {
                let json = source::unverified_json(received, &self.plan, self.unverified)?;
                path.find(&json).and_then(source::text_of).map(Cow::Owned)
            }
            Location::Item(_) => None,
        };
        found.ok_or_else(|| Refusal::MissingToken { place: place() })
    }

    /// Returns what the sender would add to the request.
    pub fn sign(&self, draft: &OutgoingRequest<'_>) -> Result<Signed, String> {
        let mut signed = sign_id(&self.ids, draft)?;
        let secret = self.secrets.first().ok_or("there is no secret to send")?;
        let text = || {
            let text = std::str::from_utf8(secret.key.expose());
            text.map_err(|error| format!("the secret is no text: {error}"))
                .map(str::to_owned)
        };
        match &self.place {
            Location::Headers(names) => {
                let header = names.first().ok_or("the scheme names no header")?;
                signed
                    .headers
                    .push((header.clone(), sensitive(secret.key.expose())?));
            }
            Location::Query(name) => signed.query.push((name.clone(), text()?)),
            Location::Json(path) => {
                let mut body = Body::new(draft);
                body.put(path, &Value::String(text()?))?;
                signed.body = body.changed();
            }
            Location::Item(_) => {}
        }
        Ok(signed)
    }

    /// Header that holds the secret.
    pub fn header(&self) -> Option<&HeaderName> {
        match &self.place {
            Location::Headers(names) => names.first(),
            _ => None,
        }
    }

    /// Query parameter that holds the secret.
    pub fn query(&self) -> Option<&str> {
        match &self.place {
            Location::Query(name) => Some(name),
            _ => None,
        }
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
    let mut read = None;
    let mut dedup_keys = Vec::new();
    for place in ids {
        if let Some(id) = id_at(place, received, max_body, &mut read)? {
            dedup_keys.push(DedupKey::id(&id));
            break;
        }
    }
    Ok(Proof {
        timestamp: None,
        dedup_keys,
        secret,
        read,
    })
}

/// Reads the id at a location, if there is one. Stores a body that had to be parsed in `read`.
fn id_at<'r>(
    place: &Location,
    received: &'r Received,
    max_body: u64,
    read: &mut Option<Arc<Value>>,
) -> Result<Option<Cow<'r, [u8]>>, Refusal> {
    let headers = &received.headers;
    Ok(match place {
        Location::Json(path) => {
            if let Some(json) = read {
                return Ok(source::id_at(path, json).ok().map(Cow::Owned));
            }
            let Ok(json) = source::json(headers, &received.body, max_body) else {
                return Ok(None);
            };
            let id = source::id_at(path, &json.value).ok();
            *read = json.as_sent();
            id.map(Cow::Owned)
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
