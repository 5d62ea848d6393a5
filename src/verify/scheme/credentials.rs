//! Senders that send credentials in the `Authorization` header: `basic` and `bearer`.

use data_encoding::BASE64;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::SchemeContext;
use super::presets::PLAIN_ID;
use super::settings;
use super::signature::keys::ConfiguredKey;
use super::source::{Location, only_line};
use super::token::{held, proof, sensitive, sign_id, which};
use crate::base::diagnostic::Diagnostics;
use crate::base::secret::Secret;
use crate::base::yaml::Node;
use crate::event::Received;
use crate::verify::{OutgoingRequest, Proof, Refusal, Signed};

/// Compiled `basic` (RFC 7617).
#[derive(Debug)]
pub struct Basic {
    user: Secret,
    /// Accepted passwords.
    pub passwords: Vec<ConfiguredKey<Secret>>,
    ids: Vec<Location>,
    max_body: u64,
}

/// Compiled `bearer` (RFC 6750).
#[derive(Debug)]
pub struct Bearer {
    /// Accepted tokens.
    pub secrets: Vec<ConfiguredKey<Secret>>,
    ids: Vec<Location>,
    max_body: u64,
}

/// Settings of `basic`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "password, id and what concerns handshakes are read from the node, item by item"
)]
struct BasicShape {
    /// User name.
    user: String,
    /// Source of the password. May be a list during rotation.
    password: Option<IgnoredAny>,
    /// Location of the id that identifies an event.
    id: Option<IgnoredAny>,
    /// Handshake to answer. Default: none.
    handshake: Option<IgnoredAny>,
    /// Token that the sender of a handshake must present.
    verify_token: Option<IgnoredAny>,
    /// Not supported here, and reported as such.
    learn: Option<IgnoredAny>,
}

/// Settings of `bearer`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "all are read from the node, item by item")]
struct BearerShape {
    /// Source of the token. May be a list during rotation.
    secret: Option<IgnoredAny>,
    /// Location of the id that identifies an event.
    id: Option<IgnoredAny>,
    /// Handshake to answer. Default: none.
    handshake: Option<IgnoredAny>,
    /// Token that the sender of a handshake must present.
    verify_token: Option<IgnoredAny>,
    /// Not supported here, and reported as such.
    learn: Option<IgnoredAny>,
}

impl Basic {
    /// Locations of the ids that identify events.
    pub fn ids(&self) -> &[Location] {
        &self.ids
    }

    /// `WWW-Authenticate` for a client without valid credentials.
    pub const CHALLENGE: &'static str = "Basic realm=\"hookyard\", charset=\"UTF-8\"";

    pub fn compile(
        node: Node<'_>,
        scheme_context: &SchemeContext<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        if !node.is_mapping() {
            diagnostics.push(
                node.error("wrong-value", "`basic` needs a user and a password")
                    .hint("`{basic: {user: ci, password: env:NAME}}`"),
            );
            return None;
        }
        let shape = node.read::<BasicShape>(diagnostics);
        let passwords = held(node, "password", false, scheme_context, diagnostics);
        let ids = settings::unsigned_ids(node, None, PLAIN_ID, diagnostics);
        let user = shape?.user;
        if user.is_empty() || user.contains(':') || user.chars().any(char::is_control) {
            let at = node.get("user").unwrap_or(node);
            let message = "the name of a user is not empty and holds no `:` and no control character";
            diagnostics.push(at.error("wrong-value", message));
        }
        (!passwords.is_empty()).then(|| Self {
            user: Secret::new(user.into_bytes()),
            passwords,
            ids,
            max_body: scheme_context.max_body,
        })
    }

    /// Checks user and password.
    pub fn prove(&self, received: &Received) -> Result<Proof, Refusal> {
        let malformed = || Refusal::MalformedCredentials {
            expected: "`Basic` and, in base64, user and password",
        };
        let encoded = credentials(&received.headers, "basic")?.ok_or_else(malformed)?;
        let decoded = Secret::new(BASE64.decode(encoded).ok().ok_or_else(malformed)?);
        let pair = decoded.expose();
        let colon = pair.iter().position(|byte| *byte == b':').ok_or_else(malformed)?;
        let user = pair.get(..colon).unwrap_or_default();
        let password = pair.get(colon + 1..).unwrap_or_default();
        // Both are always compared, so that timing does not disclose which users exist.
        let named = self.user.matches(user);
        let source = which(&self.passwords, password, received.at, || Refusal::BadCredentials);
        if !named {
            return Err(Refusal::BadCredentials);
        }
        proof(&self.ids, received, self.max_body, Some(source?))
    }

    /// Returns the credentials that the sender would add.
    pub fn sign(&self, draft: &OutgoingRequest<'_>) -> Result<Signed, String> {
        let mut signed = sign_id(&self.ids, draft)?;
        let password = self.passwords.first().ok_or("there is no password to send")?;
        let pair = Secret::new([self.user.expose(), b":", password.key.expose()].concat());
        let credentials = format!("Basic {}", BASE64.encode(pair.expose()));
        let line = sensitive(credentials.as_bytes())?;
        signed.headers.push((AUTHORIZATION, line));
        Ok(signed)
    }
}

impl Bearer {
    /// Locations of the ids that identify events.
    pub fn ids(&self) -> &[Location] {
        &self.ids
    }

    /// `WWW-Authenticate` for a client without a valid token.
    pub const CHALLENGE: &'static str = "Bearer realm=\"hookyard\"";

    pub fn compile(
        node: Node<'_>,
        scheme_context: &SchemeContext<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        if node.is_mapping() {
            node.read::<BearerShape>(diagnostics)?;
        }
        let secrets = held(node, "secret", true, scheme_context, diagnostics);
        let ids = settings::unsigned_ids(node, None, PLAIN_ID, diagnostics);
        (!secrets.is_empty()).then_some(Self {
            secrets,
            ids,
            max_body: scheme_context.max_body,
        })
    }

    pub fn prove(&self, received: &Received) -> Result<Proof, Refusal> {
        let token = credentials(&received.headers, "bearer")?.ok_or(Refusal::MalformedCredentials {
            expected: "`Bearer` and, after one space, the token",
        })?;
        let source = which(&self.secrets, token, received.at, || Refusal::BadToken {
            place: "the header `authorization`".to_owned(),
        })?;
        proof(&self.ids, received, self.max_body, Some(source))
    }

    /// Returns the credentials that the sender would add.
    pub fn sign(&self, draft: &OutgoingRequest<'_>) -> Result<Signed, String> {
        let mut signed = sign_id(&self.ids, draft)?;
        let secret = self.secrets.first().ok_or("there is no secret to send")?;
        let credentials = Secret::new([b"Bearer ", secret.key.expose()].concat());
        let line = sensitive(credentials.expose())?;
        signed.headers.push((AUTHORIZATION, line));
        Ok(signed)
    }
}

/// Returns the text after the scheme's name and one space. The name is case-insensitive. `None` if
/// the header holds another scheme.
fn credentials<'h>(headers: &'h HeaderMap, scheme: &str) -> Result<Option<&'h [u8]>, Refusal> {
    let line = only_line(headers, &AUTHORIZATION)?.ok_or(Refusal::MissingHeader {
        header: AUTHORIZATION,
    })?;
    let Some((name, rest)) = line.split_at_checked(scheme.len()) else {
        return Ok(None);
    };
    let named = name.eq_ignore_ascii_case(scheme.as_bytes());
    Ok(rest.strip_prefix(b" ").filter(|rest| named && !rest.is_empty()))
}
