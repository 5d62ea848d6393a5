//! Regular expressions of Go as operators of hookyard.
//!
//! Go finds a match anywhere in the text; `matches` compares the whole text. Both know RE2's syntax,
//! but Go's classes `\d`, `\w` and `\s` are ASCII, and a few signs are read differently. A constant
//! expression becomes `contains`, `prefix`, `suffix` or a plain value.

use regex_syntax::hir::{Class, Hir, HirKind, Look};

use super::yaml::{Map, Yaml};

/// Letters of numbers and booleans as text.
const SCALARS: &str = "-+.0123456789Eaeflrstu";

/// The test that a regular expression becomes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    /// The operators, as they are written below a selector.
    pub(super) test: Yaml,
    /// True if a number or a boolean could match.
    pub(super) fits_scalars: bool,
}

/// Translates an expression. `one_line`: the text has no line breaks. The error says what is not
/// translated.
pub(super) fn translate(pattern: &str, one_line: bool) -> Result<Found, String> {
    let translated = syntax(pattern)?;
    let hir = regex_syntax::parse(&translated)
        .map_err(|error| error.to_string().lines().last().unwrap_or_default().to_owned())?;
    let fits_scalars = fits_scalars(&hir);
    let operator = |name: &str, operand: String| Yaml::from(Map::new().with(name, Yaml::text(operand)));
    let test = match constant(&hir) {
        Some((true, text, true)) => Yaml::text(text),
        Some((false, text, false)) if text.is_empty() => {
            Yaml::from(Map::new().with("exists", Yaml::word("true")))
        }
        Some((_, text, _)) if text.is_empty() => Yaml::from(Map::new().with("exists", Yaml::word("true"))),
        Some((true, text, false)) => operator("prefix", text),
        Some((false, text, true)) => operator("suffix", text),
        Some((false, text, false)) => operator("contains", text),
        None if always(&hir) => Yaml::from(Map::new().with("exists", Yaml::word("true"))),
        None => operator("matches", whole(&translated, one_line)),
    };
    Ok(Found { test, fits_scalars })
}

/// The expression of a whole text in which `pattern` is found.
fn whole(pattern: &str, one_line: bool) -> String {
    let signs = Signs::of(pattern);
    let body = pattern
        .strip_prefix('^')
        .filter(|_| !signs.alternatives && !signs.flags);
    let begins = body.is_some();
    let body = body.unwrap_or(pattern);
    let ended = body
        .strip_suffix('$')
        .filter(|body| !signs.alternatives && !signs.flags && !ends_in_backslash(body));
    let ends = ended.is_some();
    let body = ended.unwrap_or(body);
    let group = match body {
        _ if begins && ends && !signs.alternatives => body.to_owned(),
        _ if !signs.alternatives && !signs.flags => body.to_owned(),
        _ => format!("(?:{body})"),
    };
    // The text around may have line breaks, which `.` does not match by default.
    let (flag, any) = if one_line {
        ("", ".*")
    } else if signs.dot || signs.flags {
        ("", "(?s:.*)")
    } else {
        ("(?s)", ".*")
    };
    let flag = if begins && ends { "" } else { flag };
    let before = if begins { "" } else { any };
    let after = if ends { "" } else { any };
    format!("{flag}{before}{group}{after}")
}

fn ends_in_backslash(text: &str) -> bool {
    text.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// Signs of an expression outside of classes.
#[derive(Default)]
struct Signs {
    alternatives: bool,
    flags: bool,
    dot: bool,
}

impl Signs {
    fn of(pattern: &str) -> Self {
        let mut signs = Self::default();
        let (mut depth, mut class, mut escaped) = (0_usize, false, false);
        let mut rest = pattern.chars().peekable();
        while let Some(letter) = rest.next() {
            if std::mem::take(&mut escaped) {
                continue;
            }
            match letter {
                '\\' => escaped = true,
                '[' if !class => {
                    class = true;
                    rest.next_if_eq(&'^');
                    rest.next_if_eq(&']');
                }
                ']' => class = false,
                _ if class => {}
                '(' => {
                    depth += 1;
                    signs.flags |= rest.peek() == Some(&'?');
                }
                ')' => depth = depth.saturating_sub(1),
                '|' if depth == 0 => signs.alternatives = true,
                '.' => signs.dot = true,
                _ => {}
            }
        }
        signs
    }
}

/// The constant that an expression stands for, and whether it is anchored before and behind.
fn constant(hir: &Hir) -> Option<(bool, String, bool)> {
    let parts = match hir.kind() {
        HirKind::Concat(parts) => parts.as_slice(),
        _ => std::slice::from_ref(hir),
    };
    let is = |look: Look| move |part: &Hir| matches!(part.kind(), HirKind::Look(found) if *found == look);
    let (begins, parts) = match parts.split_first() {
        Some((first, rest)) if is(Look::Start)(first) => (true, rest),
        _ => (false, parts),
    };
    let (ends, parts) = match parts.split_last() {
        Some((last, rest)) if is(Look::End)(last) => (true, rest),
        _ => (false, parts),
    };
    match parts {
        [] => Some((begins, String::new(), ends)),
        [part] => match part.kind() {
            HirKind::Literal(literal) => Some((begins, String::from_utf8(literal.0.to_vec()).ok()?, ends)),
            HirKind::Empty => Some((begins, String::new(), ends)),
            _ => None,
        },
        _ => None,
    }
}

/// True if every text matches: the empty text does, wherever it stands.
fn always(hir: &Hir) -> bool {
    hir.properties().minimum_len() == Some(0) && hir.properties().look_set().is_empty()
}

/// True if the text of a number or a boolean may match. The answer may be too careful.
fn fits_scalars(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) | HirKind::Class(Class::Bytes(_)) => true,
        HirKind::Literal(literal) => literal.0.iter().all(|byte| SCALARS.as_bytes().contains(byte)),
        HirKind::Class(Class::Unicode(class)) => {
            let within = |letter| {
                class
                    .ranges()
                    .iter()
                    .any(|range| (range.start()..=range.end()).contains(&letter))
            };
            SCALARS.chars().any(within)
        }
        HirKind::Repetition(repetition) => repetition.min == 0 || fits_scalars(&repetition.sub),
        HirKind::Capture(capture) => fits_scalars(&capture.sub),
        HirKind::Concat(parts) => parts.iter().all(fits_scalars),
        HirKind::Alternation(parts) => parts.iter().any(fits_scalars),
    }
}

/// Translates the syntax. The result means the same.
fn syntax(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    let mut class = false;
    while let Some(letter) = rest.chars().next() {
        let after = rest.get(letter.len_utf8()..).unwrap_or_default();
        rest = match letter {
            '\\' => escape(after, class, &mut out)?,
            '[' if !class => {
                class = true;
                out.push('[');
                let mut inner = after;
                for first in ['^', ']'] {
                    if let Some(next) = inner.strip_prefix(first) {
                        // A `]` that comes first is a member.
                        out.push_str(if first == ']' { "\\]" } else { "^" });
                        inner = next;
                    }
                }
                inner
            }
            '[' if after.starts_with(':') => {
                let end = after.find(":]").ok_or("a class of characters has no end")?;
                out.push('[');
                out.push_str(after.get(..end + 2).unwrap_or_default());
                after.get(end + 2..).unwrap_or_default()
            }
            ']' => {
                class = false;
                out.push(']');
                after
            }
            // Rust reads these in a class as operators between sets.
            '[' | '&' | '~' => {
                if class {
                    out.push('\\');
                }
                out.push(letter);
                after
            }
            '-' if class && after.starts_with('-') => {
                out.push_str("\\-");
                after
            }
            '{' if !class && !is_repetition(after) => {
                out.push_str("\\{");
                after
            }
            _ => {
                out.push(letter);
                after
            }
        };
    }
    Ok(out)
}

/// True if `{` begins a repetition, such as `{2,}`. Otherwise Go reads it as itself.
fn is_repetition(after: &str) -> bool {
    let Some((inner, _)) = after.split_once('}') else {
        return false;
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match inner.split_once(',') {
        Some((least, most)) => digits(least) && (most.is_empty() || digits(most)),
        None => digits(inner),
    }
}

/// Translates what follows a backslash. Returns the rest.
fn escape<'p>(after: &'p str, class: bool, out: &mut String) -> Result<&'p str, String> {
    let letter = after.chars().next().ok_or("a backslash stands at the end")?;
    let rest = after.get(letter.len_utf8()..).unwrap_or_default();
    let set = |inside: &str| {
        if class {
            inside.to_owned()
        } else {
            format!("[{inside}]")
        }
    };
    match letter {
        'd' => out.push_str(&set("0-9")),
        'w' => out.push_str(&set("0-9A-Za-z_")),
        's' => out.push_str(&set("\\t\\n\\f\\r ")),
        'D' => out.push_str("[^0-9]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        'S' => out.push_str("[^\\t\\n\\f\\r ]"),
        'b' => out.push_str("(?-u:\\b)"),
        'B' | 'C' => return Err(format!("`\\{letter}` is not known")),
        'Q' => {
            let (quoted, rest) = rest.split_once("\\E").unwrap_or((rest, ""));
            out.push_str(&regex_syntax::escape(quoted));
            return Ok(rest);
        }
        '0'..='7' => {
            let digits = after
                .bytes()
                .take(3)
                .take_while(|byte| (b'0'..=b'7').contains(byte))
                .count();
            if letter != '0' && digits == 1 {
                return Err(format!(
                    "`\\{letter}` refers to a group, which Go does not know either"
                ));
            }
            let (digits, rest) = after.split_at_checked(digits).unwrap_or((after, ""));
            let code = u32::from_str_radix(digits, 8).unwrap_or_default();
            out.push_str(&format!("\\x{{{code:x}}}"));
            return Ok(rest);
        }
        // `\<` is the begin of a word in Rust.
        '<' | '>' => out.push(letter),
        letter => {
            out.push('\\');
            out.push(letter);
        }
    }
    Ok(rest)
}

#[cfg(test)]
mod tests;
