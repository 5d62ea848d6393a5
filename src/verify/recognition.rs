//! What makes two requests with the same signed content the same event, or two events, or a forgery.
//!
//! A signature covers the body, and seldom more. What rules read beside it could be changed by whoever captured a genuine
//! request. So the parts that rules read count, too: the path, and of the query what rules name, make another event; a
//! header that rules name must stay what it was when the content came first. What no rule reads counts for nothing, or a
//! stranger could make a new event of an old one by adding `?x=1`. [`Recognition`] knows all that of one
//! [`Verification`] of one endpoint, once and at load.

use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use http::{HeaderName, Method};
use sha2::{Digest, Sha256};

use crate::event::Received;
use crate::verify::{DedupKey, Proof, Verification};

/// The longest part of a digest that is kept, in bytes.
const KEPT: usize = 16;

/// The parts of a request, beside its body, that rules read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a part of a request, and any of them may be read"
)]
pub struct Reads {
    /// Headers.
    pub headers: Vec<HeaderName>,
    /// Names in the query.
    pub query: Vec<String>,
    /// Names in the query that are told only by the event, so that any may be read.
    pub any_query: bool,
    /// Parameters of the path.
    pub path: bool,
    /// The method.
    pub method: bool,
    /// What the body says, as far as that depends on how it is decoded.
    pub payload: bool,
}

impl Reads {
    /// Adds what another reads.
    pub fn extend(&mut self, other: Self) {
        self.headers.extend(other.headers);
        self.query.extend(other.query);
        self.any_query |= other.any_query;
        self.path |= other.path;
        self.method |= other.method;
        self.payload |= other.payload;
    }

    /// Of these what the verification's signature does not cover. Nothing if it signs nothing: then there is nothing that
    /// could be protected.
    #[must_use]
    pub fn unsigned(mut self, verification: &Verification) -> Self {
        let scheme = &verification.scheme;
        if !scheme.signs() {
            return Self::default();
        }
        let mut credentials = verification.credential_headers();
        // Nothing is kept of what may be a secret, be it a digest.
        credentials.extend([AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION]);
        self.headers
            .retain(|name| !credentials.contains(name) && !scheme.covers_header(name));
        self.headers
            .sort_unstable_by(|left, right| left.as_str().cmp(right.as_str()));
        self.headers.dedup();
        let own = scheme.own_queries();
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

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How the events of one verification of an endpoint are recognised again.
#[derive(Debug, Default)]
pub struct Recognition {
    /// What rules read and no signature covers.
    unsigned: Reads,
    /// Whether the path and the query are signed.
    url_signed: bool,
    /// Whether the method is signed.
    method_signed: bool,
    /// Names in the query in which the sender says something about its signature.
    own_queries: Vec<String>,
}

/// The digest of the lines of a header that a rule reads, or of there being none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadHeader {
    /// The header.
    pub name: HeaderName,
    /// Half of the SHA-256 of its lines.
    pub digest: [u8; KEPT],
}

impl Recognition {
    /// That of a verification whose rules read this, and by these headers what the body says.
    pub fn new(verification: &Verification, mut reads: Reads, decoding: &[HeaderName]) -> Self {
        reads.headers.extend(decoding.iter().cloned());
        let own = verification.scheme.own_queries();
        Self {
            url_signed: verification.scheme.covers_url(),
            method_signed: verification.scheme.covers_method(),
            own_queries: own.into_iter().map(str::to_owned).collect(),
            unsigned: reads.unsigned(verification),
        }
    }

    /// Whether headers must stay what they were, so that it is remembered what they were.
    pub fn reads_headers(&self) -> bool {
        !self.unsigned.headers.is_empty()
    }

    /// The bytes by which the event is recognised again, any of which suffices.
    pub fn keys(&self, proof: &Proof, received: &Received) -> Vec<DedupKey> {
        let named = self.place(received, self.unsigned.method, |name| {
            self.unsigned.any_query || self.unsigned.query.iter().any(|known| known == name)
        });
        // After a reload rules may read something else: the very same request is known all the same.
        let whole = self.place(received, true, |_| true);
        let mut keys = Vec::with_capacity(proof.dedup_keys.len());
        for dedup_key in &proof.dedup_keys {
            keys.push(dedup_key.at(named.as_ref().map(<[u8; KEPT]>::as_slice)));
            if whole != named {
                keys.push(dedup_key.at(whole.as_ref().map(<[u8; KEPT]>::as_slice)));
            }
        }
        keys
    }

    /// The headers that rules read, as they came.
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

    /// A digest of the method, if it is wanted, of the path, and of the `wanted` names of the query, as far as no signature
    /// covers them; nothing where there is nothing to tell apart.
    fn place(&self, received: &Received, method: bool, wanted: impl Fn(&str) -> bool) -> Option<[u8; KEPT]> {
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
            // In whatever order they stand; values of one name keep theirs.
            pairs.sort_by(|(left, _), (right, _)| left.cmp(right));
            any |= !pairs.is_empty();
            for (name, value) in pairs {
                part(&mut digest, b"query");
                part(&mut digest, name.as_bytes());
                part(&mut digest, value.as_bytes());
            }
        }
        any.then(|| kept(digest))
    }
}

/// Adds a text whose end is marked.
fn part(digest: &mut Sha256, text: &[u8]) {
    digest.update((text.len() as u64).to_le_bytes());
    digest.update(text);
}

/// What is kept of a digest.
fn kept(digest: Sha256) -> [u8; KEPT] {
    let mut kept = [0; KEPT];
    for (kept, byte) in kept.iter_mut().zip(digest.finalize()) {
        *kept = byte;
    }
    kept
}
