//! The output of templates: text unchanged, everything else as JSON, escaped for its target.
//!
//! A shell script that gets `False` instead of `false` takes the wrong branch, so values are not
//! written as minijinja would.

use std::sync::Arc;

use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Error, ErrorKind, Output, State, Value};

use crate::base::escape;
use crate::base::jsonpath::LargeIntegers;
use crate::template::json::{Digits, JsonObject};
use crate::template::json_text::{as_text, unwritable};
use crate::template::work;

/// The name of the escaping in URL templates.
pub const URL: &str = "url";
/// The name of the escaping in line templates.
pub const LINE: &str = "line";

/// A value as text: text unchanged, everything else as JSON.
pub fn text(value: &Value) -> Result<String, Error> {
    if let Some(json) = value.downcast_object_ref::<JsonObject>() {
        return json.written();
    }
    if let Some(digits) = value.downcast_object_ref::<Digits>() {
        return Ok(digits.0.to_string());
    }
    match value.kind() {
        ValueKind::String => Ok(value.as_str().unwrap_or_default().to_owned()),
        ValueKind::Undefined => Ok(String::new()),
        ValueKind::Bytes => {
            let bytes = value.as_bytes().unwrap_or_default();
            std::str::from_utf8(bytes)
                .map(str::to_owned)
                .map_err(|error| Error::new(ErrorKind::InvalidOperation, format!("not text: {error}")))
        }
        ValueKind::Plain | ValueKind::Invalid => Err(Error::new(
            ErrorKind::InvalidOperation,
            "this is not a value that can be written",
        )),
        _ => as_json(value),
    }
}

/// A value as JSON, including text. An undefined value inside a list or an object is an error too.
pub fn as_json(value: &Value) -> Result<String, Error> {
    defined(value)?;
    if value.downcast_object_ref::<JsonObject>().is_some() || value.downcast_object_ref::<Digits>().is_some()
    {
        return text(value);
    }
    as_text(value)
}

/// JSON with line breaks and indentation.
pub fn indented(compact: &str) -> Result<String, Error> {
    let value = Arc::new(serde_json::from_str(compact).map_err(unwritable)?);
    let integers = LargeIntegers::read(compact, &value);
    serde_json::to_string_pretty(&integers.exactly(&value)).map_err(unwritable)
}

/// Returns an error that names the undefined value, if `value` is undefined or contains one.
pub fn defined(value: &Value) -> Result<(), Error> {
    work::charge(1);
    match value.kind() {
        // An attribute lookup on an undefined value gives the error that names its origin.
        ValueKind::Undefined => value.get_attr("").map(drop),
        _ if value.downcast_object_ref::<JsonObject>().is_some() => Ok(()),
        ValueKind::Seq => value.try_iter()?.try_for_each(|item| defined(&item)),
        ValueKind::Map => value
            .try_iter()?
            .try_for_each(|key| defined(&value.get_item(&key)?)),
        _ => Ok(()),
    }
}

/// Writes the output of a template.
pub fn write(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let text = text(value)?;
    let syntax = match state.auto_escape() {
        AutoEscape::Custom(name) => name.as_ref(),
        _ => "",
    };
    match syntax {
        URL if !value.is_safe() => out.write_str(&percent_encoded(&text))?,
        // Also for text that is marked as safe: the mark concerns URLs and markup.
        LINE => out.write_str(&escape::line(&text))?,
        _ => out.write_str(&text)?,
    }
    Ok(())
}

/// Percent-encodes everything except letters, digits and `-_.~`. The result is always a single path
/// segment or query value.
pub fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            for digit in [byte >> 4, byte & 15] {
                let digit = char::from_digit(u32::from(digit), 16).unwrap_or('0');
                encoded.push(digit.to_ascii_uppercase());
            }
        }
    }
    encoded
}
