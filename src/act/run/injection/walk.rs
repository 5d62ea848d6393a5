//! Walk through programs that start other programs, to the words that the innermost one runs as
//! code.
//!
//! A template among those words is reported as a fault. Options are left to `options.rs`, and
//! standard input to `input.rs`.

use std::path::Path;

use super::error::{
    BY_ENVIRONMENT, BY_INPUT, BY_RULES, InjectionError, code, fed, from_input, named, steered,
};
use super::input;
use super::operands::{inner_commands, is_text_of_git, joined, looped, plus};
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
pub(super) struct CommandContext {
    pub(super) input: bool,
    /// True if a path means what it means in the folder of the command.
    pub(super) local: bool,
    pub(super) depth: usize,
}

impl CommandContext {
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
    context: &CommandContext,
) {
    reading.command = start;
    let mut parsed = Options::default();
    let permuted = matches!(row.operands, Operands::Data | Operands::Plus);
    options(row, words, start + 1, permuted, &mut parsed);
    let of_event = |at: usize| words.get(at).filter(|word| !word.fixed);
    if split_string(row, words, &parsed, reading, context) {
        return;
    }
    for at in &parsed.code {
        if let Some(word) = of_event(*at)
            && !is_text_of_git(row, words, *at, &parsed)
        {
            reading.errors.push(code(name, word.at));
        }
    }
    let interprets = matches!(row.operands, Operands::Shell | Operands::File);
    // An option of an interpreter, such as `--rcfile`, names a file with code.
    let values = parsed.values.iter().filter(|_| interprets);
    let files = parsed.files.iter().chain(&parsed.libraries).chain(values);
    for word in files.filter_map(|at| of_event(*at)) {
        reading.errors.push(named(name, word.at));
    }
    if row.names.contains(&"perl") {
        looped(words, start, name, &parsed, reading);
    }
    let is_read = !interprets && input::is_read(row, words, start, &parsed);
    if context.input && (is_read || input::is_named(words, &parsed)) {
        reading.errors.push(from_input(name, words, start));
    }
    if let Some((at, command)) = command(row, words, &parsed) {
        let name = format!("{name} {}", words.get(at).map_or("", |word| word.text));
        walk(command, words, at, &name, reading, context);
        return;
    }
    operands(row, words, start, name, parsed, reading, context);
}

/// Checks what stands behind the options of the program at `start`.
fn operands(
    row: &Row,
    words: &[Word<'_>],
    start: usize,
    name: &str,
    parsed: Options,
    reading: &mut Reading,
    context: &CommandContext,
) {
    let of_event = |at: usize| words.get(at).filter(|word| !word.fixed);
    let operand = parsed.operand;
    let has_code = !parsed.code.is_empty() || !parsed.files.is_empty();
    let code_of_event = || operand.and_then(of_event).map(|word| code(name, word.at));
    match row.operands {
        Operands::Shell if parsed.flagged => {
            reading.errors.extend(code_of_event());
            reading.data = operand.map(|at| at + 1);
        }
        Operands::File if !parsed.code.is_empty() => reading.data = operand,
        Operands::File if has_code => reading.command = operand.unwrap_or(start),
        Operands::Shell | Operands::File => match operand {
            Some(at) if !input::is_script(words, start, row, &parsed) => {
                reading
                    .errors
                    .extend(of_event(at).map(|word| named(name, word.at)));
                reading.command = at;
                let word = words.get(at).filter(|_| context.local && !parsed.harmless);
                reading.script = word.and_then(|word| file(row, word, words.get(start..at)?));
            }
            _ if context.input && input::is_script(words, start, row, &parsed) => {
                reading.errors.push(from_input(name, words, start));
            }
            _ => {}
        },
        Operands::Code if has_code => {}
        Operands::Code => reading.errors.extend(code_of_event()),
        Operands::Joined(skipped) => joined(words, name, skipped, &parsed, BY_ENVIRONMENT, reading),
        Operands::Remote(skipped) => {
            joined(words, name, skipped, &parsed, BY_INPUT, reading);
            if context.input && !input::is_closed(row, words, start, &parsed) {
                by_remote(words, operand, skipped, reading, context);
            }
        }
        Operands::Command(skipped) => started(row, words, skipped, parsed, reading, context),
        Operands::Behind(openings) => {
            for (at, end) in inner_commands(words, start, openings) {
                let inner = words.get(..end).unwrap_or_default();
                nested(inner, at + 1, reading, &context.within(row, words, start, at));
            }
        }
        Operands::Plus => plus(words, start, name, &parsed, reading),
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
fn command<'r>(row: &'r Row, words: &[Word<'_>], parsed: &Options) -> Option<(usize, &'r Row)> {
    let at = parsed.operand?;
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
    mut parsed: Options,
    reading: &mut Reading,
    context: &CommandContext,
) {
    let name = row.names.first().copied().unwrap_or_default();
    for _ in 0..skipped {
        let Some(at) = parsed.operand else { return };
        parsed = Options::default();
        options(row, words, at + 1, false, &mut parsed);
        for at in &parsed.code {
            if let Some(word) = words.get(*at).filter(|word| !word.fixed) {
                reading.errors.push(code(name, word.at));
            }
        }
    }
    let Some(mut at) = parsed.operand else { return };
    let start = reading.command;
    if row.names.contains(&"xargs") && context.input {
        by_xargs(words, start, at, reading, context);
    }
    while let Some(word) = words.get(at).filter(|word| is_assignment(word.text)) {
        let variable = word.text.split('=').next().unwrap_or_default();
        if !word.fixed && steers(variable) {
            reading.errors.push(InjectionError {
                at: word.at,
                message: steered(variable),
                hint: BY_RULES,
            });
        }
        at += 1;
    }
    let context = context.within(row, words, start, at);
    nested(words, at, reading, &context);
}

/// Checks the commands that a shell on another machine runs.
fn by_remote(
    words: &[Word<'_>],
    operand: Option<usize>,
    skipped: usize,
    reading: &mut Reading,
    context: &CommandContext,
) {
    let Some(operand) = operand else { return };
    for (command, program) in input::remote_commands(words, operand, skipped) {
        let mut inner = Reading::default();
        nested(&command, program, &mut inner, context);
        reading.errors.extend(inner.errors);
    }
}

/// Checks the command that `xargs` starts. Only errors that its standard input causes are reported.
fn by_xargs(
    words: &[Word<'_>],
    start: usize,
    operand: usize,
    reading: &mut Reading,
    context: &CommandContext,
) {
    let Some(fed_words) = input::fed_words(words, start, operand) else {
        return;
    };
    let context = CommandContext {
        input: false,
        ..*context
    };
    let (mut with_input, mut plain) = (Reading::default(), Reading::default());
    nested(&fed_words, operand, &mut with_input, &context);
    nested(words, operand, &mut plain, &context);
    let mut new = with_input.errors;
    new.retain(|error| plain.errors.iter().all(|known| known.at != error.at));
    reading.errors.extend(new.iter().map(|error| fed(error.at)));
}

/// Checks a program that another program starts.
pub(super) fn nested(words: &[Word<'_>], at: usize, reading: &mut Reading, context: &CommandContext) {
    let Some(program) = words.get(at) else { return };
    reading.command = at;
    if !program.fixed {
        reading.errors.push(InjectionError {
            at: program.at,
            message: "the program is fixed: it may not hold a template".to_owned(),
            hint: BY_RULES,
        });
        return;
    }
    let context = CommandContext {
        depth: context.depth + 1,
        ..*context
    };
    if context.depth < MAX_DEPTH
        && let Some(row) = row(program.text)
    {
        walk(row, words, at, program.text, reading, &context);
    }
}

/// Checks `env -S 'sh -c'`, whose text is split into words that stand before the rest.
fn split_string(
    row: &Row,
    words: &[Word<'_>],
    parsed: &Options,
    reading: &mut Reading,
    context: &CommandContext,
) -> bool {
    if !row.names.contains(&"env") {
        return false;
    }
    let Some(word) = parsed
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
    let behind = parsed.code.first().map_or(words.len(), |at| at + 1);
    all.extend(words.iter().skip(behind).cloned());
    let command = all.iter().position(|word| !is_assignment(word.text)).unwrap_or(0);
    let mut inner = Reading::default();
    nested(&all, command, &mut inner, context);
    reading.errors.extend(inner.errors);
    reading.command = behind;
    true
}
