//! The reader for JSON from senders. Verification and decoding share it, so that a token in a body
//! and the payload never differ.
//!
//! The reader repairs what senders do send and a strict parser rejects. Byte order marks before the
//! text are skipped. A byte that is not UTF-8 and an escape of a lone surrogate (`"\ud83d"`) become
//! U+FFFD. Otherwise the syntax is that of RFC 8259. The last of duplicate keys wins.
//!
//! A [`Plan`] names the values to keep. The others are validated and dropped, so that a part of a
//! body costs a fraction of its tree. Whatever is kept, the same bodies are rejected. A
//! [`JsonDocument`] reads the rest later, if something asks for it.

mod document;
mod reader;
#[cfg(test)]
pub(crate) mod tests;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use memchr::memchr;
use serde_json::{Error, Value};

use crate::base::json_plan::Plan;
use crate::base::jsonpath::LargeIntegers;

pub use document::{JsonDocument, JsonTree};

/// Maximum nesting depth of lists and objects.
pub const MAX_DEPTH: usize = 127;

const MARK: &[u8] = b"\xEF\xBB\xBF";
/// The length of `\u` and four digits.
const ESCAPE: usize = 6;

/// A parsed text.
#[derive(Clone, Debug)]
pub struct Json {
    pub tree: JsonTree,
    /// True if a part of the text was replaced, so that other parsers would reject the original
    /// text.
    pub is_repaired: bool,
}

impl Json {
    /// The values that were kept of `text`.
    fn new(text: &str, plan: &Plan, value: Value, is_repaired: bool) -> Self {
        let value = Arc::new(value);
        // Searching a small part for floating point numbers is faster than searching the text for
        // large integers, which become such numbers.
        let integers = if plan.is_whole() || holds_float(&value) {
            LargeIntegers::read(text, &value)
        } else {
            LargeIntegers::default()
        };
        Self {
            tree: JsonTree { value, integers },
            is_repaired,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in bytes.
    pub column: usize,
    what: String,
}

impl From<Error> for JsonError {
    fn from(error: Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let words = error.to_string();
        let place = format!(" at line {line} column {column}");
        let what = words.strip_suffix(&place).unwrap_or(&words);
        Self {
            line,
            column,
            what: if what == "recursion limit exceeded" {
                format!("nested more than {MAX_DEPTH} deep")
            } else {
                what.to_owned()
            },
        }
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at line {} column {}", self.what, self.line, self.column)
    }
}

impl std::error::Error for JsonError {}

/// Parses a body as JSON.
pub fn read(bytes: &[u8]) -> Result<Json, JsonError> {
    read_planned(bytes, &Plan::everything())
}

/// Parses a body as JSON and keeps the planned values. All others are missing, or null if a later
/// element of their list is planned.
pub fn read_planned(bytes: &[u8], plan: &Plan) -> Result<Json, JsonError> {
    let bytes = without_marks(bytes);
    // Checking the body once as a whole is fast; the parser would check string by string.
    match text(bytes) {
        Cow::Borrowed(text) => read_text_planned(text, plan),
        Cow::Owned(text) => read_text_planned(&text, plan).map(|json| Json {
            is_repaired: true,
            ..json
        }),
    }
}

/// The bytes as text, with wrong bytes as U+FFFD.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    // Several times as fast as the search for wrong bytes, which few bodies have.
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// Parses a text as JSON.
pub fn read_text(text: &str) -> Result<Json, JsonError> {
    read_text_planned(text, &Plan::everything())
}

fn read_text_planned(text: &str, plan: &Plan) -> Result<Json, JsonError> {
    let text = text.trim_start_matches('\u{FEFF}');
    match reader::read(text, plan) {
        Ok(value) => Ok(Json::new(text, plan, value, false)),
        // Only rejected text is searched for surrogates: valid JSON costs nothing more.
        Err(error) => match without_lone_surrogates(text) {
            Some(repaired) => Ok(Json::new(&repaired, plan, reader::read(&repaired, plan)?, true)),
            None => Err(error.into()),
        },
    }
}

fn holds_float(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(elements) => elements.iter().any(holds_float),
        Value::Object(members) => members.values().any(holds_float),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

/// The bytes without leading byte order marks. Two occur if a program that writes one sends a file
/// that begins with one.
pub fn without_marks(mut bytes: &[u8]) -> &[u8] {
    while let Some(rest) = bytes.strip_prefix(MARK) {
        bytes = rest;
    }
    bytes
}

/// The text with `\ufffd` in place of every escape of a lone surrogate; `None` if there is none.
/// The length does not change, so that positions of other errors stay valid.
fn without_lone_surrogates(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut repaired = None;
    let mut at = 0;
    while let Some(next) = bytes.get(at..).and_then(|rest| memchr(b'\\', rest)) {
        at += next;
        at += match (unit(bytes, at), unit(bytes, at + ESCAPE)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 2 * ESCAPE,
            (Some(0xD800..=0xDFFF), _) => {
                let copy: &mut Vec<u8> = repaired.get_or_insert_with(|| bytes.to_vec());
                if let Some(escape) = copy.get_mut(at..at + ESCAPE) {
                    escape.copy_from_slice(br"\ufffd");
                }
                ESCAPE
            }
            (Some(_), _) => ESCAPE,
            // Another escape: the byte after the backslash starts no escape.
            (None, _) => 2,
        };
    }
    repaired.and_then(|repaired| String::from_utf8(repaired).ok())
}

/// The UTF-16 code unit of the escape `\uXXXX` at this index.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + ESCAPE)?.strip_prefix(br"\u")?;
    let digits = digits.iter().all(u8::is_ascii_hexdigit).then_some(digits)?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod repair_tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn half_a_surrogate_pair_is_replaced_and_nothing_else_is() {
        let cases: &[(&str, Value, bool)] = &[
            (r#""\ud83d""#, json!("\u{FFFD}"), true),
            (r#""\ude00""#, json!("\u{FFFD}"), true),
            (r#""\uD83D!""#, json!("\u{FFFD}!"), true),
            (r#""\ud83dx\ude00""#, json!("\u{FFFD}x\u{FFFD}"), true),
            (r#""\ude00\ud83d""#, json!("\u{FFFD}\u{FFFD}"), true),
            (r#""\ud83d\ud83d\ude00""#, json!("\u{FFFD}😀"), true),
            (r#""\ud83d\n""#, json!("\u{FFFD}\n"), true),
            (r#""\ud83d\u0041""#, json!("\u{FFFD}A"), true),
            (
                r#"{"\ud83d": ["\ud83d"]}"#,
                json!({"\u{FFFD}": ["\u{FFFD}"]}),
                true,
            ),
            // The backslash is escaped, so this is no surrogate.
            (r#"["\ud83d", "\\ud83d"]"#, json!(["\u{FFFD}", r"\ud83d"]), true),
            (r#""\\\ud83d""#, json!("\\\u{FFFD}"), true),
            (r#""\ud83d\ude00""#, json!("😀"), false),
            (r#""\ufffd""#, json!("\u{FFFD}"), false),
            (r#""\\ud83d""#, json!(r"\ud83d"), false),
        ];
        for (text, value, is_repaired) in cases {
            for json in [read(text.as_bytes()).unwrap(), read_text(text).unwrap()] {
                assert_eq!(
                    (&*json.tree.value, json.is_repaired),
                    (value, *is_repaired),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn marks_before_the_text_and_wrong_bytes_in_it_do_not_lose_it() {
        let marks = "\u{FEFF}".repeat(3);
        for text in ["[1]", "\u{FEFF}[1]", &format!("{marks}[1]")] {
            let json = read(text.as_bytes()).unwrap();
            assert_eq!(
                (&*json.tree.value, json.is_repaired),
                (&json!([1]), false),
                "{text:?}"
            );
        }
        let latin = read(b"{\"a\": \"na\xEFve\"}").unwrap();
        assert_eq!(*latin.tree.value, json!({"a": "na\u{FFFD}ve"}));
        assert!(latin.is_repaired);
        // Nothing is repaired between tokens.
        for wrong in [&b"[1,\xEF\xBB\xBF2]"[..], b"[1\xFF]", b"\xFF\xFE[\x001\x00]\x00"] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn invalid_json_is_refused_with_its_position() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(read_text(&deep(MAX_DEPTH)).is_ok());
        let cases = [
            (
                deep(MAX_DEPTH + 1),
                "nested more than 127 deep at line 1 column 128",
            ),
            (r#"["\ud83d", }"#.to_owned(), "expected value at line 1 column 12"),
            (r#"["\ud83", 1]"#.to_owned(), "invalid escape at line 1 column 8"),
            (r"\ud83d".to_owned(), "expected value at line 1 column 1"),
            ("NaN".to_owned(), "expected value at line 1 column 1"),
            ("[1e999]".to_owned(), "number out of range at line 1 column 6"),
            (String::new(), "EOF while parsing a value at line 1 column 0"),
        ];
        for (text, expected) in cases {
            assert_eq!(read_text(&text).unwrap_err().to_string(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_text_of_escapes_is_read_as_javascript_reads_it(
            units in proptest::collection::vec(prop_oneof![
                Just(0xD83D_u16), Just(0xDE00), Just(0x41), Just(0x5C), any::<u16>(),
            ], 0..20),
        ) {
            let mut text = String::new();
            for unit in &units {
                write!(text, "\\u{unit:04x}").unwrap();
            }
            let expected = String::from_utf16_lossy(&units);
            prop_assert_eq!(read_text(&format!("\"{text}\"")).unwrap().tree.value, Arc::new(json!(expected)));
        }

        #[test]
        fn no_text_panics(text in "(\\\\|u|d83d|de00|\"|\\[|\\]|\u{FEFF}|é|1){0,40}") {
            drop(read_text(&text));
        }
    }
}
