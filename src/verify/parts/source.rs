//! Locations of timestamps and ids in a request, and their formats.
//!
//! Parsing is strict. The text is signed as received, so each instant has a single valid spelling.
//! A value is never combined from two locations. A header that occurs twice is refused.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use serde::Deserialize;
use serde_json::Value;

use crate::base::clock::Timestamp;
use crate::base::json;
use crate::base::json_plan::Plan;
use crate::base::jsonpath::SingularPath;
use crate::event::Received;
use crate::payload::content_encoding;
use crate::verify::refusal::Refusal;

/// Location of a text in a request.
#[derive(Clone, Debug)]
pub enum Location {
    /// A header. If a sender has several families of headers, the names are in the order of the
    /// families.
    Headers(Vec<HeaderName>),
    /// The item with this prefix, among the items at the signature's location.
    Item(String),
    /// A query parameter.
    Query(String),
    /// A value in the body.
    Json(SingularPath),
}

impl Location {
    pub fn is_in_body(&self) -> bool {
        matches!(self, Self::Json(_))
    }

    /// Describes the location in a request with the header family at `index`.
    pub fn words(&self, index: usize) -> String {
        match self {
            Self::Headers(names) => of_family(names, index).map(in_header).unwrap_or_default(),
            Self::Item(prefix) => format!("the item `{prefix}`"),
            Self::Query(name) => format!("`{name}` of the query"),
            Self::Json(path) => format!("`{path}` of the body"),
        }
    }
}

/// Header of one family. A single name applies to all families.
pub fn of_family(names: &[HeaderName], index: usize) -> Option<&HeaderName> {
    names.get(index).or(names.first())
}

/// Location and unit of the timestamp.
#[derive(Clone, Debug)]
pub struct TimestampSource {
    pub place: Location,
    pub unit: Unit,
}

/// Format of a timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Unix seconds.
    S,
    /// Unix milliseconds.
    Ms,
    /// RFC 3339 instant.
    Rfc3339,
}

impl Unit {
    /// Parses a timestamp in its canonical form.
    ///
    /// A leading zero is refused. If the signed content has no separator before its timestamp, a
    /// zero could move from the preceding field into the timestamp. The signature and the instant
    /// would both stay valid.
    pub fn read(self, text: &[u8]) -> Option<Timestamp> {
        let text = std::str::from_utf8(text).ok()?;
        match self {
            Self::S => number(text, 12).map(Timestamp::from_seconds),
            Self::Ms => number(text, 15).map(Timestamp::from_millis),
            Self::Rfc3339 => instant(text),
        }
    }

    /// Formats a timestamp.
    pub fn write(self, at: Timestamp) -> String {
        match self {
            Self::S => at.as_seconds().to_string(),
            Self::Ms => at.as_millis().to_string(),
            Self::Rfc3339 => at.to_string(),
        }
    }

    /// Refusal of a text that is not in this unit.
    ///
    /// The message quotes the text only if it consists of characters of timestamps. A wrongly
    /// configured location might hold a secret.
    pub fn refusal(self, place: String, text: &[u8]) -> Refusal {
        let harmless = |byte: &u8| byte.is_ascii_digit() || b"-:.+TZ".contains(byte);
        let found = if (1..=40).contains(&text.len()) && text.iter().all(harmless) {
            format!("`{}`", text.escape_ascii())
        } else {
            format!("{} bytes of something else", text.len())
        };
        let expected = match self {
            Self::S => "Unix seconds",
            Self::Ms => "Unix milliseconds",
            Self::Rfc3339 => "an RFC 3339 instant",
        };
        Refusal::MalformedTimestamp {
            place,
            expected,
            found,
        }
    }
}

/// Parses a whole number of at most `most` digits and nothing else.
fn number(text: &str, most: usize) -> Option<i64> {
    let plain = !text.is_empty() && text.len() <= most && text.bytes().all(|byte| byte.is_ascii_digit());
    (plain && !text.starts_with('0')).then(|| text.parse().ok())?
}

/// Parses the canonical form of an RFC 3339 instant: capital `T` and `Z`, at most nine fractional
/// digits.
fn instant(text: &str) -> Option<Timestamp> {
    let like = |text: &str, shape: &str| {
        let fits = |(byte, shape): (u8, u8)| {
            if shape == b'0' {
                byte.is_ascii_digit()
            } else {
                byte == shape
            }
        };
        text.len() == shape.len() && text.bytes().zip(shape.bytes()).all(fits)
    };
    let (date_time, rest) = text.split_at_checked(19)?;
    let zone = match rest.strip_prefix('.') {
        None => rest,
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|letter: char| letter.is_ascii_digit());
            if !(1..=9).contains(&(fraction.len() - zone.len())) {
                return None;
            }
            zone
        }
    };
    let zoned = zone == "Z" || like(zone, "+00:00") || like(zone, "-00:00");
    (like(date_time, "0000-00-00T00:00:00") && zoned).then(|| Timestamp::parse_rfc3339(text))?
}

/// Value of a header. Fails if the header has more than one line.
pub fn only_line<'h>(headers: &'h HeaderMap, header: &HeaderName) -> Result<Option<&'h [u8]>, Refusal> {
    let mut lines = headers.get_all(header).iter();
    let first = lines.next();
    if lines.next().is_some() {
        return Err(Refusal::RepeatedHeader {
            header: header.clone(),
        });
    }
    Ok(first.map(http::HeaderValue::as_bytes))
}

/// Value of a query parameter. Fails if the parameter occurs more than once.
pub fn only_query(
    query: &str,
    name: &str,
    repeated: impl FnOnce() -> Refusal,
) -> Result<Option<String>, Refusal> {
    let mut named = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
    let first = named.next();
    if named.next().is_some() {
        return Err(repeated());
    }
    Ok(first.map(|(_, value)| value.into_owned()))
}

/// Reads the values of `plan` from a body after removing its content encoding.
///
/// Called only when the bytes are known to be genuine. Neither the encoded body nor the decoded one
/// is read beyond `max_body` bytes.
pub fn json(headers: &HeaderMap, body: &Bytes, max_body: u64, plan: &Plan) -> Result<Arc<Value>, Refusal> {
    let body = content_encoding::decoded(headers, body, max_body);
    let body = body.map_err(|fault| Refusal::UnreadableBody {
        too_large: matches!(fault, content_encoding::EncodingError::TooLarge(_)),
        needed: format!("readable: {fault}"),
    })?;
    parsed(&body, plan)
}

/// Reads the values of `plan` from an unverified body.
///
/// A stranger must not be able to make this expensive. Only the planned values are kept, and the
/// body is decompressed only if the rules allow it.
pub fn unverified_json(received: &Received, plan: &Plan, bounds: Unverified) -> Result<Arc<Value>, Refusal> {
    parsed(&unverified_body(received, bounds)?, plan)
}

/// An unverified body without its content codings, if the rules allow to undo them.
pub fn unverified_body(received: &Received, bounds: Unverified) -> Result<Bytes, Refusal> {
    let Received { headers, body, .. } = received;
    let unreadable = |needed: String, too_large| Refusal::UnreadableBody { needed, too_large };
    if content_encoding::is_encoded(headers) && !body.is_empty() && !bounds.decompress {
        let needed = "sent without `Content-Encoding`, for its proof stands in it: `decompress_unverified: true` of the \
                      endpoint allows it";
        return Err(unreadable(needed.to_owned(), false));
    }
    content_encoding::decoded(headers, body, bounds.max_body).map_err(|fault| {
        let too_large = matches!(fault, content_encoding::EncodingError::TooLarge(_));
        unreadable(format!("readable: {fault}"), too_large)
    })
}

/// Limits for reading an unverified body.
#[derive(Clone, Copy, Debug)]
pub struct Unverified {
    /// Maximum size of the body, in bytes.
    pub max_body: u64,
    /// If true, the body may be decompressed.
    pub decompress: bool,
}

/// Builds a plan that reads the values at these paths.
pub fn plan<'p>(paths: impl IntoIterator<Item = &'p SingularPath>) -> Plan {
    let mut plan = Plan::default();
    for path in paths {
        path.add_to(&mut plan);
    }
    plan
}

/// Reads the values of `plan` from JSON.
pub fn parsed(text: &[u8], plan: &Plan) -> Result<Arc<Value>, Refusal> {
    let read = json::read_planned(text, plan).map_err(|fault| not_json(&fault))?;
    Ok(read.tree.value)
}

/// Omits the parser's message, which could quote the body.
fn not_json(fault: &json::JsonError) -> Refusal {
    Refusal::UnreadableBody {
        needed: format!("JSON (it fails in line {}, column {})", fault.line, fault.column),
        too_large: false,
    }
}

/// Text of a JSON string, or the digits of a whole number.
pub fn text_of(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string().into_bytes()),
        _ => None,
    }
}

/// Text of a JSON value: as [`text_of`], else its JSON. `None` for null.
pub fn written(value: &Value) -> Option<Vec<u8>> {
    let json = || Some(value.to_string().into_bytes()).filter(|_| !value.is_null());
    text_of(value).or_else(json)
}

/// Id at `path` of a body.
pub fn id_at(path: &SingularPath, body: &Value) -> Result<Vec<u8>, Refusal> {
    let place = || format!("`{path}` of the body");
    let value = path.find(body).filter(|value| !value.is_null());
    let value = value.ok_or_else(|| Refusal::MissingId { place: place() })?;
    text_of(value)
        .filter(|id| !id.is_empty())
        .ok_or_else(|| Refusal::MalformedId {
            place: place(),
            fault: "is neither text nor a whole number".to_owned(),
        })
}

/// Id in a header.
pub fn id_in<'h>(headers: &'h HeaderMap, header: &HeaderName) -> Result<&'h [u8], Refusal> {
    only_line(headers, header)?
        .filter(|id| !id.is_empty())
        .ok_or_else(|| Refusal::MissingId {
            place: in_header(header),
        })
}

/// Describes a location in a header.
pub fn in_header(header: &HeaderName) -> String {
    format!("the header `{header}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_has_one_spelling() {
        let seconds = Timestamp::from_seconds(1_614_265_330);
        assert_eq!(Unit::S.read(b"1614265330"), Some(seconds));
        assert_eq!(Unit::Ms.read(b"1614265330000"), Some(seconds));
        for text in [
            "2021-02-25T15:02:10Z",
            "2021-02-25T15:02:10.000000000Z",
            "2021-02-25T16:02:10+01:00",
            "2021-02-25T14:02:10.0-01:00",
        ] {
            assert_eq!(Unit::Rfc3339.read(text.as_bytes()), Some(seconds), "{text}");
        }
        for text in [
            "",
            " ",
            "-1",
            "+1",
            "1.0",
            "1e9",
            "1_000",
            "123abc",
            " 123",
            "123 ",
            "0x10",
            "01614265330",
            "0",
            "NOW.9",
            "\u{661}\u{662}\u{663}",
            "9223372036854775808",
            "1000000000000000000000000000000",
            "123\0",
            "1614265330\n",
            "9999999999999999",
        ] {
            for unit in [Unit::S, Unit::Ms, Unit::Rfc3339] {
                assert_eq!(unit.read(text.as_bytes()), None, "{text:?} {unit:?}");
            }
        }
        assert_eq!(
            Unit::S.read(b"1614265330000"),
            None,
            "thirteen digits are not seconds"
        );
        assert_eq!(Unit::S.read(b"\xff\xfe"), None);
        for text in [
            "2021-02-25t15:02:10Z",
            "2021-02-25T15:02:10z",
            "2021-02-25 15:02:10Z",
            "2021-02-25T15:02:10",
            "2021-02-25T15:02Z",
            "2021-02-25T15:02:10.Z",
            "2021-02-25T15:02:10.0000000000Z",
            "2021-13-25T15:02:10Z",
            "2021-02-30T15:02:10Z",
            "12021-02-25T15:02:10Z",
            "2021-02-25T15:02:10+0100",
            "2021-02-25T15:02:10ZZ",
            "2021-02-25T15:02:1é",
        ] {
            assert_eq!(Unit::Rfc3339.read(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let at = Timestamp::from_millis(1_614_265_330_123);
        for (unit, read) in [
            (Unit::S, Timestamp::from_seconds(1_614_265_330)),
            (Unit::Ms, at),
            (Unit::Rfc3339, at),
        ] {
            assert_eq!(unit.read(unit.write(at).as_bytes()), Some(read));
        }
    }

    #[test]
    fn a_malformed_timestamp_is_repeated_only_if_it_cannot_be_a_secret() {
        let found = |text: &[u8]| Unit::S.refusal("x".to_owned(), text).to_string();
        assert_eq!(
            found(b"16142653300000"),
            "the timestamp in x is not Unix seconds: `16142653300000`"
        );
        assert!(!found(b"hunter2").contains("hunter2"));
    }
}
