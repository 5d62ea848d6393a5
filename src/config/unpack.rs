//! `unpack:` of an endpoint or a rule: fields whose text is JSON or Base64.

use super::endpoint::EndpointBuilder;
use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::patterns::Patterns;
use crate::base::yaml::Node;
use crate::payload::{PackedField, Packing, Unpack, View};

/// Maximum number of fields.
const MAX_FIELDS: usize = 16;
/// Maximum number of packings of one field, one inside the other.
const MAX_PACKINGS: usize = 4;
/// Maximum different `unpack` of the rules of an endpoint. The body is decoded for each of them.
pub const MAX_VIEWS: usize = 8;

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

/// Compiles `unpack` of a rule, on top of that of its endpoint, to the view that the rule reads. Rules
/// that write the same share a view.
pub fn view(
    node: Node<'_>,
    endpoint: &mut EndpointBuilder<'_>,
    patterns: &Patterns,
    diagnostics: &mut Diagnostics,
) -> Option<View> {
    let own = compile(node, patterns, diagnostics)?;
    let unpack = match &endpoint.unpack {
        Some(outer) => outer.then(own),
        None => own,
    };
    let views = &mut endpoint.views;
    if let Some(view) = views.iter().position(|known| *known == unpack) {
        return Some(view);
    }
    if views.len() == MAX_VIEWS {
        let message = format!("the rules of this endpoint unpack in more than {MAX_VIEWS} ways");
        let hint = "each decodes the body again: write what rules share as `unpack` of the endpoint";
        diagnostics.push(node.error("too-many", message).hint(hint));
        return None;
    }
    views.push(unpack);
    Some(views.len() - 1)
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
