//! Tests of reading in part: whatever is kept, the same texts are rejected and the same values are
//! found as by reading the whole text.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::base::jsonpath::JsonPath;

/// The plan of these paths.
fn plan(paths: &[&str]) -> Arc<Plan> {
    let mut plan = Plan::default();
    for path in paths {
        JsonPath::parse(path).unwrap().add_to(&mut plan);
    }
    Arc::new(plan)
}

/// The values that `path` selects, with all their digits.
fn selected(tree: &JsonTree, path: &JsonPath) -> Vec<String> {
    let exact = |value| serde_json::to_string(&tree.integers.exactly(value)).unwrap();
    let many = path.select(&*tree.value, &tree.integers).into_iter().map(exact);
    let many: Vec<String> = many.collect();
    if path.is_singular() {
        let one: Vec<String> = path.select_one(&*tree.value).into_iter().map(exact).collect();
        assert_eq!(one, many);
    }
    many
}

#[test]
fn what_is_planned_is_kept_and_nothing_else() {
    let paths = [
        "$.a.b",
        "$.a.c[1]",
        "$.é",
        "$.l[*].x",
        "$.e[-1]",
        "$.s[?@.x == $.t]",
    ];
    for (text, expected) in [
        (
            r#"{"a":{"b":"x","z":[1,2]},"z":{"a":1}}"#,
            json!({"a": {"b": "x"}}),
        ),
        (r#"{"a":{"c":[1,2,3,4]}}"#, json!({"a": {"c": [null, 2]}})),
        (r#"{"a":{"c":[1]}}"#, json!({"a": {"c": [null]}})),
        (
            r#"{"\u0061":{"b":1},"\u00e9":2.5}"#,
            json!({"a": {"b": 1}, "é": 2.5}),
        ),
        (r#"{"a":{"b":1},"a":{"b":2}}"#, json!({"a": {"b": 2}})),
        (r#"{"a":{"b":1},"a":7}"#, json!({"a": 7})),
        (
            r#"{"a":{"b":[[[1]]],"b":{"q":1}}}"#,
            json!({"a": {"b": {"q": 1}}}),
        ),
        (
            r#"{"l":[{"x":1,"y":2},{"x":3},4]}"#,
            json!({"l": [{"x": 1}, {"x": 3}, 4]}),
        ),
        (r#"{"l":{"k":{"x":1,"y":2}}}"#, json!({"l": {"k": {"x": 1}}})),
        (r#"{"e":[1,{"z":2}]}"#, json!({"e": [1, {"z": 2}]})),
        (r#"{"s":[{"x":1}],"t":1,"u":2}"#, json!({"s": [{"x": 1}], "t": 1})),
        (r#"[1,{"a":2}]"#, json!([])),
        ("true", json!(true)),
    ] {
        let read = read_planned(text.as_bytes(), &plan(&paths)).unwrap();
        assert_eq!(*read.tree.value, expected, "{text}");
    }
}

#[test]
fn a_value_is_planned_once_whatever_the_order_of_the_paths() {
    let whole = plan(&["$.a"]);
    for paths in [
        ["$.a.b", "$.a[*]"],
        ["$.a[*]", "$.a.b"],
        ["$.a[0]", "$.a[*].c"],
        ["$.a[*].c", "$.a[0]"],
        ["$.a", "$.a.b"],
        ["$.a.b", "$.a"],
        ["$.a.b.c", "$.a[?@.d]"],
        ["$.a..b", "$.a.c"],
        ["$.a['b','c']", "$.a[0:1]"],
    ] {
        assert_eq!(plan(&paths), whole, "{paths:?}");
    }
    assert!(plan(&["$.a", "$..b"]).is_whole());
    assert!(!plan(&["$[*].a", "$[*].b"]).is_whole());
}

#[test]
fn a_path_is_covered_if_what_it_reads_is_planned() {
    let covered: &[(&[&str], &[&str], &[&str])] = &[
        (
            &["$.a"],
            &[
                "$.a",
                "$.a.b",
                "$.a[*]",
                "$.a[-1]",
                "$.a..b",
                "$.a[?@.b == $.a]",
                "$.a['b','c'][0:1]",
            ],
            &[
                "$",
                "$.b",
                "$[*]",
                "$[*].a",
                "$[0]",
                "$['a','b']",
                "$..a",
                "$[?@.a]",
                "$.a[?@.b == $.c]",
            ],
        ),
        (
            &["$.a[0].b", "$.a[2]"],
            &["$.a[0].b", "$.a[0].b.c", "$.a[2]", "$.a[2].x"],
            &[
                "$.a", "$.a[0]", "$.a[1]", "$.a[3]", "$.a[-1]", "$.a[*].b", "$.a[0:1]", "$.a.b", "$.a[0].c",
            ],
        ),
        (
            &["$.a[*].b"],
            &["$.a[*].b", "$.a[7].b.c", "$.a.x.b"],
            &[
                "$.a",
                "$.a[*]",
                "$.a[*].c",
                "$.a[-1].b",
                "$.a[0:1].b",
                "$[*][*].b",
                "$.a..b",
            ],
        ),
        (&[], &[], &["$", "$.a", "$[*]"]),
        (&["$..a"], &["$", "$.b", "$[*]", "$..a"], &[]),
        (
            &["$.a[?@.b == $.c.d]"],
            &["$.a[?@.b == $.c.d]", "$.c.d"],
            &["$.c"],
        ),
    ];
    for (paths, within, outside) in covered {
        let plan = plan(paths);
        for (path, expected) in within
            .iter()
            .map(|path| (path, true))
            .chain(outside.iter().map(|path| (path, false)))
        {
            let is_covered = JsonPath::parse(path).unwrap().is_covered(&plan);
            assert_eq!(is_covered, expected, "{path} by {paths:?}");
        }
    }
}

#[test]
fn a_name_that_serde_json_uses_itself_is_a_name_like_others() {
    for text in [
        r#"{"$serde_json::private::RawValue":"[1]"}"#,
        r#"{"$serde_json::private::RawValue":5}"#,
        r#"{"$serde_json::private::Number":"1"}"#,
        r#"{"a":{"$serde_json::private::RawValue":"[[["}}"#,
    ] {
        let whole = read(text.as_bytes()).unwrap();
        assert_eq!(whole.tree.value.to_string(), text);
        assert!(read_planned(text.as_bytes(), &plan(&["$.a.b"])).is_ok());
    }
}

#[test]
fn the_rest_is_read_when_something_asks_for_it() {
    let body = Bytes::from_static(br#"{"a":{"b":1,"c":18446744073709551617},"z":[1,2]}"#);
    let path = |text| JsonPath::parse(text).unwrap();
    let (document, is_repaired) = JsonDocument::read(&body, &plan(&["$.a.b"])).unwrap();
    assert!(!is_repaired);
    assert_eq!(*document.parts().value, json!({"a": {"b": 1}}));
    assert_eq!(selected(document.tree_for(&path("$.a.b")), &path("$.a.b")), ["1"]);
    // Nothing asked yet.
    assert!(std::ptr::eq(document.tree_for(&path("$.a.b")), document.parts()));
    let other = path("$.a.c");
    assert_eq!(
        selected(document.tree_for(&other), &other),
        ["18446744073709551617"]
    );
    assert_eq!(document.whole().value["z"], json!([1, 2]));
    assert!(document.to_whole().plan().is_none());
    let (whole, _) = JsonDocument::read(&body, &Arc::new(Plan::everything())).unwrap();
    assert!(whole.plan().is_none());
}

#[test]
fn what_a_whole_tree_refuses_is_refused_where_nothing_of_it_is_kept() {
    let deep = |depth| format!("{{\"z\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let (deep, too_deep) = (deep(126), deep(127));
    for text in [
        &b"{\"z\":1e999}"[..],
        b"{\"z\":\"\\ud83d\",\"y\":1e999}",
        b"{\"z\":\"\\ud83\"}",
        b"{\"z\":\xff}",
        b"{\xef\xbb\xbf}",
        b"{\"z\":01}",
        b"{\"z\":1,}",
        b"{\"z\":[1,]}",
        b"{\"z\":\"\n\"}",
        b"{\"z\":nul}",
        b"{\"z\":1}x",
        b"{\"z\":1",
        b"\xef\xbb\xbf",
        b"",
        too_deep.as_bytes(),
    ] {
        let shown = text.escape_ascii();
        let error = read(text).expect_err(&shown.to_string());
        for paths in [&[][..], &["$.a"], &["$.z"], &["$.z[0]", "$.a.b"]] {
            let planned = read_planned(text, &plan(paths)).map(|json| json.tree.value);
            assert_eq!(planned, Err(error.clone()), "{paths:?} {}", text.escape_ascii());
        }
    }
    assert!(read_planned(deep.as_bytes(), &Plan::default()).is_ok());
}

#[test]
fn what_a_whole_reading_repairs_is_repaired() {
    for (text, expected, is_repaired) in [
        (&b"\xef\xbb\xbf\xef\xbb\xbf{\"a\":{\"b\":1}}"[..], json!(1), false),
        (
            b"{\"z\":\"\\ud83d\",\"a\":{\"b\":\"x\\ude00\"}}",
            json!("x\u{FFFD}"),
            true,
        ),
        (
            b"{\"\xff\":\"\xff\",\"a\":{\"b\":\"na\xefve\"}}",
            json!("na\u{FFFD}ve"),
            true,
        ),
        // Two names that become equal through repair: the last one counts.
        (b"{\"a\":{\"b\":1},\"\\ud83d\":2,\"\xff\":3}", json!(1), true),
    ] {
        for plan in [plan(&["$.a.b"]), Arc::new(Plan::everything())] {
            let read = read_planned(text, &plan).unwrap();
            assert_eq!(read.tree.value.pointer("/a/b"), Some(&expected));
            assert_eq!(read.is_repaired, is_repaired);
        }
    }
}

/// Text that is JSON, or nearly so.
pub(crate) fn json_like() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        40 => prop_oneof![Just("1"), Just("2.5"), Just("-0"), Just("true"), Just("null"), Just("1e5")],
        10 => Just("18446744073709551617"),
        20 => prop_oneof![Just("\"x\""), Just("\"\\u0061\""), Just("\"\\ud83d\\ude00\""), Just("\"é\"")],
        // Few, because one of them spoils the whole text.
        1 => prop_oneof![Just("\"\\ud83d\""), Just("1e400"), Just("nul"), Just("01"), Just("\"\\x\""), Just("")],
    ]
    .prop_map(str::to_owned);
    let value = leaf.prop_recursive(3, 48, 5, |inner| {
        let name = prop_oneof![
            20 => "(a|b|c)".prop_map(|name| name),
            1 => prop_oneof![Just("\\u0061"), Just("\\ud83d"), Just("é"), Just("$serde_json::private::RawValue")]
                .prop_map(str::to_owned),
        ];
        let member = (name, inner.clone()).prop_map(|(name, value)| format!("\"{name}\":{value}"));
        prop_oneof![
            1 => prop::collection::vec(inner, 0..5).prop_map(|items| format!("[{}]", items.join(","))),
            2 => prop::collection::vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(", "))),
        ]
    });
    let root = prop_oneof![
        1 => value.clone(),
        3 => [value.clone(), value.clone(), value].prop_map(|[a, b, c]| format!("{{\"a\":{a},\"b\":{b},\"c\":{c}}}")),
    ];
    let before = prop_oneof![20 => Just(""), 1 => Just("\u{FEFF}"), 1 => Just(" \n")];
    let behind = prop_oneof![20 => Just(""), 1 => Just(" "), 1 => Just("x"), 1 => Just("]")];
    (before, root, behind).prop_map(|(before, root, behind)| format!("{before}{root}{behind}"))
}

/// A path of names that [`json_like`] uses, with any kind of selector.
pub(crate) fn path() -> impl Strategy<Value = String> {
    let step = prop_oneof![
        8 => "\\.(a|b|c)".prop_map(|step| step),
        3 => "\\[(0|1|2)\\]".prop_map(|step| step),
        2 => Just("[*]".to_owned()),
        1 => prop_oneof![
            Just("[-1]"),
            Just("[0:2]"),
            Just("['a','b']"),
            Just("[?@.a]"),
            Just("[?@ == $.a]"),
            Just("[?@.b >= $.c]"),
            Just("[?count(@.*) > 1]"),
            Just("..a"),
        ]
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(step, 0..4)
        .prop_map(|steps| format!("${}", steps.concat()))
        .prop_filter("too costly", |path| JsonPath::parse(path).is_ok())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn a_part_and_the_whole_refuse_and_find_the_same(
        text in json_like(),
        planned in prop::collection::vec(path(), 0..5),
        others in prop::collection::vec(path(), 0..3),
        broken in prop::option::weighted(0.1, (any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let mut bytes = text.into_bytes();
        if let Some((at, byte)) = broken && !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let body = Bytes::from(bytes);
        let paths: Vec<JsonPath> = planned.iter().chain(&others).map(|path| JsonPath::parse(path).unwrap()).collect();
        let planned: Vec<&str> = planned.iter().map(String::as_str).collect();
        let plan = plan(&planned);
        for path in paths.iter().take(planned.len()) {
            prop_assert!(path.is_covered(&plan));
        }
        match (read(&body), JsonDocument::read(&body, &plan)) {
            (Err(whole), Err(part)) => prop_assert_eq!(whole, part),
            (Ok(whole), Ok((part, is_repaired))) => {
                prop_assert_eq!(whole.is_repaired, is_repaired);
                for path in &paths {
                    prop_assert_eq!(selected(&whole.tree, path), selected(part.tree_for(path), path));
                }
                prop_assert_eq!(&whole.tree.value, &part.whole().value);
            }
            (whole, part) => prop_assert!(false, "whole {:?}, part {:?}", whole.is_ok(), part.is_ok()),
        }
    }

    #[test]
    fn the_reader_is_as_strict_as_serde_json(text in json_like()) {
        let bare = text.trim_start_matches('\u{FEFF}');
        let theirs = serde_json::from_str::<Value>(bare);
        // `serde_json` gives this name a meaning.
        prop_assume!(!text.contains("$serde_json"));
        match (read_text(&text), theirs) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(&*ours.tree.value, &theirs),
            (Ok(ours), Err(_)) => prop_assert!(ours.is_repaired),
            (Err(ours), Err(theirs)) if !text.contains("ud83d") => prop_assert_eq!(ours, JsonError::from(theirs)),
            (Err(_), Err(_)) => {}
            (Err(ours), Ok(_)) => prop_assert!(false, "{}", ours),
        }
    }
}
