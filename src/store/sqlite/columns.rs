//! Conversion of requests to columns and back.
//!
//! Bytes are kept exactly: a header value is JSON text if it is UTF-8, otherwise base64.

use std::fmt::Display;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use data_encoding::BASE64;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use rusqlite::Row;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::body;
use crate::base::clock::Timestamp;
use crate::event::Received;

/// Columns of [`received`], in its order.
pub(super) const RECEIVED: &str = "e.id, e.received_at, e.endpoint, e.method, e.path, e.query, e.parameters, \
                                   e.client, e.headers, b.body, b.lz4_size";

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

/// Reads a count. `SQLite` counts in signed numbers, which are never negative here.
pub(super) fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let count: i64 = row.get(column)?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Formats a value as a column of JSON.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Parses a column of JSON.
pub(super) fn from_json<T: DeserializeOwned>(column: &str, text: &str) -> Result<T, Unreadable> {
    serde_json::from_str(text).map_err(|error| Unreadable(format!("the column `{column}`: {error}")))
}

/// Reads the index of an action.
pub(super) fn action(row: &Row<'_>, column: usize) -> rusqlite::Result<usize> {
    let action: i64 = row.get(column)?;
    Ok(usize::try_from(action).unwrap_or(usize::MAX))
}

/// An error for a column whose text cannot be parsed.
#[derive(Debug)]
pub(super) struct Unreadable(pub String);

impl From<rusqlite::Error> for Unreadable {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string())
    }
}

/// Reads a request from a row of the columns [`RECEIVED`].
pub(super) fn received(row: &Row<'_>) -> Result<Received, Unreadable> {
    let client: Option<String> = row.get(7)?;
    Ok(Received {
        id: parsed("id", &row.get::<_, String>(0)?)?,
        at: Timestamp::from_millis(row.get(1)?),
        endpoint: Arc::from(row.get::<_, String>(2)?),
        method: parsed::<Method>("method", &row.get::<_, String>(3)?)?,
        path: row.get(4)?,
        query: row.get(5)?,
        parameters: parameters(&row.get::<_, String>(6)?)?,
        client: client
            .map(|client| parsed::<IpAddr>("client", &client))
            .transpose()?,
        certificate: None,
        headers: headers(&row.get::<_, String>(8)?)?,
        body: body::restore(row.get_ref(9)?, row.get(10)?).map_err(Unreadable)?,
    })
}

/// Parses a value that is kept as text.
pub(super) fn parsed<T: FromStr<Err: Display>>(column: &str, text: &str) -> Result<T, Unreadable> {
    text.parse()
        .map_err(|error| Unreadable(format!("the column `{column}`: {error}")))
}

fn parameters(column: &str) -> Result<Vec<(String, String)>, Unreadable> {
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
