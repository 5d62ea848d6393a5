//! `concurrency:` of a rule: the maximum of its deliveries that run at once, and the treatment of
//! further ones.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::settings::MAX_DELIVERIES;
use crate::act::CompileContext;
use crate::base::diagnostic::Diagnostics;
use crate::base::yaml::Node;
use crate::rules::GroupSettings;
use crate::store::{Concurrency, Overlap};
use crate::template::Scope;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConcurrencyFields {
    #[serde(rename = "group")]
    _group: Option<IgnoredAny>,
    limit: Option<u32>,
    overlap: Option<Overlap>,
}

/// Message for a rule that holds the answer although its deliveries can be superseded.
pub(super) const WAITS_FOR_SUPERSEDED: &str =
    "`respond.wait` waits for an outcome, and a superseded delivery has none";

/// Compiles a rule's `concurrency`. `awaited`: the rule's sender waits for the outcome. `room`: the
/// limits of the whole daemon, which a rule cannot exceed.
pub fn compile(
    node: Node<'_>,
    awaited: bool,
    room: Concurrency,
    context: &CompileContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<GroupSettings> {
    if !node.is_mapping() {
        let diagnostic = node.error("wrong-value", "`concurrency` is a mapping");
        diagnostics.push(diagnostic.hint("write `concurrency: {limit: 1, overlap: queue}`"));
        return None;
    }
    let fields: ConcurrencyFields = node.read(diagnostics)?;
    let limit = fields.limit.unwrap_or(1);
    let at = node.get("limit").unwrap_or(node);
    if !(1..=MAX_DELIVERIES).contains(&limit) {
        let message = format!("`limit` is {limit}; it may be 1 to {MAX_DELIVERIES}");
        diagnostics.push(at.error("wrong-value", message));
    } else if node.get("group").is_none() && limit as usize > room.most_of_one_rule() {
        let most = room.most_of_one_rule();
        let message =
            format!("`limit` is {limit}, and no more than {most} of one rule are ever under way at once");
        let diagnostic = at.warning("limit", message);
        diagnostics
            .push(diagnostic.hint(
                "raise `deliveries: {limit: …, per_rule: …}`: a rule gets less than half of the slots",
            ));
    }
    let overlap = fields.overlap.unwrap_or_default();
    if awaited && overlap != Overlap::Queue {
        let at = node.get("overlap").unwrap_or(node);
        diagnostics.push(
            at.error("overlap", WAITS_FOR_SUPERSEDED)
                .hint("`overlap: queue`, or no `wait`"),
        );
    }
    let group = node.given("group").and_then(|group| {
        let template = context
            .templates
            .read(group, Scope::Action, context.keyring, diagnostics)?;
        if template.source().contains("secret(") {
            diagnostics.push(group.error("secret", "the name of a group is kept in the store, and shown"));
        }
        Some(template)
    });
    Some(GroupSettings {
        group,
        limit,
        overlap,
    })
}
