//! Bytes that may be text, as JSON shows them.

use data_encoding::BASE64;
use schemars::JsonSchema;
use serde::Serialize;

/// Text as it is, other bytes as `{"base64": …}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Content {
    /// The bytes are UTF-8.
    Text(String),
    /// The bytes are not UTF-8.
    Bytes {
        /// The bytes in base64.
        base64: String,
    },
}

impl Content {
    pub fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Bytes {
                base64: BASE64.encode(bytes),
            },
        }
    }

    /// The text. `None` if the bytes are not UTF-8.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Bytes { .. } => None,
        }
    }
}
