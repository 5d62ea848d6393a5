//! An upper estimate of the values that a template builds from its own lists, mappings and tuples.
//!
//! `{% set a = [a, a] %}` shares its items, so that forty of these tags cost nothing to run. Every
//! walk over the result, such as `==`, takes 2^40 steps, and the engine cannot interrupt one.
//! Templates that can build such values are rejected at load. Values of the event are counted at
//! render by `work.rs`.

use std::collections::HashMap;

use crate::template::tags::TagToken;

/// Maximum size of a value that a template builds: the words, texts and signs that describe it,
/// with every variable replaced by its own. A template beyond it is rejected.
pub const MAX_GROWTH: u64 = 100_000;
/// Maximum nesting of the lists, mappings and tuples that a template builds.
pub const MAX_LEVELS: usize = 64;
/// Factor for what can repeat a list: `*`, `batch`, `slice`, `map(default=…)`.
const REPEATED: u64 = 1000;

/// Words after which `[` begins a list and `(` a group.
const KEYWORDS: [&str; 12] = [
    "in",
    "if",
    "elif",
    "else",
    "and",
    "or",
    "not",
    "is",
    "set",
    "with",
    "for",
    "recursive",
];

/// The largest size and nesting of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    pub size: u64,
    pub levels: usize,
}

/// The state of the estimate between the tags of a template.
#[derive(Debug, Default)]
pub(super) struct Growth {
    /// Variables that may hold a list, mapping or tuple of the template.
    variables: HashMap<String, Extent>,
    pub(super) largest: Extent,
}

impl Extent {
    fn max(self, other: Self) -> Self {
        Self {
            size: self.size.max(other.size),
            levels: self.levels.max(other.levels),
        }
    }

    /// True if a template may not build such a value.
    pub(super) fn is_excessive(self) -> bool {
        self.size > MAX_GROWTH || self.levels > MAX_LEVELS
    }
}

/// The open brackets of an expression.
#[derive(Default)]
struct Brackets {
    /// Each bracket, and whether it begins a value of its own rather than a lookup or a call.
    open: Vec<(char, bool)>,
    level: usize,
    /// The deepest nesting of values so far.
    levels: usize,
}

impl Brackets {
    fn open(&mut self, sign: char, begins: bool) {
        self.open.push((sign, begins));
        self.level += usize::from(begins);
        self.levels = self.levels.max(self.level);
    }

    fn close(&mut self) {
        let began = self.open.pop().is_some_and(|(_, begins)| begins);
        self.level -= usize::from(began);
    }

    /// True if a comma here makes a tuple.
    fn in_tuple(&self) -> bool {
        self.open.last().is_none_or(|open| *open == ('(', true))
    }
}

impl Growth {
    /// Adds a tag, in the order of the text.
    pub(super) fn add(&mut self, tokens: &[TagToken], block: bool) {
        let word = |at: usize| match tokens.get(at) {
            Some(TagToken::Word(word)) => Some(word.as_str()),
            _ => None,
        };
        let keyword = if block { word(0) } else { None };
        let at = |wanted: &TagToken| tokens.iter().position(|token| token == wanted);
        let (targets, expression) = match keyword {
            Some("set") => match at(&TagToken::Sign('=')) {
                Some(equals) => tokens.split_at(equals),
                None => return,
            },
            Some("for") => match at(&TagToken::Word("in".into())) {
                Some(inside) => tokens.split_at(inside),
                None => return,
            },
            // Every word counts as a target: too many do no harm.
            Some("with") => (tokens, tokens),
            _ => (&[][..], tokens),
        };
        let Some(extent) = self.extent(expression) else {
            return;
        };
        self.largest = self.largest.max(extent);
        for token in targets {
            if let TagToken::Word(name) = token {
                let known = self.variables.entry(name.clone()).or_default();
                *known = known.max(extent);
            }
        }
    }

    /// The estimate of an expression. `None` if it holds no list, mapping or tuple of the template.
    fn extent(&self, tokens: &[TagToken]) -> Option<Extent> {
        let (mut size, mut inner, mut builds) = (tokens.len() as u64, None::<Extent>, false);
        let (mut brackets, mut repeats, mut recurses) = (Brackets::default(), 0_u32, false);
        for (at, token) in tokens.iter().enumerate() {
            let before = at.checked_sub(1).and_then(|before| tokens.get(before));
            let after = tokens.get(at + 1);
            match token {
                TagToken::Sign(sign @ ('[' | '(' | '{')) => {
                    let begins = *sign == '{' || !continues(before);
                    builds |= begins && *sign != '(';
                    brackets.open(*sign, begins);
                }
                TagToken::Sign(']' | ')' | '}') => brackets.close(),
                TagToken::Sign(',') if brackets.in_tuple() => builds = true,
                TagToken::Sign('*') => {
                    let power = [before, after].contains(&Some(&TagToken::Sign('*')));
                    repeats += u32::from(!power);
                }
                TagToken::Word(name) if before == Some(&TagToken::Sign('|')) => {
                    repeats += u32::from(["batch", "slice"].contains(&name.as_str()));
                }
                TagToken::Word(_) if before == Some(&TagToken::Sign('.')) => {}
                TagToken::Word(name) if name == "default" && after == Some(&TagToken::Sign('=')) => {
                    repeats += 1;
                }
                TagToken::Word(name) if name == "dict" && after == Some(&TagToken::Sign('(')) => {
                    builds = true;
                }
                TagToken::Word(name) if name == "loop" && after == Some(&TagToken::Sign('(')) => {
                    // A recursive loop may descend into a value, but not build one on the way.
                    recurses |= !descends(tokens.get(at + 2..).unwrap_or_default());
                }
                TagToken::Word(name) => {
                    if let Some(known) = self.variables.get(name) {
                        size = size.saturating_add(known.size);
                        inner = Some(inner.unwrap_or_default().max(*known));
                    }
                }
                _ => {}
            }
        }
        if !builds && inner.is_none() {
            return None;
        }
        if recurses {
            return Some(Extent {
                size: u64::MAX,
                levels: 1,
            });
        }
        let own = brackets.levels.max(usize::from(builds));
        Some(Extent {
            size: size.saturating_mul(REPEATED.saturating_pow(repeats)),
            levels: own.saturating_add(inner.unwrap_or_default().levels),
        })
    }
}

/// True if a bracket after this token indexes or calls, and builds nothing.
fn continues(before: Option<&TagToken>) -> bool {
    match before {
        Some(TagToken::Word(word)) => !KEYWORDS.contains(&word.as_str()),
        Some(TagToken::Text(_) | TagToken::Sign(']' | ')' | '}')) => true,
        _ => false,
    }
}

/// True for the argument `item.name)` or `item['name'])` of a call.
fn descends(argument: &[TagToken]) -> bool {
    let end = argument
        .iter()
        .position(|token| *token == TagToken::Sign(')'))
        .unwrap_or(argument.len());
    let plain = |token: &TagToken| match token {
        TagToken::Word(_) | TagToken::Text(_) => true,
        TagToken::Sign(sign) => ".[]".contains(*sign),
    };
    matches!(argument.get(1), Some(TagToken::Sign('.' | '[')))
        && matches!(argument.first(), Some(TagToken::Word(_)))
        && argument.iter().take(end).all(plain)
}

#[cfg(test)]
mod tests {
    use crate::template::scan::scan;

    #[test]
    fn values_that_double_are_excessive_however_they_are_built() {
        for (start, step) in [
            ("{% set a = [1] %}", "{% set a = [a, a] %}"),
            ("{% set a = [1] %}", "{% set a = a, a %}"),
            ("{% set a = [1] %}", "{% set a = (a, a) %}"),
            ("{% set a = {'k': 1} %}", "{% set a = {'x': a, 'y': a} %}"),
            ("{% set a = dict() %}", "{% set a = dict(x=a, y=a) %}"),
            ("{% set a = [1] %}", "{% set a = a + a %}"),
            ("{% set a = [1] %}", "{% set a = a | chain(a) %}"),
            ("{% set a = [1] %}", "{% with a = [a, a] %}"),
            ("{% set a = [1] %}", "{% for a in [[a, a]] %}"),
            ("{% set a = [1] %}", "{% set b = [a, a] %}{% set a = [b] %}"),
            (
                "{% set a = [1] %}",
                "{% if true %}{% set a = [a, a] %}{% endif %}",
            ),
            ("{% set a = [1] %}", "{%- set a = [a] -%}"),
            ("{% set a = [[1]] %}", "{% set a = a | batch(900, a) %}"),
            ("{% set a = [[1]] %}", "{% set a = [a] * 900 %}"),
        ] {
            let text = format!("{start}{}{{{{ a }}}}", step.repeat(70));
            assert!(scan(&text).growth.is_excessive(), "{step}");
        }
        for text in [
            "{{ [[[1] * 900] * 900] * 900 }}",
            "{% for a in [[1]] recursive %}{{ loop([[a, a]]) }}{% endfor %}",
            "{% for a in [[1]] recursive %}{% set b = [a, a] %}{{ loop(b) }}{% endfor %}",
        ] {
            assert!(scan(text).growth.is_excessive(), "{text}");
        }
    }

    #[test]
    fn templates_that_people_write_are_not_excessive() {
        let fields: Vec<String> = (0..100)
            .map(|field| format!("'f{field}': payload.f{field}"))
            .collect();
        let fields = fields.join(", ");
        let lines = "{% set text = text ~ payload.line | replace('a', 'b') %}".repeat(300);
        for text in [
            format!("{{% set base = {{{fields}}} %}}{{{{ {{'a': base, 'b': [base, payload]}} | tojson }}}}"),
            format!("{{% set text = 'a' %}}{lines}{{{{ text }}}}"),
            "{{ {'a': 1, 'b': 2}[payload.x] * 100 }}".to_owned(),
            "{% set sum = [payload.a, payload.b] | sum %}{{ sum * 100 }}".to_owned(),
            "{% set ref = payload.ref[11:] %}".to_owned() + &"{% set ref = ref[1:] %}".repeat(70),
            "{% for item in payload.tree recursive %}{{ loop(item.children) }}{% endfor %}".to_owned(),
            "{% for key, value in payload.map | items %}{{ value * 2 ** 3 }}{% endfor %}".to_owned(),
        ] {
            assert!(!scan(&text).growth.is_excessive(), "{text}");
        }
    }
}
