//! Components of a message: their identifiers, and their values in the signature base (RFC 9421,
//! section 2).

use http::{HeaderMap, HeaderName};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sfv::{BareItem, Dictionary, FieldType, Item, List, ListEntry, Parser, StringRef};

use super::target::Target;
use crate::event::Received;

/// The set of `application/x-www-form-urlencoded` (<https://url.spec.whatwg.org>).
const FORM: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'*')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_');

/// Fields whose structured type is known, for `;sf` and `;key`. Other fields cannot be covered so.
const DICTIONARIES: [&str; 9] = [
    "accept-signature",
    "cdn-cache-control",
    "content-digest",
    "example-dict",
    "priority",
    "repr-digest",
    "signature-input",
    "want-content-digest",
    "want-repr-digest",
];
const LISTS: [&str; 4] = ["accept-ch", "cache-status", "client-cert-chain", "proxy-status"];
const ITEMS: [&str; 1] = ["client-cert"];

/// Names of derived components without parameters.
pub const DERIVED: [&str; 7] = [
    "@method",
    "@target-uri",
    "@authority",
    "@scheme",
    "@request-target",
    "@path",
    "@query",
];

/// Identifier of a component.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    pub name: String,
    /// Identifier as it stands in the signature base.
    pub serialized: String,
    /// Parameters that change the value.
    sf: bool,
    bs: bool,
    key: Option<String>,
    /// Name of a query parameter.
    parameter: Option<String>,
}

/// A request whose components are taken.
pub struct Message<'m> {
    pub received: &'m Received,
    pub target: &'m Target,
}

impl Component {
    /// An identifier without parameters.
    pub fn whole(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            serialized: format!("\"{name}\""),
            sf: false,
            bs: false,
            key: None,
            parameter: None,
        }
    }

    /// Reads an identifier. The error follows "covers …".
    pub fn read(item: &Item) -> Result<Self, String> {
        let name = item.bare_item.as_string().map(StringRef::as_str);
        let name = name.ok_or("an identifier that is no string")?;
        let shown: String = name.chars().take(MAX_NAME).collect();
        let refused = |why: &str| Err(format!("`{}`, {why}", shown.escape_debug()));
        if name.is_empty() || name.len() > MAX_NAME || name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return refused("which is no name in lower case");
        }
        let mut component = Self {
            serialized: item.serialize(),
            ..Self::whole(name)
        };
        for (parameter, value) in &item.params {
            let text = || value.as_string().map(|text| text.as_str().to_owned());
            match (parameter.as_str(), value) {
                ("sf", BareItem::Boolean(true)) => component.sf = true,
                ("bs", BareItem::Boolean(true)) => component.bs = true,
                ("key", BareItem::String(_)) => component.key = text(),
                ("name", BareItem::String(_)) => component.parameter = text(),
                ("req", _) => return refused("with `req`, which is for responses"),
                ("tr", _) => return refused("with `tr`, and trailers are not read"),
                _ => return refused("with a parameter that is not known"),
            }
        }
        let derived = name.starts_with('@');
        let fields_only = component.sf || component.bs || component.key.is_some();
        match (derived, name) {
            (true, "@query-param") if component.parameter.is_none() => refused("without `name`"),
            (true, "@status") => refused("which is for responses"),
            (true, "@query-param") if !fields_only => Ok(component),
            (true, name) if !DERIVED.contains(&name) => refused("which is not known"),
            (true, _) if fields_only || component.parameter.is_some() => {
                refused("with a parameter that it does not have")
            }
            (false, _) if component.parameter.is_some() => {
                refused("with `name`, which is for `@query-param`")
            }
            (false, _) if component.bs && (component.sf || component.key.is_some()) => {
                refused("with `bs` beside `sf` or `key`")
            }
            _ => Ok(component),
        }
    }

    /// Returns true if the whole value is covered, not one member of it.
    pub fn is_whole(&self) -> bool {
        self.key.is_none() && self.parameter.is_none()
    }

    /// Value in the signature base. The error follows "covers …".
    pub fn value(&self, message: &Message<'_>) -> Result<String, String> {
        let Message { received, target } = message;
        let unknown = || format!("`{}`, and `server.public_url` is not set", self.name);
        Ok(match self.name.as_str() {
            "@method" => received.method.as_str().to_owned(),
            "@target-uri" => target.uri.clone().ok_or_else(unknown)?,
            "@authority" => target.origin.as_ref().ok_or_else(unknown)?.1.clone(),
            "@scheme" => target.origin.as_ref().ok_or_else(unknown)?.0.clone(),
            "@request-target" => target.request_target(),
            "@path" => target.path.clone(),
            "@query" => target.query.clone(),
            "@query-param" => self.query_parameter(&received.query)?,
            _ => self.field(&received.headers)?,
        })
    }

    /// Value of the only query parameter with this name, encoded again.
    fn query_parameter(&self, query: &str) -> Result<String, String> {
        let wanted = self.parameter.as_deref().unwrap_or_default();
        let encode = |text: &str| utf8_percent_encode(text, FORM).to_string();
        let pairs = form_urlencoded::parse(query.as_bytes());
        let mut values = pairs
            .filter(|(name, _)| encode(name) == wanted)
            .map(|(_, value)| encode(&value));
        match (values.next(), values.next()) {
            (Some(value), None) => Ok(value),
            (None, _) => Err("a parameter of the query that the request does not have".to_owned()),
            (Some(_), Some(_)) => Err("a parameter of the query that the request repeats".to_owned()),
        }
    }

    /// Value of a header field.
    fn field(&self, headers: &HeaderMap) -> Result<String, String> {
        let refused = |why: &str| format!("`{}`, {why}", self.name.escape_debug());
        let header = HeaderName::from_bytes(self.name.as_bytes()).ok();
        let header = header.ok_or_else(|| refused("which is no name of a header"))?;
        if self.bs {
            return byte_sequences(headers, &header)
                .ok_or_else(|| refused("which the request does not have"));
        }
        let text = combined(headers, &header).ok_or_else(|| refused("which the request does not have"))?;
        let text = String::from_utf8(text).ok();
        let text = text.ok_or_else(|| refused("whose value is not text"))?;
        if !self.sf && self.key.is_none() {
            return Ok(text);
        }
        let invalid = || refused("which is not structured as its type demands");
        let name = self.name.as_str();
        if let Some(key) = &self.key {
            if !DICTIONARIES.contains(&name) {
                return Err(refused("with `key`, and it is not known as a dictionary"));
            }
            let members: Dictionary = Parser::new(&text).parse().map_err(|_error| invalid())?;
            let member = members.get(key.as_str());
            let member = member.ok_or_else(|| refused("with a `key` that it does not have"))?;
            return serialized(member).ok_or_else(invalid);
        }
        if DICTIONARIES.contains(&name) {
            let parsed: Dictionary = Parser::new(&text).parse().map_err(|_error| invalid())?;
            parsed.serialize().ok_or_else(invalid)
        } else if LISTS.contains(&name) {
            let parsed: List = Parser::new(&text).parse().map_err(|_error| invalid())?;
            parsed.serialize().ok_or_else(invalid)
        } else if ITEMS.contains(&name) {
            let parsed: Item = Parser::new(&text).parse().map_err(|_error| invalid())?;
            Ok(parsed.serialize())
        } else {
            Err(refused("with `sf`, and its structured type is not known"))
        }
    }
}

/// Maximum length of a component's name, in bytes.
const MAX_NAME: usize = 128;

/// Serializes a member of a dictionary, with its parameters.
fn serialized(member: &ListEntry) -> Option<String> {
    vec![member.clone()].serialize()
}

/// The lines of a field, trimmed and joined (RFC 9421, section 2.1). `None` if there is none.
pub fn combined(headers: &HeaderMap, header: &HeaderName) -> Option<Vec<u8>> {
    let lines: Vec<&[u8]> = headers
        .get_all(header)
        .iter()
        .map(|line| line.as_bytes().trim_ascii())
        .collect();
    (!lines.is_empty()).then(|| lines.join(b", ".as_slice()))
}

/// The lines of a field as byte sequences (section 2.1.3).
fn byte_sequences(headers: &HeaderMap, header: &HeaderName) -> Option<String> {
    let lines = headers.get_all(header).iter();
    let lines: Vec<ListEntry> = lines
        .map(|line| ListEntry::Item(Item::new(line.as_bytes().trim_ascii())))
        .collect();
    lines.serialize()
}
