//! Verification of requests: authenticity and freshness.
//!
//! A [`Verification`] is compiled from the value of `verify:`. From the received bytes it returns a
//! [`Proof`] or a [`Refusal`], and panics on no input. The module reads no clock:
//! [`Proof::freshness`] takes the time as an argument. It keeps no state: the store remembers the
//! dedup keys.
//!
//! The map in `lib.rs` says where to add a sender, a handshake or a family of schemes.

mod alternatives;
mod catalogue;
mod context;
mod definitions;
mod event_name;
mod handshake;
mod mode;
mod outgoing;
mod parts;
mod presets;
mod proof;
mod recognition;
mod refusal;
mod scheme;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use crate::base::clock::Timestamp;
use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::units::Size;
use crate::base::written::Written;
use crate::base::yaml::{Node, unknown};
use crate::event::Received;
pub use crate::verify::alternatives::{Alternatives, handshake_conflict};
pub use crate::verify::catalogue::{
    PresetDefinition, SchemeEntry, catalogue, definition, preset_settings, secret_key, table,
};
pub use crate::verify::context::SchemeContext;
pub use crate::verify::definitions::Definitions;
pub use crate::verify::definitions::built_in as schemes;
pub use crate::verify::event_name::EventName;
use crate::verify::handshake::Handshake;
pub use crate::verify::handshake::{HandshakeReply, NewSecret};
use crate::verify::mode::Beside;
pub use crate::verify::mode::Mode;
pub use crate::verify::outgoing::{OutgoingRequest, Signed};
use crate::verify::parts::mac::Mac;
use crate::verify::parts::places;
use crate::verify::parts::settings::Settings;
pub use crate::verify::proof::{Proof, SentAt};
pub use crate::verify::recognition::{Reads, Recognition};
pub use crate::verify::refusal::{REASONS, Refusal};
use crate::verify::scheme::{Scheme, compile};

/// Default replay window of schemes without a timestamp. Their dedup keys are remembered this long.
const DAY: Duration = Duration::from_hours(24);

pub struct Verification {
    name: Arc<str>,
    family: &'static str,
    scheme: Box<dyn Scheme>,
    event: Option<EventName>,
    /// Other headers with credentials of the sender.
    withheld: Vec<HeaderName>,
    /// True if the sender may send identical content for several events.
    repeats: bool,
    handshake: Option<Handshake>,
    mode: Mode,
    /// All settings.
    written: Written,
}

impl Verification {
    /// Compiles the value of `verify:`, which is `none`, the name of a complete scheme, or a
    /// mapping with one scheme and an optional `mode`. [`Alternatives`] reads `any`.
    ///
    /// Adds all errors to `diagnostics`. The result may be used only if `diagnostics` holds no
    /// error.
    pub fn compile(
        node: Node<'_>,
        context: &SchemeContext<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        if let Some(any) = node.get(alternatives::KEY) {
            let message = "`any` has no meaning here: a request is signed by one scheme";
            diagnostics.push(Diagnostic::error(any.key_origin(), "one-scheme", message));
            return None;
        }
        let Beside { schemes, mode } = Beside::read(node, context.schemes, diagnostics);
        let (name, settings) = one_scheme(node, &schemes, context.schemes, diagnostics)?;
        let mut found = Diagnostics::new();
        let compiled = Self::of(name, settings, context, &mut found);
        diagnostics.extend(context.schemes.not_known(name, &found));
        Some(Self { mode, ..compiled? })
    }

    /// Compiles one of several alternatives, with the mode that holds for all of them.
    pub fn compile_alternative(
        node: Node<'_>,
        mode: Option<Mode>,
        context: &SchemeContext<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let context = SchemeContext {
            beside_others: mode.is_some(),
            ..*context
        };
        let compiled = Self::compile(node, &context, diagnostics)?;
        Some(Self {
            mode: mode.unwrap_or(compiled.mode),
            ..compiled
        })
    }

    /// Compiles the scheme `name` with the settings of its use.
    fn of(
        name: &str,
        settings: Settings<'_>,
        context: &SchemeContext<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let (family, settings) = context.schemes.resolve(name, settings)?;
        let written = Written::of((name, family, context.public_url, &settings));
        let scheme = compile::compile(family, &settings, context, diagnostics);
        // Compiled even if the scheme has errors, so that all errors are reported at once.
        let handshake = handshake::compile(&settings, scheme.as_deref(), context, diagnostics);
        let event = EventName::read(&settings, diagnostics);
        let withheld = settings.given("withhold");
        let withheld = withheld.and_then(|node| places::header_names(node, diagnostics));
        // Of a preset it is known, and of any other sender it is not.
        let repeats = settings.given("repeats").and_then(|node| node.value().as_bool());
        Some(Self {
            name: name.into(),
            family,
            scheme: scheme?,
            event,
            withheld: withheld.unwrap_or_default(),
            repeats: repeats.unwrap_or_else(|| !settings.has_preset()),
            handshake,
            mode: Mode::default(),
            written,
        })
    }

    /// True if `other` is written in the same way: the same scheme with the same settings and the
    /// same sources of secrets. The secrets themselves are not compared.
    pub fn is_written_like(&self, other: &Self) -> bool {
        self.written == other.written && self.mode == other.mode
    }

    /// Returns the documented body limit of the sender that `verify:` names, if it exceeds our
    /// default.
    pub fn largest_body(node: Node<'_>, schemes: &Definitions<'_>) -> Option<u64> {
        let limit = |(name, settings)| {
            let (_, settings) = schemes.resolve(name, Settings::of(name, settings))?;
            settings.given("max_body")?.read::<Size>(&mut Diagnostics::new())
        };
        let entries = match node.as_str() {
            Some(name) => vec![(name, node)],
            None => node.entries(),
        };
        entries.into_iter().find_map(limit).map(|limit| limit.0)
    }

    /// Checks the definitions of a rules file. What is missing in them may be given by their use.
    pub fn check_definitions(context: &SchemeContext<'_>, diagnostics: &mut Diagnostics) {
        for (name, settings) in context.schemes.checks() {
            let mut found = Diagnostics::new();
            Self::of(name, settings, context, &mut found);
            diagnostics.extend(context.schemes.know(name, &found));
        }
        context.schemes.forget_uses();
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
    pub fn scheme(&self) -> &Arc<str> {
        &self.name
    }

    /// Family of the scheme: `hmac` for `github`.
    pub fn family(&self) -> &'static str {
        self.family
    }

    /// Returns true if refused requests are accepted and marked (`mode: observe`).
    pub fn observes(&self) -> bool {
        self.mode == Mode::Observe
    }

    /// Returns true if nothing is verified.
    pub fn is_none(&self) -> bool {
        self.scheme.is_none()
    }

    /// Replay window of the scheme: the sender's tolerance if there is a timestamp, otherwise a
    /// day.
    pub fn default_window(&self) -> Duration {
        self.scheme.default_window().unwrap_or(DAY)
    }

    /// Returns true if a request that carries the proof of `other` may carry that of this
    /// verification too, by the same secret, but without a signed time. A client that has captured
    /// such a request could remove the other proof, and so the time.
    pub fn weakens(&self, other: &Self) -> bool {
        let named = |one: &Self| -> Vec<Arc<str>> {
            let secrets = one.scheme.secrets().into_iter();
            secrets
                .map(|(source, _)| source)
                .filter(|source| source.contains(':'))
                .collect()
        };
        let others = named(other);
        let shares = || {
            named(self).iter().any(|source| others.contains(source))
                || share_a_secret(&*self.scheme, &*other.scheme)
        };
        other.scheme.signs_time() && !self.scheme.signs_time() && shares()
    }

    /// Returns true if the sender may sign identical content for a new event. The signed content
    /// then has neither a timestamp nor an id, or the sender is known to repeat it.
    pub fn may_repeat(&self) -> bool {
        self.repeats && self.scheme.signs_content_alone()
    }

    /// Returns the handshake that gives any client MACs under this secret, if there is one.
    pub fn tells_strangers(&self) -> Option<&str> {
        self.handshake.as_ref().and_then(Handshake::tells_strangers)
    }

    /// Returns true if a MAC that the handshake of `other` gives to any client would be a valid
    /// signature here. The secret is then the same, and such a token can be the whole signed
    /// content.
    pub fn believes(&self, other: &Self) -> bool {
        // If this verification answers the same handshake, it refuses bodies that could be such a
        // token.
        self.tells_strangers().is_none()
            && self.scheme.may_sign_token()
            && share_a_secret(&*self.scheme, &*other.scheme)
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
        headers.extend(self.withheld.iter().cloned());
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

    /// Query parameters that belong to the sender's signature.
    fn own_queries(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.credential_query().into_iter().collect();
        names.extend(self.scheme.stamp_queries());
        names
    }

    /// Key for MACs other than those of events. Prefers the secret with this source, then the first
    /// valid one.
    fn mac_key(&self, source: Option<&str>, now: Timestamp) -> Option<&Mac> {
        let keys = self.scheme.mac_keys()?;
        let named = keys.iter().find(|held| Some(&*held.source) == source);
        let counting = || keys.iter().find(|held| held.counts(now));
        named.or_else(counting).map(|held| &held.key)
    }

    /// Returns true if the configured keys can also sign.
    pub fn can_sign(&self) -> bool {
        self.scheme.can_sign()
    }

    /// Returns the public URL of the server, without its path, if the sender signs the URL.
    pub fn signed_origin(&self) -> Option<&str> {
        self.scheme.signed_origin()
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

/// Returns true if two schemes have a shared secret in common, for the same hash function.
fn share_a_secret(one: &dyn Scheme, other: &dyn Scheme) -> bool {
    // The key of a MAC is not readable, so the MACs of a fixed text are compared. Their lengths
    // differ if the hash functions do.
    let tag = |key: &Mac| {
        let mut mac = key.clone();
        mac.update(b"hookyard");
        mac.finish()
    };
    let others = other.mac_keys().unwrap_or_default();
    one.mac_keys().unwrap_or_default().iter().any(|held| {
        let own = tag(&held.key);
        others.iter().any(|other| own.is(tag(&other.key).expose()))
    })
}

/// Returns the one scheme that a `verify:` names, and the settings of this use.
fn one_scheme<'d>(
    node: Node<'d>,
    entries: &[(&'d str, Node<'d>)],
    known: &Definitions<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<(&'d str, Settings<'d>)> {
    const EXAMPLE: &str =
        "write `verify: {github: env:GITHUB_SECRET}`, or `verify: none` to accept every request";
    let is_known = |typed: &str| known.names().any(|name| name == typed);
    if let Some(typed) = node.as_str() {
        if typed == "none" || known.is_own(typed) {
            return Some((typed, Settings::bare(node)));
        }
        diagnostics.push(if is_known(typed) {
            node.error("missing-key", format!("`{typed}` needs a secret"))
                .hint(format!("write `verify: {{{typed}: env:NAME}}`"))
        } else {
            unknown(node.origin(), "unknown-scheme", "scheme", typed, known.names())
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
    if !is_known(typed) {
        let origin = settings.key_origin();
        diagnostics.push(unknown(origin, "unknown-scheme", "scheme", typed, known.names()));
        return None;
    }
    Some((typed, Settings::of(typed, *settings)))
}
