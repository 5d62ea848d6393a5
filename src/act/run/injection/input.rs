//! Detection of programs that run their standard input as code.
//!
//! If that input is the event, the event is run, although no word holds a template.

use super::error::from_input;
use super::options::{Options, options};
use super::rows::{Input, Operands, Row};
use super::{Reading, Word, is_assignment, row};

/// Programs that run a command in a container.
const CONTAINERS: [&str; 7] = ["docker", "podman", "nerdctl", "kubectl", "oc", "incus", "crictl"];
/// Options after which a program reads no input.
const HARMLESS: [&str; 4] = ["--version", "-version", "--help", "-V"];
/// Names of the standard input as a script.
const INPUTS: [&str; 4] = ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"];
/// Words that end a command in a line for a shell.
const SEPARATORS: [&str; 3] = ["&&", "||", ";"];
/// Text that `xargs -i` and `xargs --replace` replace by default.
const BRACES: &str = "{}";

/// True if the program at `start` reads its standard input as code, by its options and operands.
pub(super) fn is_read(row: &Row, words: &[Word<'_>], start: usize, parsed: &Options) -> bool {
    let Some(Input { operands, only, .. }) = &row.input else {
        return false;
    };
    let has = |option: &&str| has(row, words, start, parsed, option);
    parsed.code.is_empty()
        && parsed.files.is_empty()
        && parsed.operands <= *operands
        && !is_closed(row, words, start, parsed)
        && !HARMLESS.iter().any(has)
        && (only.is_empty() || only.iter().any(has))
}

/// True if an option says that the program does not read its standard input as code.
pub(super) fn is_closed(row: &Row, words: &[Word<'_>], start: usize, parsed: &Options) -> bool {
    let unless = row.input.as_ref().map_or(&[][..], |input| input.unless);
    unless.iter().any(|option| has(row, words, start, parsed, option))
}

/// True if an interpreter reads its script from standard input.
pub(super) fn is_script(words: &[Word<'_>], start: usize, row: &Row, parsed: &Options) -> bool {
    let operand = parsed.operand.and_then(|at| words.get(at));
    let named = operand.is_none_or(|word| word.fixed && INPUTS.contains(&word.text));
    let coded = !parsed.code.is_empty() || !parsed.files.is_empty();
    (parsed.input || named) && !parsed.harmless && !coded && !is_closed(row, words, start, parsed)
}

/// True if an option names the standard input as a file with code.
pub(super) fn is_named(words: &[Word<'_>], parsed: &Options) -> bool {
    let is_input = |word: &Word<'_>| {
        let value = word.text.strip_prefix("--").and_then(|long| long.split_once('='));
        match value {
            Some((_, value)) => INPUTS.contains(&value),
            // The value may be the rest of a word: `-f-`.
            None => INPUTS.iter().any(|input| word.text.ends_with(input)),
        }
    };
    let mut files = parsed.files.iter().filter_map(|at| words.get(*at));
    files.any(|word| {
        word.fixed && (INPUTS.contains(&word.text) || word.text.starts_with('-') && is_input(word))
    })
}

/// True if the program has an option.
fn has(row: &Row, words: &[Word<'_>], start: usize, parsed: &Options, option: &str) -> bool {
    let end = match (row.operands, parsed.operand) {
        (Operands::Data | Operands::Plus, _) | (_, None) => words.len(),
        (_, Some(operand)) => operand,
    };
    let options = words.get(start + 1..end).unwrap_or_default();
    options.iter().any(|word| is_option(row, word.text, option))
}

/// True if a word is this option, also with a value or among other letters.
fn is_option(row: &Row, word: &str, option: &str) -> bool {
    let letter = option.strip_prefix('-').filter(|letter| letter.len() == 1);
    let clustered = |letter| row.clusters && !word.starts_with("--") && word.contains(letter);
    word.starts_with('-') && (word.split('=').next() == Some(option) || letter.is_some_and(clustered))
}

/// True if a container gets the standard input of the command. `compose` passes it on by default.
pub(super) fn is_interactive(words: &[Word<'_>], options: &[Word<'_>]) -> bool {
    let is_compose = |word: &Word<'_>| word.fixed && word.text.ends_with("compose");
    let is_option = |word: &Word<'_>| {
        let letters = word.text.strip_prefix('-').unwrap_or_default();
        let clustered = letters.len() <= 3 && letters.bytes().all(|letter| letter.is_ascii_lowercase());
        word.fixed
            && (clustered && letters.contains('i') || ["--interactive", "--stdin"].contains(&word.text))
    };
    options.iter().any(is_option) || words.iter().any(is_compose)
}

/// Reports `docker run -i image sh`: the shell in the container reads the input of the command. The
/// options of the container are not known, so that any word may be the program.
pub(super) fn in_container(words: &[Word<'_>], reading: &mut Reading) {
    let name = |word: &Word<'_>| word.text.rsplit('/').next().unwrap_or_default().to_owned();
    let contains = |word: &Word<'_>| CONTAINERS.contains(&name(word).as_str());
    let Some(start) = words.iter().position(contains) else {
        return;
    };
    for (at, word) in words.iter().enumerate().skip(start + 1) {
        // An image of an interpreter starts it.
        let program = name(word);
        let program = program.split(':').next().unwrap_or_default();
        let interprets = |row: &&Row| matches!(row.operands, Operands::Shell | Operands::File);
        let Some(row) = row(program).filter(interprets).filter(|_| word.fixed) else {
            continue;
        };
        let mut parsed = Options::default();
        options(row, words, at + 1, false, &mut parsed);
        let before = words.get(start..at).unwrap_or_default();
        let read = is_script(words, at, row, &parsed) && !parsed.flagged;
        if read && is_interactive(words, before) {
            reading.errors.push(from_input(word.text, words, at));
            return;
        }
    }
}

/// Splits the words for a shell on another machine into commands, each with the position of its
/// program. They inherit the standard input. Those that redirect it are left out.
pub(super) fn remote_commands<'w>(
    words: &[Word<'w>],
    operand: usize,
    skipped: usize,
) -> Vec<(Vec<Word<'w>>, usize)> {
    let line = words.iter().skip(operand + skipped).filter(|word| word.fixed);
    let split: Vec<Word<'w>> = line
        .flat_map(|word| {
            word.text
                .split_whitespace()
                .map(|text| Word { text, ..word.clone() })
        })
        .collect();
    let is_end = |word: &Word<'_>| SEPARATORS.contains(&word.text) || word.text.ends_with(';');
    let is_redirected = |command: &&[Word<'_>]| command.iter().any(|word| word.text.contains('<'));
    let is_program = |word: &Word<'_>| !is_assignment(word.text) && word.text != "--";
    split
        .split(is_end)
        .filter(|command| !is_redirected(command))
        .filter_map(|command| Some((command.to_vec(), command.iter().position(is_program)?)))
        .collect()
}

/// Returns the words of a command that `xargs` starts with words of its standard input. They
/// replace the text that `-I` names, or else stand at the end. `None` if the words come from a
/// file.
pub(super) fn fed_words<'w>(words: &[Word<'w>], start: usize, operand: usize) -> Option<Vec<Word<'w>>> {
    let options = words.get(start + 1..operand).unwrap_or_default();
    if options
        .iter()
        .any(|word| word.text.starts_with("-a") || word.text.starts_with("--arg-file"))
    {
        return None;
    }
    let mut fed_words = words.to_vec();
    if let Some(replaced) = replaced(options) {
        for word in fed_words.iter_mut().skip(operand) {
            if let Some(end) = word.text.find(replaced) {
                word.text = word.text.get(..end).unwrap_or_default();
                word.fixed = false;
            }
        }
    } else {
        let at = words.get(start).map_or(0, |word| word.at);
        fed_words.push(Word {
            text: "",
            fixed: false,
            at,
        });
    }
    Some(fed_words)
}

/// Returns the text that `xargs` replaces, if any.
fn replaced<'w>(options: &[Word<'w>]) -> Option<&'w str> {
    let mut options = options.iter();
    while let Some(word) = options.next() {
        if let Some(long) = word.text.strip_prefix("--replace") {
            return Some(long.strip_prefix('=').unwrap_or(BRACES));
        }
        let letters = word.text.strip_prefix('-').unwrap_or_default();
        let value = letters.trim_start_matches(['0', 'o', 'p', 'r', 't', 'x']);
        if let Some(value) = value.strip_prefix('I') {
            return match value {
                "" => options.next().map(|word| word.text),
                value => Some(value),
            };
        }
        if let Some(value) = value.strip_prefix('i') {
            return Some(if value.is_empty() { BRACES } else { value });
        }
    }
    None
}
