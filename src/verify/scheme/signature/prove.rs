//! Verification of a signature, and the proof that follows from it.

use std::borrow::Cow;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use serde_json::Value;

use super::claim::ReceivedSignatures;
use super::content::{Filling, Piece};
use super::keys::Compared;
use super::{Signature, twilio};
use crate::event::{DedupKey, Received};
use crate::verify::parts::source::{self, Location};
use crate::verify::proof::{Proof, SentAt};
use crate::verify::refusal::Refusal;
use crate::verify::scheme::Scheme;

impl Signature {
    /// Verifies the signature.
    pub(super) fn verify(&self, received: &Received) -> Result<Proof, Refusal> {
        let early = if self.reads_unverified() {
            Some(source::unverified_json(received, &self.plan, self.unverified)?)
        } else {
            None
        };
        let claim = self.claim(received, early.as_deref())?;
        let claimed = self.claimed(&claim)?;
        let stamp = self.timestamp_text(received, &claim, early.as_deref())?;
        let id = self.id_text(received, &claim, early.as_deref())?;
        let body = self.signed_body(&received.headers, &received.body)?;
        let urls = self.urls_of(received);
        let fields = if self.content.covers(&Piece::Fields) {
            twilio::fields(&received.headers, &received.body)?
        } else {
            Vec::new()
        };
        let filling = Filling {
            fields: &fields,
            body: &body,
            timestamp: stamp.as_deref().unwrap_or_default(),
            id: id.as_deref().unwrap_or_default(),
            method: received.method.as_str(),
            url: urls.first().map_or("", String::as_str),
            headers: &received.headers,
        };
        let wrong = || Refusal::BadSignature {
            place: self.place.words(claim.index),
        };
        let now = received.at;
        let mut compared = if urls.len() <= 1 {
            let one = std::slice::from_ref(&filling);
            self.keys.compare(&self.content, one, &claimed, now, wrong)?
        } else {
            let each: Vec<_> = urls.iter().map(|url| filling.at(url)).collect();
            self.keys.compare(&self.content, &each, &claimed, now, wrong)?
        };
        if self.keyed_by_content {
            // A retry may be signed by another alternative, with a secret that this one lacks.
            let mut digest = Context::new(&SHA256);
            self.content.feed(&filling, |bytes| digest.update(bytes))?;
            let key = DedupKey::signature(digest.finish().as_ref());
            if !compared.dedup_keys.contains(&key) {
                compared.dedup_keys.push(key);
            }
        }
        if self.content.covers(&Piece::Fields) {
            twilio::check_body(&received.query, &received.body, &fields)?;
        }
        let field = match &body {
            Cow::Borrowed(_) => None,
            Cow::Owned(text) => Some(text.as_slice()),
        };
        let json = match early {
            None if self.reads_body() => self.genuine_json(received, field)?,
            early => early,
        };
        self.proof(&filling, &claim, json.as_deref(), compared)
    }

    /// Parses the body of a genuine request, or the value of the form field that holds it.
    fn genuine_json(&self, received: &Received, field: Option<&[u8]>) -> Result<Option<Arc<Value>>, Refusal> {
        let json = match field {
            None => source::json(
                &received.headers,
                &received.body,
                self.unverified.max_body,
                &self.plan,
            ),
            // The body's content encoding does not apply to the value of a form field.
            Some(text) => source::parsed(text, &self.plan),
        };
        match json {
            // Other requests of the sender to the same URL need not be JSON, and have no id.
            Err(_) if !self.stamps_body() => Ok(None),
            json => json.map(Some).map_err(Refusal::genuinely),
        }
    }

    /// Builds the proof of a genuine request.
    fn proof(
        &self,
        filling: &Filling<'_>,
        claim: &ReceivedSignatures<'_>,
        json: Option<&Value>,
        compared: Compared,
    ) -> Result<Proof, Refusal> {
        let timestamp = match &self.timestamp {
            None => None,
            Some(source) => {
                let place = || self.words(&source.place, claim);
                let text = match (&source.place, json) {
                    (Location::Json(path), Some(json)) => {
                        path.find(json).and_then(source::written).map(Cow::Owned)
                    }
                    _ => Some(Cow::Borrowed(filling.timestamp)),
                };
                let text = text.ok_or_else(|| Refusal::MissingTimestamp { place: place() })?;
                let at = source.unit.read(&text);
                Some(SentAt {
                    at: at.ok_or_else(|| source.unit.refusal(place(), &text))?,
                    signed: self.timestamp_signed,
                })
            }
        };
        let mut signed = self.ids.iter().filter(|id| id.signed);
        let id = signed.find_map(|id| match &id.place {
            Location::Json(path) => source::id_at(path, json?).ok().map(|id| DedupKey::id(&id)),
            _ => Some(DedupKey::id(filling.id)),
        });
        let dedup_keys: Vec<DedupKey> = id.into_iter().collect();
        // If pieces are adjacent, a request with other boundaries has another id. The signed bytes
        // identify it as well.
        let dedup_keys = if dedup_keys.is_empty() || self.content.runs_together() {
            [dedup_keys, compared.dedup_keys].concat()
        } else {
            dedup_keys
        };
        Ok(Proof {
            timestamp,
            dedup_keys,
            secret: Some(compared.source),
        })
    }
}
