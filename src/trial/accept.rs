//! Writes what was found into a test file, in place of the expectations that do not hold. Everything
//! else in the file stays as it is.

use std::collections::BTreeMap;
use std::ops::Range;

use super::failure::Failure;
use super::suite::{NotLoaded, Suite};
use crate::base::yaml::extents;

/// A test file with accepted expectations.
#[derive(Debug)]
pub struct Accepted {
    /// The suite of the new text. `None` if nothing is replaced.
    pub suite: Option<Suite>,
    /// Number of expectations that were replaced.
    pub replaced: usize,
    /// Number of expectations that stay, because a comment in them would be lost.
    pub commented: usize,
}

/// Byte order mark, which is no part of the text.
const MARK: &str = "\u{feff}";

/// Replaces expectations that do not hold by what was found. An error means that the new text would
/// not load.
pub fn accept<'f>(suite: &Suite, failures: impl Iterator<Item = &'f Failure>) -> Result<Accepted, NotLoaded> {
    let (mark, text) = match suite.text.strip_prefix(MARK) {
        Some(text) => (MARK, text),
        None => ("", suite.text.as_str()),
    };
    let extents = extents(text);
    let mut edits: BTreeMap<usize, (Range<usize>, Option<&str>)> = BTreeMap::new();
    for failure in failures {
        let Some(replacement) = failure.replacement.as_deref() else {
            continue;
        };
        let Some(range) = extents.get(&failure.place.range.start) else {
            continue;
        };
        let edit = edits
            .entry(range.start)
            .or_insert((range.clone(), Some(replacement)));
        // An anchor that several tests share cannot be both.
        if edit.1 != Some(replacement) {
            edit.1 = None;
        }
    }
    let mut new = String::with_capacity(text.len());
    let (mut copied, mut replaced, mut commented) = (0, 0, 0);
    for (range, replacement) in edits.into_values() {
        let Some(replacement) = replacement.filter(|_| range.start >= copied) else {
            continue;
        };
        if has_comment(text.get(range.clone()).unwrap_or_default()) {
            commented += 1;
            continue;
        }
        new.push_str(text.get(copied..range.start).unwrap_or_default());
        new.push_str(replacement);
        copied = range.end;
        replaced += 1;
    }
    new.push_str(text.get(copied..).unwrap_or_default());
    let suite = match replaced {
        0 => None,
        _ => Some(Suite::read(&suite.path, format!("{mark}{new}"))?),
    };
    Ok(Accepted {
        suite,
        replaced,
        commented,
    })
}

/// True if a comment may stand within a value. A `#` in a text within brackets counts, too.
fn has_comment(value: &str) -> bool {
    let is_comment = |line: &str| line.trim_start().starts_with('#') || line.contains(" #");
    match value.chars().next() {
        Some('"' | '\'') => false,
        Some('|' | '>') => value.lines().next().is_some_and(is_comment),
        _ => value.lines().any(is_comment),
    }
}
