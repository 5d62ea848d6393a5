//! Schemes by which senders prove their identity.
//!
//! Each family of schemes has its own file. The known senders are data in [`presets`].

mod adyen;
mod client_cert;
mod credentials;
mod jwt;
pub mod presets;
pub mod settings;
mod sign_body;
pub mod signature;
pub mod source;
pub mod sparse;
mod token;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use http::header::AUTHORIZATION;
use serde::Deserialize;
use serde::de::IgnoredAny;

use self::adyen::Adyen;
use self::client_cert::ClientCert;
use self::credentials::{Basic, Bearer};
use self::jwt::Jwt;
use self::presets::{PLAIN, PLAIN_ED25519, PLAIN_ID, PLAIN_P256, Preset, SchemePreset};
use self::signature::Signature;
use self::signature::keys::{Keys, sources};
use self::signature::mac::Mac;
use self::source::Location;
use self::token::TokenScheme;
use super::{OutgoingRequest, Proof, Received, Refusal, Signed};
use crate::base::clock::Timestamp;
use crate::base::diagnostic::Diagnostics;
use crate::base::secret::Keyring;
use crate::base::yaml::Node;

/// Schemes that are not presets.
pub const GENERIC: [&str; 9] = [
    "hmac",
    "ed25519",
    "ecdsa_p256",
    "token",
    "basic",
    "bearer",
    "jwt",
    "client_cert",
    "none",
];

/// Describes unsigned ids. Empty if there are none.
fn ids_in_words(ids: &[Location]) -> String {
    let words: Vec<String> = ids.iter().map(|place| place.words(0)).collect();
    match words.as_slice() {
        [] => String::new(),
        words => format!("the id in {}", words.join(", else in ")),
    }
}

/// Inputs for compiling a scheme.
#[derive(Clone, Copy)]
pub struct SchemeContext<'s> {
    /// Reader of the secrets.
    pub keyring: &'s Keyring,
    /// URL that senders call, for schemes that sign it.
    pub public_url: Option<&'s str>,
    /// Maximum size of a body that is parsed, in bytes.
    pub max_body: u64,
    /// If true, a compressed body may be decompressed before the request is verified.
    pub decompress_unverified: bool,
}

#[derive(Debug)]
pub enum Scheme {
    /// Signature by a shared secret or a private key.
    Signature(Box<Signature>),
    /// Secret sent as is.
    Token(TokenScheme),
    /// User and password.
    Basic(Basic),
    Bearer(Bearer),
    /// Signed token (JWT).
    Jwt(Box<Jwt>),
    /// Client certificate of the TLS connection.
    ClientCert(ClientCert),
    /// Signature in each item of the body.
    Adyen(Adyen),
    /// No verification. Optional ids identify events. The number limits the size of a body that is
    /// parsed for an id, in bytes.
    None(Vec<Location>, u64),
}

/// Settings of `none`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is read from the node")]
struct NoneShape {
    /// Location of the id that identifies an event.
    id: Option<IgnoredAny>,
}

impl Scheme {
    /// Compiles the settings of the scheme called `name`, one of [`GENERIC`] or
    /// [`presets::PRESETS`].
    pub fn compile(
        name: &str,
        node: Node<'_>,
        scheme_context: &SchemeContext<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let signature = |row, diagnostics: &mut Diagnostics| {
            let compiled = signature::settings::compile(node, row, scheme_context, diagnostics);
            compiled.map(|signature| Self::Signature(Box::new(signature)))
        };
        if let Some(preset) = Preset::named(name) {
            return match &preset.scheme {
                SchemePreset::Signature(row) => signature(row, diagnostics),
                SchemePreset::Token(row) => {
                    token::compile(node, Some(row), scheme_context, diagnostics).map(Self::Token)
                }
                SchemePreset::Basic => Basic::compile(node, scheme_context, diagnostics).map(Self::Basic),
                SchemePreset::Bearer => Bearer::compile(node, scheme_context, diagnostics).map(Self::Bearer),
                SchemePreset::Adyen => Adyen::compile(node, scheme_context, diagnostics).map(Self::Adyen),
                SchemePreset::Jwt(row) => {
                    jwt::settings::compile(node, Some(row), scheme_context, diagnostics).map(Self::jwt)
                }
            };
        }
        match name {
            "hmac" => signature(&PLAIN, diagnostics),
            "ed25519" => signature(&PLAIN_ED25519, diagnostics),
            "ecdsa_p256" => signature(&PLAIN_P256, diagnostics),
            "token" => token::compile(node, None, scheme_context, diagnostics).map(Self::Token),
            "basic" => Basic::compile(node, scheme_context, diagnostics).map(Self::Basic),
            "bearer" => Bearer::compile(node, scheme_context, diagnostics).map(Self::Bearer),
            "client_cert" => ClientCert::compile(node, scheme_context, diagnostics).map(Self::ClientCert),
            "jwt" => jwt::settings::compile(node, None, scheme_context, diagnostics).map(Self::jwt),
            _ => {
                if !node.value().is_null() {
                    node.read::<NoneShape>(diagnostics)?;
                }
                let ids = settings::unsigned_ids(node, None, PLAIN_ID, diagnostics);
                Some(Self::None(ids, scheme_context.max_body))
            }
        }
    }

    fn jwt(jwt: Jwt) -> Self {
        Self::Jwt(Box::new(jwt))
    }

    /// Verifies that a request is genuine.
    pub fn prove(&self, received: &Received) -> Result<Proof, Refusal> {
        match self {
            Self::Signature(signature) => signature.prove(received),
            Self::Token(token) => token.prove(received),
            Self::Basic(basic) => basic.prove(received),
            Self::Bearer(bearer) => bearer.prove(received),
            Self::Jwt(jwt) => jwt.prove(received),
            Self::Adyen(adyen) => adyen.prove(received),
            Self::ClientCert(asked) => asked.prove(received),
            Self::None(ids, max_body) => token::proof(ids, received, *max_body, None),
        }
    }

    /// Returns true if verification reads the body, so that the body is read before the request is
    /// trusted.
    pub fn reads_unverified(&self) -> bool {
        match self {
            Self::Signature(signature) => signature.reads_unverified(),
            Self::Token(token) => token.reads_unverified(),
            Self::Adyen(_) => true,
            Self::Basic(_) | Self::Bearer(_) | Self::Jwt(_) | Self::ClientCert(_) | Self::None(..) => false,
        }
    }

    /// Returns what the sender would add to the request.
    pub fn sign(&self, draft: &OutgoingRequest<'_>) -> Result<Signed, String> {
        match self {
            Self::Signature(signature) => signature.sign(draft),
            Self::Token(token) => token.sign(draft),
            Self::Basic(basic) => basic.sign(draft),
            Self::Bearer(bearer) => bearer.sign(draft),
            Self::Jwt(jwt) => jwt.sign(draft),
            Self::Adyen(adyen) => adyen.sign(draft),
            Self::ClientCert(_) => Err("a certificate is no part of a request".to_owned()),
            Self::None(ids, _) => token::sign_id(ids, draft),
        }
    }

    /// Returns true if the configured keys can sign.
    pub fn can_sign(&self) -> bool {
        match self {
            Self::Signature(signature) => signature.keys.can_sign(),
            Self::Jwt(jwt) => jwt.can_sign(),
            Self::ClientCert(_) => false,
            _ => true,
        }
    }

    /// Default replay window of a scheme that has a timestamp.
    pub fn default_window(&self) -> Option<Duration> {
        match self {
            Self::Signature(signature) => signature.default_window(),
            Self::Jwt(jwt) => jwt.default_window(),
            _ => None,
        }
    }

    /// Source of each secret, and the end of its validity.
    pub fn secrets(&self) -> Vec<(Arc<str>, Option<Timestamp>)> {
        match self {
            Self::Signature(signature) => signature.keys.sources(),
            Self::Token(token) => sources(&token.secrets),
            Self::Basic(basic) => sources(&basic.passwords),
            Self::Bearer(bearer) => sources(&bearer.secrets),
            Self::Jwt(jwt) => sources(&jwt.keys),
            Self::Adyen(adyen) => sources(&adyen.keys),
            Self::ClientCert(_) | Self::None(..) => Vec::new(),
        }
    }

    /// Returns true if the scheme signs with a shared secret, so that its keys can make MACs.
    pub fn is_keyed(&self) -> bool {
        matches!(self, Self::Signature(signature) if matches!(signature.keys, Keys::Shared(..)))
    }

    /// Returns true if any text is a valid secret, so that a handshake may set it.
    pub fn takes_any_secret(&self) -> bool {
        matches!(self, Self::Signature(signature) if self.is_keyed() && signature.takes_any_secret)
    }

    /// Key for MACs other than those of events. Prefers the secret with this source, then the first
    /// valid one.
    pub fn mac_key(&self, source: Option<&str>, now: Timestamp) -> Option<&Mac> {
        let Self::Signature(signature) = self else {
            return None;
        };
        let Keys::Shared(_, keys) = &signature.keys else {
            return None;
        };
        let named = keys.iter().find(|held| Some(&*held.source) == source);
        let counting = || keys.iter().find(|held| held.counts(now));
        named.or_else(counting).map(|held| &held.key)
    }

    /// Returns true if the raw body is all that is signed.
    pub fn signs_body_alone(&self) -> bool {
        matches!(self, Self::Signature(signature) if signature.signs_body_alone())
    }

    /// Returns true if some part of the request is signed. Otherwise anyone who sees a request can
    /// forge others.
    pub fn signs(&self) -> bool {
        match self {
            Self::Signature(_) | Self::Adyen(_) => true,
            Self::Jwt(jwt) => jwt.signs_body(),
            _ => false,
        }
    }

    /// Returns true if the signature covers the URL, with path and query.
    pub fn covers_url(&self) -> bool {
        matches!(self, Self::Signature(signature) if signature.covers_url())
    }

    pub fn covers_method(&self) -> bool {
        matches!(self, Self::Signature(signature) if signature.covers_method())
    }

    pub fn covers_header(&self, name: &HeaderName) -> bool {
        matches!(self, Self::Signature(signature) if signature.covers_header(name))
    }

    /// Query parameters that belong to the sender's signature.
    pub fn own_queries(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.credential_query().into_iter().collect();
        if let Self::Signature(signature) = self {
            names.extend(signature.stamp_queries());
        }
        names
    }

    /// Returns true if neither a timestamp nor an id is signed.
    pub fn signs_content_alone(&self) -> bool {
        matches!(self, Self::Signature(signature) if signature.signs_content_alone())
    }

    /// Describes the bytes by which events are recognised.
    pub fn recognised_by(&self) -> String {
        match self {
            Self::Signature(signature) => signature.recognised_by(),
            Self::Adyen(_) => "the signature of each item".to_owned(),
            Self::Jwt(jwt) => jwt.recognised_by(),
            Self::Token(token) => ids_in_words(token.ids()),
            Self::Basic(basic) => ids_in_words(basic.ids()),
            Self::Bearer(bearer) => ids_in_words(bearer.ids()),
            Self::ClientCert(asked) => ids_in_words(asked.ids()),
            Self::None(ids, _) => ids_in_words(ids),
        }
    }

    /// Returns true if a MAC of a token under a secret of `other` would be a valid signature here.
    pub fn shares_tokens_with(&self, other: &Self) -> bool {
        let (Self::Signature(own), Self::Signature(other)) = (self, other) else {
            return false;
        };
        own.content.may_be_token() && own.keys.share_a_secret_with(&other.keys)
    }

    /// Value of `WWW-Authenticate` for a refused client.
    pub fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::Basic(_) => Some(Basic::CHALLENGE),
            Self::Bearer(_) => Some(Bearer::CHALLENGE),
            Self::Jwt(jwt) => jwt.challenge(),
            _ => None,
        }
    }

    /// Query parameter that holds the secret or the signature.
    pub fn credential_query(&self) -> Option<&str> {
        match self {
            Self::Signature(signature) => signature.credential_query(),
            Self::Token(token) => token.query(),
            Self::Jwt(jwt) => jwt.query(),
            _ => None,
        }
    }

    /// Headers that hold timestamps and ids.
    pub fn stamp_headers(&self) -> Vec<HeaderName> {
        match self {
            Self::Signature(signature) => signature.stamp_headers(),
            _ => Vec::new(),
        }
    }

    /// Headers that hold the signature or the secret.
    pub fn credential_headers(&self) -> Vec<HeaderName> {
        match self {
            Self::Signature(signature) => signature.credential_headers(),
            Self::Token(token) => token.header().cloned().into_iter().collect(),
            Self::Jwt(jwt) => jwt.header().cloned().into_iter().collect(),
            Self::Basic(_) | Self::Bearer(_) => vec![AUTHORIZATION],
            Self::Adyen(_) | Self::ClientCert(_) | Self::None(..) => Vec::new(),
        }
    }
}
