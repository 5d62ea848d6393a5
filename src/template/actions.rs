//! `actions` in templates: the actions that a template may name, and the check of what it names.

use std::sync::Arc;

use crate::base::diagnostic::did_you_mean;
use crate::template::TemplateError;
use crate::template::place::Step;

/// Fields of every action.
pub const ACTION_FIELDS: [&str; 5] = ["action", "outcome", "detail", "stdout", "stderr"];
/// Field of commands and forwards: the exit code, or the status of the response.
pub const STATUS_FIELD: &str = "status";
/// Field of forwards: the body of the response.
pub const BODY_FIELD: &str = "body";

/// An action of the rule that a template belongs to.
#[derive(Clone, Debug)]
pub struct NamedAction {
    /// `id` of the action, if it has one.
    pub id: Option<Arc<str>>,
    /// Key of the action: `run`, `shell`, `forward` or `append`.
    pub kind: &'static str,
}

/// The actions that a template may name.
#[derive(Clone, Debug)]
pub enum KnownActions {
    /// None. The text says why, or how to get some.
    None(&'static str),
    /// The first `earlier` actions of this list.
    Of {
        actions: Arc<[NamedAction]>,
        earlier: usize,
    },
    /// Any. The template is checked again when the actions are known.
    Any,
}

impl KnownActions {
    /// Checks what a template names. `reads` are the steps after each `actions`.
    pub fn check(&self, reads: &[Vec<Step>]) -> Result<(), TemplateError> {
        let (actions, earlier) = match self {
            Self::Any => return Ok(()),
            Self::None(hint) => {
                return Err(TemplateError::new("there are no `actions` here").hint(*hint));
            }
            Self::Of { actions, earlier } => (actions, *earlier),
        };
        if earlier == 0 {
            let error = TemplateError::new("no action has run before this one");
            return Err(error.hint("`actions` are the earlier actions of the same rule"));
        }
        reads.iter().try_for_each(|steps| {
            let Some(first) = steps.first() else { return Ok(()) };
            let action = match first {
                Step::Index(index) => by_index(actions, earlier, *index)?,
                Step::Name(name) => by_id(actions, earlier, name)?,
            };
            match steps.get(1) {
                Some(Step::Name(field)) => check_field(action, field),
                _ => Ok(()),
            }
        })
    }
}

fn by_index(actions: &[NamedAction], earlier: usize, index: usize) -> Result<&NamedAction, TemplateError> {
    let found = actions.get(..earlier).and_then(|earlier| earlier.get(index));
    found.ok_or_else(|| {
        let error = TemplateError::new(format!("there is no `actions[{index}]` here"));
        error.hint(match earlier {
            1 => "the only action that has run is `actions[0]`".to_owned(),
            _ => format!("`actions[0]` to `actions[{}]` have run", earlier - 1),
        })
    })
}

fn by_id<'a>(
    actions: &'a [NamedAction],
    earlier: usize,
    name: &str,
) -> Result<&'a NamedAction, TemplateError> {
    let at = actions
        .iter()
        .position(|action| action.id.as_deref() == Some(name));
    match at.and_then(|at| Some((at, actions.get(at)?))) {
        Some((at, action)) if at < earlier => Ok(action),
        Some(_) => {
            let error = TemplateError::new(format!("the action `{name}` has not run before this one"));
            Err(error.hint("actions run in their order: name an earlier one"))
        }
        None => {
            let ids: Vec<&str> = actions
                .iter()
                .take(earlier)
                .filter_map(|action| action.id.as_deref())
                .collect();
            let error = TemplateError::new(format!("no action has the id `{name}`"));
            Err(error.hint(match did_you_mean(name, ids.iter().copied()) {
                Some(near) => format!("did you mean `actions.{near}`?"),
                None if ids.is_empty() => format!("give the action an id: `id: {name}`"),
                None => format!("known here are {}", ids.join(", ")),
            }))
        }
    }
}

/// Checks a field of an action.
fn check_field(action: &NamedAction, field: &str) -> Result<(), TemplateError> {
    let mut fields = ACTION_FIELDS.to_vec();
    if action.kind != "append" {
        fields.push(STATUS_FIELD);
    }
    if action.kind == "forward" {
        fields.push(BODY_FIELD);
    }
    if fields.contains(&field) {
        return Ok(());
    }
    let error = TemplateError::new(format!("an action of `{}` has no `{field}`", action.kind));
    Err(error.hint(match did_you_mean(field, fields.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known are {}", fields.join(", ")),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::secret::Keyring;
    use crate::template::{Scope, Templates};

    fn error(source: &str, earlier: usize) -> String {
        let named = |id: Option<&str>, kind| NamedAction {
            id: id.map(Arc::from),
            kind,
        };
        let actions = [
            named(Some("build"), "run"),
            named(None, "append"),
            named(Some("post"), "forward"),
        ];
        let templates = Templates::new().with_actions(KnownActions::Of {
            actions: actions.into(),
            earlier,
        });
        let keyring = Keyring::new([], std::path::Path::new("/"));
        match templates.compile(source, Scope::Action, &keyring) {
            Ok(_) => String::new(),
            Err(error) => format!("{} ({})", error.message, error.hint.unwrap_or_default()),
        }
    }

    #[test]
    fn an_action_is_named_by_an_id_or_a_position_that_has_run() {
        for source in [
            "{{ actions.build.stdout }}",
            "{{ actions['build'].status }}{{ actions[1].detail }}",
            "{% for action in actions %}{{ action.outcome }}{% endfor %}",
            "{{ actions | length }}{{ (actions | last).stderr }}",
            "{{ payload.actions.nope }}{{ actions.post.body }}{{ actions[2].status }}",
        ] {
            assert_eq!(error(source, 3), "", "{source}");
        }
        for (source, earlier, expected) in [
            (
                "{{ actions.biuld.stdout }}",
                3,
                "no action has the id `biuld` (did you mean `actions.build`?)",
            ),
            (
                "{{ actions.nope }}",
                3,
                "no action has the id `nope` (known here are build, post)",
            ),
            (
                "{{ actions.post.stdout }}",
                2,
                "the action `post` has not run before this one (actions run in their order: name an earlier one)",
            ),
            (
                "{{ actions[1].stdout }}",
                1,
                "there is no `actions[1]` here (the only action that has run is `actions[0]`)",
            ),
            (
                "{{ actions[3].stdout }}",
                3,
                "there is no `actions[3]` here (`actions[0]` to `actions[2]` have run)",
            ),
            (
                "{{ actions.build.stdot }}",
                3,
                "an action of `run` has no `stdot` (did you mean `stdout`?)",
            ),
            (
                "{{ actions.build.body }}",
                3,
                "an action of `run` has no `body` (known are action, outcome, detail, stdout, stderr, status)",
            ),
            (
                "{{ actions[1].status }}",
                3,
                "an action of `append` has no `status` (known are action, outcome, detail, stdout, stderr)",
            ),
            (
                "{{ actions.build.stdout }}",
                0,
                "no action has run before this one (`actions` are the earlier actions of the same rule)",
            ),
        ] {
            assert_eq!(error(source, earlier), expected, "{source}");
        }
    }

    #[test]
    fn no_variable_of_the_template_is_called_actions() {
        let error = error("{% set actions = {'x': 1} %}{{ actions.x }}", 0);
        assert!(error.contains("`actions` has a meaning already"), "{error}");
    }
}
