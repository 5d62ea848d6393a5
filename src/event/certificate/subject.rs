//! Distinguished names, of certificates (RFC 5280 §4.1.2.4) and as text (RFC 4514).
//!
//! Both are normalised to what `openssl x509 -nameopt RFC2253` prints: short names of types, and
//! escaped text for values. Two names are equal if their normalised parts are equal, in the same
//! order. The string type in the certificate does not count. `attribute.rs` knows the types.

use std::fmt;
use std::str::Chars;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use x509_parser::asn1_rs::{Any, BmpString, Class, FromDer as _, Tag, ToDer as _, UniversalString};
use x509_parser::x509::X509Name;

use crate::event::certificate::attribute;

/// Distinguished name: its parts in order, each normalised, such as `CN=ci` or `OU=dev+CN=ci`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject(Vec<String>);

/// OID of a type, and the normalised value.
type Attribute = (String, String);

/// Error in a text that should be a distinguished name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectError {
    UnknownType(String),
    /// Syntax that RFC 4514 does not allow, with a hint.
    Malformed(&'static str),
}

impl Subject {
    /// Converts the name of a certificate.
    pub fn of(name: &X509Name<'_>) -> Self {
        let parts = name.iter_rdn().map(|part| {
            let attributes = part.iter();
            let attributes = attributes.map(|attribute| {
                let oid = attribute.attr_type().to_id_string();
                (oid, normalised(attribute.attr_value()))
            });
            joined(attributes.collect())
        });
        Self(parts.collect())
    }

    /// Parses `CN=ci,O=Acme`.
    pub fn parse(text: &str) -> Result<Self, SubjectError> {
        let parts = split(text, ',').into_iter().map(|part| {
            let attributes: Result<_, _> = split(part, '+').into_iter().map(attribute).collect();
            attributes.map(joined)
        });
        Ok(Self(parts.collect::<Result<_, _>>()?))
    }

    /// True if the names are equal, or equal with one of them reversed. RFC 4514 writes the last
    /// part first, and most tools do not.
    pub fn is(&self, other: &Self) -> bool {
        self == other || self.0.iter().rev().eq(&other.0)
    }
}

impl fmt::Display for Subject {
    /// Writes the name so that [`Subject::parse`] can read it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [] => f.write_str("no subject"),
            parts => f.write_str(&parts.join(",")),
        }
    }
}

/// Joins the attributes of a part. They have no order, so they are sorted.
fn joined(mut attributes: Vec<Attribute>) -> String {
    attributes.sort_unstable();
    let texts = attributes.iter();
    let texts = texts.map(|(oid, value)| format!("{}={value}", attribute::name(oid).unwrap_or(oid)));
    texts.collect::<Vec<_>>().join("+")
}

/// Normalises a value of a certificate to escaped text, or to `#` and the whole DER of a value that
/// is not text (RFC 4514 §2.4).
fn normalised(any: &Any<'_>) -> String {
    if let Some(text) = text(any) {
        return escaped(&text);
    }
    let der = any.to_der_vec().unwrap_or_else(|_| any.data.to_vec());
    format!("#{}", HEXLOWER.encode(&der))
}

/// Decodes a value, if it is a string (X.680 §41).
fn text(any: &Any<'_>) -> Option<String> {
    if any.class() != Class::Universal {
        return None;
    }
    match any.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::NumericString | Tag::Ia5String | Tag::VisibleString => {
            std::str::from_utf8(any.data).ok().map(str::to_owned)
        }
        // The crate pads an odd byte.
        Tag::BmpString if any.data.len().is_multiple_of(2) => Some(BmpString::try_from(any).ok()?.string()),
        Tag::UniversalString => Some(UniversalString::try_from(any).ok()?.string()),
        // T.61 by name, but Latin-1 in all certificates found in practice.
        Tag::TeletexString => Some(any.data.iter().copied().map(char::from).collect()),
        _ => None,
    }
}

/// Escapes the characters that RFC 4514 §2.4 names, and control characters, so that a log entry
/// stays on one line.
fn escaped(text: &str) -> String {
    let last = text.chars().count().saturating_sub(1);
    let mut escaped = String::with_capacity(text.len());
    for (index, letter) in text.chars().enumerate() {
        match letter {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => escaped.push('\\'),
            '#' if index == 0 => escaped.push('\\'),
            ' ' if index == 0 || index == last => escaped.push('\\'),
            _ if letter.is_control() => {
                for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
                    escaped.push('\\');
                    escaped.push_str(&HEXLOWER.encode(&[byte]));
                }
                continue;
            }
            _ => {}
        }
        escaped.push(letter);
    }
    escaped
}

/// Splits a text at separators that are neither escaped nor in quotes.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut escaped, mut quoted) = (false, false);
    let separates = |letter: char| {
        let literal = std::mem::take(&mut escaped);
        match letter {
            _ if literal => {}
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            _ => return letter == separator && !quoted,
        }
        false
    };
    text.split(separates).collect()
}

/// Parses `CN=ci`.
fn attribute(text: &str) -> Result<Attribute, SubjectError> {
    let (name, value) = text.split_once('=').ok_or(SubjectError::Malformed(
        "each part is `type=value`; in a value `,` is written `\\,`, and `+` is written `\\+`",
    ))?;
    let name = name.trim();
    if name.is_empty() {
        return Err(SubjectError::Malformed("there is no type before a `=`"));
    }
    let oid = attribute::oid(name).ok_or_else(|| SubjectError::UnknownType(name.to_owned()))?;
    let value = trimmed(value);
    let value = match value.strip_prefix('#') {
        Some(digits) => from_digits(digits)?,
        None => escaped(&unescaped(value)?),
    };
    Ok((oid, value))
}

/// Removes spaces around a value. An escaped space at its end stays.
fn trimmed(value: &str) -> &str {
    let value = value.trim_ascii_start();
    let end = value.trim_ascii_end();
    let escapes = end.bytes().rev().take_while(|byte| *byte == b'\\').count();
    value.get(..end.len() + escapes % 2).unwrap_or(value)
}

/// Parses the DER of a value in hexadecimal digits: `0c026369`.
fn from_digits(digits: &str) -> Result<String, SubjectError> {
    let der = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).unwrap_or_default();
    match Any::from_der(&der) {
        Ok(([], any)) => Ok(normalised(&any)),
        _ => Err(SubjectError::Malformed(
            "after `#` stands the DER of a value in hexadecimal digits; a `#` that begins a value is written `\\#`",
        )),
    }
}

/// Parses `Acme\, Inc.`, or `"Acme, Inc."`. RFC 4514 no longer has the quotes, but
/// `openssl x509 -subject` prints them.
fn unescaped(value: &str) -> Result<String, SubjectError> {
    const QUOTES: SubjectError =
        SubjectError::Malformed("a `\"` stands at both ends of a value, and in a value it is written `\\\"`");
    let value = match value.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"').ok_or(QUOTES)?,
        None => value,
    };
    let mut bytes = Vec::with_capacity(value.len());
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => bytes.push(escape(&mut letters)?),
            '"' => return Err(QUOTES),
            _ => bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.is_empty() => Ok(text),
        Ok(_) => Err(SubjectError::Malformed("there is no value after a `=`")),
        Err(_) => Err(SubjectError::Malformed("what `\\` and two digits write is UTF-8")),
    }
}

/// Parses the rest of an escape: a special character, or a byte in hexadecimal digits.
fn escape(letters: &mut Chars<'_>) -> Result<u8, SubjectError> {
    let digit = |letter: char| letter.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let first = letters.next();
    let special = first.and_then(|letter| u8::try_from(letter).ok());
    if let Some(special) = special.filter(|letter| b"\"+,;<>\\ #=".contains(letter)) {
        return Ok(special);
    }
    let byte = first.and_then(digit).zip(letters.next().and_then(digit));
    let (high, low) = byte.ok_or(SubjectError::Malformed(
        "after `\\` stands one of `\"+,;<>#= \\`, or two hexadecimal digits",
    ))?;
    Ok(high << 4 | low)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Subject {
        Subject::parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"))
    }

    #[test]
    fn every_notation_of_a_subject_is_parsed() {
        for (text, expected) in [
            ("CN=ci,O=Acme", "CN=ci,O=Acme"),
            (" cn = ci , o = Acme ", "CN=ci,O=Acme"),
            ("commonName=ci,OID.2.5.4.10=Acme", "CN=ci,O=Acme"),
            ("CN=ci+OU=dev", "OU=dev+CN=ci"),
            ("CN=ci + OU = dev,O=Acme", "OU=dev+CN=ci,O=Acme"),
            ("O=Acme\\, Inc.", "O=Acme\\, Inc."),
            ("O=\"Acme, Inc.\" , CN=ci", "O=Acme\\, Inc.,CN=ci"),
            ("O=A\\+B", "O=A\\+B"),
            ("CN=pr\\C3\\BCfer", "CN=prüfer"),
            ("CN=\\ ci\\20", "CN=\\ ci\\ "),
            ("CN=\\#1", "CN=\\#1"),
            ("CN=#0c026369", "CN=ci"),
            ("CN=#0C026369 ,O=a=b", "CN=ci,O=a=b"),
            ("1.2.3.4.5=#0500", "1.2.3.4.5=#0500"),
            ("CN=a\\0ab", "CN=a\\0ab"),
            ("CN=a\\\\ ,O=b", "CN=a\\\\,O=b"),
            ("O=\"a\\\"b+c\"", "O=a\\\"b\\+c"),
            ("CN=\\\"x\\\"", "CN=\\\"x\\\""),
            ("E=ci@acme.example", "emailAddress=ci@acme.example"),
        ] {
            assert_eq!(parsed(text).to_string(), expected, "{text}");
            assert_eq!(parsed(expected), parsed(text), "{text}");
        }
    }

    #[test]
    fn a_malformed_subject_is_refused() {
        for wrong in [
            "",
            "ci",
            "CN=",
            "=ci",
            "CN=ci,",
            "CN=ci+",
            "CN=ci\\",
            "CN=\\x",
            "CN=\\C3",
            "CN=\\C",
            "O=A+B",
            "O=\"Acme",
            "O=\"Acme\" Inc.",
            "O=Ac\"me,CN=ci",
            "CN=#",
            "CN=#0",
            "CN=#0c03",
            "CN=#0c02636900",
        ] {
            assert!(
                matches!(Subject::parse(wrong), Err(SubjectError::Malformed(_))),
                "{wrong}"
            );
        }
        assert_eq!(
            Subject::parse("CN=ci,X=y"),
            Err(SubjectError::UnknownType("X".to_owned()))
        );
    }

    #[test]
    fn parts_have_an_order_and_attributes_of_one_part_have_none() {
        assert!(parsed("CN=ci,O=Acme").is(&parsed("O=Acme,CN=ci")));
        assert!(parsed("CN=ci+OU=dev,O=Acme").is(&parsed("O=Acme,OU=dev+CN=ci")));
        for (one, other) in [
            ("CN=ci,OU=dev,O=Acme", "OU=dev,CN=ci,O=Acme"),
            ("CN=ci,OU=dev", "CN=ci+OU=dev"),
            ("CN=ci", "CN=ci,CN=ci"),
            ("CN=ci", "CN=CI"),
            ("CN=ci,O=Acme", "CN=ci\\,O=Acme"),
            ("CN=ci", "CN=\\ ci"),
        ] {
            assert!(!parsed(one).is(&parsed(other)), "{one} {other}");
        }
    }

    #[test]
    fn the_string_type_does_not_count_and_other_values_are_shown_as_bytes() {
        for (der, expected) in [
            (&b"\x0c\x05Acm\xc3\xa9"[..], "Acmé"),
            (b"\x13\x04Acme", "Acme"),
            (b"\x1e\x08\0A\0c\0m\0\xe9", "Acmé"),
            (b"\x14\x04Acm\xe9", "Acmé"),
            (b"\x1c\x08\0\0\0A\0\0\0\xe9", "Aé"),
            (b"\x1e\x03\0A\0", "#1e03004100"),
            (b"\x1e\x02\xd8\0", "#1e02d800"),
            (b"\x1c\x04\xff\xff\xff\xff", "#1c04ffffffff"),
            (b"\x0c\x01\xff", "#0c01ff"),
            (b"\x02\x01\x07", "#020107"),
        ] {
            let (_, any) = Any::from_der(der).unwrap();
            assert_eq!(normalised(&any), expected);
        }
    }
}
