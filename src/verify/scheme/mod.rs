//! How senders prove that they are who they are: one file a family, the known senders as data in [`presets`].

mod content;
mod credentials;
mod form;
mod hmac;
mod hmac_coverage;
mod hmac_headers;
mod hmac_settings;
mod jwt;
mod mac;
mod path;
pub mod presets;
mod settings;
mod source;
mod token;

use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde::de::IgnoredAny;

use self::credentials::{Basic, Bearer};
use self::hmac::Hmac;
use self::jwt::Jwt;
use self::presets::{PLAIN, PLAIN_ID, PRESETS, Row};
use self::source::Place;
use self::token::Token;
use super::{Draft, Proof, Received, Refusal};
use crate::diagnostic::Findings;
use crate::secret::Keyring;
use crate::yaml::Node;

/// The schemes that are no presets.
pub const GENERIC: [&str; 6] = ["hmac", "token", "basic", "bearer", "jwt", "none"];

/// What a scheme is compiled with.
pub struct Surroundings<'s> {
    /// Reads the secrets.
    pub keyring: &'s Keyring,
    /// The URL at which senders call, for those that sign it.
    pub public_url: Option<&'s str>,
}

/// A compiled scheme.
#[derive(Debug)]
pub enum Scheme {
    /// A signature by a shared secret.
    Hmac(Box<Hmac>),
    /// The secret itself.
    Token(Token),
    /// User and password.
    Basic(Basic),
    /// A bearer token.
    Bearer(Bearer),
    /// A signed token.
    Jwt(Box<Jwt>),
    /// Nothing at all; perhaps with an id by which events are recognised.
    None(Option<Place>),
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
    /// Compiles the settings of the scheme called `name`, one of [`GENERIC`] or [`PRESETS`].
    pub fn compile(
        name: &str,
        node: Node<'_>,
        surroundings: &Surroundings<'_>,
        findings: &mut Findings,
    ) -> Option<Self> {
        if let Some(preset) = PRESETS.iter().find(|preset| preset.name == name) {
            return match &preset.scheme {
                Row::Hmac(row) => hmac_settings::compile(node, row, surroundings, findings).map(Self::hmac),
                Row::Token(row) => token::compile(node, Some(row), surroundings, findings).map(Self::Token),
                Row::Jwt(row) => {
                    jwt::settings::compile(node, Some(row), surroundings, findings).map(Self::jwt)
                }
            };
        }
        match name {
            "hmac" => hmac_settings::compile(node, &PLAIN, surroundings, findings).map(Self::hmac),
            "token" => token::compile(node, None, surroundings, findings).map(Self::Token),
            "basic" => Basic::compile(node, surroundings, findings).map(Self::Basic),
            "bearer" => Bearer::compile(node, surroundings, findings).map(Self::Bearer),
            "jwt" => jwt::settings::compile(node, None, surroundings, findings).map(Self::jwt),
            _ => {
                if !node.value().is_null() {
                    node.read::<NoneShape>(findings)?;
                }
                Some(Self::None(settings::unsigned_id(node, PLAIN_ID, findings)))
            }
        }
    }

    fn hmac(hmac: Hmac) -> Self {
        Self::Hmac(Box::new(hmac))
    }

    fn jwt(jwt: Jwt) -> Self {
        Self::Jwt(Box::new(jwt))
    }

    /// Whether the request is genuine.
    pub fn prove(&self, received: &Received) -> Result<Proof, Refusal> {
        match self {
            Self::Hmac(hmac) => hmac.prove(received),
            Self::Token(token) => token.prove(received),
            Self::Basic(basic) => basic.prove(received),
            Self::Bearer(bearer) => bearer.prove(received),
            Self::Jwt(jwt) => jwt.prove(received),
            Self::None(id) => token::proof(id.as_ref(), &received.headers, &received.body),
        }
    }

    /// The headers that the sender would add.
    pub fn sign(&self, draft: &Draft<'_>) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
        match self {
            Self::Hmac(hmac) => hmac.sign(draft),
            Self::Token(token) => token.sign(draft),
            Self::Basic(basic) => basic.sign(draft),
            Self::Bearer(bearer) => bearer.sign(draft),
            Self::Jwt(jwt) => jwt.sign(draft),
            Self::None(id) => token::sign_id(id.as_ref(), draft),
        }
    }

    /// The window of a scheme that has a timestamp.
    pub fn default_window(&self) -> Option<Duration> {
        match self {
            Self::Hmac(hmac) => hmac.default_window(),
            Self::Jwt(jwt) => jwt.default_window(),
            _ => None,
        }
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

    /// The name in the query that holds the secret.
    pub fn credential_query(&self) -> Option<&str> {
        match self {
            Self::Token(token) => token.query(),
            Self::Jwt(jwt) => jwt.query(),
            _ => None,
        }
    }

    /// The headers that hold the signature or the secret.
    pub fn credential_headers(&self) -> Vec<HeaderName> {
        match self {
            Self::Hmac(hmac) => hmac.headers.clone(),
            Self::Token(token) => token.header().cloned().into_iter().collect(),
            Self::Jwt(jwt) => jwt.header().cloned().into_iter().collect(),
            Self::Basic(_) | Self::Bearer(_) => vec![AUTHORIZATION],
            Self::None(_) => Vec::new(),
        }
    }
}
