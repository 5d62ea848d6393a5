//! Environment of a command: the daemon's few variables, and those of the rule.
//!
//! Variables of the event are added for each attempt in `command.rs`.

use std::ffi::OsString;

use crate::act::CompileContext;
use crate::act::run::identity;
use crate::act::run::injection::{self, steers};
use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::yaml::Node;
use crate::template::{Scope, Template, TemplatePiece, pieces};

/// Search path for programs if the daemon has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Prefix of the variables that every command gets.
const RESERVED: &str = "HOOKYARD_";

/// Returns the variables that every command gets, from the daemon's environment and its user's
/// account.
pub(super) fn base_environment(context: &CompileContext<'_>) -> Vec<(&'static str, OsString)> {
    let home = || identity::home().unwrap_or_else(|| "/".into());
    let defaults: [(&str, &dyn Fn() -> OsString); 3] = [
        ("PATH", &|| DEFAULT_PATH.into()),
        ("HOME", &home),
        ("LANG", &|| "C.UTF-8".into()),
    ];
    defaults
        .map(|(name, default)| {
            let own = context.keyring.variable(name).filter(|value| !value.is_empty());
            (name, own.cloned().unwrap_or_else(default))
        })
        .to_vec()
}

/// Returns the search path of the command. `None` if its `PATH` depends on the event.
pub(super) fn search_path(
    environment: &[(String, Template)],
    base_environment: &[(&'static str, OsString)],
) -> Option<OsString> {
    match environment.iter().find(|(name, _)| name == "PATH") {
        Some((_, template)) => template.literal().map(OsString::from),
        None => base_environment
            .iter()
            .find(|(name, _)| *name == "PATH")
            .map(|(_, path)| path.clone()),
    }
}

/// Compiles the variables under `env`.
pub(super) fn variables(
    node: Node<'_>,
    context: &CompileContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<(String, Template)> {
    if !node.is_mapping() {
        diagnostics.push(node.error("wrong-value", "`env` is a mapping of names to texts"));
    }
    let mut variables = Vec::new();
    for (name, value) in node.entries() {
        let mut letters = name.chars();
        let begins = letters
            .next()
            .is_some_and(|letter| letter.is_ascii_alphabetic() || letter == '_');
        if !begins || !letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
            let message = format!("`{name}` is not the name of a variable");
            let diagnostic = Diagnostic::error(value.key_origin(), "env", message);
            diagnostics.push(diagnostic.hint("letters, digits and `_`, not beginning with a digit"));
        } else if name.starts_with(RESERVED) {
            let message = format!("`{name}` is set by hookyard itself");
            diagnostics.push(Diagnostic::error(value.key_origin(), "env", message));
        }
        let template = context
            .templates
            .read(value, Scope::Action, context.keyring, diagnostics);
        let is_of_event = |template: &Template| {
            pieces(template.source())
                .iter()
                .any(TemplatePiece::is_of_the_event)
        };
        if steers(name) && template.as_ref().is_some_and(is_of_event) {
            let diagnostic = value.error("env", injection::steered(name));
            diagnostics.push(diagnostic.hint("give the variable a name of your own, and read that"));
        }
        variables.extend(template.map(|template| (name.to_owned(), template)));
    }
    variables
}
