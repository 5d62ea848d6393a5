//! Go templates in a hooks file: `{{ getenv "SECRET" | js }}` becomes the secret `env:SECRET`.
//!
//! The replacement is as long as the template, so that places in the text stay. It stands between
//! two marks, by which [`named`] finds it again. Any other template is a diagnostic.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use regex::Regex;

use crate::base::diagnostic::{Diagnostic, Diagnostics, Origin, Source};

/// Marks round the name of a secret. No character is assigned to them.
const MARKS: [char; 2] = ['\u{378}', '\u{379}'];

/// The templates that are translated. The filter `js` only escapes.
static KNOWN: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let call = "^-?\\s*(getenv|cat|credential)\\s+(?:\"([^\"\\\\]*)\"|`([^`]*)`)\\s*(?:\\|\\s*js\\s*)?-?$";
    Regex::new(call).ok()
});

/// A secret that a text names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// The text names none.
    Nothing,
    /// The text is the secret's name, as rules write it: `env:SECRET`.
    Whole(String),
    /// The text contains more than a name.
    Part,
}

/// Replaces the templates of a hooks file. The result has the same length.
pub(super) fn expanded(source: &Arc<Source>, diagnostics: &mut Diagnostics) -> String {
    let text = source.text.as_str();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(range) = next(text, at) {
        out.push_str(text.get(at..range.start).unwrap_or_default());
        let inner = text.get(range.start + 2..range.end - 2).unwrap_or_default();
        let replacement = secret(inner).map(|name| format!("{}{name}", MARKS[0]));
        if replacement.is_none() && !is_comment(inner) {
            diagnostics.push(untranslated(Origin::new(source, range.clone())));
        }
        let replacement = replacement.unwrap_or_default();
        out.push_str(&replacement);
        let end = if replacement.is_empty() {
            0
        } else {
            MARKS[1].len_utf8()
        };
        let blanks = range.len().saturating_sub(replacement.len() + end);
        out.push_str(&" ".repeat(blanks));
        if end > 0 {
            out.push(MARKS[1]);
        }
        at = range.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

/// The next template from `at` on, with its braces.
fn next(text: &str, at: usize) -> Option<Range<usize>> {
    let start = at + text.get(at..)?.find("{{")?;
    let length = text.get(start + 2..)?.find("}}")?;
    Some(start..start + 2 + length + 2)
}

/// The secret that a template stands for.
fn secret(inner: &str) -> Option<String> {
    let captures = KNOWN.as_ref()?.captures(inner)?;
    let kind = match captures.get(1)?.as_str() {
        "getenv" => "env",
        "cat" => "file",
        kind => kind,
    };
    let name = captures.get(2).or_else(|| captures.get(3))?.as_str();
    (!name.is_empty()).then(|| format!("{kind}:{name}"))
}

fn is_comment(inner: &str) -> bool {
    inner.trim_matches('-').trim().starts_with("/*")
}

fn untranslated(origin: Origin) -> Diagnostic {
    let message = "only `getenv`, `credential` and `cat` of a constant are translated from Go templates";
    Diagnostic::error(origin, "template", message)
        .hint("it is left out: run the template yourself first, or write its result here")
}

/// The secret that a text names. Without `--template` there are no marks, so it names none.
pub(super) fn named(text: &str) -> Named {
    let Some(rest) = text.strip_prefix(MARKS[0]) else {
        return if text.contains(MARKS) {
            Named::Part
        } else {
            Named::Nothing
        };
    };
    match rest.split_once(MARKS[1]) {
        Some((name, "")) => Named::Whole(name.trim_end().to_owned()),
        _ => Named::Part,
    }
}

/// The text with its marks removed, for messages.
pub(super) fn unmarked(text: &str) -> String {
    text.replace(MARKS, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> (String, usize) {
        let source = Arc::new(Source {
            path: "hooks.json.tmpl".into(),
            text: text.to_owned(),
        });
        let mut diagnostics = Diagnostics::new();
        let expanded = expanded(&source, &mut diagnostics);
        assert_eq!(expanded.len(), text.len(), "{text}");
        (expanded, diagnostics.errors())
    }

    #[test]
    fn secrets_are_named_as_rules_name_them() {
        for (template, name) in [
            (r#"{{ getenv "XXX" | js }}"#, "env:XXX"),
            (r#"{{getenv "X"}}"#, "env:X"),
            (r#"{{- getenv "X" -}}"#, "env:X"),
            ("{{getenv `X`}}", "env:X"),
            (r#"{{cat "/run/secrets/x"}}"#, "file:/run/secrets/x"),
            (r#"{{credential "x"|js}}"#, "credential:x"),
        ] {
            let (text, errors) = expand(template);
            assert_eq!(named(&text), Named::Whole(name.to_owned()), "{template}");
            assert_eq!(errors, 0, "{template}");
        }
    }

    #[test]
    fn other_templates_are_left_out_and_reported() {
        for (template, errors) in [
            ("{{ if true }}", 1),
            ("{{ getenv .X }}", 1),
            ("{{ getenv \"X\" | printf \"%s\" }}", 1),
            ("{{/* a comment */}}", 0),
            ("no template {{", 0),
        ] {
            let (text, found) = expand(template);
            assert_eq!((named(&text), found), (Named::Nothing, errors), "{template}");
        }
        let (text, _) = expand("Bearer {{ getenv \"X\" }}");
        assert_eq!(named(&text), Named::Part);
    }
}
