//! Argument of `env` in a script's first line.
//!
//! The kernel passes all words behind `#!/usr/bin/env` as one. Only with `-S` does `env` split
//! them.

use crate::act::run::executable::ProgramError;

/// Characters between the words of a first line.
pub(super) const BLANKS: [char; 2] = [' ', '\t'];
/// Options of `env` without a value, beside `-S`.
const ENV_OPTIONS: [&str; 6] = ["-", "-i", "-v", "--", "--ignore-environment", "--debug"];

/// Reports words of a first line that reach the interpreter as one.
pub(super) fn one_argument(name: &str, argument: &str, shown: &str) -> ProgramError {
    let words = if name == "env" {
        argument.to_owned()
    } else {
        format!("{name} {argument}")
    };
    (
        format!("the first line of `{shown}` cannot be run: `{name}` gets `{argument}` as one argument"),
        format!("write `#!/usr/bin/env -S {words}`, which splits the words"),
    )
}

/// Returns the program that `env` starts with this argument. `None` if that is not known.
pub(super) fn program_of_env<'a>(argument: &'a str, shown: &str) -> Result<Option<&'a str>, ProgramError> {
    let no_program = || {
        (
            format!("the first line of `{shown}` names no program that `env` could start"),
            "write `#!/usr/bin/env NAME`".to_owned(),
        )
    };
    if let Some(words) = split(argument) {
        for word in words.split_ascii_whitespace() {
            if ENV_OPTIONS.contains(&word) {
                continue;
            }
            // A quote, a variable, or an option with a value.
            if word.starts_with('-') || word.contains(['\\', '"', '\'', '$']) || word.starts_with("PATH=") {
                return Ok(None);
            }
            if !word.contains('=') {
                return Ok(Some(word));
            }
        }
        return Err(no_program());
    }
    let is_program = !argument.starts_with('-') && !argument.contains('=');
    match argument {
        _ if is_program && !argument.is_empty() => Ok(Some(argument)),
        _ if argument.contains(BLANKS) => Err(one_argument("env", argument, shown)),
        _ => Err(no_program()),
    }
}

/// Returns the text that `env` splits into words: `-S TEXT`, `-vS TEXT`, `--split-string=TEXT`.
fn split(argument: &str) -> Option<&str> {
    if let Some(text) = argument.strip_prefix("--split-string") {
        return Some(text.trim_start_matches('='));
    }
    let letters = argument.strip_prefix('-')?;
    letters.trim_start_matches(['i', '0', 'v']).strip_prefix('S')
}
