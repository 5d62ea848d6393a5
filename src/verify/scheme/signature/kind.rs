//! The three families of signatures, and their defaults.

use super::public_key::Curve;
use crate::verify::parts::mac::{Encoding, KeyEncoding};

/// Family of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `hmac`: a shared secret.
    Hmac,
    /// `ed25519` and `ecdsa_p256`: a private key of this curve.
    Public(Curve),
}

impl Kind {
    pub fn named(family: &str) -> Option<Self> {
        match family {
            "hmac" => Some(Self::Hmac),
            "ed25519" => Some(Self::Public(Curve::Ed25519)),
            "ecdsa_p256" => Some(Self::Public(Curve::P256)),
            _ => None,
        }
    }

    /// Default encoding of the keys.
    pub fn key_encoding(self) -> KeyEncoding {
        match self {
            Self::Hmac => KeyEncoding::Utf8,
            Self::Public(Curve::Ed25519) => KeyEncoding::Hex,
            Self::Public(Curve::P256) => KeyEncoding::Base64,
        }
    }

    /// Default encoding of a signature.
    pub fn encoding(self) -> Encoding {
        match self {
            Self::Hmac | Self::Public(Curve::Ed25519) => Encoding::Hex,
            Self::Public(Curve::P256) => Encoding::Base64,
        }
    }
}
