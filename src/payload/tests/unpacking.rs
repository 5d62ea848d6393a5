//! Unpacking of values inside a field.

use data_encoding::BASE64;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::base::json_plan::Plan;
use crate::base::jsonpath::JsonPath;

fn unpack(fields: &[(&str, &[Packing])]) -> Unpack {
    let field = |(path, packings): &(&str, &[Packing])| PackedField {
        written: (*path).to_owned(),
        path: Arc::new(JsonPath::parse(path).unwrap()),
        packings: packings.to_vec(),
    };
    Unpack::new(fields.iter().map(field).collect())
}

fn unpacked(body: &str, unpack: &Unpack, plan: &Arc<Plan>) -> Result<Payload, Undecodable> {
    let body = Bytes::from(body.to_owned());
    let source = Decode::Json;
    decode_unpacked(source, Some(unpack), &HeaderMap::new(), &body, 1 << 20, plan)
}

fn value(body: &str, fields: &[(&str, &[Packing])]) -> Value {
    let payload = unpacked(body, &unpack(fields), &Arc::new(Plan::everything())).unwrap();
    (*payload.whole().value).clone()
}

const BASE64_JSON: &[Packing] = &[Packing::Base64, Packing::Json];

#[test]
fn a_packed_value_stands_in_place_of_its_text() {
    let data = BASE64.encode(br#"{"order": 1, "items": ["a"]}"#);
    let body = json!({"message": {"data": data, "id": "7"}}).to_string();
    assert_eq!(
        value(&body, &[("$.message.data", BASE64_JSON)]),
        json!({"message": {"data": {"order": 1, "items": ["a"]}, "id": "7"}})
    );
    assert_eq!(
        value(
            r#"{"a": [{"x": "[1]"}, {"x": "true"}, {"y": "2"}]}"#,
            &[("$.a[*].x", &[Packing::Json])]
        ),
        json!({"a": [{"x": [1]}, {"x": true}, {"y": "2"}]})
    );
    assert_eq!(
        value(r#""{\"a\": 1}""#, &[("$", &[Packing::Json])]),
        json!({"a": 1})
    );
    assert_eq!(
        value(r#"{"a": "YmI="}"#, &[("$.a", &[Packing::Base64])]),
        json!({"a": "bb"})
    );
}

#[test]
fn a_field_of_a_form_that_is_unpacked_by_name_stays_a_field() {
    let mut headers = HeaderMap::new();
    let form = "application/x-www-form-urlencoded".parse().unwrap();
    headers.insert(CONTENT_TYPE, form);
    let body = Bytes::from_static(b"payload=%7B%22a%22%3A1%7D");
    let plan = Arc::new(Plan::everything());
    for (path, expected) in [
        ("$.payload", json!({"payload": {"a": 1}})),
        ("$.other", json!({"a": 1})),
    ] {
        let unpack = unpack(&[(path, &[Packing::Json])]);
        let payload = decode_unpacked(Decode::Auto, Some(&unpack), &headers, &body, 1 << 20, &plan).unwrap();
        assert_eq!(*payload.whole().value, expected, "{path}");
    }
}

#[test]
fn a_path_may_lead_into_what_was_unpacked_before() {
    let body = r#"{"outer": "{\"inner\": \"{\\\"n\\\": 1}\"}"}"#;
    let fields: &[(&str, &[Packing])] = &[("$.outer", &[Packing::Json]), ("$.outer.inner", &[Packing::Json])];
    assert_eq!(value(body, fields), json!({"outer": {"inner": {"n": 1}}}));
}

#[test]
fn what_is_missing_or_no_text_stays_as_it_is() {
    for body in [r#"{"b": 1}"#, r#"{"a": {"b": 1}}"#, r#"{"a": null}"#, "[]", "7"] {
        let expected: Value = serde_json::from_str(body).unwrap();
        assert_eq!(value(body, &[("$.a", BASE64_JSON)]), expected, "{body}");
    }
}

#[test]
fn a_text_that_stands_for_nothing_makes_the_body_unreadable_with_the_reason() {
    for (body, packings, reason) in [
        (r#"{"a": "no!"}"#, &[Packing::Base64][..], "`$.a`: not Base64"),
        (
            r#"{"a": "//8="}"#,
            &[Packing::Base64],
            "`$.a`: the Base64 of bytes that are no text",
        ),
        (r#"{"a": "{"}"#, &[Packing::Json], "`$.a`: not valid JSON"),
    ] {
        let error = unpacked(body, &unpack(&[("$.a", packings)]), &Arc::new(Plan::everything()));
        let error = error.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    let deep = format!("{{\"a\": {:?}}}", "[".repeat(126) + &"]".repeat(126));
    let error = unpacked(
        &deep,
        &unpack(&[("$.a", &[Packing::Json])]),
        &Arc::new(Plan::everything()),
    );
    assert!(error.is_ok());
    let deep = format!("{{\"b\": {{\"a\": {:?}}}}}", "[".repeat(126) + &"]".repeat(126));
    let error = unpacked(
        &deep,
        &unpack(&[("$.b.a", &[Packing::Json])]),
        &Arc::new(Plan::everything()),
    );
    assert!(error.is_err());
}

#[test]
fn what_unpacking_takes_is_bounded_by_the_size_of_the_body() {
    let dense = format!("[{}0]", r#"{"":0},"#.repeat(20_000));
    let body = json!({ "a": BASE64.encode(dense.as_bytes()) }).to_string();
    let error = unpacked(
        &body,
        &unpack(&[("$.a", BASE64_JSON)]),
        &Arc::new(Plan::everything()),
    );
    assert!(error.unwrap_err().to_string().contains("too much memory"));
    let plain =
        serde_json::to_string(&vec![json!({"id": 12345, "name": "an item of a list"}); 2000]).unwrap();
    let body = json!({ "a": BASE64.encode(plain.as_bytes()) }).to_string();
    assert!(
        unpacked(
            &body,
            &unpack(&[("$.a", BASE64_JSON)]),
            &Arc::new(Plan::everything())
        )
        .is_ok()
    );
}

#[test]
fn large_integers_keep_their_digits_inside_and_beside() {
    let body = r#"{"beside": 123456789012345678901, "a": "{\"n\": 109876543210987654321}"}"#;
    let payload = unpacked(
        body,
        &unpack(&[("$.a", &[Packing::Json])]),
        &Arc::new(Plan::everything()),
    )
    .unwrap();
    let tree = payload.whole();
    let text = serde_json::to_string(&tree.integers.exactly(&tree.value)).unwrap();
    assert_eq!(
        text,
        r#"{"a":{"n":109876543210987654321},"beside":123456789012345678901}"#
    );
}

proptest! {
    #[test]
    fn with_any_plan_a_path_selects_what_it_selects_in_the_whole(inner in r#"\{"(x|y)": ("[a-c]{0,3}"|[1-9][0-9]{0,2})\}"#, path in r"\$(\.a)?(\.(x|y))?|\$\.b") {
        let body = json!({"a": inner, "b": [1, 2]}).to_string();
        let fields = unpack(&[("$.a", &[Packing::Json])]);
        let path = JsonPath::parse(&path).unwrap();
        let mut plan = Plan::default();
        path.add_to(&mut plan);
        let whole = unpacked(&body, &fields, &Arc::new(Plan::everything())).unwrap();
        let planned = unpacked(&body, &fields, &Arc::new(plan)).unwrap();
        let of = |payload: &Payload| {
            let tree = payload.document.tree_for(&path);
            path.select(&*tree.value, &tree.integers).into_iter().cloned().collect::<Vec<Value>>()
        };
        prop_assert_eq!(of(&whole), of(&planned));
        prop_assert_eq!(&whole.whole().value, &planned.whole().value);
    }
}
