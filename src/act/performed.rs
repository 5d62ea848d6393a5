//! Performed actions as templates see them: `actions`, by position and by id.

use std::sync::Arc;

use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr};

use crate::act::outcome::Outcome;

/// Maximum text of all actions that one template sees, in bytes. What is beyond it is left out, and
/// a line says how much.
pub const MAX_SEEN: usize = 256 << 10;

/// An action that was performed.
#[derive(Clone, Debug)]
pub struct PerformedAction {
    /// `id` of the action in the rules file.
    pub id: Option<Arc<str>>,
    /// Key of the action, such as `run`.
    pub action: &'static str,
    /// `done` or `failed`, as in records.
    pub outcome: String,
    pub detail: String,
    pub stdout: Arc<str>,
    pub stderr: Arc<str>,
}

impl PerformedAction {
    /// An action with its outcome.
    pub fn new(id: Option<Arc<str>>, action: &'static str, outcome: &Outcome) -> Self {
        Self {
            id,
            action,
            outcome: outcome.verdict.name().to_owned(),
            detail: outcome.detail.clone(),
            stdout: outcome.output.stdout.text().into(),
            stderr: outcome.output.stderr.text().into(),
        }
    }

    /// A placeholder, for an action that has not run.
    pub fn placeholder(id: Option<Arc<str>>, action: &'static str) -> Self {
        let of = |field: &str| format!("<{field} of {}>", id.as_deref().unwrap_or(action)).into();
        Self {
            action,
            outcome: "done".to_owned(),
            detail: if action == "forward" { "HTTP 200" } else { "exit 0" }.to_owned(),
            stdout: of("stdout"),
            stderr: of("stderr"),
            id,
        }
    }

    /// Bytes that count towards [`MAX_SEEN`].
    pub fn size(&self) -> usize {
        self.detail.len() + self.stdout.len() + self.stderr.len()
    }

    /// Cuts the output so that the action takes at most about `left` bytes.
    pub fn cut_to(&mut self, left: usize) {
        let mut left = left.saturating_sub(self.detail.len());
        for text in [&mut self.stdout, &mut self.stderr] {
            if text.len() > left {
                let kept = text.get(..text.floor_char_boundary(left)).unwrap_or_default();
                let missing = text.len() - kept.len();
                *text = format!("{kept}\n[… {missing} bytes left out …]\n").into();
                left = 0;
            } else {
                left -= text.len();
            }
        }
    }

    /// The exit code of a command, or the status of a response.
    fn status(&self) -> Option<u16> {
        let number = match self.action {
            "run" | "shell" => self.detail.strip_prefix("exit ")?,
            "forward" => self.detail.strip_prefix("HTTP ")?,
            _ => return None,
        };
        let end = number.find(|letter: char| !letter.is_ascii_digit());
        number.get(..end.unwrap_or(number.len()))?.parse().ok()
    }
}

/// The list `actions`.
#[derive(Debug)]
pub(super) struct ActionList(Arc<[PerformedAction]>);

impl ActionList {
    /// Makes the value of `actions`. The text of all of them is bounded.
    pub(super) fn value(actions: &[PerformedAction]) -> Value {
        let mut actions = actions.to_vec();
        let mut left = MAX_SEEN;
        for action in &mut actions {
            if action.size() > left {
                action.cut_to(left);
            }
            left = left.saturating_sub(action.size());
        }
        Value::from_object(Self(actions.into()))
    }

    fn at(&self, index: usize) -> Option<Value> {
        let action = self.0.get(index)?;
        Some(Value::from_object(SeenAction(action.clone())))
    }
}

impl Object for ActionList {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str() {
            Some(id) => self.get_value_by_str(id),
            None => self.at(key.as_usize()?),
        }
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let mut actions = self.0.iter();
        self.at(actions.position(|action| action.id.as_deref() == Some(key))?)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.0.len())
    }
}

/// One action.
#[derive(Debug)]
struct SeenAction(PerformedAction);

impl Object for SeenAction {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let action = &self.0;
        Some(match key {
            "action" => Value::from(action.action),
            "outcome" => Value::from(action.outcome.as_str()),
            "detail" => Value::from(action.detail.as_str()),
            "stdout" => Value::from(Arc::clone(&action.stdout)),
            "stderr" => Value::from(Arc::clone(&action.stderr)),
            "status" => Value::from(action.status()?),
            "body" if action.action == "forward" => Value::from(Arc::clone(&action.stdout)),
            _ => return None,
        })
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&["action", "outcome", "detail", "stdout", "stderr"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(action: &'static str, detail: &str, stdout: &str) -> PerformedAction {
        PerformedAction {
            id: None,
            action,
            outcome: "done".into(),
            detail: detail.into(),
            stdout: stdout.into(),
            stderr: "".into(),
        }
    }

    #[test]
    fn a_status_is_that_of_the_command_or_of_the_response() {
        for (kind, detail, expected) in [
            ("run", "exit 0", Some(0)),
            ("shell", "exit 127: not found", Some(127)),
            ("run", "timed out after 10m", None),
            ("run", "killed by signal 9", None),
            ("forward", "HTTP 204", Some(204)),
            ("forward", "HTTP 302: redirects are not followed", Some(302)),
            ("forward", "exit 0", None),
            ("append", "5 bytes appended", None),
        ] {
            assert_eq!(action(kind, detail, "").status(), expected, "{kind} {detail}");
        }
    }

    #[test]
    fn the_text_of_all_actions_is_bounded() {
        let long = "é".repeat(MAX_SEEN / 4);
        let actions: Vec<_> = (0..4).map(|_| action("run", "exit 0", &long)).collect();
        let list = ActionList::value(&actions);
        let text = |index: usize| {
            let action = list.get_item(&Value::from(index)).unwrap();
            action.get_attr("stdout").unwrap().to_string()
        };
        assert_eq!(text(0), long);
        assert!(text(1).ends_with("bytes left out …]\n") && text(1).len() < long.len() + 40);
        assert_eq!(text(3), format!("\n[… {} bytes left out …]\n", long.len()));
    }
}
