//! Where the words of a `run` are read as code.
//!
//! `run` starts no shell, but the program may be one, or start one. This module finds the words that an interpreter
//! would run, so that a template among them is an error at load, as it is in a `shell`. It knows programs by
//! their names (`rows`), reads their options (`options`), knows which run their standard input (`input`), and follows programs that start others (`walk`). It finds
//! honest mistakes; a rule that hides its shell behind a script of another name is not found.

mod fault;
mod input;
mod options;
mod rows;
mod steering;
mod walk;

use std::path::Path;

use self::fault::code;
use self::options::{Options, options};
use self::rows::{Operands, ROWS, Row};
use self::walk::{Strict, walk};

pub(super) use self::fault::{BY_ENVIRONMENT, Fault, steered};
pub(super) use self::steering::steers;

/// How many words behind the name of a program are looked at for its options where it is not sure to be one.
const MAX_LOOKED_AT: usize = 256;
/// Options that name the program of a container.
const ENTRYPOINT: &str = "--entrypoint";

/// A word of a command.
#[derive(Clone, Debug)]
pub(super) struct Word<'w> {
    /// The text before the first template; all of it, if there is none.
    pub(super) text: &'w str,
    /// Whether there is no template in it.
    pub(super) fixed: bool,
    /// Its place in the rule's list.
    pub(super) at: usize,
}

impl<'w> Word<'w> {
    /// The word at this place of the list.
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

/// What is found in the words of a command.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// What is wrong.
    pub(super) faults: Vec<Fault>,
    /// Where the innermost command begins.
    pub(super) command: usize,
    /// The first word that no program reads as an option, if a fixed script gets the rest.
    pub(super) data: Option<usize>,
}

/// Looks for code in the words of a command. `real` is the file name of the program behind links; `input` says
/// whether the command is given the event on its standard input.
pub(super) fn read(words: &[Word<'_>], real: Option<&str>, input: bool) -> Reading {
    let mut reading = Reading::default();
    let Some(first) = words.first() else {
        return reading;
    };
    if let Some(row) = row(first.text).or_else(|| row(real?)) {
        walk(row, words, 0, &mut reading, &Strict { input, depth: 0 });
    }
    for (at, word) in words.iter().enumerate().skip(1) {
        look_behind(words, at, word, &mut reading);
    }
    if input {
        input::in_container(words, &mut reading);
    }
    reading.faults.sort_by_key(|fault| fault.at);
    reading.faults.dedup_by_key(|fault| fault.at);
    reading
}

/// An interpreter behind a program that is not known: only what stands behind its options for code is held
/// against it, for the word may be anything else.
fn look_behind(words: &[Word<'_>], at: usize, word: &Word<'_>, reading: &mut Reading) {
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
        .get(..words.len().min(at.saturating_add(MAX_LOOKED_AT)))
        .unwrap_or_default();
    let mut found = Options::default();
    let permuted = entrypoint.is_some();
    options(row, words, at + 1, permuted, &mut found);
    let flagged = row.operands == Operands::Shell && found.flagged;
    let operand = flagged.then_some(found.operand).flatten();
    for at in found.code.into_iter().chain(operand) {
        if let Some(word) = words.get(at)
            && !word.fixed
            && !(row.operands == Operands::File && is_assignment(word.text))
        {
            reading.faults.push(code(name, word.at));
        }
    }
}

/// The row of a program by its name or path: `/usr/bin/python3.11` is `python`.
fn row(program: &str) -> Option<&'static Row> {
    let name = Path::new(program).file_name()?.to_str()?;
    let bare = name.trim_end_matches(|letter: char| letter.is_ascii_digit() || ".-".contains(letter));
    let known = |name: &str| ROWS.iter().find(|row| row.names.contains(&name));
    known(name).or_else(|| known(bare))
}

/// Whether a word sets a variable: `NAME=…`.
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
