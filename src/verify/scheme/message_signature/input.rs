//! The fields `Signature-Input` and `Signature` of a request, parsed as structured fields (RFC
//! 9651), and the signature base (RFC 9421, section 2.5).

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName};
use sfv::{BareItem, Dictionary, FieldType, InnerList, Integer, Item, Key, ListEntry, Parameters, Parser};

use super::component::{Component, Message, combined};
use super::{MessageSignature, SIGNATURE, SIGNATURE_INPUT};
use crate::base::clock::Timestamp;
use crate::event::Received;
use crate::verify::outgoing::OutgoingRequest;
use crate::verify::parts::source::in_header;
use crate::verify::refusal::Refusal;

/// Maximum length of each of the two fields, in bytes.
const MAX_FIELD: usize = 16 << 10;
/// Maximum signatures of a request.
const MAX_SIGNATURES: usize = 4;
/// Maximum components that one signature covers.
const MAX_COMPONENTS: usize = 64;
/// Maximum part of a label in a message, in bytes.
const MAX_LABEL: usize = 64;

/// One signature of a request, with its input.
#[derive(Debug)]
pub struct SignatureInput {
    pub label: String,
    pub components: Vec<Component>,
    /// Inner list as it stands in the signature base.
    pub serialized: String,
    pub signature: Vec<u8>,
    pub created: Option<Timestamp>,
    pub expires: Option<Timestamp>,
    pub nonce: Option<String>,
    pub alg: Option<String>,
    pub keyid: Option<String>,
    pub tag: Option<String>,
}

/// Reads the signatures of a request, in their order.
pub fn read(headers: &HeaderMap) -> Result<Vec<SignatureInput>, Refusal> {
    let dictionary = |header: HeaderName| {
        let malformed = |fault: &str| Refusal::MalformedSignature {
            place: in_header(&header),
            fault: fault.to_owned(),
        };
        let text = combined(headers, &header).ok_or_else(|| Refusal::MissingHeader {
            header: header.clone(),
        })?;
        if text.len() > MAX_FIELD {
            return Err(malformed("is too long"));
        }
        let parsed: Option<Dictionary> = Parser::new(&text).parse().ok();
        let parsed = parsed.ok_or_else(|| malformed("is not a dictionary (RFC 9651)"))?;
        if parsed.len() > MAX_SIGNATURES {
            return Err(malformed(&format!("holds more than {MAX_SIGNATURES} signatures")));
        }
        Ok(parsed)
    };
    let inputs = dictionary(SIGNATURE_INPUT)?;
    let signatures = dictionary(SIGNATURE)?;
    let pairs = inputs.iter().map(|(label, input)| {
        let malformed = |fault: String| malformed(label.as_str(), fault);
        let ListEntry::InnerList(list) = input else {
            return Err(malformed("has no list of components".to_owned()));
        };
        let signature = match signatures.get(label) {
            Some(ListEntry::Item(item)) => item.bare_item.as_byte_sequence(),
            _ => None,
        };
        let signature = signature.ok_or_else(|| malformed("has no byte sequence".to_owned()))?;
        one(label.as_str(), list, signature)
    });
    pairs.collect()
}

/// Reads one signature.
fn one(label: &str, list: &InnerList, signature: &[u8]) -> Result<SignatureInput, Refusal> {
    let refused = |fault: String| malformed(label, fault);
    if list.items.len() > MAX_COMPONENTS {
        return Err(refused(format!("covers more than {MAX_COMPONENTS} components")));
    }
    let mut components: Vec<Component> = Vec::with_capacity(list.items.len());
    for item in &list.items {
        let component = Component::read(item).map_err(|fault| refused(format!("covers {fault}")))?;
        if components
            .iter()
            .any(|known| known.serialized == component.serialized)
        {
            return Err(refused("covers a component twice".to_owned()));
        }
        components.push(component);
    }
    let mut input = SignatureInput {
        label: label.to_owned(),
        components,
        serialized: serialized(list).ok_or_else(|| refused("cannot be written".to_owned()))?,
        signature: signature.to_vec(),
        created: None,
        expires: None,
        nonce: None,
        alg: None,
        keyid: None,
        tag: None,
    };
    for (name, value) in &list.params {
        let number = || {
            value
                .as_integer()
                .map(|seconds| Timestamp::from_seconds(i64::from(seconds)))
        };
        let text = || value.as_string().map(|text| text.as_str().to_owned());
        let found = match name.as_str() {
            "created" => number().map(|at| input.created = Some(at)),
            "expires" => number().map(|at| input.expires = Some(at)),
            "nonce" => text().map(|text| input.nonce = Some(text)),
            "alg" => text().map(|text| input.alg = Some(text)),
            "keyid" => text().map(|text| input.keyid = Some(text)),
            "tag" => text().map(|text| input.tag = Some(text)),
            // Covered by the signature, and without a meaning here.
            _ => Some(()),
        };
        if found.is_none() {
            return Err(refused(format!(
                "has a parameter `{}` of another type",
                name.as_str()
            )));
        }
    }
    if input.nonce.as_ref().is_some_and(String::is_empty) {
        return Err(refused("has an empty `nonce`".to_owned()));
    }
    Ok(input)
}

/// The input of our own signature.
pub fn ours(
    scheme: &MessageSignature,
    keyid: Option<&str>,
    draft: &OutgoingRequest<'_>,
    received: &Received,
) -> SignatureInput {
    let required = scheme.required.iter();
    let components: Vec<Component> = required.filter_map(|required| required.ours(received)).collect();
    let mut params = Parameters::new();
    let mut add = |name: &str, value: Option<BareItem>| {
        if let (Ok(name), Some(value)) = (Key::from_string(name.to_owned()), value) {
            params.insert(name, value);
        }
    };
    let text = |text: &str| {
        sfv::String::from_string(text.to_owned())
            .ok()
            .map(BareItem::String)
    };
    let created = Integer::try_from(draft.at.as_seconds()).ok();
    add("created", created.map(BareItem::Integer));
    add("keyid", keyid.and_then(text));
    add("nonce", Some(draft.id).filter(|id| !id.is_empty()).and_then(text));
    add("tag", scheme.tag.as_deref().and_then(text));
    let items = components.iter().filter_map(|component| {
        let name = sfv::String::from_string(component.name.clone()).ok()?;
        Some(Item::new(BareItem::String(name)))
    });
    let list = InnerList::with_params(items.collect(), params);
    SignatureInput {
        label: super::LABEL.to_owned(),
        serialized: serialized(&list).unwrap_or_default(),
        components,
        signature: Vec::new(),
        created: Some(draft.at),
        expires: None,
        nonce: None,
        alg: None,
        keyid: None,
        tag: None,
    }
}

impl SignatureInput {
    /// Builds the signature base for a message.
    pub fn base(&self, message: &Message<'_>) -> Result<String, Refusal> {
        let mut base = String::new();
        for component in &self.components {
            let value = component.value(message);
            let value = value.map_err(|fault| self.malformed(format!("covers {fault}")))?;
            base.push_str(&component.serialized);
            base.push_str(": ");
            base.push_str(&value);
            base.push('\n');
        }
        write!(base, "\"@signature-params\": {}", self.serialized)
            .map_err(|error| self.malformed(error.to_string()))?;
        Ok(base)
    }

    /// Returns true if the whole field of this name is covered.
    pub fn covers(&self, name: &str) -> bool {
        let mut components = self.components.iter();
        components.any(|component| component.name == name)
    }

    /// Label for messages.
    pub fn label(&self) -> &str {
        cut(&self.label)
    }

    pub fn malformed(&self, fault: String) -> Refusal {
        malformed(&self.label, fault)
    }
}

/// Serializes an inner list with its parameters.
fn serialized(list: &InnerList) -> Option<String> {
    vec![ListEntry::InnerList(list.clone())].serialize()
}

fn malformed(label: &str, fault: String) -> Refusal {
    Refusal::MalformedSignature {
        place: format!("the signature `{}`", cut(label)),
        fault,
    }
}

fn cut(label: &str) -> &str {
    label.get(..MAX_LABEL.min(label.len())).unwrap_or_default()
}
