//! Reasons why a body cannot be decoded, in words for operators.

use std::fmt;

use crate::payload::content_encoding;

/// Maximum number of fields in a form.
pub(super) const MAX_FIELDS: usize = 10_000;
/// Maximum number of parts in a form.
pub(super) const MAX_PARTS: usize = 1000;

/// The reason why a body cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undecodable {
    /// The content coding cannot be removed.
    Coding(content_encoding::EncodingError),
    /// Invalid JSON, with line and column.
    Json(String),
    /// Invalid or unsupported XML, with line and column.
    Xml(String),
    /// An invalid multipart form.
    Multipart(String),
    /// An empty body where this format was expected.
    Empty(&'static str),
    UnknownCharset(String),
    /// Bytes that are invalid in the declared charset.
    Charset(&'static str),
    /// JSON under the content type of a form, as `curl -d` sends it.
    JsonAsForm,
    TooManyFields,
    TooManyParts,
    /// A field does not hold what `unpack` says.
    Packed(String),
}

impl Undecodable {
    /// True if the only problem is the size.
    pub fn is_too_large(&self) -> bool {
        matches!(self, Self::Coding(content_encoding::EncodingError::TooLarge(_)))
    }
}

impl From<content_encoding::EncodingError> for Undecodable {
    fn from(error: content_encoding::EncodingError) -> Self {
        Self::Coding(error)
    }
}

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coding(error) => error.fmt(f),
            Self::Json(what) => write!(f, "the body is not valid JSON: {what}"),
            Self::Xml(what) => write!(f, "the body is not XML that can be read: {what}"),
            Self::Multipart(what) => write!(f, "the body is not valid multipart/form-data: {what}"),
            Self::Empty(expected) => write!(f, "the body is empty where {expected} was expected"),
            Self::UnknownCharset(label) => write!(f, "the charset `{label}` is not known here"),
            Self::Charset(name) => write!(f, "the body is not in {name}, the charset that it says"),
            Self::JsonAsForm => f.write_str(
                "the body is JSON but the content type says form: send application/json, or set `decode: json`",
            ),
            Self::TooManyFields => write!(f, "the form has more than {MAX_FIELDS} fields"),
            Self::Packed(what) => write!(f, "a field that is to be unpacked: {what}"),
            Self::TooManyParts => write!(f, "the form has more than {MAX_PARTS} parts"),
        }
    }
}

impl std::error::Error for Undecodable {}

/// An untrusted text for the log: at most `most` characters, with control characters escaped.
pub(super) fn excerpt(words: &str, most: usize) -> String {
    let mut excerpt = String::new();
    for letter in words.chars().take(most) {
        if letter.is_control() {
            excerpt.extend(letter.escape_default());
        } else {
            excerpt.push(letter);
        }
    }
    excerpt
}
