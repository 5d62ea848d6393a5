//! A body into which a sender writes something before it sends it: a timestamp, a token, the signature itself.
//!
//! The bytes stay what they are until something is put into them; then they are JSON, written anew.

use std::borrow::Cow;

use serde_json::Value;

use super::path::SingularPath;
use super::source::text_of;
use crate::verify::Draft;

/// A body to which something may be added.
pub struct Body<'d> {
    original: &'d [u8],
    changed: Option<Value>,
}

impl<'d> Body<'d> {
    /// The body as it is.
    pub fn new(draft: &Draft<'d>) -> Self {
        Self {
            original: draft.body,
            changed: None,
        }
    }

    /// The text or the number at a path.
    pub fn text_at(&self, path: &SingularPath) -> Option<String> {
        let parsed;
        let value = if let Some(value) = &self.changed {
            value
        } else {
            parsed = serde_json::from_slice(self.original).ok()?;
            &parsed
        };
        let written = text_of(path.find(value)?)?;
        String::from_utf8(written).ok()
    }

    /// Puts a value at a path; the body must be JSON.
    pub fn put(&mut self, path: &SingularPath, value: Value) -> Result<(), String> {
        if self.changed.is_none() {
            let parsed = serde_json::from_slice(self.original).map_err(|error| {
                format!("this sender writes `{path}` into the body, which is not JSON: {error}")
            })?;
            self.changed = Some(parsed);
        }
        let put = self.changed.as_mut().is_some_and(|body| path.put(body, value));
        if put {
            Ok(())
        } else {
            Err(format!("the body has no place for `{path}`"))
        }
    }

    /// The bytes as they are now.
    pub fn bytes(&self) -> Cow<'d, [u8]> {
        match &self.changed {
            Some(value) => Cow::Owned(value.to_string().into_bytes()),
            None => Cow::Borrowed(self.original),
        }
    }

    /// The other body, if something was put into it.
    pub fn changed(self) -> Option<Vec<u8>> {
        self.changed.map(|value| value.to_string().into_bytes())
    }
}
