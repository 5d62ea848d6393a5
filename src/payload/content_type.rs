//! What a body says it is: the media type, the charset and the boundary of its `Content-Type`.

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::parameter::parameters;

/// What the content type promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    /// `application/json`, or anything that ends in `+json`.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `multipart/form-data`.
    Multipart,
    /// `application/xml`, `text/xml`, or anything that ends in `+xml`.
    Xml,
    /// `text/*`.
    Text,
    /// None, an unreadable one, or any other.
    Other,
}

/// The media type, and what else is said.
pub(super) struct ContentType {
    pub(super) media: Media,
    pub(super) charset: Option<String>,
    pub(super) boundary: Option<String>,
}

impl ContentType {
    /// Reads the first `Content-Type`; one that is not text counts as none.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let value = headers.get(CONTENT_TYPE);
        Self::parse(value.and_then(|value| value.to_str().ok()).unwrap_or_default())
    }

    /// Reads the value of a `Content-Type`.
    pub(super) fn parse(value: &str) -> Self {
        let essence = value.split(';').next().unwrap_or_default();
        let media = match essence.trim().to_ascii_lowercase().as_str() {
            "application/json" => Media::Json,
            "application/x-www-form-urlencoded" => Media::Form,
            "multipart/form-data" => Media::Multipart,
            "application/xml" | "text/xml" => Media::Xml,
            json if json.ends_with("+json") => Media::Json,
            xml if xml.ends_with("+xml") => Media::Xml,
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
