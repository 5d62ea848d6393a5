//! Faults of words that would be read as code, with hints.
//!
//! Finding such words is left to the other files of this folder.

use super::Word;

/// Word that would be read as code.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::act::run) struct InjectionError {
    /// Position of the word.
    pub(in crate::act::run) at: usize,
    pub(in crate::act::run) message: String,
    pub(in crate::act::run) hint: &'static str,
}

/// Hint for a script.
pub(in crate::act::run) const BY_ENVIRONMENT: &str = "values reach a shell through its environment: `env: {COMMIT: \"{{ payload.after }}\"}`, then \"$COMMIT\"";
/// Hint if no environment is passed on.
pub(super) const BY_INPUT: &str =
    "hand values over on standard input: `stdin: json`, or the body, and read them there";
/// Hint for a name.
pub(super) const BY_RULES: &str = "write a rule for each, or have a script of your own choose";
/// Hint for an interpreter that reads standard input.
pub(super) const BY_FILE: &str = "put the script into a file and name it, or say `stdin: none`";

/// Hint for a remote shell.
const BY_COMMAND: &str =
    "say which command is to run there, also where the other machine forces one; or say `stdin: none`";
/// Hint for `xargs`.
const BY_SCRIPT: &str = "give the words to a script of your own, or read the event on standard input";

/// Reports a template in code.
pub(super) fn code(name: &str, at: usize) -> InjectionError {
    InjectionError {
        at,
        message: format!(
            "`{name}` runs this text as code: with a template in it an event could say what is run"
        ),
        hint: BY_ENVIRONMENT,
    }
}

/// Reports a template that names code, or could be an option.
pub(super) fn named(name: &str, at: usize) -> InjectionError {
    InjectionError {
        at,
        message: format!("this tells `{name}` what to run: with a template in it an event could say so"),
        hint: BY_RULES,
    }
}

/// Reports code from standard input.
pub(super) fn from_input(name: &str, words: &[Word<'_>], start: usize) -> InjectionError {
    InjectionError {
        at: words.get(start).map_or(0, |word| word.at),
        message: format!("`{name}` is given no script and would run the event, which is its standard input"),
        hint: if name.ends_with("ssh") {
            BY_COMMAND
        } else {
            BY_FILE
        },
    }
}

/// Reports words of the event that `xargs` passes on as code.
pub(super) fn fed(at: usize) -> InjectionError {
    InjectionError {
        at,
        message: "`xargs` puts words of the event, which is its standard input, where they are run as code"
            .to_owned(),
        hint: BY_SCRIPT,
    }
}

/// Returns the message for a variable that controls programs.
pub(in crate::act::run) fn steered(name: &str) -> String {
    format!("`{name}` steers what programs load or run: its value may not come from an event")
}
