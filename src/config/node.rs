//! `node:` and `nodes:`: the name of this node, and the nodes that perform a rule.

use std::sync::Arc;

use crate::base::diagnostic::Diagnostics;
use crate::base::secret::Keyring;
use crate::base::yaml::Node;

/// Maximum length of the name of a node, in bytes.
const MAX_NODE: usize = 63;

/// Compiles `node:`, the name of this node. By default the host's.
pub fn node_name(node: Option<Node<'_>>, keyring: &Keyring, diagnostics: &mut Diagnostics) -> Arc<str> {
    match node {
        Some(node) => named_node(node, diagnostics),
        None if keyring.is_offline() => "localhost".into(),
        None => host_name().into(),
    }
}

/// Compiles `nodes:` of a rule: the nodes that perform it. `None`: all.
pub fn nodes(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<Vec<Arc<str>>> {
    let list = node.given("nodes")?;
    let items = list.one_or_many();
    if items.is_empty() {
        let diagnostic = list.error("nodes", "no node would perform the rule");
        diagnostics
            .push(diagnostic.hint("name the nodes: `nodes: [web1]`; without the key, each may perform it"));
    }
    let names = items.into_iter().map(|item| named_node(item, diagnostics));
    Some(names.collect())
}

/// Reads the name of a node.
fn named_node(node: Node<'_>, diagnostics: &mut Diagnostics) -> Arc<str> {
    let Some(name) = node.as_str() else {
        let diagnostic = node.error("wrong-value", "the name of a node is text");
        diagnostics.push(diagnostic.hint("write `node: web1`; a number needs quotes"));
        return Arc::default();
    };
    if name.is_empty() || name.len() > MAX_NODE || !name.bytes().all(is_of_node_name) {
        let message =
            format!("`{name}` is not the name of a node: 1 to {MAX_NODE} letters, digits, `-`, `_`, `.`");
        diagnostics.push(node.error("node", message));
    }
    name.into()
}

fn is_of_node_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)
}

/// Name of the host, as far as it is the name of a node.
pub fn host_name() -> String {
    let host = rustix::system::uname();
    let name = host.nodename().to_string_lossy();
    let plain = name.bytes().map(|byte| {
        if is_of_node_name(byte) {
            char::from(byte)
        } else {
            '-'
        }
    });
    let name: String = plain.take(MAX_NODE).collect();
    if name.is_empty() {
        "localhost".to_owned()
    } else {
        name
    }
}
