//! Senders that send a signed token: a JWT (RFC 7519) in the compact form of a JWS (RFC 7515).
//!
//! [`Jwt::prove`] reads the token strictly, lets in none but the algorithms of the rules file, looks for a key whose signature
//! holds, and only then at what the token claims. Keys come from the operator and nowhere else. Where a claim holds the
//! SHA-256 of the body the request is signed; where none does the token lets any body in, and may be sent many times.

mod algorithm;
mod claims;
mod key_settings;
mod keys;
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

pub use self::algorithm::JwtAlgorithm;
use self::claims::Demands;
use self::keys::Key;
use self::token::{SignedToken, UniqueMembers};
use super::credentials::Bearer;
use super::signature::keys::{ConfiguredKey, decide};
use super::source::{Location, in_header, only_line, only_query};
use super::token::{proof, sensitive, sign_id};
use crate::base::clock::Timestamp;
use crate::event::Received;
use crate::verify::{DedupKey, OutgoingRequest, Proof, Refusal, SentAt, Signed};

/// How far when it was sent may lie from now, where the token says it: what Plaid demands, and most of those who send signatures.
const WINDOW: Duration = Duration::from_mins(5);

/// A compiled `jwt`, or a preset of that kind.
#[derive(Debug)]
pub struct Jwt {
    /// Those that are let in; the first one signs.
    algorithms: Vec<JwtAlgorithm>,
    /// Any of them may have signed; the first one signs.
    pub keys: Vec<ConfiguredKey<Key>>,
    /// Where the token stands.
    place: TokenPlace,
    /// What its claims must say.
    demands: Demands,
    /// The claim that says when it was sent.
    timestamp: Option<String>,
    /// Where ids stand; the first that a request has counts.
    ids: Vec<IdPlace>,
    /// The largest body that is read for an id, in bytes.
    max_body: u64,
}

/// Where the token stands.
#[derive(Debug)]
enum TokenPlace {
    /// In a header, after this text.
    Header(HeaderName, String),
    /// In the query.
    Query(String),
}

/// Where the id stands.
#[derive(Debug)]
enum IdPlace {
    /// In the token.
    Claim(String),
    /// Elsewhere in the request.
    Request(Location),
}

impl Jwt {
    /// Whether the token is genuine and meant for us, and what it then proves.
    pub fn prove(&self, received: &Received) -> Result<Proof, Refusal> {
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

    /// The token's text.
    fn text<'r>(&self, received: &'r Received) -> Result<Cow<'r, [u8]>, Refusal> {
        match &self.place {
            TokenPlace::Header(header, prefix) => {
                let line = only_line(&received.headers, header)?.ok_or_else(|| Refusal::MissingHeader {
                    header: header.clone(),
                })?;
                let after = line
                    .split_at_checked(prefix.len())
                    .filter(|(before, _)| {
                        // The name of a scheme of `Authorization` counts in either case (RFC 9110, section 11.1).
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

    /// Which of our keys signed it, by an algorithm that is let in.
    fn check_signature(&self, token: &SignedToken<'_>, now: Timestamp) -> Result<Arc<str>, Refusal> {
        let foreign = |fault: String| Refusal::ForeignToken {
            place: self.words(),
            fault,
        };
        let named = JwtAlgorithm::named(&token.algorithm);
        let algorithm = named.filter(|algorithm| self.algorithms.contains(algorithm));
        let algorithm = algorithm.ok_or_else(|| {
            // Only a name that is known is repeated: whatever else stands there is a stranger's text.
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
        // All are tried, so that the time does not tell which of several secrets it was.
        let tried: Vec<_> = candidates
            .map(|held| (held, held.key.holds(algorithm, token.signed, &token.signature)))
            .collect();
        decide(tried, now, || Refusal::ForgedToken { place: self.words() })
    }

    /// What a genuine token proves.
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
                // Where the body is signed, an id beside it is not: anybody could change it.
                IdPlace::Request(place) if !body_signed || place.is_in_body() => {
                    proof(std::slice::from_ref(place), received, self.max_body, None)?.dedup_keys
                }
                IdPlace::Request(_) => Vec::new(),
            };
            if !dedup_keys.is_empty() {
                break;
            }
        }
        // A token that is to be used once is known again also where it has no such claim.
        let once = body_signed || self.ids.iter().any(|id| matches!(id, IdPlace::Claim(_)));
        if dedup_keys.is_empty() && once {
            // The signed bytes and not the signature: of one token an ECDSA key can make many.
            dedup_keys.push(DedupKey::signature(&Sha256::digest(token.signed)));
        }
        Ok(Proof {
            timestamp,
            dedup_keys,
            secret: Some(secret),
            read: None,
        })
    }

    /// Whether a claim holds the digest of the body.
    pub fn signs_body(&self) -> bool {
        self.demands.body_hash.is_some()
    }

    /// By what events are recognised, in words; empty if by nothing.
    pub fn recognised_by(&self) -> String {
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

    /// Whether it can sign: with a shared secret. Of the others we hold the public key alone.
    pub fn can_sign(&self) -> bool {
        self.algorithms
            .first()
            .is_some_and(|algorithm| algorithm.takes_secret())
    }

    /// What the sender would add.
    pub fn sign(&self, draft: &OutgoingRequest<'_>) -> Result<Signed, String> {
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

    /// The claims that the sender would make.
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

    /// The replay window of its own.
    pub fn default_window(&self) -> Option<Duration> {
        self.timestamp.as_ref().map(|_| WINDOW)
    }

    /// What a client that is refused is asked for: only where clients send credentials can they be.
    pub fn challenge(&self) -> Option<&'static str> {
        (self.header() == Some(&AUTHORIZATION)).then_some(Bearer::CHALLENGE)
    }

    /// The header that holds the token.
    pub fn header(&self) -> Option<&HeaderName> {
        match &self.place {
            TokenPlace::Header(header, _) => Some(header),
            TokenPlace::Query(_) => None,
        }
    }

    /// The name in the query that holds the token.
    pub fn query(&self) -> Option<&str> {
        match &self.place {
            TokenPlace::Header(..) => None,
            TokenPlace::Query(name) => Some(name),
        }
    }

    fn words(&self) -> String {
        match &self.place {
            TokenPlace::Header(header, _) => in_header(header),
            TokenPlace::Query(name) => format!("`{name}` of the query"),
        }
    }
}
