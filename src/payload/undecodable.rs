//! Why a body cannot be read, in the operator's words.

use std::fmt;

use crate::payload::content_encoding;
use crate::payload::form::MAX_FIELDS;
use crate::payload::multipart::MAX_PARTS;

/// Why a body cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undecodable {
    /// Its content coding cannot be undone.
    Coding(content_encoding::EncodingError),
    /// It is not JSON; what is wrong, with line and column.
    Json(String),
    /// It is not XML, or more of it than is read here; what is wrong, with line and column.
    Xml(String),
    /// It is not a form in parts; what is wrong.
    Multipart(String),
    /// This was promised and there is no body.
    Empty(&'static str),
    /// A charset that is not known here.
    UnknownCharset(String),
    /// Not in the charset that it says.
    Charset(&'static str),
    /// JSON under the content type of a form: what `curl -d` sends.
    JsonAsForm,
    /// A form of too many fields.
    TooManyFields,
    /// A form of too many parts.
    TooManyParts,
}

impl Undecodable {
    /// Whether nothing is wrong with it but its size.
    pub fn is_too_large(&self) -> bool {
        matches!(self, Self::Coding(content_encoding::EncodingError::TooLarge(_)))
    }
}

impl From<content_encoding::EncodingError> for Undecodable {
    fn from(fault: content_encoding::EncodingError) -> Self {
        Self::Coding(fault)
    }
}

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coding(fault) => fault.fmt(f),
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
            Self::TooManyParts => write!(f, "the form has more than {MAX_PARTS} parts"),
        }
    }
}

impl std::error::Error for Undecodable {}

/// A stranger's words that end up in a log: at most so many characters, and none that controls a terminal.
pub(super) fn shown(words: &str, most: usize) -> String {
    let mut shown = String::new();
    for letter in words.chars().take(most) {
        if letter.is_control() {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}
