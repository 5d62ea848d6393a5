//! `for_each:` of a rule: the elements of an event that each have a delivery.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::base::diagnostic::Diagnostics;
use crate::base::patterns::Patterns;
use crate::base::yaml::Node;
use crate::matching::ForEach;

/// Maximum elements of an event if `limit` is not set. An event with more is a dead letter.
pub const DEFAULT_LIMIT: u32 = 1000;
/// Maximum of `limit`. Each element is a row in the transaction of its event.
pub const MAX_LIMIT: u32 = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ForEachFields {
    #[serde(rename = "path")]
    _path: IgnoredAny,
    limit: Option<u32>,
}

/// Compiles a rule's `for_each`. `awaited`: the rule's sender waits for the outcome.
pub fn compile(
    node: Node<'_>,
    awaited: bool,
    patterns: &Patterns,
    diagnostics: &mut Diagnostics,
) -> Option<ForEach> {
    let (path_node, limit) = if node.is_mapping() {
        let fields: ForEachFields = node.read(diagnostics)?;
        (node.get("path")?, fields.limit)
    } else {
        (node, None)
    };
    let limit_node = node.get("limit").unwrap_or(node);
    let most = if awaited { DEFAULT_LIMIT } else { MAX_LIMIT };
    if let Some(limit) = limit
        && !(1..=most).contains(&limit)
    {
        let message = if (1..=MAX_LIMIT).contains(&limit) {
            format!("`limit` is {limit}; with `respond.wait` it may be 1 to {most}")
        } else {
            format!("`limit` is {limit}; it may be 1 to {MAX_LIMIT}")
        };
        diagnostics.push(limit_node.error("wrong-value", message));
        return None;
    }
    let Some(written) = path_node.as_str() else {
        let diagnostic = path_node.error("wrong-value", "`for_each` is a JSONPath, or has one in `path`");
        diagnostics.push(diagnostic.hint("write `for_each: $.alerts[*]`"));
        return None;
    };
    if !written.starts_with('$') {
        let message = format!("`{written}` does not begin with `$`, the payload");
        diagnostics.push(
            path_node
                .error("invalid-jsonpath", message)
                .hint("write `for_each: $.alerts[*]`"),
        );
        return None;
    }
    let path = match patterns.path(written) {
        Ok(path) => path,
        Err(refused) => {
            let diagnostic = path_node.error(refused.code, refused.message);
            diagnostics.push(match refused.hint {
                Some(hint) => diagnostic.hint(hint),
                None => diagnostic,
            });
            return None;
        }
    };
    if path.is_singular() {
        let message = format!("`{written}` selects one value at most, and not the elements of a list");
        let diagnostic = path_node.error("for-each", message);
        diagnostics.push(diagnostic.hint(format!("write `{written}[*]`")));
        return None;
    }
    Some(ForEach {
        written: written.into(),
        path,
        limit: limit.unwrap_or(DEFAULT_LIMIT) as usize,
    })
}
