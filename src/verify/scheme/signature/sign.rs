//! Signing as the sender does: the headers, query parameters and body values that it would add.

use http::{HeaderName, HeaderValue};
use serde_json::Value;

use super::content::{Filling, Piece};
use super::keys::{Keys, tag};
use super::{IdSource, Signature, form, twilio};
use crate::verify::outgoing::{OutgoingRequest, Signed};
use crate::verify::parts::sign_body::Body;
use crate::verify::parts::source::{Location, TimestampSource, Unit};
use crate::verify::refusal::Refusal;

impl Signature {
    /// Returns what the sender would add to the request.
    pub(super) fn sign_draft(&self, draft: &OutgoingRequest<'_>) -> Result<Signed, String> {
        let mut signed = Signed::default();
        let mut body = Body::new(draft);
        let stamp = self.stamp(draft, &mut signed, &mut body)?;
        let id = self.write_id(draft, &mut signed, &mut body)?;
        let is_form = form::is_form(draft.headers).map_err(words)?;
        if self.content.covers(&Piece::Fields) && !is_form && !body.bytes().is_empty() {
            let digest = twilio::digest(&body.bytes());
            signed.query.push((twilio::BODY_DIGEST.to_owned(), digest));
        }
        let url = signed.url(draft.url);
        let bytes = body.bytes().into_owned();
        let fields = if self.content.covers(&Piece::Fields) {
            twilio::fields(draft.headers, &bytes).map_err(words)?
        } else {
            Vec::new()
        };
        let filling = Filling {
            fields: &fields,
            body: &self.signed_body(draft.headers, &bytes).map_err(words)?,
            timestamp: stamp.as_bytes(),
            id: &id,
            method: draft.method.as_str(),
            url: &url,
            headers: draft.headers,
        };
        let signature = format!(
            "{}{}",
            self.prefix,
            self.encoding.encode(&self.signature(&filling)?)
        );
        self.write_signature(signature, &stamp, &mut signed, &mut body)?;
        signed.body = body.changed();
        Ok(signed)
    }

    /// Computes the raw signature.
    fn signature(&self, filling: &Filling<'_>) -> Result<Vec<u8>, String> {
        match &self.keys {
            Keys::Shared(_, keys) => {
                let held = keys.first().ok_or("there is no secret to sign with")?;
                let tag = tag(&held.key, &self.content, filling).map_err(words)?;
                Ok(tag.expose().to_vec())
            }
            Keys::Public(_, _, signer) => {
                let content = self.content.whole(filling).map_err(words)?;
                let signer = signer
                    .as_ref()
                    .ok_or("a public key cannot sign: it takes a `private_key`")?;
                signer
                    .sign(&content)
                    .ok_or_else(|| "the private key cannot sign".to_owned())
            }
        }
    }

    /// Writes the timestamp at its location and returns its text. An item next to the signature is
    /// written later.
    fn stamp(
        &self,
        draft: &OutgoingRequest<'_>,
        signed: &mut Signed,
        body: &mut Body<'_>,
    ) -> Result<String, String> {
        let Some(TimestampSource { place, unit }) = &self.timestamp else {
            return Ok(String::new());
        };
        let stamp = unit.write(draft.at);
        if unit.read(stamp.as_bytes()).is_none() {
            return Err(format!(
                "{} cannot be written as a timestamp of this scheme",
                draft.at
            ));
        }
        match place {
            Location::Headers(names) => signed.headers.push((first(names)?, value(&stamp)?)),
            Location::Query(name) => signed.query.push((name.clone(), stamp.clone())),
            Location::Item(_) => {}
            Location::Json(path) => {
                if let Some(found) = body.text_at(path).filter(|_| !draft.restamp) {
                    return Ok(found);
                }
                body.put(path, &json_stamp(*unit, &stamp))?;
            }
        }
        Ok(stamp)
    }

    /// Writes the id at its location and returns its text.
    fn write_id(
        &self,
        draft: &OutgoingRequest<'_>,
        signed: &mut Signed,
        body: &mut Body<'_>,
    ) -> Result<Vec<u8>, String> {
        let Some(IdSource { place, .. }) = self.ids.first() else {
            return Ok(Vec::new());
        };
        let mut id = draft.id.to_owned();
        match place {
            Location::Headers(names) => signed.headers.push((first(names)?, value(&id)?)),
            Location::Query(name) => signed.query.push((name.clone(), id.clone())),
            Location::Json(path) => match body.text_at(path) {
                Some(found) => id = found,
                None if self.content.covers(&Piece::Id) => body.put(path, &Value::String(id.clone()))?,
                // The author of the body is responsible for an id that is missing in it.
                None => return Ok(Vec::new()),
            },
            Location::Item(_) => {
                return Err("an id among the items of a signature can be verified, not signed".to_owned());
            }
        }
        self.check_id(|| place.words(0), id.as_bytes()).map_err(words)?;
        Ok(id.into_bytes())
    }

    /// Writes the signature at its location.
    fn write_signature(
        &self,
        mut signature: String,
        stamp: &str,
        signed: &mut Signed,
        body: &mut Body<'_>,
    ) -> Result<(), String> {
        if let (
            Some(TimestampSource {
                place: Location::Item(item),
                ..
            }),
            Some(separator),
        ) = (&self.timestamp, self.separator)
        {
            signature = format!("{item}{stamp}{separator}{signature}");
        }
        match &self.place {
            Location::Headers(names) => {
                let mut line = value(&signature)?;
                line.set_sensitive(true);
                signed.headers.push((first(names)?, line));
            }
            Location::Query(name) => signed.query.push((name.clone(), signature)),
            Location::Json(path) => body.put(path, &Value::String(signature))?,
            Location::Item(_) => {}
        }
        Ok(())
    }
}

/// Timestamp as a JSON value: a number for numeric units.
fn json_stamp(unit: Unit, stamp: &str) -> Value {
    match unit {
        Unit::Rfc3339 => Value::String(stamp.to_owned()),
        Unit::S | Unit::Ms => stamp.parse::<i64>().map_or(Value::Null, Value::from),
    }
}

/// Header of the first family, which the sender uses.
fn first(headers: &[HeaderName]) -> Result<HeaderName, String> {
    headers
        .first()
        .cloned()
        .ok_or_else(|| "the scheme names no header".to_owned())
}

fn value(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text)
        .map_err(|error| format!("what is to be sent cannot stand in a header: {error}"))
}

/// Converts a refusal of our own request into a message.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
fn words(refusal: Refusal) -> String {
    refusal.to_string()
}
