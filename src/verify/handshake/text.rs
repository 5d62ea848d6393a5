//! Text that a handshake asks for: its location, and the checks before it is sent back.
//!
//! The text must occur once, be UTF-8, have no control character and be at most [`MAX_ECHO`] long.
//! Terminals and browsers therefore find nothing to act upon in an answer.

use http::HeaderName;
use percent_encoding::percent_decode;
use serde_json::Value;

use super::definition::TextLocation;
use crate::event::Received;
use crate::verify::parts::source::only_line;

/// Maximum length of a text that is sent back, in bytes.
pub const MAX_ECHO: usize = 4 << 10;

impl TextLocation {
    /// Reads the text. The error names the location and does not quote the text.
    pub(super) fn read(&self, received: &Received, json: Option<&Value>) -> Result<String, String> {
        let (place, found) = match self {
            Self::Query(name) => {
                let place = format!("`{name}` of the query");
                let mut values = query_values(&received.query, name);
                let first = values.next();
                if values.next().is_some() {
                    return Err(format!("{place} stands there more than once"));
                }
                (place, first)
            }
            Self::Header(name) => {
                let place = format!("the header `{name}`");
                match only_line(&received.headers, name) {
                    Ok(line) => (place, line.map(<[u8]>::to_vec)),
                    Err(repeated) => return Err(repeated.to_string()),
                }
            }
            Self::Json(path) => {
                let place = format!("`{path}` of the body");
                match json.and_then(|json| path.find(json)) {
                    Some(Value::String(text)) => (place, Some(text.clone().into_bytes())),
                    Some(_) => return Err(format!("{place} is not text")),
                    None => (place, None),
                }
            }
        };
        let found = found.ok_or_else(|| format!("{place} is missing"))?;
        if found.is_empty() {
            return Err(format!("{place} is empty"));
        }
        if found.len() > MAX_ECHO {
            return Err(format!(
                "{place} has {} bytes, and at most {MAX_ECHO} are sent back",
                found.len()
            ));
        }
        let text = String::from_utf8(found)
            .ok()
            .ok_or_else(|| format!("{place} is not UTF-8"))?;
        if text.chars().any(char::is_control) {
            return Err(format!("{place} holds a control character"));
        }
        Ok(text)
    }

    /// Header that holds the text, if it is in a header.
    pub(super) fn header(&self) -> Option<HeaderName> {
        match self {
            Self::Header(name) => Some(name.clone()),
            _ => None,
        }
    }
}

/// Values of the query parameter `name`, decoded to bytes.
pub(super) fn query_values<'q>(query: &'q str, name: &'q str) -> impl Iterator<Item = Vec<u8>> + 'q {
    query.split('&').filter_map(move |pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(key) == name.as_bytes()).then(|| decoded(value))
    })
}

fn decoded(text: &str) -> Vec<u8> {
    percent_decode(text.replace('+', " ").as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded_to_bytes_and_every_value_is_seen() {
        let values = |query: &'static str| -> Vec<Vec<u8>> { query_values(query, "a.b").collect() };
        assert_eq!(values(""), Vec::<Vec<u8>>::new());
        assert_eq!(values("a=1&x=2"), Vec::<Vec<u8>>::new());
        assert_eq!(values("a.b=1+2%2B&x&a%2Eb=%ff"), [b"1 2+".to_vec(), vec![0xff]]);
        assert_eq!(values("a.b"), [b""]);
        assert_eq!(values("a.b=x=y%"), [b"x=y%"]);
    }
}
