//! Requests whose framing or spelling another reader might interpret differently.

use std::io::Read;
use std::io::Write;

use crate::flood::{frame, second};
use crate::scenario::{Answer, Daemon, Scenario, said};
use crate::tls;

/// A header field with a name from HPACK's static table, without indexing (RFC 7541 §6.2.2).
fn named(index: u8, value: &str) -> Vec<u8> {
    [&[index, u8::try_from(value.len()).unwrap()], value.as_bytes()].concat()
}

/// A header field with a literal name.
fn field(name: &str, value: &str) -> Vec<u8> {
    [
        &[0, u8::try_from(name.len()).unwrap()],
        name.as_bytes(),
        &named(0, value)[1..],
    ]
    .concat()
}

/// A header block of HTTP/2 for `/open`.
fn head(method: &str, more: &[u8]) -> Vec<u8> {
    [
        &named(2, method),
        &b"\x87"[..],
        &named(4, "/open"),
        &named(1, "h"),
        more,
    ]
    .concat()
}

/// Response to these frames on a stream: the first byte of its header block, and true if there is
/// no body.
fn answered(stream: &mut tls::Stream, number: u32, frames: &[u8]) -> (u8, bool) {
    stream.write_all(frames).unwrap();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).unwrap();
        if head[3] == 1 && head[5..] == number.to_be_bytes() {
            return (payload[0], head[4] & 1 == 1);
        }
    }
}

/// `:status: 200` and `:status: 400` of the static table.
const OK: u8 = 0x88;
const BAD: u8 = 0x8c;

#[test]
fn a_head_request_over_http_2_is_answered_without_a_body() {
    let ca = tls::authority();
    let rules = tls::open("request_timeout: 1m") + "endpoints: {/open: {methods: [HEAD, GET, POST]}}\n";
    let daemon = tls::scene(&tls::pair(&ca), &rules).start();
    let mut stream = second(&daemon, &ca);
    let asked = |number, method| frame(1, 5, number, &head(method, &[]));
    assert_eq!(answered(&mut stream, 1, &asked(1, "HEAD")), (OK, true));
    assert_eq!(answered(&mut stream, 3, &asked(3, "GET")), (OK, false));
    // Also in refused requests.
    let nowhere = [
        &named(2, "HEAD"),
        &b"\x87"[..],
        &named(4, "/none"),
        &named(1, "h"),
    ]
    .concat();
    let (_, ended) = answered(&mut stream, 5, &frame(1, 5, 5, &nowhere));
    assert!(ended);
}

#[test]
fn a_value_with_a_blank_at_either_end_is_malformed_over_http_2() {
    let ca = tls::authority();
    let daemon = tls::scene(&tls::pair(&ca), &tls::open("request_timeout: 1m")).start();
    let mut stream = second(&daemon, &ca);
    let mut number = 1;
    let mut post = |more: &[u8], trailers: Option<&[u8]>| {
        let mut frames = frame(1, 4, number, &head("POST", more));
        frames.extend(frame(0, u8::from(trailers.is_none()), number, b"{}"));
        frames.extend(
            trailers
                .map(|fields| frame(1, 5, number, fields))
                .unwrap_or_default(),
        );
        number += 2;
        answered(&mut stream, number - 2, &frames).0
    };
    assert_eq!(post(&field("x-note", "a b"), Some(&field("x-end", "a b"))), OK);
    for value in [" a", "a ", "\ta", "a\t", " "] {
        assert_eq!(post(&field("x-note", value), None), BAD, "{value:?}");
        assert_eq!(post(&[], Some(&field("x-end", value))), BAD, "trailer {value:?}");
    }
}

/// The response to these bytes.
fn exchange(daemon: &Daemon, text: &str) -> Answer {
    let mut stream = daemon.connect();
    stream.write_all(text.as_bytes()).unwrap();
    Answer::read(&mut stream).unwrap()
}

const OPEN: &str = "server: {listen: 127.0.0.1:0}\nrules: [{name: open, endpoint: /e, verify: none, actions: [append: open.jsonl]}, {name: other, endpoint: \"/%66%c3%a9/{x}\", verify: none, actions: [append: other.jsonl]}]\n";

#[test]
fn a_transfer_coding_other_than_chunked_is_not_implemented() {
    let daemon = Scenario::new().rules(OPEN).start();
    for (coding, expected) in [
        ("Transfer-Encoding: chunked", 200),
        ("Transfer-Encoding: Chunked", 200),
        ("Transfer-Encoding: deflate, chunked", 501),
        ("Transfer-Encoding: gzip,chunked", 501),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", 501),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 501),
        ("Transfer-Encoding: identity, chunked", 501),
        ("Transfer-Encoding: chunked, gzip", 400),
        ("Transfer-Encoding: gzip", 400),
    ] {
        let text = format!("POST /e HTTP/1.1\r\nHost: h\r\n{coding}\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n");
        let answer = exchange(&daemon, &text);
        assert_eq!(answer.status, expected, "{coding}");
        if expected == 501 {
            assert_eq!(answer.header("connection"), Some("close"), "{coding}");
        }
    }
}

#[test]
fn an_escaped_letter_of_a_path_is_that_letter_and_an_escaped_slash_is_none() {
    let scenario = Scenario::new();
    let daemon = scenario.rules(OPEN).start();
    for (path, expected) in [
        ("/e", 200),
        ("/%65", 200),
        ("/%45", 404),
        ("/f%C3%A9/1", 200),
        ("/%66%c3%A9/%31", 200),
        ("/%2565", 404),
        ("/%2Fe", 404),
        ("%2Fe", 400),
        ("/f%C3%A9%2F1", 404),
    ] {
        let text = format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{{}}");
        assert_eq!(exchange(&daemon, &text).status, expected, "{path}");
    }
}

#[test]
fn endpoints_that_are_one_path_in_two_spellings_are_found() {
    let twice = OPEN.replace("/%66%c3%a9/{x}", "/%65");
    let checked = Scenario::new().rules(&twice).hookyard(&["check", "rules.yaml"]);
    assert_eq!(checked.status.code(), Some(1));
    assert!(
        said(&checked).contains("cannot be told apart"),
        "{}",
        said(&checked)
    );
}
