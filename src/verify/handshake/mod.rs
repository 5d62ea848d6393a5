//! Is it a sender's handshake, and what is that answered?
//!
//! Before they send events, many senders ask whether anybody is there who expects them: "echo this challenge".
//! [`Verification::handshake`] says whether a request is such a question and what to answer. It decides only:
//! answering, and writing down a secret that is learnt, is left to the pipeline. A handshake runs no action and is not
//! kept. Where the sender signs it, the signature must hold and be fresh first; until then nothing is read into the
//! body.
//!
//! To add a handshake, add a row to `rows.rs`.

mod answer;
mod row;
mod rows;
mod settings;
mod text;
mod token;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;

use self::answer::Question;
use self::row::{Form, HandshakePreset, Is, Mark};
use self::text::query_values;
use self::token::is_token;
pub(super) use self::token::is_token_byte;
use super::scheme::signature::keys::ConfiguredKey;
use super::{Received, Refusal, Verification};
use crate::base::json;
use crate::base::secret::Secret;

pub(super) use self::settings::{compile, learnt};
#[cfg(test)]
pub(super) use self::{rows::HANDSHAKES, text::MAX_ECHO};

/// The largest body in which a handshake is looked for, in bytes. What is larger is an event.
const MAX_BODY: usize = 16 << 10;

/// A compiled `handshake:`.
pub(super) struct Handshake {
    row: &'static HandshakePreset,
    verify_tokens: Vec<ConfiguredKey<Secret>>,
    learning: Option<EnrollSettings>,
}

/// A compiled `learn:`.
struct EnrollSettings {
    file: PathBuf,
    /// What stood in the file when the rules were loaded.
    learnt: Option<Secret>,
}

/// The answer to a handshake.
#[derive(Debug)]
pub struct HandshakeReply {
    /// The handshake's name.
    pub handshake: &'static str,
    /// The status.
    pub status: StatusCode,
    /// The headers, the body's type among them.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// What must be written down before the answer may go out.
    pub lesson: Option<NewSecret>,
}

/// A secret that a sender tells, to be kept if none was told before.
#[derive(Clone, Debug)]
pub struct NewSecret {
    /// The handshake's name.
    pub handshake: &'static str,
    /// The secret.
    pub secret: Secret,
    /// Where the operator wants it.
    pub file: PathBuf,
}

impl Verification {
    /// What to answer if the request is a handshake of this verification's sender, or why it is not answered. `None`: it
    /// is an event, or is to be refused as one.
    pub fn handshake(&self, received: &Received) -> Option<Result<HandshakeReply, Refusal>> {
        let handshake = self.handshake.as_ref()?;
        // First what costs nothing, for nearly all requests are events.
        handshake.row.forms.iter().find(|form| form.may_be(received))?;
        let proof = if handshake.row.signed {
            match self.scheme.prove(received) {
                Ok(proof) => Some(proof),
                // Where everything is taken it would be taken for an event, and a handshake runs no action.
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
        let key = || self.scheme.mac_key(secret, received.at);
        // A stale one is refused here, lest a longer window of a rule make an event of it.
        Some(fresh.and_then(|()| question.answer(key())))
    }

    /// As [`Verification::handshake`], for a request that is taken to be genuine.
    pub fn handshake_if_genuine(&self, received: &Received) -> Option<Result<HandshakeReply, Refusal>> {
        let question = self.handshake.as_ref()?.question(received)?;
        Some(question.answer(self.scheme.mac_key(None, received.at)))
    }

    /// The methods by which handshakes come; none if there is no handshake.
    pub fn handshake_methods(&self) -> impl Iterator<Item = &'static Method> + use<> {
        let forms = self.handshake.as_ref().map(|handshake| handshake.row.forms);
        forms.into_iter().flatten().map(|form| &form.method)
    }
}

impl NewSecret {
    /// Why it is not learnt where another was learnt before.
    pub fn contradicted(&self) -> Refusal {
        contradicted(self.handshake, &self.file)
    }
}

fn contradicted(handshake: &'static str, file: &Path) -> Refusal {
    let why = format!(
        "it tells another secret than `{}` holds: if it is the right one, remove that file to learn anew",
        file.display()
    );
    Refusal::RefusedHandshake { handshake, why }
}

impl Handshake {
    /// What keeps an event out whatever its signature.
    pub(super) fn admit(&self, received: &Received) -> Result<(), Refusal> {
        let handshake = self.row.name;
        if let Some(EnrollSettings { file, learnt: None }) = &self.learning {
            let file = file.display().to_string();
            return Err(Refusal::NothingLearnt { handshake, file });
        }
        // Its signature could be had for the asking.
        if self.row.tells_macs_to_strangers() && is_token(&received.body) {
            return Err(Refusal::ForgeableBody { handshake });
        }
        Ok(())
    }

    /// Its name, if strangers are told MACs under the scheme's secret.
    pub(super) fn tells_strangers(&self) -> Option<&'static str> {
        self.row.tells_macs_to_strangers().then_some(self.row.name)
    }

    /// What a refusal asks for, where the sender wants to see 401.
    pub(super) fn challenge(&self) -> Option<&'static str> {
        self.row.unauthorized
    }

    /// What a request asks, if it is this handshake.
    fn question<'q>(&'q self, received: &'q Received) -> Option<Question<'q>> {
        let mut forms = self.row.forms.iter().filter(|form| form.may_be(received));
        let json = if self.row.forms.iter().any(Form::reads_body) {
            json::read(&received.body)
                .ok()
                .map(|read| Arc::unwrap_or_clone(read.value))
        } else {
            None
        };
        let form = forms.find(|form| form.is(json.as_ref()))?;
        Some(Question {
            handshake: self,
            reply: &form.reply,
            received,
            json,
        })
    }
}

impl Form {
    /// Whether a request may have this form, as far as can be told without reading anything into its body.
    fn may_be(&self, received: &Received) -> bool {
        let Received {
            headers, query, body, ..
        } = received;
        let marked = || match &self.mark {
            Mark::Method => true,
            Mark::Query(name) => query_values(query, name).next().is_some(),
            Mark::QueryIs(name, text) => query_values(query, name).any(|value| value == text.as_bytes()),
            Mark::Header(name) => headers.contains_key(*name),
            Mark::HeaderIs(name, text) => headers.get_all(*name).iter().any(|value| value == text),
            Mark::Json { at, is, .. } => {
                let needle = match is {
                    Is::Text(text) => text,
                    Is::Number(_) | Is::AnyText => at.trim_start_matches('/'),
                };
                body.windows(needle.len()).any(|part| part == needle.as_bytes())
            }
        };
        let readable =
            || !self.reads_body() || (body.len() <= MAX_BODY && !headers.contains_key(CONTENT_ENCODING));
        received.method == self.method && readable() && marked()
    }

    /// Whether a body that was read keeps what [`Form::may_be`] promised.
    fn is(&self, json: Option<&Value>) -> bool {
        let Mark::Json { at, is, without } = &self.mark else {
            return true;
        };
        let find = |pointer: &str| json.and_then(|json| json.pointer(pointer));
        let marked = match (is, find(at)) {
            (Is::Text(text), Some(Value::String(found))) => found == text,
            (Is::Number(number), Some(Value::Number(found))) => found.as_u64() == Some(*number),
            (Is::AnyText, Some(Value::String(_))) => true,
            _ => false,
        };
        marked && without.is_none_or(|pointer| find(pointer).is_none())
    }
}
