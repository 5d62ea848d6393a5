//! Detection of words in a `run` that are read as code.
//!
//! `run` starts no shell, but the program may be one, or start one. A template in words that an
//! interpreter would run is an error at load, as it is in a `shell`. `rows` lists programs by name,
//! `options` parses their options, `operands` finds what stands behind them, `input` finds those
//! that run their standard input, and `walk` follows programs that start others. Only honest
//! mistakes are found, not a shell behind a script of another name.

mod error;
mod input;
mod operands;
mod options;
mod rows;
mod steering;
mod walk;

use std::path::Path;

use self::error::code;
use self::options::{Options, options};
use self::rows::{Operands, Row, rows};
use self::walk::{CommandContext, walk};

pub(super) use self::error::{BY_ENVIRONMENT, InjectionError, steered};
pub(super) use self::steering::steers;

/// Maximum words searched for options behind a word that may not be a program.
const MAX_SEARCHED_WORDS: usize = 256;
/// Option that names the program of a container.
const ENTRYPOINT: &str = "--entrypoint";

#[derive(Clone, Debug)]
pub(super) struct Word<'w> {
    /// Text before the first template, or all of it if there is none.
    pub(super) text: &'w str,
    /// True if the word holds no template.
    pub(super) fixed: bool,
    /// Position in the rule's list.
    pub(super) at: usize,
}

impl<'w> Word<'w> {
    pub(super) fn new(text: &'w str, at: usize) -> Self {
        let opening = ["{{", "{%", "{#"]
            .iter()
            .filter_map(|opening| text.find(opening))
            .min();
        Self {
            text: opening.and_then(|end| text.get(..end)).unwrap_or(text),
            fixed: opening.is_none(),
            at,
        }
    }
}

/// Script that an interpreter reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ScriptFile {
    /// Position of the word.
    pub(super) at: usize,
    pub(super) text: String,
    /// True if a folder can be a script (`__main__.py`).
    pub(super) package: bool,
}

/// Result of reading the words of a command.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) errors: Vec<InjectionError>,
    /// Position of the innermost command.
    pub(super) command: usize,
    /// Script that the innermost program reads, if its path holds no template.
    pub(super) script: Option<ScriptFile>,
    /// First word that no program reads as an option, if a fixed script gets the rest.
    pub(super) data: Option<usize>,
}

/// Looks for code in the words of a command. `real` is the file name of the program behind links.
/// `input` is true if the command gets the event on its standard input.
pub(super) fn read(words: &[Word<'_>], real: Option<&str>, input: bool) -> Reading {
    let mut reading = Reading::default();
    let Some(first) = words.first() else {
        return reading;
    };
    if let Some(row) = row(first.text).or_else(|| row(real?)) {
        let context = CommandContext {
            input,
            local: true,
            depth: 0,
        };
        walk(row, words, 0, first.text, &mut reading, &context);
    }
    for (at, word) in words.iter().enumerate().skip(1) {
        check_unknown_program(words, at, word, &mut reading);
    }
    if input {
        input::in_container(words, &mut reading);
    }
    reading.errors.sort_by_key(|error| error.at);
    reading.errors.dedup_by_key(|error| error.at);
    reading
}

/// Finds an interpreter behind an unknown program. Only words behind its options for code are
/// faults, because the word may be something else.
fn check_unknown_program(words: &[Word<'_>], at: usize, word: &Word<'_>, reading: &mut Reading) {
    let entrypoint = word.text.strip_prefix(ENTRYPOINT);
    let (name, at) = match entrypoint {
        Some("") => (words.get(at + 1).map_or("", |word| word.text), at + 1),
        Some(value) => (value.trim_start_matches('='), at),
        None => (word.text, at),
    };
    let Some(row) = row(name).filter(|row| matches!(row.operands, Operands::Shell | Operands::File)) else {
        return;
    };
    if !word.fixed {
        return;
    }
    let words = words
        .get(..words.len().min(at.saturating_add(MAX_SEARCHED_WORDS)))
        .unwrap_or_default();
    let mut parsed = Options::default();
    let permuted = entrypoint.is_some();
    options(row, words, at + 1, permuted, &mut parsed);
    let flagged = row.operands == Operands::Shell && parsed.flagged;
    let operand = flagged.then_some(parsed.operand).flatten();
    for at in parsed.code.into_iter().chain(operand) {
        if let Some(word) = words.get(at)
            && !word.fixed
            && !(row.operands == Operands::File && is_assignment(word.text))
        {
            reading.errors.push(code(name, word.at));
        }
    }
}

/// Returns the row of a program by its name or path: `/usr/bin/python3.11` is `python`.
fn row(program: &str) -> Option<&'static Row> {
    let name = Path::new(program).file_name()?.to_str()?;
    let bare = name.trim_end_matches(|letter: char| letter.is_ascii_digit() || ".-".contains(letter));
    let known = |name: &str| rows().find(|row| row.names.contains(&name));
    known(name).or_else(|| known(bare))
}

/// True if a word sets a variable: `NAME=…`.
fn is_assignment(text: &str) -> bool {
    text.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && !name.starts_with(|letter: char| letter.is_ascii_digit())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

#[cfg(test)]
mod tests;
