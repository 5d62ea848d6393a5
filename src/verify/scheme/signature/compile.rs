//! Compiler from settings to a [`Signature`].
//!
//! [`CoverageCheck`] checks that the settings are consistent.

use super::content::{Content, ContentError, Piece, TOKENS};
use super::coverage::CoverageCheck;
use super::key_settings::keys;
use super::kind::Kind;
use super::settings::SignatureSettings;
use super::{IdSource, Signature};
use crate::base::diagnostic::Diagnostics;
use crate::base::yaml::unknown;
use crate::verify::context::SchemeContext;
use crate::verify::parts::settings::Settings;
use crate::verify::parts::source::{self, Location, TimestampSource};

/// Compiles the settings of `hmac`, `ed25519` or `ecdsa_p256`. Reports all errors.
pub fn compile(
    kind: Kind,
    settings: &Settings<'_>,
    scheme_context: &SchemeContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Signature> {
    let read = SignatureSettings::read(kind, settings, diagnostics)?;
    let keys = keys(settings, &read, scheme_context, diagnostics);
    let mut content = template(settings, &read.content, diagnostics)?;
    if let Some(TimestampSource { place, .. }) = &read.timestamp {
        rename(&mut content, place, &Piece::Timestamp);
    }
    if let Some(place) = read.ids.first() {
        rename(&mut content, place, &Piece::Id);
    }
    let takes_any_secret = read.takes_any_secret();
    let place = read.place?;
    let judged = CoverageCheck {
        settings,
        content: &content,
        signature: &place,
        timestamp: read.timestamp.as_ref(),
        ids: &read.ids,
        has_items: read.separator.is_some(),
    };
    let stamp = read.timestamp.as_ref().map(|source| &source.place);
    let places = [Some(&place), stamp].into_iter().flatten().chain(&read.ids);
    let plan = source::plan(places.filter_map(|place| match place {
        Location::Json(path) => Some(path),
        _ => None,
    }));
    let (timestamp_signed, ids_signed) = judged.judge(scheme_context, diagnostics);
    let ids = read.ids.into_iter().zip(ids_signed);
    let ids = ids.map(|(place, signed)| IdSource { place, signed }).collect();
    Some(Signature {
        keys: keys?,
        place,
        encoding: read.encoding,
        prefix: read.prefix,
        separator: read.separator,
        timestamp_signed,
        keyed_by_content: scheme_context.beside_others,
        takes_any_secret,
        forbidden_in_id: content.forbidden_in_id().unwrap_or_default(),
        form_field: read.form_field,
        public_url: scheme_context
            .public_url
            .unwrap_or_default()
            .trim_end_matches('/')
            .to_owned(),
        window: read.window,
        unverified: scheme_context.unverified(),
        plan,
        content,
        timestamp: read.timestamp,
        ids,
    })
}

fn template(settings: &Settings<'_>, text: &str, diagnostics: &mut Diagnostics) -> Option<Content> {
    let at = settings.at("content");
    match Content::parse(text) {
        Ok(content) => return Some(content),
        Err(ContentError::Unknown(name)) => {
            diagnostics.push(unknown(at.origin(), "unknown-token", "token", &name, TOKENS));
        }
        Err(ContentError::Other(message)) => diagnostics.push(at.error("content", message)),
    }
    None
}

/// Treats the header of the timestamp or the id in the content as `piece`, so that it counts as
/// covered.
fn rename(content: &mut Content, place: &Location, piece: &Piece) {
    if let Location::Headers(names) = place
        && let [name] = names.as_slice()
    {
        content.name(name, piece);
    }
}
