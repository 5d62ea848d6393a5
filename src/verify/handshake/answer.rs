//! Answers to handshakes.
//!
//! An answer is plain text, or JSON that this module composes. A challenge that contains HTML is
//! returned as plain text.

use std::sync::Arc;

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value};

use super::definition::{HandshakeAnswer, TextLocation};
use super::text::query_values;
use super::{EnrollSettings, Handshake, HandshakeReply, NewSecret, contradicted};
use crate::base::secret::Secret;
use crate::event::Received;
use crate::verify::parts::keys::ConfiguredKey;
use crate::verify::parts::mac::{Encoding, Mac};
use crate::verify::parts::mac_token::is_token;
use crate::verify::parts::source::only_line;
use crate::verify::refusal::Refusal;

/// Maximum length of a secret received in a handshake, in bytes.
const LONGEST_SECRET: usize = 256;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const POST: HeaderValue = HeaderValue::from_static("POST");
const ANY: HeaderValue = HeaderValue::from_static("*");
const ALLOWED_ORIGIN: HeaderName = HeaderName::from_static("webhook-allowed-origin");
const ALLOWED_RATE: HeaderName = HeaderName::from_static("webhook-allowed-rate");

/// Request that is a handshake.
pub(super) struct HandshakeRequest<'q> {
    pub(super) handshake: &'q Handshake,
    pub(super) reply: &'q HandshakeAnswer,
    pub(super) received: &'q Received,
    /// Body, if it had to be parsed.
    pub(super) json: Option<Value>,
}

impl HandshakeRequest<'_> {
    /// Returns the answer. `key` is the scheme's MAC key, if it has one.
    pub(super) fn answer(&self, key: Option<&Mac>) -> Result<HandshakeReply, Refusal> {
        self.check_verify_token()?;
        match self.reply {
            HandshakeAnswer::Echo(text) => Ok(self.greeting(StatusCode::OK, Some(TEXT), self.text(text)?)),
            HandshakeAnswer::Fixed(status, None) => Ok(self.greeting(*status, None, String::new())),
            HandshakeAnswer::Fixed(status, Some(json)) => {
                Ok(self.greeting(*status, Some(JSON), json.clone()))
            }
            HandshakeAnswer::Mac {
                of,
                repeated,
                name,
                prefix,
                encoding,
            } => {
                let token = self.text(of)?;
                if !is_token(token.as_bytes()) {
                    return Err(self.malformed("its token is not 1 to 256 of `A-Za-z0-9+/=_-`".to_owned()));
                }
                // Rules without a key do not load.
                let key = key.ok_or_else(|| self.refused("there is no secret to answer with".to_owned()))?;
                let mut object = Map::new();
                if let Some(repeated) = repeated {
                    object.insert(repeated.clone(), token.clone().into());
                }
                let mac = format!("{prefix}{}", mac(key, &token, *encoding));
                object.insert(name.clone(), mac.into());
                let body = Value::Object(object).to_string();
                Ok(self.greeting(StatusCode::OK, Some(JSON), body))
            }
            HandshakeAnswer::Allow(origin, rate) => self.allowance(origin, rate),
            HandshakeAnswer::Learn(text) => self.lesson(text),
        }
    }

    /// Checks the sender's verify token, if the handshake has one.
    fn check_verify_token(&self) -> Result<(), Refusal> {
        let Some(name) = &self.handshake.definition.verify_token else {
            return Ok(());
        };
        let tokens = &self.handshake.verify_tokens;
        if tokens.is_empty() {
            let why = format!("write as `verify_token` what the sender was told to send in `{name}`");
            return Err(self.refused(why));
        }
        let sent: Vec<Vec<u8>> = query_values(&self.received.query, name).collect();
        match sent.as_slice() {
            [sent] => {
                // All are compared, so that timing does not disclose which one matched.
                let known = |known: bool, token: &ConfiguredKey<Secret>| {
                    known | (token.key.matches(sent) & token.counts(self.received.at))
                };
                if tokens.iter().fold(false, known) {
                    Ok(())
                } else {
                    Err(self.refused(format!("`{name}` of the query is not `verify_token`")))
                }
            }
            [] => Err(self.refused(format!("`{name}` of the query is missing"))),
            _ => Err(self.malformed(format!("`{name}` of the query stands there more than once"))),
        }
    }

    /// Answers with the headers that permit the sender to send. Any requested rate is granted.
    fn allowance(&self, origin: &HeaderName, rate: &HeaderName) -> Result<HandshakeReply, Refusal> {
        let origin = self.text(&TextLocation::Header(origin.clone()))?;
        let origin = HeaderValue::from_str(&origin)
            .ok()
            .ok_or_else(|| self.malformed("the origin cannot stand in a header".to_owned()))?;
        let rate = only_line(&self.received.headers, rate).ok().flatten();
        let positive = |rate: &&[u8]| {
            (1..=10).contains(&rate.len()) && rate.iter().all(u8::is_ascii_digit) && !rate.starts_with(b"0")
        };
        let number = rate.filter(positive);
        let rate = number.and_then(|number| HeaderValue::from_bytes(number).ok());
        let mut greeting = self.greeting(StatusCode::OK, None, String::new());
        greeting.headers.insert(ALLOWED_ORIGIN, origin);
        greeting.headers.insert(ALLOWED_RATE, rate.unwrap_or(ANY));
        greeting.headers.insert(ALLOW, POST);
        Ok(greeting)
    }

    /// Accepts a secret from the sender, if the rules name a file for it and no other secret is
    /// stored.
    fn lesson(&self, text: &TextLocation) -> Result<HandshakeReply, Refusal> {
        let secret = self.text(text)?;
        if secret.len() > LONGEST_SECRET || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            let fault = format!("its secret is not 1 to {LONGEST_SECRET} printable characters of ASCII");
            return Err(self.malformed(fault));
        }
        let Some(EnrollSettings { file, learnt }) = &self.handshake.learning else {
            let why = "a secret is learnt only where the rules say so: `learn: FILE` in place of `secret`";
            return Err(self.refused(why.to_owned()));
        };
        let mut greeting = self.greeting(StatusCode::OK, None, String::new());
        if let (Some(header), Ok(mut value)) = (text.header(), HeaderValue::from_str(&secret)) {
            value.set_sensitive(true);
            greeting.headers.insert(header, value);
        }
        let secret = Secret::new(secret.into_bytes());
        match learnt {
            Some(learnt) if learnt.matches(secret.expose()) => {}
            Some(_) => return Err(contradicted(&self.handshake.definition.name, file)),
            None => {
                greeting.lesson = Some(NewSecret {
                    handshake: Arc::clone(&self.handshake.definition.name),
                    secret,
                    file: file.clone(),
                });
            }
        }
        Ok(greeting)
    }

    fn text(&self, text: &TextLocation) -> Result<String, Refusal> {
        text.read(self.received, self.json.as_ref())
            .map_err(|fault| self.malformed(fault))
    }

    fn greeting(
        &self,
        status: StatusCode,
        content_type: Option<HeaderValue>,
        body: String,
    ) -> HandshakeReply {
        let headers = content_type.map(|content_type| (CONTENT_TYPE, content_type));
        HandshakeReply {
            is_verified: false,
            handshake: Arc::clone(&self.handshake.definition.name),
            status,
            headers: HeaderMap::from_iter(headers),
            body: body.into(),
            lesson: None,
        }
    }

    fn malformed(&self, fault: String) -> Refusal {
        Refusal::MalformedHandshake {
            handshake: Arc::clone(&self.handshake.definition.name),
            fault,
        }
    }

    fn refused(&self, why: String) -> Refusal {
        Refusal::RefusedHandshake {
            handshake: Arc::clone(&self.handshake.definition.name),
            why,
        }
    }
}

/// Computes and encodes the MAC of a token.
fn mac(key: &Mac, token: &str, encoding: Encoding) -> String {
    let mut mac = key.clone();
    mac.update(token.as_bytes());
    encoding.encode(mac.finish().expose())
}
