//! Body into which a sender writes a timestamp, a token or the signature itself before sending.
//!
//! Unless a value is written, the bytes stay unchanged. A written value leaves all other bytes
//! unchanged.

use std::borrow::Cow;

use serde_json::Value;

use super::source::text_of;
use crate::base::jsonpath::SingularPath;
use crate::verify::outgoing::OutgoingRequest;

/// Body with optional changes.
pub struct Body<'d> {
    original: &'d [u8],
    changed: Option<String>,
}

impl<'d> Body<'d> {
    pub fn new(draft: &OutgoingRequest<'d>) -> Self {
        Self {
            original: draft.body,
            changed: None,
        }
    }

    /// Text or number at a path.
    pub fn text_at(&self, path: &SingularPath) -> Option<String> {
        let json: Value = serde_json::from_slice(&self.bytes()).ok()?;
        String::from_utf8(text_of(path.find(&json)?)?).ok()
    }

    /// Writes a value at a path. Fails unless the body is JSON.
    pub fn put(&mut self, path: &SingularPath, value: &Value) -> Result<(), String> {
        let bytes = self.bytes();
        serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).map_err(|error| {
            format!("this sender writes `{path}` into the body, which is not JSON: {error}")
        })?;
        let text = std::str::from_utf8(&bytes).map_err(|error| format!("the body is not UTF-8: {error}"))?;
        let spliced = path.splice(text, &value.to_string());
        self.changed = Some(spliced.ok_or_else(|| format!("the body has no place for `{path}`"))?);
        Ok(())
    }

    /// Current bytes.
    pub fn bytes(&self) -> Cow<'d, [u8]> {
        match &self.changed {
            Some(text) => Cow::Owned(text.clone().into_bytes()),
            None => Cow::Borrowed(self.original),
        }
    }

    /// Changed body. `None` if nothing was written.
    pub fn changed(self) -> Option<Vec<u8>> {
        self.changed.map(String::into_bytes)
    }
}
