//! `any:` in `verify:`: several complete verifications, of which the first that accepts counts.
//!
//! Each alternative is compiled to a [`Verification`] of its own. It keeps its own keys, window,
//! handshake and dedup keys, and the caller decides which alternative accepts a request.

use super::Verification;
use super::mode::{self, Mode};
use crate::base::diagnostic::{Diagnostic, Diagnostics, did_you_mean};
use crate::base::yaml::{Node, unknown};

/// Key of the list.
pub const KEY: &str = "any";
/// Maximum alternatives of one `verify:`. Each is computed for every request.
const MAX_ALTERNATIVES: usize = 8;
/// Keys of a `verify:` with alternatives.
const KEYS: [&str; 2] = [KEY, mode::KEY];

/// Content of a `verify:`: its alternatives, in order.
pub struct Alternatives<'d> {
    /// Values of `verify:` with one scheme each. A single one if there is no `any`.
    pub nodes: Vec<Node<'d>>,
    /// Mode for all of them. `None` without `any`: the value itself says it.
    pub mode: Option<Mode>,
}

impl<'d> Alternatives<'d> {
    /// Reads the value of `verify:`. `None` if it has no usable alternative, which is reported.
    pub fn read(node: Node<'d>, diagnostics: &mut Diagnostics) -> Option<Self> {
        let Some(any) = node.get(KEY) else {
            return Some(Self {
                nodes: vec![node],
                mode: None,
            });
        };
        for (typed, other) in node.entries() {
            if KEYS.contains(&typed) {
                continue;
            }
            diagnostics.push(if did_you_mean(typed, KEYS).is_some() {
                unknown(other.key_origin(), "unknown-key", "key", typed, KEYS)
            } else {
                let message = format!("`{typed}` stands beside `{KEY}`");
                Diagnostic::error(other.key_origin(), "one-scheme", message)
                    .hint(format!("write it as an item of `{KEY}`"))
            });
        }
        let mode = mode::given(node, diagnostics);
        let items = any.items();
        if items.is_empty() || items.len() > MAX_ALTERNATIVES {
            let message = format!("`{KEY}` is a list of 1 to {MAX_ALTERNATIVES} verifications");
            let example = "`verify: {any: [{gitlab_signing: env:NEW}, {gitlab: env:OLD}]}`";
            diagnostics.push(
                any.error("alternatives", message)
                    .hint(format!("write {example}")),
            );
            return None;
        }
        let mut nodes: Vec<Node<'d>> = Vec::with_capacity(items.len());
        for item in items {
            match fault(item, &nodes) {
                Some(fault) => diagnostics.push(fault),
                None => nodes.push(item),
            }
        }
        (!nodes.is_empty()).then_some(Self {
            nodes,
            mode: Some(mode),
        })
    }
}

/// Returns the reason why `item` is no alternative beside those `before` it.
fn fault(item: Node<'_>, before: &[Node<'_>]) -> Option<Diagnostic> {
    if item.as_str() == Some("none") || item.get("none").is_some() {
        let message = "`none` accepts every request, so the other alternatives would have no effect";
        return Some(
            item.error("one-scheme", message)
                .hint("remove it, or write `verify: none` instead of `any`"),
        );
    }
    if let Some(mode) = item.get(mode::KEY) {
        let message = format!("`{}` holds for all alternatives", mode::KEY);
        let diagnostic = Diagnostic::error(mode.key_origin(), "mode", message);
        return Some(diagnostic.hint(format!("write it beside `{KEY}`")));
    }
    if let Some(nested) = item.get(KEY) {
        let message = format!("`{KEY}` inside `{KEY}`");
        let diagnostic = Diagnostic::error(nested.key_origin(), "one-scheme", message);
        return Some(diagnostic.hint("write all alternatives in one list"));
    }
    before
        .iter()
        .any(|known| known.value() == item.value())
        .then(|| item.error("alternatives", "the same alternative is listed twice"))
}

/// Reports two alternatives that would answer the same handshake with MACs under secrets of their
/// own: the sender would always get the answer of the first one.
pub fn handshake_conflict(alternatives: &[&Verification]) -> Option<String> {
    let told: Vec<&str> = alternatives
        .iter()
        .filter_map(|alternative| alternative.tells_strangers())
        .collect();
    let mut pairs = told.iter().enumerate();
    let (_, name) = pairs.find(|(index, name)| told.iter().skip(index + 1).any(|other| other == *name))?;
    Some(format!(
        "two alternatives answer the handshake `{name}`, each with its own secret: only the first would be asked"
    ))
}
