//! Checks of a rule's name, `allow` and path parameters, and of a rule without a verification.

use super::endpoint::EndpointBuilder;
use crate::base::diagnostic::{Diagnostic, Diagnostics, did_you_mean};
use crate::base::network::Networks;
use crate::base::yaml::Node;

/// Maximum length of a rule's name, in bytes.
const MAX_NAME: usize = 128;

/// Reports a rule that no verification covers.
pub fn unverified(node: Node<'_>, name: &str) -> Diagnostic {
    let message = format!("no verification covers the rule `{name}`: anyone could fire it");
    let diagnostic = node.get("name").unwrap_or(node).error("unverified", message);
    diagnostic
        .hint("add `verify: {github: {secret: env:GITHUB_SECRET}}` or another scheme, or say `verify: none`")
}

/// Compiles a rule's `allow`. Reports if the endpoint's `allow` excludes all of it.
pub fn allow(
    node: Node<'_>,
    builder: &EndpointBuilder<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Networks> {
    let own = Networks::compile(node, "allow", diagnostics)?;
    if builder.allow.as_ref().is_some_and(|outer| !outer.meets(&own)) {
        let message = format!("the endpoint `{}` lets none of these in", builder.path);
        let diagnostic = node.error("never-holds", message);
        diagnostics.push(diagnostic.hint("a rule's `allow` narrows that of its endpoint"));
    }
    Some(own)
}

/// Reports `path.NAME` if the endpoint has no parameter of that name: the value would always be
/// unknown.
pub fn parameters(conditions: Node<'_>, builder: &EndpointBuilder<'_>, diagnostics: &mut Diagnostics) {
    for (key, value) in conditions.entries() {
        match key {
            "all" | "any" | "not" => {
                for branch in value.one_or_many() {
                    parameters(branch, builder, diagnostics);
                }
            }
            _ => {
                let known = builder.parameters();
                if let Some(name) = key.strip_prefix("path.")
                    && !name.is_empty()
                    && !known.contains(&name)
                {
                    let message = format!("the endpoint `{}` has no parameter `{name}`", builder.path);
                    let hint = match did_you_mean(name, known.iter().copied()) {
                        Some(near) => format!("did you mean `path.{near}`?"),
                        None if known.is_empty() => {
                            "a parameter is written in the endpoint: `/deploy/{app}`".to_owned()
                        }
                        None => format!("known here: {}", known.join(", ")),
                    };
                    diagnostics
                        .push(Diagnostic::error(value.key_origin(), "unknown-parameter", message).hint(hint));
                }
            }
        }
    }
}

/// Checks that a rule's name has only letters, digits, `-`, `_` and `.`.
pub fn check_name(name: &str, node: Node<'_>, diagnostics: &mut Diagnostics) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(plain) {
        let message =
            format!("`{name}` is not a rule's name: 1 to {MAX_NAME} letters, digits, `-`, `_`, `.`");
        diagnostics.push(node.error("rule-name", message));
    }
}
