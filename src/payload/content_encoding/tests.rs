//! Round trips of every coding, at and past the limit, and with every kind of damage.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use http::HeaderValue;
use proptest::prelude::*;

use crate::payload::content_encoding::*;

const TEXT: &[u8] = br#"{"ref": "refs/heads/main", "after": "0123456789abcdef"}"#;
/// [`TEXT`], compressed by Google's encoder.
const TEXT_IN_BROTLI: &[u8] =
    b"\x0b\x1b\x80{\"ref\": \"refs/heads/main\", \"after\": \"0123456789abcdef\"}\x03";
/// Ten million zeros, with a window of 16 MiB.
const ZEROS_IN_BROTLI: &[u8] = b"\x9f\x7f\x96\x98\xf8\x27\x00\xe2\xb1\x40\x20\xc7\x11\x13";
const ZEROS: usize = 10_000_000;
const MIB: u64 = 1 << 20;

fn headers(lines: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(CONTENT_ENCODING, HeaderValue::from_str(line).unwrap());
    }
    headers
}

fn decompress(lines: &[&str], body: &[u8], limit: u64) -> Result<Vec<u8>, EncodingError> {
    decoded(&headers(lines), &Bytes::copy_from_slice(body), limit).map(Vec::from)
}

fn gzipped(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn zlibbed(plain: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn deflated(plain: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// Brotli that stores the bytes in uncompressed meta-blocks.
fn brotlied(plain: &[u8]) -> Vec<u8> {
    // The bit 0 is a window of 64 KiB. Each block is: not the last, 4 nibbles, the length less one,
    // uncompressed.
    let mut bytes = Vec::new();
    for (index, block) in plain.chunks(1 << 15).enumerate() {
        let head = u32::try_from(block.len() - 1).unwrap() << 3 | 1 << 19;
        let head = if index == 0 { head << 1 } else { head };
        bytes.extend_from_slice(&head.to_le_bytes()[..3]);
        bytes.extend_from_slice(block);
    }
    bytes.push(if plain.is_empty() { 0b110 } else { 0b11 });
    bytes
}

/// The name of each coding, and this text in it.
fn all(plain: &[u8]) -> [(&'static str, Vec<u8>); 4] {
    [
        ("gzip", gzipped(plain)),
        ("deflate", zlibbed(plain)),
        ("deflate", deflated(plain)),
        ("br", brotlied(plain)),
    ]
}

#[test]
fn a_body_without_a_coding_is_not_copied() {
    let body = Bytes::from_static(TEXT);
    for lines in [
        &[][..],
        &["identity"],
        &[""],
        &[" , Identity,"],
        &["utf-8", "None"],
    ] {
        let plain = decoded(&headers(lines), &body, 0).unwrap();
        assert_eq!((plain.as_ptr(), plain.len()), (body.as_ptr(), body.len()));
    }
    assert_eq!(decompress(&["gzip"], b"", 0), Ok(Vec::new()));
}

#[test]
fn every_coding_is_undone() {
    for (name, body) in all(TEXT) {
        assert_eq!(
            decompress(&[name], &body, TEXT.len() as u64),
            Ok(TEXT.to_vec()),
            "{name}"
        );
    }
    assert_eq!(decompress(&["br"], TEXT_IN_BROTLI, MIB), Ok(TEXT.to_vec()));
    assert_eq!(decompress(&["X-GZip"], &gzipped(TEXT), MIB), Ok(TEXT.to_vec()));
    for (name, body) in all(b"") {
        assert_eq!(decompress(&[name], &body, 0), Ok(Vec::new()), "{name}");
    }
}

#[test]
fn the_last_coding_is_decoded_first() {
    let twice = zlibbed(&gzipped(TEXT));
    assert_eq!(decompress(&["gzip, deflate"], &twice, MIB), Ok(TEXT.to_vec()));
    assert_eq!(
        decompress(&["gzip", "identity", "deflate"], &twice, MIB),
        Ok(TEXT.to_vec())
    );
    assert_eq!(
        decompress(&["deflate, gzip"], &twice, MIB),
        Err(EncodingError::Damaged("gzip"))
    );
    assert_eq!(
        decompress(&["gzip, gzip, gzip"], &twice, MIB),
        Err(EncodingError::TooMany)
    );
}

#[test]
fn gzip_may_have_several_members_and_nothing_else_after_them() {
    let two = [gzipped(b"one "), gzipped(b"two")].concat();
    assert_eq!(decompress(&["gzip"], &two, 7), Ok(b"one two".to_vec()));
    assert_eq!(decompress(&["gzip"], &two, 6), Err(EncodingError::TooLarge(6)));
    assert_eq!(
        decompress(&["gzip"], &two[..two.len() - 1], 7),
        Err(EncodingError::CutShort("gzip"))
    );
    let many = gzipped(b"").repeat(MAX_MEMBERS);
    assert_eq!(decompress(&["gzip"], &many, 0), Ok(Vec::new()));
    let too_many = gzipped(b"").repeat(MAX_MEMBERS + 1);
    assert_eq!(
        decompress(&["gzip"], &too_many, 0),
        Err(EncodingError::Damaged("gzip"))
    );
}

#[test]
fn truncated_trailing_and_damaged_data_are_refused() {
    for (name, body) in all(TEXT) {
        for end in 1..body.len() {
            let result = decompress(&[name], &body[..end], MIB);
            assert_eq!(result, Err(EncodingError::CutShort(name)), "{name}, {end} bytes");
        }
        for more in [&b"x"[..], b"\0x", TEXT] {
            let body = [&body, more].concat();
            assert_eq!(
                decompress(&[name], &body, MIB),
                Err(EncodingError::Trailing(name)),
                "{name}"
            );
        }
        // Padding is ignored, except after brotli, which has none.
        for padding in [&b"\0"[..], &[0; 512]].into_iter().filter(|_| name != "br") {
            let body = [&body, padding].concat();
            assert_eq!(decompress(&[name], &body, MIB), Ok(TEXT.to_vec()), "{name}");
        }
    }
    let mut altered = gzipped(TEXT);
    *altered.last_mut().unwrap() ^= 1;
    assert_eq!(
        decompress(&["gzip"], &altered, MIB),
        Err(EncodingError::Damaged("gzip"))
    );
    let mut altered = zlibbed(TEXT);
    *altered.last_mut().unwrap() ^= 1;
    assert_eq!(
        decompress(&["deflate"], &altered, MIB),
        Err(EncodingError::Damaged("deflate"))
    );
    assert_eq!(
        decompress(&["gzip"], TEXT, MIB),
        Err(EncodingError::Damaged("gzip"))
    );
    for name in ["deflate", "br"] {
        assert!(decompress(&[name], TEXT, MIB).is_err(), "{name}");
    }
}

#[test]
fn no_coding_expands_beyond_the_limit() {
    let zeros = vec![0; ZEROS];
    let mut bombs = all(&zeros).to_vec();
    bombs.push(("br", ZEROS_IN_BROTLI.to_vec()));
    for (name, bomb) in &bombs {
        assert_eq!(
            decompress(&[name], bomb, MIB),
            Err(EncodingError::TooLarge(MIB)),
            "{name}"
        );
        assert_eq!(
            decompress(&[name], bomb, ZEROS as u64 - 1),
            Err(EncodingError::TooLarge(ZEROS as u64 - 1))
        );
        assert_eq!(
            decompress(&[name], bomb, ZEROS as u64),
            Ok(zeros.clone()),
            "{name}"
        );
        assert_eq!(decompress(&[name], bomb, u64::MAX), Ok(zeros.clone()), "{name}");
    }
    // Nested codings count too.
    let bomb = gzipped(&gzipped(&zeros));
    assert_eq!(
        decompress(&["gzip, gzip"], &bomb, 1000),
        Err(EncodingError::TooLarge(1000))
    );
}

#[test]
fn brotli_gets_no_memory_for_more_than_may_come_out() {
    // A window of 16 MiB, then an uncompressed block of that size, of which only one byte is
    // present.
    let promise = (0xF | 2 << 5 | 0xFF_FFFF << 7 | 1_u32 << 31).to_le_bytes();
    let body = [&promise[..], b"x"].concat();
    assert_eq!(decompress(&["br"], &body, MIB), Err(EncodingError::TooLarge(MIB)));
    assert_eq!(
        decompress(&["br"], &body, 16 * MIB),
        Err(EncodingError::CutShort("br"))
    );
}

#[test]
fn a_brotli_window_above_the_standard_is_refused() {
    // The mark of the extension, a window of 2^30, and the end.
    assert_eq!(
        decompress(&["br"], b"\x11\xde", MIB),
        Err(EncodingError::Damaged("br"))
    );
}

#[test]
fn an_unknown_coding_is_named_in_few_plain_words() {
    let named = |coding: &str| decompress(&["gzip", coding], TEXT, MIB).unwrap_err().to_string();
    assert_eq!(
        named("zstd"),
        "the content coding `zstd` is not known here: gzip, deflate and br are"
    );
    assert_eq!(named("é").split_inclusive('`').nth(1), Some("\\xc3\\xa9`"));
    assert!(named(&"x".repeat(1000)).len() < 120);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn compressed_bytes_are_restored(plain in proptest::collection::vec(0u8..4, 0..40_000)) {
        for (name, body) in all(&plain) {
            prop_assert_eq!(decompress(&[name], &body, plain.len() as u64), Ok(plain.clone()), "{}", name);
            if let Some(less) = (plain.len() as u64).checked_sub(1) {
                prop_assert_eq!(decompress(&[name], &body, less), Err(EncodingError::TooLarge(less)), "{}", name);
            }
        }
    }

    #[test]
    fn no_bytes_panic_or_exceed_the_limit(
        body in proptest::collection::vec(any::<u8>(), 0..400),
        flips in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..4),
        plain in proptest::collection::vec(0u8..9, 0..2000),
    ) {
        let mut bodies = all(&plain).to_vec();
        bodies.extend(["gzip", "deflate", "br"].map(|name| (name, body.clone())));
        bodies.push(("br", ZEROS_IN_BROTLI.to_vec()));
        for (name, mut body) in bodies {
            for (at, bits) in &flips {
                let at = at % body.len().max(1);
                body.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= bits);
            }
            if let Ok(plain) = decompress(&[name], &body, 1500) {
                prop_assert!(plain.len() <= 1500);
            }
        }
    }
}
