//! The arithmetic of shared secrets: keyed MACs, how signatures are written down, and how they are compared.
//!
//! A [`Mac`] is keyed once at load and cloned for each request; contents are fed to it piece by piece.

use std::fmt;

use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use hmac::{Hmac, KeyInit, Mac as _};
use serde::Deserialize;
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

/// The hash function of an HMAC. It comes from the rules file, never from the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HashAlgorithm {
    /// 20 bytes; only for senders that know no better.
    Sha1,
    /// 32 bytes.
    Sha256,
    /// 48 bytes.
    Sha384,
    /// 64 bytes.
    Sha512,
}

impl HashAlgorithm {
    /// How many bytes its MACs have.
    pub fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// A keyed HMAC.
#[derive(Clone)]
pub enum Mac {
    /// HMAC-SHA1.
    Sha1(Hmac<Sha1>),
    /// HMAC-SHA256.
    Sha256(Hmac<Sha256>),
    /// HMAC-SHA384.
    Sha384(Hmac<Sha384>),
    /// HMAC-SHA512.
    Sha512(Hmac<Sha512>),
}

impl Mac {
    /// A MAC with this key; an HMAC takes keys of any length.
    pub fn keyed(algorithm: HashAlgorithm, key: &[u8]) -> Option<Self> {
        match algorithm {
            HashAlgorithm::Sha1 => Hmac::new_from_slice(key).ok().map(Self::Sha1),
            HashAlgorithm::Sha256 => Hmac::new_from_slice(key).ok().map(Self::Sha256),
            HashAlgorithm::Sha384 => Hmac::new_from_slice(key).ok().map(Self::Sha384),
            HashAlgorithm::Sha512 => Hmac::new_from_slice(key).ok().map(Self::Sha512),
        }
    }

    /// Takes the next bytes of the content.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(mac) => mac.update(bytes),
            Self::Sha256(mac) => mac.update(bytes),
            Self::Sha384(mac) => mac.update(bytes),
            Self::Sha512(mac) => mac.update(bytes),
        }
    }

    /// The MAC of all that was taken.
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

/// A computed MAC. It is never printed: whoever reads it could send it.
pub struct Tag(Vec<u8>);

impl Tag {
    /// Whether `claimed` is this MAC, whole: a truncated one is not. The time taken does not depend on how many
    /// bytes agree.
    pub fn is(&self, claimed: &[u8]) -> bool {
        self.0.as_slice().ct_eq(claimed).into()
    }

    /// The bytes, for a nonce or for a signature of our own.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// How a signature is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Hexadecimal, in either case.
    Hex,
    /// Base64, the standard alphabet, padded.
    Base64,
}

impl Encoding {
    /// Writes a signature.
    pub fn encode(self, signature: &[u8]) -> String {
        match self {
            Self::Hex => HEXLOWER.encode(signature),
            Self::Base64 => BASE64.encode(signature),
        }
    }

    /// Reads a signature; the error says what is wrong, to follow the place, and does not repeat the text.
    pub fn decode(self, text: &[u8], length: Length) -> Result<Vec<u8>, String> {
        let (name, decoder) = match self {
            Self::Hex => ("hex digits", &HEXLOWER_PERMISSIVE),
            Self::Base64 => ("characters of base64", &BASE64),
        };
        let written = |bytes: usize| match self {
            Self::Hex => bytes * 2,
            Self::Base64 => bytes.div_ceil(3) * 4,
        };
        let needed = match length {
            Length::Exactly(bytes) => format!("{} {name}", written(bytes)),
            Length::AtMost(bytes) => format!("1 to {} {name}", written(bytes)),
        };
        // Looked at first: what comes from a stranger may be 64 KiB long.
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

/// How many bytes a signature has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// So many.
    Exactly(usize),
    /// So many at most.
    AtMost(usize),
}

/// How a key is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyEncoding {
    /// As it is.
    Utf8,
    /// Base64, in either alphabet, padded or not.
    Base64,
    /// Hexadecimal, in either case.
    Hex,
}

impl KeyEncoding {
    /// The key; the error does not repeat the secret.
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

/// A secret in base64 as consoles show it: unpadded, in the alphabet of URLs, or with bits behind its last byte that stand for
/// nothing.
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
        // Unpadded, URL-safe, with noise, with set trailing bits, with a newline, two chunks.
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
