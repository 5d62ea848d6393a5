//! `concurrency:` of a rule: how many of its deliveries are under way at once, and what becomes of one too many.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::act::Workshop;
use crate::diagnostic::Findings;
use crate::rules::Concurrency;
use crate::store::Overlap;
use crate::template::Scope;
use crate::yaml::Node;

/// The most that a rule may ask for: more are never under way at once.
const MAX_LIMIT: u32 = 64;

/// The mapping under `concurrency`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(rename = "group")]
    _group: Option<IgnoredAny>,
    limit: Option<u32>,
    overlap: Option<Overlap>,
}

/// Reads the value of a rule's `concurrency`; `awaited` says whether the rule's sender waits for its outcome.
pub fn compile(
    node: Node<'_>,
    awaited: bool,
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
    if !(1..=MAX_LIMIT).contains(&limit) {
        let at = node.get("limit").unwrap_or(node);
        let message = format!("`limit` is {limit}; it may be 1 to {MAX_LIMIT}");
        findings.push(at.error("wrong-value", message));
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
