//! All diagnostics of one run, bounded in number and in length.

use std::path::Path;

use super::entry::{Diagnostic, Severity};
use super::origin::Origin;
use crate::base::count::counted;

/// Maximum length of a message and of a hint, in bytes. The rest is cut off: both can quote a key
/// of any length.
const MAX_TEXT: usize = 4000;
/// Maximum number of diagnostics that are kept. Further errors are only counted.
pub const MAX_DIAGNOSTICS: usize = 100;

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

    /// An empty list that leaves out diagnostics whose text contains `text`. Until
    /// [`Self::without_set_aside`], a diagnostic that was left out counts as an error, so that a
    /// file with one does not load.
    pub fn without(text: &'static str) -> Self {
        Self {
            untold: Some(text),
            ..Self::default()
        }
    }

    /// Returns the kept diagnostics and forgets how many were left out.
    #[must_use]
    pub fn without_set_aside(mut self) -> Self {
        self.set_aside = 0;
        self
    }

    /// Adds a diagnostic. Beyond [`MAX_DIAGNOSTICS`], errors are only counted.
    pub fn push(&mut self, mut diagnostic: Diagnostic) {
        clip(&mut diagnostic.message);
        diagnostic.hint.iter_mut().for_each(clip);
        if self.untold.is_some_and(|text| diagnostic.message.contains(text)) {
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

    /// Number of kept diagnostics, for [`Self::allow_since`].
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Removes warnings and notes with these codes from those that were added after the first
    /// `before`.
    pub fn allow_since(&mut self, before: usize, codes: &[&str]) {
        if codes.is_empty() {
            return;
        }
        let mut index = 0;
        self.list.retain(|diagnostic| {
            index += 1;
            let can_be_allowed = matches!(diagnostic.severity, Severity::Warning | Severity::Note);
            index <= before || !can_be_allowed || !codes.contains(&diagnostic.code)
        });
    }

    /// True if the file must not load.
    pub fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    /// Number of errors, including those that were only counted.
    pub fn errors(&self) -> usize {
        let stored = self
            .list
            .iter()
            .filter(|diagnostic| diagnostic.severity == Severity::Error);
        stored.count() + self.left_out + self.set_aside
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
            .sort_by_key(|diagnostic| diagnostic.origin.as_ref().map_or(0, Origin::start));
        self
    }

    /// Sorts the diagnostics by file and position. The file `first` comes before all others.
    #[must_use]
    pub fn sorted_from(mut self, first: &Path) -> Self {
        let place = |diagnostic: &Diagnostic| {
            let origin = diagnostic.origin.as_ref()?;
            let other = (origin.path() != first).then(|| origin.path().to_owned());
            Some((other, origin.start()))
        };
        self.list.sort_by_cached_key(place);
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

/// Cuts off a text that exceeds [`MAX_TEXT`].
fn clip(text: &mut String) {
    if text.len() > MAX_TEXT {
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        text.push('…');
    }
}
