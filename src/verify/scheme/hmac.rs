//! Senders that sign with a shared secret.
//!
//! [`Hmac::prove`] reads the signature's header, fills the content with what was received, and compares the MAC
//! under every secret with every signature that was sent. Only when one of them holds is the body read for a
//! timestamp or an id. [`Hmac::sign`] does what the sender would do.

use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::content::{Content, Filling, Piece};
use super::form;
use super::hmac_headers::{Family, place_of};
use super::mac::{Algorithm, Encoding, Mac, Tag};
use super::source::{self, Place, TimestampSource};
use crate::verify::{Draft, Nonce, Proof, Received, Refusal, SentAt};

/// A compiled `hmac`, or a preset of that kind.
#[derive(Debug)]
pub struct Hmac {
    /// One for each secret; the first one signs.
    pub keys: Vec<Mac>,
    /// The hash function.
    pub algorithm: Algorithm,
    /// The signature's header, one for each family.
    pub headers: Vec<HeaderName>,
    /// How the signature is written.
    pub encoding: Encoding,
    /// What an item must begin with.
    pub prefix: String,
    /// What splits the header into items; without it the header is one item.
    pub separator: Option<char>,
    /// What is signed.
    pub content: Content,
    /// Where the timestamp stands.
    pub timestamp: Option<TimestampSource>,
    /// Whether the content covers it.
    pub timestamp_signed: bool,
    /// Where the id stands.
    pub id: Option<Place>,
    /// Whether the content covers it, and its ends are marked.
    pub id_signed: bool,
    /// The bytes that an id must not hold.
    pub forbidden_in_id: Vec<u8>,
    /// The field of a form that is signed in the body's place.
    pub form_field: Option<String>,
    /// The public URL, without a slash at its end.
    pub public_url: String,
    /// The sender's own tolerance.
    pub window: Duration,
}

impl Hmac {
    /// Whether the signature holds, and what it then proves.
    pub fn prove(&self, received: &Received) -> Result<Proof, Refusal> {
        self.prove_under(&self.keys, received)
    }

    /// The key under which a request is signed; none if its signature does not hold.
    pub fn key_of(&self, received: &Received) -> Option<&Mac> {
        let signed = |key: &&Mac| self.prove_under(std::slice::from_ref(*key), received).is_ok();
        self.keys.iter().find(signed)
    }

    fn prove_under(&self, keys: &[Mac], received: &Received) -> Result<Proof, Refusal> {
        let headers = &received.headers;
        let family = self.family(headers)?;
        let claimed = self.claimed(&family)?;
        let stamp = self.timestamp_text(headers, &family)?;
        let id = self.id_text(headers, &family)?;
        let body = self.signed_body(headers, &received.body)?;
        let url = self.url_of(received);
        let filling = Filling {
            body: &body,
            timestamp: stamp.unwrap_or_default(),
            id: id.unwrap_or_default(),
            method: received.method.as_str(),
            url: &url,
            headers,
        };
        let mut tags = Vec::with_capacity(keys.len());
        for key in keys {
            tags.push(self.tag(key, &filling)?);
        }
        // Every signature is compared with every MAC, so that the time does not tell which secret it was.
        let held = tags
            .iter()
            .flat_map(|tag| claimed.iter().map(|claimed| tag.is(claimed)))
            .fold(false, |held, this| held | this);
        if !held {
            return Err(Refusal::BadSignature {
                header: family.header.clone(),
            });
        }
        self.proof(&filling, &family, stamp, &tags)
    }

    /// What a genuine request proves.
    fn proof(
        &self,
        filling: &Filling<'_>,
        family: &Family<'_>,
        stamp: Option<&[u8]>,
        tags: &[Tag],
    ) -> Result<Proof, Refusal> {
        let in_json = |place: &Place| matches!(place, Place::Json(_));
        let reads_body = self
            .timestamp
            .as_ref()
            .is_some_and(|source| in_json(&source.place))
            || (self.id_signed && self.id.as_ref().is_some_and(in_json));
        let json = if reads_body {
            Some(source::json(filling.body)?)
        } else {
            None
        };
        let timestamp = match &self.timestamp {
            None => None,
            Some(source) => {
                let place = || place_of(&source.place, family);
                let text = match (&source.place, &json) {
                    (Place::Json(path), Some(json)) => {
                        path.find(json).and_then(source::written).map(Cow::Owned)
                    }
                    _ => stamp.map(Cow::Borrowed),
                };
                let text = text.ok_or_else(|| Refusal::MissingTimestamp { place: place() })?;
                let at = source.unit.read(&text);
                Some(SentAt {
                    at: at.ok_or_else(|| source.unit.refusal(place(), &text))?,
                    signed: self.timestamp_signed,
                })
            }
        };
        let nonces = match (&self.id, &json) {
            (Some(Place::Json(path)), Some(json)) if self.id_signed => {
                vec![Nonce::id(&source::id_at(path, json)?)]
            }
            (Some(_), _) if self.id_signed => vec![Nonce::id(filling.id)],
            _ => signature_nonces(tags),
        };
        Ok(Proof { timestamp, nonces })
    }

    /// The headers that the sender would add.
    pub fn sign(&self, draft: &Draft<'_>) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
        let mut added = Vec::new();
        let stamp = match &self.timestamp {
            Some(TimestampSource { place, unit }) if !matches!(place, Place::Json(_)) => {
                let stamp = unit.write(draft.at);
                if unit.read(stamp.as_bytes()).is_none() {
                    return Err(format!(
                        "{} cannot be written as a timestamp of this scheme",
                        draft.at
                    ));
                }
                if let Place::Headers(headers) = place {
                    added.push((first(headers)?, value(&stamp)?));
                }
                stamp
            }
            _ => String::new(),
        };
        if let Some(Place::Headers(headers)) = &self.id {
            let header = first(headers)?;
            self.check_id(&header, draft.id.as_bytes())
                .map_err(|refusal| refusal.to_string())?;
            added.push((header, value(draft.id)?));
        }
        let refused = |refusal: Refusal| refusal.to_string();
        let body = self.signed_body(draft.headers, draft.body).map_err(refused)?;
        let filling = Filling {
            body: &body,
            timestamp: stamp.as_bytes(),
            id: draft.id.as_bytes(),
            method: draft.method.as_str(),
            url: draft.url,
            headers: draft.headers,
        };
        let key = self.keys.first().ok_or("there is no secret to sign with")?;
        let tag = self.tag(key, &filling).map_err(refused)?;
        let mut signature = format!("{}{}", self.prefix, self.encoding.encode(tag.expose()));
        if let (
            Some(TimestampSource {
                place: Place::Item(item),
                ..
            }),
            Some(separator),
        ) = (&self.timestamp, self.separator)
        {
            signature = format!("{item}{stamp}{separator}{signature}");
        }
        let mut signature = value(&signature)?;
        signature.set_sensitive(true);
        added.push((first(&self.headers)?, signature));
        Ok(added)
    }

    /// The replay window of its own.
    pub fn default_window(&self) -> Option<Duration> {
        self.timestamp.as_ref().map(|_| self.window)
    }

    fn signed_body<'b>(&self, headers: &HeaderMap, body: &'b [u8]) -> Result<Cow<'b, [u8]>, Refusal> {
        match &self.form_field {
            Some(field) => form::signed_body(field, headers, body),
            None => Ok(Cow::Borrowed(body)),
        }
    }

    /// The URL at which the sender believes to be calling, if the content needs it.
    fn url_of(&self, received: &Received) -> String {
        if !self.content.covers(&Piece::Url) {
            return String::new();
        }
        let mark = if received.query.is_empty() { "" } else { "?" };
        format!("{}{}{mark}{}", self.public_url, received.path, received.query)
    }

    fn tag(&self, key: &Mac, filling: &Filling<'_>) -> Result<Tag, Refusal> {
        let mut mac = key.clone();
        self.content.feed(&mut mac, filling)?;
        Ok(mac.finish())
    }
}

/// The nonces of a request that has no signed id: its MAC under **every** secret, for which of them matched must
/// not matter. Otherwise an event with two signatures could be taken once for each.
fn signature_nonces(tags: &[Tag]) -> Vec<Nonce> {
    let mut nonces: Vec<Nonce> = tags.iter().map(|tag| Nonce::signature(tag.expose())).collect();
    nonces.sort_unstable();
    nonces.dedup();
    nonces
}

/// The header that the sender uses: that of the first family.
fn first(headers: &[HeaderName]) -> Result<HeaderName, String> {
    headers
        .first()
        .cloned()
        .ok_or_else(|| "the scheme names no header".to_owned())
}

/// A header's value.
fn value(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text)
        .map_err(|error| format!("what is to be sent cannot stand in a header: {error}"))
}
