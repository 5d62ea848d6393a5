//! Senders that send a signed token: a JWT (RFC 7519) as a compact JWS (RFC 7515).
//!
//! [`Jwt::prove`] parses the token strictly and accepts only the algorithms of the rules file. It
//! then finds a key that verifies the signature, and only then checks the claims. All keys come
//! from the rules file. If a claim holds the SHA-256 of the body, the request is signed. Otherwise
//! a token authorises any body and may be sent many times.
//!
//! The crate `jsonwebtoken` (tried: 12.0) would save 208 of 1508 lines. But it keeps the last of two
//! members with one name, accepts keys at load that can verify nothing, and reads the clock itself.

pub(super) mod algorithm;
mod claims;
mod key_settings;
pub(super) mod keys;
pub(super) mod settings;
mod token;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use http::HeaderName;
use http::header::AUTHORIZATION;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use self::algorithm::JwtAlgorithm;
use self::claims::Demands;
use self::keys::JwtKey;
use self::token::{SignedToken, UniqueMembers};
use super::Scheme;
use super::credentials::BEARER;
use crate::base::clock::Timestamp;
use crate::event::{DedupKey, Received};
use crate::verify::outgoing::{OutgoingRequest, Signed};
use crate::verify::parts::keys::{ConfiguredKey, decide, sources};
use crate::verify::parts::source::{Location, in_header, only_line, only_query};
use crate::verify::parts::unsigned::{proof, sensitive, sign_id};
use crate::verify::proof::{Proof, SentAt};
use crate::verify::refusal::Refusal;

/// Replay window if the token has a timestamp. Plaid requires this value, and most senders of
/// signatures use it.
const WINDOW: Duration = Duration::from_mins(5);

/// Compiled `jwt`.
#[derive(Debug)]
pub struct Jwt {
    /// Accepted algorithms. The first one signs.
    algorithms: Vec<JwtAlgorithm>,
    /// Accepted keys. The first one signs.
    keys: Vec<ConfiguredKey<JwtKey>>,
    place: TokenPlace,
    /// Required claims.
    demands: Demands,
    /// Claim that holds the time of sending.
    timestamp: Option<String>,
    /// Locations of ids. The first one that a request has counts.
    ids: Vec<IdPlace>,
    /// Maximum size of a body that is parsed for an id, in bytes.
    max_body: u64,
}

/// Location of the token.
#[derive(Debug)]
enum TokenPlace {
    /// Header, and the prefix before the token.
    Header(HeaderName, String),
    /// Query parameter.
    Query(String),
}

/// Location of the id.
#[derive(Debug)]
enum IdPlace {
    /// Claim of the token.
    Claim(String),
    /// Any other part of the request.
    Request(Location),
}

impl Jwt {
    /// Text of the token.
    fn text<'r>(&self, received: &'r Received) -> Result<Cow<'r, [u8]>, Refusal> {
        match &self.place {
            TokenPlace::Header(header, prefix) => {
                let line = only_line(&received.headers, header)?.ok_or_else(|| Refusal::MissingHeader {
                    header: header.clone(),
                })?;
                let after = line
                    .split_at_checked(prefix.len())
                    .filter(|(before, _)| {
                        // The name of an `Authorization` scheme is case-insensitive (RFC 9110,
                        // section 11.1).
                        let either_case = *header == AUTHORIZATION;
                        *before == prefix.as_bytes()
                            || either_case && before.eq_ignore_ascii_case(prefix.as_bytes())
                    })
                    .map(|(_, after)| Cow::Borrowed(after));
                after.ok_or_else(|| Refusal::MalformedToken {
                    place: self.words(),
                    fault: format!("does not follow `{prefix}`"),
                })
            }
            TokenPlace::Query(name) => {
                let repeated = || Refusal::RepeatedToken { place: self.words() };
                let text = only_query(&received.query, name, repeated)?;
                let text = text.map(|text| Cow::Owned(text.into_bytes()));
                text.ok_or_else(|| Refusal::MissingToken { place: self.words() })
            }
        }
    }

    /// Returns the source of the key that signed the token with an accepted algorithm.
    fn check_signature(&self, token: &SignedToken<'_>, now: Timestamp) -> Result<Arc<str>, Refusal> {
        let foreign = |fault: String| Refusal::ForeignToken {
            place: self.words(),
            fault,
        };
        let named = JwtAlgorithm::named(&token.algorithm);
        let algorithm = named.filter(|algorithm| self.algorithms.contains(algorithm));
        let algorithm = algorithm.ok_or_else(|| {
            // Only a known name is quoted: any other text was chosen by a stranger.
            let what = match named {
                Some(algorithm) => format!("is signed by `{}`", algorithm.name()),
                None if token.algorithm.eq_ignore_ascii_case("none") => "is not signed".to_owned(),
                None => "is signed by an algorithm that is not known here".to_owned(),
            };
            foreign(format!(
                "{what}, where {} is demanded",
                algorithm::names(&self.algorithms)
            ))
        })?;
        let kid = token.kid.as_deref();
        let meant = || self.keys.iter().filter(|held| held.key.answers_to(kid));
        if meant().next().is_none() {
            let known = self.keys.iter().filter_map(|held| held.key.kid());
            let known: Vec<String> = known.map(|kid| format!("`{}`", kid.escape_debug())).collect();
            return Err(foreign(format!(
                "is signed with a key that is none of {}",
                known.join(", ")
            )));
        }
        let mut candidates = meant().filter(|held| held.key.serves(algorithm)).peekable();
        if candidates.peek().is_none() {
            return Err(foreign(format!(
                "is signed by `{}`, and with a key of another kind",
                algorithm.name()
            )));
        }
        // All are tried, so that timing does not disclose which of several secrets matched.
        let tried: Vec<_> = candidates
            .map(|held| (held, held.key.holds(algorithm, token.signed, &token.signature)))
            .collect();
        decide(tried, now, || Refusal::ForgedToken { place: self.words() })
    }

    /// Builds the proof of a genuine token.
    fn proof(
        &self,
        received: &Received,
        token: &SignedToken<'_>,
        claims: &UniqueMembers,
        secret: Arc<str>,
    ) -> Result<Proof, Refusal> {
        let timestamp = match &self.timestamp {
            Some(name) => Some(SentAt {
                at: claims::sent_at(claims, name)?,
                signed: true,
            }),
            None => None,
        };
        let body_signed = self.signs_body();
        let mut dedup_keys = Vec::new();
        for id in &self.ids {
            dedup_keys = match id {
                IdPlace::Claim(name) => claims::id(claims, name)
                    .map(|id| vec![DedupKey::id(&id)])
                    .unwrap_or_default(),
                // If the body is signed, an id outside it is not: an attacker could change that id.
                IdPlace::Request(place) if !body_signed || place.is_in_body() => {
                    proof(std::slice::from_ref(place), received, self.max_body, None)?.dedup_keys
                }
                IdPlace::Request(_) => Vec::new(),
            };
            if !dedup_keys.is_empty() {
                break;
            }
        }
        // A single-use token is remembered even if it has no such claim.
        let once = body_signed || self.ids.iter().any(|id| matches!(id, IdPlace::Claim(_)));
        if dedup_keys.is_empty() && once {
            // The key is the signed bytes and not the signature: ECDSA allows many signatures of
            // one token.
            dedup_keys.push(DedupKey::signature(&Sha256::digest(token.signed)));
        }
        Ok(Proof {
            timestamp,
            dedup_keys,
            secret: Some(secret),
        })
    }

    /// Claims that the sender would make.
    fn claims_of(&self, draft: &OutgoingRequest<'_>) -> Value {
        let mut claims: Map<String, Value> = self.demands.claims.iter().cloned().collect();
        let mut claim = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        if let Some(issuer) = self.demands.issuers.first() {
            claim("iss", issuer.as_str().into());
        }
        if let Some(audience) = self.demands.audiences.first() {
            claim("aud", audience.as_str().into());
        }
        if let Some(name) = &self.timestamp {
            claim(name, draft.at.as_seconds().into());
        }
        if let Some(name) = &self.demands.body_hash {
            claim(name, HEXLOWER.encode(&Sha256::digest(draft.body)).into());
        }
        if let Some(IdPlace::Claim(name)) = self.ids.first() {
            claim(name, draft.id.into());
        }
        Value::Object(claims)
    }

    fn words(&self) -> String {
        match &self.place {
            TokenPlace::Header(header, _) => in_header(header),
            TokenPlace::Query(name) => format!("`{name}` of the query"),
        }
    }

    /// Returns true if a claim holds the digest of the body.
    fn signs_body(&self) -> bool {
        self.demands.body_hash.is_some()
    }

    /// Header that holds the token.
    fn header(&self) -> Option<&HeaderName> {
        match &self.place {
            TokenPlace::Header(header, _) => Some(header),
            TokenPlace::Query(_) => None,
        }
    }
}

impl Scheme for Jwt {
    fn prove(&self, received: &Received) -> Result<Proof, Refusal> {
        let text = self.text(received)?;
        let malformed = |fault| Refusal::MalformedToken {
            place: self.words(),
            fault,
        };
        let token = SignedToken::parse(&text).map_err(malformed)?;
        let secret = self.check_signature(&token, received.at)?;
        let claims = token.claims().map_err(malformed)?;
        self.demands.check(&claims, &received.body, received.at)?;
        self.proof(received, &token, &claims, secret)
    }

    fn recognised_by(&self) -> String {
        let mut by: Vec<String> = Vec::new();
        for id in &self.ids {
            by.push(match id {
                IdPlace::Claim(name) => format!("the id in the claim `{name}`"),
                IdPlace::Request(place) => format!("the id in {}", place.words(0)),
            });
        }
        if self.signs_body() || self.ids.iter().any(|id| matches!(id, IdPlace::Claim(_))) {
            by.push("the token".to_owned());
        }
        by.join(", else by ")
    }

    /// Returns true for a shared secret. Of other keys only the public part is known.
    fn can_sign(&self) -> bool {
        self.algorithms
            .first()
            .is_some_and(|algorithm| algorithm.takes_secret())
    }

    fn sign(&self, draft: &OutgoingRequest<'_>) -> Result<Signed, String> {
        let (Some(algorithm), Some(held)) = (self.algorithms.first(), self.keys.first()) else {
            return Err("there is no key to sign with".to_owned());
        };
        let encode = |json: Value| BASE64URL_NOPAD.encode(json.to_string().as_bytes());
        let first = encode(json!({"alg": algorithm.name(), "typ": "JWT"}));
        let signed = format!("{first}.{}", encode(self.claims_of(draft)));
        let signature = held.key.sign(*algorithm, signed.as_bytes()).ok_or_else(|| {
            format!(
                "a private key is needed to sign by `{}`, and a verification has the public key alone",
                algorithm.name()
            )
        })?;
        let token = format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature));
        let mut added = match self.ids.first() {
            Some(IdPlace::Request(place)) => sign_id(std::slice::from_ref(place), draft)?,
            _ => Signed::default(),
        };
        match &self.place {
            TokenPlace::Header(header, prefix) => {
                let line = sensitive(format!("{prefix}{token}").as_bytes())?;
                added.headers.push((header.clone(), line));
            }
            TokenPlace::Query(name) => added.query.push((name.clone(), token)),
        }
        Ok(added)
    }

    fn signs_time(&self) -> bool {
        self.timestamp.is_some()
    }

    fn default_window(&self) -> Option<Duration> {
        self.timestamp.as_ref().map(|_| WINDOW)
    }

    fn secrets(&self) -> Vec<(Arc<str>, Option<Timestamp>)> {
        sources(&self.keys)
    }

    /// Present if the token is in `Authorization`.
    fn challenge(&self) -> Option<&'static str> {
        (self.header() == Some(&AUTHORIZATION)).then_some(BEARER)
    }

    fn credential_headers(&self) -> Vec<HeaderName> {
        self.header().cloned().into_iter().collect()
    }

    fn credential_query(&self) -> Option<&str> {
        match &self.place {
            TokenPlace::Header(..) => None,
            TokenPlace::Query(name) => Some(name),
        }
    }

    fn signs(&self) -> bool {
        self.signs_body()
    }
}
