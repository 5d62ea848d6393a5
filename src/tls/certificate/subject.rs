//! Distinguished names, of certificates (RFC 5280 §4.1.2.4) and as text (RFC 4514).
//!
//! Two names are equal if their parts are equal, in the same order. Parts are compared by type and,
//! character by character, by text. The string type in the certificate does not count. Values that
//! are not text are compared as bytes.

use std::fmt::{self, Write as _};
use std::iter::Peekable;
use std::str::Chars;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use x509_parser::asn1_rs::{Any, Class, FromDer as _, Tag, ToDer as _};
use x509_parser::x509::X509Name;

use crate::tls::certificate::attribute;

/// Distinguished name: parts in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject(Vec<Part>);

/// Part of a name: usually one attribute, sometimes several (`OU=dev+CN=ci`). An attribute is the
/// OID of its type and its value. Attributes of a part have no order and are kept sorted.
type Part = Vec<(String, AttributeValue)>;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum AttributeValue {
    Text(String),
    /// Whole DER encoding of a value that is not text.
    Der(Vec<u8>),
}

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
            let attributes = part.iter().map(|attribute| {
                let value = AttributeValue::of(attribute.attr_value());
                (attribute.attr_type().to_id_string(), value)
            });
            sorted(attributes.collect())
        });
        Self(parts.collect())
    }

    /// Parses `CN=ci,O=Acme`.
    pub fn parse(text: &str) -> Result<Self, SubjectError> {
        let mut letters = text.chars().peekable();
        let (mut parts, mut part) = (Vec::new(), Vec::new());
        loop {
            part.push((kind(&mut letters)?, value(&mut letters)?));
            let end = letters.next();
            if end != Some('+') {
                parts.push(sorted(std::mem::take(&mut part)));
            }
            if end.is_none() {
                return Ok(Self(parts));
            }
        }
    }

    /// True if the names are equal, or equal with one of them reversed. RFC 4514 writes the last
    /// part first, and most tools do not.
    pub fn is(&self, other: &Self) -> bool {
        self == other || self.0.iter().rev().eq(&other.0)
    }
}

fn sorted(mut part: Part) -> Part {
    part.sort_unstable();
    part
}

impl fmt::Display for Subject {
    /// Writes the name so that [`Subject::parse`] can read it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no subject");
        }
        for (index, part) in self.0.iter().enumerate() {
            for (number, (oid, value)) in part.iter().enumerate() {
                match (index, number) {
                    (0, 0) => {}
                    (_, 0) => f.write_char(',')?,
                    _ => f.write_char('+')?,
                }
                write!(f, "{}={value}", attribute::name(oid).unwrap_or(oid))?;
            }
        }
        Ok(())
    }
}

impl AttributeValue {
    /// Converts the value of a certificate.
    fn of(any: &Any<'_>) -> Self {
        let der = || any.to_der_vec().unwrap_or_else(|_| any.data.to_vec());
        text(any).map_or_else(|| Self::Der(der()), Self::Text)
    }
}

impl fmt::Display for AttributeValue {
    /// Escapes as in RFC 4514 §2.4.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Text(text) => text,
            Self::Der(bytes) => return write!(f, "#{}", HEXLOWER.encode(bytes)),
        };
        let last = text.chars().count().saturating_sub(1);
        for (index, letter) in text.chars().enumerate() {
            match letter {
                '"' | '+' | ',' | ';' | '<' | '>' | '\\' => write!(f, "\\{letter}")?,
                '#' if index == 0 => f.write_str("\\#")?,
                ' ' if index == 0 || index == last => f.write_str("\\ ")?,
                // Escape control characters, so that a log entry stays on one line.
                _ if letter.is_control() => {
                    for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
                        write!(f, "\\{byte:02x}")?;
                    }
                }
                _ => f.write_char(letter)?,
            }
        }
        Ok(())
    }
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
        Tag::BmpString => {
            let (pairs, []) = any.data.as_chunks() else {
                return None;
            };
            let units = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
            char::decode_utf16(units).collect::<Result<_, _>>().ok()
        }
        Tag::UniversalString => {
            let (quads, []) = any.data.as_chunks() else {
                return None;
            };
            let letters = quads.iter().map(|quad| char::from_u32(u32::from_be_bytes(*quad)));
            letters.collect()
        }
        // T.61 by name, but Latin-1 in all certificates found in practice.
        Tag::TeletexString => Some(any.data.iter().copied().map(char::from).collect()),
        _ => None,
    }
}

type Letters<'t> = Peekable<Chars<'t>>;

/// True if a value ends before this character.
fn ends(letter: Option<&char>) -> bool {
    matches!(letter, None | Some(',' | '+'))
}

/// Parses an attribute type with its `=`, and returns the OID.
fn kind(letters: &mut Letters<'_>) -> Result<String, SubjectError> {
    let mut written = String::new();
    loop {
        match letters.next() {
            Some('=') => break,
            Some(letter) if !ends(Some(&letter)) => written.push(letter),
            _ => {
                return Err(SubjectError::Malformed(
                    "each part is `type=value`; in a value `,` is written `\\,`, and `+` is written `\\+`",
                ));
            }
        }
    }
    let written = written.trim();
    if written.is_empty() {
        return Err(SubjectError::Malformed("there is no type before a `=`"));
    }
    attribute::oid(written).ok_or_else(|| SubjectError::UnknownType(written.to_owned()))
}

/// Parses a value up to its end.
fn value(letters: &mut Letters<'_>) -> Result<AttributeValue, SubjectError> {
    while letters.next_if(char::is_ascii_whitespace).is_some() {}
    if letters.next_if_eq(&'#').is_some() {
        return der(letters);
    }
    let bytes = if letters.next_if_eq(&'"').is_some() {
        quoted(letters)?
    } else {
        plain(letters)?
    };
    match String::from_utf8(bytes) {
        Ok(text) if !text.is_empty() => Ok(AttributeValue::Text(text)),
        Ok(_) => Err(SubjectError::Malformed("there is no value after a `=`")),
        Err(_) => Err(SubjectError::Malformed("what `\\` and two digits write is UTF-8")),
    }
}

/// Parses `ci`, without surrounding spaces that are not escaped.
fn plain(letters: &mut Letters<'_>) -> Result<Vec<u8>, SubjectError> {
    let (mut bytes, mut kept) = (Vec::new(), 0);
    while !ends(letters.peek()) {
        let Some(letter) = letters.next() else { break };
        if letter == '\\' {
            bytes.extend(escaped(letters)?);
        } else {
            push(&mut bytes, letter);
        }
        if letter == '\\' || !letter.is_ascii_whitespace() {
            kept = bytes.len();
        }
    }
    bytes.truncate(kept);
    Ok(bytes)
}

/// Parses `Acme, Inc."`, after its first quotation mark. RFC 4514 no longer has this form, but RFC
/// 2253 §4 and OpenSSL's output do.
fn quoted(letters: &mut Letters<'_>) -> Result<Vec<u8>, SubjectError> {
    let mut bytes = Vec::new();
    loop {
        match letters.next() {
            Some('"') => break,
            Some('\\') => bytes.extend(escaped(letters)?),
            Some(letter) => push(&mut bytes, letter),
            None => return Err(SubjectError::Malformed("a `\"` that begins a value also ends it")),
        }
    }
    while letters.next_if(char::is_ascii_whitespace).is_some() {}
    if ends(letters.peek()) {
        Ok(bytes)
    } else {
        Err(SubjectError::Malformed("a `\"` that begins a value also ends it"))
    }
}

/// Parses `0c026369`, the DER of a value after its `#`.
fn der(letters: &mut Letters<'_>) -> Result<AttributeValue, SubjectError> {
    let mut digits = String::new();
    while let Some(letter) = letters.next_if(|letter| !ends(Some(letter))) {
        digits.push(letter);
    }
    let bytes = HEXLOWER_PERMISSIVE.decode(digits.trim_end().as_bytes()).ok();
    let value = bytes.and_then(|bytes| match Any::from_der(&bytes) {
        Ok(([], any)) => Some(AttributeValue::of(&any)),
        _ => None,
    });
    value.ok_or(SubjectError::Malformed(
        "after `#` stands the DER of a value in hexadecimal digits; a `#` that begins a value is written `\\#`",
    ))
}

/// Parses the rest of an escape: a special character, or a byte of UTF-8 in hexadecimal digits.
fn escaped(letters: &mut Letters<'_>) -> Result<Vec<u8>, SubjectError> {
    let digit = |letter: Option<char>| letter?.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let first = letters.next();
    if let Some(letter @ ('"' | '+' | ',' | ';' | '<' | '>' | '\\' | ' ' | '#' | '=')) = first {
        let mut bytes = Vec::new();
        push(&mut bytes, letter);
        return Ok(bytes);
    }
    if let Some(high) = digit(first)
        && let Some(low) = digit(letters.next())
    {
        return Ok(vec![high << 4 | low]);
    }
    Err(SubjectError::Malformed(
        "after `\\` stands one of `\"+,;<>#= \\`, or two hexadecimal digits",
    ))
}

fn push(bytes: &mut Vec<u8>, letter: char) {
    bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Subject {
        Subject::parse(text).unwrap_or_else(|slip| panic!("{text}: {slip:?}"))
    }

    #[test]
    fn a_subject_is_read_however_it_is_written() {
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
            ("CN=\\\"x\\\"", "CN=\\\"x\\\""),
            ("E=ci@acme.example", "emailAddress=ci@acme.example"),
        ] {
            assert_eq!(read(text).to_string(), expected, "{text}");
            assert_eq!(read(expected), read(text), "{text}");
        }
    }

    #[test]
    fn a_slip_says_what_would_help() {
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
        assert!(read("CN=ci,O=Acme").is(&read("O=Acme,CN=ci")));
        assert!(read("CN=ci+OU=dev,O=Acme").is(&read("O=Acme,OU=dev+CN=ci")));
        for (one, other) in [
            ("CN=ci,OU=dev,O=Acme", "OU=dev,CN=ci,O=Acme"),
            ("CN=ci,OU=dev", "CN=ci+OU=dev"),
            ("CN=ci", "CN=ci,CN=ci"),
            ("CN=ci", "CN=CI"),
            ("CN=ci,O=Acme", "CN=ci\\,O=Acme"),
            ("CN=ci", "CN=\\ ci"),
        ] {
            assert!(!read(one).is(&read(other)), "{one} {other}");
        }
    }

    #[test]
    fn the_string_type_does_not_count_and_what_is_no_text_is_its_bytes() {
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
            assert_eq!(AttributeValue::of(&any).to_string(), expected);
        }
    }
}
