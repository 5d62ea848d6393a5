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
pub(super) fn options(row: &Row, words: &[Word<'_>], mut at: usize, permuted: bool, found: &mut Options) {
    let is_shell = row.operands == Operands::Shell;
    while let Some(word) = words.get(at) {
        let text = word.text;
        if text == "--" && word.fixed && !permuted {
            found.operand = (at + 1 < words.len()).then_some(at + 1);
            found.operands = words.len() - at - 1;
            found.ended = true;
            return;
        }
        let sign = text.starts_with('-') || is_shell && text.starts_with('+');
        // Some programs have commands that take code: `deno eval`.
        if (!sign || text == "-") && !row.code.contains(&text) {
            if found.operand.is_none() {
                found.operand = Some(at);
            }
            if !permuted {
                found.operands = words.len() - at;
                return;
            }
            found.operands += 1;
            at += 1;
            continue;
        }
        found.harmless |= word.fixed && HARMLESS.contains(&text);
        at += option(row, word, at, is_shell, found);
    }
}

/// Parses one option, and returns the number of words that it takes.
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
                // If options follow operands, the code is the next operand.
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
