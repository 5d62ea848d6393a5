//! Environment for the check: the caller's variables, and those of an environment file.
//!
//! The file is read as systemd's `EnvironmentFile=` is, so that a check sees the variables of the
//! service. Errors never contain a value.

use std::ffi::OsString;
use std::path::Path;

use crate::base::file::{self, ReadError};
use crate::config::{self, Layout};

/// Environment file of the package, below the root.
const PACKAGED: &str = "etc/hookyard/environment";
/// Maximum size of an environment file, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Builds the environment for the rules file at `rules`. Variables of the environment file win, as
/// in the service.
pub fn of(rules: &Path, named: Option<&Path>) -> Result<Vec<(OsString, OsString)>, String> {
    let layout = Layout::of_process();
    let packaged = layout.root.join(PACKAGED);
    let variables = match named {
        Some(file) => read(file)?,
        // Often only root may read the file. A missing variable then appears as a diagnostic.
        None if layout.is_packaged(rules) => read(&packaged).unwrap_or_default(),
        None => Vec::new(),
    };
    let mut environment = config::environment();
    environment.retain(|(name, _)| variables.iter().all(|(other, _)| **other != **name));
    environment.extend(
        variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into())),
    );
    Ok(environment)
}

/// Reads an environment file. Errors never contain its values.
fn read(path: &Path) -> Result<Vec<(String, String)>, String> {
    let shown = path.display();
    let contents = file::read(path, MAX_FILE).map_err(|error| match error {
        ReadError::TooLarge(_) => format!("`{shown}` is not a file of at most {MAX_FILE} bytes"),
        ReadError::Slow => file::slow(path),
        error => format!("cannot read `{shown}`: {}", std::io::Error::from(error)),
    })?;
    let text = contents.bytes.to_vec();
    let text =
        String::from_utf8(text).map_err(|error| format!("`{shown}` is not UTF-8: {}", error.utf8_error()))?;
    parse(&text).map_err(|line| format!("line {line} of `{shown}` is not `NAME=value`"))
}

/// Parses lines like systemd's `EnvironmentFile=`. Comments begin with `#` or `;`, a backslash at
/// the end joins the next line, and values may be quoted. The error is the number of an invalid
/// line.
fn parse(text: &str) -> Result<Vec<(String, String)>, usize> {
    let mut variables: Vec<(String, String)> = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let line_number = text
            .get(..text.len() - rest.len())
            .unwrap_or_default()
            .matches('\n')
            .count()
            + 1;
        let trimmed = rest.trim_start_matches([' ', '\t', '\r']);
        let (line, after) = trimmed.split_once('\n').unwrap_or((trimmed, ""));
        if line.trim().is_empty() || line.starts_with(['#', ';']) {
            rest = after;
            continue;
        }
        let (name, value) = trimmed.split_once('=').ok_or(line_number)?;
        let name = name.trim_end();
        let is_name = |name: &str| {
            let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
            !name.starts_with(|letter: char| letter.is_ascii_digit()) && name.chars().all(plain)
        };
        if name.is_empty() || !is_name(name) {
            return Err(line_number);
        }
        let (value, after) = value_of(value);
        variables.retain(|(other, _)| other != name);
        variables.push((name.to_owned(), value));
        rest = after;
    }
    Ok(variables)
}

/// Parses the value at the beginning of a text. Also returns the text after its line.
fn value_of(text: &str) -> (String, &str) {
    let mut value = String::new();
    // Trailing blanks count only inside quotes.
    let mut kept = 0;
    let mut quote = None;
    let mut letters = text.trim_start_matches([' ', '\t']).chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (None, '\n') => break,
            (None, '\'' | '"') => {
                quote = Some(letter);
                kept = value.len();
            }
            (Some(open), _) if open == letter => {
                quote = None;
                kept = value.len();
            }
            (None | Some('"'), '\\') => match letters.next() {
                Some('\n') | None => {}
                // Inside double quotes, a backslash escapes only these characters.
                Some(next) if quote.is_none() || "\"\\`$".contains(next) => {
                    value.push(next);
                    kept = value.len();
                }
                Some(next) => value.extend(['\\', next]),
            },
            _ => {
                value.push(letter);
                if quote.is_some() || !letter.is_ascii_whitespace() {
                    kept = value.len();
                }
            }
        }
    }
    value.truncate(kept.max(value.trim_end().len()));
    (value, letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_file_is_read_as_systemd_reads_it() {
        let text = concat!(
            "# a comment\n; another\n\nPLAIN=value\n  INDENTED = spaced out  \nQUOTED=\"a b\\\"c\\\\d\\e\" \n",
            "SINGLE='a \\n b'\nEMPTY=\nJOINED=one\\\ntwo\nESCAPED=a\\ b\nLINES=\"one\ntwo\"\nPLAIN=last\nEQUALS=a=b=\nCRLF=x\r\n",
        );
        let expected = [
            ("INDENTED", "spaced out"),
            ("QUOTED", "a b\"c\\d\\e"),
            ("SINGLE", "a \\n b"),
            ("EMPTY", ""),
            ("JOINED", "onetwo"),
            ("ESCAPED", "a b"),
            ("LINES", "one\ntwo"),
            ("PLAIN", "last"),
            ("EQUALS", "a=b="),
            ("CRLF", "x"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(parse(text).unwrap(), expected);
        for (text, line) in [
            ("A=1\nexport B=2\n", 2),
            ("nothing\n", 1),
            ("=x\n", 1),
            ("1A=x", 1),
        ] {
            assert_eq!(parse(text), Err(line), "{text}");
        }
    }
}
