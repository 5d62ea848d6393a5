//! From raw bytes to a payload.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::content_type::{ContentType, Media};
use super::event::{Kind, Payload};
use super::form::{self, MAX_FIELDS};

/// How an endpoint reads its bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decode {
    /// As the content type says; without a telling one, JSON where the body is a JSON object or list, else text.
    #[default]
    Auto,
    /// As JSON, whatever the content type.
    Json,
    /// As the fields of a form, whatever the content type.
    Form,
    /// As text, whatever the content type.
    Text,
}

impl Decode {
    /// The one of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Auto, Self::Json, Self::Form, Self::Text]
            .into_iter()
            .find(|decode| decode.name() == name)
    }

    /// The word in the rules file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Json => "json",
            Self::Form => "form",
            Self::Text => "text",
        }
    }
}

/// Why a body cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undecodable {
    /// It is not JSON; what is wrong, with line and column.
    Json(String),
    /// JSON was promised and there is no body.
    Empty,
    /// JSON in a charset other than UTF-8.
    Charset(String),
    /// JSON under the content type of a form: what `curl -d` sends.
    JsonAsForm,
    /// A form of too many fields.
    TooManyFields,
}

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(what) => write!(f, "the body is not valid JSON: {what}"),
            Self::Empty => f.write_str("the body is empty where JSON was expected"),
            Self::Charset(charset) => {
                write!(f, "the content type says charset `{charset}`, and JSON is read as UTF-8 only")
            }
            Self::JsonAsForm => f.write_str(
                "the body is JSON but the content type says form: send application/json, or set `decode: json`",
            ),
            Self::TooManyFields => write!(f, "the form has more than {MAX_FIELDS} fields"),
        }
    }
}

impl std::error::Error for Undecodable {}

/// Reads `body` as `decode` says.
pub fn decode(decode: Decode, headers: &HeaderMap, body: &Bytes) -> Result<Payload, Undecodable> {
    let content_type = ContentType::of(headers);
    match (decode, content_type.media) {
        (Decode::Json, _) | (Decode::Auto, Media::Json) => json(&content_type, body),
        (Decode::Form, _) => Ok(payload(Kind::Form, Value::Object(fields(body)?))),
        (Decode::Text, _) | (Decode::Auto, Media::Text) => Ok(text(body)),
        (Decode::Auto, Media::Form) => auto_form(body),
        (Decode::Auto, Media::Other) => {
            Ok(structure(body).map_or_else(|| text(body), |value| payload(Kind::Json, value)))
        }
    }
}

fn payload(kind: Kind, value: Value) -> Payload {
    Payload {
        kind,
        value: Arc::new(value),
    }
}

fn json(content_type: &ContentType, body: &[u8]) -> Result<Payload, Undecodable> {
    if let Some(charset) = content_type.foreign_charset() {
        // A stranger's word that ends up in a log: short, and without control characters.
        return Err(Undecodable::Charset(
            charset.chars().take(40).flat_map(char::escape_debug).collect(),
        ));
    }
    let body = without_mark(body);
    if body.trim_ascii().is_empty() {
        return Err(Undecodable::Empty);
    }
    // Checked as a whole it is UTF-8 in one quick pass; the parser would check string by string.
    let parsed = match std::str::from_utf8(body) {
        Ok(text) => serde_json::from_str(text),
        Err(_) => serde_json::from_slice(body),
    };
    parsed
        .map(|value| payload(Kind::Json, value))
        .map_err(|error| Undecodable::Json(error.to_string()))
}

fn text(body: &[u8]) -> Payload {
    let value = if body.is_empty() {
        Value::Null
    } else {
        Value::String(String::from_utf8_lossy(body).into_owned())
    };
    payload(Kind::Text, value)
}

fn auto_form(body: &[u8]) -> Result<Payload, Undecodable> {
    if structure(body).is_some() {
        return Err(Undecodable::JsonAsForm);
    }
    let fields = fields(body)?;
    // GitHub and Gitea send their forms so: one field, holding the JSON.
    if fields.len() == 1
        && let Some(Value::String(inner)) = fields.get("payload")
        && let Some(value) = structure(inner.as_bytes())
    {
        return Ok(payload(Kind::Json, value));
    }
    Ok(payload(Kind::Form, Value::Object(fields)))
}

fn fields(body: &[u8]) -> Result<Map<String, Value>, Undecodable> {
    form::fields(body).ok_or(Undecodable::TooManyFields)
}

/// The JSON object or list that the bytes are, if they are one.
fn structure(body: &[u8]) -> Option<Value> {
    let body = without_mark(body);
    match body.trim_ascii_start().first() {
        Some(b'{' | b'[') => serde_json::from_slice(body).ok(),
        _ => None,
    }
}

/// The bytes without a UTF-8 byte order mark.
fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::CONTENT_TYPE;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn headers(content_type: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !content_type.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap());
        }
        headers
    }

    type Read = Result<(Kind, Value), String>;

    fn read(how: Decode, content_type: &str, body: &[u8]) -> Read {
        decode(how, &headers(content_type), &Bytes::copy_from_slice(body))
            .map(|payload| (payload.kind, (*payload.value).clone()))
            .map_err(|error| error.to_string())
    }

    const FORM: &str = "application/x-www-form-urlencoded";

    #[test]
    fn a_body_is_read_as_its_content_type_says() {
        let object = Ok((Kind::Json, json!({"a": 1})));
        let cases: &[(&str, &[u8], Read)] = &[
            ("application/json", br#"{"a":1}"#, object.clone()),
            (
                "Application/JSON; Charset=\"UTF-8\"",
                br#"{"a":1}"#,
                object.clone(),
            ),
            ("application/json;charset=us-ascii", br#"{"a":1}"#, object.clone()),
            ("application/cloudevents+json", br#"{"a":1}"#, object.clone()),
            ("application/json", b"\xEF\xBB\xBF{\"a\":1}", object.clone()),
            ("application/json", b"7", Ok((Kind::Json, json!(7)))),
            ("application/json", br#"{"a":0,"a":1}"#, object.clone()),
            (
                FORM,
                b"a=1&b=x+y&a=%C3%A9",
                Ok((Kind::Form, json!({"a": ["1", "é"], "b": "x y"}))),
            ),
            (FORM, b"", Ok((Kind::Form, json!({})))),
            (FORM, b"payload=%7B%22a%22%3A1%7D", object.clone()),
            (
                FORM,
                b"payload=%7B%22a",
                Ok((Kind::Form, json!({"payload": "{\"a"}))),
            ),
            (
                FORM,
                b"payload=%7B%22a%22%3A1%7D&b=1",
                Ok((Kind::Form, json!({"payload": "{\"a\":1}", "b": "1"}))),
            ),
            (FORM, b"{oops", Ok((Kind::Form, json!({"{oops": ""})))),
            ("text/plain", br#"{"a":1}"#, Ok((Kind::Text, json!("{\"a\":1}")))),
            ("text/plain", b"", Ok((Kind::Text, Value::Null))),
            ("", br#" {"a":1}"#, object.clone()),
            ("application/octet-stream", b"[1]", Ok((Kind::Json, json!([1])))),
            ("", b"7", Ok((Kind::Text, json!("7")))),
            ("", b"{a", Ok((Kind::Text, json!("{a")))),
            ("", b"\xFF!", Ok((Kind::Text, json!("\u{FFFD}!")))),
            ("", b"", Ok((Kind::Text, Value::Null))),
        ];
        for (content_type, body, expected) in cases {
            let shown = String::from_utf8_lossy(body);
            assert_eq!(
                &read(Decode::Auto, content_type, body),
                expected,
                "{content_type}: {shown}"
            );
        }
    }

    #[test]
    fn the_rules_file_has_the_last_word() {
        assert_eq!(
            read(Decode::Json, "text/plain", b"[1]"),
            Ok((Kind::Json, json!([1])))
        );
        assert_eq!(read(Decode::Json, FORM, b"[1]"), Ok((Kind::Json, json!([1]))));
        assert_eq!(
            read(Decode::Form, "application/json", b"a=1"),
            Ok((Kind::Form, json!({"a": "1"})))
        );
        assert_eq!(
            read(Decode::Form, FORM, b"payload=%7B%7D"),
            Ok((Kind::Form, json!({"payload": "{}"})))
        );
        assert_eq!(
            read(Decode::Text, "application/json", b"{}"),
            Ok((Kind::Text, json!("{}")))
        );
        for how in [Decode::Auto, Decode::Json, Decode::Form, Decode::Text] {
            assert_eq!(Decode::from_name(how.name()), Some(how));
            assert_eq!(serde_json::from_value::<Decode>(json!(how.name())).unwrap(), how);
        }
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let deep = "[".repeat(200);
        let cases: &[(&str, &[u8], &str)] = &[
            (
                "application/json",
                b"{\n  \"a\": }",
                "the body is not valid JSON: expected value at line 2 column 8",
            ),
            (
                "application/json",
                b"",
                "the body is empty where JSON was expected",
            ),
            (
                "application/json",
                b" \n",
                "the body is empty where JSON was expected",
            ),
            (
                "application/json; charset=utf-16",
                b"{}",
                "the content type says charset `utf-16`, and JSON is read as UTF-8 only",
            ),
            (
                "application/json",
                deep.as_bytes(),
                "the body is not valid JSON: recursion limit exceeded at line 1 column 128",
            ),
            (
                FORM,
                br#"{"a":1}"#,
                "the body is JSON but the content type says form: send application/json, or set `decode: json`",
            ),
        ];
        for (content_type, body, expected) in cases {
            assert_eq!(
                read(Decode::Auto, content_type, body),
                Err((*expected).to_owned())
            );
        }
        let many = "a=1&".repeat(MAX_FIELDS + 1);
        assert_eq!(
            read(Decode::Auto, FORM, many.as_bytes()),
            Err("the form has more than 10000 fields".to_owned())
        );
        assert!(read(Decode::Auto, FORM, "a=1&".repeat(MAX_FIELDS).as_bytes()).is_ok());
    }

    proptest! {
        #[test]
        fn no_body_and_no_content_type_panics(
            content_type in "[ -~]{0,40}|application/json; charset=[ -~]{0,9}",
            body in proptest::collection::vec(any::<u8>(), 0..200),
            text in "[\\[\\]{}\",:0-9a-e&=%+ \\\\-]{0,60}",
        ) {
            for how in [Decode::Auto, Decode::Json, Decode::Form, Decode::Text] {
                for content_type in [content_type.as_str(), FORM, "application/json", "text/x", ""] {
                    drop(read(how, content_type, &body));
                    drop(read(how, content_type, text.as_bytes()));
                }
            }
        }
    }
}
