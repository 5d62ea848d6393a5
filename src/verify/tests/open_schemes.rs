//! Schemes that sign nothing: tokens, passwords, and no verification at all.

use super::{doubtful, header, outcome, prove, received, sent, sent_as, verification};
use crate::event::DedupKey;

#[test]
fn a_token_in_a_header() {
    let verify = "{gitlab: [env:A, env:B]}";
    for (headers, expected) in [
        (vec![("X-Gitlab-Token", "secret-a")], "held"),
        (vec![("x-gitlab-token", "secret-b")], "held"),
        (vec![("X-Gitlab-Token", "secret-c")], "bad-token"),
        (vec![("X-Gitlab-Token", "secret-")], "bad-token"),
        (vec![("X-Gitlab-Token", "secret-a ")], "bad-token"),
        (vec![("X-Gitlab-Token", "Secret-a")], "bad-token"),
        (vec![("X-Gitlab-Token", "")], "bad-token"),
        (vec![("X-Gitlab-Token", "\u{e9}")], "bad-token"),
        (vec![], "missing-token"),
        (
            vec![("X-Gitlab-Token", "secret-a"), ("X-Gitlab-Token", "x")],
            "repeated-header",
        ),
        (
            vec![("X-Gitlab-Token", "x"), ("X-Gitlab-Token", "secret-a")],
            "repeated-header",
        ),
    ] {
        assert_eq!(outcome(verify, &headers, b"{}"), expected, "{headers:?}");
    }
    let proof = prove(verify, &[("X-Gitlab-Token", "secret-a")], b"").unwrap();
    assert_eq!((proof.timestamp, proof.dedup_keys), (None, vec![]));
    assert_eq!(
        header(&sent(&verification(verify), b""), "x-gitlab-token"),
        "secret-a"
    );
}

#[test]
fn a_token_in_the_query_or_the_body() {
    let verification = verification("{token: {query: token, secret: env:A}}");
    for (query, expected) in [
        ("token=secret-a", "held"),
        ("x=1&token=secret%2Da", "held"),
        ("token=secret-b", "bad-token"),
        ("token=", "bad-token"),
        ("token", "bad-token"),
        ("Token=secret-a", "missing-token"),
        ("", "missing-token"),
        ("token=secret-a&token=x", "repeated-token"),
        ("token=x&token=secret-a", "repeated-token"),
        ("token=%ff%", "bad-token"),
    ] {
        let mut request = received(&[], b"");
        request.query = query.to_owned();
        let outcome = verification
            .prove(&request)
            .map_or_else(|refusal| refusal.reason(), |_| "held");
        assert_eq!(outcome, expected, "{query}");
    }
    let verify = "{token: {json: '$.value[0].clientState', secret: env:A}}";
    for (body, expected) in [
        (r#"{"value":[{"clientState":"secret-a"}]}"#, "held"),
        (r#"{"value":[{"clientState":"secret-b"}]}"#, "bad-token"),
        (r#"{"value":[{"clientState":null}]}"#, "missing-token"),
        (r#"{"value":[]}"#, "missing-token"),
        ("[", "unreadable-body"),
        ("", "unreadable-body"),
    ] {
        assert_eq!(outcome(verify, &[], body.as_bytes()), expected, "{body}");
    }
}

#[test]
fn a_token_is_written_where_it_stands() {
    let signed = |verify: &str, url: &str, body: &[u8]| {
        verification(verify).sign(&crate::verify::OutgoingRequest {
            method: &http::Method::POST,
            url,
            headers: &http::HeaderMap::new(),
            body,
            at: super::now(),
            id: "",
            restamp: true,
        })
    };
    let in_query = signed("{token: {query: t, secret: 'a b&c'}}", "https://h/x?y=1#top", b"").unwrap();
    assert_eq!(
        in_query.url("https://h/x?y=1#top"),
        "https://h/x?y=1&t=a%20b%26c#top"
    );
    assert!(in_query.headers.is_empty() && in_query.body.is_none());
    let graph = "{microsoft_graph: env:A}";
    let in_body = signed(graph, "https://h/x", br#"{"value":[{"id":1}]}"#).unwrap();
    assert_eq!(
        in_body.body.as_deref(),
        Some(br#"{"value":[{"id":1,"clientState":"secret-a"}]}"#.as_slice())
    );
    let error = |body| signed(graph, "https://h/x", body).unwrap_err();
    assert_eq!(error(b"{}"), "the body has no place for `$.value[0].clientState`");
    assert!(error(b"x").contains("which is not JSON"));
}

#[test]
fn basic_takes_user_and_password_together() {
    let verify = "{basic: {user: ci, password: env:A}}";
    let encode = |text: &str| data_encoding::BASE64.encode(text.as_bytes());
    for (value, expected) in [
        (format!("Basic {}", encode("ci:secret-a")), "held"),
        (format!("bAsIc {}", encode("ci:secret-a")), "held"),
        (format!("Basic {}", encode("ci:secret-b")), "bad-credentials"),
        (format!("Basic {}", encode("cj:secret-a")), "bad-credentials"),
        (format!("Basic {}", encode(":secret-a")), "bad-credentials"),
        (format!("Basic {}", encode("ci:")), "bad-credentials"),
        (format!("Basic {}", encode("ci:secret-a:")), "bad-credentials"),
        (format!("Basic {}", encode("ci")), "malformed-credentials"),
        (
            format!("Basic  {}", encode("ci:secret-a")),
            "malformed-credentials",
        ),
        (
            format!("Basic\t{}", encode("ci:secret-a")),
            "malformed-credentials",
        ),
        (
            format!("Bearer {}", encode("ci:secret-a")),
            "malformed-credentials",
        ),
        (
            format!("Basic {}!", encode("ci:secret-a")),
            "malformed-credentials",
        ),
        ("Basic".to_owned(), "malformed-credentials"),
        ("Basic ".to_owned(), "malformed-credentials"),
        (String::new(), "malformed-credentials"),
        ("é".to_owned(), "malformed-credentials"),
    ] {
        assert_eq!(
            outcome(verify, &[("Authorization", &value)], b""),
            expected,
            "{value}"
        );
    }
    assert_eq!(outcome(verify, &[], b""), "missing-header");
    let twice = [("Authorization", "Basic x"), ("Authorization", "Basic y")];
    assert_eq!(outcome(verify, &twice, b""), "repeated-header");
    let verification = verification(verify);
    assert_eq!(
        verification.challenge(),
        Some("Basic realm=\"hookyard\", charset=\"UTF-8\"")
    );
    // A password may contain a colon. A user name may not.
    let colon = format!("Basic {}", encode("ci:a:b"));
    assert_eq!(
        outcome(
            "{basic: {user: ci, password: 'a:b'}}",
            &[("Authorization", &colon)],
            b""
        ),
        "held"
    );
}

#[test]
fn bearer_takes_one_space() {
    let verify = "{bearer: {secret: [env:A, env:B]}}";
    for (value, expected) in [
        ("Bearer secret-a", "held"),
        ("bearer secret-b", "held"),
        ("BEARER secret-a", "held"),
        ("Bearer secret-c", "bad-token"),
        ("Bearer  secret-a", "bad-token"),
        ("Bearer secret-a ", "bad-token"),
        ("Bearer\tsecret-a", "malformed-credentials"),
        ("Bearer", "malformed-credentials"),
        ("Bearer ", "malformed-credentials"),
        ("Bearersecret-a", "malformed-credentials"),
        ("secret-a", "malformed-credentials"),
        ("", "malformed-credentials"),
    ] {
        assert_eq!(
            outcome(verify, &[("Authorization", value)], b""),
            expected,
            "{value}"
        );
    }
    assert_eq!(
        verification(verify).challenge(),
        Some("Bearer realm=\"hookyard\"")
    );
    assert_eq!(
        verification("{bearer: env:A}").credential_headers(),
        ["authorization"]
    );
}

#[test]
fn none_lets_everybody_in_and_remembers_only_what_it_is_told_to() {
    for verify in ["none", "{none: {}}", "{none: }"] {
        let verification = verification(verify);
        assert!(verification.is_none() && verification.challenge().is_none());
        assert_eq!(
            verification.prove(&received(&[], b"\xff")).unwrap().dedup_keys,
            []
        );
    }
    let verification = verification("{none: {id: {header: X-Delivery}}}");
    assert!(verification.is_none());
    let proof = verification
        .prove(&received(&[("x-delivery", "7")], b""))
        .unwrap();
    assert_eq!(proof.dedup_keys, [DedupKey::id(b"7")]);
    assert_eq!(proof.memory(verification.default_window()).as_secs(), 24 * 3600);
    assert_eq!(verification.prove(&received(&[], b"")).unwrap().dedup_keys, []);
    let twice = received(&[("x-delivery", "7"), ("x-delivery", "8")], b"");
    assert_eq!(
        verification.prove(&twice).unwrap_err().reason(),
        "repeated-header"
    );
}

#[test]
fn any_scheme_without_a_signature_may_have_an_id() {
    for verify in [
        "{gitlab: {secret: env:A, id: {header: Idempotency-Key}}}",
        "{token: {secret: env:A, header: X-Token, id: {header: Idempotency-Key}}}",
        "{basic: {user: ci, password: env:A, id: {header: Idempotency-Key}}}",
        "{bearer: {secret: env:A, id: {header: Idempotency-Key}}}",
        "{bearer: {secret: env:A, id: {json: $.id}}}",
    ] {
        let verification = doubtful(verify);
        let request = sent_as(&verification, &[], br#"{"id":"a-1"}"#, "a-1", super::now());
        assert_eq!(
            verification.prove(&request).unwrap().dedup_keys,
            [DedupKey::id(b"a-1")],
            "{verify}"
        );
    }
}

#[test]
fn a_token_in_a_form() {
    let form = ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8");
    for (verify, body, expected) in [
        ("$.token", "token=secret-a&text=x", "held"),
        ("$.token", "text=x&token=secret%2Da", "held"),
        ("$.token", "token=secret-b", "bad-token"),
        ("$.token", "token=", "bad-token"),
        ("$.token", "text=token", "missing-token"),
        ("$.token", "", "missing-token"),
        ("$.token", "{\"token\": \"secret-a\"}", "missing-token"),
        ("$.token", "token=secret-a&token=x", "repeated-token"),
        ("$.token", "token=x&token=secret-a", "repeated-token"),
        ("$.a.token", "a.token=secret-a", "missing-token"),
    ] {
        let verify = format!("{{token: {{json: '{verify}', secret: env:A}}}}");
        assert_eq!(outcome(&verify, &[form], body.as_bytes()), expected, "{body}");
    }
    let encoded = [form, ("Content-Encoding", "gzip")];
    let verify = "{token: {json: $.token, secret: env:A}}";
    assert_eq!(outcome(verify, &encoded, b"token=secret-a"), "unreadable-body");
}
