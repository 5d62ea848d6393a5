//! JSON bodies, and parts of bodies that are JSON.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use crate::base::json;
use crate::base::json::Json;
use crate::payload::charset;
use crate::payload::content::{BodyKind, Payload};
use crate::payload::undecodable::Undecodable;

/// Decodes a body, or a part of one, as JSON.
pub(super) fn as_json(label: Option<&str>, body: &[u8]) -> Result<Payload, Undecodable> {
    let charset = json_charset(label, body)?;
    let text = if charset == UTF_8 {
        Cow::Borrowed(body)
    } else {
        match charset::text(charset, body)? {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        }
    };
    if json::without_marks(&text).trim_ascii().is_empty() {
        return Err(Undecodable::Empty("JSON"));
    }
    let read = json::read(&text).map_err(|error| Undecodable::Json(error.to_string()))?;
    Ok(of_json(read, charset == UTF_8))
}

/// The charset of JSON. A label has no meaning (RFC 8259 §11) if the body is UTF-8, as JSON must
/// be. Such labels are unknown ones, and UTF-16, which .NET senders declare for strings.
fn json_charset(label: Option<&str>, body: &[u8]) -> Result<&'static Encoding, Undecodable> {
    match charset::of(label, body) {
        Ok(wide)
            if (wide == UTF_16LE || wide == UTF_16BE)
                && Encoding::for_bom(body).is_none()
                && matches!(body, [1..=255, 1..=255, ..]) =>
        {
            Ok(UTF_8)
        }
        Err(_) if std::str::from_utf8(body).is_ok() => Ok(UTF_8),
        charset => charset,
    }
}

/// A payload of parsed JSON. The kind is [`BodyKind::Json`] only if the body as sent is that JSON.
pub(super) fn of_json(read: Json, is_plain_utf8: bool) -> Payload {
    let kind = if is_plain_utf8 && !read.is_repaired {
        BodyKind::Json
    } else {
        BodyKind::InnerJson
    };
    Payload {
        integers: read.integers,
        ..Payload::new(kind, read.value)
    }
}

/// The JSON object or list in the text, if it is one.
pub(super) fn structure(text: &str) -> Option<Json> {
    let bare = text.trim_start_matches('\u{FEFF}').trim_ascii_start();
    match bare.as_bytes().first() {
        Some(b'{' | b'[') => json::read_text(text).ok(),
        _ => None,
    }
}
