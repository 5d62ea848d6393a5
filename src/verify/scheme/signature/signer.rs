//! Private keys, which sign as a sender with a public key does.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};

use super::public_key::{Padding, PublicAlgorithm, PublicKey, RsaHash};

/// Length of an Ed25519 seed, in bytes.
const SEED: usize = 32;

/// Private key. It is never printed.
pub enum Signer {
    Ed25519(Ed25519KeyPair),
    /// P-256, with signatures in DER.
    P256(EcdsaKeyPair),
    Rsa(RsaKeyPair, &'static dyn RsaEncoding, PublicAlgorithm),
}

impl Signer {
    /// Parses a private key. The error does not quote it.
    ///
    /// Ed25519: a seed of 32 bytes, a seed and public key of 64 bytes, or PKCS#8 in DER. P-256:
    /// PKCS#8 or RFC 5915 in DER. RSA: PKCS#8 or PKCS#1 in DER.
    pub fn new(algorithm: PublicAlgorithm, bytes: &[u8]) -> Result<Self, &'static str> {
        const OTHER: &str = "the private key is none of this kind";
        match algorithm {
            PublicAlgorithm::Ed25519 => match bytes.len() {
                SEED => Ed25519KeyPair::from_seed_unchecked(bytes).ok(),
                // Seed, followed by the public key.
                64 => bytes
                    .split_at_checked(SEED)
                    .and_then(|(seed, public)| Ed25519KeyPair::from_seed_and_public_key(seed, public).ok()),
                _ => Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes).ok(),
            }
            .map(Self::Ed25519)
            .ok_or(OTHER),
            PublicAlgorithm::P256 => EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, bytes)
                .or_else(|_| EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, bytes))
                .ok()
                .map(Self::P256)
                .ok_or(OTHER),
            PublicAlgorithm::Rsa(hash, padding) => {
                let encoding = rsa_encoding(hash, padding).ok_or("signing with SHA-1 is not supported")?;
                RsaKeyPair::from_pkcs8(bytes)
                    .or_else(|_| RsaKeyPair::from_der(bytes))
                    .ok()
                    .map(|pair| Self::Rsa(pair, encoding, algorithm))
                    .ok_or(OTHER)
            }
        }
    }

    /// Public key that belongs to the private key.
    pub fn public_key(&self) -> Option<PublicKey> {
        match self {
            Self::Ed25519(pair) => PublicAlgorithm::Ed25519.public_key(pair.public_key().as_ref()),
            Self::P256(pair) => PublicAlgorithm::P256.public_key(pair.public_key().as_ref()),
            Self::Rsa(pair, _, algorithm) => {
                let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().ok()?;
                algorithm.public_key(spki.as_ref())
            }
        }
        .ok()
    }

    pub fn sign(&self, content: &[u8]) -> Option<Vec<u8>> {
        let signature = match self {
            Self::Ed25519(pair) => pair.try_sign(content),
            Self::P256(pair) => pair.sign(&SystemRandom::new(), content),
            Self::Rsa(pair, encoding, _) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let random = SystemRandom::new();
                pair.sign(*encoding, &random, content, &mut signature).ok()?;
                return Some(signature);
            }
        };
        signature.ok().map(|signature| signature.as_ref().to_vec())
    }
}

/// The primitive that signs. `None` if there is none.
fn rsa_encoding(hash: RsaHash, padding: Padding) -> Option<&'static dyn RsaEncoding> {
    match (padding, hash) {
        (_, RsaHash::Sha1) => None,
        (Padding::Pkcs1, RsaHash::Sha256) => Some(&RSA_PKCS1_SHA256),
        (Padding::Pkcs1, RsaHash::Sha512) => Some(&RSA_PKCS1_SHA512),
        (Padding::Pss, RsaHash::Sha256) => Some(&RSA_PSS_SHA256),
        (Padding::Pss, RsaHash::Sha512) => Some(&RSA_PSS_SHA512),
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[private key]")
    }
}
