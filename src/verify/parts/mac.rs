//! Keyed MACs, the encodings of signatures and keys, and constant-time comparison.
//!
//! A [`Mac`] is keyed once at load and cloned for each request. The content is fed to it piece by
//! piece.

use std::fmt;

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use hmac::{Hmac, KeyInit, Mac as _};
use serde::Deserialize;
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

/// Hash function of an HMAC. It comes from the rules file, never from the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HashAlgorithm {
    /// 20 bytes. Only for senders that support nothing better.
    Sha1,
    /// 32 bytes.
    Sha256,
    /// 48 bytes.
    Sha384,
    /// 64 bytes.
    Sha512,
}

impl HashAlgorithm {
    /// Length of a MAC, in bytes.
    pub fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// Keyed HMAC.
#[derive(Clone)]
pub enum Mac {
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha384(Hmac<Sha384>),
    Sha512(Hmac<Sha512>),
}

impl Mac {
    /// Creates a MAC with this key, which may have any length.
    pub fn keyed(algorithm: HashAlgorithm, key: &[u8]) -> Option<Self> {
        match algorithm {
            HashAlgorithm::Sha1 => Hmac::new_from_slice(key).ok().map(Self::Sha1),
            HashAlgorithm::Sha256 => Hmac::new_from_slice(key).ok().map(Self::Sha256),
            HashAlgorithm::Sha384 => Hmac::new_from_slice(key).ok().map(Self::Sha384),
            HashAlgorithm::Sha512 => Hmac::new_from_slice(key).ok().map(Self::Sha512),
        }
    }

    /// Feeds the next bytes of the content.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(mac) => mac.update(bytes),
            Self::Sha256(mac) => mac.update(bytes),
            Self::Sha384(mac) => mac.update(bytes),
            Self::Sha512(mac) => mac.update(bytes),
        }
    }

    /// Returns the MAC of all bytes fed so far.
    pub fn finish(self) -> Tag {
        Tag(match self {
            Self::Sha1(mac) => mac.finalize().into_bytes().to_vec(),
            Self::Sha256(mac) => mac.finalize().into_bytes().to_vec(),
            Self::Sha384(mac) => mac.finalize().into_bytes().to_vec(),
            Self::Sha512(mac) => mac.finalize().into_bytes().to_vec(),
        })
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[keyed mac]")
    }
}

/// Computed MAC. It is never printed, because anyone who reads it could send it.
pub struct Tag(Vec<u8>);

impl Tag {
    /// Compares `claimed` with the whole MAC in constant time. A truncated MAC does not match.
    pub fn is(&self, claimed: &[u8]) -> bool {
        self.0.as_slice().ct_eq(claimed).into()
    }

    /// Bytes, for a dedup key or for a signature of our own.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// Encoding of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Hexadecimal in either case.
    Hex,
    /// Padded base64 in the standard alphabet.
    Base64,
    /// Base64 in the URL-safe alphabet, padded or not.
    Base64Url,
}

impl Encoding {
    pub fn encode(self, signature: &[u8]) -> String {
        match self {
            Self::Hex => HEXLOWER.encode(signature),
            Self::Base64 => BASE64.encode(signature),
            Self::Base64Url => BASE64URL_NOPAD.encode(signature),
        }
    }

    /// Decodes a signature. The error follows the location in the message and does not quote the
    /// text.
    pub fn decode(self, text: &[u8], length: Length) -> Result<Vec<u8>, String> {
        let (name, decoder) = match self {
            Self::Hex => ("hex digits", &HEXLOWER_PERMISSIVE),
            Self::Base64 => ("characters of base64", &BASE64),
            Self::Base64Url => ("characters of base64url", &BASE64URL_NOPAD),
        };
        let text = match self {
            Self::Base64Url => without_padding(text),
            _ => text,
        };
        let written = |bytes: usize| match self {
            Self::Hex => bytes * 2,
            Self::Base64 => bytes.div_ceil(3) * 4,
            Self::Base64Url => (bytes * 4).div_ceil(3),
        };
        let needed = match length {
            Length::Exactly(bytes) => format!("{} {name}", written(bytes)),
            Length::AtMost(bytes) => format!("1 to {} {name}", written(bytes)),
        };
        // Checked first: a stranger may send 64 KiB.
        let fits = match length {
            Length::Exactly(bytes) => text.len() == written(bytes),
            Length::AtMost(bytes) => (1..=written(bytes)).contains(&text.len()),
        };
        if !fits {
            return Err(format!(
                "holds a signature of {} bytes, not of {needed}",
                text.len()
            ));
        }
        match (decoder.decode(text), length) {
            (Ok(signature), Length::AtMost(_)) => Ok(signature),
            (Ok(signature), Length::Exactly(bytes)) if signature.len() == bytes => Ok(signature),
            _ => Err(format!("holds a signature that is not {needed}")),
        }
    }
}

/// Removes the padding of a base64 text, if it has the right length.
fn without_padding(text: &[u8]) -> &[u8] {
    let bare = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"="));
    bare.filter(|_| text.len().is_multiple_of(4)).unwrap_or(text)
}

/// Length of a signature, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    Exactly(usize),
    AtMost(usize),
}

/// Encoding of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyEncoding {
    /// Raw text.
    Utf8,
    /// Base64 in either alphabet, padded or not.
    Base64,
    /// Hexadecimal in either case.
    Hex,
}

impl KeyEncoding {
    /// Decodes a key. The error does not quote it.
    pub fn decode(self, text: &[u8]) -> Result<Vec<u8>, &'static str> {
        match self {
            Self::Utf8 => Some(text.to_vec()),
            Self::Base64 => base64(text),
            Self::Hex => HEXLOWER_PERMISSIVE.decode(text).ok(),
        }
        .ok_or(match self {
            Self::Hex => "not hex",
            _ => "not base64",
        })
    }
}

/// Decodes a base64 secret as consoles of senders show it: possibly unpadded, in the URL-safe
/// alphabet, or with non-zero trailing bits.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let bare = text.strip_suffix(b"=").unwrap_or(text);
    let bare = bare.strip_suffix(b"=").unwrap_or(bare);
    let mut specification = BASE64_NOPAD.specification();
    specification.check_trailing_bits = false;
    specification.translate.from.push_str("-_");
    specification.translate.to.push_str("+/");
    specification.encoding().ok()?.decode(bare).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_algorithm_has_its_length_and_its_rfc_value() {
        // RFC 4231 test case 2, and RFC 2202 test case 2 for SHA-1.
        for (algorithm, expected) in [
            (HashAlgorithm::Sha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (
                HashAlgorithm::Sha256,
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                HashAlgorithm::Sha384,
                "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
            ),
            (
                HashAlgorithm::Sha512,
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fd\
                 caeab1a34d4a6b4b636e070a38bce737",
            ),
        ] {
            let mut mac = Mac::keyed(algorithm, b"Jefe").unwrap();
            mac.update(b"what do ya want ");
            mac.update(b"for nothing?");
            let tag = mac.finish();
            assert_eq!(Encoding::Hex.encode(tag.expose()), expected);
            assert_eq!(tag.expose().len(), algorithm.length());
            assert!(tag.is(tag.expose()));
            assert!(!tag.is(&tag.expose()[..16]) && !tag.is(b""));
        }
    }

    #[test]
    fn hex_is_read_in_either_case_and_nothing_else_is() {
        let decode = |text: &str| Encoding::Hex.decode(text.as_bytes(), Length::Exactly(2));
        for right in ["abcd", "ABCD", "aBCd"] {
            assert_eq!(decode(right).unwrap(), [0xab, 0xcd], "{right}");
        }
        for wrong in [
            "", "abc", "abcde", "abcdef", "abcg", " abcd", "abcd ", "0xab", "ab:c",
        ] {
            assert!(decode(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn base64_is_strict() {
        let decode = |text: &str| Encoding::Base64.decode(text.as_bytes(), Length::Exactly(4));
        assert_eq!(decode("+/8AAA==").unwrap(), [0xfb, 0xff, 0, 0]);
        // Unpadded, URL-safe, with noise, with non-zero trailing bits, with a newline, two chunks.
        for wrong in [
            "+/8AAA",
            "-_8AAA==",
            "+/8AAA==!!!!",
            "+/8AAB==",
            "+/8AAA=\n",
            "+w==/w==",
            "",
            "========",
        ] {
            assert!(decode(wrong).is_err(), "{wrong}");
        }
        let bounded = |text: &str| Encoding::Base64.decode(text.as_bytes(), Length::AtMost(4));
        assert_eq!(bounded("+/8=").unwrap(), [0xfb, 0xff]);
        assert!(bounded("").is_err() && bounded("+/8AAAAAAAA=").is_err());
    }

    #[test]
    fn a_secret_in_base64_is_read_as_consoles_show_it() {
        let decode = |text: &str| KeyEncoding::Base64.decode(text.as_bytes()).ok();
        for text in ["+/8AAA==", "+/8AAA", "-_8AAA", "-_8AAA==", "+/8AAB", "+/8AAA="] {
            assert_eq!(decode(text), Some(vec![0xfb, 0xff, 0, 0]), "{text}");
        }
        for wrong in [
            "+/8AAA===",
            "+/8A AA",
            "+/8AA",
            "=+/8AAA",
            "+/8=AAA",
            "+/8AAA\n",
            "é",
        ] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
