//! Walk through programs that start other programs, to the words that the innermost one runs as
//! code.
//!
//! A template among those words is reported as a fault. Options are left to `options.rs`, and
//! standard input to `input.rs`.

use super::fault::{BY_ENVIRONMENT, BY_INPUT, BY_RULES, Fault, code, from_input, named, steered};
use super::input;
use super::options::{Options, options};
use super::rows::{Operands, Row};
use super::{Reading, Word, is_assignment, row, steers};

/// Names of the standard input as a script.
const INPUTS: [&str; 4] = ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"];

/// Maximum depth of programs that start programs. Deeper ones are not checked.
const MAX_DEPTH: usize = 16;

/// Settings of `git` that hold plain text.
const TEXTS_OF_GIT: [&str; 6] = [
    "user.name",
    "user.email",
    "author.name",
    "author.email",
    "committer.name",
    "committer.email",
];

/// Context of words that certainly are a command.
pub(super) struct Strict {
    pub(super) input: bool,
    pub(super) depth: usize,
}

/// Checks the program at `start`, which `row` describes.
pub(super) fn walk(row: &Row, words: &[Word<'_>], start: usize, reading: &mut Reading, strict: &Strict) {
    reading.command = start;
    let name = words.get(start).map_or("", |word| word.text);
    let mut found = Options::default();
    let permuted = row.operands == Operands::Data;
    options(row, words, start + 1, permuted, &mut found);
    let of_event = |at: usize| words.get(at).filter(|word| !word.fixed);
    if split_string(row, words, &found, reading, strict) {
        return;
    }
    for at in &found.code {
        if let Some(word) = of_event(*at)
            && !is_text_of_git(row, words, *at, &found)
        {
            reading.faults.push(code(name, word.at));
        }
    }
    if strict.input && input::is_read(row, words, start, &found) {
        reading.faults.push(from_input(name, words, start));
    }
    let interprets = matches!(row.operands, Operands::Shell | Operands::File);
    if interprets {
        // An option such as `--rcfile` names a file with code.
        for word in found.values.iter().filter_map(|at| of_event(*at)) {
            reading.faults.push(named(name, word.at));
        }
    }
    let script = found.operand;
    let coded = !found.code.is_empty();
    match row.operands {
        Operands::Shell if found.flagged => {
            reading
                .faults
                .extend(script.and_then(of_event).map(|word| code(name, word.at)));
            reading.data = script.map(|at| at + 1);
        }
        Operands::File if coded => reading.data = script,
        Operands::Shell | Operands::File => match script {
            Some(at) if !found.input && words.get(at).is_some_and(|word| !INPUTS.contains(&word.text)) => {
                reading
                    .faults
                    .extend(of_event(at).map(|word| named(name, word.at)));
                reading.command = at;
            }
            _ if strict.input && !found.harmless && !coded => {
                reading.faults.push(from_input(name, words, start));
            }
            _ => {}
        },
        Operands::Code if coded => {}
        Operands::Code => reading
            .faults
            .extend(script.and_then(of_event).map(|word| code(name, word.at))),
        Operands::Joined(skipped) => joined(row, words, name, skipped, &found, reading),
        Operands::Command(skipped) => started(row, words, skipped, found, reading, strict),
        Operands::Data => {}
    }
}

/// Checks the words that a program joins and passes to a shell.
fn joined(row: &Row, words: &[Word<'_>], name: &str, skipped: usize, found: &Options, reading: &mut Reading) {
    let Some(first) = found.operand else { return };
    let hint = if row.names.contains(&"ssh") {
        BY_INPUT
    } else {
        BY_ENVIRONMENT
    };
    for (index, word) in words
        .iter()
        .skip(first)
        .enumerate()
        .filter(|(_, word)| !word.fixed)
    {
        if index >= skipped {
            reading.faults.push(Fault {
                hint,
                ..code(name, word.at)
            });
        } else if word.text.is_empty() && !found.ended {
            reading.faults.push(named(name, word.at));
        }
    }
}

/// Checks the command that a program starts, after `skipped` operands of its own and assignments.
fn started(
    row: &Row,
    words: &[Word<'_>],
    skipped: usize,
    mut found: Options,
    reading: &mut Reading,
    strict: &Strict,
) {
    let name = row.names.first().copied().unwrap_or_default();
    for _ in 0..skipped {
        let Some(at) = found.operand else { return };
        found = Options::default();
        options(row, words, at + 1, false, &mut found);
        for at in &found.code {
            if let Some(word) = words.get(*at).filter(|word| !word.fixed) {
                reading.faults.push(code(name, word.at));
            }
        }
    }
    let Some(mut at) = found.operand else { return };
    if row.names.contains(&"xargs") && strict.input {
        input::by_xargs(words, reading.command, at, reading, strict);
    }
    while let Some(word) = words.get(at).filter(|word| is_assignment(word.text)) {
        let variable = word.text.split('=').next().unwrap_or_default();
        if !word.fixed && steers(variable) {
            reading.faults.push(Fault {
                at: word.at,
                message: steered(variable),
                hint: BY_RULES,
            });
        }
        at += 1;
    }
    nested(words, at, reading, strict);
}

/// True if a word behind `-c` is no code to `git`. A setting may hold plain text. After the name of
/// a command, the word is no setting at all, as in `git switch -c NAME`.
fn is_text_of_git(row: &Row, words: &[Word<'_>], at: usize, found: &Options) -> bool {
    let before = at.checked_sub(1).and_then(|at| words.get(at));
    let of_c = before.is_some_and(|word| word.text == "-c")
        || words.get(at).is_some_and(|word| !word.text.starts_with("--"))
            && before.is_some_and(|word| !word.text.starts_with("--") && word.text != "foreach");
    if !row.names.contains(&"git") || !of_c {
        return false;
    }
    let text = words.get(at).map_or("", |word| word.text);
    match text.split_once('=') {
        Some((key, _)) => TEXTS_OF_GIT.contains(&key.to_ascii_lowercase().as_str()),
        None => found.operand.is_some_and(|command| command < at),
    }
}

/// Checks a program that another program starts.
pub(super) fn nested(words: &[Word<'_>], at: usize, reading: &mut Reading, strict: &Strict) {
    let Some(program) = words.get(at) else { return };
    reading.command = at;
    if !program.fixed {
        reading.faults.push(Fault {
            at: program.at,
            message: "the program is fixed: it may not hold a template".to_owned(),
            hint: BY_RULES,
        });
        return;
    }
    let strict = Strict {
        depth: strict.depth + 1,
        ..*strict
    };
    if strict.depth < MAX_DEPTH
        && let Some(row) = row(program.text)
    {
        walk(row, words, at, reading, &strict);
    }
}

/// Checks `env -S 'sh -c'`, whose text is split into words that stand before the rest.
fn split_string(
    row: &Row,
    words: &[Word<'_>],
    found: &Options,
    reading: &mut Reading,
    strict: &Strict,
) -> bool {
    if !row.names.contains(&"env") {
        return false;
    }
    let Some(word) = found
        .code
        .first()
        .and_then(|at| words.get(*at))
        .filter(|word| word.fixed)
    else {
        return false;
    };
    let text = word.text.strip_prefix("--split-string=").unwrap_or(word.text);
    let text = text.strip_prefix('-').map_or(text, |text| {
        text.trim_start_matches(|letter: char| letter != 'S')
            .trim_start_matches('S')
    });
    let mut all: Vec<Word<'_>> = text
        .split_whitespace()
        .map(|text| Word { text, ..word.clone() })
        .collect();
    let behind = found.code.first().map_or(words.len(), |at| at + 1);
    all.extend(words.iter().skip(behind).cloned());
    let command = all.iter().position(|word| !is_assignment(word.text)).unwrap_or(0);
    let mut inner = Reading::default();
    nested(&all, command, &mut inner, strict);
    reading.faults.extend(inner.faults);
    reading.command = behind;
    true
}
