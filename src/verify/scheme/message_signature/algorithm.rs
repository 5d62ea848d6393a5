//! Algorithms of signatures: the registered names (RFC 9421, section 6.2.2) and their primitives.

use crate::verify::scheme::jwt::algorithm::JwtAlgorithm;

/// Algorithm of a key. It comes from the rules file, never from the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    HmacSha256,
    Ed25519,
    EcdsaP256Sha256,
    EcdsaP384Sha384,
    RsaPssSha512,
    RsaV15Sha256,
}

impl SignatureAlgorithm {
    pub const ALL: [Self; 6] = [
        Self::HmacSha256,
        Self::Ed25519,
        Self::EcdsaP256Sha256,
        Self::EcdsaP384Sha384,
        Self::RsaPssSha512,
        Self::RsaV15Sha256,
    ];

    /// Registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256Sha256 => "ecdsa-p256-sha256",
            Self::EcdsaP384Sha384 => "ecdsa-p384-sha384",
            Self::RsaPssSha512 => "rsa-pss-sha512",
            Self::RsaV15Sha256 => "rsa-v1_5-sha256",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// The same primitive under the name that tokens use. Both write ECDSA signatures in the fixed
    /// form, and both use a PSS salt as long as the hash.
    pub fn primitive(self) -> JwtAlgorithm {
        match self {
            Self::HmacSha256 => JwtAlgorithm::Hs256,
            Self::Ed25519 => JwtAlgorithm::EdDsa,
            Self::EcdsaP256Sha256 => JwtAlgorithm::Es256,
            Self::EcdsaP384Sha384 => JwtAlgorithm::Es384,
            Self::RsaPssSha512 => JwtAlgorithm::Ps512,
            Self::RsaV15Sha256 => JwtAlgorithm::Rs256,
        }
    }
}
