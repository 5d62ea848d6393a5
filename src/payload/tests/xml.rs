//! XML: its shape, its charsets, and rejections with their positions.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn read(body: impl AsRef<[u8]>) -> Result<Value, String> {
    let (kind, value) = super::read(Decode::Auto, "application/xml", body)?;
    assert_eq!(kind, BodyKind::Xml);
    Ok(value)
}

#[test]
fn elements_become_objects_lists_and_strings() {
    let cases = [
        ("<a/>", json!({"a": ""})),
        ("<a></a>", json!({"a": ""})),
        ("<a> 1\n</a>", json!({"a": "1"})),
        ("<a b=''/>", json!({"a": {"@b": ""}})),
        (
            "<a b='1' c=\"2\">3</a>",
            json!({"a": {"@b": "1", "@c": "2", "#text": "3"}}),
        ),
        (
            "<a><b>1</b><c/><b>2</b></a>",
            json!({"a": {"b": ["1", "2"], "c": ""}}),
        ),
        (
            "<a><b/><b x='1'/><b><c/></b></a>",
            json!({"a": {"b": ["", {"@x": "1"}, {"c": ""}]}}),
        ),
        ("<a> x <b/> y </a>", json!({"a": {"b": "", "#text": "x  y"}})),
        ("<a>1<!-- - -->2<?p i?>3</a>", json!({"a": "123"})),
        ("<a><![CDATA[<b>&amp;]]></a>", json!({"a": "<b>&amp;"})),
        (
            "<a b='&lt;&#x41;&#66;\n'>&lt;&gt;&amp;&apos;&quot;&#xe9;</a>",
            json!({"a": {"@b": "<AB ", "#text": "<>&'\"é"}}),
        ),
        (
            "<s:E xmlns:s='urn:x'><s:b s:c='1'/></s:E>",
            json!({"s:E": {"@xmlns:s": "urn:x", "s:b": {"@s:c": "1"}}}),
        ),
        (
            "\n<?xml version='1.0'?>\n<!-- c --><a>1\r\n2</a>\n<?p?>\n",
            json!({"a": "1\n2"}),
        ),
        ("<é.-1>x</é.-1 >", json!({"é.-1": "x"})),
    ];
    for (text, expected) in cases {
        assert_eq!(read(text), Ok(expected), "{text}");
    }
}

#[test]
fn the_charset_comes_from_the_mark_the_content_type_or_the_declaration() {
    let utf_16 = |text: &str, mark: bool| -> Vec<u8> {
        let mark = if mark { "\u{FEFF}" } else { "" };
        format!("{mark}{text}")
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect()
    };
    let expected = Ok((BodyKind::Xml, json!({"a": "é"})));
    let declared = "<?xml version='1.0' encoding='utf-16'?><a>é</a>";
    let cases: &[(&str, Vec<u8>)] = &[
        ("text/xml", "<a>é</a>".into()),
        ("text/xml; charset=ISO-8859-1", b"<a>\xE9</a>".to_vec()),
        (
            "application/soap+xml",
            b"<?xml version='1.0' encoding='iso-8859-1'?><a>\xE9</a>".to_vec(),
        ),
        (
            "text/xml; charset=utf-8",
            b"<?xml version='1.0' encoding='iso-8859-1'?><a>\xC3\xA9</a>".to_vec(),
        ),
        (
            "application/xml; charset=iso-8859-1",
            b"\xEF\xBB\xBF<a>\xC3\xA9</a>".to_vec(),
        ),
        ("application/xml", utf_16(declared, true)),
        ("application/xml", utf_16(declared, false)),
        ("application/xml; charset=utf-16le", utf_16("<a>é</a>", false)),
        ("application/xml", declared.into()),
    ];
    for (content_type, body) in cases {
        let shown = String::from_utf8_lossy(body);
        assert_eq!(
            super::read(Decode::Auto, content_type, body),
            expected,
            "{content_type}: {shown}"
        );
    }
    for (content_type, body, expected) in [
        (
            "text/xml",
            &b"<a>\xE9</a>"[..],
            "the body is not in UTF-8, the charset that it says",
        ),
        (
            "text/xml; charset=klingon",
            b"<a/>",
            "the charset `klingon` is not known here",
        ),
        (
            "text/xml",
            b"<?xml version='1.0' encoding='klingon'?><a/>",
            "the charset `klingon` is not known here",
        ),
    ] {
        assert_eq!(
            super::read(Decode::Auto, content_type, body),
            Err(expected.to_owned())
        );
    }
}

#[test]
fn unsupported_xml_is_refused_with_its_position() {
    let cases = [
        (
            "<a>\n <b></a>",
            "line 2 column 5: expected `</b>`, but `</a>` was found",
        ),
        (
            "<a",
            "line 1 column 1: tag not closed: `>` not found before end of input",
        ),
        ("<a><b>", "line 1 column 7: the element `b` does not end"),
        (
            "</a>",
            "line 1 column 1: close tag `</a>` does not match any open tag",
        ),
        ("<!-- -->", "line 1 column 9: there is no element"),
        ("<a/>\n<b/>", "line 2 column 1: there is a second root element"),
        (
            "<a/>x",
            "line 1 column 5: text stands outside of the root element",
        ),
        (
            "x<a/>",
            "line 1 column 1: text stands outside of the root element",
        ),
        (
            "<a b='1' b='2'/>",
            "line 1 column 1: the attribute `b` stands twice",
        ),
        ("<a @b='1'/>", "line 1 column 1: `@b` is not a name"),
        ("<#text/>", "line 1 column 1: `#text` is not a name"),
        ("<>x</>", "line 1 column 1: `` is not a name"),
        (
            "<a>\n&nbsp;</a>",
            "line 2 column 1: the entity `nbsp` is not known",
        ),
        (
            "<a/><?xml version='1.0'?>",
            "line 1 column 5: an XML declaration stands not at the beginning",
        ),
        (
            "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>",
            "line 1 column 1: a document type (`<!DOCTYPE`) is not taken",
        ),
        (
            "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
            "line 1 column 1: a document type (`<!DOCTYPE`) is not taken",
        ),
    ];
    for (text, expected) in cases {
        let expected = format!("the body is not XML that can be read: {expected}");
        assert_eq!(read(text), Err(expected), "{text}");
    }
    assert_eq!(
        read(" \n"),
        Err("the body is empty where XML was expected".to_owned())
    );
    let nested = |depth: usize| "<a>".repeat(depth) + &"</a>".repeat(depth);
    assert!(read(nested(64)).is_ok());
    assert_eq!(
        read(nested(65)),
        Err(
            "the body is not XML that can be read: line 1 column 193: elements are nested more than 64 deep"
                .to_owned()
        )
    );
    let long = read(format!("<{}\u{1b}>", "x".repeat(1000))).unwrap_err();
    assert!(long.len() < 300 && !long.contains('\u{1b}'), "{long}");
}

proptest! {
    #[test]
    fn no_xml_panics(
        text in "(<a|<|>|/>|</a>|<!--|-->|<!|<\\?|\\?>|xml|version=|encoding=|'|\"|=|<!\\[CDATA\\[|\\]\\]>|&|#x|;|1| |é|DOCTYPE|\\[|\n){0,40}",
        charset in "utf-8|utf-16|shift_jis|iso-2022-jp|gb18030|x",
    ) {
        drop(read(&text));
        drop(super::read(Decode::Xml, &format!("a/b; charset={charset}"), &text));
    }

    #[test]
    fn text_comes_back_trimmed(text in "[^<&\r\\x00]{0,40}") {
        let trimmed = text.trim_matches([' ', '\t', '\n']);
        prop_assert_eq!(read(format!("<a>{text}</a>")), Ok(json!({"a": trimmed})));
    }
}
