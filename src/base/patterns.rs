//! The patterns of a rules file: regular expressions, globs and `JSONPath`s.
//!
//! [`Patterns`] compiles equal texts once, and bounds the work of all of them together. Each
//! pattern has a bound of its own, but a rules file can hold thousands.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use globset::GlobBuilder;
use regex::Regex;

use super::jsonpath::{JsonPath, Refused};
use super::regex_cost::{last_line, reason, work};

/// Maximum size of a compiled pattern, in bytes.
const MAX_PATTERN: usize = 1 << 20;
/// Maximum length of a regular expression, in bytes. Parsing takes a hundred times that, before the
/// compiled size is known.
const MAX_REGEX: usize = 32 << 10;
/// Maximum length of a glob, in bytes.
const MAX_GLOB: usize = 4096;
/// Maximum nesting of `{…}` in a glob. Its translation is recursive.
const MAX_ALTERNATES: usize = 16;
/// Maximum work of compiling all different patterns of a rules file, in characters and ranges of
/// characters, with repetitions written out. Further patterns are errors.
pub const MAX_WORK: u64 = 16 << 20;
/// Work of a pattern beside its characters.
const WORK_PER_PATTERN: u64 = 250;
/// Work for each byte of a `JSONPath`.
const WORK_PER_BYTE: u64 = 20;

/// A regular expression with its work in characters, or the reason for refusing it.
type Search = Result<(Regex, u64), String>;

/// Compiled patterns, and the reasons for refusing patterns, by their texts.
#[derive(Debug, Default)]
pub struct Patterns {
    spent: Cell<u64>,
    regexes: RefCell<HashMap<(String, bool), Result<Regex, String>>>,
    searches: RefCell<HashMap<String, Search>>,
    globs: RefCell<HashMap<String, Result<regex::bytes::Regex, String>>>,
    paths: RefCell<HashMap<String, Arc<JsonPath>>>,
}

impl Patterns {
    /// The regular expression, which compares the whole text. Returns the reason for refusing it.
    pub fn regex(&self, pattern: &str, ignore_case: bool) -> Result<Regex, String> {
        let key = (pattern.to_owned(), ignore_case);
        if let Some(known) = self.regexes.borrow().get(&key) {
            return known.clone();
        }
        let regex = self.compile_regex(pattern, ignore_case);
        self.regexes.borrow_mut().insert(key, regex.clone());
        regex
    }

    /// Adds the work of a regular expression and returns it, unless the expression is refused.
    fn check_regex(&self, pattern: &str, ignore_case: bool) -> Result<u64, String> {
        self.spend(0)?;
        if pattern.len() > MAX_REGEX {
            return Err(format!("longer than {MAX_REGEX} bytes"));
        }
        // The pattern is first parsed alone: `a)|(b` would be valid between the parentheses of the
        // anchors, and would match parts.
        let hir = regex_syntax::ParserBuilder::new()
            .case_insensitive(ignore_case)
            .build()
            .parse(pattern)
            .map_err(|error| last_line(&error.to_string()))?;
        let work = work(&hir);
        self.spend(work).map(|()| work)
    }

    fn compile_regex(&self, pattern: &str, ignore_case: bool) -> Result<Regex, String> {
        self.check_regex(pattern, ignore_case)?;
        regex::RegexBuilder::new(&format!(r"\A(?:{pattern})\z"))
            .case_insensitive(ignore_case)
            .size_limit(MAX_PATTERN)
            .build()
            .map_err(|error| reason(&error))
    }

    /// The regular expression, which finds parts of a text, and its work in characters. Returns the
    /// reason for refusing it.
    pub fn search(&self, pattern: &str) -> Search {
        if let Some(known) = self.searches.borrow().get(pattern) {
            return known.clone();
        }
        let regex = self.compile_search(pattern);
        self.searches
            .borrow_mut()
            .insert(pattern.to_owned(), regex.clone());
        regex
    }

    fn compile_search(&self, pattern: &str) -> Search {
        let work = self.check_regex(pattern, false)?;
        let mut builder = regex::RegexBuilder::new(pattern);
        let regex = builder.size_limit(MAX_PATTERN).build();
        regex.map(|regex| (regex, work)).map_err(|error| reason(&error))
    }

    /// The glob as a regular expression. Returns the reason for refusing it.
    pub fn glob(&self, pattern: &str) -> Result<regex::bytes::Regex, String> {
        if let Some(known) = self.globs.borrow().get(pattern) {
            return known.clone();
        }
        let glob = self.compile_glob(pattern);
        self.globs.borrow_mut().insert(pattern.to_owned(), glob.clone());
        glob
    }

    fn compile_glob(&self, pattern: &str) -> Result<regex::bytes::Regex, String> {
        self.spend(0)?;
        if pattern.len() > MAX_GLOB {
            return Err(format!("longer than {MAX_GLOB} bytes"));
        }
        if alternates(pattern) > MAX_ALTERNATES {
            return Err(format!("`{{…}}` nests more than {MAX_ALTERNATES} levels deep"));
        }
        let glob = GlobBuilder::new(pattern)
            .literal_separator(true)
            .backslash_escape(true)
            .build()
            .map_err(|error| error.kind().to_string())?;
        let hir = regex_syntax::ParserBuilder::new()
            .utf8(false)
            .dot_matches_new_line(true)
            .build()
            .parse(glob.regex())
            .map_err(|error| last_line(&error.to_string()))?;
        self.spend(work(&hir))?;
        // `compile_matcher` would panic if the regular expression cannot be built.
        regex::bytes::RegexBuilder::new(glob.regex())
            .dot_matches_new_line(true)
            .size_limit(MAX_PATTERN)
            .build()
            .map_err(|error| reason(&error))
    }

    /// The path, which begins with `$`.
    pub fn path(&self, text: &str) -> Result<Arc<JsonPath>, Refused> {
        if let Some(known) = self.paths.borrow().get(text) {
            return Ok(Arc::clone(known));
        }
        let too_much = |message| Refused {
            code: "too-large",
            message,
            hint: None,
        };
        self.spend(text.len() as u64 * WORK_PER_BYTE).map_err(too_much)?;
        let path = Arc::new(JsonPath::parse(text)?);
        self.spend(path.pattern_work()).map_err(too_much)?;
        self.paths.borrow_mut().insert(text.to_owned(), Arc::clone(&path));
        Ok(path)
    }

    /// Adds the work of one more pattern, before it is compiled. After the first refusal, all
    /// further patterns are refused.
    fn spend(&self, work: u64) -> Result<(), String> {
        let spent = self
            .spent
            .get()
            .saturating_add(work)
            .saturating_add(WORK_PER_PATTERN);
        if spent > MAX_WORK {
            self.spent.set(MAX_WORK);
            return Err(format!(
                "all patterns up to here, with repetitions written out, have more than {MAX_WORK} characters; \
                 use fewer or simpler ones"
            ));
        }
        self.spent.set(spent);
        Ok(())
    }
}

/// The nesting depth of `{…}`. A brace in `[…]` counts too, which errs on the safe side.
fn alternates(pattern: &str) -> usize {
    let mut depth: usize = 0;
    let mut deepest = 0;
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => drop(letters.next()),
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAVY: &str = r"\w{4}";

    #[test]
    fn equal_texts_are_compiled_once() {
        let patterns = Patterns::default();
        patterns.regex(HEAVY, false).unwrap();
        let spent = patterns.spent.get();
        for _ in 0..100 {
            patterns.regex(HEAVY, false).unwrap();
        }
        assert_eq!(patterns.spent.get(), spent);
        patterns.regex(HEAVY, true).unwrap();
        assert!(patterns.spent.get() > spent);
        let path = patterns.path("$.a[*]").unwrap();
        assert!(Arc::ptr_eq(&path, &patterns.path("$.a[*]").unwrap()));
    }

    #[test]
    fn the_work_of_all_patterns_together_is_bounded() {
        let almost = || Patterns {
            spent: Cell::new(MAX_WORK - 4 * WORK_PER_PATTERN),
            ..Patterns::default()
        };
        let patterns = almost();
        assert!(patterns.regex("a", false).is_ok());
        let again = (patterns.regex("b", false), patterns.regex("a", false));
        assert!(again.0.is_err() && again.1.is_ok());
        assert!(
            almost()
                .regex(HEAVY, false)
                .unwrap_err()
                .contains("all patterns up to here")
        );
        assert!(almost().glob(&"{a*,b?,[c-z]*}".repeat(200)).is_err());
        assert_eq!(
            almost()
                .path(&format!("${}", ".abcdef".repeat(10)))
                .unwrap_err()
                .code,
            "too-large"
        );
        let remaining = Patterns {
            spent: Cell::new(MAX_WORK - 10_000),
            ..Patterns::default()
        };
        let path = remaining.path("$[?search(@.b, '\\\\w{20}')]");
        assert_eq!(path.unwrap_err().code, "too-large");
    }

    #[test]
    fn many_patterns_that_people_write_are_no_error() {
        let patterns = Patterns::default();
        for index in 0..50 {
            let pattern = format!(r"refs/(heads|tags)/release-{index}(\.\d+)*(-[a-z0-9]+)?");
            patterns.regex(&pattern, false).unwrap();
            patterns
                .glob(&format!("services/{index}/**/*.{{yaml,yml}}"))
                .unwrap();
            patterns
                .path(&format!("$.commits[*].files{index}[*].name"))
                .unwrap();
        }
        assert!(patterns.spent.get() < MAX_WORK / 80);
    }
}
