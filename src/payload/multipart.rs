//! Parts of a `multipart/form-data` body (RFC 7578): fields, and files by name, size and content
//! type.
//!
//! The parser is our own: the body is completely in memory, and the well-maintained crates read
//! streams and copy their content. This parser makes one pass and copies only texts. It is strict:
//! a body that two parsers might understand differently is rejected.

use std::borrow::Cow;
use std::collections::BTreeMap;

use memchr::memmem::{self, Finder};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::payload::content_type::{ContentType, Media};
use crate::payload::json_body;
use crate::payload::parameter::parameters;
use crate::payload::undecodable::{MAX_PARTS, Undecodable, excerpt};
use crate::payload::{charset, form, xml};

/// Maximum size of the headers of a part, in bytes.
const MAX_PART_HEAD: usize = 8 * 1024;
const LINE_END: &[u8] = b"\r\n";

/// The parts as an object. The value of a file is an object of `filename`, `size` and
/// `content_type`. Other parts are decoded by their own content type, by default as text. A name
/// that repeats has a list.
pub(super) fn fields(boundary: Option<&str>, body: &[u8]) -> Result<Map<String, Value>, Undecodable> {
    let Some(boundary) = boundary.filter(|boundary| !boundary.is_empty()) else {
        return Err(invalid("the content type names no boundary"));
    };
    let line = format!("\r\n--{boundary}");
    let delimiter = Finder::new(&line);
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut rest = after_first_boundary(&delimiter, body)?;
    let mut count = 0;
    while !rest.starts_with(b"--") {
        if count == MAX_PARTS {
            return Err(Undecodable::TooManyParts);
        }
        count += 1;
        let padding = rest
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        let after = rest.get(padding..).unwrap_or_default();
        let Some(part) = after.strip_prefix(LINE_END) else {
            return Err(invalid(if after.len() < LINE_END.len() {
                TRUNCATED
            } else {
                MISPLACED
            }));
        };
        let (head, tail) = head(part)?;
        // The line end that closes the headers may belong to the next boundary.
        let (content, next) = delimiter
            .find(tail)
            .map(|at| tail.split_at(at))
            .ok_or_else(|| invalid(TRUNCATED))?;
        let content = content.strip_prefix(LINE_END).unwrap_or_default();
        let (name, value) = PartHeaders::new(head, count)?.read(content)?;
        found.entry(name).or_default().push(value);
        rest = next.get(line.len()..).unwrap_or_default();
    }
    // Not added one by one, because the value of a part may be a list itself.
    let values = found.into_iter().map(|(name, mut values)| match values.pop() {
        Some(only) if values.is_empty() => (name, only),
        last => (name, values.into_iter().chain(last).collect()),
    });
    Ok(values.collect())
}

const TRUNCATED: &str = "it ends before its last boundary";
const MISPLACED: &str = "its boundary stands where none can be";

fn invalid(what: impl Into<String>) -> Undecodable {
    Undecodable::Multipart(what.into())
}

/// The bytes after the first boundary. The preamble before it is ignored.
fn after_first_boundary<'b>(delimiter: &Finder<'_>, body: &'b [u8]) -> Result<&'b [u8], Undecodable> {
    let line = delimiter.needle();
    // At the start of the body no line end precedes the boundary.
    let bare = line.get(LINE_END.len()..).unwrap_or_default();
    if let Some(rest) = body.strip_prefix(bare) {
        return Ok(rest);
    }
    let at = delimiter.find(body);
    at.and_then(|at| body.get(at + line.len()..))
        .ok_or_else(|| invalid("it does not hold the boundary that its content type names"))
}

/// The headers of a part, and the rest, which starts at the end of the last header line.
fn head(part: &[u8]) -> Result<(&[u8], &[u8]), Undecodable> {
    if part.starts_with(LINE_END) {
        return Ok((&[], part));
    }
    let beginning = part.get(..MAX_PART_HEAD).unwrap_or(part);
    match memmem::find(beginning, b"\r\n\r\n") {
        Some(end) => Ok((
            part.get(..end).unwrap_or_default(),
            part.get(end + LINE_END.len()..).unwrap_or_default(),
        )),
        None if beginning.len() < part.len() => Err(invalid(format!(
            "the headers of a part have more than {MAX_PART_HEAD} bytes"
        ))),
        None => Err(invalid(TRUNCATED)),
    }
}

/// The headers of a part.
struct PartHeaders {
    name: String,
    filename: Option<String>,
    content_type: Option<String>,
}

impl PartHeaders {
    /// Parses the headers of the part with this number.
    fn new(head: &[u8], number: usize) -> Result<Self, Undecodable> {
        let invalid_part = |what: &str| invalid(format!("part {number} has {what}"));
        let (mut disposition, mut content_type) = (None, None);
        // Names of fields and files are UTF-8, as browsers send them.
        let head = String::from_utf8_lossy(head);
        for line in head.split("\r\n").filter(|line| !line.is_empty()) {
            let Some((name, value)) = header(line) else {
                return Err(invalid_part("a header that cannot be read"));
            };
            // An empty header says nothing.
            if value.is_empty() {
                continue;
            }
            match name.to_ascii_lowercase().as_str() {
                "content-disposition" if disposition.is_none() => disposition = Some(value),
                "content-type" if content_type.is_none() => content_type = Some(value),
                "content-disposition" | "content-type" => return Err(invalid_part("a header twice")),
                "content-transfer-encoding" if !leaves_content(value) => {
                    let value = excerpt(value, 40);
                    return Err(invalid_part(&format!("the transfer encoding `{value}`")));
                }
                _ => {}
            }
        }
        let (mut name, mut filename, mut extended) = (None, None, None);
        for (parameter, value) in parameters(disposition.unwrap_or_default()) {
            let slot = match parameter.as_str() {
                "name" => &mut name,
                "filename" => &mut filename,
                "filename*" => &mut extended,
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return Err(invalid_part("two names"));
            }
        }
        if let Some(extended) = extended {
            let known = from_extended(&extended);
            filename = Some(known.ok_or_else(|| invalid_part("a file name that cannot be read"))?);
        }
        Ok(Self {
            name: name.ok_or_else(|| invalid_part("no name"))?,
            filename,
            content_type: content_type.map(str::to_owned),
        })
    }

    /// The part's name, and its value in the payload.
    fn read(self, content: &[u8]) -> Result<(String, Value), Undecodable> {
        let Some(filename) = self.filename else {
            let content_type = ContentType::parse(&self.content_type.unwrap_or_default());
            let label = content_type.charset.as_deref();
            let structure = structure(content_type.media, label, content);
            let value = structure.map_or_else(|| text(label, content), Ok)?;
            return Ok((self.name, value));
        };
        let mut file = Map::new();
        file.insert("filename".to_owned(), filename.into());
        file.insert("size".to_owned(), content.len().into());
        if let Some(content_type) = self.content_type {
            file.insert("content_type".to_owned(), content_type.into());
        }
        Ok((self.name, Value::Object(file)))
    }
}

/// The value of a part whose content type promises structure. `None` if decoding fails: the part is
/// then text, and does not spoil the other parts.
fn structure(media: Media, label: Option<&str>, content: &[u8]) -> Option<Value> {
    match media {
        Media::Json => json_body::value(label, content),
        Media::Xml => xml::document(label, content).ok(),
        Media::Form => {
            let charset = charset::named(label).ok()?;
            form::fields(charset, content).ok().map(Value::Object)
        }
        Media::Text | Media::Multipart | Media::Other => None,
    }
}

/// The value of a text part.
fn text(label: Option<&str>, content: &[u8]) -> Result<Value, Undecodable> {
    let (text, _) = charset::named(label)?.decode_with_bom_removal(content);
    Ok(Value::String(text.into_owned()))
}

/// A header's name and value. `None` for a folded line or a boundary.
fn header(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    let is_name = !name.starts_with('-') && name.bytes().all(|byte| byte.is_ascii_graphic());
    let is_text = !value.contains(|letter: char| letter.is_control() && letter != '\t');
    (is_name && is_text).then_some((name, value.trim()))
}

/// True if the transfer encoding leaves the content as it is.
fn leaves_content(encoding: &str) -> bool {
    ["7bit", "8bit", "binary"]
        .iter()
        .any(|plain| encoding.eq_ignore_ascii_case(plain))
}

/// The value of a parameter with an explicit charset, such as `UTF-8''na%C3%AFve.txt` (RFC 8187).
/// RFC 7578 forbids these in forms, but some senders use them for file names that are not ASCII.
fn from_extended(value: &str) -> Option<String> {
    let (label, rest) = value.split_once('\'')?;
    let (_language, encoded) = rest.split_once('\'')?;
    let charset = charset::named(Some(label)).ok()?;
    let bytes: Cow<'_, [u8]> = percent_decode_str(encoded).into();
    Some(charset.decode_without_bom_handling(&bytes).0.into_owned())
}
