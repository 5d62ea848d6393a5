//! Warnings about the arguments of a `run`.
//!
//! The subjects are options that an event could add, and secrets that all users of the machine can
//! read.

use crate::act::CompileContext;
use crate::act::run::injection::Reading;
use crate::base::diagnostic::Diagnostics;
use crate::base::yaml::Node;
use crate::template::{Form, Place, Template, TemplatePiece, pieces};

/// Warns of arguments that may begin with `-`, and of secrets among them. `items` are all words.
/// `arguments` are those behind the program.
pub(super) fn warn_of_arguments(
    items: &[Node<'_>],
    arguments: &[Template],
    reading: &Reading,
    context: &CompileContext<'_>,
    diagnostics: &mut Diagnostics,
) {
    // A word that is not text is an error already, and the positions no longer match.
    if items.len() != arguments.len() + 1 {
        return;
    }
    let mut options_end = reading.data.unwrap_or(usize::MAX);
    for ((at, node), template) in items.iter().enumerate().skip(1).zip(arguments) {
        if template.literal() == Some("--") && at > reading.command {
            options_end = options_end.min(at);
        }
        let pieces = pieces(template.source());
        if template.names_secret() {
            let message =
                "a secret in an argument can be read by every user of the machine, in `/proc` and by `ps`";
            diagnostics.push(node.warning("secret", message).hint(
                "hand it over in a variable: `env: {TOKEN: \"{{ secret('NAME') }}\"}`; others cannot read that",
            ));
        }
        let is_error = reading.errors.iter().any(|error| error.at == at);
        if at < options_end && !is_error && may_be_option(&pieces, context) {
            let message = "this argument comes from the event and may begin with `-`: the program may take it for an option";
            diagnostics.push(node.warning("option", message).hint(
                "put `--` before it if the program knows that, attach it (`--ref={{ … }}`), or let `match` say what it may be: `$.after: {matches: \"[0-9a-f]{40}\"}`",
            ));
        }
    }
}

/// True if the text can begin with a `-` that the rule does not write itself.
fn may_be_option(pieces: &[TemplatePiece], context: &CompileContext<'_>) -> bool {
    let excluded = |place: &Place| context.excludes_dash.is_some_and(|excludes| excludes(place));
    for piece in pieces {
        match piece {
            TemplatePiece::Text(_) => return false,
            TemplatePiece::Block => {}
            TemplatePiece::Value(value) => match value.form {
                Form::Own | Form::Secret | Form::Plain | Form::Json => return false,
                Form::Raw | Form::Encoded | Form::Markup => {
                    if !value.place.as_ref().is_some_and(excluded) {
                        return true;
                    }
                }
            },
        }
    }
    false
}
