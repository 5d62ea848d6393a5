//! `debounce:` of a rule: the quiet time after the last event before the newest event is delivered.

use serde::Deserialize;

use super::concurrency::WAITS_FOR_SUPERSEDED;
use crate::base::diagnostic::Diagnostics;
use crate::base::units::HumanDuration;
use crate::base::yaml::Node;
use crate::store::Debounce;

/// Default of `at_most`, as a multiple of `quiet`.
const DEFAULT_TIMES: u32 = 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DebounceFields {
    quiet: HumanDuration,
    at_most: Option<HumanDuration>,
}

/// Compiles a rule's `debounce`. `awaited`: the rule's sender waits for the outcome. `has_elements`:
/// the rule has a `for_each`.
pub fn compile(
    node: Node<'_>,
    awaited: bool,
    has_elements: bool,
    diagnostics: &mut Diagnostics,
) -> Option<Debounce> {
    let fields = if node.is_mapping() {
        node.read(diagnostics)?
    } else {
        DebounceFields {
            quiet: node.read(diagnostics)?,
            at_most: None,
        }
    };
    let quiet = fields.quiet.0;
    if quiet.is_zero() {
        let at = node.get("quiet").unwrap_or(node);
        diagnostics.push(at.error("wrong-value", "a debounce of `0s` waits for nothing"));
    }
    let at_most = fields.at_most.map_or(quiet * DEFAULT_TIMES, |at_most| at_most.0);
    if at_most < quiet {
        let at = node.get("at_most").unwrap_or(node);
        let message = "`at_most` is shorter than `quiet`, so that `quiet` would have no effect";
        diagnostics.push(at.error("wrong-value", message));
    }
    if awaited {
        diagnostics.push(
            node.error("debounce", WAITS_FOR_SUPERSEDED)
                .hint("no `debounce`, or no `wait`"),
        );
    }
    if has_elements {
        let message = "`debounce` keeps only the newest delivery, and `for_each` makes one per element";
        let diagnostic = node.error("debounce", message);
        diagnostics.push(diagnostic.hint("no `debounce`, or a rule of its own without `for_each`"));
    }
    Some(Debounce { quiet, at_most })
}
