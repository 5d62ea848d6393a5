//! Where the words of a `run` are read as code.
//!
//! `run` starts no shell, but the program may be one, or start one. This file finds the words that an interpreter
//! would run, so that a template among them is an error at load, as it is in a `shell`. It knows programs by
//! their names (`rows`). It finds honest mistakes; a rule that hides its shell behind a script of another name is
//! not found.

mod rows;
mod steering;

use std::path::Path;

use self::rows::{Operands, ROWS, Row};

pub(super) use self::steering::steers;

/// How deep programs may start programs before nothing is looked at any more.
const MAX_DEPTH: usize = 16;
/// How many words behind the name of a program are looked at for its options where it is not sure to be one.
const MAX_LOOKED_AT: usize = 256;
/// Options that name the program of a container.
const ENTRYPOINT: &str = "--entrypoint";
/// Options after which a program reads no code.
const HARMLESS: [&str; 5] = ["--version", "--help", "-V", "-v", "-h"];

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

/// A word that would be read as code.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Which word.
    pub(super) at: usize,
    /// What is wrong with it.
    pub(super) message: String,
    /// What would help.
    pub(super) hint: &'static str,
}

/// What would help with a script.
pub(super) const BY_ENVIRONMENT: &str = "values reach a shell through its environment: `env: {COMMIT: \"{{ payload.after }}\"}`, then \"$COMMIT\"";
/// What would help where no environment is handed on.
const BY_INPUT: &str = "hand values over on standard input: `stdin: json`, or the body, and read them there";
/// What would help with a name.
const BY_RULES: &str = "write a rule for each, or have a script of your own choose";
/// What would help with an interpreter that reads standard input.
const BY_FILE: &str = "put the script into a file and name it, or say `stdin: none`";

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
    reading.faults.sort_by_key(|fault| fault.at);
    reading.faults.dedup_by_key(|fault| fault.at);
    reading
}

/// What is known of a command that is surely one.
struct Strict {
    input: bool,
    depth: usize,
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

/// What the options of a program say.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one thing that an option has said"
)]
struct Options {
    /// Words that hold code.
    code: Vec<usize>,
    /// Words that hold a value of another kind, or an option with one.
    values: Vec<usize>,
    /// Whether an option said that the first operand is code.
    flagged: bool,
    /// Whether an option says that nothing is run, or that operands are data.
    harmless: bool,
    /// Whether a shell reads its standard input all the same.
    input: bool,
    /// The first operand.
    operand: Option<usize>,
    /// Whether `--` stands before it.
    ended: bool,
}

/// Reads options from `at` on up to the first operand, or through all words if they are `permuted`.
fn options(row: &Row, words: &[Word<'_>], mut at: usize, permuted: bool, found: &mut Options) {
    let is_shell = row.operands == Operands::Shell;
    while let Some(word) = words.get(at) {
        let text = word.text;
        if text == "--" && word.fixed && !permuted {
            found.operand = (at + 1 < words.len()).then_some(at + 1);
            found.ended = true;
            return;
        }
        let sign = text.starts_with('-') || is_shell && text.starts_with('+');
        // The words of some programs are commands of their own: `deno eval`.
        if (!sign || text == "-") && !row.code.contains(&text) {
            if found.operand.is_none() {
                found.operand = Some(at);
            }
            if !permuted {
                return;
            }
            at += 1;
            continue;
        }
        found.harmless |= word.fixed && HARMLESS.contains(&text);
        at += option(row, word, at, is_shell, found);
    }
}

/// Reads one option; how many words it takes.
fn option(row: &Row, word: &Word<'_>, at: usize, is_shell: bool, found: &mut Options) -> usize {
    let text = word.text;
    let is_whole = !row.clusters || row.code.contains(&text) || row.values.contains(&text);
    let is_long = text.starts_with("--") || text.len() > 2 && is_whole;
    if is_long || !text.starts_with(['-', '+']) {
        let name = text.split('=').next().unwrap_or_default();
        let attached = text.contains('=');
        let next = if attached { at } else { at + 1 };
        if row.code.contains(&name) {
            found.code.push(next);
            return 1 + next - at;
        }
        if row.values.contains(&name) {
            found.values.push(next);
            return 1 + next - at;
        }
        if row.pairs.contains(&name) {
            return 3;
        }
        if !word.fixed {
            found.values.push(at);
        }
        return 1;
    }
    let sign = text.get(..1).unwrap_or_default();
    let letters = text.get(1..).unwrap_or_default();
    for (place, letter) in letters.char_indices() {
        let option = format!("{sign}{letter}");
        let last = place + letter.len_utf8() == letters.len() && word.fixed;
        if row.code.contains(&option.as_str()) {
            if is_shell {
                found.flagged = true;
                // Where options follow operands, the code is what comes next.
                found.operand = None;
                continue;
            }
            found.code.push(if last { at + 1 } else { at });
            return if last { 2 } else { 1 };
        }
        if row.values.contains(&option.as_str()) {
            found.values.push(if last { at + 1 } else { at });
            return if last { 2 } else { 1 };
        }
        if row.attached.contains(letter) {
            break;
        }
        found.input |= is_shell && letter == 's';
    }
    if !word.fixed {
        found.values.push(at);
    }
    1
}

/// Looks at the program at `start`, which `row` describes.
fn walk(row: &Row, words: &[Word<'_>], start: usize, reading: &mut Reading, strict: &Strict) {
    reading.command = start;
    let name = words.get(start).map_or("", |word| word.text);
    let mut found = Options::default();
    let permuted = row.operands == Operands::Data;
    options(row, words, start + 1, permuted, &mut found);
    let of_event = |at: usize| words.get(at).filter(|word| !word.fixed);
    if split_string(row, words, &found, reading, strict) {
        return;
    }
    for word in found.code.iter().filter_map(|at| of_event(*at)) {
        reading.faults.push(code(name, word.at));
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
            Some(at) if !found.input && words.get(at).is_some_and(|word| word.text != "-") => {
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

/// The words that a program hands to a shell, all together.
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

/// The command that a program starts, behind so many operands of its own, and assignments.
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

/// A program that another starts.
fn nested(words: &[Word<'_>], at: usize, reading: &mut Reading, strict: &Strict) {
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

/// `env -S 'sh -c'`: the text is words, which stand before the rest.
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

/// A template in code.
fn code(name: &str, at: usize) -> Fault {
    Fault {
        at,
        message: format!(
            "`{name}` runs this text as code: with a template in it an event could say what is run"
        ),
        hint: BY_ENVIRONMENT,
    }
}

/// A template that names code, or could be an option.
fn named(name: &str, at: usize) -> Fault {
    Fault {
        at,
        message: format!("this tells `{name}` what to run: with a template in it an event could say so"),
        hint: BY_RULES,
    }
}

/// Code from standard input.
fn from_input(name: &str, words: &[Word<'_>], start: usize) -> Fault {
    Fault {
        at: words.get(start).map_or(0, |word| word.at),
        message: format!("`{name}` is given no script and would run the event, which is its standard input"),
        hint: BY_FILE,
    }
}

/// What is wrong with a variable that steers programs.
pub(super) fn steered(name: &str) -> String {
    format!("`{name}` steers what programs load or run: its value may not come from an event")
}

#[cfg(test)]
mod tests;
