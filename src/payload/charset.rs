//! Character sets: the charset of a body, and its conversion to text.
//!
//! Labels follow the Encoding Standard: `iso-8859-1` is decoded as windows-1252, which contains it.
//! A body labelled ASCII is decoded as UTF-8, which contains ASCII.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8};

use crate::payload::undecodable::{Undecodable, excerpt};

/// The charset with this label. UTF-8 without a label.
pub(super) fn named(label: Option<&str>) -> Result<&'static Encoding, Undecodable> {
    // Some senders use single quotes, which HTTP does not have.
    let label = label.unwrap_or_default().trim_matches(['\'', ' ', '\t']);
    // `file --mime` prints `binary` for a file without a charset.
    if ["", "us-ascii", "ascii", "binary"]
        .iter()
        .any(|known| label.eq_ignore_ascii_case(known))
    {
        return Ok(UTF_8);
    }
    Encoding::for_label_no_replacement(label.as_bytes())
        .ok_or_else(|| Undecodable::UnknownCharset(excerpt(label, 40)))
}

/// The charset of a body: from its byte order mark, else its label, else UTF-8.
pub(super) fn of(label: Option<&str>, body: &[u8]) -> Result<&'static Encoding, Undecodable> {
    match Encoding::for_bom(body) {
        Some((encoding, _)) => Ok(encoding),
        None => named(label),
    }
}

/// The text without its byte order mark, or an error if the bytes are not valid in this charset.
pub(super) fn text<'b>(encoding: &'static Encoding, body: &'b [u8]) -> Result<Cow<'b, str>, Undecodable> {
    let (text, encoding, damaged) = encoding.decode(body);
    if damaged {
        return Err(Undecodable::Charset(encoding.name()));
    }
    Ok(text)
}
