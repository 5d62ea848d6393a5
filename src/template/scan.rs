//! The scan of a template's text for the names it uses, without rendering.
//!
//! minijinja reports an unknown filter only when a render reaches it, so a branch that is not
//! rendered at load would hide one. The scan therefore reads the text as tokens. It collects
//! filters, tests, methods, and the arguments of `secret(…)` and `jsonpath(…)`. Those must be
//! literal, so that they can be resolved at load. Anything that the scan misses is an error at
//! render.

use crate::template::growth::{Extent, Growth};
use crate::template::place::{Step, leading_steps};
use crate::template::tags::{Section, TagToken, sections};

/// The names that a template uses.
#[derive(Debug, Default, PartialEq)]
pub struct Scan {
    /// The arguments of `secret('…')`.
    pub secrets: Vec<String>,
    /// The arguments of `jsonpath('…')`.
    pub paths: Vec<String>,
    /// The names after `|`.
    pub filters: Vec<String>,
    /// The names after `is`.
    pub tests: Vec<String>,
    /// The names of called methods: `x.name()`.
    pub methods: Vec<String>,
    /// Functions whose argument must be literal text, but is not.
    pub not_literal: Vec<String>,
    /// Number of words, texts and signs in the longest tag.
    pub longest: usize,
    /// Number of `{% elif %}` tags.
    pub elifs: usize,
    /// The parts of a request that the template reads.
    pub parts: Vec<PartRead>,
    /// The values of the payload that the template reads, as far as their paths are written out. A
    /// path may be of a variable that has this name.
    pub payload: Vec<Vec<Step>>,
    /// True if the template has a `{% filter … %}` block.
    pub has_filter_block: bool,
    /// The names that the template sets, by `set`, `for` or `with`.
    pub sets: Vec<String>,
    /// The patterns of `regex_replace`.
    pub regexes: Vec<String>,
    /// The formats of `datetimeformat` that are written out.
    pub formats: Vec<String>,
    /// The steps after each `actions`, as far as they are written out. It may be a variable.
    pub actions: Vec<Vec<Step>>,
    /// The largest value that the template builds from its own lists and mappings.
    pub growth: Extent,
}

/// A use of a part of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartRead {
    /// `headers`, `query`, `path`, `method` or `event`.
    pub part: &'static str,
    /// `None` if the name is known only when the template is rendered.
    pub name: Option<String>,
}

impl PartRead {
    /// True if this is `part.name`, or a use of `part` by a name that is not known yet.
    pub fn may_be(&self, part: &str, name: &str) -> bool {
        self.part == part && self.name.as_deref().is_none_or(|own| own == name)
    }
}

/// The parts of a request, and the event that it is. Names are looked up in all but the method.
const PARTS: [&str; 5] = ["headers", "query", "path", "method", "event"];

/// The functions that are resolved at load.
const RESOLVED_AT_LOAD: [&str; 2] = ["secret", "jsonpath"];

/// True if `text` contains a template.
pub fn is_template(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|opening| text.contains(opening))
}

/// Scans the text of a template.
pub fn scan(text: &str) -> Scan {
    let mut found = Scan::default();
    let mut growth = Growth::default();
    for section in sections(text) {
        let Section::Tag { tokens, block } = section else {
            continue;
        };
        let brace = |token: &&TagToken| matches!(token, TagToken::Sign('{' | '}'));
        let braces = tokens.iter().filter(brace).count();
        found.longest = found.longest.max(tokens.len() - braces);
        growth.add(&tokens, block);
        found.elifs += usize::from(block && tokens.first() == Some(&TagToken::Word("elif".into())));
        note(&tokens, block, &mut found);
    }
    found.growth = growth.largest;
    found
}

/// Adds the names in the tokens of one tag to `found`.
fn note(tokens: &[TagToken], block: bool, found: &mut Scan) {
    let word = |at: usize| match tokens.get(at) {
        Some(TagToken::Word(word)) => Some(word.as_str()),
        _ => None,
    };
    let sign = |at: Option<usize>, sign: char| {
        at.and_then(|at| tokens.get(at))
            .is_some_and(|token| *token == TagToken::Sign(sign))
    };
    if block {
        note_block(tokens, found);
    }
    for (at, token) in tokens.iter().enumerate() {
        let attribute = sign(at.checked_sub(1), '.');
        match token {
            TagToken::Sign('|') => {
                if let Some(filter) = word(at + 1) {
                    found.filters.push(filter.to_owned());
                    note_filter(filter, tokens.get(at + 2..).unwrap_or_default(), found);
                }
            }
            TagToken::Word(name) if attribute && sign(Some(at + 1), '(') => {
                let of_loop = at.checked_sub(2).and_then(word) == Some("loop");
                if !of_loop {
                    found.methods.push(name.clone());
                }
            }
            TagToken::Word(name) if name == "is" && !attribute => {
                let negated = usize::from(word(at + 1) == Some("not"));
                found.tests.extend(word(at + 1 + negated).map(str::to_owned));
            }
            TagToken::Word(name) if let Some(part) = part_of(name).filter(|_| !attribute) => {
                let name = member(tokens.get(at + 1..).unwrap_or_default());
                found.parts.push(PartRead { part, name });
            }
            TagToken::Word(name) if ["payload", "actions"].contains(&name.as_str()) && !attribute => {
                let list = if name == "payload" {
                    &mut found.payload
                } else {
                    &mut found.actions
                };
                list.push(leading_steps(tokens.get(at + 1..).unwrap_or_default()).0);
            }
            TagToken::Word(name) if RESOLVED_AT_LOAD.contains(&name.as_str()) && !attribute => {
                match tokens.get(at + 2) {
                    Some(TagToken::Text(argument)) if sign(Some(at + 1), '(') && sign(Some(at + 3), ')') => {
                        let list = if name == "secret" {
                            &mut found.secrets
                        } else {
                            &mut found.paths
                        };
                        list.push(argument.clone());
                    }
                    _ => found.not_literal.push(name.clone()),
                }
            }
            _ => {}
        }
    }
}

/// The part of a request with this name.
fn part_of(name: &str) -> Option<&'static str> {
    PARTS.into_iter().find(|part| *part == name)
}

/// The name that is looked up behind a value: `.name` or `['name']`. `None` if it is not written out.
fn member(rest: &[TagToken]) -> Option<String> {
    match rest {
        [TagToken::Sign('.'), TagToken::Word(name), ..]
        | [TagToken::Sign('['), TagToken::Text(name), TagToken::Sign(']'), ..] => Some(name.clone()),
        _ => None,
    }
}

/// Adds what a block says beside its expressions: a `filter` block, and the names that it sets.
fn note_block(tokens: &[TagToken], found: &mut Scan) {
    let Some(TagToken::Word(keyword)) = tokens.first() else {
        return;
    };
    let until = |end: TagToken| tokens.iter().take_while(move |token| **token != end);
    match keyword.as_str() {
        "filter" => found.has_filter_block = true,
        "set" => {
            let targets = until(TagToken::Sign('=')).take_while(|token| **token != TagToken::Sign('|'));
            found.sets.extend(targets.skip(1).filter_map(name_of));
        }
        "for" => {
            let targets = until(TagToken::Word("in".into())).skip(1);
            found.sets.extend(targets.filter_map(name_of));
        }
        "with" => {
            // Targets end before `=`. Those in parentheses are several.
            for (at, _) in tokens
                .iter()
                .enumerate()
                .filter(|(_, token)| **token == TagToken::Sign('='))
            {
                let before = tokens.get(..at).unwrap_or_default().iter().rev();
                let is_list = tokens.get(at.wrapping_sub(1)) == Some(&TagToken::Sign(')'));
                let targets = before.take_while(|token| **token != TagToken::Sign('('));
                let targets = targets.take(if is_list { usize::MAX } else { 1 });
                found.sets.extend(targets.filter_map(name_of));
            }
        }
        _ => {}
    }
}

fn name_of(token: &TagToken) -> Option<String> {
    match token {
        TagToken::Word(name) => Some(name.clone()),
        _ => None,
    }
}

/// Adds the arguments of a filter that are checked at load. `rest` begins after its name.
fn note_filter(filter: &str, rest: &[TagToken], found: &mut Scan) {
    match (filter, rest) {
        (
            "regex_replace",
            [
                TagToken::Sign('('),
                TagToken::Text(pattern),
                TagToken::Sign(','),
                ..,
            ],
        ) => {
            found.regexes.push(pattern.clone());
        }
        // `map('regex_replace', 'a', 'b')` calls the filter with the arguments that follow.
        ("map", [TagToken::Sign('('), TagToken::Text(inner), rest @ ..]) => {
            found.filters.push(inner.clone());
            let mut arguments = rest.to_vec();
            if let Some(first @ TagToken::Sign(',')) = arguments.first_mut() {
                *first = TagToken::Sign('(');
            }
            note_filter(inner, &arguments, found);
        }
        ("select" | "reject", [TagToken::Sign('('), TagToken::Text(test), ..])
        | (
            "selectattr" | "rejectattr",
            [
                TagToken::Sign('('),
                TagToken::Text(_),
                TagToken::Sign(','),
                TagToken::Text(test),
                ..,
            ],
        ) => found.tests.push(test.clone()),
        // A computed name could be that of a filter whose arguments are compiled.
        ("map", [TagToken::Sign('('), TagToken::Word(name), TagToken::Sign('='), ..])
            if name == "attribute" => {}
        ("regex_replace", _) | ("map", [TagToken::Sign('('), ..]) => {
            found.not_literal.push(filter.to_owned());
        }
        ("datetimeformat", [TagToken::Sign('('), TagToken::Text(format), ..]) => {
            found.formats.push(format.clone());
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_every_branch() {
        let found = scan(
            "{%- if payload.x is not odd %}{{ payload.y | nope | upper }}{% filter trim %}{% endfilter %}{% endif %}\
             {{ {'a': {'b': 1}} | tojson }} {{ x.items() }} {{ loop.cycle('a') }}",
        );
        assert_eq!(found.filters, ["nope", "upper", "tojson"]);
        assert!(found.has_filter_block);
        assert_eq!(found.tests, ["odd"]);
        assert_eq!(found.methods, ["items"]);
    }

    #[test]
    fn literal_arguments_are_found_and_others_named() {
        let found = scan(
            r#"{{ secret('A') ~ secret("B") }} {{ jsonpath('$.a[\'b\']') }} {{ secret(payload.x) }} {{ jsonpath }}"#,
        );
        assert_eq!(found.secrets, ["A", "B"]);
        assert_eq!(found.paths, ["$.a['b']"]);
        assert_eq!(found.not_literal, ["secret", "jsonpath"]);
    }

    #[test]
    fn names_that_a_template_sets_are_found() {
        for (text, names) in [
            ("{% set a = payload.x %}", &["a"][..]),
            ("{%- set a, b = payload.x -%}", &["a", "b"]),
            ("{% set a | upper %}x{% endset %}", &["a"]),
            ("{% for a in payload.x %}", &["a"]),
            ("{% for a, b in payload.x if a %}", &["a", "b"]),
            ("{% with a = payload.x, b = 1 %}", &["a", "b"]),
            ("{% with (a, b) = payload.x %}", &["b", "a"]),
            ("{{ a == b }}{% if a == b %}", &[]),
        ] {
            assert_eq!(scan(text).sets, names, "{text}");
        }
    }

    #[test]
    fn patterns_and_formats_are_found() {
        let found = scan(
            "{{ a | regex_replace('x', b) | datetimeformat('%Y', tz='Z') }}{{ a | regex_replace(b, 'c') | datetimeformat(b) }}",
        );
        assert_eq!(found.regexes, ["x"]);
        assert_eq!(found.formats, ["%Y"]);
        assert_eq!(found.not_literal, ["regex_replace"]);
    }

    #[test]
    fn an_escape_in_a_literal_means_what_it_means_at_render() {
        let found = scan(
            r#"{{ jsonpath('$["\u263a"]') ~ jsonpath("$['\x41\101\u263a']") ~ jsonpath('$[\'\\u263a\']') }}"#,
        );
        assert_eq!(
            found.paths,
            ["$[\"\u{263a}\"]", "$['AA\u{263a}']", r"$['\u263a']"]
        );
    }

    #[test]
    fn parts_of_a_request_are_found_with_what_is_read_of_them() {
        let found = scan(
            "{{ headers.x_a }}{{ headers['X-B'] ~ query.c }}{% if path.d %}{% endif %}{{ headers[payload.e] }}\
             {% for name in query %}{% endfor %}{{ payload.headers.f }} headers.g",
        );
        let found: Vec<_> = found
            .parts
            .iter()
            .map(|read| (read.part, read.name.as_deref()))
            .collect();
        let expected = [
            ("headers", Some("x_a")),
            ("headers", Some("X-B")),
            ("query", Some("c")),
            ("path", Some("d")),
            ("headers", None),
            ("query", None),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn values_of_the_payload_are_found_as_far_as_their_path_is_written_out() {
        for (text, expected) in [
            ("{{ payload.a['b c'][0].d | upper }}", &["a.b c.0.d"][..]),
            ("{{ payload[\"a\"].b[payload.c].d }}", &["a.b", "c"]),
            ("{% for x in payload.a %}{{ x.b }}{% endfor %}", &["a"]),
            ("{% if payload.a is defined and 'b' in payload %}", &["a", ""]),
            ("{{ payload.a[1:2] }}{{ payload.b[-1].c }}", &["a", "b"]),
            ("{{ payload | tojson }}", &[""]),
            ("{{ x.payload.a }} payload.b {# payload.c #}", &[]),
        ] {
            let found = scan(text).payload.into_iter().map(|steps| {
                let steps = steps.into_iter().map(|step| match step {
                    Step::Name(name) => name,
                    Step::Index(index) => index.to_string(),
                });
                steps.collect::<Vec<_>>().join(".")
            });
            assert_eq!(found.collect::<Vec<_>>(), expected, "{text}");
        }
    }

    #[test]
    fn comments_raw_blocks_texts_and_attributes_hold_no_names() {
        for text in [
            "{# {{ secret(x) }} #}",
            "{% raw %}{{ secret(x) | nope }}{% endraw %}",
            "{{ '}} | nope secret(x)' }}",
            "{{ payload.secret }}",
            "secret(x) | nope",
            "{ secret(x) }",
        ] {
            let named = Scan {
                longest: 0,
                payload: Vec::new(),
                ..scan(text)
            };
            assert_eq!(named, Scan::default(), "{text}");
        }
    }

    #[test]
    fn torn_templates_are_read_to_their_end() {
        for text in [
            "{{",
            "{%",
            "{#",
            "{{ '",
            "{{ 'a\\",
            "{% raw",
            "{% raw %}",
            "{",
            "{{ {",
            "{{ é|é",
            "{é",
        ] {
            let found = scan(text);
            assert!(found.not_literal.is_empty(), "{text}");
        }
    }
}
