//! Decoding of raw bytes to a [`Payload`], by `decode:` and the content type.
//!
//! This file chooses the format and handles text. The other formats are left to `json_body.rs`,
//! `form.rs`, `multipart.rs` and `xml.rs`.

use std::sync::Arc;

use bytes::Bytes;
use encoding_rs::{Encoding, UTF_8};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::base::json_plan::Plan;
use crate::payload::content::{BodyKind, Payload};
use crate::payload::content_type::{ContentType, Media};
use crate::payload::json_body::{as_json, as_structure, of_json, structure};
use crate::payload::undecodable::Undecodable;
use crate::payload::unpack::Unpack;
use crate::payload::{charset, content_encoding, form, multipart, xml};

/// The value of an endpoint's `decode:`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decode {
    /// By the content type. If that is not conclusive, JSON for a JSON object or list, else text.
    #[default]
    Auto,
    /// JSON, whatever the content type.
    Json,
    /// Form fields, whatever the content type.
    Form,
    /// Form parts, whatever the content type, which must name the boundary.
    Multipart,
    /// XML, whatever the content type.
    Xml,
    /// Text, whatever the content type.
    Text,
}

impl Decode {
    pub const ALL: [Self; 6] = [
        Self::Auto,
        Self::Json,
        Self::Form,
        Self::Multipart,
        Self::Xml,
        Self::Text,
    ];

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|decode| decode.name() == name)
    }

    /// The name in the rules file.
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

/// Decodes `body` as `decode` says, after removing its content codings. The decompressed body has
/// at most `limit` bytes.
pub fn decode(decode: Decode, headers: &HeaderMap, body: &Bytes, limit: u64) -> Result<Payload, Undecodable> {
    decode_planned(decode, headers, body, limit, &Arc::new(Plan::everything()))
}

/// As [`decode`]. Of a JSON body, only the values of `plan` are kept, and the rest is read when
/// something asks for it.
pub fn decode_planned(
    decode: Decode,
    headers: &HeaderMap,
    body: &Bytes,
    limit: u64,
    plan: &Arc<Plan>,
) -> Result<Payload, Undecodable> {
    let decoded = content_encoding::decoded(headers, body, limit)?;
    let content_type = ContentType::of(headers);
    let label = content_type.charset.as_deref();
    let mut payload = match (decode, content_type.media) {
        (Decode::Json, _) | (Decode::Auto, Media::Json) => as_json(label, &decoded, plan)?,
        (Decode::Form, _) => fields(BodyKind::Form, form::fields(charset::named(label)?, &decoded)?),
        (Decode::Auto, Media::Form) => auto_form(charset::named(label)?, &decoded)?,
        (Decode::Multipart, _) | (Decode::Auto, Media::Multipart) => {
            let boundary = content_type.boundary.as_deref();
            fields(BodyKind::Multipart, multipart::fields(boundary, &decoded)?)
        }
        (Decode::Xml, _) | (Decode::Auto, Media::Xml) => {
            Payload::new(BodyKind::Xml, Arc::new(xml::document(label, &decoded)?))
        }
        (Decode::Text, _) | (Decode::Auto, Media::Text) => text(charset::of(label, &decoded)?, &decoded),
        (Decode::Auto, Media::Other) => decode_unknown(label, &decoded, plan),
    };
    // The decompressed body differs from the body as sent.
    if payload.kind == BodyKind::Json && decoded.as_ptr() != body.as_ptr() {
        payload.kind = BodyKind::InnerJson;
    }
    Ok(payload)
}

/// As [`decode_planned`], and unpacks the fields of the payload. A payload that is unpacked is kept
/// whole: all of it was needed.
pub fn decode_unpacked(
    decode: Decode,
    unpack: Option<&Unpack>,
    headers: &HeaderMap,
    body: &Bytes,
    limit: u64,
    plan: &Arc<Plan>,
) -> Result<Payload, Undecodable> {
    let Some(unpack) = unpack else {
        return decode_planned(decode, headers, body, limit, plan);
    };
    // A field `payload` that is unpacked by name stays a field.
    let is_form = decode == Decode::Auto && ContentType::of(headers).media == Media::Form;
    let decode = if is_form && unpack.names("$.payload") {
        Decode::Form
    } else {
        decode
    };
    let packed = self::decode(decode, headers, body, limit)?;
    unpack.apply(packed, body.len() as u64)
}

fn fields(kind: BodyKind, fields: Map<String, Value>) -> Payload {
    Payload::new(kind, Arc::new(fields.into()))
}

fn text(charset: &'static Encoding, body: &[u8]) -> Payload {
    let value = if body.is_empty() {
        Value::Null
    } else {
        // The charset decoder removes one byte order mark; further ones are removed here.
        let (text, ..) = charset.decode(body);
        Value::String(text.trim_start_matches('\u{FEFF}').to_owned())
    };
    Payload::new(BodyKind::Text, Arc::new(value))
}

fn auto_form(charset: &'static Encoding, body: &[u8]) -> Result<Payload, Undecodable> {
    if std::str::from_utf8(body).is_ok_and(|text| structure(text).is_some()) {
        return Err(Undecodable::JsonAsForm);
    }
    let found = form::fields(charset, body)?;
    // GitHub and Gitea send forms with one field that contains the JSON.
    if found.len() == 1
        && let Some(Value::String(inner)) = found.get("payload")
        && let Some(read) = structure(inner)
    {
        return Ok(of_json(read, false));
    }
    Ok(fields(BodyKind::Form, found))
}

/// Decodes a body whose content type is not conclusive.
fn decode_unknown(label: Option<&str>, body: &Bytes, plan: &Arc<Plan>) -> Payload {
    // No charset was promised, so an unknown label counts as none.
    let charset = charset::of(label, body).unwrap_or(UTF_8);
    as_structure(charset, body, plan).unwrap_or_else(|| text(charset, body))
}
