//! Senders that send the secret itself: in a header, in the query or in the body.
//!
//! Nothing is signed. Events are therefore deduplicated only if the sender has an id.

use std::borrow::Cow;
use std::sync::Arc;

use http::HeaderName;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::Scheme;
use super::signature::form::is_form;
use crate::base::clock::Timestamp;
use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::json_plan::Plan;
use crate::base::jsonpath::SingularPath;
use crate::base::secret::Secret;
use crate::event::Received;
use crate::verify::context::SchemeContext;
use crate::verify::outgoing::{OutgoingRequest, Signed};
use crate::verify::parts::keys::{ConfiguredKey, sources};
use crate::verify::parts::places;
use crate::verify::parts::secrets::sent_secrets;
use crate::verify::parts::settings::{Settings, shape};
use crate::verify::parts::sign_body::Body;
use crate::verify::parts::source::{self, Location, Unverified, only_line, only_query};
use crate::verify::parts::unsigned::{ids_in_words, proof, sensitive, sign_id, which};
use crate::verify::proof::Proof;
use crate::verify::refusal::Refusal;

/// Compiled `token`.
#[derive(Debug)]
pub struct TokenScheme {
    /// Location of the token. In a body, only this value is kept, bounded by `max_body`.
    place: Location,
    /// Accepted tokens.
    secrets: Vec<ConfiguredKey<Secret>>,
    ids: Vec<Location>,
    unverified: Unverified,
    plan: Plan,
}

shape! {
    /// Settings of `token`.
    TokenShape {
        /// Source of the secret. May be a list during rotation.
        secret: IgnoredAny,
        /// Header that holds the token.
        header: IgnoredAny,
        /// Query parameter that holds the token.
        query: IgnoredAny,
        /// `JSONPath` of the token in the body: JSON, or the fields of a form.
        json: IgnoredAny,
        /// Location of the id that identifies an event.
        id: IgnoredAny,
    }
}

fn nowhere(settings: &Settings<'_>) -> Diagnostic {
    let node = settings.place();
    node.error("missing-key", "`token` does not say where the token stands")
        .hint("`{token: {header: X-Token, secret: env:NAME}}`; also `query: NAME` or `json: $.path`")
}

impl TokenScheme {
    pub fn compile(
        settings: &Settings<'_>,
        context: &SchemeContext<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        settings.read::<TokenShape>(diagnostics)?;
        let place = places::proof_place(settings, "the token", diagnostics);
        if !places::names_place(settings) {
            diagnostics.push(nowhere(settings));
        }
        if let (Some(Location::Headers(_)), Some(at)) = (&place, settings.given("header"))
            && at.value().is_sequence()
        {
            diagnostics.push(at.error("wrong-value", "wrong type: one header is taken here"));
        }
        let in_header = matches!(place, Some(Location::Headers(_)));
        let secrets = sent_secrets(settings, "secret", in_header, context.keyring, diagnostics);
        let ids = places::ids(settings, diagnostics);
        let place = place?;
        let plan = match &place {
            Location::Json(path) => source::plan([path]),
            _ => Plan::default(),
        };
        (!secrets.is_empty()).then_some(Self {
            place,
            secrets,
            ids,
            unverified: context.unverified(),
            plan,
        })
    }

    /// Hint for a token that was correct before a `+` in the query was decoded as a space.
    fn hint(&self, token: &[u8]) -> &'static str {
        let plus: Vec<u8> = token
            .iter()
            .map(|byte| if *byte == b' ' { b'+' } else { *byte })
            .collect();
        let is_meant = plus != token && self.secrets.iter().any(|held| held.key.matches(&plus));
        if is_meant && self.credential_query().is_some() {
            " (a `+` in a query stands for a blank: the sender must write `%2B`)"
        } else {
            ""
        }
    }

    fn token<'r>(&self, received: &'r Received) -> Result<Cow<'r, [u8]>, Refusal> {
        let place = || self.place.words(0);
        let found = match &self.place {
            Location::Headers(names) => match names.first() {
                Some(header) => only_line(&received.headers, header)?.map(Cow::Borrowed),
                None => None,
            },
            Location::Query(name) => {
                let repeated = || Refusal::RepeatedToken { place: place() };
                only_query(&received.query, name, repeated)?.map(|token| Cow::Owned(token.into_bytes()))
            }
            Location::Json(path) if is_form(&received.headers)? => {
                let body = source::unverified_body(received, self.unverified)?;
                let repeated = || Refusal::RepeatedToken { place: place() };
                form_field(path, &body, repeated)?.map(Cow::Owned)
            }
            Location::Json(path) => {
                let json = source::unverified_json(received, &self.plan, self.unverified)?;
                path.find(&json).and_then(source::text_of).map(Cow::Owned)
            }
            Location::Item(_) => None,
        };
        found.ok_or_else(|| Refusal::MissingToken { place: place() })
    }
}

/// The field of a form at `path`. Keeps one field at a time, since anyone may send a form.
fn form_field(
    path: &SingularPath,
    body: &[u8],
    repeated: impl Fn() -> Refusal,
) -> Result<Option<Vec<u8>>, Refusal> {
    let mut found = None;
    for (name, value) in form_urlencoded::parse(body) {
        let field = Value::Object(Map::from_iter([(name.into_owned(), value.into_owned().into())]));
        if let Some(value) = path.find(&field).and_then(source::text_of)
            && found.replace(value).is_some()
        {
            return Err(repeated());
        }
    }
    Ok(found)
}

impl Scheme for TokenScheme {
    /// Checks that the token is one of the secrets.
    fn prove(&self, received: &Received) -> Result<Proof, Refusal> {
        let token = self.token(received)?;
        let wrong = || Refusal::BadToken {
            place: self.place.words(0) + self.hint(&token),
        };
        let source = which(&self.secrets, &token, received.at, wrong)?;
        proof(&self.ids, received, self.unverified.max_body, Some(source))
    }

    fn sign(&self, draft: &OutgoingRequest<'_>) -> Result<Signed, String> {
        let mut signed = sign_id(&self.ids, draft)?;
        let secret = self.secrets.first().ok_or("there is no secret to send")?;
        let text = || {
            let text = std::str::from_utf8(secret.key.expose());
            text.map_err(|error| format!("the secret is no text: {error}"))
                .map(str::to_owned)
        };
        match &self.place {
            Location::Headers(names) => {
                let header = names.first().ok_or("the scheme names no header")?;
                signed
                    .headers
                    .push((header.clone(), sensitive(secret.key.expose())?));
            }
            Location::Query(name) => signed.query.push((name.clone(), text()?)),
            Location::Json(path) => {
                let mut body = Body::new(draft);
                body.put(path, &Value::String(text()?))?;
                signed.body = body.changed();
            }
            Location::Item(_) => {}
        }
        Ok(signed)
    }

    fn recognised_by(&self) -> String {
        ids_in_words(&self.ids)
    }

    fn reads_unverified(&self) -> bool {
        self.place.is_in_body()
    }

    fn secrets(&self) -> Vec<(Arc<str>, Option<Timestamp>)> {
        sources(&self.secrets)
    }

    fn credential_headers(&self) -> Vec<HeaderName> {
        match &self.place {
            Location::Headers(names) => names.first().cloned().into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn credential_query(&self) -> Option<&str> {
        match &self.place {
            Location::Query(name) => Some(name),
            _ => None,
        }
    }
}
