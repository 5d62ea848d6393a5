//! Unsigned handshakes: recognition, answers, protection against misuse of the answers, and
//! enrolled secrets.

use http::Method;

use super::handshakes::{CHALLENGE, told};
use super::{doubtful, received, sent, verification};
use crate::event::Received;

const META: &str = "{meta: {secret: env:A, verify_token: [env:B, other]}}";
const X: &str = "{x: env:A}";

/// A request without a body.
fn asked(method: &Method, query: &str, headers: &[(&str, &str)]) -> Received {
    let mut request = received(headers, b"");
    request.method = method.clone();
    query.clone_into(&mut request.query);
    request
}

#[test]
fn meta_is_answered_if_it_knows_the_verify_token() {
    let meta = verification(META);
    let get = |query: &str| told(&meta, &asked(&Method::GET, query, &[]));
    let right = "200|content-type: text/plain; charset=utf-8|1158201444";
    for (query, expected) in [
        (
            "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=secret-b",
            right,
        ),
        (
            "hub%2Emode=subscribe&hub.verify_token=other&hub.challenge=1158201444&x=1",
            right,
        ),
        (
            "hub.mode=subscribe&hub.challenge=1&hub.verify_token=secret-a",
            "refused-handshake",
        ),
        (
            "hub.mode=subscribe&hub.challenge=1&hub.verify_token=",
            "refused-handshake",
        ),
        ("hub.mode=subscribe&hub.challenge=1", "refused-handshake"),
        (
            "hub.mode=subscribe&hub.challenge=1&hub.verify_token=secret-b&hub.verify_token=x",
            "malformed-handshake",
        ),
        (
            "hub.mode=subscribe&hub.challenge=1&hub.challenge=2&hub.verify_token=secret-b",
            "malformed-handshake",
        ),
        (
            "hub.mode=subscribe&hub.challenge=%ff&hub.verify_token=secret-b",
            "malformed-handshake",
        ),
        (
            "hub.mode=subscribe&hub.challenge=a%0ab&hub.verify_token=secret-b",
            "malformed-handshake",
        ),
        (
            "hub.mode=subscribe&hub.verify_token=secret-b",
            "malformed-handshake",
        ),
        (
            "hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=secret-b",
            "event",
        ),
        ("hub.challenge=1&hub.verify_token=secret-b", "event"),
        ("", "event"),
    ] {
        assert_eq!(get(query), expected, "{query}");
    }
    let query = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=secret-b";
    assert_eq!(told(&meta, &asked(&Method::POST, query, &[])), "event");
    let without = verification("{meta: env:A}");
    let refusal = without
        .handshake(&asked(&Method::GET, query, &[]))
        .unwrap()
        .unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the handshake `meta`: write as `verify_token` what the sender was told to send in `hub.verify_token`"
    );
}

#[test]
fn dropbox_and_microsoft_graph_are_echoed() {
    let dropbox = verification("{dropbox: env:A}");
    let text = "200|content-type: text/plain; charset=utf-8|";
    let get = |query: &str| told(&dropbox, &asked(&Method::GET, query, &[]));
    assert_eq!(get("challenge=abc-123"), format!("{text}abc-123"));
    assert_eq!(get("challenge=%3Cb%3E"), format!("{text}<b>"));
    assert_eq!(get("challenge=a&challenge=a"), "malformed-handshake");
    assert_eq!(
        get(&format!("challenge={}", "a".repeat(4097))),
        "malformed-handshake"
    );
    assert_eq!(get("challenge"), "malformed-handshake");
    assert_eq!(get("Challenge=a"), "event");
    let graph =
        verification("{token: {json: '$.value[0].clientState', secret: env:A, handshake: microsoft_graph}}");
    let query = "validationToken=Validation%3a+Testing+client+application+reachability+%c3%a9";
    assert_eq!(
        told(&graph, &asked(&Method::POST, query, &[])),
        format!("{text}Validation: Testing client application reachability é")
    );
    assert_eq!(told(&graph, &asked(&Method::GET, query, &[])), "event");
    assert_eq!(told(&graph, &asked(&Method::POST, "", &[])), "event");
}

#[test]
fn trello_and_cloudevents_are_answered_by_method() {
    let trello = verification("{trello: env:A}");
    assert_eq!(told(&trello, &asked(&Method::HEAD, "", &[])), "200|");
    assert_eq!(told(&trello, &asked(&Method::GET, "", &[])), "event");
    let cloudevents = verification("{bearer: {secret: env:A, handshake: cloudevents}}");
    let options = |headers: &[(&str, &str)]| told(&cloudevents, &asked(&Method::OPTIONS, "", headers));
    let origin = ("WebHook-Request-Origin", "eventemitter.example.com");
    let allowed = |rate: &str| {
        format!(
            "200|webhook-allowed-origin: eventemitter.example.com|webhook-allowed-rate: {rate}|allow: POST|"
        )
    };
    let names = |headers: &[(&str, &str)]| {
        let mut parts: Vec<String> = options(headers).split('|').map(str::to_owned).collect();
        parts.sort();
        parts
    };
    for (rate, expected) in [
        (None, "*"),
        (Some("120"), "120"),
        (Some("0"), "*"),
        (Some("-5"), "*"),
        (Some("many"), "*"),
        (Some("99999999999"), "*"),
    ] {
        let mut headers = vec![origin];
        headers.extend(rate.map(|rate| ("WebHook-Request-Rate", rate)));
        let mut expected: Vec<String> = allowed(expected).split('|').map(str::to_owned).collect();
        expected.sort();
        assert_eq!(names(&headers), expected, "{rate:?}");
    }
    assert_eq!(options(&[]), "event");
    assert_eq!(options(&[origin, origin]), "malformed-handshake");
    assert_eq!(
        options(&[("WebHook-Request-Origin", "a\tb")]),
        "malformed-handshake"
    );
    assert_eq!(options(&[("WebHook-Request-Origin", "")]), "malformed-handshake");
}

#[test]
fn a_crc_is_answered_for_what_no_event_is_made_of() {
    let x = verification(X);
    let get = |query: &str| told(&x, &asked(&Method::GET, query, &[]));
    assert_eq!(
        get("crc_token=9b4507b3-9040-4669-9ca3-6b94edb50553&nonce=1"),
        r#"200|content-type: application/json|{"response_token":"sha256=BHU/sTeAhpZoysm5pTCBf+W8Bv0i7mnAPHBDvxtLOrQ="}"#
    );
    for query in [
        "crc_token=",
        "crc_token=%7B%22for_user_id%22%3A%221%22%7D",
        "crc_token=%7B%7D",
        "crc_token=[1]",
        "crc_token=%22text%22",
        "crc_token=a+b",
        "crc_token=a%26b%3Dc",
        "crc_token=a&crc_token=a",
    ] {
        assert_eq!(get(query), "malformed-handshake", "{query}");
    }
    assert_eq!(
        get(&format!("crc_token={}", "a".repeat(257))),
        "malformed-handshake"
    );
    assert_eq!(get("token=a"), "event");
    // An unsigned handshake does not show which secret X uses. The first one answers.
    let two = verification("{x: {secret: [env:A, env:B]}}");
    let request = asked(&Method::GET, "crc_token=abc", &[]);
    assert_eq!(told(&two, &request), told(&x, &request));
}

#[test]
fn what_a_crc_was_answered_signs_no_event() {
    let x = verification(X);
    let unguarded = verification("{x: {secret: env:A, handshake: none}}");
    for body in [
        "true",
        "123",
        "null",
        "-5",
        "1e5",
        "text",
        "for_user_id=123",
        "payload=",
        &"a".repeat(256),
    ] {
        let request = sent(&x, body.as_bytes());
        // The signature that the CRC discloses.
        let told = told(&x, &asked(&Method::GET, &format!("crc_token={body}"), &[]));
        let signature = super::header(&request, "x-twitter-webhooks-signature");
        assert!(told.contains(&format!("\"{signature}\"")), "{body}: {told}");
        assert_eq!(
            x.prove(&request).unwrap_err().reason(),
            "forgeable-body",
            "{body}"
        );
        // Without the handshake, no client obtains the signature.
        unguarded.prove(&request).unwrap();
    }
    for body in ["{}", r#"{"for_user_id":"1"}"#, "", "a b", &"a".repeat(257)] {
        x.prove(&sent(&x, body.as_bytes())).unwrap();
    }
}

#[test]
fn a_handshake_can_be_put_on_any_scheme_and_taken_off() {
    let request = asked(&Method::GET, "challenge=x", &[]);
    assert!(
        told(
            &verification("{hmac: {secret: env:A, handshake: dropbox}}"),
            &request
        )
        .starts_with("200")
    );
    assert!(
        told(
            &verification("{bearer: {secret: env:A, handshake: dropbox}}"),
            &request
        )
        .starts_with("200")
    );
    assert_eq!(told(&verification("{hmac: env:A}"), &request), "event");
    assert_eq!(
        told(
            &verification("{dropbox: {secret: env:A, handshake: none}}"),
            &request
        ),
        "event"
    );
    assert_eq!(told(&verification("none"), &request), "event");
    // Authenticated by a token instead of a signature.
    let token = verification("{token: {secret: env:A, header: X-Token, handshake: slack}}");
    assert_eq!(told(&token, &received(&[], CHALLENGE)), "event");
    assert!(told(&token, &received(&[("X-Token", "secret-a")], CHALLENGE)).starts_with("200"));
    let methods = |text: &str| -> Vec<String> {
        verification(text)
            .handshake_methods()
            .map(ToString::to_string)
            .collect()
    };
    assert_eq!(methods("{dropbox: env:A}"), ["GET"]);
    assert_eq!(methods("{github: env:A}"), [""; 0]);
}

#[test]
fn a_secret_that_comes_with_a_handshake_is_learnt_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("learnt");
    let text = |scheme: &str| format!("{{{scheme}: {{learn: '{}'}}}}", file.display());
    let asana = |secret: &str| received(&[("X-Hook-Secret", secret)], b"");
    let notion = |token: &str| received(&[], format!(r#"{{"verification_token":"{token}"}}"#).as_bytes());
    let before = doubtful(&text("asana"));
    assert_eq!(
        told(&before, &asana("b537207f")),
        "200|x-hook-secret: b537207f||to be learnt"
    );
    assert_eq!(
        told(
            &doubtful(&text("notion")),
            &notion("secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl")
        ),
        "200||to be learnt"
    );
    // Until then, every other request is refused, even by a scheme without keys.
    let refusal = before
        .prove(&received(&[("X-Hook-Signature", "00")], b""))
        .unwrap_err();
    assert_eq!(refusal.reason(), "nothing-learnt");
    assert!(
        before
            .sign(&super::OutgoingRequest {
                method: &Method::POST,
                url: "",
                headers: &http::HeaderMap::new(),
                body: b"",
                at: super::now(),
                id: "",
                restamp: true,
            })
            .is_err()
    );

    std::fs::write(&file, "b537207f\n").unwrap();
    for (scheme, same, other) in [
        ("asana", asana("b537207f"), asana("b537207e")),
        ("notion", notion("b537207f"), notion("b537207")),
    ] {
        let after = doubtful(&text(scheme));
        let greeting = told(&after, &same);
        assert!(
            greeting.starts_with("200") && !greeting.contains("to be learnt"),
            "{greeting}"
        );
        let refusal = after.handshake(&other).unwrap().unwrap_err();
        assert_eq!(refusal.reason(), "refused-handshake");
        let words = refusal.to_string();
        assert!(
            words.contains("remove that file and repeat the handshake") && !words.contains("b5372"),
            "{words}"
        );
        let event = sent(&after, br#"{"events":[]}"#);
        after.prove(&event).unwrap();
        let by_secret = verification(&format!("{{{scheme}: b537207f}}"));
        by_secret.prove(&event).unwrap();
        // If the rules name a `secret`, none is enrolled.
        let refusal = by_secret.handshake(&same).unwrap().unwrap_err();
        assert!(
            refusal.to_string().contains("`learn: FILE` in place of `secret`"),
            "{refusal}"
        );
    }
}

#[test]
fn a_secret_that_could_not_be_one_is_not_learnt() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("learnt");
    let asana = doubtful(&format!("{{asana: {{learn: '{}'}}}}", file.display()));
    let notion = doubtful(&format!("{{notion: {{learn: '{}'}}}}", file.display()));
    for secret in ["", "a b", "é", &"x".repeat(257)] {
        assert_eq!(
            told(&asana, &received(&[("X-Hook-Secret", secret)], b"")),
            "malformed-handshake",
            "{secret}"
        );
    }
    assert!(told(&asana, &received(&[("X-Hook-Secret", &"x".repeat(256))], b"")).starts_with("200"));
    let twice = [("X-Hook-Secret", "a"), ("X-Hook-Secret", "a")];
    assert_eq!(told(&asana, &received(&twice, b"")), "malformed-handshake");
    for (body, expected) in [
        (r#"{"verification_token":"a\nb"}"#, "malformed-handshake"),
        (r#"{"verification_token":""}"#, "malformed-handshake"),
        (r#"{"verification_token":5}"#, "event"),
        (r#"{"type":"page.created","verification_token":"x"}"#, "event"),
        (r#"{"data":{"verification_token":"x"}}"#, "event"),
        (r#"{"verification_token":"x""#, "event"),
        ("verification_token", "event"),
    ] {
        assert_eq!(told(&notion, &received(&[], body.as_bytes())), expected, "{body}");
    }
}
