//! Senders that send credentials in the `Authorization` header: `basic` and `bearer`.

use std::sync::Arc;

use data_encoding::BASE64;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};
use serde::de::IgnoredAny;

use super::Scheme;
use crate::base::clock::Timestamp;
use crate::base::diagnostic::Diagnostics;
use crate::base::secret::Secret;
use crate::event::Received;
use crate::verify::context::SchemeContext;
use crate::verify::outgoing::{OutgoingRequest, Signed};
use crate::verify::parts::keys::{ConfiguredKey, sources};
use crate::verify::parts::places;
use crate::verify::parts::secrets::sent_secrets;
use crate::verify::parts::settings::{Settings, shape};
use crate::verify::parts::source::{Location, only_line};
use crate::verify::parts::unsigned::{ids_in_words, proof, sensitive, sign_id, which};
use crate::verify::proof::Proof;
use crate::verify::refusal::Refusal;

/// `WWW-Authenticate` for a client without valid credentials.
const BASIC: &str = "Basic realm=\"hookyard\", charset=\"UTF-8\"";
/// `WWW-Authenticate` for a client without a valid token.
pub const BEARER: &str = "Bearer realm=\"hookyard\"";

/// Compiled `basic` (RFC 7617).
#[derive(Debug)]
pub struct Basic {
    user: Secret,
    /// Accepted passwords.
    passwords: Vec<ConfiguredKey<Secret>>,
    ids: Vec<Location>,
    max_body: u64,
}

/// Compiled `bearer` (RFC 6750).
#[derive(Debug)]
pub struct Bearer {
    /// Accepted tokens.
    secrets: Vec<ConfiguredKey<Secret>>,
    ids: Vec<Location>,
    max_body: u64,
}

shape! {
    /// Settings of `basic`.
    BasicShape {
        /// User name.
        user: String,
        /// Source of the password. May be a list during rotation.
        password: IgnoredAny,
        /// Location of the id that identifies an event.
        id: IgnoredAny,
    }
}

shape! {
    /// Settings of `bearer`.
    BearerShape {
        /// Source of the token. May be a list during rotation.
        secret: IgnoredAny,
        /// Location of the id that identifies an event.
        id: IgnoredAny,
    }
}

impl Basic {
    pub fn compile(
        settings: &Settings<'_>,
        context: &SchemeContext<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let shapes = settings.read::<BasicShape>(diagnostics)?;
        let user = shapes.into_iter().find_map(|shape| shape.user);
        if let (Some(short), None) = (settings.short(), &user) {
            diagnostics.push(
                short
                    .error("wrong-value", "`basic` needs a user and a password")
                    .hint("`{basic: {user: ci, password: env:NAME}}`"),
            );
            return None;
        }
        let passwords = sent_secrets(settings, "password", false, context.keyring, diagnostics);
        let ids = places::ids(settings, diagnostics);
        diagnostics.extend(settings.missing("user"));
        let user = user?;
        if user.is_empty() || user.contains(':') || user.chars().any(char::is_control) {
            let message = "the name of a user is not empty and holds no `:` and no control character";
            diagnostics.push(settings.at("user").error("wrong-value", message));
        }
        (!passwords.is_empty()).then(|| Self {
            user: Secret::new(user.into_bytes()),
            passwords,
            ids,
            max_body: context.max_body,
        })
    }
}

impl Scheme for Basic {
    fn prove(&self, received: &Received) -> Result<Proof, Refusal> {
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

    fn sign(&self, draft: &OutgoingRequest<'_>) -> Result<Signed, String> {
        let mut signed = sign_id(&self.ids, draft)?;
        let password = self.passwords.first().ok_or("there is no password to send")?;
        let pair = Secret::new([self.user.expose(), b":", password.key.expose()].concat());
        let credentials = format!("Basic {}", BASE64.encode(pair.expose()));
        let line = sensitive(credentials.as_bytes())?;
        signed.headers.push((AUTHORIZATION, line));
        Ok(signed)
    }

    fn recognised_by(&self) -> String {
        ids_in_words(&self.ids)
    }

    fn secrets(&self) -> Vec<(Arc<str>, Option<Timestamp>)> {
        sources(&self.passwords)
    }

    fn challenge(&self) -> Option<&'static str> {
        Some(BASIC)
    }

    fn credential_headers(&self) -> Vec<HeaderName> {
        vec![AUTHORIZATION]
    }
}

impl Bearer {
    pub fn compile(
        settings: &Settings<'_>,
        context: &SchemeContext<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        settings.read::<BearerShape>(diagnostics)?;
        let secrets = sent_secrets(settings, "secret", true, context.keyring, diagnostics);
        let ids = places::ids(settings, diagnostics);
        (!secrets.is_empty()).then_some(Self {
            secrets,
            ids,
            max_body: context.max_body,
        })
    }
}

impl Scheme for Bearer {
    fn prove(&self, received: &Received) -> Result<Proof, Refusal> {
        let token = credentials(&received.headers, "bearer")?.ok_or(Refusal::MalformedCredentials {
            expected: "`Bearer` and, after one space, the token",
        })?;
        let source = which(&self.secrets, token, received.at, || Refusal::BadToken {
            place: "the header `authorization`".to_owned(),
        })?;
        proof(&self.ids, received, self.max_body, Some(source))
    }

    fn sign(&self, draft: &OutgoingRequest<'_>) -> Result<Signed, String> {
        let mut signed = sign_id(&self.ids, draft)?;
        let secret = self.secrets.first().ok_or("there is no secret to send")?;
        let credentials = Secret::new([b"Bearer ", secret.key.expose()].concat());
        let line = sensitive(credentials.expose())?;
        signed.headers.push((AUTHORIZATION, line));
        Ok(signed)
    }

    fn recognised_by(&self) -> String {
        ids_in_words(&self.ids)
    }

    fn secrets(&self) -> Vec<(Arc<str>, Option<Timestamp>)> {
        sources(&self.secrets)
    }

    fn challenge(&self) -> Option<&'static str> {
        Some(BEARER)
    }

    fn credential_headers(&self) -> Vec<HeaderName> {
        vec![AUTHORIZATION]
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
