//! Single field of a form, for senders that sign its value instead of the raw body.
//!
//! Gitea and its forks sign the decoded `payload`. The form must have no other field, because other
//! fields would not be signed.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::verify::parts::source::only_line;
use crate::verify::refusal::Refusal;

/// Returns the bytes that the sender signed as the body: the decoded value of `field` for a form,
/// otherwise the body.
pub fn signed_body<'b>(field: &str, headers: &HeaderMap, body: &'b [u8]) -> Result<Cow<'b, [u8]>, Refusal> {
    if !is_form(headers)? {
        return Ok(Cow::Borrowed(body));
    }
    let mut pairs = body.split(|byte| *byte == b'&');
    match (pairs.next().and_then(pair), pairs.next()) {
        (Some((name, value)), None) if decoded(name) == field.as_bytes() => Ok(Cow::Owned(decoded(value))),
        _ => Err(Refusal::UnreadableBody {
            needed: format!("a form with the one field `{field}`"),
            too_large: false,
        }),
    }
}

/// Returns true if the content type is that of a form.
pub fn is_form(headers: &HeaderMap) -> Result<bool, Refusal> {
    let essence = only_line(headers, &CONTENT_TYPE)?
        .and_then(|line| line.split(|byte| *byte == b';').next())
        .map(<[u8]>::trim_ascii);
    Ok(essence.is_some_and(|essence| essence.eq_ignore_ascii_case(b"application/x-www-form-urlencoded")))
}

/// Splits a field into name and value.
fn pair(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = text.iter().position(|byte| *byte == b'=')?;
    Some((text.get(..equals)?, text.get(equals + 1..)?))
}

/// Decodes the text of a field. Invalid escapes stay unchanged, as in the URL standard.
fn decoded(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = after;
        bytes.push(match (*first, after) {
            (b'+', _) => b' ',
            (b'%', [high, low, behind @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    rest = behind;
                    high << 4 | low
                }
                _ => b'%',
            },
            (byte, _) => byte,
        });
    }
    bytes
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(content_type: &str, body: &[u8]) -> Option<Vec<u8>> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        signed_body("payload", &headers, body).ok().map(Cow::into_owned)
    }

    #[test]
    fn of_a_form_the_field_is_signed_and_of_anything_else_the_body() {
        let form = "application/x-www-form-urlencoded";
        for content_type in [form, "Application/X-WWW-Form-URLencoded; charset=utf-8"] {
            let found = signed(content_type, b"payload=%7B%22a%22%3A+%22%C3%A9%26%2B%00%22%7D");
            assert_eq!(found.as_deref(), Some("{\"a\": \"é&+\0\"}".as_bytes()));
        }
        assert_eq!(signed(form, b"pay%6Coad=100%&").as_deref(), None);
        assert_eq!(
            signed(form, b"pay%6Coad=100%zz%f").as_deref(),
            Some(b"100%zz%f".as_slice())
        );
        assert_eq!(signed(form, b"payload=").as_deref(), Some(b"".as_slice()));
        for other in [
            "application/json",
            "text/plain",
            "application/x-www-form-urlencodedx",
        ] {
            assert_eq!(
                signed(other, b"payload=x").as_deref(),
                Some(b"payload=x".as_slice())
            );
        }
    }

    #[test]
    fn a_form_with_any_other_field_is_refused() {
        for body in [
            "",
            "payload",
            "other=1",
            "payload=1&other=2",
            "other=2&payload=1",
            "payload=1&payload=2",
        ] {
            assert_eq!(
                signed("application/x-www-form-urlencoded", body.as_bytes()),
                None,
                "{body}"
            );
        }
    }

    #[test]
    fn two_content_types_are_refused() {
        let mut headers = HeaderMap::new();
        headers.append(CONTENT_TYPE, "application/json".parse().unwrap());
        headers.append(CONTENT_TYPE, "application/x-www-form-urlencoded".parse().unwrap());
        assert!(signed_body("payload", &headers, b"payload=1").is_err());
    }
}
