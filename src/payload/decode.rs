//! From raw bytes to a payload.

use std::sync::Arc;

use bytes::Bytes;
use encoding_rs::{Encoding, UTF_8};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::content_type::{ContentType, Media};
use super::event::{Kind, Payload};
use super::undecodable::Undecodable;
use super::{charset, form, multipart, xml};
use crate::coding;
use crate::jsonpath::LargeIntegers;

/// How an endpoint reads its bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decode {
    /// As the content type says; without a telling one, JSON where the body is a JSON object or list, else text.
    #[default]
    Auto,
    /// As JSON, whatever the content type.
    Json,
    /// As the fields of a form, whatever the content type.
    Form,
    /// As the parts of a form, whatever the content type, which must name their boundary.
    Multipart,
    /// As XML, whatever the content type.
    Xml,
    /// As text, whatever the content type.
    Text,
}

impl Decode {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Auto,
        Self::Json,
        Self::Form,
        Self::Multipart,
        Self::Xml,
        Self::Text,
    ];

    /// The one of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|decode| decode.name() == name)
    }

    /// The word in the rules file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Json => "json",
            Self::Form => "form",
            Self::Multipart => "multipart",
            Self::Xml => "xml",
            Self::Text => "text",
        }
    }
}

/// Reads `body` as `decode` says, its content coding undone; then it has at most `limit` bytes.
pub fn decode(decode: Decode, headers: &HeaderMap, body: &Bytes, limit: u64) -> Result<Payload, Undecodable> {
    let plain = coding::decoded(headers, body, limit)?;
    let content_type = ContentType::of(headers);
    let label = content_type.charset.as_deref();
    let mut payload = match (decode, content_type.media) {
        (Decode::Json, _) | (Decode::Auto, Media::Json) => json(charset::of(label, &plain)?, &plain)?,
        (Decode::Form, _) => fields(Kind::Form, form::fields(charset::named(label)?, &plain)?),
        (Decode::Auto, Media::Form) => auto_form(charset::named(label)?, &plain)?,
        (Decode::Multipart, _) | (Decode::Auto, Media::Multipart) => {
            let boundary = content_type.boundary.as_deref();
            fields(Kind::Multipart, multipart::fields(boundary, &plain)?)
        }
        (Decode::Xml, _) | (Decode::Auto, Media::Xml) => {
            Payload::new(Kind::Xml, Arc::new(xml::document(label, &plain)?))
        }
        (Decode::Text, _) | (Decode::Auto, Media::Text) => text(charset::of(label, &plain)?, &plain),
        (Decode::Auto, Media::Other) => guessed(label, &plain),
    };
    // What a coding was put upon is not what was sent.
    if payload.kind == Kind::Json && plain.as_ptr() != body.as_ptr() {
        payload.kind = Kind::InnerJson;
    }
    Ok(payload)
}

/// What [`decode`] would say, of a body that was read as JSON already; `None` if it would read it in another way.
pub fn known(decode: Decode, headers: &HeaderMap, body: &[u8], json: &Arc<Value>) -> Option<Payload> {
    let content_type = ContentType::of(headers);
    let as_json = decode == Decode::Json || (decode == Decode::Auto && content_type.media == Media::Json);
    let plainly = charset::named(content_type.charset.as_deref()) == Ok(UTF_8)
        && !headers.contains_key(http::header::CONTENT_ENCODING);
    (as_json && plainly).then(|| Payload {
        // The body is JSON, hence UTF-8.
        integers: LargeIntegers::read(std::str::from_utf8(body).unwrap_or_default(), json),
        ..Payload::new(Kind::Json, Arc::clone(json))
    })
}

fn fields(kind: Kind, fields: Map<String, Value>) -> Payload {
    Payload::new(kind, Arc::new(fields.into()))
}

fn json(charset: &'static Encoding, body: &[u8]) -> Result<Payload, Undecodable> {
    let transcribed;
    let (kind, body) = if charset == UTF_8 {
        (Kind::Json, without_mark(body))
    } else {
        transcribed = charset::text(charset, body)?;
        (Kind::InnerJson, transcribed.as_bytes())
    };
    if body.trim_ascii().is_empty() {
        return Err(Undecodable::Empty("JSON"));
    }
    // Checked as a whole it is UTF-8 in one quick pass; the parser would check string by string.
    let parsed = match std::str::from_utf8(body) {
        Ok(text) => Payload::from_json(kind, text),
        Err(_) => serde_json::from_slice(body).map(|value| Payload::new(kind, Arc::new(value))),
    };
    parsed.map_err(|error| Undecodable::Json(error.to_string()))
}

fn text(charset: &'static Encoding, body: &[u8]) -> Payload {
    let value = if body.is_empty() {
        Value::Null
    } else {
        Value::String(charset.decode(body).0.into_owned())
    };
    Payload::new(Kind::Text, Arc::new(value))
}

fn auto_form(charset: &'static Encoding, body: &[u8]) -> Result<Payload, Undecodable> {
    if std::str::from_utf8(body).is_ok_and(|text| structure(Kind::Json, text).is_some()) {
        return Err(Undecodable::JsonAsForm);
    }
    let found = form::fields(charset, body)?;
    // GitHub and Gitea send their forms so: one field, holding the JSON.
    if found.len() == 1
        && let Some(Value::String(inner)) = found.get("payload")
        && let Some(payload) = structure(Kind::InnerJson, inner)
    {
        return Ok(payload);
    }
    Ok(fields(Kind::Form, found))
}

/// What a body is of which nothing telling was said.
fn guessed(label: Option<&str>, body: &[u8]) -> Payload {
    // No text was promised: a charset that is not known here counts as none.
    let charset = charset::of(label, body).unwrap_or(UTF_8);
    let kind = if charset == UTF_8 {
        Kind::Json
    } else {
        Kind::InnerJson
    };
    let read = charset::text(charset, body)
        .ok()
        .and_then(|text| structure(kind, &text));
    read.unwrap_or_else(|| text(charset, body))
}

/// The JSON object or list that the text is, if it is one.
fn structure(kind: Kind, text: &str) -> Option<Payload> {
    match text.trim_ascii_start().as_bytes().first() {
        Some(b'{' | b'[') => Payload::from_json(kind, text).ok(),
        _ => None,
    }
}

/// The bytes without a UTF-8 byte order mark.
fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body)
}
