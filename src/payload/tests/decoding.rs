//! The choice of the format, and the results: JSON, forms, text, charsets, content codings.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::CONTENT_ENCODING;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::payload::undecodable::MAX_FIELDS;

#[test]
fn a_body_is_decoded_by_its_content_type() {
    let object = Ok((BodyKind::Json, json!({"a": 1})));
    let cases: &[(&str, &[u8], Read)] = &[
        ("application/json", br#"{"a":1}"#, object.clone()),
        (
            "Application/JSON; Charset=\"UTF-8\"",
            br#"{"a":1}"#,
            object.clone(),
        ),
        ("application/json;charset=us-ascii", br#"{"a":1}"#, object.clone()),
        ("application/cloudevents+json", br#"{"a":1}"#, object.clone()),
        ("application/json", b"\xEF\xBB\xBF{\"a\":1}", object.clone()),
        ("application/json", b"7", Ok((BodyKind::Json, json!(7)))),
        ("application/json", br#"{"a":0,"a":1}"#, object.clone()),
        (
            FORM,
            b"a=1&b=x+y&a=%C3%A9",
            Ok((BodyKind::Form, json!({"a": ["1", "é"], "b": "x y"}))),
        ),
        (FORM, b"", Ok((BodyKind::Form, json!({})))),
        (
            FORM,
            b"payload=%7B%22a%22%3A1%7D",
            Ok((BodyKind::InnerJson, json!({"a": 1}))),
        ),
        (
            FORM,
            b"payload=%7B%22a",
            Ok((BodyKind::Form, json!({"payload": "{\"a"}))),
        ),
        (
            FORM,
            b"payload=%7B%22a%22%3A1%7D&b=1",
            Ok((BodyKind::Form, json!({"payload": "{\"a\":1}", "b": "1"}))),
        ),
        (FORM, b"{oops", Ok((BodyKind::Form, json!({"{oops": ""})))),
        (
            "text/plain",
            br#"{"a":1}"#,
            Ok((BodyKind::Text, json!("{\"a\":1}"))),
        ),
        ("text/plain", b"", Ok((BodyKind::Text, Value::Null))),
        ("", br#" {"a":1}"#, object.clone()),
        (
            "application/octet-stream",
            b"[1]",
            Ok((BodyKind::Json, json!([1]))),
        ),
        ("", b"7", Ok((BodyKind::Text, json!("7")))),
        ("", b"{a", Ok((BodyKind::Text, json!("{a")))),
        ("", b"\xFF!", Ok((BodyKind::Text, json!("\u{FFFD}!")))),
        ("", b"", Ok((BodyKind::Text, Value::Null))),
    ];
    for (content_type, body, expected) in cases {
        let shown = String::from_utf8_lossy(body);
        assert_eq!(
            &read(Decode::Auto, content_type, body),
            expected,
            "{content_type}: {shown}"
        );
    }
}

#[test]
fn decode_overrides_the_content_type() {
    assert_eq!(
        read(Decode::Json, "text/plain", b"[1]"),
        Ok((BodyKind::Json, json!([1])))
    );
    assert_eq!(read(Decode::Json, FORM, b"[1]"), Ok((BodyKind::Json, json!([1]))));
    assert_eq!(
        read(Decode::Form, "application/json", b"a=1"),
        Ok((BodyKind::Form, json!({"a": "1"})))
    );
    assert_eq!(
        read(Decode::Form, FORM, b"payload=%7B%7D"),
        Ok((BodyKind::Form, json!({"payload": "{}"})))
    );
    assert_eq!(
        read(Decode::Text, "application/json", b"{}"),
        Ok((BodyKind::Text, json!("{}")))
    );
    assert_eq!(
        read(Decode::Xml, "text/plain", b"<a/>"),
        Ok((BodyKind::Xml, json!({"a": ""})))
    );
    assert_eq!(
        read(Decode::Multipart, "multipart/related; boundary=b", b"--b--"),
        Ok((BodyKind::Multipart, json!({})))
    );
    for how in Decode::ALL {
        assert_eq!(Decode::from_name(how.name()), Some(how));
        assert_eq!(serde_json::from_value::<Decode>(json!(how.name())).unwrap(), how);
    }
}

#[test]
fn an_undecodable_body_says_why() {
    let deep = "[".repeat(200);
    let cases: &[(&str, &[u8], &str)] = &[
        (
            "application/json",
            b"{\n  \"a\": }",
            "the body is not valid JSON: expected value at line 2 column 8",
        ),
        (
            "application/json",
            b"",
            "the body is empty where JSON was expected",
        ),
        (
            "application/json",
            b" \n",
            "the body is empty where JSON was expected",
        ),
        (
            "application/json; charset=klingon",
            b"{\"a\": \"\xFF\"}",
            "the charset `klingon` is not known here",
        ),
        (
            "application/json; charset=shift_jis",
            b"{\"a\": \"\xFF\"}",
            "the body is not in Shift_JIS, the charset that it says",
        ),
        (
            "text/plain; charset=utf-7",
            b"x",
            "the charset `utf-7` is not known here",
        ),
        (
            "application/x-www-form-urlencoded; charset=utf-32",
            b"x",
            "the charset `utf-32` is not known here",
        ),
        (
            "multipart/form-data",
            b"x",
            "the body is not valid multipart/form-data: the content type names no boundary",
        ),
        (
            "application/json",
            deep.as_bytes(),
            "the body is not valid JSON: nested more than 127 deep at line 1 column 128",
        ),
        (
            FORM,
            br#"{"a":1}"#,
            "the body is JSON but the content type says form: send application/json, or set `decode: json`",
        ),
    ];
    for (content_type, body, expected) in cases {
        assert_eq!(
            read(Decode::Auto, content_type, body),
            Err((*expected).to_owned())
        );
    }
    let many = "a=1&".repeat(MAX_FIELDS + 1);
    assert_eq!(
        read(Decode::Auto, FORM, many.as_bytes()),
        Err("the form has more than 10000 fields".to_owned())
    );
    assert!(read(Decode::Auto, FORM, "a=1&".repeat(MAX_FIELDS).as_bytes()).is_ok());
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is one table")]
fn the_declared_charset_is_used() {
    let cases: &[(&str, &[u8], (BodyKind, Value))] = &[
        (
            "text/plain; charset=iso-8859-1",
            b"na\xEFve",
            (BodyKind::Text, json!("naïve")),
        ),
        (
            "text/plain; charset=KOI8-R",
            b"\xC4\xC1",
            (BodyKind::Text, json!("да")),
        ),
        (
            "text/plain; charset=utf-16",
            b"\xFF\xFEa\0",
            (BodyKind::Text, json!("a")),
        ),
        (
            "text/plain; charset=koi8-r",
            b"\xEF\xBB\xBF\xC3\xA9",
            (BodyKind::Text, json!("é")),
        ),
        (
            "text/plain; charset=us-ascii",
            b"\xC3\xA9\xFF",
            (BodyKind::Text, json!("é\u{FFFD}")),
        ),
        (
            "application/octet-stream; charset=binary",
            b"\xFF",
            (BodyKind::Text, json!("\u{FFFD}")),
        ),
        (
            "application/x-own; charset=klingon",
            b"[1]",
            (BodyKind::Json, json!([1])),
        ),
        (
            "application/x-own; charset=utf-16le",
            b"[\x001\x00]\x00",
            (BodyKind::InnerJson, json!([1])),
        ),
        (
            "application/x-own",
            b"[\"\xFF\"]",
            (BodyKind::Text, json!("[\"\u{FFFD}\"]")),
        ),
        // JSON has no charset parameter (RFC 8259 §11).
        (
            "application/json; charset=klingon",
            b"[\"\xC3\xA9\"]",
            (BodyKind::Json, json!(["é"])),
        ),
        (
            "application/json; charset=utf-16",
            b"[\"\xC3\xA9\"]",
            (BodyKind::Json, json!(["é"])),
        ),
        (
            "application/json; charset='utf-8'",
            b"[1]",
            (BodyKind::Json, json!([1])),
        ),
        (
            "application/json",
            b"[\"\xFF\"]",
            (BodyKind::InnerJson, json!(["\u{FFFD}"])),
        ),
        (
            "application/json",
            b"[\"\\ud83d\"]",
            (BodyKind::InnerJson, json!(["\u{FFFD}"])),
        ),
        (
            "application/json",
            b"\xEF\xBB\xBF\xEF\xBB\xBF[1]",
            (BodyKind::Json, json!([1])),
        ),
        (
            "application/json",
            b"\xFF\xFE\xFF\xFE[\x001\x00]\x00",
            (BodyKind::InnerJson, json!([1])),
        ),
        (
            "",
            b"\xEF\xBB\xBF\xEF\xBB\xBF [\"\\ude00\"]",
            (BodyKind::InnerJson, json!(["\u{FFFD}"])),
        ),
        (
            "application/x-www-form-urlencoded",
            b"payload=%7B%22a%22%3A%22%5Cud83d%22%7D",
            (BodyKind::InnerJson, json!({"a": "\u{FFFD}"})),
        ),
        ("text/json", b"7", (BodyKind::Json, json!(7))),
        (
            "text/plain",
            b"\xEF\xBB\xBF\xEF\xBB\xBFa",
            (BodyKind::Text, json!("a")),
        ),
        (
            "text/xml",
            b"\xEF\xBB\xBF\xEF\xBB\xBF<a/>",
            (BodyKind::Xml, json!({"a": ""})),
        ),
        (
            "application/json; charset=iso-8859-1",
            b"\"na\xEFve\"",
            (BodyKind::InnerJson, json!("naïve")),
        ),
        (
            "application/json; charset=utf-16be",
            b"\0[\x001\0]",
            (BodyKind::InnerJson, json!([1])),
        ),
        (
            "application/json",
            b"\xFF\xFE[\x001\x00]\x00",
            (BodyKind::InnerJson, json!([1])),
        ),
        (
            "application/x-www-form-urlencoded; charset=iso-8859-1",
            b"a%EF=%EF+\xEF",
            (BodyKind::Form, json!({"aï": "ï ï"})),
        ),
    ];
    for (content_type, body, expected) in cases {
        let shown = String::from_utf8_lossy(body);
        assert_eq!(
            read(Decode::Auto, content_type, body),
            Ok(expected.clone()),
            "{content_type}: {shown}"
        );
    }
}

fn gzipped(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_content_coding_is_removed_before_decoding() {
    let unzipped = |how: Decode, content_type: &str, body: &[u8]| {
        let mut headers = headers(content_type);
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        read_with(how, &headers, body)
    };
    let json = gzipped(br#"{"a":1}"#);
    let inner = Ok((BodyKind::InnerJson, json!({"a": 1})));
    assert_eq!(unzipped(Decode::Auto, "application/json", &json), inner);
    assert_eq!(unzipped(Decode::Auto, "", &json), inner);
    assert_eq!(
        unzipped(Decode::Text, "", &json),
        Ok((BodyKind::Text, json!("{\"a\":1}")))
    );
    assert_eq!(
        unzipped(
            Decode::Auto,
            "text/xml; charset=iso-8859-1",
            &gzipped(b"<a>\xE9</a>")
        ),
        Ok((BodyKind::Xml, json!({"a": "é"})))
    );
    assert_eq!(
        unzipped(Decode::Auto, "application/json", br#"{"a":1}"#),
        Err("the body says that it is gzip, and it is not, or it is damaged".to_owned())
    );
    assert_eq!(
        unzipped(Decode::Auto, "application/json", b""),
        Err("the body is empty where JSON was expected".to_owned())
    );
    let bomb = gzipped(&vec![b' '; 10_000_000]);
    assert_eq!(
        unzipped(Decode::Auto, "application/json", &bomb),
        Err("decompressed the body has more than 1048576 bytes (`max_body`)".to_owned())
    );
    let mut headers = headers("");
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    let error = decode(Decode::Auto, &headers, &bomb.into(), LIMIT).unwrap_err();
    assert!(error.is_too_large());
}

proptest! {
    #[test]
    fn no_body_and_no_content_type_panics(
        content_type in "[ -~]{0,40}|[a-z]{1,9}/[a-z+]{1,9}; (charset|boundary)=[ -~]{0,9}",
        coding in "|gzip|deflate|br|identity|[ -~]{0,9}",
        body in proptest::collection::vec(any::<u8>(), 0..200),
        text in "(\\[|\\]|\\{|\\}|\"|,|:|[0-9a-e]|&|=|%|\\+| |\\\\|--b|\r\n|<|>|/|<\\?xml|name=a){0,60}",
    ) {
        for how in Decode::ALL {
            for content_type in [
                content_type.as_str(),
                FORM,
                "application/json; charset=utf-16",
                "text/xml",
                "multipart/form-data; boundary=b",
                "",
            ] {
                let mut headers = headers(content_type);
                drop(read_with(how, &headers, &text));
                drop(read_with(how, &headers, &body));
                headers.insert(CONTENT_ENCODING, HeaderValue::from_str(&coding).unwrap());
                drop(read_with(how, &headers, &body));
            }
        }
    }
}
