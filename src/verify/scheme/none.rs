//! No verification: `none`. Optional ids identify events.

use serde::de::IgnoredAny;

use super::Scheme;
use crate::base::diagnostic::Diagnostics;
use crate::event::Received;
use crate::verify::context::SchemeContext;
use crate::verify::outgoing::{OutgoingRequest, Signed};
use crate::verify::parts::places;
use crate::verify::parts::settings::{Settings, shape};
use crate::verify::parts::source::Location;
use crate::verify::parts::unsigned::{ids_in_words, proof, sign_id};
use crate::verify::proof::Proof;
use crate::verify::refusal::Refusal;

/// Compiled `none`.
#[derive(Debug)]
pub struct NoScheme {
    ids: Vec<Location>,
    /// Maximum size of a body that is parsed for an id, in bytes.
    max_body: u64,
}

shape! {
    /// Settings of `none`.
    NoneShape {
        /// Location of the id that identifies an event.
        id: IgnoredAny,
    }
}

impl NoScheme {
    pub fn compile(
        settings: &Settings<'_>,
        scheme_context: &SchemeContext<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        if let Some(node) = settings.short().filter(|node| !node.value().is_null()) {
            node.read::<NoneShape>(diagnostics)?;
        }
        settings.read::<NoneShape>(diagnostics)?;
        Some(Self {
            ids: places::ids(settings, diagnostics),
            max_body: scheme_context.max_body,
        })
    }
}

impl Scheme for NoScheme {
    fn prove(&self, received: &Received) -> Result<Proof, Refusal> {
        proof(&self.ids, received, self.max_body, None)
    }

    fn sign(&self, draft: &OutgoingRequest<'_>) -> Result<Signed, String> {
        sign_id(&self.ids, draft)
    }

    fn recognised_by(&self) -> String {
        ids_in_words(&self.ids)
    }

    fn is_none(&self) -> bool {
        true
    }
}
