//! Keys of a scheme, and the comparison of claimed signatures with them.
//!
//! A shared secret makes a MAC of the content, which is compared in constant time. A public key
//! verifies a signature over the content. Every shared secret is tried with every signature, so a
//! rotation needs no order and timing does not disclose which secret matched. A key whose
//! `not_after` has passed accepts no request, but its MAC remains a dedup key.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

use super::content::{Content, Filling};
use super::public_key::{FIXED, PublicAlgorithm, PublicKey};
use super::signer::Signer;
use crate::base::clock::Timestamp;
use crate::event::DedupKey;
use crate::verify::parts::keys::{ConfiguredKey, decide, sources};
use crate::verify::parts::mac::{HashAlgorithm, Length, Mac, Tag};
use crate::verify::refusal::Refusal;

/// Maximum DER length of a P-256 signature, in bytes: two integers of 33 bytes with their headers.
const LONGEST_DER: usize = 72;
/// Maximum length of an RSA signature, in bytes: that of the largest accepted key.
const LONGEST_RSA: usize = 1024;

/// All keys of a scheme.
#[derive(Debug)]
pub enum Keys {
    /// Shared secrets. The first one signs.
    Shared(HashAlgorithm, Vec<ConfiguredKey<Mac>>),
    /// Public keys, and the private key that signs, if any.
    Public(PublicAlgorithm, Vec<ConfiguredKey<PublicKey>>, Option<Signer>),
}

/// Result of a successful comparison.
pub struct Compared {
    /// Source of the key that matched.
    pub source: Arc<str>,
    /// Keys that identify the signed content.
    pub dedup_keys: Vec<DedupKey>,
}

impl Keys {
    /// Length of a signature.
    pub fn length(&self) -> Length {
        match self {
            Self::Shared(algorithm, _) => Length::Exactly(algorithm.length()),
            Self::Public(PublicAlgorithm::Ed25519, ..) => Length::Exactly(FIXED),
            Self::Public(PublicAlgorithm::P256, ..) => Length::AtMost(LONGEST_DER),
            Self::Public(PublicAlgorithm::Rsa(..), ..) => Length::AtMost(LONGEST_RSA),
        }
    }

    /// Returns true if one of the keys can sign.
    pub fn can_sign(&self) -> bool {
        !matches!(self, Self::Public(_, _, None))
    }

    /// Source of each key, and the end of its validity.
    pub fn sources(&self) -> Vec<(Arc<str>, Option<Timestamp>)> {
        match self {
            Self::Shared(_, keys) => sources(keys),
            Self::Public(_, keys, _) => sources(keys),
        }
    }

    /// Compares each of the `claimed` signatures with each key over the content.
    ///
    /// Any of the `fillings` may be the signed one. The first one yields the dedup keys.
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
                // The MAC under **every** secret, because it must not matter which one matched.
                // Otherwise an event with two signatures could be accepted once for each.
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
                // Not the signature: anyone can derive a second valid one from an ECDSA signature.
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

/// Computes the MAC of the content.
pub fn tag(key: &Mac, content: &Content, filling: &Filling<'_>) -> Result<Tag, Refusal> {
    let mut mac = key.clone();
    content.feed(filling, |bytes| mac.update(bytes))?;
    Ok(mac.finish())
}
