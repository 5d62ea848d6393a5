//! The examples of RFC 9535, copied by hand. `match` and templates must give the same answers.
//!
//! The members of an object have no order in the RFC. Here they are sorted by name.

use std::path::Path;

use bytes::Bytes;
use minijinja::Value as Rendered;
use serde_json::{Value, json};

use super::selected::SelectedValue;
use super::selector::Selector;
use super::testing::{document, event};
use crate::base::diagnostic::Diagnostics;
use crate::base::json::JsonDocument;
use crate::base::json_plan::Plan;
use crate::base::jsonpath::JsonPath;
use crate::base::patterns::Patterns;
use crate::base::secret::Keyring;
use crate::template::{Scope, Templates, document_value};

/// The values that a path selects, or the code with which it is rejected.
type Ternary = Result<Vec<Value>, &'static str>;

/// The answer of `match`.
fn through_match(path: &str, payload: &JsonDocument) -> Ternary {
    let mut diagnostics = Diagnostics::new();
    let document = document("any: 1");
    let Some(selector) = Selector::compile(
        path,
        document.root(),
        None,
        false,
        &Patterns::default(),
        &mut diagnostics,
    ) else {
        return Err(diagnostics.iter().next().unwrap().code);
    };
    let mut event = event(Value::Null);
    event.payload.document = payload.clone();
    let selected = selector.select(&event, false, None);
    let value = |found: &SelectedValue<'_>| match found {
        SelectedValue::Json(value, _) => (*value).clone(),
        other => panic!("{path}: {other:?}"),
    };
    Ok(selected.values().iter().map(value).collect())
}

/// The answer of `jsonpath('…')`: undefined for no value, the value itself for one, a list for
/// several.
fn through_template(path: &str, payload: &JsonDocument) -> Result<Option<Value>, &'static str> {
    let literal = path.replace('\\', "\\\\").replace('\'', "\\'");
    let source = format!(
        "{{% set found = jsonpath('{literal}') %}}{{% if found is defined %}}{{{{ found | tojson }}}}{{% endif %}}"
    );
    let keyring = Keyring::new([], Path::new("/"));
    let template = Templates::new()
        .compile(&source, Scope::Action, &keyring)
        .map_err(|error| error.code)?;
    let values = Rendered::from_pairs([("payload", document_value(payload))]);
    let text = template
        .render(&values)
        .unwrap_or_else(|error| panic!("{path}: {error}"));
    Ok((!text.is_empty()).then(|| serde_json::from_str(&text).unwrap()))
}

/// The payload as it is read for rules that select it whole, that select `path`, and that select
/// nothing.
fn documents(payload: &Value, path: &str) -> [JsonDocument; 3] {
    let mut plan = Plan::default();
    if let Ok(path) = JsonPath::parse(path) {
        path.add_to(&mut plan);
    }
    let body = Bytes::from(payload.to_string());
    [Plan::everything(), plan, Plan::default()].map(|plan| JsonDocument::read(&body, &plan.into()).unwrap().0)
}

/// Asserts that both answers equal the expected one, however the payload is read.
fn check(section: &str, payload: &Value, path: &str, expected: &Ternary) {
    for document in documents(payload, path) {
        check_document(section, &document, path, expected);
    }
}

fn check_document(section: &str, payload: &JsonDocument, path: &str, expected: &Ternary) {
    assert_eq!(
        &through_match(path, payload),
        expected,
        "{section}: `{path}` in a match"
    );
    let rendered = match expected {
        Err(code) => Err(*code),
        Ok(values) if values.is_empty() => Ok(None),
        Ok(values) if values.len() == 1 => Ok(values.first().cloned()),
        Ok(values) => Ok(Some(Value::from(values.clone()))),
    };
    let template = through_template(path, payload);
    assert_eq!(template, rendered, "{section}: `{path}` in a template");
}

/// Asserts both answers for a table of paths, each with the list that it selects.
fn check_all(section: &str, payload: &Value, table: &[(&str, Value)]) {
    for (path, expected) in table {
        let expected = expected.as_array().unwrap().clone();
        check(section, payload, path, &Ok(expected));
    }
}

#[test]
fn the_overview_of_section_1_5() {
    let books = json!([
        {"category": "reference", "author": "Nigel Rees", "title": "Sayings of the Century", "price": 8.95},
        {"category": "fiction", "author": "Evelyn Waugh", "title": "Sword of Honour", "price": 12.99},
        {"category": "fiction", "author": "Herman Melville", "title": "Moby Dick",
         "isbn": "0-553-21311-3", "price": 8.99},
        {"category": "fiction", "author": "J. R. R. Tolkien", "title": "The Lord of the Rings",
         "isbn": "0-395-19395-8", "price": 22.99}
    ]);
    let bicycle = json!({"color": "red", "price": 399});
    let store = json!({"store": {"book": books, "bicycle": bicycle}});
    let authors = json!([
        "Nigel Rees",
        "Evelyn Waugh",
        "Herman Melville",
        "J. R. R. Tolkien"
    ]);
    let mut all = vec![
        store["store"].clone(),
        bicycle.clone(),
        books.clone(),
        json!("red"),
        json!(399),
    ];
    all.extend(books.as_array().unwrap().iter().cloned());
    for book in books.as_array().unwrap() {
        all.extend(book.as_object().unwrap().values().cloned());
    }
    check_all(
        "1.5",
        &store,
        &[
            ("$.store.book[*].author", authors.clone()),
            ("$..author", authors),
            ("$.store.*", json!([bicycle, books])),
            ("$.store..price", json!([399, 8.95, 12.99, 8.99, 22.99])),
            ("$..book[2]", json!([books[2]])),
            ("$..book[2].author", json!(["Herman Melville"])),
            ("$..book[2].publisher", json!([])),
            ("$..book[-1]", json!([books[3]])),
            ("$..book[0,1]", json!([books[0], books[1]])),
            ("$..book[:2]", json!([books[0], books[1]])),
            ("$..book[?@.isbn]", json!([books[2], books[3]])),
            ("$..book[?@.price<10]", json!([books[0], books[2]])),
            ("$..*", Value::from(all)),
        ],
    );
}

#[test]
fn the_root_and_the_selectors_of_sections_2_2_and_2_3() {
    check_all("2.2.3", &json!({"k": "v"}), &[("$", json!([{"k": "v"}]))]);
    check_all(
        "2.3.1.3",
        &json!({"o": {"j j": {"k.k": 3}}, "'": {"@": 2}}),
        &[
            ("$.o['j j']", json!([{"k.k": 3}])),
            ("$.o['j j']['k.k']", json!([3])),
            ("$.o[\"j j\"][\"k.k\"]", json!([3])),
            ("$[\"'\"][\"@\"]", json!([2])),
        ],
    );
    check_all(
        "2.3.2.3",
        &json!({"o": {"j": 1, "k": 2}, "a": [5, 3]}),
        &[
            ("$[*]", json!([[5, 3], {"j": 1, "k": 2}])),
            ("$.o[*]", json!([1, 2])),
            ("$.o[*, *]", json!([1, 2, 1, 2])),
            ("$.a[*]", json!([5, 3])),
        ],
    );
    check_all(
        "2.3.3.3",
        &json!(["a", "b"]),
        &[("$[1]", json!(["b"])), ("$[-2]", json!(["a"]))],
    );
    check_all(
        "2.3.4.3",
        &json!(["a", "b", "c", "d", "e", "f", "g"]),
        &[
            ("$[1:3]", json!(["b", "c"])),
            ("$[5:]", json!(["f", "g"])),
            ("$[1:5:2]", json!(["b", "d"])),
            ("$[5:1:-2]", json!(["f", "d"])),
            ("$[::-1]", json!(["g", "f", "e", "d", "c", "b", "a"])),
        ],
    );
}

#[test]
fn the_filters_of_section_2_3_5_3() {
    let a = json!([3, 5, 1, 2, 4, 6, {"b": "j"}, {"b": "k"}, {"b": {}}, {"b": "kilo"}]);
    let o = json!({"p": 1, "q": 2, "r": 3, "s": 5, "t": {"u": 6}});
    check_all(
        "2.3.5.3",
        &json!({"a": a, "o": o, "e": "f"}),
        &[
            ("$.a[?@.b == 'kilo']", json!([{"b": "kilo"}])),
            ("$.a[?(@.b == 'kilo')]", json!([{"b": "kilo"}])),
            ("$.a[?@>3.5]", json!([5, 4, 6])),
            (
                "$.a[?@.b]",
                json!([{"b": "j"}, {"b": "k"}, {"b": {}}, {"b": "kilo"}]),
            ),
            ("$[?@.*]", json!([a, o])),
            ("$[?@[?@.b]]", json!([a])),
            ("$.o[?@<3, ?@<3]", json!([1, 2, 1, 2])),
            ("$.a[?@<2 || @.b == \"k\"]", json!([1, {"b": "k"}])),
            ("$.a[?match(@.b, \"[jk]\")]", json!([{"b": "j"}, {"b": "k"}])),
            (
                "$.a[?search(@.b, \"[jk]\")]",
                json!([{"b": "j"}, {"b": "k"}, {"b": "kilo"}]),
            ),
            ("$.o[?@>1 && @<4]", json!([2, 3])),
            ("$.o[?@.u || @.x]", json!([{"u": 6}])),
            ("$.a[?@.b == $.x]", json!([3, 5, 1, 2, 4, 6])),
            ("$.a[?@ == @]", a),
        ],
    );
}

#[test]
fn the_comparisons_of_table_11() {
    let item = json!({"obj": {"x": "y"}, "arr": [2, 3]});
    for (comparison, holds) in [
        ("$.absent1 == $.absent2", true),
        ("$.absent1 <= $.absent2", true),
        ("$.absent == 'g'", false),
        ("$.absent1 != $.absent2", false),
        ("$.absent != 'g'", true),
        ("1 <= 2", true),
        ("1 > 2", false),
        ("13 == '13'", false),
        ("'a' <= 'b'", true),
        ("'a' > 'b'", false),
        ("$.obj == $.arr", false),
        ("$.obj != $.arr", true),
        ("$.obj == $.obj", true),
        ("$.obj != $.obj", false),
        ("$.arr == $.arr", true),
        ("$.arr != $.arr", false),
        ("$.obj == 17", false),
        ("$.obj != 17", true),
        ("$.obj <= $.arr", false),
        ("$.obj < $.arr", false),
        ("$.obj <= $.obj", true),
        ("$.arr <= $.arr", true),
        ("1 <= $.arr", false),
        ("1 >= $.arr", false),
        ("1 > $.arr", false),
        ("1 < $.arr", false),
        ("true <= true", true),
        ("true > true", false),
    ] {
        // Relative to the item: each item has its own answer.
        let path = format!("$[?{}]", comparison.replace('$', "@"));
        let expected = if holds { vec![item.clone()] } else { Vec::new() };
        check("table 11", &json!([item]), &path, &Ok(expected));
        // Relative to the root: the same for all items, and rejected if nothing else is compared.
        let expected = if comparison.matches('$').count() == 2 {
            Err("costly-jsonpath")
        } else if holds {
            Ok(vec![item["arr"].clone(), item["obj"].clone()])
        } else {
            Ok(Vec::new())
        };
        check("table 11", &item, &format!("$[?{comparison}]"), &expected);
    }
}

#[test]
fn the_functions_of_section_2_4() {
    let payload = json!([
        {"authors": [1, 2, 3, 4, 5], "timezone": "Europe/Vienna", "date": "1974-05-12", "author": "Bob"},
        {"b": [{"author": 1}, {"author": 2}, {"author": 3}, {"author": 4}, {"author": 5}], "timezone": "Asia/Tokyo"},
        {"c": {"color": "red"}, "date": "1974-06-12", "author": "Robert"},
        {"c": {"color": "red"}, "d": {"color": "red"}},
        [1]
    ]);
    check_all(
        "2.4",
        &payload,
        &[
            ("$[?length(@.authors) >= 5]", json!([payload[0]])),
            ("$[?count(@.*.author) >= 5]", json!([])),
            ("$[?count(@.*[*].author) >= 5]", json!([payload[1]])),
            ("$[?match(@.date, \"1974-05-..\")]", json!([payload[0]])),
            (
                "$[?search(@.author, \"[BR]ob\")]",
                json!([payload[0], payload[2]]),
            ),
            ("$[?value(@..color) == \"red\"]", json!([payload[2]])),
            ("$[?length(@) < 3]", json!([payload[1], payload[3], payload[4]])),
            ("$[?count(@.*) == 1]", json!([payload[4]])),
            ("$[?match(@.timezone, 'Europe/.*')]", json!([payload[0]])),
        ],
    );
}

#[test]
fn the_segments_of_section_2_5() {
    check_all(
        "2.5.1.3",
        &json!(["a", "b", "c", "d", "e", "f", "g"]),
        &[
            ("$[0, 3]", json!(["a", "d"])),
            ("$[0:2, 5]", json!(["a", "b", "f"])),
            ("$[0, 0]", json!(["a", "a"])),
        ],
    );
    let o = json!({"j": 1, "k": 2});
    let a = json!([5, 3, [{"j": 4}, {"k": 6}]]);
    let all = json!([a, o, 5, 3, a[2], {"j": 4}, {"k": 6}, 4, 6, 1, 2]);
    check_all(
        "2.5.2.3",
        &json!({"o": o, "a": a}),
        &[
            ("$..j", json!([4, 1])),
            ("$..[0]", json!([5, {"j": 4}])),
            ("$..[*]", all.clone()),
            ("$..*", all),
            ("$..o", json!([o])),
            ("$.o..[*, *]", json!([1, 2, 1, 2])),
            ("$.a..[0, 1]", json!([5, 3, {"j": 4}, {"k": 6}])),
        ],
    );
}

#[test]
fn null_and_normalized_paths_of_sections_2_6_and_2_7() {
    check_all(
        "2.6.1",
        &json!({"a": null, "b": [null], "c": [{}], "null": 1}),
        &[
            ("$.a", json!([null])),
            ("$.a[0]", json!([])),
            ("$.a.d", json!([])),
            ("$.b[0]", json!([null])),
            ("$.b[*]", json!([null])),
            ("$.b[?@]", json!([null])),
            ("$.b[?@==null]", json!([null])),
            ("$.c[?@.d==null]", json!([])),
            ("$.null", json!([1])),
        ],
    );
    check_all(
        "2.7.1",
        &json!({"a": {"b": [1, 2, 3]}, "\u{b}": 4, "\u{263a}": 5, "\u{1d11e}": 6}),
        &[
            ("$.a.b[1:2]", json!([2])),
            ("$['a']['b'][-3]", json!([1])),
            ("$[\"\\u000B\"]", json!([4])),
            ("$[\"\\u0061\"].b[0]", json!([1])),
            ("$['\\u263a']", json!([5])),
            ("$['\\u263A']", json!([5])),
            ("$.\u{263a}", json!([5])),
            ("$['\\uD834\\uDD1E']", json!([6])),
        ],
    );
}

#[test]
fn invalid_paths_are_refused_by_conditions_and_templates() {
    for path in [
        // Section 2.4.3, table 14: not well-typed, or an unknown function.
        "$[?length(@.*) < 3]",
        "$[?count(1) == 1]",
        "$[?count(foo(@.*)) == 1]",
        "$[?match(@.timezone, 'Europe/.*') == true]",
        "$[?value(@..color)]",
        "$[?bar(@.a)]",
        "$[?bnl(@.*)]",
        "$[?blt(1==1)]",
        "$[?blt(1)]",
        "$[?bal(1)]",
        // Values that are not conditions.
        "$[?length(@.a)]",
        "$[?count(@.*)]",
        "$[?1]",
        "$[?true]",
        "$[?'a']",
        // A comparison takes single values.
        "$[?@.* == 1]",
        "$[?@..a == 1]",
        "$[?@[0:1] == 1]",
        // Section 2.1: integers are exact in every implementation, and no space surrounds the path.
        "$[9007199254740992]",
        "$[01]",
        "$[-0]",
        "$[1.0]",
        "$ ",
        "$.a ",
        "$.a b",
        "$[1 2]",
        "$[- 1]",
        "$[?@ == 1 .5]",
        "$[?@ == 1. 5]",
        "$[?@ == 1 e5]",
        "$[?@ == 1e -5]",
        "$[?@ == - 1]",
        "$. a",
        "$.. a",
        "$.1a",
        "$['\\ud800']",
        "$['\\x41']",
        "$['a",
        // The grammar would drop the space at the end of the name.
        "$.a\u{a0}",
    ] {
        check("2", &json!({}), path, &Err("invalid-jsonpath"));
    }
    // In a match, text that does not begin with `$` is another selector.
    for path in ["", "a", " $", "@"] {
        let [payload, ..] = documents(&json!({}), path);
        assert_eq!(through_match(path, &payload), Err("unknown-selector"), "{path}");
        assert_eq!(
            through_template(path, &payload),
            Err("invalid-jsonpath"),
            "{path}"
        );
    }
}

#[test]
fn a_costly_path_is_refused_by_conditions_and_templates() {
    for path in [
        "$..a..b",
        "$..a[?@..b]",
        "$[?$.*]",
        "$[?$..a]",
        "$[?$.a == $.b]",
        "$[?length($.a) == 1]",
        "$[?match($.a, 'x')]",
        "$[?match(@.a, @.b)]",
        "$[?search(@.a, $.pattern)]",
        "$[0,0,0,0,0,0,0,0,0][0,0,0,0,0,0,0,0]",
    ] {
        check("cost", &json!({}), path, &Err("costly-jsonpath"));
    }
    let nested = format!("$[?{}@{} == 1]", "length(".repeat(20), ")".repeat(20));
    check("cost", &json!({}), &nested, &Err("invalid-jsonpath"));
    check("cost", &json!({}), "$[?match(@.a, '(')]", &Err("invalid-regex"));
}

#[test]
fn both_compare_exactly_and_keep_the_order_of_the_rfc() {
    check_all(
        "exact",
        &json!({
            "f": [3, [6], {"k": 6}],
            "o": {"k": 2, "j": 1},
            "big": [{"id": 1_234_567_890_123_456_789_u64}, {"id": 1_234_567_890_123_456_788_u64}],
            "same": {"id": 1_234_567_890_123_456_788_u64}
        }),
        &[
            ("$.f[?@[?@ == 6]]", json!([[6], {"k": 6}])),
            (
                "$.big[?@.id == $.same.id].id",
                json!([1_234_567_890_123_456_788_u64]),
            ),
            ("$..['j','k']", json!([6, 1, 2])),
            ("$ .f [ 0 , 1 : 2 ]", json!([3, [6]])),
            ("$.f[? @ == 3 && ! ( @ == -1 || @ .k ) ]", json!([3])),
            ("$\n.o\t['k']", json!([2])),
        ],
    );
}
