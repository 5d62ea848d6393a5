//! Parts of an event that both a selector of `match` and a template expression can name.
//!
//! With them, the analysis of a condition (`exclusion.rs`) applies to the values of a template.

use crate::template::tags::{TagToken, tokens};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A path below the payload's root.
    Payload(Vec<Step>),
    /// A path below the element of `for_each`.
    Item(Vec<Step>),
    /// A header, in lower case.
    Header(String),
    /// A query parameter.
    Query(String),
    /// A path parameter.
    Path(String),
}

/// A step down in a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Name(String),
    Index(usize),
}

impl Place {
    /// The part that a selector of `match` names: `$.a['b'][0]`, `header.X-Y`, `query.a`, `path.a`.
    pub fn of_selector(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix('$') {
            return steps(path).map(Self::Payload);
        }
        if let Some(path) = text.strip_prefix('@') {
            return steps(path).map(Self::Item);
        }
        let (part, name) = text.split_once('.')?;
        match part {
            "header" => Some(Self::Header(name.to_ascii_lowercase())),
            "query" => Some(Self::Query(name.to_owned())),
            "path" => Some(Self::Path(name.to_owned())),
            _ => None,
        }
    }
}

/// The steps of a `JSONPath` after its `$`, if each selects a single value.
fn steps(path: &str) -> Option<Vec<Step>> {
    // The path is read as a block tag, in which it has the tokens of an expression.
    let (tokens, _) = tokens(path, true);
    accessors(&tokens)
}

/// A named part of the request. `None` for `headers.x_y`, which may be either of two headers, `x-y`
/// and `x_y`.
pub(super) fn named(part: &str, rest: &[TagToken]) -> Option<Place> {
    let steps = accessors(rest)?;
    let [Step::Name(name)] = steps.as_slice() else {
        return None;
    };
    match part {
        "headers" if name.contains('_') => None,
        "headers" => Some(Place::Header(name.to_ascii_lowercase())),
        "query" => Some(Place::Query(name.clone())),
        _ => Some(Place::Path(name.clone())),
    }
}

/// Parses a sequence of `.name`, `['name']` and `[0]`.
pub(super) fn accessors(tokens: &[TagToken]) -> Option<Vec<Step>> {
    let (steps, rest) = leading_steps(tokens);
    rest.is_empty().then_some(steps)
}

/// The steps with which an expression begins, and the tokens after them.
pub(super) fn leading_steps(mut tokens: &[TagToken]) -> (Vec<Step>, &[TagToken]) {
    let mut steps = Vec::new();
    loop {
        let (step, rest) = match tokens {
            [TagToken::Sign('.'), TagToken::Word(name), rest @ ..]
            | [
                TagToken::Sign('['),
                TagToken::Text(name),
                TagToken::Sign(']'),
                rest @ ..,
            ] => (Some(Step::Name(name.clone())), rest),
            [
                TagToken::Sign('['),
                TagToken::Word(index),
                TagToken::Sign(']'),
                rest @ ..,
            ] => (index.parse().ok().map(Step::Index), rest),
            _ => (None, tokens),
        };
        match step {
            Some(step) => steps.push(step),
            None => return (steps, tokens),
        }
        tokens = rest;
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A path below the payload's root. A number is an index.
    pub(in crate::template) fn place(names: &[&str]) -> Place {
        let steps = names.iter().map(|name| match name.parse() {
            Ok(index) => Step::Index(index),
            Err(_) => Step::Name((*name).to_owned()),
        });
        Place::Payload(steps.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::testing::place;
    use super::*;

    #[test]
    fn a_selector_and_a_template_name_the_same_place() {
        assert_eq!(Place::of_selector("$.a['b'][0]"), Some(place(&["a", "b", "0"])));
        assert_eq!(
            Place::of_selector("header.X-Kind"),
            Some(Place::Header("x-kind".into()))
        );
        for other in [
            "$.a[*]",
            "$..a",
            "$.a[?@.b]",
            "$.a[-1]",
            "method",
            "client.ip",
            "event",
        ] {
            assert!(
                !matches!(
                    Place::of_selector(other),
                    Some(Place::Payload(_) | Place::Header(_))
                ),
                "{other}"
            );
        }
    }
}
