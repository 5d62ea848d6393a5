//! Translation of the text of a path to a [`JsonPath`].
//!
//! Rejects what the RFC forbids, and paths that a payload could make cost seconds. Operands and
//! arguments inside filters are left to `operands.rs`.

use jsonpath_rust::parser::model::{
    Comparison as TheirComparison, Filter as TheirFilter, FilterAtom, JpQuery, Segment, Selector, Test,
    TestFunction,
};
use jsonpath_rust::parser::parse_json_path;

use super::{Comparison, Filter, JsonPath, PathSegment, Pick, Query, Refused};

/// Maximum length of a path, in bytes.
const MAX_TEXT: usize = 2048;
/// Maximum nesting of brackets and parentheses. Each level multiplies the parser's work.
const MAX_NESTING: usize = 8;
/// Maximum number of times that a path may select the same node, as in `[*,*]`. Every repetition
/// multiplies the results.
const MAX_PICKS: usize = 64;

pub(super) fn parse(text: &str) -> Result<JsonPath, Refused> {
    if text.len() > MAX_TEXT {
        return Err(invalid(format!("the JSONPath has more than {MAX_TEXT} bytes")));
    }
    if nesting(text) > MAX_NESTING {
        return Err(invalid(format!(
            "the JSONPath nests more than {MAX_NESTING} brackets"
        )));
    }
    if let Some(at) = misplaced_space(text) {
        return Err(Refused {
            hint: Some("a name with a space stands in brackets: `$['a b']`".to_owned()),
            ..invalid(format!(
                "invalid JSONPath `{text}`: a space at its character {at}, where none may stand"
            ))
        });
    }
    let query = parse_json_path(text).map_err(|error| unparsable(text, &error.to_string()))?;
    let mut translation = Translation {
        descends: false,
        picks: 1,
    };
    translation.path(&query.segments)
}

/// The nesting depth of brackets and parentheses. Those in quotes count too, which errs on the safe
/// side.
fn nesting(text: &str) -> usize {
    let mut depth: usize = 0;
    let mut deepest = 0;
    for letter in text.chars() {
        match letter {
            '[' | '(' => depth += 1,
            ']' | ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// The position, from 1, of the first space that the RFC forbids and the grammar overlooks. Such a
/// space is inside a name or a number, after a sign or a dot, or at the end. A space that is not
/// ASCII is allowed in a name. The grammar drops it at the start or end of the name, which would
/// select another member.
fn misplaced_space(text: &str) -> Option<usize> {
    let word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || !letter.is_ascii();
    let mut quote = None;
    let mut before = ' ';
    let mut letters = text.chars().enumerate().peekable();
    while let Some((at, letter)) = letters.next() {
        match (quote, letter) {
            (None, letter) if letter.is_whitespace() => {
                while letters.next_if(|(_, next)| next.is_ascii_whitespace()).is_some() {}
                let mut rest = letters.clone().map(|(_, letter)| letter);
                let (next, second) = (rest.next(), rest.next());
                let torn = word(before) && next.is_some_and(|next| word(next) || "+-".contains(next));
                let fraction = next == Some('.') && second.is_some_and(|second| second.is_ascii_digit());
                if torn || fraction || "+-.".contains(before) || next.is_none() || !letter.is_ascii() {
                    return Some(at + 1);
                }
            }
            (None, '\'' | '"') => quote = Some(letter),
            (Some(_), '\\') => drop(letters.next()),
            (Some(open), letter) if letter == open => quote = None,
            _ => {}
        }
        before = letter;
    }
    None
}

pub(super) fn invalid(message: String) -> Refused {
    Refused {
        code: "invalid-jsonpath",
        message,
        hint: None,
    }
}

pub(super) fn costly(message: impl Into<String>, hint: &str) -> Refused {
    Refused {
        code: "costly-jsonpath",
        message: message.into(),
        hint: Some(hint.to_owned()),
    }
}

/// The parser's error in our words: the position, and the likely cause.
fn unparsable(text: &str, error: &str) -> Refused {
    // pest prints the position as ` --> 1:5`; the other errors have none.
    let column = error
        .split_once("--> 1:")
        .and_then(|(_, rest)| rest.lines().next())
        .and_then(|column| column.trim().parse::<usize>().ok());
    let at = column
        .map(|column| format!(" at its character {column}"))
        .unwrap_or_default();
    let stopped = column.and_then(|column| text.chars().nth(column.saturating_sub(1)));
    let long_number = text
        .split(|letter: char| !letter.is_ascii_digit())
        .any(|digits| digits.len() >= 16);
    let hint = if long_number {
        "a number in a filter has at most 2^53 - 1; compare a larger one with an operator, which is exact: \
         `$.id: {equals: …}`"
    } else if stopped == Some('-') || stopped == Some(' ') {
        "a name with anything but letters, digits and `_` stands in brackets: `$['content-type']`"
    } else if text.contains("?(") && text.contains("=~") {
        "RFC 9535 writes a regular expression `[?search(@.message, 'pattern')]`"
    } else {
        "paths are written as RFC 9535 has them: `$.commits[*].modified[*]`, `$['a b'][0]`, `$.items[?@.id == 5]`"
    };
    Refused {
        hint: Some(hint.to_owned()),
        ..invalid(format!("invalid JSONPath `{text}`: not understood{at}"))
    }
}

/// The walk over the parser's tree, with the counters that bound the whole path.
pub(super) struct Translation {
    descends: bool,
    picks: usize,
}

impl Translation {
    fn path(&mut self, segments: &[Segment]) -> Result<JsonPath, Refused> {
        let steps: Result<Vec<PathSegment>, Refused> =
            segments.iter().map(|segment| self.step(segment)).collect();
        Ok(JsonPath { steps: steps? })
    }

    fn step(&mut self, segment: &Segment) -> Result<PathSegment, Refused> {
        let picks = match segment {
            Segment::Descendant(below) => {
                if self.descends {
                    return Err(costly(
                        "more than one `..` in a JSONPath: a small payload could make it cost seconds",
                        "name the way down: `$.a.b[*].c`",
                    ));
                }
                self.descends = true;
                return Ok(PathSegment {
                    descends: true,
                    ..self.step(below)?
                });
            }
            Segment::Selector(selector) => std::slice::from_ref(selector),
            Segment::Selectors(selectors) => selectors.as_slice(),
        };
        self.picks = self.picks.saturating_mul(picks.len().max(1));
        if self.picks > MAX_PICKS {
            return Err(costly(
                format!("the lists of selectors in this JSONPath multiply to more than {MAX_PICKS}"),
                "select more with `[*]` and compare with `in`",
            ));
        }
        let picks: Result<Vec<Pick>, Refused> = picks.iter().map(|selector| self.pick(selector)).collect();
        Ok(PathSegment {
            descends: false,
            picks: picks?,
        })
    }

    fn pick(&mut self, selector: &Selector) -> Result<Pick, Refused> {
        Ok(match selector {
            Selector::Name(name) => Pick::Name(name.clone()),
            Selector::Wildcard => Pick::Wildcard,
            Selector::Index(index) => Pick::Index(*index),
            Selector::Slice(start, end, step) => Pick::Slice {
                start: *start,
                end: *end,
                step: step.unwrap_or(1),
            },
            Selector::Filter(filter) => Pick::Filter(self.filter(filter)?),
        })
    }

    fn filter(&mut self, filter: &TheirFilter) -> Result<Filter, Refused> {
        let mut each = |filters: &[TheirFilter]| -> Result<Vec<Filter>, Refused> {
            filters.iter().map(|filter| self.filter(filter)).collect()
        };
        match filter {
            TheirFilter::Or(filters) => Ok(Filter::Any(each(filters)?)),
            TheirFilter::And(filters) => Ok(Filter::All(each(filters)?)),
            TheirFilter::Atom(FilterAtom::Filter { expr, not }) => Ok(negated(self.filter(expr)?, *not)),
            TheirFilter::Atom(FilterAtom::Test { expr, not }) => Ok(negated(self.test(expr)?, *not)),
            TheirFilter::Atom(FilterAtom::Comparison(comparison)) => self.comparison(comparison),
        }
    }

    fn test(&mut self, test: &Test) -> Result<Filter, Refused> {
        match test {
            Test::RelQuery(_) | Test::AbsQuery(_) => Ok(Filter::Exists(self.query(test)?)),
            Test::Function(function) => match function.as_ref() {
                TestFunction::Match(value, pattern) => self.pattern(value, pattern, "match", true),
                TestFunction::Search(value, pattern) => self.pattern(value, pattern, "search", false),
                TestFunction::Length(_) => Err(uncompared("length")),
                TestFunction::Count(_) => Err(uncompared("count")),
                TestFunction::Value(_) => Err(uncompared("value")),
                TestFunction::Custom(name, _) => Err(unknown_function(name)),
            },
        }
    }

    /// Translates a query inside a filter. A `$` query is walked again for every item, so it must
    /// be singular.
    pub(super) fn query(&mut self, test: &Test) -> Result<Query, Refused> {
        let (from_root, segments) = match test {
            Test::RelQuery(segments) => (false, segments),
            Test::AbsQuery(JpQuery { segments }) => (true, segments),
            Test::Function(function) => {
                return Err(invalid(format!("`{function}` stands where a JSONPath is needed")));
            }
        };
        let path = self.path(segments)?;
        if from_root && !path.is_singular() {
            return Err(costly(
                "a `$` path in a filter that selects many values is walked again for every item",
                "inside a filter, `$` paths are of names and single indexes: `$.user.id`",
            ));
        }
        Ok(Query { from_root, path })
    }

    fn comparison(&mut self, comparison: &TheirComparison) -> Result<Filter, Refused> {
        let (left, right) = comparison.vals();
        let how = match comparison {
            TheirComparison::Eq(..) => Comparison::Equal,
            TheirComparison::Ne(..) => Comparison::NotEqual,
            TheirComparison::Gt(..) => Comparison::Greater,
            TheirComparison::Gte(..) => Comparison::GreaterOrEqual,
            TheirComparison::Lt(..) => Comparison::Less,
            TheirComparison::Lte(..) => Comparison::LessOrEqual,
        };
        let (left, right) = (self.comparable(left)?, self.comparable(right)?);
        if left.is_from_root() && right.is_from_root() {
            return Err(costly(
                "a comparison of two `$` paths in a filter is made again for every item",
                "make it a condition of its own",
            ));
        }
        Ok(Filter::Compare(left, how, right))
    }
}

fn negated(filter: Filter, not: bool) -> Filter {
    if not {
        Filter::Not(Box::new(filter))
    } else {
        filter
    }
}

fn uncompared(function: &str) -> Refused {
    Refused {
        hint: Some(format!("compare it: `[?{function}(@.items) > 2]`")),
        ..invalid(format!("`{function}()` is a value and no condition by itself"))
    }
}

pub(super) fn unknown_function(name: &str) -> Refused {
    Refused {
        hint: Some("functions are length, count, value, match, search".to_owned()),
        ..invalid(format!("`{name}()` is no function of RFC 9535"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_and_costly_paths_are_refused() {
        let cases = [
            ("$..*..*", "costly-jsonpath"),
            ("$..a[?@..b]", "costly-jsonpath"),
            ("$[?$..a]", "costly-jsonpath"),
            ("$[?count($.a[*]) > 1]", "costly-jsonpath"),
            ("$[?match(@.a, $.re)]", "costly-jsonpath"),
            ("$[?search(@.a, @.b)]", "costly-jsonpath"),
            ("$[?length($.s) > 3]", "costly-jsonpath"),
            ("$[?search($.s, 'a')]", "costly-jsonpath"),
            ("$[?$.s == $.t]", "costly-jsonpath"),
            ("$[*,*][*,*][*,*][*,*][*,*][*,*][*,*]", "costly-jsonpath"),
            ("$[?match(@.a, '(')]", "invalid-regex"),
            ("$[?match(@.a, 'a)|(b')]", "invalid-regex"),
            ("$[?search(@.a, '\\\\w{1000}\\\\w{1000}')]", "invalid-regex"),
            ("$[?count(@..*)]", "invalid-jsonpath"),
            ("$[?length(@.a)]", "invalid-jsonpath"),
            ("$[?value(@.a)]", "invalid-jsonpath"),
            ("$[?length(@.*) < 3]", "invalid-jsonpath"),
            ("$[?length(@..a) < 3]", "invalid-jsonpath"),
            ("$[?count(1) == 1]", "invalid-jsonpath"),
            ("$[?value(1) == 1]", "invalid-jsonpath"),
            ("$[?match(@.*, 'a')]", "invalid-jsonpath"),
            ("$[?match(@.a, 'a') == true]", "invalid-jsonpath"),
            ("$[?in(@.a, $.b)]", "invalid-jsonpath"),
            ("$[?@.a == 1e999]", "invalid-jsonpath"),
            ("$[?@.id == 9007199254740993]", "invalid-jsonpath"),
            ("$.content-type", "invalid-jsonpath"),
            ("$.a[", "invalid-jsonpath"),
            ("$.", "invalid-jsonpath"),
            ("$ ", "invalid-jsonpath"),
        ];
        for (path, code) in cases {
            match parse(path) {
                Ok(_) => panic!("{path} was taken"),
                Err(refused) => assert_eq!(refused.code, code, "{path}: {}", refused.message),
            }
        }
    }

    #[test]
    fn an_invalid_text_has_a_hint() {
        let refused = parse("$[?@.id == 9007199254740993]").unwrap_err();
        assert!(refused.hint.unwrap().contains("2^53"));
        let refused = parse("$.content-type").unwrap_err();
        assert_eq!(
            refused.message,
            "invalid JSONPath `$.content-type`: not understood at its character 10"
        );
        assert!(refused.hint.unwrap().contains("$['content-type']"));
    }

    #[test]
    fn nested_text_is_refused_before_it_costs_time() {
        for text in ["length(", "(", "!(", "[?@", "@[?", "count(@["] {
            for depth in [7, 8, 40, 400] {
                assert!(parse(&format!("$[?{}", text.repeat(depth))).is_err());
            }
        }
        assert!(parse(&format!("$.{}", "a".repeat(3000))).is_err());
    }
}
