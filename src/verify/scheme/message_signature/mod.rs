//! HTTP Message Signatures (RFC 9421), with `Content-Digest` (RFC 9530).
//!
//! [`MessageSignature::prove`] parses the two signature fields strictly, selects the keys by
//! `keyid`, and compares the signature with the rebuilt signature base. The algorithm belongs to
//! the key, so a request cannot choose it. Required components must be covered. A body is covered
//! by its digest.

mod algorithm;
mod component;
mod content_digest;
mod input;
mod required;
pub(super) mod settings;
mod target;

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use http::{HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use self::algorithm::SignatureAlgorithm;
use self::component::Message;
use self::input::SignatureInput;
use self::required::Required;
use self::target::Target;
use super::Scheme;
use super::jwt::keys::JwtKey;
use crate::base::clock::Timestamp;
use crate::event::{DedupKey, Received};
use crate::verify::outgoing::{OutgoingRequest, Signed};
use crate::verify::parts::keys::{ConfiguredKey, decide, sources};
use crate::verify::proof::{Proof, SentAt};
use crate::verify::refusal::Refusal;

/// Header with the signatures.
const SIGNATURE: HeaderName = HeaderName::from_static("signature");
/// Header with the covered components and the parameters of each signature.
const SIGNATURE_INPUT: HeaderName = HeaderName::from_static("signature-input");
/// Header with the digests of the body.
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
/// Label of our own signatures.
const LABEL: &str = "sig1";

/// Compiled `http_message_signatures`.
#[derive(Debug)]
pub struct MessageSignature {
    keys: Vec<ConfiguredKey<MessageKey>>,
    /// Components that a signature must cover.
    required: Vec<Required>,
    /// Label of the signature that counts. `None`: any.
    label: Option<String>,
    /// Required value of the parameter `tag`.
    tag: Option<String>,
    /// True if `created` is required, so that events can be stale.
    needs_created: bool,
    /// Tolerance for `created`.
    window: Duration,
    /// Public URL without a trailing slash. Empty if it is not known.
    public_url: String,
}

/// A key and the only algorithm for which it counts.
#[derive(Clone, Debug)]
struct MessageKey {
    /// Value of `keyid` that means this key. `None`: any, or none.
    keyid: Option<String>,
    algorithm: SignatureAlgorithm,
    key: Arc<JwtKey>,
}

impl MessageSignature {
    /// Verifies one of the signatures of a request.
    fn verify(&self, input: &SignatureInput, received: &Received, target: &Target) -> Result<Proof, Refusal> {
        let meant: Vec<_> = self
            .keys
            .iter()
            .filter(|held| held.key.answers_to(input.keyid.as_deref()))
            .collect();
        if meant.is_empty() {
            return Err(input.malformed(format!("is made with a key that is none of {}", self.key_names())));
        }
        // `alg` only confirms what the rules file says (RFC 9421, section 3.2).
        let named = |held: &&&ConfiguredKey<MessageKey>| {
            let algorithm = held.key.algorithm.name();
            input.alg.as_deref().is_none_or(|alg| alg == algorithm)
        };
        let candidates: Vec<_> = meant.iter().filter(named).collect();
        if candidates.is_empty() {
            return Err(input.malformed("names another algorithm than its key is for".to_owned()));
        }
        if let Some(missing) = self
            .required
            .iter()
            .find(|required| !required.is_met(&input.components, received))
        {
            return Err(input.malformed(format!("does not cover `{missing}`")));
        }
        let message = Message { received, target };
        let base = input.base(&message)?;
        // All are tried, so that timing does not disclose which of several secrets matched.
        let tried: Vec<_> = candidates
            .into_iter()
            .map(|held| (*held, held.key.holds(base.as_bytes(), &input.signature)))
            .collect();
        let secret = decide(tried, received.at, || Refusal::BadSignature {
            place: format!("the header `{SIGNATURE}`, item `{}`", input.label()),
        })?;
        if input.covers(CONTENT_DIGEST.as_str()) {
            content_digest::check(&received.headers, &received.body)?;
        }
        if let Some(at) = input.expires.filter(|at| received.at > *at) {
            return Err(Refusal::ExpiredSignature { at, now: received.at });
        }
        let timestamp = self.created(input)?;
        let key = match &input.nonce {
            Some(nonce) => DedupKey::id(&nonce_id(nonce, input.keyid.as_deref())),
            // Not the signature: ECDSA and PSS allow many signatures of one base.
            None => DedupKey::signature(&Sha256::digest(base.as_bytes())),
        };
        Ok(Proof {
            timestamp,
            dedup_keys: vec![key],
            secret: Some(secret),
        })
    }

    fn created(&self, input: &SignatureInput) -> Result<Option<SentAt>, Refusal> {
        if !self.needs_created {
            return Ok(None);
        }
        let at = input.created.ok_or_else(|| Refusal::MissingTimestamp {
            place: format!("`created` of the signature `{}`", input.label()),
        })?;
        Ok(Some(SentAt { at, signed: true }))
    }

    fn key_names(&self) -> String {
        let names = self.keys.iter().filter_map(|held| held.key.keyid.as_deref());
        let names: Vec<String> = names.map(|name| format!("`{}`", name.escape_debug())).collect();
        names.join(", ")
    }

    fn requires(&self, wanted: &Required) -> bool {
        self.required.contains(wanted)
    }
}

/// Id of an event by its nonce. Senders with keys of their own may use the same nonce, so the key
/// belongs to the id. Neither part contains a zero byte.
fn nonce_id(nonce: &str, keyid: Option<&str>) -> Vec<u8> {
    let parts = keyid.map_or(vec![nonce], |keyid| vec![nonce, keyid]);
    parts.join("\0").into_bytes()
}

impl MessageKey {
    fn answers_to(&self, keyid: Option<&str>) -> bool {
        self.keyid.as_deref().is_none_or(|own| keyid == Some(own))
    }

    fn holds(&self, base: &[u8], signature: &[u8]) -> bool {
        self.key.holds(self.algorithm.primitive(), base, signature)
    }
}

impl Scheme for MessageSignature {
    fn prove(&self, received: &Received) -> Result<Proof, Refusal> {
        let inputs = input::read(&received.headers)?;
        let target = Target::of(&self.public_url, &received.path, &received.query);
        let mut refusal = None;
        let mut proof: Option<Proof> = None;
        let wanted = |input: &&SignatureInput| {
            self.label.as_deref().is_none_or(|label| label == input.label)
                && self
                    .tag
                    .as_deref()
                    .is_none_or(|tag| input.tag.as_deref() == Some(tag))
        };
        for input in inputs.iter().filter(wanted) {
            match (self.verify(input, received, &target), &mut proof) {
                (Ok(new), None) => proof = Some(new),
                // The keys of each valid signature: otherwise a client could remove one of them and
                // have the event accepted again. The latest `created` decides about freshness.
                (Ok(new), Some(known)) => {
                    let at = |proof: &Proof| proof.timestamp.map(|sent| sent.at);
                    if at(&new) > at(known) {
                        known.timestamp = new.timestamp;
                    }
                    known.dedup_keys.extend(new.dedup_keys);
                }
                (Err(new), _) => refusal = refusal.or(Some(new)),
            }
        }
        proof.ok_or_else(|| {
            refusal.unwrap_or_else(|| Refusal::MissingSignature {
                place: format!("the header `{SIGNATURE}` with this label and tag"),
            })
        })
    }

    /// Covers the required components, and a digest of the body.
    fn sign(&self, draft: &OutgoingRequest<'_>) -> Result<Signed, String> {
        let held = self.keys.first().ok_or("there is no key to sign with")?;
        let mut headers = draft.headers.clone();
        let mut signed = Signed::default();
        if !draft.body.is_empty() {
            let digest = BASE64.encode(&Sha256::digest(draft.body));
            let line = HeaderValue::from_str(&format!("sha-256=:{digest}:"));
            let line = line.map_err(|error| error.to_string())?;
            headers.insert(CONTENT_DIGEST, line.clone());
            signed.headers.push((CONTENT_DIGEST, line));
        }
        let (target, path, query) = Target::parse(draft.url).ok_or("the URL cannot be signed")?;
        let received = required::draft(draft, &headers, path, query);
        let input = input::ours(self, held.key.keyid.as_deref(), draft, &received);
        let message = Message {
            received: &received,
            target: &target,
        };
        let base = input.base(&message).map_err(|refusal| refusal.to_string())?;
        let signature = held
            .key
            .key
            .sign(held.key.algorithm.primitive(), base.as_bytes())
            .ok_or("a shared secret is needed to sign: only `hmac-sha256` can sign here")?;
        let value = |text: String| HeaderValue::from_str(&text).map_err(|error| error.to_string());
        let mut line = value(format!("{LABEL}=:{}:", BASE64.encode(&signature)))?;
        line.set_sensitive(true);
        let written = value(format!("{LABEL}={}", input.serialized))?;
        signed.headers.push((SIGNATURE_INPUT, written));
        signed.headers.push((SIGNATURE, line));
        Ok(signed)
    }

    fn recognised_by(&self) -> String {
        "the nonce and the `keyid` of the signature, else by the signed content".to_owned()
    }

    fn can_sign(&self) -> bool {
        let first = self.keys.first();
        first.is_some_and(|held| held.key.algorithm == SignatureAlgorithm::HmacSha256)
    }

    fn signs_time(&self) -> bool {
        self.needs_created
    }

    fn default_window(&self) -> Option<Duration> {
        self.needs_created.then_some(self.window)
    }

    fn secrets(&self) -> Vec<(Arc<str>, Option<Timestamp>)> {
        sources(&self.keys)
    }

    fn credential_headers(&self) -> Vec<HeaderName> {
        vec![SIGNATURE]
    }

    fn stamp_headers(&self) -> Vec<HeaderName> {
        vec![SIGNATURE_INPUT]
    }

    fn signs(&self) -> bool {
        true
    }

    fn signs_content_alone(&self) -> bool {
        !self.needs_created
    }

    fn covers_url(&self) -> bool {
        self.requires(&Required::TargetUri)
            || self.requires(&Required::RequestTarget)
            || self.requires(&Required::Path) && self.requires(&Required::Query)
    }

    fn covers_method(&self) -> bool {
        self.requires(&Required::Method)
    }

    fn covers_header(&self, name: &HeaderName) -> bool {
        self.requires(&Required::Header(name.clone()))
    }
}
