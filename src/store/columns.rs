//! Texts of columns, which every engine keeps alike.
//!
//! Bytes are kept exactly: a header value is JSON text if it is UTF-8, otherwise base64.

use std::fmt::Display;
use std::str::FromStr;

use bytes::Bytes;
use data_encoding::BASE64;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Formats the headers as a column.
pub(super) fn headers_column(headers: &HeaderMap) -> String {
    // Written as it goes: a tree of values would cost three allocations for each header.
    let mut column = String::with_capacity(headers.len() * 64 + 2);
    column.push('[');
    for (name, value) in headers {
        if column.len() > 1 {
            column.push(',');
        }
        column.push('[');
        push_text(&mut column, name.as_str());
        column.push(',');
        if let Ok(text) = str::from_utf8(value.as_bytes()) {
            push_text(&mut column, text);
        } else {
            column.push_str("{\"base64\":\"");
            BASE64.encode_append(value.as_bytes(), &mut column);
            column.push_str("\"}");
        }
        column.push(']');
    }
    column.push(']');
    column
}

/// Appends a text as JSON.
fn push_text(column: &mut String, text: &str) {
    let is_plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if text.bytes().all(is_plain) {
        column.push('"');
        column.push_str(text);
        column.push('"');
    } else {
        column.push_str(&Value::from(text).to_string());
    }
}

/// Formats the path parameters as a column.
pub(super) fn parameters_column(parameters: &[(String, String)]) -> String {
    if parameters.is_empty() {
        return "[]".to_owned();
    }
    Value::Array(
        parameters
            .iter()
            .map(|(name, value)| json!([name, value]))
            .collect(),
    )
    .to_string()
}

/// A count or a limit as a column or parameter.
pub(super) fn integer(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Formats a value as a column of JSON.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Parses a column of JSON.
pub(super) fn from_json<T: DeserializeOwned>(column: &str, text: &str) -> Result<T, Unreadable> {
    serde_json::from_str(text).map_err(|error| Unreadable(format!("the column `{column}`: {error}")))
}

/// An error for a column whose text cannot be parsed.
#[derive(Debug)]
pub(super) struct Unreadable(pub String);

/// Parses a value that is kept as text.
pub(super) fn parsed<T: FromStr<Err: Display>>(column: &str, text: &str) -> Result<T, Unreadable> {
    text.parse()
        .map_err(|error| Unreadable(format!("the column `{column}`: {error}")))
}

/// Parses the path parameters of a column.
pub(super) fn parameters(column: &str) -> Result<Vec<(String, String)>, Unreadable> {
    from_json("parameters", column)
}

/// Parses the headers of a column.
pub(super) fn headers(column: &str) -> Result<HeaderMap, Unreadable> {
    let pairs: Vec<(String, Value)> = from_json("headers", column)?;
    let mut headers = HeaderMap::with_capacity(pairs.len());
    for (name, value) in pairs {
        let bytes = match &value {
            Value::String(text) => Some(text.as_bytes().to_vec()),
            other => other
                .get("base64")
                .and_then(Value::as_str)
                .and_then(|text| BASE64.decode(text.as_bytes()).ok()),
        };
        let value = bytes.and_then(|bytes| HeaderValue::from_maybe_shared(Bytes::from(bytes)).ok());
        let (Some(value), Ok(name)) = (value, HeaderName::from_bytes(name.as_bytes())) else {
            return Err(Unreadable("the column `headers` holds something else".to_owned()));
        };
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_with_their_order_repetitions_and_bytes() {
        let mut given = HeaderMap::new();
        for (name, value) in [
            ("x-b", &b"plain"[..]),
            ("x-a", b"caf\xc3\xa9"),
            ("x-a", b"caf\xe9"),
            ("x-b", b""),
            ("x-c", br#"{"base64":"AA=="}"#),
            ("x-d", b"C:\\temp\tx"),
        ] {
            given.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        let column = headers_column(&given);
        assert_eq!(
            column,
            r#"[["x-b","plain"],["x-b",""],["x-a","café"],["x-a",{"base64":"Y2Fm6Q=="}],["x-c","{\"base64\":\"AA==\"}"],["x-d","C:\\temp\tx"]]"#
        );
        assert_eq!(headers(&column).unwrap(), given);
        assert_eq!(headers_column(&HeaderMap::new()), "[]");
    }

    #[test]
    fn a_column_that_holds_something_else_is_unreadable_and_no_panic() {
        for column in [
            "",
            "7",
            "[[1,2]]",
            r#"[["a b","x"]]"#,
            r#"[["a","x\ny"]]"#,
            r#"[["a",{"base64":"*"}]]"#,
        ] {
            assert!(headers(column).is_err(), "{column}");
        }
    }
}
