//! Is it genuine and fresh?
//!
//! A [`Verification`] is compiled from the value of `verify:` and judges what was received: [`Proof`] or
//! [`Refusal`]. It looks at the bytes as they arrived, knows no time (freshness is asked of the proof, with the time
//! passed in) and remembers nothing (nonces are the store's). Whatever the bytes are, it answers, and does not panic.
//!
//! To add a sender, add a row to `scheme/presets/rows.rs`; to add a handshake, one to `handshake/rows.rs`.

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

/// The replay window of a scheme that has no timestamp: how long its nonces are remembered.
const DAY: Duration = Duration::from_hours(24);

/// A compiled `verify:`.
pub struct Verification {
    name: &'static str,
    scheme: Scheme,
    event: Option<EventName>,
    siblings: Vec<HeaderName>,
    handshake: Option<Handshake>,
    mode: Mode,
}

/// Where a sender's event name stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventName {
    /// In this header.
    Header(HeaderName),
    /// At this `JSONPath` of the payload.
    Payload(&'static str),
    /// At the first of these places where there is anything.
    Either(Vec<Self>),
}

impl EventName {
    /// Out of a row of data.
    fn of(at: &EventAt) -> Option<Self> {
        match at {
            EventAt::Header(name) => HeaderName::from_bytes(name.as_bytes()).ok().map(Self::Header),
            EventAt::Payload(path) => Some(Self::Payload(path)),
            EventAt::Either(places) => Some(Self::Either(places.iter().filter_map(Self::of).collect())),
        }
    }
}

/// A request that is to be signed.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingRequest<'d> {
    /// The method.
    pub method: &'d Method,
    /// The whole URL, as a sender that signs it would write it.
    pub url: &'d str,
    /// The headers so far; a content may name one of them.
    pub headers: &'d HeaderMap,
    /// The raw body.
    pub body: &'d [u8],
    /// When it is sent.
    pub at: Timestamp,
    /// Its id, for schemes that have one.
    pub id: &'d str,
    /// Whether a timestamp that stands in the body already is written anew.
    pub restamp: bool,
}

/// What a sender would add to a [`OutgoingRequest`].
#[derive(Debug, Default)]
pub struct Signed {
    /// Headers, each in place of what the draft has under its name.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Parameters, at the end of the query.
    pub query: Vec<(String, String)>,
    /// Another body, where something of the proof stands in it.
    pub body: Option<Vec<u8>>,
}

impl Signed {
    /// The draft's URL with what is added to its query.
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

/// The names of all schemes.
pub fn schemes() -> impl Iterator<Item = &'static str> {
    let presets = PRESETS.iter().map(|preset| preset.name);
    presets.chain(GENERIC)
}

impl Verification {
    /// Compiles the value of `verify:`: `none`, or a mapping with one scheme and perhaps a `mode`. Everything that is wrong
    /// with it is added to `diagnostics`; what it returns may be used only if they hold no error.
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
        // Also where the scheme is at fault, so that all faults are found at once.
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

    /// The largest body that the sender named in a value of `verify:` sends, where its documents say so and it is over our
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

    /// Whether what was received is genuine, and what it then proves. Says nothing about freshness.
    pub fn prove(&self, received: &Received) -> Result<Proof, Refusal> {
        if let Some(handshake) = &self.handshake {
            handshake.admit(received)?;
        }
        self.scheme.prove(received)
    }

    /// Whether the body must be read before the request is known to be genuine.
    pub fn reads_unverified(&self) -> bool {
        self.scheme.reads_unverified()
    }

    /// Where each of its secrets comes from, as the rules file names it, and until when it counts.
    pub fn secrets(&self) -> Vec<(Arc<str>, Option<Timestamp>)> {
        self.scheme.secrets()
    }

    /// The scheme as it was written: `github`, `hmac`, `none`.
    pub fn scheme(&self) -> &'static str {
        self.name
    }

    /// Whether what it refuses is let in all the same, and marked (`mode: observe`).
    pub fn observes(&self) -> bool {
        self.mode == Mode::Observe
    }

    /// Whether nothing is verified.
    pub fn is_none(&self) -> bool {
        matches!(self.scheme, Scheme::None(..))
    }

    /// The scheme's own replay window: the sender's tolerance where there is a timestamp, else a day.
    pub fn default_window(&self) -> Duration {
        self.scheme.default_window().unwrap_or(DAY)
    }

    /// Whether its sender may sign the very same content for a new event: it signs what it likes, and neither a time nor an id;
    /// or it is known to.
    pub fn may_repeat(&self) -> bool {
        let known = Preset::named(self.name).is_none_or(|preset| preset.repeats);
        known && self.scheme.signs_content_alone()
    }

    /// The handshake by which strangers are told MACs under its secret, if there is one.
    pub fn tells_strangers(&self) -> Option<&'static str> {
        self.handshake.as_ref().and_then(Handshake::tells_strangers)
    }

    /// Whether what `other` tells strangers would be a signature here: the secret is the same, and a token that `other` signs
    /// can be all that is signed here.
    pub fn believes(&self, other: &Self) -> bool {
        // Where the same handshake is answered, a body that could be such a token is refused.
        self.tells_strangers().is_none() && self.scheme.shares_tokens_with(&other.scheme)
    }

    /// By what its events are recognised, in words, of a request that has proved this.
    pub fn recognised_by(&self) -> String {
        self.scheme.recognised_by()
    }

    /// The value of `WWW-Authenticate` for a refusal, where the scheme asks for credentials or the sender wants to see
    /// that its bad signatures are refused by 401.
    pub fn challenge(&self) -> Option<&'static str> {
        let handshake = self.handshake.as_ref();
        self.scheme
            .challenge()
            .or_else(|| handshake.and_then(Handshake::challenge))
    }

    /// Where the sender's event name stands.
    pub fn event_name(&self) -> Option<&EventName> {
        self.event.as_ref()
    }

    /// The headers that carry the sender's signature or secret: never forwarded, never logged.
    pub fn credential_headers(&self) -> Vec<HeaderName> {
        let mut headers = self.scheme.credential_headers();
        headers.extend(self.siblings.iter().cloned());
        headers
    }

    /// All headers in which this sender says something about its signature: those of [`Self::credential_headers`], and those of
    /// timestamps and ids.
    pub fn own_headers(&self) -> Vec<HeaderName> {
        let mut headers = self.credential_headers();
        headers.extend(self.scheme.stamp_headers());
        headers
    }

    /// The name in the query that carries the sender's secret: not kept, not forwarded, not logged.
    pub fn credential_query(&self) -> Option<&str> {
        self.scheme.credential_query()
    }

    /// Whether it can sign, and not only verify.
    pub fn can_sign(&self) -> bool {
        self.scheme.can_sign()
    }

    /// Signs a request as the sender would, with the first secret: what to add to it.
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

/// The one scheme that a mapping names, and its settings.
fn one_scheme<'d>(
    node: Node<'d>,
    entries: &[(&'d str, Node<'d>)],
    diagnostics: &mut Diagnostics,
) -> Option<(&'static str, Node<'d>)> {
    const EXAMPLE: &str =
        "write `verify: {github: env:GITHUB_SECRET}`, or `verify: none` to let everybody in";
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
            // Two would be an `or`, and the weaker of them would decide.
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
