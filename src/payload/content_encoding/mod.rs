//! Content codings: decompression of a request body (RFC 9110 §8.4).
//!
//! A sender signs the body as sent; [`decoded`] returns the body before compression. A few bytes
//! can expand to very many. Output never exceeds the caller's limit, and memory is bounded by a
//! small multiple of that limit. A body without a coding is returned without a copy.

mod brotli;

use std::fmt;
use std::io::{ErrorKind, Read};

use bytes::Bytes;
use flate2::Decompress;
use flate2::bufread::{GzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// Maximum number of codings applied to a body.
pub const MAX_CODINGS: usize = 2;
/// Values that name no coding. `identity` is HTTP's; the others are charsets and mail encodings
/// that senders write here.
const NONE: [&[u8]; 7] = [
    b"identity",
    b"none",
    b"utf-8",
    b"utf8",
    b"binary",
    b"7bit",
    b"8bit",
];
/// Maximum number of gzip members in a body. A member takes twenty bytes, but starting one costs
/// more.
const MAX_MEMBERS: usize = 10_000;

/// The reason why a body cannot be decompressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EncodingError {
    Unknown(String),
    /// More than [`MAX_CODINGS`] codings.
    TooMany,
    /// The data are not valid in this coding.
    Damaged(&'static str),
    /// The data of this coding are truncated.
    CutShort(&'static str),
    /// Other data follow the end of this coding's data.
    Trailing(&'static str),
    /// The output exceeds this many bytes.
    TooLarge(u64),
}

impl fmt::Display for EncodingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(coding) => write!(
                f,
                "the content coding `{coding}` is not known here: gzip, deflate and br are"
            ),
            Self::TooMany => write!(f, "more than {MAX_CODINGS} content codings, one upon another"),
            Self::Damaged(coding) => write!(
                f,
                "the body says that it is {coding}, and it is not, or it is damaged"
            ),
            Self::CutShort(coding) => write!(f, "the body is {coding} that ends too early"),
            Self::Trailing(coding) => write!(f, "something follows the end of the {coding} in the body"),
            Self::TooLarge(limit) => write!(
                f,
                "decompressed the body has more than {limit} bytes (`max_body`)"
            ),
        }
    }
}

impl std::error::Error for EncodingError {}

#[derive(Clone, Copy)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
}

impl Coding {
    fn from_name(name: &[u8]) -> Option<Self> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match () {
            () if is("gzip") || is("x-gzip") => Some(Self::Gzip),
            () if is("deflate") => Some(Self::Deflate),
            () if is("br") => Some(Self::Brotli),
            () => None,
        }
    }

    fn decompress(self, body: &[u8], limit: u64) -> Result<Vec<u8>, EncodingError> {
        match self {
            Self::Gzip => gzip(body, limit),
            Self::Deflate => deflate(body, limit),
            Self::Brotli => brotli::decompress(body, limit),
        }
    }
}

/// True if a body with these headers must be decompressed.
pub fn is_encoded(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(CONTENT_ENCODING).iter();
    let mut codings_named = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    codings_named.any(|word| {
        let word = word.trim_ascii();
        !word.is_empty() && !word.eq_ignore_ascii_case(b"identity")
    })
}

/// Removes the codings that `Content-Encoding` names. Without a coding, or with an empty body, the
/// body is returned unchanged. The output has at most `limit` bytes.
pub fn decoded(headers: &HeaderMap, body: &Bytes, limit: u64) -> Result<Bytes, EncodingError> {
    let mut plain = body.clone();
    if body.is_empty() || !headers.contains_key(CONTENT_ENCODING) {
        return Ok(plain);
    }
    // Codings are removed in reverse order.
    for coding in codings(headers)?.into_iter().rev() {
        plain = coding.decompress(&plain, limit)?.into();
    }
    Ok(plain)
}

/// The codings in the order in which the sender applied them.
fn codings(headers: &HeaderMap) -> Result<Vec<Coding>, EncodingError> {
    let lines = headers.get_all(CONTENT_ENCODING).iter();
    let codings_named = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let mut codings = Vec::new();
    for word in codings_named.map(<[u8]>::trim_ascii) {
        if word.is_empty() || NONE.iter().any(|none| word.eq_ignore_ascii_case(none)) {
            continue;
        }
        let known = Coding::from_name(word);
        let coding = known.ok_or_else(|| {
            // An untrusted value for the log: short, and without control characters.
            let shown = word.get(..40).unwrap_or(word);
            EncodingError::Unknown(shown.escape_ascii().to_string())
        })?;
        if codings.len() == MAX_CODINGS {
            return Err(EncodingError::TooMany);
        }
        codings.push(coding);
    }
    Ok(codings)
}

/// Concatenated members, as `cat a.gz b.gz` makes them (RFC 1952 §2.2).
fn gzip(body: &[u8], limit: u64) -> Result<Vec<u8>, EncodingError> {
    const NAME: &str = "gzip";
    const BEGINNING: &[u8] = b"\x1F\x8B";
    let (mut plain, mut rest) = (Vec::new(), body);
    for number in 0..MAX_MEMBERS {
        if !rest.starts_with(BEGINNING) && !BEGINNING.starts_with(rest) {
            return Err(if number == 0 {
                EncodingError::Damaged(NAME)
            } else {
                EncodingError::Trailing(NAME)
            });
        }
        let mut member = GzDecoder::new(rest);
        drain(NAME, &mut member, limit, &mut plain)?;
        rest = member.into_inner();
        // Zero padding, for example to a block size, is ignored.
        if rest.iter().all(|byte| *byte == 0) {
            return Ok(plain);
        }
    }
    Err(EncodingError::Damaged(NAME))
}

/// The zlib format of the standard, or the bare deflate format that some senders use instead.
fn deflate(body: &[u8], limit: u64) -> Result<Vec<u8>, EncodingError> {
    const NAME: &str = "deflate";
    let mut plain = Vec::new();
    let mut decoder = ZlibDecoder::new_with_decompress(body, Decompress::new(is_zlib(body)));
    drain(NAME, &mut decoder, limit, &mut plain)?;
    if decoder.get_ref().iter().all(|byte| *byte == 0) {
        Ok(plain)
    } else {
        Err(EncodingError::Trailing(NAME))
    }
}

/// True if the body begins with a zlib header (RFC 1950 §2.2). In bare deflate the same first byte
/// would start a stored block with a padding bit set, which compressors never write.
fn is_zlib(body: &[u8]) -> bool {
    matches!(body, [method, flags, ..]
        if method & 0x8F == 0x08 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31))
}

/// Appends the decoder's output. `plain` as a whole has at most `limit` bytes.
fn drain(
    name: &'static str,
    decoder: &mut impl Read,
    limit: u64,
    plain: &mut Vec<u8>,
) -> Result<(), EncodingError> {
    // One byte more than allowed proves that the limit is exceeded.
    let available = limit.saturating_sub(plain.len() as u64).saturating_add(1);
    match decoder.take(available).read_to_end(plain) {
        _ if plain.len() as u64 > limit => Err(EncodingError::TooLarge(limit)),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(EncodingError::CutShort(name)),
        Err(_) => Err(EncodingError::Damaged(name)),
    }
}

#[cfg(test)]
mod tests;
