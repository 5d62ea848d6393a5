//! Public keys of a sender, which verify its signatures.
//!
//! The private keys are in `signer.rs`; the choice among several keys is in `keys.rs`.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, VerificationAlgorithm,
};

/// Length of an Ed25519 signature, and of a P-256 signature in fixed form (IEEE P1363), in bytes.
pub const FIXED: usize = 64;

/// Curve of public keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA over P-256 with SHA-256 (FIPS 186-5). Signatures are in DER, or in the fixed form of
    /// 64 bytes.
    P256,
}

impl Curve {
    /// Parses a public key: DER SPKI, 32 raw bytes for Ed25519, or a point for P-256, compressed or
    /// not.
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
