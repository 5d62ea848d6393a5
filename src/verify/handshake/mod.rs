//! Recognition of handshakes, and their answers.
//!
//! Before sending events, many senders check that the endpoint expects them: "echo this challenge".
//! [`Verification::handshake`] returns the answer if a request is a handshake. The module only
//! decides: the pipeline sends the answer and stores a received secret. A handshake runs no action
//! and is not stored. If the sender signs its handshakes, the signature must be valid and fresh
//! before an answer is made.
//!
//! A handshake is part of the definition of a scheme: `handshake` in `presets.yaml` or in the rules
//! file.

mod answer;
mod definition;
mod settings;
mod shape;
mod text;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, Method, StatusCode};
use memchr::memmem;
use serde_json::Value;

use self::answer::HandshakeRequest;
use self::definition::{HandshakeDefinition, HandshakeForm, Is, Mark};
use self::text::query_values;
use super::parts::keys::ConfiguredKey;
use super::parts::mac_token::is_token;
use super::{Received, Refusal, Verification};
use crate::base::json;
use crate::base::jsonpath::SingularPath;
use crate::base::secret::Secret;

pub(super) use self::settings::compile;
#[cfg(test)]
pub(super) use self::text::MAX_ECHO;

/// Maximum body in which a handshake is searched, in bytes. A larger body is an event.
const MAX_BODY: usize = 16 << 10;

/// Compiled `handshake:`.
pub(super) struct Handshake {
    definition: HandshakeDefinition,
    verify_tokens: Vec<ConfiguredKey<Secret>>,
    learning: Option<EnrollSettings>,
}

/// Compiled `learn:`.
struct EnrollSettings {
    file: PathBuf,
    /// Content of the file when the rules were loaded.
    learnt: Option<Secret>,
}

/// Answer to a handshake.
#[derive(Debug)]
pub struct HandshakeReply {
    /// Name of the handshake.
    pub handshake: Arc<str>,
    pub status: StatusCode,
    /// Headers, including the content type.
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Secret that must be stored before the answer is sent.
    pub lesson: Option<NewSecret>,
    /// True if the request was signed. Other handshakes are answered to anyone.
    pub is_verified: bool,
}

/// Secret from a handshake, stored unless the file already holds one.
#[derive(Clone, Debug)]
pub struct NewSecret {
    /// Name of the handshake.
    pub handshake: Arc<str>,
    pub secret: Secret,
    /// Path from `learn:`.
    pub file: PathBuf,
}

impl Verification {
    /// Returns the answer to a handshake of this verification's sender, or its refusal. `None` if
    /// the request is not a handshake and must be verified as an event.
    pub fn handshake(&self, received: &Received) -> Option<Result<HandshakeReply, Refusal>> {
        let handshake = self.handshake.as_ref()?;
        // Cheap checks first, because nearly all requests are events.
        handshake
            .definition
            .forms
            .iter()
            .find(|form| form.may_be(received))?;
        let proof = if handshake.definition.signed {
            match self.scheme.prove(received) {
                Ok(proof) => Some(proof),
                // Observe mode would accept the request as an event, but a handshake runs no
                // action.
                Err(refusal) if self.observes() && handshake.question(received).is_some() => {
                    return Some(Err(refusal));
                }
                Err(_) => return None,
            }
        } else {
            None
        };
        let question = handshake.question(received)?;
        let fresh = proof.as_ref().map_or(Ok(()), |proof| {
            proof.freshness(self.default_window(), received.at)
        });
        let secret = proof.as_ref().and_then(|proof| proof.secret.as_deref());
        let key = || self.mac_key(secret, received.at);
        // A stale handshake is refused here. Otherwise a rule with a longer window would treat it
        // as an event.
        let reply = fresh.and_then(|()| question.answer(key()));
        Some(reply.map(|reply| HandshakeReply {
            is_verified: proof.is_some(),
            ..reply
        }))
    }

    /// Answers like [`Verification::handshake`], for a request that is assumed to be genuine.
    pub fn handshake_if_genuine(&self, received: &Received) -> Option<Result<HandshakeReply, Refusal>> {
        let question = self.handshake.as_ref()?.question(received)?;
        Some(question.answer(self.mac_key(None, received.at)))
    }

    /// True if the secret is learnt from a handshake, into a file.
    pub fn learns(&self) -> bool {
        let handshake = self.handshake.as_ref();
        handshake.is_some_and(|handshake| handshake.learning.is_some())
    }

    /// Methods of the handshake's requests. Empty without a handshake.
    pub fn handshake_methods(&self) -> impl Iterator<Item = &Method> {
        let forms = self
            .handshake
            .as_ref()
            .map(|handshake| &handshake.definition.forms);
        forms.into_iter().flatten().map(|form| &form.method)
    }
}

impl NewSecret {
    /// Refusal of this secret, because the file holds another one.
    pub fn contradicted(&self) -> Refusal {
        contradicted(&self.handshake, &self.file)
    }
}

fn contradicted(handshake: &Arc<str>, file: &Path) -> Refusal {
    let why = format!(
        "its secret is not the one in `{}`: if the new one is right, remove that file and repeat the handshake",
        file.display()
    );
    let handshake = Arc::clone(handshake);
    Refusal::RefusedHandshake { handshake, why }
}

impl Handshake {
    /// Refuses events that must not be accepted even with a valid signature.
    pub(super) fn admit(&self, received: &Received) -> Result<(), Refusal> {
        let handshake = || Arc::clone(&self.definition.name);
        if let Some(EnrollSettings { file, learnt: None }) = &self.learning {
            let file = file.display().to_string();
            return Err(Refusal::NothingLearnt {
                handshake: handshake(),
                file,
            });
        }
        // Anyone can obtain the signature of such a body through the handshake.
        if self.definition.tells_macs_to_strangers() && is_token(&received.body) {
            return Err(Refusal::ForgeableBody {
                handshake: handshake(),
            });
        }
        Ok(())
    }

    /// Name of the handshake, if any client can obtain MACs under the scheme's secret.
    pub(super) fn tells_strangers(&self) -> Option<&str> {
        self.definition
            .tells_macs_to_strangers()
            .then_some(&*self.definition.name)
    }

    /// Value of `WWW-Authenticate`, if the sender requires a 401 for bad signatures.
    pub(super) fn challenge(&self) -> Option<&'static str> {
        self.definition.unauthorized
    }

    /// Recognises a request of this handshake.
    fn question<'q>(&'q self, received: &'q Received) -> Option<HandshakeRequest<'q>> {
        let forms = self.definition.forms.iter();
        let forms: Vec<&HandshakeForm> = forms.filter(|form| form.may_be(received)).collect();
        // Most requests are events. Their bodies are not parsed here.
        let json = if forms.iter().any(|form| form.reads_body()) {
            json::read(&received.body)
                .ok()
                .map(|read| Arc::unwrap_or_clone(read.tree.value))
        } else {
            None
        };
        let form = forms.into_iter().find(|form| form.is(json.as_ref()))?;
        Some(HandshakeRequest {
            handshake: self,
            reply: &form.reply,
            received,
            json,
        })
    }
}

impl HandshakeForm {
    /// Returns true if a request may have this form. The body is not parsed yet.
    fn may_be(&self, received: &Received) -> bool {
        let Received {
            headers, query, body, ..
        } = received;
        let marked = || match &self.mark {
            Mark::Method => true,
            Mark::Query(name, None) => query_values(query, name).next().is_some(),
            Mark::Query(name, Some(text)) => query_values(query, name).any(|value| value == text.as_bytes()),
            Mark::Header(name, None) => headers.contains_key(name),
            Mark::Header(name, Some(text)) => {
                headers.get_all(name).iter().any(|value| value == text.as_str())
            }
            Mark::Json { at, is, .. } => may_hold(body, at, is),
        };
        let readable =
            || !self.reads_body() || (body.len() <= MAX_BODY && !headers.contains_key(CONTENT_ENCODING));
        received.method == self.method && readable() && marked()
    }

    /// Checks the parsed body of a request that [`HandshakeForm::may_be`] has selected.
    fn is(&self, json: Option<&Value>) -> bool {
        let Mark::Json { at, is, without } = &self.mark else {
            return true;
        };
        let find = |path: &SingularPath| json.and_then(|json| path.find(json));
        let marked = match (is, find(at)) {
            (Is::Text(text), Some(Value::String(found))) => found == text,
            (Is::Number(number), Some(Value::Number(found))) => found.as_u64() == Some(*number),
            (Is::AnyText, Some(Value::String(_))) => true,
            _ => false,
        };
        marked && without.as_ref().is_none_or(|path| find(path).is_none())
    }
}

/// Returns false if a body that is not parsed yet cannot have the value at this path.
fn may_hold(body: &[u8], at: &SingularPath, is: &Is) -> bool {
    let needle = match is {
        Is::Text(text) => Some(text.as_str()),
        Is::Number(_) | Is::AnyText => at.steps().last().and_then(Result::ok),
    };
    // Other characters can be written in several ways.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    match needle.filter(|text| !text.is_empty() && text.bytes().all(plain)) {
        Some(text) => memmem::find(body, text.as_bytes()).is_some(),
        None => true,
    }
}
