//! Verification of requests: authenticity and freshness.
//!
//! A [`Verification`] is compiled from the value of `verify:`. From the received bytes it returns a
//! [`Proof`] or a [`Refusal`], and panics on no input. The module reads no clock:
//! [`Proof::freshness`] takes the time as an argument. It keeps no state: the store remembers the
//! dedup keys.
//!
//! To add a sender, add a row to `scheme/presets/rows.rs`. To add a handshake, add a row to
//! `handshake/rows.rs`.

mod catalogue;
mod handshake;
mod mode;
mod proof;
mod recognition;
mod refusal;
mod scheme;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::base::clock::Timestamp;
use crate::base::diagnostic::Diagnostics;
use crate::base::yaml::{Node, unknown};
use crate::event::Received;
pub use crate::verify::catalogue::{SchemeEntry, catalogue, table};
use crate::verify::handshake::Handshake;
pub use crate::verify::handshake::{HandshakeReply, NewSecret};
use crate::verify::mode::{Beside, Mode};
pub use crate::verify::proof::{DedupKey, Proof, SentAt};
pub use crate::verify::recognition::{ReadHeader, Reads, Recognition};
pub use crate::verify::refusal::Refusal;
pub use crate::verify::scheme::SchemeContext;
use crate::verify::scheme::presets::{EventAt, PRESETS, Preset};
use crate::verify::scheme::{GENERIC, Scheme};

/// Default replay window of schemes without a timestamp. Their dedup keys are remembered this long.
const DAY: Duration = Duration::from_hours(24);

pub struct Verification {
    name: &'static str,
    scheme: Scheme,
    event: Option<EventName>,
    siblings: Vec<HeaderName>,
    handshake: Option<Handshake>,
    mode: Mode,
}

/// Location of the sender's event name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventName {
    Header(HeaderName),
    /// `JSONPath` into the payload.
    Payload(&'static str),
    /// The first of these locations that has a value.
    Either(Vec<Self>),
}

impl EventName {
    /// Converts a row of the preset table.
    fn of(at: &EventAt) -> Option<Self> {
        match at {
            EventAt::Header(name) => HeaderName::from_bytes(name.as_bytes()).ok().map(Self::Header),
            EventAt::Payload(path) => Some(Self::Payload(path)),
            EventAt::Either(places) => Some(Self::Either(places.iter().filter_map(Self::of).collect())),
        }
    }
}

/// Request that is to be signed.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingRequest<'d> {
    pub method: &'d Method,
    /// Complete URL, in the form in which a sender signs it.
    pub url: &'d str,
    /// Headers so far. The signed content may include one of them.
    pub headers: &'d HeaderMap,
    pub body: &'d [u8],
    /// Time of sending.
    pub at: Timestamp,
    /// Id of the request, for schemes that have one.
    pub id: &'d str,
    /// If true, a timestamp that the body already contains is overwritten.
    pub restamp: bool,
}

/// Additions of a sender to an [`OutgoingRequest`].
#[derive(Debug, Default)]
pub struct Signed {
    /// Headers. Each replaces the header of that name in the draft.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Parameters, appended to the query.
    pub query: Vec<(String, String)>,
    /// New body, if part of the proof is in the body.
    pub body: Option<Vec<u8>>,
}

impl Signed {
    /// Returns the draft's URL with the parameters appended to its query.
    pub fn url(&self, url: &str) -> String {
        let (url, fragment) = url
            .split_once('#')
            .map_or((url, None), |(url, rest)| (url, Some(rest)));
        let mut whole = url.to_owned();
        for (name, value) in &self.query {
            whole.push(if whole.contains('?') { '&' } else { '?' });
            let escaped = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            whole.push_str(&escaped(name));
            whole.push('=');
            whole.push_str(&escaped(value));
        }
        if let Some(fragment) = fragment {
            whole.push('#');
            whole.push_str(fragment);
        }
        whole
    }
}

pub fn schemes() -> impl Iterator<Item = &'static str> {
    let presets = PRESETS.iter().map(|preset| preset.name);
    presets.chain(GENERIC)
}

impl Verification {
    /// Compiles the value of `verify:`, which is `none` or a mapping with one scheme and an
    /// optional `mode`.
    ///
    /// Adds all errors to `diagnostics`. The result may be used only if `diagnostics` holds no
    /// error.
    pub fn compile(
        node: Node<'_>,
        scheme_context: &SchemeContext<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        if node.as_str() == Some("none") {
            return Some(Self::new(
                "none",
                Scheme::None(Vec::new(), scheme_context.max_body),
            ));
        }
        let Beside { schemes, mode } = Beside::read(node, diagnostics);
        let (name, settings) = one_scheme(node, &schemes, diagnostics)?;
        let scheme = Scheme::compile(name, settings, scheme_context, diagnostics);
        let by_default = Preset::named(name).and_then(|preset| preset.handshake);
        // Compiled even if the scheme has errors, so that all errors are reported at once.
        let handshake = handshake::compile(
            settings,
            by_default,
            scheme.as_ref(),
            scheme_context.keyring,
            diagnostics,
        );
        Some(Self {
            handshake,
            mode,
            ..Self::new(name, scheme?)
        })
    }

    /// Returns the documented body limit of the sender that `verify:` names, if it exceeds our
    /// default.
    pub fn largest_body(node: Node<'_>) -> Option<u64> {
        let presets = node.entries().into_iter().map(|(name, _)| Preset::named(name));
        presets.flatten().find_map(|preset| preset.max_body)
    }

    fn new(name: &'static str, scheme: Scheme) -> Self {
        let preset = Preset::named(name);
        let header = |name: &str| HeaderName::from_bytes(name.as_bytes()).ok();
        let siblings = preset.map_or([].as_slice(), |preset| preset.siblings);
        Self {
            name,
            scheme,
            event: preset.and_then(|preset| EventName::of(preset.event.as_ref()?)),
            siblings: siblings.iter().filter_map(|name| header(name)).collect(),
            handshake: None,
            mode: Mode::default(),
        }
    }

    /// Verifies that a request is genuine. Freshness is checked by [`Proof::freshness`].
    pub fn prove(&self, received: &Received) -> Result<Proof, Refusal> {
        if let Some(handshake) = &self.handshake {
            handshake.admit(received)?;
        }
        self.scheme.prove(received)
    }

    /// Returns true if verification reads the body, so that the body is read before the request is
    /// trusted.
    pub fn reads_unverified(&self) -> bool {
        self.scheme.reads_unverified()
    }

    /// Returns the source of each secret, as the rules file names it, and the end of its validity.
    pub fn secrets(&self) -> Vec<(Arc<str>, Option<Timestamp>)> {
        self.scheme.secrets()
    }

    /// Name of the scheme as written in the rules file: `github`, `hmac`, `none`.
    pub fn scheme(&self) -> &'static str {
        self.name
    }

    /// Returns true if refused requests are accepted and marked (`mode: observe`).
    pub fn observes(&self) -> bool {
        self.mode == Mode::Observe
    }

    /// Returns true if nothing is verified.
    pub fn is_none(&self) -> bool {
        matches!(self.scheme, Scheme::None(..))
    }

    /// Replay window of the scheme: the sender's tolerance if there is a timestamp, otherwise a
    /// day.
    pub fn default_window(&self) -> Duration {
        self.scheme.default_window().unwrap_or(DAY)
    }

    /// Returns true if the sender may sign identical content for a new event. The signed content
    /// then has neither a timestamp nor an id, or the sender is known to repeat it.
    pub fn may_repeat(&self) -> bool {
        let known = Preset::named(self.name).is_none_or(|preset| preset.repeats);
        known && self.scheme.signs_content_alone()
    }

    /// Returns the handshake that gives any client MACs under this secret, if there is one.
    pub fn tells_strangers(&self) -> Option<&'static str> {
        self.handshake.as_ref().and_then(Handshake::tells_strangers)
    }

    /// Returns true if a MAC that the handshake of `other` gives to any client would be a valid
    /// signature here. The secret is then the same, and such a token can be the whole signed
    /// content.
    pub fn believes(&self, other: &Self) -> bool {
        // If this verification answers the same handshake, it refuses bodies that could be such a
        // token.
        self.tells_strangers().is_none() && self.scheme.shares_tokens_with(&other.scheme)
    }

    /// Describes the bytes by which a verified event is recognised.
    pub fn recognised_by(&self) -> String {
        self.scheme.recognised_by()
    }

    /// Value of `WWW-Authenticate` for a refusal.
    ///
    /// Present if the scheme asks for credentials, or if the sender requires a 401 for bad
    /// signatures.
    pub fn challenge(&self) -> Option<&'static str> {
        let handshake = self.handshake.as_ref();
        self.scheme
            .challenge()
            .or_else(|| handshake.and_then(Handshake::challenge))
    }

    /// Location of the sender's event name.
    pub fn event_name(&self) -> Option<&EventName> {
        self.event.as_ref()
    }

    /// Headers that carry the sender's signature or secret. They are never forwarded or logged.
    pub fn credential_headers(&self) -> Vec<HeaderName> {
        let mut headers = self.scheme.credential_headers();
        headers.extend(self.siblings.iter().cloned());
        headers
    }

    /// All headers of the sender's signature: [`Self::credential_headers`] plus those of timestamps
    /// and ids.
    pub fn own_headers(&self) -> Vec<HeaderName> {
        let mut headers = self.credential_headers();
        headers.extend(self.scheme.stamp_headers());
        headers
    }

    /// Query parameter that carries the sender's secret. It is never stored, forwarded or logged.
    pub fn credential_query(&self) -> Option<&str> {
        self.scheme.credential_query()
    }

    /// Returns true if the configured keys can also sign.
    pub fn can_sign(&self) -> bool {
        self.scheme.can_sign()
    }

    /// Signs a request as the sender would, with the first secret. Returns the additions.
    pub fn sign(&self, draft: &OutgoingRequest<'_>) -> Result<Signed, String> {
        self.scheme.sign(draft)
    }
}

impl fmt::Debug for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verification")
            .field("name", &self.name)
            .field("scheme", &self.scheme)
            .finish_non_exhaustive()
    }
}

/// Returns the one scheme that a mapping names, and its settings.
fn one_scheme<'d>(
    node: Node<'d>,
    entries: &[(&'d str, Node<'d>)],
    diagnostics: &mut Diagnostics,
) -> Option<(&'static str, Node<'d>)> {
    const EXAMPLE: &str =
        "write `verify: {github: env:GITHUB_SECRET}`, or `verify: none` to accept every request";
    let known = |typed: &str| schemes().find(|name| *name == typed);
    if let Some(typed) = node.as_str() {
        diagnostics.push(if known(typed).is_some() {
            node.error("missing-key", format!("`{typed}` needs a secret"))
                .hint(format!("write `verify: {{{typed}: env:NAME}}`"))
        } else {
            unknown(node.origin(), "unknown-scheme", "scheme", typed, schemes())
        });
        return None;
    }
    let [(typed, settings)] = entries else {
        let names: Vec<String> = entries.iter().map(|(name, _)| format!("`{name}`")).collect();
        let message = if names.is_empty() {
            "`verify` names no scheme".to_owned()
        } else {
            // Two schemes would mean "or", which is only as strong as the weaker scheme.
            format!(
                "`verify` names one scheme, not {}: {}",
                names.len(),
                names.join(", ")
            )
        };
        diagnostics.push(node.error("one-scheme", message).hint(EXAMPLE));
        return None;
    };
    let Some(name) = known(typed) else {
        diagnostics.push(unknown(
            settings.key_origin(),
            "unknown-scheme",
            "scheme",
            typed,
            schemes(),
        ));
        return None;
    };
    Some((name, *settings))
}
