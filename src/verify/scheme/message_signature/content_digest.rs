//! `Content-Digest` (RFC 9530): digests of the body as it was sent.

use http::HeaderMap;
use sfv::{Dictionary, ListEntry, Parser};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

use super::CONTENT_DIGEST;
use super::component::combined;
use crate::verify::refusal::Refusal;

/// Checks that each digest of a known algorithm is that of the body, and that there is one.
///
/// Other algorithms are ignored, because those are broken or not registered.
pub fn check(headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
    let wrong = |fault: &str| Refusal::BadDigest {
        header: CONTENT_DIGEST,
        fault: fault.to_owned(),
    };
    let text = combined(headers, &CONTENT_DIGEST).ok_or(Refusal::MissingHeader {
        header: CONTENT_DIGEST,
    })?;
    let digests: Option<Dictionary> = Parser::new(&text).parse().ok();
    let digests = digests.ok_or_else(|| wrong("is not a dictionary (RFC 9530)"))?;
    let mut known = 0;
    for (name, entry) in &digests {
        let computed: Vec<u8> = match name.as_str() {
            "sha-256" => Sha256::digest(body).to_vec(),
            "sha-512" => Sha512::digest(body).to_vec(),
            _ => continue,
        };
        let ListEntry::Item(item) = entry else {
            return Err(wrong("has a digest that is a list"));
        };
        let stated = item.bare_item.as_byte_sequence();
        let stated = stated.ok_or_else(|| wrong("has a digest that is no byte sequence"))?;
        if !bool::from(stated.ct_eq(&computed)) {
            return Err(wrong("is not the digest of the body"));
        }
        known += 1;
    }
    if known == 0 {
        return Err(wrong("has neither `sha-256` nor `sha-512`"));
    }
    Ok(())
}
