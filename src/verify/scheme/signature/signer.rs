//! Private keys, which sign as a sender with a public key does.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

use super::public_key::{Curve, PublicKey};

/// Length of an Ed25519 seed, in bytes.
const SEED: usize = 32;

/// Private key. It is never printed.
pub enum Signer {
    Ed25519(Ed25519KeyPair),
    /// P-256, with signatures in DER.
    P256(EcdsaKeyPair),
}

impl Signer {
    /// Parses a private key.
    ///
    /// Ed25519: a seed of 32 bytes, a seed and public key of 64 bytes, or PKCS#8 in DER. P-256:
    /// PKCS#8 or RFC 5915 in DER.
    pub fn new(curve: Curve, bytes: &[u8]) -> Option<Self> {
        match curve {
            Curve::Ed25519 => match bytes.len() {
                SEED => Ed25519KeyPair::from_seed_unchecked(bytes).ok(),
                // Seed, followed by the public key.
                64 => {
                    let (seed, public) = bytes.split_at_checked(SEED)?;
                    Ed25519KeyPair::from_seed_and_public_key(seed, public).ok()
                }
                _ => Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes).ok(),
            }
            .map(Self::Ed25519),
            Curve::P256 => EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, bytes)
                .or_else(|_| EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, bytes))
                .ok()
                .map(Self::P256),
        }
    }

    /// Public key that belongs to the private key.
    pub fn public_key(&self) -> Option<PublicKey> {
        match self {
            Self::Ed25519(pair) => Curve::Ed25519.public_key(pair.public_key().as_ref()),
            Self::P256(pair) => Curve::P256.public_key(pair.public_key().as_ref()),
        }
    }

    pub fn sign(&self, content: &[u8]) -> Option<Vec<u8>> {
        let signature = match self {
            Self::Ed25519(pair) => pair.try_sign(content),
            Self::P256(pair) => pair.sign(&SystemRandom::new(), content),
        };
        signature.ok().map(|signature| signature.as_ref().to_vec())
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[private key]")
    }
}
