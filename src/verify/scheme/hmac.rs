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
use super::mac::{Algorithm, Encoding, Mac, Tag};
use super::source::{self, Place, TimestampSource, in_header, only_line};
use crate::clock::Timestamp;
use crate::verify::{Draft, Nonce, Proof, Received, Refusal, SentAt};

/// How many items of a signature header are looked at.
const MAX_ITEMS: usize = 16;

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

/// One family of headers in one request.
struct Family<'r> {
    index: usize,
    header: &'r HeaderName,
    items: Vec<&'r [u8]>,
}

impl Hmac {
    /// Whether the signature holds, and what it then proves.
    pub fn prove(&self, received: &Received) -> Result<Proof, Refusal> {
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
        let mut tags = Vec::with_capacity(self.keys.len());
        for key in &self.keys {
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
            || self.id.as_ref().is_some_and(in_json);
        let json = if reads_body {
            Some(source::json(filling.body)?)
        } else {
            None
        };
        let timestamp = match (&self.timestamp, &json) {
            (None, _) => None,
            (Some(source), json) => {
                let place = self.place_of(&source.place, family);
                let in_body;
                let text = match (&source.place, json) {
                    (Place::Json(path), Some(json)) => {
                        in_body = path.find(json).and_then(source::text_of);
                        in_body.as_deref()
                    }
                    _ => stamp,
                };
                let text = text.ok_or_else(|| Refusal::MissingTimestamp { place: place.clone() })?;
                let at = source
                    .unit
                    .read(text)
                    .ok_or_else(|| source.unit.refusal(place, text))?;
                Some(SentAt {
                    at,
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

    /// The family whose signature header is there, and the items of that header. Other headers of a family are no
    /// sign of it: some senders add ids and timestamps to requests that they do not sign.
    fn family<'r>(&'r self, headers: &'r HeaderMap) -> Result<Family<'r>, Refusal> {
        let mut families = self.headers.iter().enumerate();
        let Some((index, header)) = families.find(|(_, header)| headers.contains_key(*header)) else {
            return match self.headers.first() {
                Some(header) => Err(Refusal::MissingHeader {
                    header: header.clone(),
                }),
                None => Err(Refusal::BadCredentials),
            };
        };
        let mut items = Vec::new();
        match self.separator {
            None => items.extend(only_line(headers, header)?),
            Some(separator) => {
                // A list may be spread over several lines (RFC 9110, section 5.3).
                let lines = headers.get_all(header).iter();
                let split =
                    lines.flat_map(|line| line.as_bytes().split(move |byte| char::from(*byte) == separator));
                items.extend(
                    split
                        .map(<[u8]>::trim_ascii)
                        .filter(|item| !item.is_empty())
                        .take(MAX_ITEMS + 1),
                );
            }
        }
        if items.len() > MAX_ITEMS {
            return Err(Refusal::MalformedSignature {
                header: header.clone(),
                fault: format!("holds more than {MAX_ITEMS} items"),
            });
        }
        Ok(Family { index, header, items })
    }

    /// The signatures that the request claims to have; at least one.
    fn claimed(&self, family: &Family<'_>) -> Result<Vec<Vec<u8>>, Refusal> {
        let length = self.algorithm.length();
        let mut claimed = Vec::with_capacity(1);
        let mut fault = None;
        for item in &family.items {
            let Some(text) = item.strip_prefix(self.prefix.as_bytes()) else {
                continue;
            };
            match self.encoding.decode(text, length) {
                Ok(mac) => claimed.push(mac),
                Err(wrong) => fault = fault.or(Some(wrong)),
            }
        }
        if !claimed.is_empty() {
            return Ok(claimed);
        }
        let fault = fault.unwrap_or_else(|| match self.separator {
            None => format!("does not begin with `{}`", self.prefix),
            Some(_) => format!("holds no item that begins with `{}`", self.prefix),
        });
        Err(Refusal::MalformedSignature {
            header: family.header.clone(),
            fault,
        })
    }

    /// The timestamp as it was received, unless it stands in the body; already known to be well written.
    fn timestamp_text<'r>(
        &self,
        headers: &'r HeaderMap,
        family: &Family<'r>,
    ) -> Result<Option<&'r [u8]>, Refusal> {
        let Some(TimestampSource { place, unit }) = &self.timestamp else {
            return Ok(None);
        };
        let words = || self.place_of(place, family);
        let text = match place {
            Place::Json(_) => return Ok(None),
            Place::Headers(names) => match of_family(names, family.index) {
                Some(name) => only_line(headers, name)?,
                None => None,
            },
            Place::Item(prefix) => {
                let mut texts = family
                    .items
                    .iter()
                    .filter_map(|item| item.strip_prefix(prefix.as_bytes()));
                let text = texts.next();
                if texts.next().is_some() {
                    return Err(Refusal::MalformedTimestamp {
                        place: words(),
                        expected: "the only one",
                        found: "it stands more than once".to_owned(),
                    });
                }
                text
            }
        };
        let text = text.ok_or_else(|| Refusal::MissingTimestamp { place: words() })?;
        let read: Option<Timestamp> = unit.read(text);
        read.map(|_| Some(text))
            .ok_or_else(|| unit.refusal(words(), text))
    }

    /// The id as it was received, if the content needs it.
    fn id_text<'r>(&self, headers: &'r HeaderMap, family: &Family<'r>) -> Result<Option<&'r [u8]>, Refusal> {
        let Some(Place::Headers(names)) = &self.id else {
            return Ok(None);
        };
        match of_family(names, family.index) {
            Some(name) if self.content.covers(&Piece::Id) => {
                let id = source::id_in(headers, name)?;
                self.check_id(name, id)?;
                Ok(Some(id))
            }
            _ => Ok(None),
        }
    }

    /// Whether an id leaves no doubt about where it ends.
    fn check_id(&self, header: &HeaderName, id: &[u8]) -> Result<(), Refusal> {
        let fault = match id.iter().find(|byte| self.forbidden_in_id.contains(byte)) {
            _ if id.is_empty() => "is empty".to_owned(),
            Some(byte) => format!(
                "holds `{}`, which is what ends it in the signed content",
                byte.escape_ascii()
            ),
            None => return Ok(()),
        };
        Err(Refusal::MalformedId {
            place: in_header(header),
            fault,
        })
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

    /// The words for a place in one request.
    fn place_of(&self, place: &Place, family: &Family<'_>) -> String {
        match place {
            Place::Headers(names) => of_family(names, family.index).map(in_header).unwrap_or_default(),
            Place::Item(prefix) => format!("the item `{prefix}` of the header `{}`", family.header),
            Place::Json(path) => format!("`{path}` of the body"),
        }
    }
}

/// The header of one family; one name alone serves all of them.
fn of_family(names: &[HeaderName], index: usize) -> Option<&HeaderName> {
    names.get(index).or(names.first())
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
    HeaderValue::from_str(text).map_err(|_| "what is to be sent cannot stand in a header".to_owned())
}
