//! `concurrency:` of a rule: how many of its deliveries are under way at once, and what becomes of one too many.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::settings::MAX_DELIVERIES;
use crate::act::Workshop;
use crate::diagnostic::Findings;
use crate::rules::Concurrency;
use crate::store::{Overlap, Room};
use crate::template::Scope;
use crate::yaml::Node;

/// The mapping under `concurrency`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(rename = "group")]
    _group: Option<IgnoredAny>,
    limit: Option<u32>,
    overlap: Option<Overlap>,
}

/// Reads the value of a rule's `concurrency`; `awaited` says whether the rule's sender waits for its outcome, `room` how
/// many are under way at once whatever a rule says.
pub fn compile(
    node: Node<'_>,
    awaited: bool,
    room: Room,
    workshop: &Workshop<'_>,
    findings: &mut Findings,
) -> Option<Concurrency> {
    if !node.is_mapping() {
        let finding = node.error("wrong-value", "`concurrency` is a mapping");
        findings.push(finding.hint("write `concurrency: {limit: 1, overlap: queue}`"));
        return None;
    }
    let fields: Fields = node.read(findings)?;
    let limit = fields.limit.unwrap_or(1);
    let at = node.get("limit").unwrap_or(node);
    if !(1..=MAX_DELIVERIES).contains(&limit) {
        let message = format!("`limit` is {limit}; it may be 1 to {MAX_DELIVERIES}");
        findings.push(at.error("wrong-value", message));
    } else if node.get("group").is_none() && limit as usize > room.most_of_one_rule() {
        let most = room.most_of_one_rule();
        let message =
            format!("`limit` is {limit}, and no more than {most} of one rule are ever under way at once");
        let finding = at.warning("limit", message);
        findings
            .push(finding.hint(
                "raise `deliveries: {limit: …, per_rule: …}`: a rule gets less than half of the slots",
            ));
    }
    let overlap = fields.overlap.unwrap_or_default();
    if awaited && overlap != Overlap::Queue {
        let at = node.get("overlap").unwrap_or(node);
        let message = "a sender that waits (`respond.wait`) would wait in vain for what is superseded";
        findings.push(
            at.error("overlap", message)
                .hint("`overlap: queue`, or no `wait`"),
        );
    }
    let group = node.given("group").and_then(|group| {
        let template = workshop
            .templates
            .read(group, Scope::Action, workshop.keyring, findings)?;
        if template.source().contains("secret(") {
            findings.push(group.error("secret", "the name of a group is kept in the store, and shown"));
        }
        Some(template)
    });
    Some(Concurrency {
        group,
        limit,
        overlap,
    })
}
