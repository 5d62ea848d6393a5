//! Parts that the YAML of all actions shares.
//!
//! An action is a mapping with exactly one of the keys `run`, `shell`, `forward` and `append`. That
//! key decides which other keys are allowed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::base::diagnostic::{Diagnostic, Diagnostics, did_you_mean};
use crate::base::secret::Keyring;
use crate::base::units::HumanDuration;
use crate::base::yaml::Node;
use crate::template::NamedAction;

/// Keys of a command.
const COMMAND: &[&str] = &[
    "env", "cwd", "stdin", "timeout", "grace", "exit", "user", "group", "nice", "limits",
];

/// Kind of an action, by its main key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionKind {
    /// Program with arguments.
    Run,
    /// Script for a shell.
    Shell,
    /// HTTP request.
    Forward,
    /// Line in a file.
    Append,
}

impl ActionKind {
    const ALL: [Self; 4] = [Self::Run, Self::Shell, Self::Forward, Self::Append];

    pub fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Shell => "shell",
            Self::Forward => "forward",
            Self::Append => "append",
        }
    }

    /// Returns the keys that are allowed beside the main key.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Run | Self::Shell => COMMAND,
            Self::Forward => &["headers", "sign", "tls", "proxy", "rate", "timeout", "status"],
            Self::Append => &["line", "rotate", "sync"],
        }
    }
}

/// Hint for a missing action.
const EXAMPLE: &str =
    "write `- run: [program, argument]`, `- shell: |`, `- forward: https://…` or `- append: file`";

/// Maximum length of an id, in bytes.
const MAX_ID: usize = 64;

/// Reads the key and the id of an action. What is wrong with the key is left to [`kind`].
pub fn named(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<NamedAction> {
    let mut kinds = ActionKind::ALL.into_iter();
    let kind = kinds.find(|kind| node.get(kind.name()).is_some())?;
    let id = node.given("id").and_then(|node| id(node, diagnostics));
    Some(NamedAction {
        id,
        kind: kind.name(),
    })
}

/// Reads the id of an action, by which templates name it.
fn id(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<Arc<str>> {
    let plain = |text: &str| {
        let begins = text.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_');
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        begins && text.len() <= MAX_ID && text.bytes().all(plain)
    };
    if let Some(text) = node.as_str().filter(|text| plain(text)) {
        return Some(Arc::from(text));
    }
    let message = format!("an id has 1 to {MAX_ID} letters, digits and `_`, and begins with no digit");
    let diagnostic = node.error("action-id", message);
    diagnostics.push(diagnostic.hint("templates name it: `id: build`, then `{{ actions.build.stdout }}`"));
    None
}

/// Returns the kind of an action.
pub fn kind(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<ActionKind> {
    if !node.is_mapping() {
        diagnostics.push(node.error("wrong-action", "an action is a mapping").hint(EXAMPLE));
        return None;
    }
    let found: Vec<ActionKind> = ActionKind::ALL
        .into_iter()
        .filter(|kind| node.get(kind.name()).is_some())
        .collect();
    match found.as_slice() {
        [kind] => Some(*kind),
        [] => {
            diagnostics.push(none_of_them(node));
            None
        }
        several => {
            let message = format!(
                "one action does one thing; found {}",
                quoted(several.iter().map(|kind| kind.name())).join(" and ")
            );
            diagnostics.push(
                node.error("wrong-action", message)
                    .hint("write one list item for each; they run in order"),
            );
            None
        }
    }
}

/// Reports a mapping without a main key, which is most likely mistyped.
fn none_of_them(node: Node<'_>) -> Diagnostic {
    let entries = node.entries();
    for (key, value) in &entries {
        if let Some(near) = did_you_mean(key, ActionKind::ALL.map(ActionKind::name)) {
            let message = format!("unknown action `{key}`");
            return Diagnostic::error(value.key_origin(), "wrong-action", message)
                .hint(format!("did you mean `{near}`?"));
        }
    }
    let found = if entries.is_empty() {
        "nothing".to_owned()
    } else {
        quoted(entries.iter().map(|(key, _)| *key)).join(", ")
    };
    let message = format!("an action has one of `run`, `shell`, `forward`, `append`; found {found}");
    node.error("wrong-action", message).hint(EXAMPLE)
}

/// Puts each name in backticks.
fn quoted<'n>(names: impl Iterator<Item = &'n str>) -> Vec<String> {
    names.map(|name| format!("`{name}`")).collect()
}

/// Reads the fields of an action. A key of another kind is reported as such.
pub fn read<T: DeserializeOwned>(
    node: Node<'_>,
    kind: ActionKind,
    diagnostics: &mut Diagnostics,
) -> Option<T> {
    let mut found = Diagnostics::new();
    let fields = node.read(&mut found);
    for diagnostic in &found {
        let key = diagnostic.message.split('`').nth(1).unwrap_or_default();
        let owners = quoted(
            ActionKind::ALL
                .iter()
                .filter(|owner| owner.keys().contains(&key))
                .map(|owner| owner.name()),
        );
        match node.get(key) {
            Some(value) if diagnostic.code == "unknown-key" && !owners.is_empty() => {
                diagnostics.push(Diagnostic::error(
                    value.key_origin(),
                    "unknown-key",
                    format!(
                        "`{key}` belongs to {}, not to `{}`",
                        owners.join(" and "),
                        kind.name()
                    ),
                ));
            }
            _ => diagnostics.push(diagnostic.clone()),
        }
    }
    fields
}

/// Reads a duration that must be longer than zero.
pub fn limit(
    node: Node<'_>,
    key: &str,
    provided: Option<HumanDuration>,
    default: Duration,
    diagnostics: &mut Diagnostics,
) -> Duration {
    let Some(HumanDuration(provided)) = provided else {
        return default;
    };
    if provided.is_zero()
        && let Some(value) = node.get(key)
    {
        diagnostics.push(value.error("wrong-value", format!("`{key}` must be longer than nothing")));
    }
    provided
}

/// Resolves a path that stands at `node`. Relative paths start at the folder of its file.
pub fn located(node: Node<'_>, keyring: &Keyring, path: &str) -> PathBuf {
    let keyring = keyring.at(node);
    let folder = keyring.folder();
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let path = folder.join(path);
    std::path::absolute(&path).unwrap_or(path)
}
