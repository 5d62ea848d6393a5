//! Checks of the operands of one program.
//!
//! The walk from one program to the next is left to `walk.rs`.

use super::error::{InjectionError, code, named};
use super::options::Options;
use super::rows::Row;
use super::{Reading, Word};

/// Settings of `git` that hold plain text.
const TEXTS_OF_GIT: [&str; 6] = [
    "user.name",
    "user.email",
    "author.name",
    "author.email",
    "committer.name",
    "committer.email",
];

/// Finds the commands behind words such as `-exec`. Returns the position of each such word, and the
/// end of its command.
pub(super) fn inner_commands(words: &[Word<'_>], start: usize, openings: &[&str]) -> Vec<(usize, usize)> {
    let is_opening = |word: &Word<'_>| word.fixed && openings.contains(&word.text);
    let found = (start + 1..words.len()).filter(|at| words.get(*at).is_some_and(is_opening));
    let commands = found.map(|at| {
        // The command of `find` ends there. Other programs take all words.
        let len = words
            .iter()
            .skip(at)
            .position(|word| [";", "+"].contains(&word.text) && word.fixed);
        (at, len.map_or(words.len(), |len| at + len))
    });
    let limit = if openings.contains(&"--") { 1 } else { usize::MAX };
    commands.take(limit).collect()
}

/// Checks words that are code if they begin with `+`.
pub(super) fn plus(words: &[Word<'_>], start: usize, name: &str, parsed: &Options, reading: &mut Reading) {
    let operands = words.iter().enumerate().skip(start + 1);
    for (at, word) in operands.take_while(|(_, word)| word.text != "--") {
        let is_value = parsed.values.contains(&at) || parsed.code.contains(&at);
        if !word.fixed && !is_value && (word.text.is_empty() || word.text.starts_with('+')) {
            reading.errors.push(code(name, word.at));
        }
    }
}

/// Checks the files of `perl -n` and `perl -p`. Perl runs a name that ends with `|` as a command.
pub(super) fn looped(words: &[Word<'_>], start: usize, name: &str, parsed: &Options, reading: &mut Reading) {
    let Some(operand) = parsed.operand else { return };
    let loops = |word: &Word<'_>| {
        let letters = word.text.strip_prefix('-').unwrap_or_default();
        let mut letters = letters.chars().take_while(|letter| !"MmixIFCD".contains(*letter));
        letters.any(|letter| letter == 'n' || letter == 'p')
    };
    let mut options = words.get(start + 1..operand).unwrap_or_default().iter();
    if options.any(loops) {
        let files = words.iter().skip(operand).filter(|word| !word.fixed);
        reading.errors.extend(files.map(|word| named(name, word.at)));
    }
}

/// Checks the words that a program joins and passes to a shell.
pub(super) fn joined(
    words: &[Word<'_>],
    name: &str,
    skipped: usize,
    parsed: &Options,
    hint: &'static str,
    reading: &mut Reading,
) {
    let Some(first) = parsed.operand else { return };
    for (index, word) in words
        .iter()
        .skip(first)
        .enumerate()
        .filter(|(_, word)| !word.fixed)
    {
        if index >= skipped {
            reading.errors.push(InjectionError {
                hint,
                ..code(name, word.at)
            });
        } else if word.text.is_empty() && !parsed.ended {
            reading.errors.push(named(name, word.at));
        }
    }
}

/// True if a word behind `-c` is no code to `git`. A setting may hold plain text. After the name of
/// a command, the word is no setting at all, as in `git switch -c NAME`.
pub(super) fn is_text_of_git(row: &Row, words: &[Word<'_>], at: usize, parsed: &Options) -> bool {
    let before = at.checked_sub(1).and_then(|at| words.get(at));
    let of_c = before.is_some_and(|word| word.text == "-c")
        || words.get(at).is_some_and(|word| !word.text.starts_with("--"))
            && before.is_some_and(|word| !word.text.starts_with("--"));
    if !row.names.contains(&"git") || !of_c {
        return false;
    }
    let text = words.get(at).map_or("", |word| word.text);
    match text.split_once('=') {
        Some((key, _)) => TEXTS_OF_GIT.contains(&key.to_ascii_lowercase().as_str()),
        None => parsed.operand.is_some_and(|command| command < at),
    }
}
