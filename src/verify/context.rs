//! Context in which a scheme is compiled.

use super::definitions::Definitions;
use super::parts::source::Unverified;
use crate::base::secret::Keyring;

/// Inputs for compiling a scheme.
#[derive(Clone, Copy)]
pub struct SchemeContext<'s> {
    /// Reader of the secrets.
    pub keyring: &'s Keyring,
    /// Schemes by name.
    pub schemes: &'s Definitions<'s>,
    /// URL that senders call, for schemes that sign it.
    pub public_url: Option<&'s str>,
    /// Maximum size of a body that is parsed, in bytes.
    pub max_body: u64,
    /// If true, a compressed body may be decompressed before the request is verified.
    pub decompress_unverified: bool,
    /// True for an alternative: the same content may arrive with the proof of another one.
    pub beside_others: bool,
}

impl SchemeContext<'_> {
    /// Limits for reading an unverified body.
    pub(super) fn unverified(&self) -> Unverified {
        Unverified {
            max_body: self.max_body,
            decompress: self.decompress_unverified,
        }
    }
}
