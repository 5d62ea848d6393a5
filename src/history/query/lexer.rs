//! The terms of a query line: a name, a colon and a value, separated by blanks.
//!
//! A value in double quotes may hold blanks. A name that begins with `$` ends at the first colon
//! outside of brackets and quotes.

use std::ops::Range;

use super::error::QueryError;

/// One term of a line.
#[derive(Debug)]
pub(super) struct Term<'l> {
    pub name: &'l str,
    pub name_at: Range<usize>,
    pub value: Value<'l>,
    pub value_at: Range<usize>,
}

/// The value of a term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value<'l> {
    /// As written, up to the next blank.
    Plain(&'l str),
    /// From quotes, without them.
    Quoted(String),
    /// A mapping or a list of a condition, with its brackets.
    Flow(&'l str),
}

impl Value<'_> {
    /// The text of the value.
    pub fn text(&self) -> &str {
        match self {
            Self::Plain(text) | Self::Flow(text) => text,
            Self::Quoted(text) => text,
        }
    }
}

/// True if the name selects a value of the request, as in `match`.
pub(super) fn is_selector(name: &str) -> bool {
    name.starts_with('$')
        || ["method", "body", "client.ip"].contains(&name)
        || ["header.", "query.", "path."]
            .iter()
            .any(|start| name.starts_with(start))
}

/// Splits a line into its terms.
pub(super) fn terms(line: &str) -> Result<Vec<Term<'_>>, QueryError> {
    let mut terms = Vec::new();
    let mut at = skip_blanks(line, 0);
    while at < line.len() {
        let (term, end) = term(line, at)?;
        terms.push(term);
        at = skip_blanks(line, end);
    }
    Ok(terms)
}

/// Start of the term that `end` is in or behind: behind the last blank outside of quotes and
/// brackets.
pub(super) fn last_start(line: &str) -> usize {
    let mut at = skip_blanks(line, 0);
    loop {
        let name_end = name_end(line, at);
        let end = match rest(line, name_end).strip_prefix(':') {
            Some(_) => {
                value_end(line, name_end + 1, is_selector(part(line, at..name_end))).unwrap_or(line.len())
            }
            None => name_end,
        };
        let next = skip_blanks(line, end);
        if end >= line.len() {
            return at;
        }
        // A blank at the end begins a new term.
        at = if next == end { end + 1 } else { next };
        if at >= line.len() {
            return line.len();
        }
    }
}

fn term(line: &str, start: usize) -> Result<(Term<'_>, usize), QueryError> {
    let name_end = name_end(line, start);
    let name = part(line, start..name_end);
    let name_at = start..name_end;
    if !rest(line, name_end).starts_with(':') || name.is_empty() {
        let end = next_blank(line, start);
        return Err(QueryError::without_name(line, start..end));
    }
    let begin = name_end + 1;
    let selects = is_selector(name);
    let end = value_end(line, begin, selects)
        .map_err(|what| QueryError::new(line, begin..line.len(), format!("{what} is not closed")))?;
    let written = part(line, begin..end);
    if written.is_empty() {
        return Err(
            QueryError::new(line, start..end, format!("`{name}` has no value")).hint(format!(
                "write it behind the colon, without a blank: `{name}:VALUE`"
            )),
        );
    }
    let value = if written.starts_with('"') {
        let text = serde_json::from_str::<String>(written).map_err(|_cause| {
            QueryError::new(line, begin..end, "the quoted value is not understood")
                .hint(r#"in quotes, write `\"` for a quote and `\\` for a backslash"#)
        })?;
        Value::Quoted(text)
    } else if selects && written.starts_with(['{', '[']) {
        Value::Flow(written)
    } else {
        Value::Plain(written)
    };
    if !rest(line, end).is_empty() && !rest(line, end).starts_with(is_blank) {
        let after = end..next_blank(line, end);
        return Err(QueryError::new(
            line,
            after,
            "a blank is missing after the value".to_owned(),
        ));
    }
    let term = Term {
        name,
        name_at,
        value,
        value_at: begin..end,
    };
    Ok((term, end))
}

/// End of a name: its colon, or the blank before which there is none.
fn name_end(line: &str, start: usize) -> usize {
    let in_path = rest(line, start).starts_with('$');
    let (mut depth, mut quote) = (0_usize, None);
    for (at, letter) in rest(line, start).char_indices() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (None, '\'' | '"') if depth > 0 => quote = Some(letter),
            (None, '[' | '(') if in_path => depth += 1,
            (None, ']' | ')') if in_path => depth = depth.saturating_sub(1),
            (None, ':') if depth == 0 => return start + at,
            (None, letter) if depth == 0 && is_blank(letter) => return start + at,
            _ => {}
        }
    }
    line.len()
}

/// End of a value. The error names what is not closed.
fn value_end(line: &str, start: usize, selects: bool) -> Result<usize, &'static str> {
    let text = rest(line, start);
    if text.starts_with('"') {
        return quote_end(text).map(|end| start + end).ok_or("a quote");
    }
    if !selects || !text.starts_with(['{', '[']) {
        return Ok(next_blank(line, start));
    }
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(letter) = rest(text, at).chars().next() {
        match letter {
            '"' => {
                at += quote_end(rest(text, at)).ok_or("a quote")?;
                continue;
            }
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            _ => {}
        }
        at += letter.len_utf8();
        if depth == 0 {
            return Ok(start + at);
        }
    }
    Err("a bracket")
}

/// End of the quoted text at the beginning, behind its quote.
fn quote_end(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn is_blank(letter: char) -> bool {
    letter.is_whitespace()
}

fn skip_blanks(line: &str, from: usize) -> usize {
    line.len() - rest(line, from).trim_start_matches(is_blank).len()
}

fn next_blank(line: &str, from: usize) -> usize {
    rest(line, from).find(is_blank).map_or(line.len(), |at| from + at)
}

fn rest(line: &str, from: usize) -> &str {
    line.get(from..).unwrap_or_default()
}

fn part(line: &str, range: Range<usize>) -> &str {
    line.get(range).unwrap_or_default()
}
