//! Filters of our own that convert text: JSON, Base64, digests, patterns and times.
//!
//! Each is bounded: the engine charges only for results, so what a filter walks is charged here.

use data_encoding::{BASE64, HEXLOWER};
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};
use regex::Regex;
use sha2::{Digest, Sha256};
use time::format_description::{OwnedFormatItem, parse_strftime_owned};
use time::{OffsetDateTime, UtcOffset};

use crate::base::{base64, clock::Timestamp, json};
use crate::template::json::document_value;
use crate::template::{output, work};

/// Maximum size of what a filter writes beyond its input, in bytes. A longer text fails the
/// rendering.
pub const MAX_FILTERED: usize = 4 << 20;
/// Maximum size of a text in which `regex_replace` searches, in bytes.
pub const MAX_SEARCHED: usize = 16 << 10;
/// Maximum size of a replacement, in bytes.
pub const MAX_REPLACEMENT: usize = 1 << 10;
/// Maximum work of a pattern of `regex_replace`, in characters with repetitions written out.
pub const MAX_COST: u64 = 256;
/// Work of a pattern times bytes of text that count as one access.
const SEARCHED_PER_UNIT: usize = 128;
/// Maximum length of the format of `datetimeformat`, in bytes.
const MAX_FORMAT: usize = 256;

/// `| fromjson`: the value that a JSON text describes.
pub fn from_json(value: &Value) -> Result<Value, Error> {
    let text = text_of(value)?;
    let parsed = json::read_text(&text).map_err(|error| failed(&format!("not JSON: {error}")))?;
    Ok(document_value(&parsed.tree.into()))
}

/// `| b64decode`: the text that Base64 stands for. Bytes that are not UTF-8 can only be passed on to
/// another filter.
pub fn b64decode(value: &Value) -> Result<Value, Error> {
    let bytes = base64::decode(&text_of(value)?).ok_or_else(|| failed("not Base64"))?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(error) => Value::from_bytes(error.into_bytes()),
    })
}

/// `| b64encode`: Base64 of text or bytes, in the standard alphabet with padding.
pub fn b64encode(value: &Value) -> Result<String, Error> {
    Ok(BASE64.encode(&bytes_of(value)?))
}

/// `| sha256`: the SHA-256 of text or bytes, in hex.
pub fn sha256(value: &Value) -> Result<String, Error> {
    Ok(HEXLOWER.encode(&Sha256::digest(bytes_of(value)?)))
}

/// Replaces every match of `pattern` in `value`. `$1` and `${name}` in the replacement stand for
/// groups. `cost` is the work of the pattern: each search may read the whole rest of the text, so
/// that a search costs the size of the rest times the work.
pub fn regex_replace(
    value: &Value,
    (pattern, cost): (&Regex, u64),
    replacement: &str,
) -> Result<String, Error> {
    let text = text_of(value)?;
    if text.len() > MAX_SEARCHED || replacement.len() > MAX_REPLACEMENT {
        let message = format!(
            "`regex_replace` takes a text of {MAX_SEARCHED} bytes and a replacement of {MAX_REPLACEMENT} at most"
        );
        return Err(Error::new(ErrorKind::OutOfFuel, message));
    }
    let cost = usize::try_from(cost).unwrap_or(usize::MAX);
    let (mut replaced, mut from) = (String::new(), 0);
    for found in pattern.captures_iter(&text) {
        let Some(whole) = found.get(0) else { continue };
        let rest = text.len() - whole.start();
        work::charge(1 + rest.saturating_mul(cost) / SEARCHED_PER_UNIT);
        replaced.push_str(text.get(from..whole.start()).unwrap_or_default());
        found.expand(replacement, &mut replaced);
        from = whole.end();
        if replaced.len() > text.len() + MAX_FILTERED {
            let message = "`regex_replace` writes more than 4 MiB";
            return Err(Error::new(ErrorKind::OutOfFuel, message));
        }
    }
    replaced.push_str(text.get(from..).unwrap_or_default());
    Ok(replaced)
}

/// `| datetimeformat("%d.%m.%Y", tz="+02:00")`: a time as text. The time is RFC 3339, or seconds
/// since 1970.
#[expect(
    clippy::needless_pass_by_value,
    reason = "minijinja hands options over by value"
)]
pub fn datetimeformat(value: &Value, format: Option<&str>, options: Kwargs) -> Result<String, Error> {
    let offset: Option<&str> = options.get("tz")?;
    options.assert_all_used()?;
    let format = parse_format(format.unwrap_or("%Y-%m-%d %H:%M:%S")).map_err(|why| failed(&why))?;
    let at = time_of(value)?;
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.as_millis()) * 1_000_000)
        .ok()
        .and_then(|at| at.checked_to_offset(offset.map_or(Some(UtcOffset::UTC), parse_offset)?));
    let at = at.ok_or_else(|| {
        failed("`tz` is an offset such as `+02:00` or `Z`, and the time is one of the years 0 to 9999")
    })?;
    at.format(&format).map_err(|error| failed(&error.to_string()))
}

/// The format of `datetimeformat`, or the reason for refusing it.
pub fn parse_format(format: &str) -> Result<OwnedFormatItem, String> {
    if format.len() > MAX_FORMAT {
        return Err(format!("a format has at most {MAX_FORMAT} bytes"));
    }
    parse_strftime_owned(format)
        .map_err(|error| format!("`{format}` is no format such as `%Y-%m-%d %H:%M:%S`: {error}"))
}

/// A time: RFC 3339, or seconds since 1970 as a number or digits.
fn time_of(value: &Value) -> Result<Timestamp, Error> {
    output::defined(value)?;
    let text = output::text(value)?;
    let seconds = text.parse::<i64>().map(Timestamp::from_seconds).ok();
    let fraction = || match value.kind() {
        ValueKind::Number => f64::try_from(value.clone()).ok(),
        _ => None,
    };
    #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
    let fraction = || fraction().map(|seconds| Timestamp::from_millis((seconds * 1000.0) as i64));
    seconds
        .or_else(fraction)
        .or_else(|| Timestamp::parse_rfc3339(&text))
        .ok_or_else(|| failed("not a time: RFC 3339, or seconds since 1970"))
}

/// Reads `Z`, `+02:00` or `-0330`.
fn parse_offset(text: &str) -> Option<UtcOffset> {
    if text == "Z" {
        return Some(UtcOffset::UTC);
    }
    let (sign, digits) = match text.as_bytes().first()? {
        b'+' => (1, text.get(1..)?),
        b'-' => (-1, text.get(1..)?),
        _ => return None,
    };
    let (hours, minutes) = digits.split_once(':').or_else(|| digits.split_at_checked(2))?;
    let number = |text: &str| {
        let plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i8>().ok().filter(|_| plain)
    };
    let minutes = number(minutes).filter(|minutes| *minutes < 60)?;
    UtcOffset::from_hms(sign * number(hours)?, sign * minutes, 0).ok()
}

/// The text of a defined value, charged to the render.
fn text_of(value: &Value) -> Result<String, Error> {
    output::defined(value)?;
    let text = output::text(value)?;
    work::charge_text(text.len());
    Ok(text)
}

/// The bytes of a defined value, charged to the render.
fn bytes_of(value: &Value) -> Result<Vec<u8>, Error> {
    match value.as_bytes() {
        Some(bytes) if value.kind() == ValueKind::Bytes => {
            work::charge_text(bytes.len());
            Ok(bytes.to_vec())
        }
        _ => text_of(value).map(String::into_bytes),
    }
}

fn failed(message: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_read_strictly() {
        for (text, seconds) in [("Z", 0), ("+02:00", 7200), ("-0330", -12600), ("+14:00", 50400)] {
            assert_eq!(parse_offset(text).unwrap().whole_seconds(), seconds, "{text}");
        }
        for text in [
            "",
            "02:00",
            "+2:00",
            "+02:60",
            "+02",
            "+99:00",
            "Europe/Berlin",
            "+ä:00",
            "+-1:00",
        ] {
            assert_eq!(parse_offset(text), None, "{text}");
        }
    }

    #[test]
    fn what_a_replacement_writes_is_bounded() {
        let pattern = Regex::new("a").unwrap();
        let replace =
            |text: &str, replacement: &str| regex_replace(&Value::from(text), (&pattern, 1), replacement);
        assert_eq!(replace("aXa", "$0$0").unwrap(), "aaXaa");
        let error = |text: String, replacement: String| replace(&text, &replacement).unwrap_err().kind();
        let bound = ErrorKind::OutOfFuel;
        assert_eq!(
            error("a".repeat(MAX_SEARCHED), "b".repeat(MAX_REPLACEMENT)),
            bound
        );
        assert_eq!(error("a".repeat(MAX_SEARCHED + 1), String::new()), bound);
        assert_eq!(error("a".to_owned(), "b".repeat(MAX_REPLACEMENT + 1)), bound);
        let empty = Regex::new("x*").unwrap();
        assert_eq!(
            regex_replace(&Value::from("aß"), (&empty, 1), "-").unwrap(),
            "-a-ß-"
        );
    }

    #[test]
    fn searches_that_read_the_rest_of_the_text_again_and_again_end_early() {
        let patterns = crate::base::patterns::Patterns::default();
        for (pattern, letter) in [("<[^>]*>|<", "<"), ("a*b|a", "a")] {
            let (regex, cost) = patterns.search(pattern).unwrap();
            let text = Value::from(letter.repeat(MAX_SEARCHED));
            let ended = work::limited(|| regex_replace(&text, (&regex, cost), "").is_ok());
            assert_eq!(ended, None, "{pattern}");
            let short = Value::from(letter.repeat(1000));
            let ended = work::limited(|| regex_replace(&short, (&regex, cost), "").is_ok());
            assert_eq!(ended, Some(true), "{pattern}");
        }
        assert!(patterns.search("(?:a{1,400}b?){1,8}z|a").unwrap().1 > MAX_COST);
    }
}
