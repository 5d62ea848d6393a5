//! Detection of programs that run their standard input as code.
//!
//! If that input is the event, the event is run, although no word holds a template.

use super::fault::{fed, from_input};
use super::options::Options;
use super::rows::{Input, Operands, Row};
use super::walk::{Strict, nested};
use super::{Reading, Word, row};

/// Programs that run a command in a container.
const CONTAINERS: [&str; 7] = ["docker", "podman", "nerdctl", "kubectl", "oc", "incus", "crictl"];
/// Options after which a program reads no input.
const HARMLESS: [&str; 4] = ["--version", "-version", "--help", "-V"];
/// Text that `xargs -i` and `xargs --replace` replace by default.
const BRACES: &str = "{}";

/// True if the program at `start` reads its standard input as code, by its options and operands.
pub(super) fn is_read(row: &Row, words: &[Word<'_>], start: usize, found: &Options) -> bool {
    let Some(Input {
        operands,
        unless,
        only,
    }) = &row.input
    else {
        return false;
    };
    let end = match (row.operands, found.operand) {
        (Operands::Data, _) | (_, None) => words.len(),
        (_, Some(operand)) => operand,
    };
    let options = words.get(start + 1..end).unwrap_or_default();
    let has = |option: &&str| options.iter().any(|word| is_option(row, word.text, option));
    found.code.is_empty()
        && found.operands <= *operands
        && !unless.iter().any(has)
        && !HARMLESS.iter().any(has)
        && (only.is_empty() || only.iter().any(has))
}

/// True if a word is this option, also with a value or among other letters.
fn is_option(row: &Row, word: &str, option: &str) -> bool {
    let letter = option.strip_prefix('-').filter(|letter| letter.len() == 1);
    let clustered = |letter| row.clusters && !word.starts_with("--") && word.contains(letter);
    word.starts_with('-') && (word.split('=').next() == Some(option) || letter.is_some_and(clustered))
}

/// Reports `docker exec -i web sh`: the shell in the container reads the input of the command.
pub(super) fn in_container(words: &[Word<'_>], reading: &mut Reading) {
    let name = |word: &Word<'_>| word.text.rsplit('/').next().unwrap_or_default().to_owned();
    let contains = |word: &Word<'_>| CONTAINERS.contains(&name(word).as_str());
    let interactive = |word: &Word<'_>| {
        let letters = word.text.strip_prefix('-').unwrap_or_default();
        let clustered = letters.len() <= 3 && letters.bytes().all(|letter| letter.is_ascii_lowercase());
        word.fixed
            && (clustered && letters.contains('i') || ["--interactive", "--stdin"].contains(&word.text))
    };
    let Some((last, before)) = words.split_last() else {
        return;
    };
    let interprets =
        row(last.text).is_some_and(|row| matches!(row.operands, Operands::Shell | Operands::File));
    if interprets && last.fixed && before.iter().any(contains) && before.iter().any(interactive) {
        reading.faults.push(from_input(last.text, words, words.len() - 1));
    }
}

/// Checks the command that `xargs` starts with words of its standard input. The words replace the
/// text that `-I` names, or else stand at the end.
pub(super) fn by_xargs(
    words: &[Word<'_>],
    start: usize,
    operand: usize,
    reading: &mut Reading,
    strict: &Strict,
) {
    let options = words.get(start + 1..operand).unwrap_or_default();
    // With `-a`, the words come from a file.
    if options
        .iter()
        .any(|word| word.text.starts_with("-a") || word.text.starts_with("--arg-file"))
    {
        return;
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
    let strict = Strict {
        input: false,
        ..*strict
    };
    let (mut found, mut plain) = (Reading::default(), Reading::default());
    nested(&fed_words, operand, &mut found, &strict);
    nested(words, operand, &mut plain, &strict);
    let new = found
        .faults
        .iter()
        .filter(|fault| plain.faults.iter().all(|known| known.at != fault.at));
    reading.faults.extend(new.map(|fault| fed(fault.at)));
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
