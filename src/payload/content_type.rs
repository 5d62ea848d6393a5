//! What a body says it is: the media type and the charset of its `Content-Type`.

use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// What the content type promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    /// `application/json`, or anything that ends in `+json`.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `text/*`.
    Text,
    /// None, an unreadable one, or any other.
    Other,
}

/// The media type, and the charset if one is named.
pub(super) struct ContentType {
    pub(super) media: Media,
    pub(super) charset: Option<String>,
}

impl ContentType {
    /// Reads the first `Content-Type`; one that is not text counts as none.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let text = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let mut parts = text.split(';');
        let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        let media = match essence.as_str() {
            "application/json" => Media::Json,
            "application/x-www-form-urlencoded" => Media::Form,
            json if json.ends_with("+json") => Media::Json,
            text if text.starts_with("text/") => Media::Text,
            _ => Media::Other,
        };
        let charset = parts
            .filter_map(|parameter| parameter.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
            .map(|(_, value)| value.trim().trim_matches('"').to_ascii_lowercase());
        Self { media, charset }
    }

    /// The charset, if it is one in which JSON cannot be read.
    pub(super) fn foreign_charset(&self) -> Option<&str> {
        self.charset
            .as_deref()
            .filter(|charset| !matches!(*charset, "" | "utf-8" | "utf8" | "us-ascii" | "ascii"))
    }
}
