//! Checks across rules: rules that share a group or an appended file must use the same settings for
//! it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::act::{Action, Rotate};
use crate::base::diagnostic::{Diagnostic, Diagnostics, Origin};
use crate::base::yaml::Node;
use crate::rules::Rule;
use crate::store::Overlap;

/// The groups and files of the rules read so far.
#[derive(Default)]
pub struct CrossChecks {
    groups: HashMap<String, FirstUse>,
    files: HashMap<PathBuf, Appended>,
}

/// Settings of the first rule that named a group.
struct FirstUse {
    rule: String,
    limit: u32,
    overlap: Overlap,
}

/// Settings of the first rule that appends to a file.
struct Appended {
    rule: String,
    origin: Origin,
    rotate: Option<Rotate>,
}

impl CrossChecks {
    /// Checks one more rule, whose mapping is `node`.
    pub fn check(&mut self, rule: &Rule, node: Node<'_>, diagnostics: &mut Diagnostics) {
        self.group(rule, node, diagnostics);
        let on_failure = rule.on_failure.iter().map(|(action, _)| action);
        for action in rule.actions.iter().chain(on_failure) {
            self.file(rule, action, node, diagnostics);
        }
    }

    /// Warns about a group with two limits: neither holds, since each delivery follows its own
    /// rule.
    fn group(&mut self, rule: &Rule, node: Node<'_>, diagnostics: &mut Diagnostics) {
        let Some(concurrency) = &rule.concurrency else {
            return;
        };
        let Some(group) = &concurrency.group else { return };
        let (limit, overlap) = (concurrency.limit, concurrency.overlap);
        let Some(first) = self.groups.get(group.source()) else {
            let rule = rule.name.to_string();
            let group = group.source().to_owned();
            self.groups.insert(group, FirstUse { rule, limit, overlap });
            return;
        };
        if (first.limit, first.overlap) != (limit, overlap) {
            let message = format!(
                "the rule `{}` has this group with limit {} and overlap {}, this one with {limit} and {}",
                first.rule,
                first.limit,
                first.overlap.name(),
                overlap.name()
            );
            let location = node.get("concurrency").unwrap_or(node);
            let diagnostic = location.warning("group", message);
            diagnostics.push(
                diagnostic.hint("let all rules of a group say the same: each event goes by its own rule's"),
            );
        }
    }

    fn file(&mut self, rule: &Rule, action: &Action, node: Node<'_>, diagnostics: &mut Diagnostics) {
        let Some((path, rotate)) = action.appends_to() else {
            return;
        };
        let location = node.get("name").unwrap_or(node);
        match self.files.get(path) {
            None => {
                let appended = Appended {
                    rule: rule.name.to_string(),
                    origin: location.origin(),
                    rotate,
                };
                self.files.insert(path.to_owned(), appended);
            }
            Some(first) if first.rotate != rotate => {
                let message = format!(
                    "the rule `{}` appends to `{}`, too, and rotates it otherwise",
                    first.rule,
                    path.display()
                );
                diagnostics.push(
                    location
                        .warning("rotate", message)
                        .hint("let both say the same `rotate`"),
                );
            }
            Some(_) => {}
        }
    }

    /// Finds appended files whose name another file gets when it rotates.
    pub fn finish(self, diagnostics: &mut Diagnostics) {
        for (path, appended) in &self.files {
            let keep = appended.rotate.map_or(0, Rotate::keep);
            for (number, other) in
                (1..=keep).filter_map(|number| Some((number, self.files.get(&rotated(path, number))?)))
            {
                let message = format!(
                    "the rule `{}` appends to `{}`, which is what `{}` of the rule `{}` becomes when it is rotated",
                    other.rule,
                    rotated(path, number).display(),
                    path.display(),
                    appended.rule
                );
                diagnostics.push(Diagnostic::error(other.origin.clone(), "rotate", message));
            }
        }
    }
}

/// Name of a rotated file.
fn rotated(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}
