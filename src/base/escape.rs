//! Escaping of untrusted text for display: on a terminal, in a log, in a file that is read with
//! `less`.
//!
//! A control character can move the cursor, recolour or clear the screen, and set a window title. A
//! format character can reverse the direction of text or be invisible. Both are written as JSON
//! escapes (`\u001b`), so that escaped JSON remains equivalent JSON.

use std::borrow::Cow;

/// The text on one line. Line breaks and tabs are escaped too.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, controls)
}

/// The text with its line breaks and tabs. All other control characters are escaped.
pub fn text(text: &str) -> Cow<'_, str> {
    escaped(text, |letter| !matches!(letter, '\n' | '\t') && controls(letter))
}

/// True if a character controls how text is shown, or is invisible. These are control characters
/// (Cc), line and paragraph separators, and what Unicode calls format characters (Cf) or ignorable
/// by default. Variation selectors of emoji are left alone.
pub fn controls(letter: char) -> bool {
    if letter.is_ascii() {
        return letter.is_ascii_control();
    }
    matches!(letter,
        '\u{80}'..='\u{9f}'
        | '\u{ad}'
        | '\u{34f}'
        | '\u{600}'..='\u{605}'
        | '\u{61c}'
        | '\u{6dd}'
        | '\u{70f}'
        | '\u{890}' | '\u{891}'
        | '\u{8e2}'
        | '\u{115f}' | '\u{1160}'
        | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{110bd}'
        | '\u{110cd}'
        | '\u{13430}'..='\u{1345f}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// The text with unfit characters escaped. Text without any is not copied.
fn escaped(text: &str, is_unfit: impl Fn(char) -> bool) -> Cow<'_, str> {
    let skipped = plain(text);
    let (_, rest) = text.split_at(skipped);
    let Some(first) = rest.find(&is_unfit) else {
        return Cow::Borrowed(text);
    };
    let (fit, rest) = text.split_at(skipped + first);
    let mut escaped = String::with_capacity(text.len() + 16);
    escaped.push_str(fit);
    for letter in rest.chars() {
        if is_unfit(letter) {
            push(&mut escaped, letter);
        } else {
            escaped.push(letter);
        }
    }
    Cow::Owned(escaped)
}

/// Length of the beginning of a text that holds printable ASCII only. Most texts are plain to the
/// end. Blocks are compared as a whole, which the compiler turns into vector instructions.
fn plain(text: &str) -> usize {
    const BLOCK: usize = 32;
    let is_plain = |block: &&[u8]| {
        let unfit = |byte: &u8| !(0x20..0x7f).contains(byte);
        !block.iter().fold(false, |any, byte| any | unfit(byte))
    };
    let blocks = text.as_bytes().chunks_exact(BLOCK).take_while(is_plain);
    blocks.count() * BLOCK
}

/// Appends the JSON escape of a character.
fn push(text: &mut String, letter: char) {
    let short = match letter {
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        _ => "",
    };
    if !short.is_empty() {
        return text.push_str(short);
    }
    let mut units = [0; 2];
    for unit in letter.encode_utf16(&mut units) {
        text.push_str("\\u");
        for shift in [12, 8, 4, 0] {
            let digit = u32::from(*unit >> shift & 15);
            text.push(char::from_digit(digit, 16).unwrap_or('0'));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        for (plain, expected) in [
            ("plain text é 漢字 👍 ❤\u{fe0f}", "plain text é 漢字 👍 ❤\u{fe0f}"),
            ("\u{1b}[2J", "\\u001b[2J"),
            ("\u{9b}2J\u{85}\u{7f}", "\\u009b2J\\u0085\\u007f"),
            ("a\r\u{8}b", "a\\r\\u0008b"),
            ("\u{202e}\u{2066}\u{200f}\u{61c}", "\\u202e\\u2066\\u200f\\u061c"),
            (
                "\u{200b}\u{200d}\u{feff}\u{ad}\u{2060}",
                "\\u200b\\u200d\\ufeff\\u00ad\\u2060",
            ),
            ("a\u{2028}b\u{2029}", "a\\u2028b\\u2029"),
            ("\u{e0041}", "\\udb40\\udc41"),
        ] {
            assert_eq!(line(plain), expected);
            assert_eq!(text(plain), expected);
        }
        assert_eq!(line("a\n\tb"), "a\\n\\tb");
        assert_eq!(text("a\n\tb"), "a\n\tb");
        assert!(matches!(line("plain"), Cow::Borrowed(_)));
        // At every place of a long text.
        for place in 0..100 {
            let (before, after) = ("x".repeat(place), "é".repeat(100 - place));
            for (letter, expected) in [("\n", "\\n"), ("\u{7f}", "\\u007f"), ("\u{9b}", "\\u009b")] {
                assert_eq!(
                    line(&format!("{before}{letter}{after}")),
                    format!("{before}{expected}{after}")
                );
            }
        }
    }

    #[test]
    fn json_that_is_escaped_is_the_same_json() {
        let all: String = (0..0x11_0000).filter_map(char::from_u32).collect();
        let value = serde_json::json!({ "a": all });
        for json in [value.to_string(), format!("{value:#}")] {
            let escaped = text(&json);
            assert!(!escaped.contains(|letter| letter != '\n' && controls(letter)));
            assert_eq!(
                serde_json::from_str::<serde_json::Value>(&escaped).unwrap(),
                value
            );
        }
    }
}
