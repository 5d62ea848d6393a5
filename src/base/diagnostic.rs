//! Diagnostics: problems in a rules file, with their positions.
//!
//! A [`Diagnostic`] describes one problem at one position: a stable code, the words, the position
//! and a hint. [`Diagnostics`] collects them, so that a reader reports all problems at once. This
//! file knows how a diagnostic is printed. The module that reads the YAML decides what deserves
//! one.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

use crate::base::escape;

/// Maximum length of a quoted source line, in bytes. Longer lines are not shown.
const MAX_LINE: usize = 1000;
/// Maximum length of a message and of a hint, in bytes. The rest is cut off: both can quote a key of
/// any length.
const MAX_WORDS: usize = 4000;
/// Maximum length of a word for which a similar one is looked for, in bytes. The comparison takes
/// time in proportion to it, for every known word.
const MAX_TYPED: usize = 200;
/// Maximum number of diagnostics that are kept. Further errors are only counted.
pub const MAX_DIAGNOSTICS: usize = 100;

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

    pub fn path(&self) -> &Path {
        &self.source.path
    }

    /// The excerpt to print: the line, and the range cut at the line's end so that the caret marks
    /// one line. The range covers at least one character, if the line has one. A line longer than
    /// [`MAX_LINE`] is not shown.
    fn shown(&self) -> Excerpt {
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
struct Excerpt {
    path: String,
    line: usize,
    column: usize,
    /// The escaped line, and the marked range in it.
    text: Option<(String, Range<usize>)>,
}

impl fmt::Debug for Origin {
    // Omits the text, which is long and may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.line_column();
        write!(f, "{}:{line}:{column}", self.source.path.display())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file does not load.
    Error,
    /// The file loads; the operator should know.
    Warning,
    /// The file loads and means what it says; this is a consequence of it.
    Note,
    /// Something is missing on this machine. The file loads, but the part that needs it does not
    /// work.
    Unavailable,
}

/// A problem at one position of the rules file.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    pub severity: Severity,
    /// A stable name in kebab case, for machines: `unknown-key`.
    pub code: &'static str,
    /// The problem: lower case, no full stop, backticks round what the user typed.
    pub message: String,
    /// Absent if the file could not be read at all.
    pub origin: Option<Origin>,
    pub hint: Option<String>,
}

impl Diagnostic {
    /// A problem that keeps the file from loading.
    pub fn error(origin: Origin, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            origin: Some(origin),
            hint: None,
        }
    }

    /// A problem that the operator should know about and that does not keep the file from loading.
    pub fn warning(origin: Origin, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(origin, code, message)
        }
    }

    /// A consequence of what is written. Nothing has to change.
    pub fn note(origin: Origin, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Note,
            ..Self::error(origin, code, message)
        }
    }

    /// Something that the file names and this machine does not have.
    pub fn unavailable(origin: Origin, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Unavailable,
            ..Self::error(origin, code, message)
        }
    }

    /// An error without a position: the file is absent or unreadable.
    pub fn unplaced(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            origin: None,
            hint: None,
        }
    }

    /// Returns the same diagnostic with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The diagnostic as text, with the source line and a caret below the range.
    pub fn render(&self, colour: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
            Severity::Unavailable => Level::WARNING.with_name("unavailable"),
        };
        let message = escape::text(&self.message);
        let title = level.primary_title(&*message);
        let shown = self.origin.as_ref().map(Origin::shown);
        let mut group = match &shown {
            Some(Excerpt {
                path,
                line,
                text: Some((text, range)),
                ..
            }) => title.element(
                Snippet::source(text.as_str())
                    .path(path.as_str())
                    .line_start(*line)
                    .annotation(AnnotationKind::Primary.span(range.clone())),
            ),
            Some(Excerpt {
                path,
                line,
                column,
                text: None,
            }) => title.element(
                annotate_snippets::Origin::path(path.as_str())
                    .line(*line)
                    .char_column(*column),
            ),
            None => Group::with_title(title),
        };
        let hint = self.hint.as_ref().map(|hint| escape::text(hint));
        if let Some(hint) = &hint {
            group = group.element(Level::HELP.with_name("hint").message(&**hint));
        }
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        renderer.render(&[group])
    }

    /// The diagnostic as one line without the source: `rules.yaml:14:14: unknown scheme …`.
    pub fn line(&self) -> String {
        let place = self
            .origin
            .as_ref()
            .map(|origin| format!("{origin:?}: "))
            .unwrap_or_default();
        let hint = self
            .hint
            .as_ref()
            .map(|hint| format!(" ({hint})"))
            .unwrap_or_default();
        escape::line(&format!("{place}{}{hint}", self.message)).into_owned()
    }

    /// The diagnostic as a JSON object: severity, code, message, file, line, column, hint.
    pub fn to_json(&self) -> serde_json::Value {
        let place = self.origin.as_ref().map(Origin::line_column);
        serde_json::json!({
            "severity": self.severity,
            "code": self.code,
            "message": self.message,
            "file": self.origin.as_ref().map(|origin| origin.path().display().to_string()),
            "line": place.map(|(line, _)| line),
            "column": place.map(|(_, column)| column),
            "hint": self.hint,
        })
    }
}

/// A number with its noun: `1 error`, `2 errors`.
pub fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// All diagnostics of one run, in the order in which they were added.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    /// Number of errors beyond [`MAX_DIAGNOSTICS`].
    left_out: usize,
    /// Diagnostics whose text contains this are not kept but counted in `set_aside`.
    untold: Option<&'static str>,
    set_aside: usize,
}

impl Diagnostics {
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty list that leaves out diagnostics whose text contains `words`. Until [`Self::told`],
    /// a diagnostic that was left out counts as an error, so that a file with one does not load.
    pub fn without(words: &'static str) -> Self {
        Self {
            untold: Some(words),
            ..Self::default()
        }
    }

    /// Returns the kept diagnostics and forgets how many were left out.
    #[must_use]
    pub fn told(mut self) -> Self {
        self.set_aside = 0;
        self
    }

    /// Adds a diagnostic. Beyond [`MAX_DIAGNOSTICS`], errors are only counted.
    pub fn push(&mut self, mut diagnostic: Diagnostic) {
        clip(&mut diagnostic.message);
        diagnostic.hint.iter_mut().for_each(clip);
        if self
            .untold
            .is_some_and(|words| diagnostic.message.contains(words))
        {
            self.set_aside += 1;
        } else if !self.is_full() {
            self.list.push(diagnostic);
        } else if diagnostic.severity == Severity::Error {
            self.left_out += 1;
        }
    }

    /// True if a further diagnostic would only be counted. Callers check this first, because
    /// finding a position scans the whole file.
    pub fn is_full(&self) -> bool {
        self.list.len() >= MAX_DIAGNOSTICS
    }

    pub fn extend(&mut self, diagnostics: impl IntoIterator<Item = Diagnostic>) {
        for diagnostic in diagnostics {
            self.push(diagnostic);
        }
    }

    /// True if the file must not load.
    pub fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    /// Number of errors, including those that were only counted.
    pub fn errors(&self) -> usize {
        let kept = self
            .list
            .iter()
            .filter(|diagnostic| diagnostic.severity == Severity::Error);
        kept.count() + self.left_out + self.set_aside
    }

    /// Number of kept diagnostics of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        let all = self.list.iter();
        all.filter(|diagnostic| diagnostic.severity == severity).count()
    }

    /// Sorts the diagnostics by their positions in the file.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.list
            .sort_by_key(|diagnostic| diagnostic.origin.as_ref().map_or(0, |origin| origin.range.start));
        self
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All diagnostics as text, separated by empty lines.
    pub fn render(&self, colour: bool) -> String {
        let mut rendered: Vec<String> = self
            .list
            .iter()
            .map(|diagnostic| diagnostic.render(colour))
            .collect();
        if self.left_out > 0 {
            rendered.push(format!("and {}", counted(self.left_out, "more error")));
        }
        rendered.join("\n\n")
    }
}

impl FromIterator<Diagnostic> for Diagnostics {
    fn from_iter<I: IntoIterator<Item = Diagnostic>>(diagnostics: I) -> Self {
        let mut all = Self::new();
        all.extend(diagnostics);
        all
    }
}

impl<'f> IntoIterator for &'f Diagnostics {
    type Item = &'f Diagnostic;
    type IntoIter = std::slice::Iter<'f, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}

/// Cuts off a text that exceeds [`MAX_WORDS`].
fn clip(text: &mut String) {
    if text.len() > MAX_WORDS {
        text.truncate(text.floor_char_boundary(MAX_WORDS));
        text.push('…');
    }
}

/// The candidate closest to a mistyped word, if at most a third of the word's letters differ.
pub fn did_you_mean<'c>(typed: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    if typed.len() > MAX_TYPED {
        return None;
    }
    let bound = (typed.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (edits(&typed.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The edit distance of two words: insertions, deletions, replacements and swaps of neighbours.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    let mut previous_letter = None;
    for (row, letter) in from.chars().enumerate() {
        let mut next = vec![row + 1];
        for (column, other) in to.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX / 2);
            let replaced = at(&last, column) + usize::from(letter != *other);
            let mut best = replaced.min(at(&last, column + 1) + 1).min(at(&next, column) + 1);
            let swapped =
                column > 0 && previous_letter == Some(*other) && to.get(column - 1) == Some(&letter);
            if swapped && row > 0 {
                best = best.min(at(&before, column - 1) + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut last, next);
        previous_letter = Some(letter);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_word_is_suggested_and_a_far_one_is_not() {
        let schemes = ["github", "gitlab", "stripe"];
        assert_eq!(did_you_mean("githbu", schemes), Some("github"));
        assert_eq!(did_you_mean("Stripe", schemes), Some("stripe"));
        assert_eq!(did_you_mean("paypal", schemes), None);
    }

    #[test]
    fn a_finding_shows_its_line_with_a_caret() {
        let source = Arc::new(Source {
            path: "rules.yaml".into(),
            text: "a: 1\nverify: {githbu: x}\n".into(),
        });
        let diagnostic = Diagnostic::error(
            Origin::new(&source, 14..20),
            "unknown-scheme",
            "unknown scheme `githbu`",
        )
        .hint("did you mean `github`?");
        let text = diagnostic.render(false);
        assert!(text.contains("error: unknown scheme `githbu`"), "{text}");
        assert!(text.contains("rules.yaml:2:10"), "{text}");
        assert!(text.contains("^^^^^^"), "{text}");
        assert!(text.contains("did you mean `github`?"), "{text}");
        assert_eq!(
            diagnostic.line(),
            "rules.yaml:2:10: unknown scheme `githbu` (did you mean `github`?)"
        );
    }

    #[test]
    fn a_place_counts_characters_and_survives_a_range_outside_the_text() {
        let source = Arc::new(Source {
            path: "r".into(),
            text: "é: x".into(),
        });
        assert_eq!(Origin::new(&source, 4..5).line_column(), (1, 4));
        assert_eq!(Origin::new(&source, 40..50).line_column(), (1, 5));
        for range in [0..1, 1..2, 1..1, 0..0, 4..5, 5..5] {
            assert!(
                Diagnostic::error(Origin::new(&source, range), "x", "y")
                    .render(false)
                    .contains("error: y")
            );
        }
        assert!(
            Diagnostic::error(Origin::new(&source, 40..50), "x", "y")
                .render(false)
                .contains("error: y")
        );
    }
}
