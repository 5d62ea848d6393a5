//! Checks of a compiled scheme: the parts that its signature covers, and settings that contradict
//! each other.
//!
//! An unsigned timestamp or id gives no protection. It causes a warning at load and is never relied
//! on.

use super::content::{Content, Piece};
use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::yaml::Node;
use crate::verify::context::SchemeContext;
use crate::verify::parts::settings::Settings;
use crate::verify::parts::source::{Location, TimestampSource};

/// Settings that must be consistent.
pub struct CoverageCheck<'j> {
    /// Settings of the scheme.
    pub settings: &'j Settings<'j>,
    /// Signed content.
    pub content: &'j Content,
    /// Location of the signature. Has one header per family.
    pub signature: &'j Location,
    /// Location of the timestamp.
    pub timestamp: Option<&'j TimestampSource>,
    /// Locations of the ids.
    pub ids: &'j [Location],
    /// True if the signature is an item of a list.
    pub has_items: bool,
}

impl CoverageCheck<'_> {
    /// Reports inconsistent settings. Returns whether the timestamp is signed, and which of the ids
    /// are.
    pub fn judge(
        &self,
        scheme_context: &SchemeContext<'_>,
        diagnostics: &mut Diagnostics,
    ) -> (bool, Vec<bool>) {
        if self.content.covers_url() && scheme_context.public_url.is_none() {
            diagnostics.push(
                self.at("content")
                    .error(
                        "missing-public-url",
                        "the URL is signed, and `server.public_url` is not set",
                    )
                    .hint("the URL is never taken from the request: say which one the sender calls"),
            );
        }
        if self.content.covers_body() && self.signature.is_in_body() {
            let message = "the signature stands in the body, so it cannot have been made over it";
            diagnostics.push(self.at("content").error("unverified-body", message));
        } else if !self.content.covers_body() {
            let message = "the content does not cover the body: one genuine signature lets any body in";
            diagnostics.push(self.at("content").warning("unsigned-body", message));
        }
        self.judge_names(diagnostics);
        if let Some(TimestampSource {
            place: Location::Item(_),
            ..
        }) = self.timestamp
            && !self.has_items
        {
            let message = "the timestamp is an item beside the signature, and `separator` is not set";
            diagnostics.push(self.at("timestamp").error("missing-separator", message));
        }
        let timestamp = self.timestamp.map(|source| &source.place);
        let timestamp_signed = self.judge_place("timestamp", timestamp, &Piece::Timestamp, diagnostics);
        if self.content.covers(&Piece::Id) && self.ids.len() > 1 {
            let message = "the content has `{id}`, and `id` says several places where it may stand";
            let diagnostic = self.at("id").error("ambiguous-place", message);
            diagnostics.push(diagnostic.hint("name the one place whose text is signed"));
        }
        let mut ids_signed = self.ids_signed(diagnostics);
        if ids_signed.contains(&true) && self.content.forbidden_in_id().is_none() {
            diagnostics.push(
                self.at("content")
                    .warning(
                        "unmarked-id",
                        "nothing marks where `{id}` begins or ends, so events are not recognised by it",
                    )
                    .hint("the signature itself is remembered instead"),
            );
            ids_signed.fill(false);
        }
        (timestamp_signed, ids_signed)
    }

    /// Returns for each id whether it is signed.
    fn ids_signed(&self, diagnostics: &mut Diagnostics) -> Vec<bool> {
        if self.ids.is_empty() {
            self.judge_place("id", None, &Piece::Id, diagnostics);
        }
        let mut judged = |place| self.judge_place("id", Some(place), &Piece::Id, diagnostics);
        self.ids.iter().map(&mut judged).collect()
    }

    /// Checks that each timestamp and id has one header per family, or one for all.
    fn judge_names(&self, diagnostics: &mut Diagnostics) {
        let families = match self.signature {
            Location::Headers(names) => names.len(),
            _ => 1,
        };
        let timestamp = self.timestamp.map(|source| &source.place);
        let ids = self.ids.iter().map(|place| ("id", place));
        for (field, place) in timestamp.map(|place| ("timestamp", place)).into_iter().chain(ids) {
            if let Location::Headers(names) = place
                && names.len() != 1
                && names.len() != families
            {
                let message = format!(
                    "`{field}` has {} headers where `header` has {families}",
                    names.len()
                );
                diagnostics.push(self.at(field).error("families", message).hint(format!(
                    "write one header for `{field}`, or one for each of `header`"
                )));
            }
        }
    }

    /// Returns whether the text at `place` is signed. Reports an unsigned text, and a content that
    /// needs a text without a location.
    fn judge_place(
        &self,
        field: &str,
        place: Option<&Location>,
        piece: &Piece,
        diagnostics: &mut Diagnostics,
    ) -> bool {
        let covered = self.content.covers(piece);
        match place {
            None if covered => {
                let message =
                    format!("the content has `{{{field}}}`, and `{field}` does not say where it stands");
                diagnostics.push(
                    self.at("content")
                        .error("missing-key", message)
                        .hint(format!("add `{field}: {{header: NAME}}`")),
                );
                false
            }
            None => false,
            // A text in a signed body is covered through `{body}`, and is readable only after
            // verification.
            Some(Location::Json(_)) if covered && self.content.covers_body() => {
                let message = format!("`{{{field}}}` cannot be read from a body that is not verified yet");
                diagnostics.push(
                    self.at("content")
                        .error("unverified-body", message)
                        .hint(format!("leave `{{{field}}}` out: `{{body}}` covers it")),
                );
                false
            }
            Some(Location::Json(_)) if self.content.covers_body() => true,
            Some(_) if covered => true,
            Some(_) => {
                diagnostics.push(self.unsigned(field));
                false
            }
        }
    }

    fn unsigned(&self, field: &str) -> Diagnostic {
        let (message, hint) = if field == "timestamp" {
            (
                "the signature does not cover the timestamp: a captured event can be sent again with a new one",
                "it narrows what is fresh, and the signature is remembered; where the sender signs it, add `{timestamp}` to `content`",
            )
        } else {
            (
                "the signature does not cover the id: events are not recognised by it",
                "the signature itself is remembered instead; where the sender signs the id, add `{id}` to `content`",
            )
        };
        let code = if field == "timestamp" {
            "unsigned-timestamp"
        } else {
            "unsigned-id"
        };
        self.at(field).warning(code, message).hint(hint)
    }

    fn at(&self, key: &str) -> Node<'_> {
        self.settings.at(key)
    }
}
