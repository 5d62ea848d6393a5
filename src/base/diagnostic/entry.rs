//! One diagnostic, and its forms: with the source line, as one line, and as JSON.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

use super::origin::{Excerpt, Origin};
use crate::base::escape;

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
        let excerpt = self.origin.as_ref().map(Origin::excerpt);
        let mut group = match &excerpt {
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
        let position = self
            .origin
            .as_ref()
            .map(|origin| format!("{origin:?}: "))
            .unwrap_or_default();
        let hint = self
            .hint
            .as_ref()
            .map(|hint| format!(" ({hint})"))
            .unwrap_or_default();
        escape::line(&format!("{position}{}{hint}", self.message)).into_owned()
    }

    /// The diagnostic as a JSON object: severity, code, message, file, line, column, hint.
    pub fn to_json(&self) -> serde_json::Value {
        let position = self.origin.as_ref().map(Origin::line_column);
        serde_json::json!({
            "severity": self.severity,
            "code": self.code,
            "message": self.message,
            "file": self.origin.as_ref().map(|origin| origin.path().display().to_string()),
            "line": position.map(|(line, _)| line),
            "column": position.map(|(_, column)| column),
            "hint": self.hint,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::diagnostic::Source;

    #[test]
    fn a_diagnostic_shows_its_line_with_a_caret() {
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
    fn a_position_counts_characters_and_survives_a_range_outside_the_text() {
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
