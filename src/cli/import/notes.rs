//! Messages about one hook: diagnostics at places of the hooks file, and the same words as comments
//! of the rule.

use crate::base::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::base::yaml::Node;

use super::yaml::Map;

/// Diagnostics about one hook.
#[derive(Default)]
pub(super) struct Notes {
    diagnostics: Vec<Diagnostic>,
    /// Comments, each with the key of the rule that it is about.
    comments: Vec<(&'static str, String)>,
}

impl Notes {
    /// Tells about something that was left out, or that is not the same.
    pub(super) fn changed(
        &mut self,
        node: Node<'_>,
        key: &'static str,
        code: &'static str,
        message: &str,
        hint: &str,
    ) {
        self.tell(key, node.error(code, message).hint(hint));
    }

    /// Tells about something that the user should look at.
    pub(super) fn warn(
        &mut self,
        node: Node<'_>,
        key: &'static str,
        code: &'static str,
        message: &str,
        hint: &str,
    ) {
        self.tell(key, node.warning(code, message).hint(hint));
    }

    /// Adds a diagnostic about the key `key` of the rule.
    pub(super) fn tell(&mut self, key: &'static str, diagnostic: Diagnostic) {
        if diagnostic.severity != Severity::Note {
            let comment = match &diagnostic.hint {
                Some(hint) => format!("{}; {hint}", diagnostic.message),
                None => diagnostic.message.clone(),
            };
            self.comments.push((key, comment));
        }
        self.diagnostics.push(diagnostic);
    }

    /// Puts the comments above the keys that they are about, or above the first key.
    pub(super) fn comment(&self, rule: &mut Map) {
        for (key, comment) in &self.comments {
            let at = rule
                .entries
                .iter()
                .position(|entry| entry.key == *key)
                .unwrap_or_default();
            if let Some(entry) = rule.entries.get_mut(at)
                && !entry.comments.contains(comment)
            {
                entry.comments.push(comment.clone());
            }
        }
    }

    /// Hands the diagnostics over.
    pub(super) fn into(self, diagnostics: &mut Diagnostics) {
        diagnostics.extend(self.diagnostics);
    }
}
