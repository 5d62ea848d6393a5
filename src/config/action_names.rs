//! Keys and ids of a rule's actions, which templates may name. Read before any template.

use std::sync::Arc;

use crate::act::Action;
use crate::base::diagnostic::Diagnostics;
use crate::base::yaml::Node;
use crate::template::{KnownActions, NamedAction};

/// The actions of a rule by their keys and ids.
#[derive(Clone, Default)]
pub struct ActionNames {
    pub actions: Arc<[NamedAction]>,
    pub on_failure: Arc<[NamedAction]>,
}

impl ActionNames {
    /// Reads the names of the actions of the rule in `node`, which has `on_failure` of the defaults
    /// unless it has its own. An id is unique in the rule.
    pub fn read(node: Node<'_>, on_failure: Option<Node<'_>>, diagnostics: &mut Diagnostics) -> Self {
        let default = on_failure.filter(|_| node.get("on_failure").is_none());
        let mut known: Vec<Arc<str>> = Vec::new();
        let [actions, on_failure] = ["actions", "on_failure"].map(|key| {
            let is_default = key == "on_failure" && default.is_some();
            let list = if is_default { default } else { node.given(key) };
            let items = list.map(|list| list.items()).unwrap_or_default();
            let mut named = Vec::with_capacity(items.len());
            for item in items {
                // A name for each item, so that positions are right.
                let mut of_defaults = Diagnostics::new();
                let found = if is_default {
                    &mut of_defaults
                } else {
                    &mut *diagnostics
                };
                let action = Action::named(item, found);
                let action = action.unwrap_or(NamedAction {
                    id: None,
                    kind: "run",
                });
                if let Some(id) = &action.id {
                    if known.contains(id) {
                        let (origin, whose) = if is_default {
                            (
                                node.get("name").unwrap_or(node),
                                ", by `on_failure` of `defaults`",
                            )
                        } else {
                            (item.get("id").unwrap_or(item), "")
                        };
                        let message = format!("a second action with the id `{id}` in this rule{whose}");
                        diagnostics.push(origin.error("action-id", message));
                    }
                    known.push(Arc::clone(id));
                }
                named.push(action);
            }
            Arc::from(named)
        });
        Self { actions, on_failure }
    }

    /// Reads the names of the actions of `on_silence`, which run without those of the rule.
    pub fn of_list(list: Node<'_>, diagnostics: &mut Diagnostics) -> Arc<[NamedAction]> {
        let mut known: Vec<Arc<str>> = Vec::new();
        let name = |item: Node<'_>| {
            let action = Action::named(item, diagnostics);
            let action = action.unwrap_or(NamedAction {
                id: None,
                kind: "run",
            });
            if let Some(id) = &action.id {
                if known.contains(id) {
                    let origin = item.get("id").unwrap_or(item);
                    let message = format!("a second action with the id `{id}` in this list");
                    diagnostics.push(origin.error("action-id", message));
                }
                known.push(Arc::clone(id));
            }
            action
        };
        list.items().into_iter().map(name).collect()
    }

    /// All actions, for the answers of a rule whose sender waits.
    pub fn all(&self) -> KnownActions {
        KnownActions::Of {
            actions: Arc::clone(&self.actions),
            earlier: self.actions.len(),
        }
    }
}

/// The ids of actions, in their order.
pub fn ids(actions: &[NamedAction]) -> Vec<Option<Arc<str>>> {
    actions.iter().map(|action| action.id.clone()).collect()
}
