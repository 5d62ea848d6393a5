//! Checks of values in texts that have their own syntax: JSON, forms, XML.
//!
//! A value that is not escaped for that syntax can end its string, and continue with fields that
//! the sender chooses. The text itself or its content type tells the syntax.

use crate::base::diagnostic::Diagnostics;
use crate::base::yaml::Node;
use crate::template::expression::Form;
use crate::template::pieces::{TemplatePiece, pieces};

/// A possible injection.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Doubt {
    message: &'static str,
    hint: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Syntax {
    Json,
    Form,
    Markup,
}

/// A value of the event between the quotes of a JSON string.
const QUOTED: Doubt = Doubt {
    message: "a quote in this value of the event ends the JSON string, and the rest of it is read as JSON",
    hint: "write `{{ payload.x | tojson }}`, without quotes around it",
};
/// A value of the event where JSON is expected.
const BARE: Doubt = Doubt {
    message: "where this value of the event is text, it is read as JSON",
    hint: "write `{{ payload.x | tojson }}`; for a number `{{ payload.x | int }}` does as well",
};
/// A value with quotes inside quotes.
const TWICE: Doubt = Doubt {
    message: "`tojson` writes the quotes of a string, and here are others around them",
    hint: "leave out the quotes around it",
};
/// A value of the event in a form.
const FORM: Doubt = Doubt {
    message: "a `&` in this value of the event begins another field of the form",
    hint: "write `{{ payload.x | urlencode }}`",
};
/// A value of the event in XML or HTML.
const MARKUP: Doubt = Doubt {
    message: "a `<` in this value of the event is read as markup",
    hint: "write `{{ payload.x | escape }}`",
};

/// Warns of values of the event that are not escaped for the syntax of the text. The content type
/// helps to detect that syntax.
pub fn warn_of_values(node: Node<'_>, content_type: Option<&str>, diagnostics: &mut Diagnostics) {
    for doubt in doubts(node.as_str().unwrap_or_default(), content_type) {
        diagnostics.push(node.warning("embedded", doubt.message).hint(doubt.hint));
    }
}

/// The possible injections in a text, each once.
fn doubts(source: &str, content_type: Option<&str>) -> Vec<Doubt> {
    let pieces = pieces(source);
    let mut doubts: Vec<Doubt> = match syntax(&pieces, content_type) {
        Some(Syntax::Json) => json(&pieces),
        Some(Syntax::Form) => others(&pieces, Form::Encoded, FORM),
        Some(Syntax::Markup) => others(&pieces, Form::Markup, MARKUP),
        None => Vec::new(),
    };
    doubts.dedup();
    doubts
}

/// The syntax, if it can be detected.
fn syntax(pieces: &[TemplatePiece], content_type: Option<&str>) -> Option<Syntax> {
    let declared = content_type.unwrap_or_default().to_ascii_lowercase();
    for (part, syntax) in [
        ("json", Syntax::Json),
        ("x-www-form-urlencoded", Syntax::Form),
        ("xml", Syntax::Markup),
        ("html", Syntax::Markup),
    ] {
        if declared.contains(part) {
            return Some(syntax);
        }
    }
    let text = |piece: Option<&TemplatePiece>| match piece {
        Some(TemplatePiece::Text(text)) => text.trim().to_owned(),
        _ => String::new(),
    };
    let (first, last) = (text(pieces.first()), text(pieces.last()));
    let begins = first.chars().next()?;
    let second = first.chars().skip(1).find(|letter| !letter.is_whitespace());
    match (begins, last.chars().last()) {
        ('{', Some('}')) => Some(Syntax::Json),
        ('[', Some(']')) if second.is_some_and(|letter| "[{\"".contains(letter)) => Some(Syntax::Json),
        ('<', Some('>')) => Some(Syntax::Markup),
        _ => None,
    }
}

/// The possible injections in JSON.
fn json(pieces: &[TemplatePiece]) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    let (mut quoted, mut escaped) = (false, false);
    for piece in pieces {
        match piece {
            TemplatePiece::Block => {}
            TemplatePiece::Text(text) => {
                for letter in text.chars() {
                    match letter {
                        _ if escaped => escaped = false,
                        '\\' => escaped = quoted,
                        '"' => quoted = !quoted,
                        _ => {}
                    }
                }
            }
            TemplatePiece::Value(value) => match (value.form, quoted) {
                (Form::Raw | Form::Markup, true) => doubts.push(QUOTED),
                (Form::Raw | Form::Markup | Form::Encoded, false) => doubts.push(BARE),
                (Form::Json, true) => doubts.push(TWICE),
                _ => {}
            },
        }
    }
    doubts.sort_by_key(|doubt| doubt.message);
    doubts
}

/// The possible injections in a syntax for which `form` is the correct escaping.
fn others(pieces: &[TemplatePiece], form: Form, doubt: Doubt) -> Vec<Doubt> {
    let harmful = |piece: &&TemplatePiece| match piece {
        TemplatePiece::Value(value) => {
            value.form != form
                && !matches!(value.form, Form::Own | Form::Secret | Form::Plain | Form::Encoded)
        }
        TemplatePiece::Text(_) | TemplatePiece::Block => false,
    };
    pieces.iter().find(harmful).map(|_| doubt).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_without_the_escaping_of_its_syntax_gets_a_warning() {
        for (source, content_type, expected) in [
            (r#"{"a": "{{ payload.x }}"}"#, None, Some(QUOTED)),
            (r#"{"a": "b {{ payload.x }} c"}"#, None, Some(QUOTED)),
            (r#"[{"a": "{{ payload.x | upper }}"}]"#, None, Some(QUOTED)),
            (r#" {"a": "\"{{ payload.x }}"} "#, None, Some(QUOTED)),
            (r#""{{ payload.x }}""#, Some("application/json"), Some(QUOTED)),
            (r#"{"a": {{ payload.x }}}"#, None, Some(BARE)),
            (r#"{"a": "{{ payload.x | tojson }}"}"#, None, Some(TWICE)),
            (r#"{"a": {{ payload.x | tojson }}}"#, None, None),
            (
                r#"{"a": {{ payload.x | int }}, "b": {{ payload.y == 1 }}}"#,
                None,
                None,
            ),
            (
                r#"{"a": "{{ event.id }} {{ payload.x | urlencode }}"}"#,
                None,
                None,
            ),
            (r#"{"a": {{ ("b" ~ payload.x) | tojson }}}"#, None, None),
            ("{{ payload.x }}", None, None),
            ("[{{ rule }}] {{ payload.x }}", None, None),
            ("[{{ payload.x }}]", None, None),
            ("text {{ payload.x }}", None, None),
            (
                "a={{ payload.x }}",
                Some("application/x-www-form-urlencoded"),
                Some(FORM),
            ),
            (
                "a={{ payload.x | urlencode }}",
                Some("application/x-www-form-urlencoded"),
                None,
            ),
            ("<a>{{ payload.x }}</a>", None, Some(MARKUP)),
            ("<a>{{ payload.x | escape }}{{ rule }}</a>", None, None),
            ("{{ payload.x }}", Some("text/html"), Some(MARKUP)),
            ("{{ payload.x }}", Some("text/plain"), None),
        ] {
            let expected: Vec<Doubt> = expected.into_iter().collect();
            assert_eq!(doubts(source, content_type), expected, "{source}");
        }
    }
}
