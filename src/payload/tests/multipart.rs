//! Multipart forms: content, rejections, and round trips.

use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;
use crate::payload::object;

const ENDS: &str = "it ends before its last boundary";
const UNCLEAR: &str = "its boundary stands where none can be";

fn read(boundary: &str, body: impl AsRef<[u8]>) -> Result<Value, String> {
    let content_type = format!("multipart/form-data; boundary=\"{boundary}\"");
    let (kind, value) = super::read(Decode::Auto, &content_type, body)?;
    assert_eq!(kind, BodyKind::Multipart);
    Ok(value)
}

/// A body of these parts, each with its headers and its content.
fn body(boundary: &str, parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (head, content) in parts {
        body.extend_from_slice(format!("--{boundary}\r\n{head}\r\n\r\n").as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    body
}

#[test]
fn texts_are_texts_and_files_are_described() {
    let parts: &[(&str, &[u8])] = &[
        (
            "Content-Disposition: form-data; name=\"subject\"",
            "naïve".as_bytes(),
        ),
        ("content-disposition:form-data; name=to", b"a"),
        ("Content-Disposition: form-data; name=\"to\"", b""),
        (
            "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Disposition: form-data; name=\"latin\"",
            b"na\xEFve",
        ),
        (
            "Content-Disposition: form-data; name=\"broken\"",
            b"\xFF\r\n--\r\n",
        ),
        (
            "Content-Disposition: form-data; name=\"file\"; filename=\"a;\\\"b.png\"\r\nContent-Type: image/png",
            b"\x89PNG\r\n\r\n",
        ),
        (
            "Content-Disposition: form-data; name=\"none\"; filename=\"\"",
            b"",
        ),
        (
            "Content-Disposition: form-data; name=\"star\"; filename=\"x\"; filename*=UTF-8''na%C3%AFve.txt\r\nContent-Transfer-Encoding: Binary",
            b"12",
        ),
        (
            "Content-Disposition: form-data; name=\"bare\"\r\nContent-Transfer-Encoding:\r\nContent-Type: \t",
            b"13",
        ),
        (
            "Content-Disposition: form-data; name=\"blank\"; filename=x\r\nContent-Type:",
            b"14",
        ),
    ];
    assert_eq!(
        read("b", body("b", parts)),
        Ok(json!({
            "subject": "naïve",
            "to": ["a", ""],
            "latin": "naïve",
            "broken": "\u{FFFD}\r\n--\r\n",
            "file": {"filename": "a;\"b.png", "size": 8, "content_type": "image/png"},
            "none": {"filename": "", "size": 0},
            "star": {"filename": "naïve.txt", "size": 2},
            "bare": "13",
            "blank": {"filename": "x", "size": 2},
        }))
    );
}

#[test]
fn a_part_is_decoded_by_its_own_type_and_else_as_text() {
    let head = |name: &str, content_type: &str| {
        format!("Content-Disposition: form-data; name=\"{name}\"\r\nContent-Type: {content_type}")
    };
    let headers = [
        head("payload", "application/json"),
        head("list", "application/vnd.x+json; charset=utf-8"),
        head("list", "text/json"),
        head("only", "application/json"),
        head("half", "application/json"),
        head("latin", "application/json; charset=iso-8859-1"),
        head("broken", "application/json"),
        head("empty", "application/json"),
        head("form", "application/x-www-form-urlencoded"),
        head("xml", "text/xml"),
        head("typed", "text/xml"),
        head("guess", "application/octet-stream"),
        head("marked", "text/plain"),
    ];
    let contents: [&[u8]; 13] = [
        br#"{"event": "media.play"}"#,
        b"[1]",
        b"2",
        b"[3]",
        br#"["\ud83d"]"#,
        b"\"na\xEFve\"",
        b"{oops",
        b"",
        b"a=1&a=x+y",
        b"<a b='1'/>",
        b"<!DOCTYPE a><a/>",
        b"[4]",
        b"\xEF\xBB\xBFtext",
    ];
    let parts: Vec<_> = headers.iter().map(String::as_str).zip(contents).collect();
    assert_eq!(
        read("b", body("b", &parts)),
        Ok(json!({
            "payload": {"event": "media.play"},
            "list": [[1], 2],
            "only": [3],
            "half": ["\u{FFFD}"],
            "latin": "naïve",
            "broken": "{oops",
            "empty": "",
            "form": {"a": ["1", "x y"]},
            "xml": {"a": {"@b": "1"}},
            "typed": "<!DOCTYPE a><a/>",
            "guess": "[4]",
            "marked": "text",
        }))
    );
}

#[test]
fn preamble_and_epilogue_are_ignored() {
    let named = "Content-Disposition: form-data; name=a";
    for body in [
        format!("before\r\n--b\r\n{named}\r\n\r\n1\r\n--b--\r\nafter\r\n--b\r\n"),
        format!("\r\n--b \t\r\n{named}\r\n\r\n1\r\n--b--"),
    ] {
        assert_eq!(read("b", &body), Ok(json!({"a": "1"})), "{body}");
    }
    assert_eq!(read("b", "--b--"), Ok(json!({})));
    assert_eq!(
        read("b", format!("--b\r\n{named}\r\n\r\n--b--")),
        Ok(json!({"a": ""}))
    );
}

#[test]
fn an_invalid_form_is_refused_with_the_reason() {
    let named = "Content-Disposition: form-data; name=a";
    let cases = [
        ("", "it does not hold the boundary that its content type names"),
        (
            "x--b--",
            "it does not hold the boundary that its content type names",
        ),
        ("--b", ENDS),
        ("--b\r\n", ENDS),
        ("--b-", ENDS),
        ("--bc\r\n", UNCLEAR),
        ("--b\r\nN\r\n1\r\n--bc\r\n\r\n", ENDS),
        ("--b\r\nN\r\n\r\n1\r\n--b", ENDS),
        ("--b\r\nN\r\n\r\n1\r\n--", ENDS),
        ("--b\r\nN\r\n\r\n1\r\n--bc\r\n", UNCLEAR),
        ("--b\r\nN\r\n\r\n1\n--b--", ENDS),
        ("--b\r\n\r\n1\r\n--b--", "part 1 has no name"),
        (
            "--b\r\nN\r\n folded\r\n\r\n1\r\n--b--",
            "part 1 has a header that cannot be read",
        ),
        (
            "--b\r\nN\r\n--b: x\r\n\r\n1\r\n--b--",
            "part 1 has a header that cannot be read",
        ),
        (
            "--b\r\nN\nX: y\r\n\r\n1\r\n--b--",
            "part 1 has a header that cannot be read",
        ),
        ("--b\r\nN\r\nN\r\n\r\n1\r\n--b--", "part 1 has a header twice"),
        ("--b\r\nN; name=b\r\n\r\n1\r\n--b--", "part 1 has two names"),
        (
            "--b\r\nN; filename*=a.txt\r\n\r\n1\r\n--b--",
            "part 1 has a file name that cannot be read",
        ),
        ("--b\r\nX-Y: z\r\n\r\n1\r\n--b--", "part 1 has no name"),
        (
            "--b\r\nN\r\n\r\n1\r\n--b\r\nContent-Disposition: form-data; filename=x\r\n\r\n2\r\n--b--",
            "part 2 has no name",
        ),
        (
            "--b\r\nN\r\nContent-Transfer-Encoding: base64\r\n\r\nMQ==\r\n--b--",
            "part 1 has the transfer encoding `base64`",
        ),
    ];
    for (text, expected) in cases {
        let text = text.replace('N', named);
        let expected = format!("the body is not valid multipart/form-data: {expected}");
        assert_eq!(read("b", &text), Err(expected), "{text}");
    }
    let long = format!("--b\r\n{named}\r\nX: {}\r\n\r\n1\r\n--b--", "x".repeat(8192));
    assert!(
        read("b", long)
            .unwrap_err()
            .ends_with("the headers of a part have more than 8192 bytes")
    );
    let unknown = body(
        "b",
        &[(
            "Content-Disposition: x; name=a\r\nContent-Type: text/x; charset=klingon",
            b"1",
        )],
    );
    assert_eq!(
        read("b", unknown),
        Err("the charset `klingon` is not known here".to_owned())
    );
    let many = vec![(named, &b"1"[..]); 1001];
    assert_eq!(
        read("b", body("b", &many)),
        Err("the form has more than 1000 parts".to_owned())
    );
    assert!(read("b", body("b", &many[1..])).is_ok());
    let nameless = read("", "--\r\n").unwrap_err();
    assert!(
        nameless.ends_with("the content type names no boundary"),
        "{nameless}"
    );
}

proptest! {
    #[test]
    fn parts_are_restored(
        boundary in "[0-9A-Za-z'()+_,./:=?-]{1,70}",
        parts in proptest::collection::vec(
            ("[a-z]{1,3}", proptest::option::of("[^\"\\\\\\p{Cc}]{0,9}"), proptest::collection::vec(any::<u8>(), 0..60)),
            0..9,
        ),
    ) {
        let delimiter = format!("\r\n--{boundary}");
        prop_assume!(parts.iter().all(|(_, _, content)| {
            let content = [b"\r\n", content.as_slice(), b"\r\n"].concat();
            !content.windows(delimiter.len()).any(|window| window == delimiter.as_bytes())
        }));
        let mut expected = Map::new();
        let mut headers = Vec::new();
        for (name, filename, content) in &parts {
            let disposition = format!("Content-Disposition: form-data; name=\"{name}\"");
            let value = match filename {
                Some(filename) => json!({"filename": filename, "size": content.len()}),
                None => String::from_utf8_lossy(content).into(),
            };
            headers.push(match filename {
                Some(filename) => format!("{disposition}; filename=\"{filename}\""),
                None => disposition,
            });
            object::add(&mut expected, name.clone(), value);
        }
        let parts: Vec<_> = headers.iter().zip(&parts).map(|(head, (.., content))| (&**head, &**content)).collect();
        prop_assert_eq!(read(&boundary, body(&boundary, &parts)), Ok(Value::Object(expected)));
    }

    #[test]
    fn no_body_panics(text in "(--b|\r\n|\r|\n|-|:|;|=|\"|name|filename\\*?|content-disposition|content-type|charset|'|é){0,40}") {
        drop(read("b", text));
    }
}
