//! The source of a diagnostic: a byte range in a text, and the excerpt that is printed of it.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::escape;

/// Maximum length of a quoted source line, in bytes. Longer lines are not shown.
const MAX_LINE: usize = 1000;

/// A text that diagnostics point into, with its path.
#[derive(Debug)]
pub struct Source {
    /// The path as the user gave it.
    pub path: PathBuf,
    pub text: String,
}

/// A byte range in a [`Source`].
#[derive(Clone)]
pub struct Origin {
    source: Arc<Source>,
    range: Range<usize>,
}

impl Origin {
    /// The byte range `range` of `source`. A range outside the text, or inside a character, is
    /// fitted to it.
    pub fn new(source: &Arc<Source>, range: Range<usize>) -> Self {
        let text = source.text.as_str();
        let start = text.floor_char_boundary(range.start);
        let end = text.ceil_char_boundary(range.end.clamp(start, text.len().max(start)));
        Self {
            source: Arc::clone(source),
            range: start..end,
        }
    }

    /// The line and column, both counted from 1. The column counts characters.
    pub fn line_column(&self) -> (usize, usize) {
        let before = self.source.text.get(..self.range.start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        // Counting bytes is many times as fast as counting characters, and a large file can have
        // many diagnostics.
        let newlines = before.bytes().filter(|byte| *byte == b'\n').count();
        (newlines + 1, column)
    }

    /// The first byte of the range.
    pub(super) fn start(&self) -> usize {
        self.range.start
    }

    /// The range in bytes.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// The text of the range.
    pub fn text(&self) -> &str {
        self.source.text.get(self.range.clone()).unwrap_or_default()
    }

    /// The line, for a message about `other`: with the file, if that is another one.
    pub fn seen_from(&self, other: &Self) -> String {
        let (line, _) = self.line_column();
        if self.path() == other.path() {
            format!("line {line}")
        } else {
            format!("line {line} of `{}`", self.path().display())
        }
    }

    pub fn path(&self) -> &Path {
        &self.source.path
    }

    /// The excerpt to print: the line, and the range cut at the line's end so that the caret marks
    /// one line. The range covers at least one character, if the line has one. A line longer than
    /// [`MAX_LINE`] is not shown.
    pub(super) fn excerpt(&self) -> Excerpt {
        let text = self.source.text.as_str();
        let (line, column) = self.line_column();
        let before = text.get(..self.range.start).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let whole = text
            .get(start..)
            .unwrap_or_default()
            .lines()
            .next()
            .unwrap_or_default();
        let rest = whole.get(self.range.start - start..).unwrap_or_default();
        let wanted = rest
            .get(..self.range.len().min(rest.len()))
            .unwrap_or(rest)
            .trim_end();
        let length = match wanted.len() {
            0 => rest.chars().next().map_or(0, char::len_utf8),
            length => length,
        };
        let at = (self.range.start - start).min(whole.len());
        let shown = (whole.len() <= MAX_LINE).then(|| {
            // Each part is escaped by itself, so that the caret stays below what it marks.
            let part = |range: Range<usize>| escape::text(whole.get(range).unwrap_or_default());
            let (before, marked) = (part(0..at), part(at..at + length));
            let range = before.len()..before.len() + marked.len();
            (
                format!("{before}{marked}{}", part(at + length..whole.len())),
                range,
            )
        });
        Excerpt {
            path: escape::line(&self.source.path.display().to_string()).into_owned(),
            line,
            column,
            text: shown,
        }
    }
}

/// The printed part of the source.
pub(super) struct Excerpt {
    pub path: String,
    pub line: usize,
    pub column: usize,
    /// The escaped line, and the marked range in it.
    pub text: Option<(String, Range<usize>)>,
}

impl fmt::Debug for Origin {
    // Omits the text, which is long and may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.line_column();
        write!(f, "{}:{line}:{column}", self.source.path.display())
    }
}
