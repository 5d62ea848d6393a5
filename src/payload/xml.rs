//! XML as an object: `<order id="7"><item>tea</item></order>` is `{"order": {"@id": "7", "item":
//! "tea"}}`.
//!
//! The root element is under its name. An element without attributes and children is its text. Any
//! other element is an object: attributes are under `@name`, children under their names, text under
//! `#text`. A list holds the values of a repeated name. Text is trimmed, and joined across child
//! elements. CDATA is text. Comments and processing instructions are dropped. Names keep their
//! prefixes. Values stay strings.
//!
//! Nothing is fetched and nothing expands: document types are rejected, and so is every entity
//! except the five of XML itself.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use memchr::{memchr_iter, memmem};
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};
use quick_xml::{Error, Reader, XmlVersion};
use serde_json::{Map, Value};

use crate::payload::charset;
use crate::payload::object;
use crate::payload::undecodable::{Undecodable, excerpt};

/// Maximum nesting depth of elements.
const MAX_DEPTH: usize = 64;
/// Maximum length of an XML declaration, in bytes.
const MAX_DECLARATION: usize = 256;
/// White space of XML.
const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// The document as an object with one key, its root.
pub(super) fn document(label: Option<&str>, body: &[u8]) -> Result<Value, Undecodable> {
    let text = charset::text(charset_of(label, body)?, body)?;
    let text = text.trim_start_matches('\u{FEFF}').trim_matches(SPACE);
    if text.is_empty() {
        return Err(Undecodable::Empty("XML"));
    }
    let mut reader = Reader::from_str(text);
    let mut document = XmlReader::default();
    loop {
        let start = reader.buffer_position();
        let read = match reader.read_event() {
            Ok(Event::Eof) => return document.end().map_err(|what| error_at(text, start, &what)),
            Ok(event) => document.take(event).map_err(|what| (start, what)),
            Err(error) => Err((reader.error_position(), message_of(&error))),
        };
        read.map_err(|(position, what)| error_at(text, position, &what))?;
    }
}

/// The charset: from the byte order mark, the content type, or the declaration, else UTF-8 (RFC
/// 7303 §3).
fn charset_of(label: Option<&str>, body: &[u8]) -> Result<&'static Encoding, Undecodable> {
    if label.is_some() || Encoding::for_bom(body).is_some() {
        return charset::of(label, body);
    }
    match body {
        [b'<', 0, ..] => return Ok(UTF_16LE),
        [0, b'<', ..] => return Ok(UTF_16BE),
        _ => {}
    }
    let declared = charset::named(declared(body).as_deref())?;
    // A declaration that is readable byte by byte is not in UTF-16. .NET senders declare UTF-16 for
    // strings.
    Ok(if declared == UTF_16LE || declared == UTF_16BE {
        UTF_8
    } else {
        declared
    })
}

/// The charset that the XML declaration names.
fn declared(body: &[u8]) -> Option<String> {
    let body = body.trim_ascii_start().strip_prefix(b"<?")?;
    let beginning = body.get(..MAX_DECLARATION).unwrap_or(body);
    let declaration = std::str::from_utf8(body.get(..memmem::find(beginning, b"?>")?)?).ok()?;
    let name = "xml";
    declaration.strip_prefix(name)?;
    let declaration = BytesDecl::from_start(BytesStart::from_content(declaration, name.len()));
    Some(declaration.encoding()?.ok()?.into_owned())
}

/// State of the parser for one document.
#[derive(Default)]
struct XmlReader {
    version: XmlVersion,
    /// Elements that have not ended, the root first.
    open: Vec<Element>,
    root: Option<Element>,
}

/// An element, as far as it is parsed.
struct Element {
    name: String,
    fields: Map<String, Value>,
    text: String,
}

impl XmlReader {
    /// Processes the next parser event. The error says what is wrong.
    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Start(start) => {
                let element = self.element(&start)?;
                self.open.push(element);
                Ok(())
            }
            Event::Empty(start) => {
                let element = self.element(&start)?;
                self.close(element);
                Ok(())
            }
            Event::End(_) => {
                // The reader has checked that the names agree.
                if let Some(element) = self.open.pop() {
                    self.close(element);
                }
                Ok(())
            }
            Event::Text(text) => self.text(&text.xml_content(self.version)),
            Event::CData(text) => self.text(&text.xml_content(self.version)),
            Event::GeneralRef(reference) => self.text(&resolved(&reference)?),
            Event::Decl(declaration) if self.open.is_empty() && self.root.is_none() => {
                self.version = declaration.xml_version().map_err(|error| message_of(&error))?;
                Ok(())
            }
            Event::Decl(_) => Err("an XML declaration stands not at the beginning".to_owned()),
            Event::DocType(_) => Err("a document type (`<!DOCTYPE`) is not taken".to_owned()),
            Event::Comment(_) | Event::PI(_) | Event::Eof => Ok(()),
        }
    }

    /// The element that starts with this tag.
    fn element(&self, start: &BytesStart<'_>) -> Result<Element, String> {
        if self.open.is_empty() && self.root.is_some() {
            return Err("there is a second root element".to_owned());
        }
        if self.open.len() == MAX_DEPTH {
            return Err(format!("elements are nested more than {MAX_DEPTH} deep"));
        }
        let mut fields = Map::new();
        // Duplicate names are detected below, by the insertion.
        for attribute in start.attributes().with_checks(false) {
            let attribute = attribute.map_err(|error| message_of(&error.into()))?;
            let name = attribute.key.as_ref();
            let value = attribute
                .normalized_value(self.version)
                .map_err(|error| message_of(&error))?;
            if fields
                .insert(format!("@{}", checked_name(name)?), value.into())
                .is_some()
            {
                return Err(format!("the attribute `{name}` stands twice"));
            }
        }
        Ok(Element {
            name: checked_name(start.name().as_ref())?.to_owned(),
            fields,
            text: String::new(),
        })
    }

    /// Adds a closed element to its parent, or makes it the root.
    fn close(&mut self, element: Element) {
        match self.open.last_mut() {
            Some(parent) => {
                let (name, value) = element.into_field();
                object::add(&mut parent.fields, name, value);
            }
            None => self.root = Some(element),
        }
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        match self.open.last_mut() {
            Some(element) => element.text.push_str(text),
            None if text.trim_matches(SPACE).is_empty() => {}
            None => return Err("text stands outside of the root element".to_owned()),
        }
        Ok(())
    }

    fn end(self) -> Result<Value, String> {
        if let Some(open) = self.open.last() {
            return Err(format!("the element `{}` does not end", open.name));
        }
        let root = self.root.ok_or("there is no element")?;
        Ok(Value::Object(Map::from_iter([root.into_field()])))
    }
}

impl Element {
    /// The element's name, and its value in the parent.
    fn into_field(self) -> (String, Value) {
        let Self {
            name,
            mut fields,
            text,
        } = self;
        let text = text.trim_matches(SPACE);
        if fields.is_empty() {
            return (name, text.into());
        }
        if !text.is_empty() {
            fields.insert("#text".to_owned(), text.into());
        }
        (name, Value::Object(fields))
    }
}

/// The text for a reference.
fn resolved(reference: &BytesRef<'_>) -> Result<String, String> {
    if let Some(letter) = reference.resolve_char_ref().map_err(|error| message_of(&error))? {
        return Ok(letter.into());
    }
    let known = resolve_predefined_entity(reference).map(str::to_owned);
    known.ok_or_else(|| format!("the entity `{}` is not known", &**reference))
}

/// Returns the name if it is valid. The reader accepts any characters, even `@` and `#`, which have
/// a meaning in the payload.
fn checked_name(name: &str) -> Result<&str, String> {
    let is_start =
        |letter: char| letter.is_ascii_alphabetic() || matches!(letter, '_' | ':') || !letter.is_ascii();
    let is_continuation =
        |letter: char| is_start(letter) || letter.is_ascii_digit() || matches!(letter, '-' | '.');
    if name.starts_with(is_start) && name.chars().all(is_continuation) {
        Ok(name)
    } else {
        Err(format!("`{name}` is not a name"))
    }
}

/// The reader's error without its category prefix.
fn message_of(error: &Error) -> String {
    match error {
        Error::Syntax(error) => error.to_string(),
        Error::IllFormed(error) => error.to_string(),
        error => error.to_string(),
    }
}

/// The error with its position.
fn error_at(text: &str, position: u64, what: &str) -> Undecodable {
    let position = usize::try_from(position).unwrap_or(usize::MAX);
    let before = text.as_bytes().get(..position).unwrap_or(text.as_bytes());
    let line = memchr_iter(b'\n', before).count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    // The error may quote the sender's text.
    Undecodable::Xml(format!("line {line} column {column}: {}", excerpt(what, 200)))
}
