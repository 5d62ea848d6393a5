//! Rules by which two requests with the same signed content are one event, two events or a forgery.
//!
//! Most signatures cover only the body. An attacker who captured a genuine request can change
//! everything else that rules read. Therefore the path and the query parameters that rules read are
//! part of the event's identity. A header that rules read must have the value it had when the
//! content first arrived. Parts that no rule reads are ignored: otherwise a stranger could make a
//! new event from an old one by adding `?x=1`. [`Recognition`] is built at load, for one
//! [`Verification`] of one endpoint.

use std::time::Duration;

use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use http::{HeaderName, Method};
use sha2::{Digest, Sha256};

use crate::event::{DedupKey, ReadHeader, Received, STORED_DIGEST};
use crate::verify::{Proof, Verification};

/// Parts of a request, apart from its body, that rules read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a part of a request, and any of them may be read"
)]
pub struct Reads {
    pub headers: Vec<HeaderName>,
    /// Names of query parameters.
    pub query: Vec<String>,
    /// True if the names of query parameters depend on the event, so that any may be read.
    pub any_query: bool,
    /// True if parameters of the path are read.
    pub path: bool,
    pub method: bool,
    /// True if the payload is read, so that headers which select its decoding count as read.
    pub payload: bool,
}

impl Reads {
    pub fn extend(&mut self, other: Self) {
        self.headers.extend(other.headers);
        self.query.extend(other.query);
        self.any_query |= other.any_query;
        self.path |= other.path;
        self.method |= other.method;
        self.payload |= other.payload;
    }

    /// Returns the parts that the signature does not cover. Empty if the scheme does not sign,
    /// since there is then nothing to protect.
    #[must_use]
    pub fn unsigned(mut self, verification: &Verification) -> Self {
        let scheme = &verification.scheme;
        if !scheme.signs() {
            return Self::default();
        }
        let mut credentials = verification.credential_headers();
        // Of values that may be secret, not even a digest is stored.
        credentials.extend([AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION]);
        self.headers
            .retain(|name| !credentials.contains(name) && !scheme.covers_header(name));
        self.headers
            .sort_unstable_by(|left, right| left.as_str().cmp(right.as_str()));
        self.headers.dedup();
        let own = verification.own_queries();
        let signed = scheme.covers_url();
        self.query.retain(|name| !signed && !own.contains(&name.as_str()));
        self.query.sort_unstable();
        self.query.dedup();
        Self {
            any_query: self.any_query && !signed,
            path: self.path && !signed,
            method: self.method && !scheme.covers_method(),
            payload: false,
            ..self
        }
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Recognition of repeated events of one verification at one endpoint.
#[derive(Debug, Default)]
pub struct Recognition {
    /// Parts that rules read and no signature covers.
    unsigned: Reads,
    /// True if path and query are signed.
    url_signed: bool,
    method_signed: bool,
    /// Query parameters that belong to the sender's signature.
    own_queries: Vec<String>,
    /// The longest replay window of the enabled rules. `None` if there is no such rule.
    window: Option<Duration>,
}

impl Recognition {
    /// Builds the recognition for a verification whose rules read `reads`. The `decoding` headers
    /// select how the body is decoded. `window` is the longest replay window of its enabled rules.
    pub fn new(
        verification: &Verification,
        mut reads: Reads,
        decoding: &[HeaderName],
        window: Option<Duration>,
    ) -> Self {
        reads.headers.extend(decoding.iter().cloned());
        let own = verification.own_queries();
        Self {
            url_signed: verification.scheme.covers_url(),
            method_signed: verification.scheme.covers_method(),
            own_queries: own.into_iter().map(str::to_owned).collect(),
            window,
            unsigned: reads.unsigned(verification),
        }
    }

    /// The longest replay window of the enabled rules.
    pub fn window(&self) -> Option<Duration> {
        self.window
    }

    /// Returns true if header values must be remembered, because a later request has to repeat
    /// them.
    pub fn reads_headers(&self) -> bool {
        !self.unsigned.headers.is_empty()
    }

    /// Keys that identify the event. A match of any one suffices.
    pub fn keys(&self, proof: &Proof, received: &Received) -> Vec<DedupKey> {
        let named = self.place(received, self.unsigned.method, |name| {
            self.unsigned.any_query || self.unsigned.query.iter().any(|known| known == name)
        });
        // Rules may read other parts after a reload. The key over all parts still recognises an
        // identical request.
        let whole = self.place(received, true, |_| true);
        let mut keys = Vec::with_capacity(proof.dedup_keys.len());
        for dedup_key in &proof.dedup_keys {
            keys.push(dedup_key.at(named.as_ref().map(<[u8; STORED_DIGEST]>::as_slice)));
            if whole != named {
                keys.push(dedup_key.at(whole.as_ref().map(<[u8; STORED_DIGEST]>::as_slice)));
            }
        }
        keys
    }

    /// Digests of the headers that rules read.
    pub fn headers(&self, received: &Received) -> Vec<ReadHeader> {
        let names = self.unsigned.headers.iter();
        let read = names.map(|name| {
            let mut digest = Sha256::new();
            for line in received.headers.get_all(name) {
                part(&mut digest, line.as_bytes());
            }
            ReadHeader {
                name: name.clone(),
                digest: kept(digest),
            }
        });
        read.collect()
    }

    /// Digest of the unsigned method, path and `wanted` query parameters. `None` if all are signed
    /// or absent.
    fn place(
        &self,
        received: &Received,
        method: bool,
        wanted: impl Fn(&str) -> bool,
    ) -> Option<[u8; STORED_DIGEST]> {
        let method = method && !self.method_signed && received.method != Method::POST;
        let query = !received.query.is_empty() && !self.url_signed;
        let path = !received.parameters.is_empty() && !self.url_signed;
        if !(method || query || path) {
            return None;
        }
        let mut digest = Sha256::new();
        let mut any = method || path;
        if method {
            part(&mut digest, b"method");
            part(&mut digest, received.method.as_str().as_bytes());
        }
        for (_, value) in received.parameters.iter().filter(|_| path) {
            part(&mut digest, value.as_bytes());
        }
        if query {
            let own = |name: &str| self.own_queries.iter().any(|own| own == name);
            let pairs = form_urlencoded::parse(received.query.as_bytes());
            let mut pairs: Vec<_> = pairs.filter(|(name, _)| wanted(name) && !own(name)).collect();
            // The order of names does not count.
            pairs.sort_by(|(left, _), (right, _)| left.cmp(right));
            any |= !pairs.is_empty();
            for values in pairs.chunk_by(|(left, _), (right, _)| left == right) {
                let [(name, value), more @ ..] = values else {
                    continue;
                };
                part(&mut digest, b"query");
                part(&mut digest, name.as_bytes());
                // A condition holds if it holds for one of the values, so a stranger could repeat
                // a request as often as there are other values. All repetitions are one event.
                match more {
                    [] => part(&mut digest, value.as_bytes()),
                    [_, ..] => part(&mut digest, b"repeated"),
                }
                digest.update([u8::from(!more.is_empty())]);
            }
        }
        any.then(|| kept(digest))
    }
}

/// Adds a text preceded by its length, so that parts cannot run into each other.
fn part(digest: &mut Sha256, text: &[u8]) {
    digest.update((text.len() as u64).to_le_bytes());
    digest.update(text);
}

/// Truncates a digest to its stored part.
fn kept(digest: Sha256) -> [u8; STORED_DIGEST] {
    let mut kept = [0; STORED_DIGEST];
    for (kept, byte) in kept.iter_mut().zip(digest.finalize()) {
        *kept = byte;
    }
    kept
}
