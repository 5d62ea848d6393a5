//! `unpack:` of an endpoint: fields whose text is JSON or Base64.

use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::patterns::Patterns;
use crate::base::yaml::Node;
use crate::payload::{PackedField, Packing, Unpack};

/// Maximum number of fields.
const MAX_FIELDS: usize = 16;
/// Maximum number of packings of one field, one inside the other.
const MAX_PACKINGS: usize = 4;

/// Compiles `unpack`: a mapping from paths to what their texts are.
pub fn compile(node: Node<'_>, patterns: &Patterns, diagnostics: &mut Diagnostics) -> Option<Unpack> {
    if !node.is_mapping() {
        let diagnostic = node.error("wrong-value", "`unpack` says which fields hold packed values");
        diagnostics.push(diagnostic.hint("write `unpack: {$.message.data: [base64, json]}`"));
        return None;
    }
    let entries = node.entries();
    if entries.is_empty() || entries.len() > MAX_FIELDS {
        let message = format!("{} fields: from 1 to {MAX_FIELDS} are unpacked", entries.len());
        diagnostics.push(node.error("wrong-value", message));
    }
    let fields = entries.into_iter().filter_map(|(written, value)| {
        let path = match patterns.path(written) {
            Ok(path) => Some(path),
            Err(refused) => {
                let diagnostic = Diagnostic::error(value.key_origin(), refused.code, refused.message);
                diagnostics.push(match refused.hint {
                    Some(hint) => diagnostic.hint(hint),
                    None => diagnostic.hint("write a JSONPath such as `$.message.data`"),
                });
                None
            }
        };
        let packings = packings(value, diagnostics)?;
        Some(PackedField {
            written: written.to_owned(),
            path: path?,
            packings,
        })
    });
    Some(Unpack::new(fields.collect()))
}

/// Reads `json`, `base64` or a list of them.
fn packings(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<Vec<Packing>> {
    let items = node.one_or_many();
    if items.is_empty() || items.len() > MAX_PACKINGS {
        let message = format!(
            "{} words: a field is packed 1 to {MAX_PACKINGS} times",
            items.len()
        );
        diagnostics.push(node.error("wrong-value", message));
        return None;
    }
    let mut packings = Vec::new();
    for item in items {
        match item.as_str() {
            Some("base64") => packings.push(Packing::Base64),
            Some("json") => packings.push(Packing::Json),
            _ => {
                let diagnostic = item.error(
                    "wrong-value",
                    "a field holds `base64`, `json`, or a list of these",
                );
                diagnostics.push(diagnostic.hint("`[base64, json]` is the Base64 of JSON"));
                return None;
            }
        }
    }
    let json = packings.iter().position(|packing| *packing == Packing::Json);
    if json.is_some_and(|at| at + 1 < packings.len()) {
        let diagnostic = node.error(
            "never-holds",
            "`json` is the last: a value of JSON is unpacked by its own path",
        );
        diagnostics.push(diagnostic.hint("unpack it by an entry below: `$.field.inner: base64`"));
        return None;
    }
    Some(packings)
}
