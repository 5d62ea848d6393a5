//! What is wrong in a rules file, and where.
//!
//! A [`Diagnostic`] says one thing about one place: a stable code, the words, the place, and what would help.
//! [`Diagnostics`] collects them, so that a reader of a file never stops at the first. This file knows how a
//! finding is printed; what deserves one is decided by the room that reads the piece of YAML.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

use crate::base::escape;

/// The longest line that is shown, in bytes.
const MAX_LINE: usize = 1000;
/// How many findings are kept; more than anybody mends before asking again.
pub const MAX_DIAGNOSTICS: usize = 1000;

/// A text that findings point into, with the name it goes by.
#[derive(Debug)]
pub struct Source {
    /// The path as the user gave it.
    pub path: PathBuf,
    /// The whole text.
    pub text: String,
}

/// A place in a [`Source`]: a range of bytes.
#[derive(Clone)]
pub struct Origin {
    source: Arc<Source>,
    range: Range<usize>,
}

impl Origin {
    /// The place `range` (bytes) of `source`; a range outside the text, or inside a letter, is fitted to it.
    pub fn new(source: &Arc<Source>, range: Range<usize>) -> Self {
        let text = source.text.as_str();
        let start = text.floor_char_boundary(range.start);
        let end = text.ceil_char_boundary(range.end.clamp(start, text.len().max(start)));
        Self {
            source: Arc::clone(source),
            range: start..end,
        }
    }

    /// The line and column, both counted from 1, the column in characters.
    pub fn line_column(&self) -> (usize, usize) {
        let before = self.source.text.get(..self.range.start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        // By bytes, which is many times as fast as by letters; a file may be large and its findings many.
        let newlines = before.bytes().filter(|byte| *byte == b'\n').count();
        (newlines + 1, column)
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.source.path
    }

    /// What is shown of it: its line, with the range in it cut at the line's end, so that a caret marks a line and never
    /// a page, and one letter at least if there is one. A very long line is not shown.
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
            // Each part by itself, so that the caret stays below what it marks.
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

/// What a finding shows of its place.
struct Excerpt {
    path: String,
    line: usize,
    column: usize,
    /// The line, and the range in it.
    text: Option<(String, Range<usize>)>,
}

impl fmt::Debug for Origin {
    // Without the text: it may hold a secret, and it is long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.line_column();
        write!(f, "{}:{line}:{column}", self.source.path.display())
    }
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file does not load.
    Error,
    /// The file loads; the operator should know.
    Warning,
    /// The file loads and means what it says; this is what that entails.
    Note,
    /// Something is missing on this machine. The file loads; what needs it does not work until it is there.
    Unavailable,
}

/// One thing that is wrong, or doubtful, in one place of the rules file.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// A stable name in kebab case, for machines: `unknown-key`.
    pub code: &'static str,
    /// What is wrong: lower case, no full stop, backticks round what the user typed.
    pub message: String,
    /// Where; absent when the file could not be read at all.
    pub origin: Option<Origin>,
    /// What would help.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// Something that keeps the file from loading.
    pub fn error(origin: Origin, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            origin: Some(origin),
            hint: None,
        }
    }

    /// Something that the operator should know and that does not keep the file from loading.
    pub fn warning(origin: Origin, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(origin, code, message)
        }
    }

    /// Something that follows from what is written, and need not be changed.
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

    /// An error without a place: the file is absent or unreadable.
    pub fn unplaced(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            origin: None,
            hint: None,
        }
    }

    /// The same finding with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The finding as text, with the line it points at and a caret under the place.
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

    /// The finding as one line without the source: `rules.yaml:14:14: unknown scheme …`.
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

    /// The finding as a JSON object: severity, code, message, file, line, column, hint.
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

/// All findings of one reading, in the order in which they were made.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    /// Errors beyond [`MAX_DIAGNOSTICS`].
    left_out: usize,
    /// Errors with this in their words are not told, and counted apart.
    untold: Option<&'static str>,
    set_aside: usize,
}

impl Diagnostics {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// None yet, and none to come that says `words`. Until [`Self::told`], what is not told counts as an error, so that
    /// nothing is built on it.
    pub fn without(words: &'static str) -> Self {
        Self {
            untold: Some(words),
            ..Self::default()
        }
    }

    /// Those that are told, and no count of others.
    #[must_use]
    pub fn told(mut self) -> Self {
        self.set_aside = 0;
        self
    }

    /// Adds one; beyond [`MAX_DIAGNOSTICS`] it is only counted.
    pub fn push(&mut self, diagnostic: Diagnostic) {
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

    /// Whether a further one would only be counted; to say where something stands takes a look at the whole file.
    pub fn is_full(&self) -> bool {
        self.list.len() >= MAX_DIAGNOSTICS
    }

    /// Adds those that there are.
    pub fn extend(&mut self, diagnostics: impl IntoIterator<Item = Diagnostic>) {
        for diagnostic in diagnostics {
            self.push(diagnostic);
        }
    }

    /// Whether any of them keeps the file from loading.
    pub fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    /// How many are errors.
    pub fn errors(&self) -> usize {
        let kept = self
            .list
            .iter()
            .filter(|diagnostic| diagnostic.severity == Severity::Error);
        kept.count() + self.left_out + self.set_aside
    }

    /// How many are of a severity, of those that are kept.
    pub fn count(&self, severity: Severity) -> usize {
        let all = self.list.iter();
        all.filter(|diagnostic| diagnostic.severity == severity).count()
    }

    /// In the order of their places in the file.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.list
            .sort_by_key(|diagnostic| diagnostic.origin.as_ref().map_or(0, |origin| origin.range.start));
        self
    }

    /// One after the other.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All of them as text, each with its place, an empty line between two.
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

/// The candidate that a mistyped word most likely meant, if any is near enough: at most a third of its letters
/// differ.
pub fn did_you_mean<'c>(typed: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let bound = (typed.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (edits(&typed.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters must be inserted, removed, replaced or swapped with their neighbour to turn one word into
/// the other.
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
