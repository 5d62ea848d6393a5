//! Public keys of a sender, which verify its signatures.
//!
//! The private keys are in `signer.rs`; the choice among several keys is in `keys.rs`.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::{self, PublicEncryptingKey};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA512, VerificationAlgorithm,
};
use serde::Deserialize;

/// Length of an Ed25519 signature, and of a P-256 signature in fixed form (IEEE P1363), in bytes.
pub const FIXED: usize = 64;
/// Minimum size of an RSA key, in bits. A smaller key can be factored.
const MIN_RSA_BITS: usize = 2048;
/// Maximum size of an RSA key, in bits. A larger key costs too much per request.
const MAX_RSA_BITS: usize = 8192;

/// Algorithm of signatures with a private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicAlgorithm {
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA over P-256 with SHA-256 (FIPS 186-5). Signatures are in DER, or in the fixed form of
    /// 64 bytes.
    P256,
    /// RSA (RFC 8017).
    Rsa(RsaHash, Padding),
}

/// Hash function of an RSA signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RsaHash {
    /// Only for senders that support nothing better, and only with [`Padding::Pkcs1`].
    Sha1,
    Sha256,
    Sha512,
}

/// Padding of an RSA signature. It comes from the rules file, never from the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Padding {
    /// PKCS #1 v1.5 (RFC 8017, section 8.2).
    #[default]
    Pkcs1,
    /// PSS, with MGF1 and a salt as long as the hash (RFC 8017, section 8.1).
    Pss,
}

impl PublicAlgorithm {
    /// Parses a public key: DER SPKI, 32 raw bytes for Ed25519, a point for P-256, compressed or
    /// not, or `RSAPublicKey` of PKCS #1 for RSA. The error does not quote it.
    pub fn public_key(self, bytes: &[u8]) -> Result<PublicKey, String> {
        const OTHER: &str = "the public key is none of this kind";
        let parse = |algorithm| {
            let parsed = ParsedPublicKey::new(algorithm, bytes).ok();
            parsed.ok_or_else(|| OTHER.to_owned())
        };
        match self {
            Self::Ed25519 => Ok(PublicKey {
                key: parse(&ED25519 as &'static dyn VerificationAlgorithm)?,
                fixed: None,
            }),
            Self::P256 => Ok(PublicKey {
                key: parse(&ECDSA_P256_SHA256_ASN1 as &'static dyn VerificationAlgorithm)?,
                fixed: Some(parse(
                    &ECDSA_P256_SHA256_FIXED as &'static dyn VerificationAlgorithm,
                )?),
            }),
            Self::Rsa(hash, padding) => {
                check_rsa(bytes)?;
                Ok(PublicKey {
                    key: parse(rsa_algorithm(hash, padding).ok_or(OTHER)?)?,
                    fixed: None,
                })
            }
        }
    }
}

/// The primitive of an RSA signature. `None` if there is none.
fn rsa_algorithm(hash: RsaHash, padding: Padding) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match (padding, hash) {
        (Padding::Pkcs1, RsaHash::Sha1) => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
        (Padding::Pkcs1, RsaHash::Sha256) => &RSA_PKCS1_2048_8192_SHA256,
        (Padding::Pkcs1, RsaHash::Sha512) => &RSA_PKCS1_2048_8192_SHA512,
        (Padding::Pss, RsaHash::Sha256) => &RSA_PSS_2048_8192_SHA256,
        (Padding::Pss, RsaHash::Sha512) => &RSA_PSS_2048_8192_SHA512,
        (Padding::Pss, RsaHash::Sha1) => return None,
    })
}

/// Checks that `bytes` are an RSA key of an accepted size. [`ParsedPublicKey`] checks the size only
/// when it verifies.
fn check_rsa(bytes: &[u8]) -> Result<(), String> {
    let key = rsa::PublicKey::from_der(bytes).ok();
    let key = key.ok_or("the public key is no RSA key")?;
    let spki: Option<PublicKeyX509Der<'_>> = key.as_der().ok();
    let size = spki.and_then(|spki| PublicEncryptingKey::from_der(spki.as_ref()).ok());
    if size.is_some_and(|key| (MIN_RSA_BITS..=MAX_RSA_BITS).contains(&key.key_size_bits())) {
        return Ok(());
    }
    Err(format!(
        "the RSA key does not have {MIN_RSA_BITS} to {MAX_RSA_BITS} bits"
    ))
}

/// Parsed public key.
#[derive(Clone, Debug)]
pub struct PublicKey {
    key: ParsedPublicKey,
    /// Key for signatures in fixed form, if the curve has two forms.
    fixed: Option<ParsedPublicKey>,
}

impl PublicKey {
    /// Verifies a signature over the content.
    pub fn verifies(&self, content: &[u8], signature: &[u8]) -> bool {
        let key = match &self.fixed {
            Some(fixed) if signature.len() == FIXED => fixed,
            _ => &self.key,
        };
        key.verify_sig(content, signature).is_ok()
    }
}
