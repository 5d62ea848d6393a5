//! Writes what was found into a test file, in place of the expectations that do not hold. Everything
//! else in the file stays as it is.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use super::failure::Failure;
use super::suite::{NotLoaded, Suite};
use crate::base::yaml::ends;

/// A test file with accepted expectations.
#[derive(Debug)]
pub struct Accepted {
    /// The suite of the new text.
    pub suite: Suite,
    /// Number of expectations that were replaced.
    pub replaced: usize,
}

/// Byte order mark, which is no part of the text.
const MARK: &str = "\u{feff}";

/// Replaces expectations that do not hold by what was found. `None` if nothing can be replaced. An
/// error means that the new text would not load.
pub fn accept<'f>(
    suite: &Suite,
    failures: impl Iterator<Item = &'f Failure>,
) -> Result<Option<Accepted>, NotLoaded> {
    let (mark, text) = match suite.text.strip_prefix(MARK) {
        Some(text) => (MARK, text),
        None => ("", suite.text.as_str()),
    };
    let ends = ends(text);
    let mut edits: BTreeMap<usize, (Range<usize>, Option<&str>)> = BTreeMap::new();
    for failure in failures {
        let Some(replacement) = failure.replacement.as_deref() else {
            continue;
        };
        let range = &failure.place.range;
        let end = ends.get(&range.start).copied().unwrap_or(range.end);
        let edit = edits
            .entry(range.start)
            .or_insert((range.start..end, Some(replacement)));
        // An anchor that several tests share cannot be both.
        if edit.1 != Some(replacement) {
            edit.1 = None;
        }
    }
    let mut new = String::with_capacity(text.len());
    let (mut copied, mut replaced) = (0, 0);
    for (range, replacement) in edits.into_values() {
        let Some(replacement) = replacement.filter(|_| range.start >= copied) else {
            continue;
        };
        new.push_str(text.get(copied..range.start).unwrap_or_default());
        new.push_str(&laid_out(text, &range, replacement));
        copied = range.end;
        replaced += 1;
    }
    if replaced == 0 {
        return Ok(None);
    }
    new.push_str(text.get(copied..).unwrap_or_default());
    let path: PathBuf = suite.path.clone();
    let suite = Suite::read(&path, format!("{mark}{new}"))?;
    Ok(Some(Accepted { suite, replaced }))
}

/// The replacement of a value. A block list begins on a line of its own, and so does its replacement.
fn laid_out(text: &str, range: &Range<usize>, replacement: &str) -> String {
    let old = text.get(range.clone()).unwrap_or_default();
    let is_block = old.starts_with(['|', '>']) && old.contains('\n');
    if is_block {
        format!("{replacement}\n")
    } else {
        replacement.to_owned()
    }
}
