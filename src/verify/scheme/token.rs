//! Senders that send the secret itself: in a header, in the query, or in the body.
//!
//! Nothing is signed, so nothing is remembered, unless the rules file says where an id stands.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Surroundings;
use super::path::SingularPath;
use super::presets::{PLAIN_ID, TokenRow};
use super::settings;
use super::source::{self, Place, in_header, only_line};
use crate::diagnostic::Findings;
use crate::secret::Secret;
use crate::verify::{Draft, Nonce, Proof, Received, Refusal};
use crate::yaml::Node;

/// A compiled `token`, or a preset of that kind.
#[derive(Debug)]
pub struct Token {
    place: TokenPlace,
    secrets: Vec<Secret>,
    id: Option<Place>,
}

/// Where the token stands.
#[derive(Debug)]
enum TokenPlace {
    /// In a header, which holds nothing else.
    Header(HeaderName),
    /// In the query.
    Query(String),
    /// In the body. It is parsed before anything is known about it, bounded by the endpoint's `max_body`.
    Json(SingularPath),
}

/// The fields of `token`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "secret, id and what concerns handshakes are read from the node, item by item"
)]
struct Shape {
    /// Where the secret is read from; several while one replaces the other.
    secret: Option<IgnoredAny>,
    /// The header that holds the token.
    header: Option<IgnoredAny>,
    /// The name in the query under which it stands.
    query: Option<String>,
    /// The `JSONPath` at which it stands.
    json: Option<String>,
    /// Where an id stands by which events are recognised.
    id: Option<IgnoredAny>,
    /// The handshake that is answered; none by default.
    handshake: Option<IgnoredAny>,
    /// What the sender of a handshake must know.
    verify_token: Option<IgnoredAny>,
    /// Of no use here, and said to be.
    learn: Option<IgnoredAny>,
}

/// Compiles the value of `token:` (no row), or of a preset of that kind.
pub fn compile(
    node: Node<'_>,
    row: Option<&TokenRow>,
    surroundings: &Surroundings<'_>,
    findings: &mut Findings,
) -> Option<Token> {
    let row_place = row.and_then(|row| HeaderName::from_bytes(row.header.as_bytes()).ok());
    let mut place = row_place.map(TokenPlace::Header);
    if node.is_mapping() {
        let shape: Shape = node.read(findings)?;
        let given = [
            shape.header.is_some(),
            shape.query.is_some(),
            shape.json.is_some(),
        ];
        if given.iter().filter(|given| **given).count() > 1 {
            let message = "a token stands in one place: `header`, `query` or `json`";
            findings.push(node.error("ambiguous-place", message));
        }
        if let Some(query) = shape.query {
            place = Some(TokenPlace::Query(query));
        } else if let (Some(text), Some(at)) = (&shape.json, node.get("json")) {
            place = settings::path(at, text, findings).map(TokenPlace::Json).or(place);
        } else if let (Some(_), Some(at)) = (shape.header, node.get("header")) {
            place = settings::header_name(at, findings)
                .map(TokenPlace::Header)
                .or(place);
        } else if place.is_none() {
            findings.push(nowhere(node));
        }
    } else if place.is_none() {
        findings.push(nowhere(node));
    }
    let secrets: Vec<Secret> = settings::secrets(node, "secret", surroundings.keyring, findings)
        .into_iter()
        .map(|(_, secret)| secret)
        .collect();
    let id = settings::unsigned_id(node, PLAIN_ID, findings);
    (!secrets.is_empty()).then_some(Token {
        place: place?,
        secrets,
        id,
    })
}

fn nowhere(node: Node<'_>) -> crate::diagnostic::Finding {
    node.error("missing-key", "`token` does not say where the token stands")
        .hint("`{token: {header: X-Token, secret: env:NAME}}`; also `query: NAME` or `json: $.path`")
}

impl Token {
    /// Whether the token is one of the secrets.
    pub fn prove(&self, received: &Received) -> Result<Proof, Refusal> {
        self.check(&received.headers, &received.query, &received.body)?;
        proof(self.id.as_ref(), &received.headers, &received.body)
    }

    fn check(&self, headers: &HeaderMap, query: &str, body: &[u8]) -> Result<(), Refusal> {
        let token = self.token(headers, query, body)?;
        if one_of(&self.secrets, &token) {
            Ok(())
        } else {
            Err(Refusal::BadToken { place: self.words() })
        }
    }

    fn token<'r>(&self, headers: &'r HeaderMap, query: &str, body: &[u8]) -> Result<Cow<'r, [u8]>, Refusal> {
        let found = match &self.place {
            TokenPlace::Header(header) => only_line(headers, header)?.map(Cow::Borrowed),
            TokenPlace::Query(name) => {
                let mut named = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
                let first = named.next();
                if named.next().is_some() {
                    return Err(Refusal::RepeatedToken { place: self.words() });
                }
                first.map(|(_, token)| Cow::Owned(token.into_owned().into_bytes()))
            }
            TokenPlace::Json(path) => {
                let json = source::json(body)?;
                path.find(&json).and_then(source::text_of).map(Cow::Owned)
            }
        };
        found.ok_or_else(|| Refusal::MissingToken { place: self.words() })
    }

    /// The headers that the sender would add. A token in the query or in the body is the caller's to write there.
    pub fn sign(&self, draft: &Draft<'_>) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
        let mut added = sign_id(self.id.as_ref(), draft)?;
        if let TokenPlace::Header(header) = &self.place {
            let secret = self.secrets.first().ok_or("there is no secret to send")?;
            added.push((header.clone(), sensitive(secret.expose())?));
            return Ok(added);
        }
        let query = draft.url.split_once('?').map_or("", |(_, query)| query);
        let query = query.split('#').next().unwrap_or_default();
        self.check(draft.headers, query, draft.body)
            .map_err(|refusal| format!("{refusal}: write it there"))?;
        Ok(added)
    }

    /// The header that holds the secret.
    pub fn header(&self) -> Option<&HeaderName> {
        match &self.place {
            TokenPlace::Header(header) => Some(header),
            _ => None,
        }
    }

    /// The name in the query that holds the secret.
    pub fn query(&self) -> Option<&str> {
        match &self.place {
            TokenPlace::Query(name) => Some(name),
            _ => None,
        }
    }

    fn words(&self) -> String {
        match &self.place {
            TokenPlace::Header(header) => in_header(header),
            TokenPlace::Query(name) => format!("`{name}` of the query"),
            TokenPlace::Json(path) => format!("`{path}` of the body"),
        }
    }
}

/// Whether `candidate` is one of the secrets. All are compared, so that the time does not tell which it was.
pub fn one_of(secrets: &[Secret], candidate: &[u8]) -> bool {
    secrets
        .iter()
        .fold(false, |found, secret| found | secret.matches(candidate))
}

/// What a request proves that signs nothing: its id, if the rules file says where one stands.
pub fn proof(id: Option<&Place>, headers: &HeaderMap, body: &[u8]) -> Result<Proof, Refusal> {
    let nonces = match id {
        Some(Place::Json(path)) => vec![Nonce::id(&source::id_at(path, &source::json(body)?)?)],
        Some(Place::Headers(names)) => {
            let sent = names.iter().find(|name| headers.contains_key(*name));
            match sent.or(names.first()) {
                Some(name) => vec![Nonce::id(source::id_in(headers, name)?)],
                None => Vec::new(),
            }
        }
        Some(Place::Item(_)) | None => Vec::new(),
    };
    Ok(Proof {
        timestamp: None,
        nonces,
    })
}

/// The header with the id that such a sender would add.
pub fn sign_id(id: Option<&Place>, draft: &Draft<'_>) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    match id {
        Some(Place::Headers(names)) => {
            let value = HeaderValue::from_str(draft.id).map_err(|error| format!("the id: {error}"))?;
            Ok(names
                .first()
                .map(|name| (name.clone(), value))
                .into_iter()
                .collect())
        }
        _ => Ok(Vec::new()),
    }
}

/// A header's value that is a secret.
pub fn sensitive(bytes: &[u8]) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_bytes(bytes)
        .map_err(|error| format!("the secret cannot stand in a header: {error}"))?;
    value.set_sensitive(true);
    Ok(value)
}
