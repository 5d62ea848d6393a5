//! How senders prove that they are who they are: one file a family, the known senders as data in [`presets`].

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

/// The schemes that are no presets.
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

/// Ids that nothing signs, in words; empty if there are none.
fn ids_in_words(ids: &[Location]) -> String {
    let words: Vec<String> = ids.iter().map(|place| place.words(0)).collect();
    match words.as_slice() {
        [] => String::new(),
        words => format!("the id in {}", words.join(", else in ")),
    }
}

/// What a scheme is compiled with.
#[derive(Clone, Copy)]
pub struct SchemeContext<'s> {
    /// Reads the secrets.
    pub keyring: &'s Keyring,
    /// The URL at which senders call, for those that sign it.
    pub public_url: Option<&'s str>,
    /// The largest body that is read for what stands in it, in bytes.
    pub max_body: u64,
    /// Whether a body is decompressed for what stands in it before anything is proved.
    pub decompress_unverified: bool,
}

/// A compiled scheme.
#[derive(Debug)]
pub enum Scheme {
    /// A signature by a shared secret or a private key.
    Signature(Box<Signature>),
    /// The secret itself.
    Token(TokenScheme),
    /// User and password.
    Basic(Basic),
    /// A bearer token.
    Bearer(Bearer),
    /// A signed token.
    Jwt(Box<Jwt>),
    /// A certificate on the connection.
    ClientCert(ClientCert),
    /// A signature in each item of the body.
    Adyen(Adyen),
    /// Nothing at all; perhaps with ids by which events are recognised, read from bodies of at most so many bytes.
    None(Vec<Location>, u64),
}

/// The fields of `none`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is read from the node")]
struct NoneShape {
    /// Where an id stands by which events are recognised.
    id: Option<IgnoredAny>,
}

impl Scheme {
    /// Compiles the settings of the scheme called `name`, one of [`GENERIC`] or [`presets::PRESETS`].
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

    /// Whether the request is genuine.
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

    /// Whether the body must be read before the request is known to be genuine.
    pub fn reads_unverified(&self) -> bool {
        match self {
            Self::Signature(signature) => signature.reads_unverified(),
            Self::Token(token) => token.reads_unverified(),
            Self::Adyen(_) => true,
            Self::Basic(_) | Self::Bearer(_) | Self::Jwt(_) | Self::ClientCert(_) | Self::None(..) => false,
        }
    }

    /// What the sender would add.
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

    /// Whether the sender's part can be played with what is configured.
    pub fn can_sign(&self) -> bool {
        match self {
            Self::Signature(signature) => signature.keys.can_sign(),
            Self::Jwt(jwt) => jwt.can_sign(),
            Self::ClientCert(_) => false,
            _ => true,
        }
    }

    /// The window of a scheme that has a timestamp.
    pub fn default_window(&self) -> Option<Duration> {
        match self {
            Self::Signature(signature) => signature.default_window(),
            Self::Jwt(jwt) => jwt.default_window(),
            _ => None,
        }
    }

    /// Where each of its secrets comes from, and until when it counts.
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

    /// Whether it signs with a shared secret, so that there are keys for MACs.
    pub fn is_keyed(&self) -> bool {
        matches!(self, Self::Signature(signature) if matches!(signature.keys, Keys::Shared(..)))
    }

    /// Whether any text can be its secret, so that one may be learnt.
    pub fn takes_any_secret(&self) -> bool {
        matches!(self, Self::Signature(signature) if self.is_keyed() && signature.takes_any_secret)
    }

    /// The key for the MAC of something else than an event: that of this source, else the first that counts.
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

    /// Whether what is signed is the raw body and nothing else.
    pub fn signs_body_alone(&self) -> bool {
        matches!(self, Self::Signature(signature) if signature.signs_body_alone())
    }

    /// Whether something of the request is signed. Without that whoever sees a request can send any other.
    pub fn signs(&self) -> bool {
        match self {
            Self::Signature(_) | Self::Adyen(_) => true,
            Self::Jwt(jwt) => jwt.signs_body(),
            _ => false,
        }
    }

    /// Whether the signature covers the URL, with path and query.
    pub fn covers_url(&self) -> bool {
        matches!(self, Self::Signature(signature) if signature.covers_url())
    }

    /// Whether the signature covers the method.
    pub fn covers_method(&self) -> bool {
        matches!(self, Self::Signature(signature) if signature.covers_method())
    }

    /// Whether the signature covers this header.
    pub fn covers_header(&self, name: &HeaderName) -> bool {
        matches!(self, Self::Signature(signature) if signature.covers_header(name))
    }

    /// The names in the query in which the sender says something about its signature.
    pub fn own_queries(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.credential_query().into_iter().collect();
        if let Self::Signature(signature) = self {
            names.extend(signature.stamp_queries());
        }
        names
    }

    /// Whether it signs neither a time nor an id.
    pub fn signs_content_alone(&self) -> bool {
        matches!(self, Self::Signature(signature) if signature.signs_content_alone())
    }

    /// By what events are recognised, in words.
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

    /// Whether a MAC of a token under a secret of `other` would be a signature here.
    pub fn shares_tokens_with(&self, other: &Self) -> bool {
        let (Self::Signature(own), Self::Signature(other)) = (self, other) else {
            return false;
        };
        own.content.may_be_token() && own.keys.share_a_secret_with(&other.keys)
    }

    /// What a client that is refused is asked for.
    pub fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::Basic(_) => Some(Basic::CHALLENGE),
            Self::Bearer(_) => Some(Bearer::CHALLENGE),
            Self::Jwt(jwt) => jwt.challenge(),
            _ => None,
        }
    }

    /// The name in the query that holds the secret or the signature.
    pub fn credential_query(&self) -> Option<&str> {
        match self {
            Self::Signature(signature) => signature.credential_query(),
            Self::Token(token) => token.query(),
            Self::Jwt(jwt) => jwt.query(),
            _ => None,
        }
    }

    /// The headers that hold timestamps and ids.
    pub fn stamp_headers(&self) -> Vec<HeaderName> {
        match self {
            Self::Signature(signature) => signature.stamp_headers(),
            _ => Vec::new(),
        }
    }

    /// The headers that hold the signature or the secret.
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
