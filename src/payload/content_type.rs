//! The `Content-Type` of a body: media type, charset and boundary.
//!
//! Parsing is lenient and never fails: an unknown or unreadable type is [`Media::Other`].

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::payload::parameter::parameters;

/// The media type, as far as decoding depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    /// `application/json`, an older name for it, or any type that ends in `+json`.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `multipart/form-data`.
    Multipart,
    /// `application/xml`, `text/xml`, or any type that ends in `+xml`.
    Xml,
    /// `text/*`, except JavaScript.
    Text,
    /// Missing, unreadable, or any other type. Also `text/javascript`, under which JSON was sent
    /// before it had a type.
    Other,
}

/// A media type with its parameters.
pub(super) struct ContentType {
    pub(super) media: Media,
    pub(super) charset: Option<String>,
    pub(super) boundary: Option<String>,
}

impl ContentType {
    /// Reads the first `Content-Type`. A value that is not text counts as missing.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let value = headers.get(CONTENT_TYPE);
        Self::parse(value.and_then(|value| value.to_str().ok()).unwrap_or_default())
    }

    /// Parses the value of a `Content-Type`.
    pub(super) fn parse(value: &str) -> Self {
        // A proxy may have joined two values with a comma, or a sender may have omitted the
        // semicolon.
        let essence = value.trim_start().split([';', ',', ' ', '\t']).next();
        let media = match essence.unwrap_or_default().to_ascii_lowercase().as_str() {
            "application/json"
            | "application/x-json"
            | "text/json"
            | "text/x-json"
            | "application/csp-report" => Media::Json,
            "application/x-www-form-urlencoded" => Media::Form,
            "multipart/form-data" => Media::Multipart,
            "application/xml" | "text/xml" => Media::Xml,
            json if json.ends_with("+json") => Media::Json,
            xml if xml.ends_with("+xml") => Media::Xml,
            "text/javascript" | "text/x-javascript" => Media::Other,
            text if text.starts_with("text/") => Media::Text,
            _ => Media::Other,
        };
        let (mut charset, mut boundary) = (None, None);
        for (name, value) in parameters(value) {
            match name.as_str() {
                "charset" if charset.is_none() => charset = Some(value),
                "boundary" if boundary.is_none() => boundary = Some(value),
                _ => {}
            }
        }
        Self {
            media,
            charset,
            boundary,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_is_known_by_each_of_its_names() {
        for (value, media) in [
            ("application/json", Media::Json),
            ("TEXT/JSON", Media::Json),
            ("text/x-json;charset=utf-8", Media::Json),
            ("application/x-json", Media::Json),
            ("application/csp-report", Media::Json),
            ("application/cloudevents+json; charset=UTF-8", Media::Json),
            ("application/reports+json", Media::Json),
            ("application/json, application/json", Media::Json),
            ("application/json charset=utf-8", Media::Json),
            (" application/json", Media::Json),
            ("text/javascript", Media::Other),
            ("application/x-ndjson", Media::Other),
            ("application/json5", Media::Other),
            ("text/plain", Media::Text),
            ("text/xml", Media::Xml),
            ("application/soap+xml; action=x", Media::Xml),
            ("application/x-www-form-urlencoded;charset=UTF-8", Media::Form),
            ("multipart/form-data; boundary=b", Media::Multipart),
            ("json", Media::Other),
            ("", Media::Other),
        ] {
            assert_eq!(ContentType::parse(value).media, media, "{value}");
        }
    }
}
