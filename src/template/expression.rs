//! Analysis of template expressions: the kind of text they write, and the part of the event that it
//! begins with.
//!
//! An expression that the analysis does not understand is [`Form::Raw`], which may be any text.

use crate::template::place::{Place, Step, accessors, named};
use crate::template::tags::TagToken;

/// The result of the analysis of a `{{ … }}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    pub form: Form,
    /// The part of the event whose text the value begins with, if it is a single part.
    pub place: Option<Place>,
}

/// The origin or escaping of a value's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Text of the rules file or of hookyard itself: `rule`, `event.id`, a literal.
    Own,
    /// `secret('NAME')`.
    Secret,
    /// A number or a boolean.
    Plain,
    /// `| tojson`.
    Json,
    /// `| urlencode`.
    Encoded,
    /// `| escape`.
    Markup,
    /// Unescaped text of the event, or anything else.
    Raw,
}

/// Names whose values a sender does not choose.
const OWN: [&str; 7] = [
    "client", "method", "rule", "endpoint", "attempt", "replay", "verified",
];
/// Maximum nesting of parentheses. Deeper expressions are [`Form::Raw`].
const MAX_DEPTH: usize = 16;
/// Words after which another operand follows.
const JOINING: [&str; 7] = ["if", "else", "and", "or", "in", "is", "not"];

/// Analyses an expression inside `depth` levels of parentheses.
pub(super) fn value(tokens: &[TagToken], depth: usize) -> Value {
    let raw = Value {
        form: Form::Raw,
        place: None,
    };
    if depth > MAX_DEPTH {
        return raw;
    }
    // `-}}` only trims whitespace.
    let tokens = tokens.strip_suffix(&[TagToken::Sign('-')]).unwrap_or(tokens);
    let joined = split(tokens, |token| *token == TagToken::Sign('~'));
    if joined.len() > 1 {
        let values: Vec<Value> = joined.into_iter().map(|part| value(part, depth + 1)).collect();
        let own = values.iter().all(|value| value.form == Form::Own);
        let first = values.into_iter().next().unwrap_or_else(|| raw.clone());
        let begins_safely = matches!(first.form, Form::Own | Form::Plain | Form::Json);
        return match (own, begins_safely) {
            (true, _) => first,
            // The form of the start is known, but not that of the rest.
            _ => Value { place: None, ..raw },
        };
    }
    let compares = |token: &TagToken| match token {
        TagToken::Sign('=' | '<' | '>' | '!') => true,
        TagToken::Word(word) => ["in", "is", "not"].contains(&word.as_str()),
        _ => false,
    };
    let joins = |token: &TagToken| match token {
        TagToken::Sign('+' | '-' | '*' | '/' | '%') => true,
        TagToken::Word(word) => JOINING.contains(&word.as_str()),
        _ => false,
    };
    let chooses = |token: &TagToken| matches!(token, TagToken::Word(word) if ["if", "or", "and"].contains(&word.as_str()));
    if split(tokens, chooses).len() > 1 {
        return raw;
    }
    if split(tokens, compares).len() > 1 {
        return Value {
            form: Form::Plain,
            place: None,
        };
    }
    if split(tokens, joins).len() > 1 {
        return raw;
    }
    let mut parts = split(tokens, |token| *token == TagToken::Sign('|')).into_iter();
    let base = base(parts.next().unwrap_or_default(), depth);
    parts.fold(base, filtered)
}

/// Splits the tokens at separators outside of brackets.
fn split(tokens: &[TagToken], separates: impl Fn(&TagToken) -> bool) -> Vec<&[TagToken]> {
    let mut parts = Vec::new();
    let (mut from, mut depth) = (0, 0_usize);
    let mut before_is_dot = false;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TagToken::Sign('(' | '[') => depth += 1,
            TagToken::Sign(')' | ']') => depth = depth.saturating_sub(1),
            // After a dot, any word is the name of a field.
            token if depth == 0 && !before_is_dot && separates(token) => {
                parts.push(tokens.get(from..at).unwrap_or_default());
                from = at + 1;
            }
            _ => {}
        }
        before_is_dot = *token == TagToken::Sign('.');
    }
    parts.push(tokens.get(from..).unwrap_or_default());
    parts
}

/// A value before its filters.
fn base(tokens: &[TagToken], depth: usize) -> Value {
    let of = |form, place| Value { form, place };
    match tokens {
        [TagToken::Text(_)] => of(Form::Own, None),
        [TagToken::Sign('('), inside @ .., TagToken::Sign(')')] => value(inside, depth + 1),
        [
            TagToken::Word(name),
            TagToken::Sign('('),
            TagToken::Text(argument),
            TagToken::Sign(')'),
        ] => match name.as_str() {
            "secret" => of(Form::Secret, None),
            "jsonpath" => of(Form::Raw, Place::of_selector(argument)),
            _ => of(Form::Raw, None),
        },
        [TagToken::Word(name), rest @ ..] => match name.as_str() {
            name if OWN.contains(&name) => of(Form::Own, None),
            // The sender chooses the event's name.
            "event" if matches!(rest, [TagToken::Sign('.'), TagToken::Word(field)] if field != "name") => {
                of(Form::Own, None)
            }
            "true" | "false" | "loop" => of(Form::Plain, None),
            // Names, times and durations that the daemon wrote.
            "silence" => of(Form::Own, None),
            "payload" => of(Form::Raw, accessors(rest).map(Place::Payload)),
            "item" => of(Form::Raw, accessors(rest).map(Place::Item)),
            "headers" | "query" | "path" => of(Form::Raw, named(name, rest)),
            "failure" if rest.get(1) == Some(&TagToken::Word("action".into())) => of(Form::Own, None),
            "actions" => of(action_field(rest), None),
            name if rest.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) => {
                of(Form::Plain, None)
            }
            _ => of(Form::Raw, None),
        },
        _ => of(Form::Raw, None),
    }
}

/// The form of a field of an action. What an action wrote is like text of the event.
fn action_field(rest: &[TagToken]) -> Form {
    match accessors(rest).as_deref() {
        Some([_, Step::Name(field)]) => match field.as_str() {
            "action" | "outcome" => Form::Own,
            "status" => Form::Plain,
            _ => Form::Raw,
        },
        _ => Form::Raw,
    }
}

/// A value after one more filter.
fn filtered(value: Value, filter: &[TagToken]) -> Value {
    let Some(TagToken::Word(name)) = filter.first() else {
        return Value {
            form: Form::Raw,
            place: None,
        };
    };
    let literal = filter.iter().skip(1).all(|token| match token {
        TagToken::Text(text) => !text.starts_with('-'),
        TagToken::Sign('(' | ')' | ',') => true,
        _ => false,
    });
    let of = |form| Value { form, place: None };
    match name.as_str() {
        "tojson" => of(Form::Json),
        "urlencode" => Value {
            form: Form::Encoded,
            ..value
        },
        "escape" | "e" => Value {
            form: Form::Markup,
            ..value
        },
        "int" | "float" | "length" | "count" | "abs" | "round" => of(Form::Plain),
        // These keep the first character in its position.
        "lower" | "upper" | "string" | "title" | "capitalize" | "default" | "d"
            if literal && matches!(value.form, Form::Own | Form::Raw) =>
        {
            value
        }
        _ if literal && value.form == Form::Own => value,
        _ => of(Form::Raw),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::pieces::{TemplatePiece, pieces};
    use crate::template::place::testing::place;

    #[test]
    fn a_value_has_the_form_of_its_expression() {
        for (expression, form, of) in [
            ("payload.after", Form::Raw, Some(place(&["after"]))),
            (
                "payload.a['b-c'][0].if",
                Form::Raw,
                Some(place(&["a", "b-c", "0", "if"])),
            ),
            ("jsonpath('$.a[\"b\"]')", Form::Raw, Some(place(&["a", "b"]))),
            ("jsonpath('$..a')", Form::Raw, None),
            ("payload.a | lower", Form::Raw, Some(place(&["a"]))),
            ("payload.a | default('x')", Form::Raw, Some(place(&["a"]))),
            ("payload.a | default('-x')", Form::Raw, None),
            ("payload.a | default(payload.b)", Form::Raw, None),
            ("payload.a | trim", Form::Raw, None),
            ("payload[payload.b]", Form::Raw, None),
            (
                "headers['X-Kind']",
                Form::Raw,
                Some(Place::Header("x-kind".into())),
            ),
            ("headers.x_kind", Form::Raw, None),
            ("query.a", Form::Raw, Some(Place::Query("a".into()))),
            ("path.app", Form::Raw, Some(Place::Path("app".into()))),
            (
                "path.app | urlencode",
                Form::Encoded,
                Some(Place::Path("app".into())),
            ),
            ("body", Form::Raw, None),
            ("commit.id", Form::Raw, None),
            ("payload.a if payload.b else 'x'", Form::Raw, None),
            ("payload.a or 'x'", Form::Raw, None),
            ("payload.a ~ 'x'", Form::Raw, None),
            ("payload.a + 1", Form::Raw, None),
            ("rule | replace('a', payload.b)", Form::Raw, None),
            ("payload.a | tojson | replace('\"', '')", Form::Raw, None),
            ("payload.a | tojson", Form::Json, None),
            ("('a' ~ payload.a) | tojson", Form::Json, None),
            ("payload.a ~ (payload.b | tojson)", Form::Raw, None),
            ("payload.a | e", Form::Markup, Some(place(&["a"]))),
            ("payload.a | int", Form::Plain, None),
            ("actions[0].outcome == \"done\"", Form::Plain, None),
            ("payload.a is defined", Form::Plain, None),
            ("loop.index", Form::Plain, None),
            ("7", Form::Plain, None),
            ("event.id", Form::Own, None),
            ("rule | upper", Form::Own, None),
            ("'x' ~ rule", Form::Own, None),
            ("- endpoint -", Form::Own, None),
            ("actions[0].outcome", Form::Own, None),
            ("actions[0].detail", Form::Raw, None),
            ("failure.action", Form::Own, None),
            ("failure.output", Form::Raw, None),
            ("secret('X')", Form::Secret, None),
        ] {
            let found = pieces(&format!("{{{{{expression}}}}}"));
            assert_eq!(
                found,
                [TemplatePiece::Value(Value { form, place: of })],
                "{expression}"
            );
        }
    }
}
