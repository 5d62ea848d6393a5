//! Walk through programs that start other programs, to the words that the innermost one runs as
//! code.
//!
//! A template among those words is reported as a fault. Options are left to `options.rs`, and
//! standard input to `input.rs`.

use std::path::Path;

use super::fault::{BY_ENVIRONMENT, BY_INPUT, BY_RULES, Fault, code, from_input, named, steered};
use super::input;
use super::operands::{behind, is_text_of_git, joined, looped, plus};
use super::options::{Options, options};
use super::rows::{Operands, Row};
use super::{Reading, ScriptFile, Word, is_assignment, row, steers};

/// Maximum depth of programs that start programs. Deeper ones are not checked.
const MAX_DEPTH: usize = 16;

/// Programs that start another one in the same folder, as the same user, on the same files.
const LOCAL: [&str; 13] = [
    "env",
    "timeout",
    "nice",
    "ionice",
    "chrt",
    "taskset",
    "nohup",
    "setsid",
    "stdbuf",
    "time",
    "flock",
    "tini",
    "dumb-init",
];

/// Context of words that certainly are a command.
pub(super) struct Strict {
    pub(super) input: bool,
    /// True if a path means what it means in the folder of the command.
    pub(super) local: bool,
    pub(super) depth: usize,
}

impl Strict {
    /// Returns the context of a program that the one at `start` starts at `at`. A container gets
    /// standard input only if an option says so.
    pub(super) fn within(&self, row: &Row, words: &[Word<'_>], start: usize, at: usize) -> Self {
        let options = words.get(start..at).unwrap_or_default();
        let name = options.first().and_then(|word| word.text.rsplit('/').next());
        let moves = |word: &Word<'_>| {
            let text = word.text;
            text.starts_with("-C") || text.starts_with("--chdir") || text.starts_with("PATH=")
        };
        Self {
            local: self.local && name.is_some_and(|name| LOCAL.contains(&name)) && !options.iter().any(moves),
            input: self.input && (!row.inside || input::is_interactive(words, options)),
            ..*self
        }
    }
}

/// Checks the program at `start`, which `row` describes.
pub(super) fn walk(
    row: &Row,
    words: &[Word<'_>],
    start: usize,
    name: &str,
    reading: &mut Reading,
    strict: &Strict,
) {
    reading.command = start;
    let mut found = Options::default();
    let permuted = matches!(row.operands, Operands::Data | Operands::Plus);
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
    for word in found
        .files
        .iter()
        .chain(&found.libraries)
        .filter_map(|at| of_event(*at))
    {
        reading.faults.push(named(name, word.at));
    }
    if row.names.contains(&"perl") {
        looped(words, start, name, &found, reading);
    }
    let interprets = matches!(row.operands, Operands::Shell | Operands::File);
    let is_read = !interprets && input::is_read(row, words, start, &found);
    if strict.input && (is_read || input::is_named(words, &found)) {
        reading.faults.push(from_input(name, words, start));
    }
    if interprets {
        // An option such as `--rcfile` names a file with code.
        for word in found.values.iter().filter_map(|at| of_event(*at)) {
            reading.faults.push(named(name, word.at));
        }
    }
    let script = found.operand;
    let coded = !found.code.is_empty() || !found.files.is_empty();
    if let Some((at, command)) = command(row, words, &found) {
        let name = format!("{name} {}", words.get(at).map_or("", |word| word.text));
        walk(command, words, at, &name, reading, strict);
        return;
    }
    match row.operands {
        Operands::Shell if found.flagged => {
            reading
                .faults
                .extend(script.and_then(of_event).map(|word| code(name, word.at)));
            reading.data = script.map(|at| at + 1);
        }
        Operands::File if !found.code.is_empty() => reading.data = script,
        Operands::File if coded => reading.command = script.unwrap_or(start),
        Operands::Shell | Operands::File => match script {
            Some(at) if !input::is_script(words, start, row, &found) => {
                reading
                    .faults
                    .extend(of_event(at).map(|word| named(name, word.at)));
                reading.command = at;
                let word = words.get(at).filter(|_| strict.local && !found.harmless);
                reading.script = word.and_then(|word| file(row, word, words.get(start..at)?));
            }
            _ if strict.input && input::is_script(words, start, row, &found) => {
                reading.faults.push(from_input(name, words, start));
            }
            _ => {}
        },
        Operands::Code if coded => {}
        Operands::Code => reading
            .faults
            .extend(script.and_then(of_event).map(|word| code(name, word.at))),
        Operands::Joined(skipped) => joined(words, name, skipped, &found, BY_ENVIRONMENT, reading),
        Operands::Remote(skipped) => {
            joined(words, name, skipped, &found, BY_INPUT, reading);
            if strict.input && !input::is_closed(row, words, start, &found) {
                input::by_remote(words, found.operand, skipped, reading, strict);
            }
        }
        Operands::Command(skipped) => started(row, words, skipped, found, reading, strict),
        Operands::Behind(openings) => behind(row, words, start, openings, reading, strict),
        Operands::Plus => plus(words, start, name, &found, reading),
        Operands::Data => {}
    }
}

/// Returns the script that an interpreter reads from a file. `None` if the word may be something
/// else, such as the address of a server.
fn file(row: &Row, word: &Word<'_>, options: &[Word<'_>]) -> Option<ScriptFile> {
    let name = row.names.first().copied().unwrap_or_default();
    let extension = Path::new(word.text)
        .extension()
        .and_then(|extension| extension.to_str());
    let is_file = row.operands == Operands::Shell
        || ["python", "perl", "ruby", "php", "lua"].contains(&name)
        || name == "node" && matches!(extension, Some("js" | "mjs" | "cjs" | "ts"));
    let moves = options.iter().any(|word| word.text.starts_with("-C"));
    (word.fixed && is_file && !(moves && name == "ruby")).then(|| ScriptFile {
        at: word.at,
        text: word.text.to_owned(),
        package: name == "python",
    })
}

/// Finds the command of a program that has commands: `git rebase`.
fn command<'r>(row: &'r Row, words: &[Word<'_>], found: &Options) -> Option<(usize, &'r Row)> {
    let at = found.operand?;
    let word = words.get(at).filter(|word| word.fixed)?;
    let mut commands = row.commands.iter();
    commands
        .find(|command| command.names.contains(&word.text))
        .map(|command| (at, command))
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
    let start = reading.command;
    if row.names.contains(&"xargs") && strict.input {
        input::by_xargs(words, start, at, reading, strict);
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
    let strict = strict.within(row, words, start, at);
    nested(words, at, reading, &strict);
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
        walk(row, words, at, program.text, reading, &strict);
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
