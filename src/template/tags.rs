//! The sections of a template's text: literal texts and tags.
//!
//! A tag is split into the tokens of its expression. Comments are left out. A tag that does not end
//! takes the rest of the text.

use std::iter::Peekable;
use std::str::CharIndices;

use minijinja::Environment;

/// A section of a template.
#[derive(Debug, PartialEq)]
pub(super) enum Section<'t> {
    /// Literal text, also that of a raw block.
    Text(&'t str),
    /// `{{ … }}`, or `{% … %}` if it is a block.
    Tag { tokens: Vec<TagToken>, block: bool },
}

/// A token of a tag.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum TagToken {
    Word(String),
    Text(String),
    Sign(char),
}

/// Returns the sections of a template in order. Neighbouring texts are not joined.
pub(super) fn sections(text: &str) -> impl Iterator<Item = Section<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let (section, behind) = next(rest)?;
            rest = behind;
            if section.is_some() {
                return section;
            }
        }
    })
}

/// Splits off the first section. A comment is no section.
fn next(text: &str) -> Option<(Option<Section<'_>>, &str)> {
    let Some(tag) = text.strip_prefix('{') else {
        let (literal, behind) = text.split_at(text.find('{').unwrap_or(text.len()));
        return (!literal.is_empty()).then_some((Some(Section::Text(literal)), behind));
    };
    let inside = tag.get(1..).unwrap_or_default();
    Some(match tag.chars().next() {
        Some('#') => {
            let end = inside.find("#}");
            (
                None,
                end.and_then(|end| inside.get(end + 2..)).unwrap_or_default(),
            )
        }
        Some(kind @ ('{' | '%')) => {
            let block = kind == '%';
            let (tokens, behind) = tokens(inside, block);
            if block && tokens.first() == Some(&TagToken::Word("raw".into())) {
                let after = behind_raw(behind);
                let raw = behind.get(..behind.len() - after.len()).unwrap_or_default();
                let raw = raw.rsplit_once("{%").map_or(raw, |(raw, _)| raw);
                (Some(Section::Text(raw)), after)
            } else {
                (Some(Section::Tag { tokens, block }), behind)
            }
        }
        _ => (text.get(..1).map(Section::Text), tag),
    })
}

/// The text after the `{% endraw %}` of a raw block.
fn behind_raw(text: &str) -> &str {
    text.find("endraw")
        .and_then(|at| text.get(at..))
        .and_then(|end| end.find("%}").and_then(|close| end.get(close + 2..)))
        .unwrap_or_default()
}

/// The tokens of a tag, and the text after it.
pub(super) fn tokens(text: &str, block: bool) -> (Vec<TagToken>, &str) {
    let mut tokens = Vec::new();
    let mut braces = 0_usize;
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\'' | '"' => {
                let end = closed(&mut letters, letter).unwrap_or(text.len());
                tokens.push(TagToken::Text(unquoted(text.get(at..end).unwrap_or_default())));
            }
            _ if letter.is_alphanumeric() || letter == '_' => {
                let mut word = String::from(letter);
                while let Some((_, letter)) =
                    letters.next_if(|(_, letter)| letter.is_alphanumeric() || *letter == '_')
                {
                    word.push(letter);
                }
                tokens.push(TagToken::Word(word));
            }
            '{' => {
                braces += 1;
                tokens.push(TagToken::Sign(letter));
            }
            '}' if braces > 0 => {
                braces -= 1;
                tokens.push(TagToken::Sign(letter));
            }
            '}' if !block => return (tokens, text.get(at + 2..).unwrap_or_default()),
            '%' if block && letters.peek().is_some_and(|(_, next)| *next == '}') => {
                return (tokens, text.get(at + 2..).unwrap_or_default());
            }
            _ if letter.is_whitespace() => {}
            // `{%-` and `{%+` only trim whitespace.
            '-' | '+' if at == 0 => {}
            _ => tokens.push(TagToken::Sign(letter)),
        }
    }
    (tokens, "")
}

/// The end of a string literal. The iterator stands after its opening quote.
fn closed(letters: &mut Peekable<CharIndices<'_>>, quote: char) -> Option<usize> {
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => drop(letters.next()),
            _ if letter == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The text of a string literal. minijinja decodes the escapes, so that they have the same meaning
/// as at render. A literal that it cannot parse is a syntax error, which is reported when the
/// template is compiled.
fn unquoted(literal: &str) -> String {
    if !literal.contains('\\') {
        let mut letters = literal.chars();
        let quote = letters.next().unwrap_or_default();
        let inner = letters.as_str();
        return inner.strip_suffix(quote).unwrap_or(inner).to_owned();
    }
    let read = || {
        let environment = Environment::empty();
        let value = environment.compile_expression(literal)?.eval(())?;
        Ok::<_, minijinja::Error>(value.as_str().map(str::to_owned))
    };
    read().ok().flatten().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_split_into_texts_and_tags() {
        let word = |word: &str| TagToken::Word(word.to_owned());
        let tag = |tokens: &[TagToken], block| Section::Tag {
            tokens: tokens.to_vec(),
            block,
        };
        let found: Vec<Section<'_>> =
            sections("a{b {# {{ c }} #}{%- if d -%}{{ e }}{% raw %}{{ f }}{% endraw %}g{{ h").collect();
        assert_eq!(
            found,
            [
                Section::Text("a"),
                Section::Text("{"),
                Section::Text("b "),
                tag(&[word("if"), word("d"), TagToken::Sign('-')], true),
                tag(&[word("e")], false),
                Section::Text("{{ f }}"),
                Section::Text("g"),
                tag(&[word("h")], false),
            ]
        );
        for (text, count) in [("", 0), ("{", 1), ("{#", 0), ("{% raw", 1), ("{é", 2), ("{{", 1)] {
            assert_eq!(sections(text).count(), count, "{text}");
        }
    }
}
