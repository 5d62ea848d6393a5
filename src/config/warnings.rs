//! Warnings and notes that a rule may allow: their codes, and `allow_warnings:` of a rule.

use crate::base::diagnostic::Diagnostics;
use crate::base::yaml::{Node, unknown};

/// Code and meaning of each warning and note that can belong to a rule.
pub const OF_RULES: [(&str, &str); 29] = [
    ("any-audience", "a token for any receiver is accepted"),
    (
        "any-node",
        "with a shared store, any node may append to a file of its machine",
    ),
    (
        "certificate",
        "a certificate of a forward expires soon, or is no longer valid",
    ),
    (
        "default-limit",
        "`for_each` states no `limit`, so that an event with more than 1000 elements is one dead letter",
    ),
    (
        "disabled-waiting",
        "the rule has `enabled: false`, and deliveries of it wait in the store",
    ),
    (
        "embedded",
        "a value of the event stands inside a text of another language",
    ),
    ("equal-conditions", "another rule has equal conditions"),
    ("expired", "a secret has expired"),
    ("group", "rules of one group state different settings for it"),
    ("limit", "`concurrency.limit` is more than a rule ever gets"),
    (
        "no-effect",
        "`ignore_case` stands beside operators without regard to case",
    ),
    (
        "no-id",
        "nothing tells events apart, so that no duplicate is recognised",
    ),
    (
        "nodes",
        "`nodes` has no effect, or a sender waits at another node",
    ),
    ("nothing-learnt", "the secret is not learnt yet"),
    ("observe", "`mode: observe` takes events that are not genuine"),
    (
        "option",
        "a value of the event may be read as an option of the command",
    ),
    (
        "part-of-conditions",
        "a rule with more conditions does the same, so that its actions run twice",
    ),
    ("plain-pattern", "`matches` has no metacharacter"),
    (
        "repeated-content",
        "the sender may sign the same content for two events",
    ),
    (
        "respond-body",
        "an answer shows strangers what they should not see",
    ),
    ("respond-early", "an answer is given before the rule is known"),
    ("rotate", "rules append to one file and rotate it differently"),
    ("secret", "a secret is weak, written out, or readable by others"),
    ("shared-secret", "a secret is that of another endpoint, too"),
    (
        "unmarked-id",
        "the id of an event is not separated from the rest of what is signed",
    ),
    ("unsigned-body", "the signature does not cover the body"),
    ("unsigned-id", "the signature does not cover the id of an event"),
    (
        "unsigned-part",
        "the rule reads a part of the request that the signature does not cover",
    ),
    ("unsigned-timestamp", "the signature does not cover the time"),
];

/// Reads `allow_warnings:` of a rule: codes of [`OF_RULES`].
pub fn allowed(node: Node<'_>, diagnostics: &mut Diagnostics) -> Vec<&'static str> {
    let Some(list) = node.given("allow_warnings") else {
        return Vec::new();
    };
    let mut allowed = Vec::new();
    for item in list.one_or_many() {
        let Some(typed) = item.as_str() else {
            let diagnostic = item.error("wrong-value", "`allow_warnings` is a list of codes");
            diagnostics.push(diagnostic.hint("write `allow_warnings: [equal-conditions]`"));
            continue;
        };
        if let Some((code, _)) = OF_RULES.iter().find(|(code, _)| *code == typed) {
            allowed.push(*code);
        } else {
            let codes = OF_RULES.iter().map(|(code, _)| *code);
            diagnostics.push(unknown(item.origin(), "unknown-value", "warning", typed, codes));
        }
    }
    allowed
}
