//! The keys of a scheme, and the comparison of what a request claims with what they say.
//!
//! A shared secret makes a MAC of the content and compares it in constant time; a public key checks a signature over
//! it. Every key is tried with every signature, so that a rotation needs no order, and the time does not tell which
//! secret it was. A key whose `not_after` has passed lets nobody in; its MAC is still a nonce.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, VerificationAlgorithm,
};

use super::content::{Content, Filling};
use super::mac::{HashAlgorithm, Length, Mac, Tag};
use super::signer::Signer;
use crate::base::clock::Timestamp;
use crate::verify::{DedupKey, Refusal};

/// The longest DER form of a P-256 signature, in bytes: two integers of 33 bytes with their heads.
const LONGEST_DER: usize = 72;
/// The length of a P-256 signature in its fixed form (IEEE P1363), and of an Ed25519 one.
const FIXED: usize = 64;

/// A key, where it comes from, and until when it counts.
#[derive(Clone, Debug)]
pub struct ConfiguredKey<K> {
    /// The key.
    pub key: K,
    /// How the rules file names it: `env:NAME`, never the key.
    pub source: Arc<str>,
    /// The last moment at which it counts.
    pub not_after: Option<Timestamp>,
}

impl<K> ConfiguredKey<K> {
    /// Whether it still counts at `now`.
    pub fn counts(&self, now: Timestamp) -> bool {
        self.not_after.is_none_or(|end| now <= end)
    }

    /// The same source for what was made of the key.
    pub fn with<L>(&self, key: L) -> ConfiguredKey<L> {
        ConfiguredKey {
            key,
            source: Arc::clone(&self.source),
            not_after: self.not_after,
        }
    }
}

/// Which of several keys it was that held.
pub fn decide<'k, K>(
    keys: impl IntoIterator<Item = (&'k ConfiguredKey<K>, bool)>,
    now: Timestamp,
    wrong: impl FnOnce() -> Refusal,
) -> Result<Arc<str>, Refusal>
where
    K: 'k,
{
    let mut expired = None;
    let mut found = None;
    for (held, matched) in keys {
        if matched && held.counts(now) {
            found = found.or(Some(&held.source));
        } else if matched {
            expired = expired.or(Some(held));
        }
    }
    match (found, expired) {
        (Some(source), _) => Ok(Arc::clone(source)),
        (None, Some(held)) => Err(Refusal::ExpiredSecret {
            secret: Arc::clone(&held.source),
            not_after: held.not_after.unwrap_or(now),
        }),
        (None, None) => Err(wrong()),
    }
}

/// The curve of public keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA over P-256 with SHA-256 (FIPS 186-5); signatures in DER, or fixed as 64 bytes.
    P256,
}

impl Curve {
    /// The public key that these bytes are: raw (Ed25519: 32 bytes, P-256: an uncompressed or compressed point) or DER SPKI.
    pub fn public_key(self, bytes: &[u8]) -> Option<PublicKey> {
        let parse = |algorithm| ParsedPublicKey::new(algorithm, bytes).ok();
        match self {
            Self::Ed25519 => Some(PublicKey {
                key: parse(&ED25519 as &'static dyn VerificationAlgorithm)?,
                fixed: None,
            }),
            Self::P256 => Some(PublicKey {
                key: parse(&ECDSA_P256_SHA256_ASN1 as &'static dyn VerificationAlgorithm)?,
                fixed: Some(parse(
                    &ECDSA_P256_SHA256_FIXED as &'static dyn VerificationAlgorithm,
                )?),
            }),
        }
    }
}

/// A parsed public key.
#[derive(Clone, Debug)]
pub struct PublicKey {
    key: ParsedPublicKey,
    /// For signatures of the fixed form, where the curve has two forms.
    fixed: Option<ParsedPublicKey>,
}

impl PublicKey {
    /// Whether it is a signature over the content by this key's owner.
    fn verifies(&self, content: &[u8], signature: &[u8]) -> bool {
        let key = match &self.fixed {
            Some(fixed) if signature.len() == FIXED => fixed,
            _ => &self.key,
        };
        key.verify_sig(content, signature).is_ok()
    }
}

/// All keys of one scheme.
#[derive(Debug)]
pub enum Keys {
    /// Shared secrets; the first one signs.
    Shared(HashAlgorithm, Vec<ConfiguredKey<Mac>>),
    /// Public keys, and the private one that signs, if there is one.
    Public(Curve, Vec<ConfiguredKey<PublicKey>>, Option<Signer>),
}

/// What comes of comparing.
pub struct Compared {
    /// The source of the key that held.
    pub source: Arc<str>,
    /// The bytes by which the very content is recognised again.
    pub dedup_keys: Vec<DedupKey>,
}

impl Keys {
    /// How long a signature is.
    pub fn length(&self) -> Length {
        match self {
            Self::Shared(algorithm, _) => Length::Exactly(algorithm.length()),
            Self::Public(Curve::Ed25519, ..) => Length::Exactly(FIXED),
            Self::Public(Curve::P256, ..) => Length::AtMost(LONGEST_DER),
        }
    }

    /// Whether a shared secret is in both, for the same hash function.
    pub fn share_a_secret_with(&self, other: &Self) -> bool {
        let (Self::Shared(own, keys), Self::Shared(others, other_keys)) = (self, other) else {
            return false;
        };
        // A MAC cannot be looked into; what it makes of a text tells it.
        let tag = |key: &Mac| {
            let mut mac = key.clone();
            mac.update(b"hookyard");
            mac.finish()
        };
        own == others
            && keys.iter().any(|held| {
                let own = tag(&held.key);
                other_keys.iter().any(|other| own.is(tag(&other.key).expose()))
            })
    }

    /// Whether one of them can sign.
    pub fn can_sign(&self) -> bool {
        !matches!(self, Self::Public(_, _, None))
    }

    /// Where each key comes from, and until when it counts.
    pub fn sources(&self) -> Vec<(Arc<str>, Option<Timestamp>)> {
        match self {
            Self::Shared(_, keys) => sources(keys),
            Self::Public(_, keys, _) => sources(keys),
        }
    }

    /// Compares each of the `claimed` signatures with each key over the content; of `fillings` any may be the one that
    /// was signed, and the first is the one by which the event is recognised again.
    pub fn compare(
        &self,
        content: &Content,
        fillings: &[Filling<'_>],
        claimed: &[Vec<u8>],
        now: Timestamp,
        wrong: impl FnOnce() -> Refusal,
    ) -> Result<Compared, Refusal> {
        match self {
            Self::Shared(_, keys) => {
                let mut dedup_keys = Vec::with_capacity(keys.len());
                let mut matched = Vec::with_capacity(keys.len());
                for held in keys {
                    let mut any = false;
                    for (index, filling) in fillings.iter().enumerate() {
                        let tag = tag(&held.key, content, filling)?;
                        any = claimed.iter().fold(any, |any, claimed| any | tag.is(claimed));
                        if index == 0 {
                            dedup_keys.push(DedupKey::signature(tag.expose()));
                        }
                    }
                    matched.push(any);
                }
                let source = decide(keys.iter().zip(matched), now, wrong)?;
                // The MAC under **every** secret, for which of them matched must not matter. Otherwise an event with two
                // signatures could be taken once for each.
                dedup_keys.sort_unstable();
                dedup_keys.dedup();
                Ok(Compared { source, dedup_keys })
            }
            Self::Public(_, keys, _) => {
                let mut contents = Vec::with_capacity(fillings.len());
                for filling in fillings {
                    contents.push(content.whole(filling)?);
                }
                let verifies = |held: &ConfiguredKey<PublicKey>| {
                    let mut pairs = contents
                        .iter()
                        .flat_map(|content| claimed.iter().map(move |claimed| (content, claimed)));
                    pairs.any(|(content, claimed)| held.key.verifies(content, claimed))
                };
                let source = decide(keys.iter().map(|held| (held, verifies(held))), now, wrong)?;
                // Not the signature: anybody can make a second valid one out of an ECDSA signature.
                let first = contents.first().map(|content| digest(&SHA256, content));
                let dedup_keys = first.iter().map(|digest| DedupKey::signature(digest.as_ref()));
                Ok(Compared {
                    source,
                    dedup_keys: dedup_keys.collect(),
                })
            }
        }
    }
}

/// Where each key comes from, and until when it counts.
pub fn sources<K>(keys: &[ConfiguredKey<K>]) -> Vec<(Arc<str>, Option<Timestamp>)> {
    keys.iter()
        .map(|held| (Arc::clone(&held.source), held.not_after))
        .collect()
}

/// The MAC of the content.
pub fn tag(key: &Mac, content: &Content, filling: &Filling<'_>) -> Result<Tag, Refusal> {
    let mut mac = key.clone();
    content.feed(filling, |bytes| mac.update(bytes))?;
    Ok(mac.finish())
}
