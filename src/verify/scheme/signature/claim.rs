//! Unverified claims of a request: its signatures, timestamp and id.
//!
//! Parsing is strict. An extra line, an extra item or a misplaced character is refused and never
//! interpreted.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};
use serde_json::Value;

use super::content::Piece;
use super::{IdSource, Signature};
use crate::event::Received;
use crate::verify::parts::source::{self, Location, TimestampSource, only_line, only_query};
use crate::verify::refusal::Refusal;

/// Maximum items in a list of signatures. A longer list is refused.
const MAX_ITEMS: usize = 16;

/// Maximum length of an id that the signed content does not delimit, in bytes.
const LONGEST_ID: usize = 128;

/// Text of a request.
pub(super) type Text<'r> = Cow<'r, [u8]>;

/// Signatures of one request.
pub(super) struct ReceivedSignatures<'r> {
    /// Index of the header family that the request has.
    pub index: usize,
    /// Items at the signature's location.
    pub items: Vec<Text<'r>>,
}

impl Signature {
    /// Reads the items at the signature's location.
    ///
    /// If the sender has several families of headers, the one with a signature header counts. Other
    /// headers do not identify a family: some senders add ids and timestamps to requests that they
    /// do not sign.
    pub(super) fn claim<'r>(
        &self,
        received: &'r Received,
        early: Option<&Value>,
    ) -> Result<ReceivedSignatures<'r>, Refusal> {
        let missing = || Refusal::MissingSignature {
            place: self.place.words(0),
        };
        let (index, items) = match &self.place {
            Location::Headers(names) => {
                let (index, header) = family(names, &received.headers)?;
                (index, self.lines(&received.headers, header)?)
            }
            Location::Query(name) => {
                let repeated = || Refusal::RepeatedSignature {
                    place: self.place.words(0),
                };
                let text = only_query(&received.query, name, repeated)?.ok_or_else(missing)?;
                (0, self.owned_items(text.as_bytes()))
            }
            Location::Json(path) => {
                let text = early.and_then(|json| path.find(json)).and_then(Value::as_str);
                (0, self.owned_items(text.ok_or_else(missing)?.as_bytes()))
            }
            Location::Item(_) => return Err(missing()),
        };
        if items.len() > MAX_ITEMS {
            return Err(Refusal::MalformedSignature {
                place: self.place.words(index),
                fault: format!("holds more than {MAX_ITEMS} items"),
            });
        }
        Ok(ReceivedSignatures { index, items })
    }

    /// Items of a header: one, or those of a list, which may span several lines (RFC 9110 §5.3).
    fn lines<'r>(&self, headers: &'r HeaderMap, header: &HeaderName) -> Result<Vec<Text<'r>>, Refusal> {
        Ok(match self.separator {
            None => only_line(headers, header)?
                .map(Cow::Borrowed)
                .into_iter()
                .collect(),
            Some(separator) => {
                let lines = headers.get_all(header).iter();
                let split = lines.flat_map(|line| split(line.as_bytes(), separator));
                split.take(MAX_ITEMS + 1).map(Cow::Borrowed).collect()
            }
        })
    }

    fn owned_items(&self, text: &[u8]) -> Vec<Text<'static>> {
        let owned = |item: &[u8]| Cow::Owned(item.to_vec());
        match self.separator {
            None => vec![owned(text)],
            Some(separator) => split(text, separator).take(MAX_ITEMS + 1).map(owned).collect(),
        }
    }

    /// Decodes the claimed signatures. Returns at least one.
    pub(super) fn claimed(&self, claim: &ReceivedSignatures<'_>) -> Result<Vec<Vec<u8>>, Refusal> {
        let length = self.keys.length();
        let mut claimed = Vec::with_capacity(1);
        let mut fault = None;
        for item in &claim.items {
            let Some(text) = item.strip_prefix(self.prefix.as_bytes()) else {
                continue;
            };
            match self.encoding.decode(text, length) {
                Ok(signature) => claimed.push(signature),
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
            place: self.place.words(claim.index),
            fault,
        })
    }

    /// Timestamp as received, in a valid format.
    ///
    /// `None` if it is in a body that is parsed only after the signature has been verified.
    pub(super) fn timestamp_text<'r>(
        &self,
        received: &'r Received,
        claim: &ReceivedSignatures<'r>,
        early: Option<&Value>,
    ) -> Result<Option<Text<'r>>, Refusal> {
        let Some(TimestampSource { place, unit }) = &self.timestamp else {
            return Ok(None);
        };
        let words = || self.words(place, claim);
        let repeated = || Refusal::MalformedTimestamp {
            place: words(),
            expected: "the only one",
            found: "it stands more than once".to_owned(),
        };
        let text = match (place, early) {
            (Location::Json(_), None) => return Ok(None),
            (Location::Json(path), Some(json)) => path.find(json).and_then(source::written).map(Cow::Owned),
            (Location::Headers(names), _) => match source::of_family(names, claim.index) {
                Some(name) => only_line(&received.headers, name)?.map(Cow::Borrowed),
                None => None,
            },
            (Location::Query(name), _) => {
                only_query(&received.query, name, repeated)?.map(|text| Cow::Owned(text.into_bytes()))
            }
            (Location::Item(prefix), _) => {
                let mut texts = claim
                    .items
                    .iter()
                    .filter_map(|item| after(item, prefix.as_bytes()));
                let text = texts.next();
                if texts.next().is_some() {
                    return Err(repeated());
                }
                text
            }
        };
        let text = text.ok_or_else(|| Refusal::MissingTimestamp { place: words() })?;
        match unit.read(&text) {
            Some(_) => Ok(Some(text)),
            None => Err(unit.refusal(words(), &text)),
        }
    }

    /// Id as received, if the signed content includes it.
    pub(super) fn id_text<'r>(
        &self,
        received: &'r Received,
        claim: &ReceivedSignatures<'r>,
        early: Option<&Value>,
    ) -> Result<Option<Text<'r>>, Refusal> {
        let (Some(IdSource { place, .. }), true) = (self.ids.first(), self.content.covers(&Piece::Id)) else {
            return Ok(None);
        };
        let words = || self.words(place, claim);
        let missing = || Refusal::MissingId { place: words() };
        let repeated = || Refusal::MalformedId {
            place: words(),
            fault: "stands more than once".to_owned(),
        };
        let id: Text<'r> = match place {
            Location::Headers(names) => match source::of_family(names, claim.index) {
                Some(name) => Cow::Borrowed(source::id_in(&received.headers, name)?),
                None => return Err(missing()),
            },
            Location::Query(name) => {
                let text = only_query(&received.query, name, repeated)?;
                Cow::Owned(text.ok_or_else(missing)?.into_bytes())
            }
            Location::Item(prefix) => {
                let mut items = claim.items.iter();
                let found = items.find_map(|item| after(item, prefix.as_bytes()));
                found.ok_or_else(missing)?
            }
            Location::Json(path) => Cow::Owned(source::id_at(path, early.ok_or_else(missing)?)?),
        };
        self.check_id(words, &id)?;
        Ok(Some(id))
    }

    /// Checks that the end of an id in the signed content is unambiguous.
    pub(super) fn check_id(&self, place: impl FnOnce() -> String, id: &[u8]) -> Result<(), Refusal> {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._:=+/-".contains(byte);
        let fault = match id.iter().find(|byte| self.forbidden_in_id.contains(byte)) {
            _ if id.is_empty() => "is empty".to_owned(),
            // Otherwise the id could contain a timestamp and the beginning of a body.
            _ if self.content.runs_together() && !(id.len() <= LONGEST_ID && id.iter().all(plain)) => {
                format!("is not 1 to {LONGEST_ID} of letters, digits and `._:=+/-`")
            }
            Some(byte) => format!(
                "holds `{}`, which is what ends it in the signed content",
                byte.escape_ascii()
            ),
            None => return Ok(()),
        };
        Err(Refusal::MalformedId {
            place: place(),
            fault,
        })
    }

    /// Describes a location in this request.
    pub(super) fn words(&self, place: &Location, claim: &ReceivedSignatures<'_>) -> String {
        match place {
            Location::Item(prefix) => format!("the item `{prefix}` of {}", self.place.words(claim.index)),
            place => place.words(claim.index),
        }
    }
}

/// Finds the first family whose signature header is present.
fn family<'n>(names: &'n [HeaderName], headers: &HeaderMap) -> Result<(usize, &'n HeaderName), Refusal> {
    let mut families = names.iter().enumerate();
    let found = families.find(|(_, header)| headers.contains_key(*header));
    found.ok_or_else(|| match names.first() {
        Some(header) => Refusal::MissingHeader {
            header: header.clone(),
        },
        // Never compiled. If it were, every request would be refused.
        None => Refusal::BadCredentials,
    })
}

/// Non-empty items of a text, trimmed.
fn split(text: &[u8], separator: char) -> impl Iterator<Item = &[u8]> {
    let items = text.split(move |byte| char::from(*byte) == separator);
    items.map(<[u8]>::trim_ascii).filter(|item| !item.is_empty())
}

/// Text after the prefix. `None` if the item does not begin with it.
fn after<'r>(item: &Text<'r>, prefix: &[u8]) -> Option<Text<'r>> {
    match item {
        Cow::Borrowed(item) => item.strip_prefix(prefix).map(Cow::Borrowed),
        Cow::Owned(item) => item.strip_prefix(prefix).map(|rest| Cow::Owned(rest.to_vec())),
    }
}
