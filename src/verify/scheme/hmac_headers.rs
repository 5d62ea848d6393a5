//! What a request that is signed by a shared secret holds in its headers, before any of it is believed.
//!
//! Every header is read strictly: a line too many, an item too many, a letter out of place is a refusal, never a guess.

use http::{HeaderMap, HeaderName};

use super::content::Piece;
use super::hmac::Hmac;
use super::source::{self, Place, TimestampSource, in_header, only_line};
use crate::clock::Timestamp;
use crate::verify::Refusal;

/// How many items of a signature header are looked at.
const MAX_ITEMS: usize = 16;

/// One family of headers in one request.
pub(super) struct Family<'r> {
    /// Which of the families.
    pub index: usize,
    /// The header with the signature.
    pub header: &'r HeaderName,
    /// Its items.
    pub items: Vec<&'r [u8]>,
}

impl Hmac {
    /// The family whose signature header is there, and the items of that header. Other headers of a family are no
    /// sign of it: some senders add ids and timestamps to requests that they do not sign.
    pub(super) fn family<'r>(&'r self, headers: &'r HeaderMap) -> Result<Family<'r>, Refusal> {
        let mut families = self.headers.iter().enumerate();
        let Some((index, header)) = families.find(|(_, header)| headers.contains_key(*header)) else {
            return match self.headers.first() {
                Some(header) => Err(Refusal::MissingHeader {
                    header: header.clone(),
                }),
                // Not compiled; if it were, nobody would get in.
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
    pub(super) fn claimed(&self, family: &Family<'_>) -> Result<Vec<Vec<u8>>, Refusal> {
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
    pub(super) fn timestamp_text<'r>(
        &self,
        headers: &'r HeaderMap,
        family: &Family<'r>,
    ) -> Result<Option<&'r [u8]>, Refusal> {
        let Some(TimestampSource { place, unit }) = &self.timestamp else {
            return Ok(None);
        };
        let words = || place_of(place, family);
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
    pub(super) fn id_text<'r>(
        &self,
        headers: &'r HeaderMap,
        family: &Family<'r>,
    ) -> Result<Option<&'r [u8]>, Refusal> {
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
    pub(super) fn check_id(&self, header: &HeaderName, id: &[u8]) -> Result<(), Refusal> {
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
}

/// The header of one family; one name alone serves all of them.
fn of_family(names: &[HeaderName], index: usize) -> Option<&HeaderName> {
    names.get(index).or(names.first())
}

/// The words for a place in one request.
pub(super) fn place_of(place: &Place, family: &Family<'_>) -> String {
    match place {
        Place::Headers(names) => of_family(names, family.index).map(in_header).unwrap_or_default(),
        Place::Item(prefix) => format!("the item `{prefix}` of the header `{}`", family.header),
        Place::Json(path) => format!("`{path}` of the body"),
    }
}
