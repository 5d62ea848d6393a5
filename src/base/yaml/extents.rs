//! Extents of values in a text of YAML, for edits that leave the rest as it is.

use std::collections::HashMap;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle};

/// Returns the bytes of each value, without its anchor, its tag and what follows it, by the first byte
/// of its position. Empty if the text is not YAML.
pub fn extents(text: &str) -> HashMap<usize, Range<usize>> {
    let offsets: Vec<usize> = text.char_indices().map(|(offset, _)| offset).collect();
    let byte = |character: usize| offsets.get(character).copied().unwrap_or(text.len());
    let mut extents = HashMap::new();
    let mut open: Vec<usize> = Vec::new();
    let mut last = 0;
    for next in Parser::new_from_str(text) {
        let Ok((event, span)) = next else {
            return HashMap::new();
        };
        let (start, end) = (byte(span.start.index()), byte(span.end.index()));
        match event {
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                open.push(start);
                last = last.max(end);
            }
            Event::MappingEnd | Event::SequenceEnd => {
                let start_of_end = start;
                let Some(start) = open.pop() else { continue };
                let value = after_properties(text, start);
                let is_flow = text.get(value..).is_some_and(|rest| rest.starts_with(['[', '{']));
                if is_flow {
                    // The event may include what follows the bracket.
                    let closes = text
                        .get(start_of_end..)
                        .is_some_and(|rest| rest.starts_with([']', '}']));
                    last = if closes { start_of_end + 1 } else { end };
                }
                // A mapping begins where its first key begins.
                extents.insert(start, value..last.max(value));
            }
            Event::Scalar(_, style, ..) => {
                let extent = scalar(text, start..end, style);
                last = extent.end;
                extents.insert(start, extent);
            }
            Event::Alias(..) => {
                last = end;
                extents.insert(start, start..end);
            }
            _ => {}
        }
    }
    extents
}

/// The bytes of a scalar. Its event may include what follows quotes, and begins within a block.
fn scalar(text: &str, span: Range<usize>, style: ScalarStyle) -> Range<usize> {
    let start = after_properties(text, span.start);
    let rest = text.get(start..).unwrap_or_default();
    match style {
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => start..start + quoted_len(rest),
        ScalarStyle::Literal | ScalarStyle::Folded => {
            let start = if rest.starts_with(['|', '>']) {
                start
            } else {
                header(text, start).unwrap_or(start)
            };
            let block = text.get(start..span.end.max(start)).unwrap_or_default();
            start..start + block.trim_end().len()
        }
        ScalarStyle::Plain => start..span.end.max(start),
    }
}

/// Skips an anchor and a tag.
fn after_properties(text: &str, start: usize) -> usize {
    let mut rest = text.get(start..).unwrap_or_default();
    while rest.starts_with(['&', '!']) {
        rest = rest.trim_start_matches(|letter: char| !letter.is_whitespace() && !",]}".contains(letter));
        rest = rest.trim_start();
    }
    text.len() - rest.len()
}

/// Length of a text that begins with a quoted scalar, up to its closing quote.
fn quoted_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let Some(quote) = bytes.first() else { return 0 };
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        let is_escaped = match quote {
            b'"' => *byte == b'\\',
            _ => *byte == b'\'' && bytes.get(at + 1) == Some(&b'\''),
        };
        if is_escaped {
            at += 1;
        } else if byte == quote {
            return at + 1;
        }
        at += 1;
    }
    bytes.len()
}

/// Finds the `|` or `>` of the block whose content begins at `content`.
fn header(text: &str, content: usize) -> Option<usize> {
    let before = text.get(..content)?.trim_end();
    let line = before.rfind('\n').map_or(0, |at| at + 1);
    let is_header = |rest: &str| {
        let rest = rest.trim_start_matches(|letter: char| letter.is_ascii_digit() || "+-".contains(letter));
        let comment = rest.trim_start();
        comment.is_empty() || (comment.starts_with('#') && comment.len() < rest.len())
    };
    let mut signs = before.get(line..)?.match_indices(['|', '>']);
    signs
        .find(|(at, sign)| is_header(before.get(line + at + sign.len()..).unwrap_or_default()))
        .map(|(at, _)| line + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts of the values that begin with these words.
    fn values<'t>(text: &'t str, starts: &[&str]) -> Vec<&'t str> {
        let extents = extents(text);
        let value = |start: &&str| {
            let at = text.find(start).unwrap();
            text.get(extents[&at].clone()).unwrap()
        };
        starts.iter().map(value).collect()
    }

    #[test]
    fn a_value_ends_where_its_last_part_ends() {
        let text = "é: [a, {b: c}] # d\nlist:\n  - x: 1\n    y: [2]  # e\n  - z\n\nlast: {}\n";
        assert_eq!(
            values(text, &["[a", "{b", "- x", "x: 1", "{}"]),
            [
                "[a, {b: c}]",
                "{b: c}",
                "- x: 1\n    y: [2]  # e\n  - z",
                "x: 1\n    y: [2]",
                "{}"
            ]
        );
    }

    #[test]
    fn what_stands_beside_a_scalar_is_no_part_of_it() {
        let text = "a: 'it''s'  # 'c'\nb: \"x\\\"y\" # d\nc: &n plain # e\nd: !!str f\ng: &m [h] # i\n";
        assert_eq!(
            values(text, &["'it", "\"x", "&n", "!!", "&m"]),
            ["'it''s'", "\"x\\\"y\"", "plain", "f", "[h]"]
        );
    }

    #[test]
    fn a_block_begins_with_its_sign_and_ends_before_a_comment() {
        for block in ["|", ">-", "|2", ">+1", "| # x | y", "&n |"] {
            let text = format!("a:\n  'b|c': {block}\n\n    first\n    last\n\n  # no part\nd: 1\n");
            let value = text.find(": ").unwrap() + 2;
            let sign = value + block.find(['|', '>']).unwrap();
            let extents: Vec<Range<usize>> = extents(&text).into_values().collect();
            let extent = extents.iter().find(|extent| extent.start == sign);
            let found = extent.and_then(|extent| text.get(extent.clone())).unwrap();
            assert!(found.ends_with("    last"), "{block}: {found}");
        }
    }
}
