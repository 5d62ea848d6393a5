//! Fields of an `application/x-www-form-urlencoded` body.
//!
//! Decoding never fails, except for too many fields. Invalid bytes become U+FFFD.

use std::borrow::Cow;

use encoding_rs::Encoding;
use percent_encoding::percent_decode;
use serde_json::{Map, Value};

use crate::payload::object;
use crate::payload::undecodable::{MAX_FIELDS, Undecodable};

/// A byte order mark. Before the first name it belongs to the body, even if it is percent-encoded.
const MARK: char = '\u{FEFF}';

/// The fields as an object of strings, with a list where a field repeats.
pub(super) fn fields(charset: &'static Encoding, body: &[u8]) -> Result<Map<String, Value>, Undecodable> {
    let mut found = Map::new();
    let pairs = body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    for (count, pair) in pairs.enumerate() {
        if count == MAX_FIELDS {
            return Err(Undecodable::TooManyFields);
        }
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let mut half = || text(charset, halves.next().unwrap_or_default());
        let mut name = half();
        while count == 0 && name.starts_with(MARK) {
            name.remove(0);
        }
        object::add(&mut found, name, Value::String(half()));
    }
    Ok(found)
}

/// Decodes a name or a value.
fn text(charset: &'static Encoding, encoded: &[u8]) -> String {
    let spaced: Vec<u8> = encoded
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    let bytes: Cow<'_, [u8]> = percent_decode(&spaced).into();
    charset.decode_without_bom_handling(&bytes).0.into_owned()
}

#[cfg(test)]
mod tests {
    use encoding_rs::UTF_8;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_name() {
        for body in ["\u{FEFF}a=1&b=2", "%EF%BB%BFa=1&b=2", "\u{FEFF}\u{FEFF}a=1&b=2"] {
            let fields = fields(UTF_8, body.as_bytes()).unwrap();
            assert_eq!(
                Value::from(fields),
                serde_json::json!({"a": "1", "b": "2"}),
                "{body}"
            );
        }
        let inside = fields(UTF_8, "a=\u{FEFF}1&\u{FEFF}b=2".as_bytes()).unwrap();
        assert_eq!(
            Value::from(inside),
            serde_json::json!({"a": "\u{FEFF}1", "\u{FEFF}b": "2"})
        );
    }

    proptest! {
        #[test]
        fn forms_in_utf_8_are_read_as_the_url_standard_reads_them(
            body in "(a|b|=|&|%|\\+|%C3%A9|%FF|é){0,60}",
        ) {
            let mut expected = Map::new();
            for (name, value) in form_urlencoded::parse(body.as_bytes()) {
                object::add(&mut expected, name.into_owned(), value.into_owned().into());
            }
            prop_assert_eq!(fields(UTF_8, body.as_bytes()), Ok(expected));
        }
    }
}
