//! Base64 as senders write it (RFC 4648): either alphabet, with or without padding.

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD};

/// Decodes Base64 in the standard or the URL-safe alphabet. Padding is optional, and blanks and line
/// breaks are ignored. `None` if the text is anything else, or mixes the alphabets.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut plain: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let end = plain
        .iter()
        .rposition(|byte| *byte != b'=')
        .map_or(0, |last| last + 1);
    let padding = plain.len() - end;
    if padding > 0 && (padding > 2 || !plain.len().is_multiple_of(4)) {
        return None;
    }
    plain.truncate(end);
    let is_url_safe = plain.iter().any(|byte| b"-_".contains(byte));
    let alphabet = if is_url_safe {
        &BASE64URL_NOPAD
    } else {
        &BASE64_NOPAD
    };
    alphabet.decode(&plain).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_alphabets_are_read_with_and_without_padding() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("Zg==", b"f"),
            ("Zg", b"f"),
            ("Zm8=", b"fo"),
            ("Zm9v\r\nYmFy ", b"foobar"),
            ("+/+/", b"\xfb\xff\xbf"),
            ("-_-_", b"\xfb\xff\xbf"),
        ] {
            assert_eq!(decode(text).as_deref(), Some(bytes), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "Z", "Zg=", "Zg===", "Zm8==", "Zh==", "+-+-", "Zg=g", "Zm9v!", "====", "Zö==",
        ] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
