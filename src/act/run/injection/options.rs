//! Parser for the options of a program.
//!
//! The result names the words that hold code, those that hold other values, and the first operand.

use super::Word;
use super::rows::{Operands, Row};

/// Options after which a program reads no code.
const HARMLESS: [&str; 5] = ["--version", "--help", "-V", "-v", "-h"];

/// Result of parsing the options of a program.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one thing that an option has said"
)]
pub(super) struct Options {
    /// Words that hold code.
    pub(super) code: Vec<usize>,
    /// Words that name a file with code.
    pub(super) files: Vec<usize>,
    /// Words that name code beside the script.
    pub(super) libraries: Vec<usize>,
    /// Words that hold a value of another kind, or an option with one.
    pub(super) values: Vec<usize>,
    /// True if an option makes the first operand code.
    pub(super) flagged: bool,
    /// True if an option means that nothing is run, or that operands are data.
    pub(super) harmless: bool,
    /// True if a shell reads its standard input in spite of operands.
    pub(super) input: bool,
    /// Number of operands.
    pub(super) operands: usize,
    /// Position of the first operand.
    pub(super) operand: Option<usize>,
    /// True if `--` stands before the first operand.
    pub(super) ended: bool,
}

/// Parses options from `at` up to the first operand, or in all words if they are `permuted`.
pub(super) fn options(row: &Row, words: &[Word<'_>], mut at: usize, permuted: bool, parsed: &mut Options) {
    let is_shell = row.operands == Operands::Shell;
    while let Some(word) = words.get(at) {
        let text = word.text;
        if text == "--" && word.fixed && !permuted {
            parsed.operand = (at + 1 < words.len()).then_some(at + 1);
            parsed.operands = words.len() - at - 1;
            parsed.ended = true;
            return;
        }
        let sign = text.starts_with('-') || is_shell && text.starts_with('+');
        // Some programs have commands that take code: `deno eval`.
        if (!sign || text == "-") && !row.code.contains(&text) {
            if parsed.operand.is_none() {
                parsed.operand = Some(at);
            }
            if !permuted {
                parsed.operands = words.len() - at;
                return;
            }
            parsed.operands += 1;
            at += 1;
            continue;
        }
        parsed.harmless |= word.fixed && HARMLESS.contains(&text);
        let option = option(row, word, at, is_shell, parsed);
        at += option.words;
        if option.ends {
            parsed.operand = (at < words.len()).then_some(at);
            parsed.operands = words.len().saturating_sub(at);
            parsed.ended = true;
            return;
        }
    }
}

/// Result of parsing one option.
struct ParsedOption {
    /// Number of words of the option and its value.
    words: usize,
    /// True if no option follows.
    ends: bool,
}

/// Adds the value of an option at `at` to the list for its kind. False if the option has no value.
fn record(row: &Row, option: &str, at: usize, parsed: &mut Options) -> bool {
    let list = if row.code.contains(&option) {
        &mut parsed.code
    } else if row.files.contains(&option) {
        &mut parsed.files
    } else if row.libraries.contains(&option) {
        &mut parsed.libraries
    } else if row.values.contains(&option) {
        &mut parsed.values
    } else {
        return false;
    };
    list.push(at);
    true
}

/// Parses one option.
fn option(row: &Row, word: &Word<'_>, at: usize, is_shell: bool, parsed: &mut Options) -> ParsedOption {
    let text = word.text;
    let known = [row.code, row.files, row.libraries, row.values];
    let is_whole = !row.clusters || known.iter().any(|list| list.contains(&text));
    let parsed_option = |words, option: &str| ParsedOption {
        words,
        ends: row.ends.contains(&option),
    };
    let is_long = text.starts_with("--") || text.len() > 2 && is_whole;
    if is_long || !text.starts_with(['-', '+']) {
        let name = text.split('=').next().unwrap_or_default();
        let attached = text.contains('=');
        let next = if attached { at } else { at + 1 };
        if record(row, name, next, parsed) {
            return parsed_option(1 + next - at, name);
        }
        if row.pairs.contains(&name) {
            return parsed_option(3, name);
        }
        if !word.fixed {
            parsed.values.push(at);
        }
        return parsed_option(1, name);
    }
    let sign = text.get(..1).unwrap_or_default();
    let letters = text.get(1..).unwrap_or_default();
    for (index, letter) in letters.char_indices() {
        let option = format!("{sign}{letter}");
        let last = index + letter.len_utf8() == letters.len() && word.fixed;
        if is_shell && row.code.contains(&option.as_str()) {
            parsed.flagged = true;
            // If options follow operands, the code is the next operand.
            parsed.operand = None;
            continue;
        }
        let next = if last { at + 1 } else { at };
        if record(row, &option, next, parsed) {
            return parsed_option(1 + next - at, &option);
        }
        if row.attached.contains(letter) {
            break;
        }
        parsed.input |= is_shell && letter == 's';
    }
    if !word.fixed {
        parsed.values.push(at);
    }
    parsed_option(1, "")
}
