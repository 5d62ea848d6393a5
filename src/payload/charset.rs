//! In which charset a body is written: from its bytes to text.
//!
//! The labels are those that browsers know (the Encoding Standard's): `iso-8859-1` is read as windows-1252, of which it is
//! a part. What calls itself ASCII is read as UTF-8, of which that is a part.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8};

use crate::payload::undecodable::{Undecodable, shown};

/// The charset with this label; UTF-8 if there is no label.
pub(super) fn named(label: Option<&str>) -> Result<&'static Encoding, Undecodable> {
    // In single quotes, too, which are none of HTTP's.
    let label = label.unwrap_or_default().trim_matches(['\'', ' ', '\t']);
    // `binary` is how `file --mime` says that there is none.
    if ["", "us-ascii", "ascii", "binary"]
        .iter()
        .any(|known| label.eq_ignore_ascii_case(known))
    {
        return Ok(UTF_8);
    }
    Encoding::for_label_no_replacement(label.as_bytes())
        .ok_or_else(|| Undecodable::UnknownCharset(shown(label, 40)))
}

/// The charset of a body: what its byte order mark says, else its label, else UTF-8.
pub(super) fn of(label: Option<&str>, body: &[u8]) -> Result<&'static Encoding, Undecodable> {
    match Encoding::for_bom(body) {
        Some((encoding, _)) => Ok(encoding),
        None => named(label),
    }
}

/// The text, without its byte order mark; an error if the bytes are not of this charset.
pub(super) fn text<'b>(encoding: &'static Encoding, body: &'b [u8]) -> Result<Cow<'b, str>, Undecodable> {
    let (text, encoding, damaged) = encoding.decode(body);
    if damaged {
        return Err(Undecodable::Charset(encoding.name()));
    }
    Ok(text)
}
