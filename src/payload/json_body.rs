//! JSON bodies, and parts of bodies that are JSON.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use serde_json::Value;

use crate::base::json;
use crate::base::json::{Json, JsonDocument};
use crate::base::json_plan::Plan;
use crate::payload::charset;
use crate::payload::content::{BodyKind, Payload};
use crate::payload::undecodable::Undecodable;

/// Decodes a body as JSON, and keeps the values of `plan`.
pub(super) fn as_json(label: Option<&str>, body: &Bytes, plan: &Arc<Plan>) -> Result<Payload, Undecodable> {
    let (charset, text) = text(label, body)?;
    let text = match text {
        Cow::Borrowed(_) => body.clone(),
        Cow::Owned(text) => text.into(),
    };
    let read = JsonDocument::read(&text, plan);
    let (document, is_repaired) = read.map_err(|error| Undecodable::Json(error.to_string()))?;
    Ok(Payload::of(kind(charset == UTF_8, is_repaired), document))
}

/// The value of a part of a body.
pub(super) fn value(label: Option<&str>, part: &[u8]) -> Option<Value> {
    let (_, text) = text(label, part).ok()?;
    let read = json::read(&text).ok()?;
    Some(Arc::unwrap_or_clone(read.tree.value))
}

/// The text of a body in UTF-8, and its charset as it was sent.
fn text<'b>(label: Option<&str>, body: &'b [u8]) -> Result<(&'static Encoding, Cow<'b, [u8]>), Undecodable> {
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
    Ok((charset, text))
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

/// [`BodyKind::Json`] only if the body as sent is JSON.
fn kind(is_plain_utf8: bool, is_repaired: bool) -> BodyKind {
    if is_plain_utf8 && !is_repaired {
        BodyKind::Json
    } else {
        BodyKind::InnerJson
    }
}

/// A payload of parsed JSON.
pub(super) fn of_json(read: Json, is_plain_utf8: bool) -> Payload {
    Payload::of(kind(is_plain_utf8, read.is_repaired), read.tree.into())
}

/// The JSON object or list in the text, if it is one.
pub(super) fn structure(text: &str) -> Option<Json> {
    begins_structure(text).then(|| json::read_text(text).ok())?
}

/// The payload of a body without a conclusive content type, if it is a JSON object or list.
pub(super) fn as_structure(charset: &'static Encoding, body: &Bytes, plan: &Arc<Plan>) -> Option<Payload> {
    match charset::text(charset, body).ok()? {
        Cow::Borrowed(text) if charset == UTF_8 => {
            let read = begins_structure(text).then(|| JsonDocument::read(body, plan).ok())?;
            read.map(|(document, is_repaired)| Payload::of(kind(true, is_repaired), document))
        }
        text => structure(&text).map(|read| of_json(read, charset == UTF_8)),
    }
}

fn begins_structure(text: &str) -> bool {
    let bare = text.trim_start_matches('\u{FEFF}').trim_ascii_start();
    matches!(bare.as_bytes().first(), Some(b'{' | b'['))
}
