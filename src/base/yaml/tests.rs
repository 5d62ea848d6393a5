//! Tests of the reader: errors of form and of type, and its bounds.

use std::fmt::Write;

use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct NodeShape {
    name: String,
    count: Option<u8>,
    list: Option<Vec<u8>>,
}

fn parse(text: &str) -> (Option<Document>, Diagnostics) {
    let mut diagnostics = Diagnostics::new();
    let document = Document::parse(
        Source {
            path: "r.yaml".into(),
            text: text.into(),
        },
        &mut diagnostics,
    );
    (document, diagnostics)
}

fn lines(text: &str) -> Vec<String> {
    let (document, mut diagnostics) = parse(text);
    if let Some(document) = document {
        document.root().read::<NodeShape>(&mut diagnostics);
    }
    diagnostics.sorted().iter().map(Diagnostic::line).collect()
}

#[test]
fn every_error_is_found_at_its_position() {
    assert_eq!(
        lines("nmae: x\ncount: 300\nlist: [1, x, 2, y]\nother: 1\n"),
        [
            "r.yaml:1:1: unknown key `nmae` (did you mean `name`? known here: name, count, list)",
            "r.yaml:2:8: wrong value: `300`, expected a whole number from 0 to 255",
            "r.yaml:3:11: wrong type: text \"x\", expected a whole number from 0 to 255",
            "r.yaml:3:17: wrong type: text \"y\", expected a whole number from 0 to 255",
            "r.yaml:4:1: unknown key `other` (known here: name, count, list)",
        ]
    );
}

#[test]
fn a_missing_key_is_reported_once() {
    assert_eq!(lines("count: 1\n"), ["r.yaml:1:1: `name` is missing"]);
}

#[test]
fn duplicate_keys_tags_and_complex_keys_are_errors() {
    assert_eq!(lines("name: a\nname: b\n"), ["r.yaml:2:1: duplicate key `name`"]);
    assert_eq!(
        lines("name: !env X\n"),
        ["r.yaml:1:7: unknown tag `!env` (quote the value, or remove the tag)"]
    );
    assert_eq!(lines("name: {{ x }}\n").len(), 1);
    assert_eq!(lines("name: a: b\n").len(), 1);
}

#[test]
fn depth_size_and_aliases_are_bounded() {
    assert_eq!(lines(&"[".repeat(300_000)).len(), 1);
    assert!(lines(&format!("{}{}", "[".repeat(70), "]".repeat(70)))[0].contains("nested more than"));
    assert!(lines(&"# \n".repeat(MAX_TEXT))[0].contains("at most"));
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let below = format!("*a{},", level - 1).repeat(10);
        writeln!(bomb, "a{level}: &a{level} [{below}]").unwrap();
    }
    assert_eq!(lines(&bomb).len(), 1);
}

#[test]
fn an_alias_counts_as_the_bytes_and_values_that_it_stands_for() {
    let few = |aliased: &str, times: usize| {
        let list = vec!["*a"; times].join(", ");
        lines(&format!("name: x\nanchor: &a {aliased}\nlist: [{list}]\n"))
    };
    let text = format!("\"{}\"", "a".repeat(100_000));
    assert_eq!(
        few(&text, 20_000)[0].split(": ").nth(1),
        Some(
            "more than 33554432 bytes, with all aliases written out (use fewer aliases (`*name`), or fewer and larger lists)"
        )
    );
    let list = format!("[{}]", vec!["1"; 10_000].join(","));
    assert!(few(&list, 1_000)[0].contains("more than 1048576 values"));
    let keys: Vec<String> = (0..1_000)
        .map(|key| format!("{key}{}: 1", "k".repeat(1_000)))
        .collect();
    assert!(few(&format!("{{{}}}", keys.join(",")), 1_000)[0].contains("bytes"));
    // Merges of a scalar, of a list of lists, of a merge.
    assert!(lines(&format!("name: x\nlist: [{}]\n", vec!["1"; MAX_NODES].join(",")))[0].contains("values"));
    assert!(few("x", 20).iter().all(|line| !line.contains("more than")));
}

#[test]
fn directives_are_bounded() {
    for end in ["\n", "\r\n", "\r"] {
        let tags = |count: usize| {
            let mut tags = String::new();
            for tag in 0..count {
                write!(tags, "%TAG !a{tag}! x{end}").unwrap();
            }
            lines(&format!("{tags}---{end}name: x{end}"))
        };
        assert_eq!(tags(MAX_DIRECTIVES), [""; 0]);
        let found = tags(50_000);
        assert_eq!(found.len(), 1);
        assert!(
            found[0]
                .contains("more than 8 lines begin with `%` (such a line is a directive of YAML; remove it)")
        );
    }
}

#[test]
fn the_errors_of_one_node_are_bounded() {
    let text = format!("name: x\nlist: [{}]\n", "x, ".repeat(100_000));
    assert_eq!(lines(&text).len(), read::MAX_ERRORS + 1);
}

#[test]
fn errors_in_aliases_and_merges_have_positions() {
    let text = "base: &base {count: 300}\nnode: {<<: *base, name: x}\n";
    let (document, mut diagnostics) = parse(text);
    let document = document.unwrap();
    document
        .root()
        .get("node")
        .unwrap()
        .read::<NodeShape>(&mut diagnostics);
    let lines: Vec<String> = diagnostics.iter().map(Diagnostic::line).collect();
    assert_eq!(
        lines,
        ["r.yaml:1:21: wrong value: `300`, expected a whole number from 0 to 255"]
    );
}

#[test]
fn an_error_inside_an_alias_is_reported_where_it_is_written() {
    let texts = [
        ("list: &l\n  - x\n", "node: {name: x, list: *l}", "2:5"),
        (
            "one: &o {list: [x]}\ntwo: &t {<<: *o}\n",
            "node: {<<: *t, name: x}",
            "1:17",
        ),
        (
            "one: &o {count: 1}\ntwo: &t {count: 2, list: [x]}\n",
            "node: {<<: [*o, *t], name: x}",
            "2:27",
        ),
        // A whole alias is reported where it is used: there it may be of the wrong type.
        ("one: &o [1]\n", "node: {name: x, count: *o}", "2:17"),
        ("one: &o 300\n", "node: {name: x, count: *o}", "2:24"),
    ];
    for (anchors, node, place) in texts {
        let (document, mut diagnostics) = parse(&format!("{anchors}{node}\n"));
        let document = document.unwrap();
        document
            .root()
            .get("node")
            .unwrap()
            .read::<NodeShape>(&mut diagnostics);
        let lines: Vec<String> = diagnostics.iter().map(Diagnostic::line).collect();
        assert!(
            lines.len() == 1 && lines[0].starts_with(&format!("r.yaml:{place}: ")),
            "{lines:?}"
        );
    }
}

#[test]
fn own_keys_win_over_merged_ones_and_the_first_merge_over_the_next() {
    let text = "a: &a {count: 1, name: a}\nb: &b {name: b, list: [1]}\nc: &c {<<: *b, count: 3}\n\
        node: {<<: [*a, *c], name: own}\n";
    let (document, mut diagnostics) = parse(text);
    let document = document.unwrap();
    let node = document.root().get("node").unwrap();
    let keys: Vec<&str> = node.entries().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["name", "count", "list"]);
    let expected = NodeShape {
        name: "own".to_owned(),
        count: Some(1),
        list: Some(vec![1]),
    };
    assert_eq!(node.read::<NodeShape>(&mut diagnostics), Some(expected));
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
}

#[test]
fn aliases_of_aliases_are_bounded_in_depth_and_released_without_recursion() {
    let chain = |levels: usize| {
        let mut text = String::from("name: x\na0: &a0 [1]\n");
        for level in 1..levels {
            writeln!(text, "a{level}: &a{level} [*a{}]", level - 1).unwrap();
        }
        parse(&text).1
    };
    assert!(chain(MAX_DEPTH - 1).is_empty());
    for levels in [MAX_DEPTH + 1, 100_000] {
        let diagnostics = chain(levels);
        let lines: Vec<String> = diagnostics.iter().map(Diagnostic::line).collect();
        assert!(
            lines.len() == 1 && lines[0].contains("nested more than 64 levels deep"),
            "{lines:?}"
        );
    }
    // An alias inside its own value stands for nothing.
    assert!(parse("name: &n [*n]\n").1.has_errors());
}

#[test]
fn positions_after_multibyte_letters_are_right() {
    assert_eq!(
        lines("# é\nname: é\ncount: é\n"),
        ["r.yaml:3:8: wrong type: text \"é\", expected a whole number from 0 to 255"]
    );
}

#[test]
fn a_byte_order_mark_at_the_start_is_no_part_of_the_text() {
    assert_eq!(lines("\u{feff}name: x\ncount: 1\n"), [""; 0]);
    assert_eq!(
        lines("\u{feff}nam: x\n")[0].split(": ").next(),
        Some("r.yaml:1:1")
    );
}

#[test]
fn a_key_without_a_value_is_an_error_for_every_type() {
    assert_eq!(
        lines("name:\ncount: ~\nlist: null\nother:\n"),
        [
            "r.yaml:1:1: `name` has no value; remove the key or give it one",
            "r.yaml:2:1: `count` has no value; remove the key or give it one",
            "r.yaml:3:1: `list` has no value; remove the key or give it one",
            "r.yaml:4:1: unknown key `other` (known here: name, count, list)",
        ]
    );
}

#[test]
fn a_missing_key_is_reported_with_other_errors() {
    assert_eq!(
        lines("count: x\n"),
        [
            "r.yaml:1:1: `name` is missing",
            "r.yaml:1:8: wrong type: text \"x\", expected a whole number from 0 to 255",
        ]
    );
}

#[test]
fn a_tag_that_changes_a_value_is_an_error() {
    for tag in ["!!binary aGk=", "!!int '3'", "!!null x", "!!set {a, b}"] {
        let lines = lines(&format!("name: {tag}\n"));
        assert!(
            lines
                .iter()
                .any(|line| line.contains("changes what the value is")),
            "{lines:?}"
        );
    }
    assert_eq!(lines("name: !!str 3\nlist: !!seq [1]\n"), [""; 0]);
    assert!(lines("!!binary bmFtZQ==: x\n")[0].contains("changes what the value is"));
}

#[test]
fn every_invalid_merge_has_its_position_and_the_rest_is_read() {
    assert_eq!(
        lines("name: x\n<<: 3\ncount: x\n"),
        [
            "r.yaml:2:1: `<<` takes a mapping, or a list of mappings (write `<<: *name`, after `&name`)",
            "r.yaml:3:8: wrong type: text \"x\", expected a whole number from 0 to 255",
        ]
    );
    assert_eq!(lines("name: x\n<<: [{count: 1}, [2]]\n").len(), 1);
    assert_eq!(lines("name: x\n<<: [{count: 1}, {list: [1]}]\n"), [""; 0]);
}

#[test]
fn a_syntax_error_has_a_position_and_a_hint() {
    let selector = "between `{` and `}` a selector with `[` or `*` needs quotes: `{\"$.commits[*].id\": …}`";
    let cases = [
        (
            "list:\n\t- 1\n",
            "r.yaml:2:1: a tab where YAML wants spaces (write spaces in its place)",
        ),
        (
            "name: {a:\tb}\n",
            "r.yaml:1:10: a tab where YAML wants spaces (write spaces in its place)",
        ),
        (
            "name: x\n# \u{7}\n",
            "r.yaml:2:3: the character U+0007 may not stand in YAML (remove it; between double quotes it can be written as `\\u` and four hex digits)",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(lines(text), [expected]);
    }
    for text in [
        "name: {$.a[*].b: 1}\n",
        "name: {$.a[0]: 1}\n",
        "name: {x: 1,\n  $.a[*].b: 1}\n",
    ] {
        let lines = lines(text);
        assert!(lines[0].contains(selector), "{lines:?}");
    }
    assert!(lines("name: @x\n")[0].contains("needs quotes"));
}

#[test]
fn many_unknown_keys_are_found_in_one_reading() {
    let mut text = String::from("name: x\n");
    for key in 0..12_000 {
        writeln!(text, "nonsense{key}: 1").unwrap();
    }
    let (document, mut diagnostics) = parse(&text);
    assert!(
        document
            .unwrap()
            .root()
            .read::<NodeShape>(&mut diagnostics)
            .is_some()
    );
    assert_eq!(diagnostics.errors(), crate::base::diagnostic::MAX_DIAGNOSTICS + 1);
}
