//! Patterns of `match()` and `search()`: I-Regexp (RFC 9485), compiled at load.

use regex::RegexBuilder;

use super::{FilterPattern, Refused};
use crate::base::regex_cost::{reason, work};

/// Maximum size of a compiled pattern, in bytes.
const MAX_PATTERN: usize = 1 << 20;

/// Translates an I-Regexp (RFC 9485) to a regex. A `.` in it does not match `\n` or `\r`.
pub(super) fn regex(pattern: &str, whole: bool) -> Result<FilterPattern, Refused> {
    let mut translated = String::with_capacity(pattern.len());
    let mut letters = pattern.chars();
    let mut in_class = false;
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => {
                translated.push(letter);
                translated.extend(letters.next());
                continue;
            }
            '.' if !in_class => {
                translated.push_str(r"[^\n\r]");
                continue;
            }
            '[' => in_class = true,
            ']' => in_class = false,
            _ => {}
        }
        translated.push(letter);
    }
    let build = |pattern: &str| RegexBuilder::new(pattern).size_limit(MAX_PATTERN).build();
    let alone = build(&translated);
    // The pattern is first compiled alone: `a)|(b` would be valid between the parentheses of the
    // anchor.
    let compiled = match (alone, whole) {
        (Ok(_), true) => build(&format!(r"\A(?:{translated})\z")),
        (alone, _) => alone,
    };
    // What compiles can be parsed.
    let work = regex_syntax::parse(&translated).map_or(0, |hir| work(&hir));
    compiled
        .map(|regex| FilterPattern { regex, work })
        .map_err(|error| Refused {
            code: "invalid-regex",
            message: format!("invalid regular expression `{pattern}`: {}", reason(&error)),
            hint: None,
        })
}
