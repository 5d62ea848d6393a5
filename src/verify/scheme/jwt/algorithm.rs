//! Signature algorithms of tokens: RFC 7518, section 3, and RFC 8037 for `EdDSA`.
//!
//! The rules file sets the algorithms. A token only names one of them. The algorithms of a
//! verification either all use a shared secret or all use a public key. A public key can therefore
//! never be mistaken for a secret.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, VerificationAlgorithm,
};

use crate::verify::parts::mac;

/// Supported values of `alg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSA PKCS #1 v1.5 with SHA-256.
    Rs256,
    /// RSA PKCS #1 v1.5 with SHA-384.
    Rs384,
    /// RSA PKCS #1 v1.5 with SHA-512.
    Rs512,
    /// RSA PSS with SHA-256.
    Ps256,
    /// RSA PSS with SHA-384.
    Ps384,
    /// RSA PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

/// Key and primitive of an algorithm.
pub enum Method {
    /// Shared secret, with this hash function.
    Secret(mac::HashAlgorithm),
    /// Public key of the signer.
    PublicKey(&'static dyn VerificationAlgorithm),
}

impl JwtAlgorithm {
    pub const ALL: [Self; 12] = [
        Self::Hs256,
        Self::Hs384,
        Self::Hs512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// Registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Looks up an algorithm by its exact name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Key and primitive of the algorithm. RSA keys have 2048 to 8192 bits.
    pub fn method(self) -> Method {
        match self {
            Self::Hs256 => Method::Secret(mac::HashAlgorithm::Sha256),
            Self::Hs384 => Method::Secret(mac::HashAlgorithm::Sha384),
            Self::Hs512 => Method::Secret(mac::HashAlgorithm::Sha512),
            Self::Rs256 => Method::PublicKey(&RSA_PKCS1_2048_8192_SHA256),
            Self::Rs384 => Method::PublicKey(&RSA_PKCS1_2048_8192_SHA384),
            Self::Rs512 => Method::PublicKey(&RSA_PKCS1_2048_8192_SHA512),
            Self::Ps256 => Method::PublicKey(&RSA_PSS_2048_8192_SHA256),
            Self::Ps384 => Method::PublicKey(&RSA_PSS_2048_8192_SHA384),
            Self::Ps512 => Method::PublicKey(&RSA_PSS_2048_8192_SHA512),
            Self::Es256 => Method::PublicKey(&ECDSA_P256_SHA256_FIXED),
            Self::Es384 => Method::PublicKey(&ECDSA_P384_SHA384_FIXED),
            Self::EdDsa => Method::PublicKey(&ED25519),
        }
    }

    /// Returns true if the algorithm uses a shared secret.
    pub fn takes_secret(self) -> bool {
        matches!(self.method(), Method::Secret(_))
    }

    /// `kty` and `crv` of the JWKs that fit. `None` for shared secrets.
    pub fn key_type(self) -> Option<(&'static str, Option<&'static str>)> {
        match self {
            Self::Hs256 | Self::Hs384 | Self::Hs512 => None,
            Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512 => {
                Some(("RSA", None))
            }
            Self::Es256 => Some(("EC", Some("P-256"))),
            Self::Es384 => Some(("EC", Some("P-384"))),
            Self::EdDsa => Some(("OKP", Some("Ed25519"))),
        }
    }
}

/// Formats several names for messages.
pub fn names(algorithms: &[JwtAlgorithm]) -> String {
    let names: Vec<String> = algorithms
        .iter()
        .map(|algorithm| format!("`{}`", algorithm.name()))
        .collect();
    names.join(", ")
}
