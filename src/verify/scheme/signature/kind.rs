//! The families of signatures, and their defaults.

use super::public_key::{Padding, PublicAlgorithm, RsaHash};
use crate::verify::parts::mac::{Encoding, KeyEncoding};

/// Family of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `hmac`: a shared secret.
    Hmac,
    /// `ed25519`, `ecdsa_p256` and `rsa_…`: a private key for this algorithm.
    Public(PublicAlgorithm),
}

impl Kind {
    pub fn named(family: &str) -> Option<Self> {
        match family {
            "hmac" => Some(Self::Hmac),
            "ed25519" => Some(Self::Public(PublicAlgorithm::Ed25519)),
            "ecdsa_p256" => Some(Self::Public(PublicAlgorithm::P256)),
            "rsa_sha1" => Some(Self::rsa(RsaHash::Sha1)),
            "rsa_sha256" => Some(Self::rsa(RsaHash::Sha256)),
            "rsa_sha512" => Some(Self::rsa(RsaHash::Sha512)),
            _ => None,
        }
    }

    fn rsa(hash: RsaHash) -> Self {
        Self::Public(PublicAlgorithm::Rsa(hash, Padding::default()))
    }

    /// Default encoding of the keys.
    pub fn key_encoding(self) -> KeyEncoding {
        match self {
            Self::Hmac => KeyEncoding::Utf8,
            Self::Public(PublicAlgorithm::Ed25519) => KeyEncoding::Hex,
            Self::Public(PublicAlgorithm::P256 | PublicAlgorithm::Rsa(..)) => KeyEncoding::Base64,
        }
    }

    /// Default encoding of a signature.
    pub fn encoding(self) -> Encoding {
        match self {
            Self::Hmac | Self::Public(PublicAlgorithm::Ed25519) => Encoding::Hex,
            Self::Public(PublicAlgorithm::P256 | PublicAlgorithm::Rsa(..)) => Encoding::Base64,
        }
    }
}
