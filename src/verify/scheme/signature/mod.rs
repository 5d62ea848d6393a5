//! Senders that sign with a shared secret (`hmac`) or with a private key (`ed25519`, `ecdsa_p256`,
//! `rsa_…`).
//!
//! [`Signature::prove`] reads the claims of a request, fills the content with the received bytes,
//! and compares every signature with every key. The body is parsed for a timestamp or an id only
//! after a signature has matched. The exception is a sender that puts the signature itself, or
//! signed values, into the body. [`Signature::sign`] signs as the sender does.

mod claim;
pub mod compile;
mod content;
mod coverage;
pub(super) mod form;
mod key_settings;
mod keys;
pub mod kind;
mod prove;
pub mod public_key;
pub mod settings;
mod sign;
mod signer;
mod twilio;
mod url;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName};

use self::content::{Content, Piece};
use self::keys::Keys;
use super::Scheme;
use crate::base::clock::Timestamp;
use crate::base::json_plan::Plan;
use crate::event::Received;
use crate::verify::outgoing::{OutgoingRequest, Signed};
use crate::verify::parts::keys::ConfiguredKey;
use crate::verify::parts::mac::{Encoding, Mac};
use crate::verify::parts::source::{Location, TimestampSource, Unverified};
use crate::verify::proof::Proof;
use crate::verify::refusal::Refusal;

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
    /// True if the digest of the content is a dedup key, which other alternatives have in common.
    pub keyed_by_content: bool,
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
    /// Returns true if the timestamp or a signed id is in the body.
    fn reads_body(&self) -> bool {
        self.stamps_body() || self.ids.iter().any(|id| id.signed && id.place.is_in_body())
    }

    /// Returns true if the timestamp is in the body.
    fn stamps_body(&self) -> bool {
        let timestamp = self.timestamp.as_ref();
        timestamp.is_some_and(|source| source.place.is_in_body())
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

impl Scheme for Signature {
    fn prove(&self, received: &Received) -> Result<Proof, Refusal> {
        self.verify(received)
    }

    fn signs_body_alone(&self) -> bool {
        self.content.is_body_alone() && self.form_field.is_none()
    }

    fn signs_time(&self) -> bool {
        self.timestamp.is_some() && self.timestamp_signed
    }

    fn default_window(&self) -> Option<Duration> {
        self.timestamp.as_ref().map(|_| self.window)
    }

    fn credential_headers(&self) -> Vec<HeaderName> {
        match &self.place {
            Location::Headers(names) => names.clone(),
            _ => Vec::new(),
        }
    }

    fn stamp_headers(&self) -> Vec<HeaderName> {
        let timestamp = self.timestamp.iter().map(|source| &source.place);
        let places = timestamp.chain(self.ids.iter().map(|id| &id.place));
        let names = places.map(|place| match place {
            Location::Headers(names) => names.clone(),
            _ => Vec::new(),
        });
        names.flatten().collect()
    }

    fn stamp_queries(&self) -> Vec<&str> {
        let timestamp = self.timestamp.iter().map(|source| &source.place);
        let places = timestamp.chain(self.ids.iter().map(|id| &id.place));
        let names = places.filter_map(|place| match place {
            Location::Query(name) => Some(name.as_str()),
            _ => None,
        });
        names.collect()
    }

    fn signs_content_alone(&self) -> bool {
        !self.timestamp_signed && !self.ids.iter().any(|id| id.signed)
    }

    fn recognised_by(&self) -> String {
        let mut by: Vec<String> = Vec::new();
        for id in self.ids.iter().filter(|id| id.signed) {
            by.push(format!("the id in {}", id.place.words(0)));
        }
        if by.is_empty() || !self.content.covers(&Piece::Id) {
            by.push("the signed content".to_owned());
        }
        by.join(", else by ")
    }

    fn covers_url(&self) -> bool {
        self.content.covers_url()
    }

    fn covers_method(&self) -> bool {
        self.content.covers(&Piece::Method)
    }

    /// Returns true if a header is signed: by name, or as the location of the timestamp or an id.
    fn covers_header(&self, name: &HeaderName) -> bool {
        let holds = |place: &Location| matches!(place, Location::Headers(names) if names.contains(name));
        let timestamp = self.timestamp.as_ref().filter(|_| self.timestamp_signed);
        self.content.covers(&Piece::Header(name.clone()))
            || timestamp.is_some_and(|source| holds(&source.place))
            || self.ids.iter().any(|id| id.signed && holds(&id.place))
    }

    fn credential_query(&self) -> Option<&str> {
        match &self.place {
            Location::Query(name) => Some(name),
            _ => None,
        }
    }

    /// Returns true if the body is parsed before it is verified: it holds the signature, or a value
    /// that is signed separately.
    fn reads_unverified(&self) -> bool {
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

    fn sign(&self, draft: &OutgoingRequest<'_>) -> Result<Signed, String> {
        self.sign_draft(draft)
    }

    fn can_sign(&self) -> bool {
        self.keys.can_sign()
    }

    fn signed_origin(&self) -> Option<&str> {
        self.content.covers_url().then_some(&self.public_url)
    }

    fn secrets(&self) -> Vec<(Arc<str>, Option<Timestamp>)> {
        self.keys.sources()
    }

    fn signs(&self) -> bool {
        true
    }

    fn mac_keys(&self) -> Option<&[ConfiguredKey<Mac>]> {
        match &self.keys {
            Keys::Shared(_, keys) => Some(keys),
            Keys::Public(..) => None,
        }
    }

    fn takes_any_secret(&self) -> bool {
        self.takes_any_secret && self.mac_keys().is_some()
    }

    fn may_sign_token(&self) -> bool {
        self.content.may_be_token()
    }
}
