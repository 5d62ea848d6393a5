//! Senders that sign with a shared secret (`hmac`) or with a private key (`ed25519`, `ecdsa_p256`).
//!
//! [`Signature::prove`] reads the claims of a request, fills the content with the received bytes,
//! and compares every signature with every key. The body is parsed for a timestamp or an id only
//! after a signature has matched. The exception is a sender that puts the signature itself, or
//! signed values, into the body. [`Signature::sign`] signs as the sender does.

mod claim;
mod content;
mod coverage;
mod form;
mod key_settings;
pub mod keys;
pub mod mac;
pub mod settings;
mod sign;
mod signer;
mod twilio;
mod url;

use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderMap, HeaderName};

use self::claim::ReceivedSignatures;
use self::content::{Content, Filling, Piece};
use self::keys::{Compared, Keys};
use self::mac::Encoding;
use super::source::{self, Location, TimestampSource, Unverified};
use super::sparse::Plan;
use crate::base::json::Json;
use crate::event::Received;
use crate::verify::{DedupKey, Proof, Refusal, SentAt};

/// Compiled `hmac`, `ed25519` or `ecdsa_p256`, or a preset of that kind.
#[derive(Debug)]
pub struct Signature {
    pub keys: Keys,
    /// Location of signatures. Has one header per family.
    pub place: Location,
    /// Encoding of a signature.
    pub encoding: Encoding,
    /// Required prefix of a signature item.
    pub prefix: String,
    /// Separator between items. `None` if there is a single item.
    pub separator: Option<char>,
    /// Signed content.
    pub content: Content,
    /// Location of the timestamp.
    pub timestamp: Option<TimestampSource>,
    /// True if the content covers the timestamp.
    pub timestamp_signed: bool,
    /// Locations of ids. The first signed one that a request has counts.
    pub ids: Vec<IdSource>,
    /// Bytes that an id must not contain.
    pub forbidden_in_id: Vec<u8>,
    /// Field of a form that is signed instead of the body.
    pub form_field: Option<String>,
    /// True if any text is a valid secret.
    pub takes_any_secret: bool,
    /// Public URL without a trailing slash.
    pub public_url: String,
    /// Tolerance of the sender.
    pub window: Duration,
    /// Limits for parsing a body.
    pub unverified: Unverified,
    /// Values to read from a body before it is verified.
    pub plan: Plan,
}

/// Location of an id.
#[derive(Clone, Debug)]
pub struct IdSource {
    pub place: Location,
    /// True if the content covers the id and delimits it.
    pub signed: bool,
}

impl Signature {
    /// Verifies the signature.
    pub fn prove(&self, received: &Received) -> Result<Proof, Refusal> {
        let early = if self.reads_unverified() {
            Some(source::unverified_json(received, &self.plan, self.unverified)?)
        } else {
            None
        };
        let claim = self.claim(received, early.as_ref())?;
        let claimed = self.claimed(&claim)?;
        let stamp = self.timestamp_text(received, &claim, early.as_ref())?;
        let id = self.id_text(received, &claim, early.as_ref())?;
        let body = self.signed_body(&received.headers, &received.body)?;
        let urls = self.urls_of(received);
        let fields = if self.content.covers(&Piece::Fields) {
            twilio::fields(&received.headers, &received.body)?
        } else {
            Vec::new()
        };
        let filling = Filling {
            fields: &fields,
            body: &body,
            timestamp: stamp.as_deref().unwrap_or_default(),
            id: id.as_deref().unwrap_or_default(),
            method: received.method.as_str(),
            url: urls.first().map_or("", String::as_str),
            headers: &received.headers,
        };
        let wrong = || Refusal::BadSignature {
            place: self.place.words(claim.index),
        };
        let now = received.at;
        let compared = if urls.len() <= 1 {
            let one = std::slice::from_ref(&filling);
            self.keys.compare(&self.content, one, &claimed, now, wrong)?
        } else {
            let each: Vec<_> = urls.iter().map(|url| filling.at(url)).collect();
            self.keys.compare(&self.content, &each, &claimed, now, wrong)?
        };
        if self.content.covers(&Piece::Fields) {
            twilio::check_body(&received.query, &received.body, &fields)?;
        }
        let whole = match &early {
            None if self.reads_body() => {
                let json = match &body {
                    Cow::Borrowed(_) => {
                        source::json(&received.headers, &received.body, self.unverified.max_body)
                    }
                    // The body's content encoding does not apply to the value of a form field.
                    Cow::Owned(text) => source::parsed(text),
                };
                match json {
                    // Other requests of the sender to the same URL need not be JSON, and have no
                    // id.
                    Err(_) if !self.stamps_body() => None,
                    json => Some(json.map_err(Refusal::genuinely)?),
                }
            }
            _ => None,
        };
        let json = whole.as_ref().map(|json| &*json.value).or(early.as_ref());
        let proof = self.proof(&filling, &claim, json, compared)?;
        Ok(Proof {
            read: whole
                .filter(|_| matches!(body, Cow::Borrowed(_)))
                .and_then(Json::as_sent),
            ..proof
        })
    }

    /// Builds the proof of a genuine request.
    fn proof(
        &self,
        filling: &Filling<'_>,
        claim: &ReceivedSignatures<'_>,
        json: Option<&serde_json::Value>,
        compared: Compared,
    ) -> Result<Proof, Refusal> {
        let timestamp = match &self.timestamp {
            None => None,
            Some(source) => {
                let place = || self.words(&source.place, claim);
                let text = match (&source.place, json) {
                    (Location::Json(path), Some(json)) => {
                        path.find(json).and_then(source::written).map(Cow::Owned)
                    }
                    _ => Some(Cow::Borrowed(filling.timestamp)),
                };
                let text = text.ok_or_else(|| Refusal::MissingTimestamp { place: place() })?;
                let at = source.unit.read(&text);
                Some(SentAt {
                    at: at.ok_or_else(|| source.unit.refusal(place(), &text))?,
                    signed: self.timestamp_signed,
                })
            }
        };
        let mut signed = self.ids.iter().filter(|id| id.signed);
        let id = signed.find_map(|id| match &id.place {
            Location::Json(path) => source::id_at(path, json?).ok().map(|id| DedupKey::id(&id)),
            _ => Some(DedupKey::id(filling.id)),
        });
        let dedup_keys: Vec<DedupKey> = id.into_iter().collect();
        // If pieces are adjacent, a request with other boundaries has another id. The signed bytes
        // identify it as well.
        let dedup_keys = if dedup_keys.is_empty() || self.content.runs_together() {
            [dedup_keys, compared.dedup_keys].concat()
        } else {
            dedup_keys
        };
        Ok(Proof {
            timestamp,
            dedup_keys,
            secret: Some(compared.source),
            read: None,
        })
    }

    /// Returns true if the raw body is all that is signed.
    pub fn signs_body_alone(&self) -> bool {
        self.content.is_body_alone() && self.form_field.is_none()
    }

    /// Default replay window. `None` without a timestamp.
    pub fn default_window(&self) -> Option<Duration> {
        self.timestamp.as_ref().map(|_| self.window)
    }

    /// Headers that hold signatures.
    pub fn credential_headers(&self) -> Vec<HeaderName> {
        match &self.place {
            Location::Headers(names) => names.clone(),
            _ => Vec::new(),
        }
    }

    /// Headers that hold timestamps and ids.
    pub fn stamp_headers(&self) -> Vec<HeaderName> {
        let timestamp = self.timestamp.iter().map(|source| &source.place);
        let places = timestamp.chain(self.ids.iter().map(|id| &id.place));
        let names = places.map(|place| match place {
            Location::Headers(names) => names.clone(),
            _ => Vec::new(),
        });
        names.flatten().collect()
    }

    /// Query parameters that hold a timestamp or an id.
    pub fn stamp_queries(&self) -> impl Iterator<Item = &str> {
        let timestamp = self.timestamp.iter().map(|source| &source.place);
        let places = timestamp.chain(self.ids.iter().map(|id| &id.place));
        places.filter_map(|place| match place {
            Location::Query(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Returns true if neither a timestamp nor an id is signed.
    pub fn signs_content_alone(&self) -> bool {
        !self.timestamp_signed && !self.ids.iter().any(|id| id.signed)
    }

    /// Describes the bytes by which events are recognised.
    pub fn recognised_by(&self) -> String {
        let mut by: Vec<String> = Vec::new();
        for id in self.ids.iter().filter(|id| id.signed) {
            by.push(format!("the id in {}", id.place.words(0)));
        }
        if by.is_empty() || !self.content.covers(&Piece::Id) {
            by.push("the signed content".to_owned());
        }
        by.join(", else by ")
    }

    /// Returns true if the URL is signed, with path and query.
    pub fn covers_url(&self) -> bool {
        self.content.covers_url()
    }

    pub fn covers_method(&self) -> bool {
        self.content.covers(&Piece::Method)
    }

    /// Returns true if a header is signed: by name, or as the location of the timestamp or an id.
    pub fn covers_header(&self, name: &HeaderName) -> bool {
        let holds = |place: &Location| matches!(place, Location::Headers(names) if names.contains(name));
        let timestamp = self.timestamp.as_ref().filter(|_| self.timestamp_signed);
        self.content.covers(&Piece::Header(name.clone()))
            || timestamp.is_some_and(|source| holds(&source.place))
            || self.ids.iter().any(|id| id.signed && holds(&id.place))
    }

    /// Query parameter that holds the signature.
    pub fn credential_query(&self) -> Option<&str> {
        match &self.place {
            Location::Query(name) => Some(name),
            _ => None,
        }
    }

    /// Returns true if the timestamp or a signed id is in the body.
    fn reads_body(&self) -> bool {
        self.stamps_body() || self.ids.iter().any(|id| id.signed && id.place.is_in_body())
    }

    /// Returns true if the timestamp is in the body.
    fn stamps_body(&self) -> bool {
        let timestamp = self.timestamp.as_ref();
        timestamp.is_some_and(|source| source.place.is_in_body())
    }

    /// Returns true if the body is parsed before it is verified: it holds the signature, or a value
    /// that is signed separately.
    pub fn reads_unverified(&self) -> bool {
        let signs = |piece: &Piece, place: Option<&Location>| {
            place.is_some_and(Location::is_in_body) && self.content.covers(piece)
        };
        self.place.is_in_body()
            || signs(
                &Piece::Timestamp,
                self.timestamp.as_ref().map(|source| &source.place),
            )
            || signs(&Piece::Id, self.ids.first().map(|id| &id.place))
    }

    fn signed_body<'b>(&self, headers: &HeaderMap, body: &'b [u8]) -> Result<Cow<'b, [u8]>, Refusal> {
        match &self.form_field {
            Some(field) => form::signed_body(field, headers, body),
            None => Ok(Cow::Borrowed(body)),
        }
    }

    /// URLs that the sender may have signed. Empty if the content has none.
    fn urls_of(&self, received: &Received) -> Vec<String> {
        if !self.content.covers_url() {
            return Vec::new();
        }
        let url = url::of(&self.public_url, &received.path, &received.query);
        if self.content.covers(&Piece::Fields) {
            url::of_twilio(url)
        } else {
            vec![url]
        }
    }
}
