//! Findings about a store that several nodes share: what stays on one machine.

use super::endpoint::EndpointBuilder;
use super::store;
use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::yaml::Node;
use crate::rules::Rule;

/// Code of the warning about an `append` that any node may perform.
const ANY_NODE: &str = "any-node";
/// Code of the warnings about `nodes:` of a rule.
const NODES: &str = "nodes";

/// Checks the file whose root is `root`, and all rules.
pub fn check(root: Node<'_>, builders: &[EndpointBuilder<'_>], diagnostics: &mut Diagnostics) {
    let is_shared = store::is_shared(root.given("store"));
    for builder in builders {
        for (rule, node) in builder.rules_with_nodes() {
            let found = if is_shared {
                shared(rule, node)
            } else {
                alone(rule, node)
            };
            diagnostics.extend(found.filter(|found| !rule.allows_warning(found.code)));
        }
    }
    if !is_shared {
        return;
    }
    for builder in builders {
        for declared in builder
            .written()
            .filter(|declared| declared.verification.learns())
        {
            let message = "the secret is learnt into a file of this machine: no other node knows it";
            let warning = Diagnostic::warning(declared.origin.clone(), "learn", message);
            diagnostics
                .push(warning.hint("copy the file to the other nodes, or let one node take the handshake"));
        }
    }
    let tls = root.given("server").and_then(|server| server.given("tls"));
    if let Some(acme) = tls.and_then(|tls| tls.given("acme")) {
        let message =
            "the certificate and its account are files of this machine, and the authority may ask any node";
        let warning = acme.warning("acme", message);
        diagnostics.push(warning.hint("with several nodes, let the load balancer have the certificate"));
    }
}

/// The warning about a rule whose store is shared.
fn shared(rule: &Rule, node: Node<'_>) -> Option<Diagnostic> {
    let on_failures = rule.on_failure.iter().map(|(action, _)| action);
    let mut actions = rule.actions.iter().chain(on_failures);
    if rule.nodes.is_none() && actions.any(|action| action.appends_to().is_some()) {
        let at = node.get("actions").unwrap_or(node);
        let message = format!(
            "`append` of the rule `{}` writes to a file of the machine that performs it, and any node may",
            rule.name
        );
        return Some(
            at.warning(ANY_NODE, message)
                .hint("name the node: `nodes: [web1]`"),
        );
    }
    if rule.nodes.is_some() && rule.respond.wait.is_some() {
        let at = node.get("nodes").unwrap_or(node);
        let message = format!(
            "a sender of the rule `{}` waits at the node that takes the event, and another one may perform it",
            rule.name
        );
        return Some(
            at.warning(NODES, message)
                .hint("remove `nodes` or `respond.wait`"),
        );
    }
    None
}

/// The warning about a rule whose store is a file.
fn alone(rule: &Rule, node: Node<'_>) -> Option<Diagnostic> {
    rule.nodes.as_ref()?;
    let at = node.get("nodes").unwrap_or(node);
    let message = "`nodes` has no effect: the store is a file, and this daemon performs all rules";
    Some(
        at.warning(NODES, message)
            .hint("remove it, or name a server by `store.url`"),
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::load_text;

    #[test]
    fn what_stays_on_one_machine_is_told_if_the_store_is_shared() {
        let rule = |settings: &str| format!("rules: [{{name: a, endpoint: /a, verify: none, {settings}}}]\n");
        let run = "actions: [{run: [/bin/true]}]";
        let append = "actions: [{append: a.jsonl}]";
        for (rule, expected) in [
            (rule(run), vec![]),
            (rule(append), vec!["any-node"]),
            (rule(&format!("{append}, nodes: web1")), vec![]),
            (rule(&format!("{append}, allow_warnings: any-node")), vec![]),
            (
                rule(&format!("{run}, on_failure: [{{append: b.jsonl}}]")),
                vec!["any-node"],
            ),
            (
                rule(&format!("{run}, nodes: web1, respond: {{wait: true}}")),
                vec!["nodes"],
            ),
        ] {
            let codes = |store: &str| {
                let loaded = load_text(Path::new("/rules.yaml"), format!("{store}\n{rule}"), Vec::new());
                let loaded = loaded.unwrap_or_else(|errors| panic!("{}", errors.render(false)));
                let codes = loaded.warnings.iter().map(|one| one.code);
                codes.collect::<Vec<_>>()
            };
            assert_eq!(codes("store: postgres://h/d"), expected, "{rule}");
        }
    }
}
