//! Mistakes about the signed content and the algorithm.

use super::{judged, plain, senders};
use crate::verify::tests::{
    NOW, compiled, doubtful, now, outcome, received, sent, sent_as, verification, working,
};

#[test]
fn mistake_01_what_looks_like_a_template_in_a_body_is_expanded() {
    for body in [
        "$&",
        "$1 $$ \\1 %s",
        "{timestamp}{body}{id}",
        "{{x}}",
        "\0",
        "\u{feff}{}",
        "\r\n",
        "",
    ] {
        let content = format!("{NOW}:{body}");
        let value = format!("ts={NOW};h1={}", plain("hex", "sha256", content.as_bytes()));
        let held = outcome(
            "{paddle: env:A}",
            &[("Paddle-Signature", &value)],
            body.as_bytes(),
        );
        assert_eq!(held, "held", "{body:?}");
    }
    let mac = plain("hex", "sha256", b"v0:1614265330:\xff\xfe");
    let headers = [
        ("X-Slack-Signature", format!("v0={mac}")),
        ("X-Slack-Request-Timestamp", NOW.to_string()),
    ];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(outcome("{slack: env:A}", &headers, b"\xff\xfe"), "held");
}

#[test]
fn mistake_04_the_body_is_read_and_written_again_before_it_is_verified() {
    let original = r#"{"a":"é","b":1.0,"c":[1,2]}"#;
    for sender in senders().filter(|sender| sender.name != "linear") {
        let request = sent(&sender.verification, original.as_bytes());
        for altered in [
            r#"{"a":"\u00e9","b":1.0,"c":[1,2]}"#,
            r#"{"a":"é","b":1,"c":[1,2]}"#,
            r#"{"b":1.0,"a":"é","c":[1,2]}"#,
            r#"{"a":"EVIL","a":"é","b":1.0,"c":[1,2]}"#,
            r#"{"a": "é","b":1.0,"c":[1,2]}"#,
            "{\"a\":\"é\",\"b\":1.0,\"c\":[1,2]}\n",
            "\u{feff}{\"a\":\"é\",\"b\":1.0,\"c\":[1,2]}",
        ] {
            let mut request = request.clone();
            request.body = altered.as_bytes().to_vec().into();
            assert_ne!(
                judged(&sender.verification, &request),
                "held",
                "{} {altered}",
                sender.name
            );
        }
    }
}

#[test]
fn mistake_05_and_23_the_algorithm_is_that_of_another_sender() {
    let body = b"{}";
    let (sha1, sha256) = (plain("hex", "sha1", body), plain("hex", "sha256", body));
    assert_eq!(
        outcome("{vercel: env:A}", &[("x-vercel-signature", &sha1)], body),
        "held"
    );
    assert_eq!(
        outcome("{vercel: env:A}", &[("x-vercel-signature", &sha256)], body),
        "malformed-signature"
    );
    // One header and two algorithms: the rule selects the algorithm.
    for (scheme, right, wrong) in [
        ("github_sha1", format!("sha1={sha1}"), format!("sha256={sha256}")),
        ("intercom", format!("sha1={sha1}"), format!("sha256={sha256}")),
        ("bitbucket", format!("sha256={sha256}"), format!("sha1={sha1}")),
        (
            "bitbucket_server",
            format!("sha256={sha256}"),
            format!("sha1={sha1}"),
        ),
        ("jira", format!("sha256={sha256}"), format!("sha1={sha1}")),
    ] {
        let verify = format!("{{{scheme}: env:A}}");
        assert_eq!(
            outcome(&verify, &[("X-Hub-Signature", &right)], body),
            "held",
            "{scheme}"
        );
        for wrong in [wrong, format!("sha1={sha256}"), format!("sha256={sha1}")] {
            let outcome = outcome(&verify, &[("X-Hub-Signature", &wrong)], body);
            assert_eq!(outcome, "malformed-signature", "{scheme}");
        }
    }
    // The algorithm that Twilio's request names is ignored.
    let twilio = doubtful("{twilio: env:A}");
    let mut request = sent(&doubtful("{twilio_sha256: env:A}"), b"");
    let settings = "key=x,algorithm=HMAC_SHA256";
    request
        .headers
        .insert("x-twilio-webhooks-signature-settings", settings.parse().unwrap());
    assert_eq!(judged(&twilio, &request), "malformed-signature");
    // Grafana's separator is a colon.
    let grafana = "{grafana: {secret: env:A, timestamp: {header: X-G-Timestamp}}}";
    for (joint, expected) in [(":", "held"), (".", "bad-signature"), ("", "bad-signature")] {
        let signature = plain("hex", "sha256", format!("{NOW}{joint}{{}}").as_bytes());
        let stamp = NOW.to_string();
        let headers = [
            ("X-Grafana-Alerting-Signature", signature.as_str()),
            ("X-G-Timestamp", &stamp),
        ];
        assert_eq!(outcome(grafana, &headers, body), expected, "{joint}");
    }
}

#[test]
fn mistake_24_a_byte_is_moved_over_a_boundary_that_nothing_marks() {
    let moved = |scheme: &str, stamp: &str, body: &str| {
        // `1614265330` and `1{}`, signed as one text.
        let verification = doubtful(&working(scheme));
        let mut request = sent(&verification, b"1{}");
        let sender = senders().find(|sender| sender.name == scheme).unwrap();
        let header = sender.timestamp_header.unwrap();
        request.headers.insert(header, stamp.parse().unwrap());
        request.body = body.as_bytes().to_vec().into();
        judged(&verification, &request)
    };
    for scheme in ["discord", "sendgrid"] {
        assert_eq!(moved(scheme, "1614265330", "1{}"), "held", "{scheme}");
        // The signature is valid for these parts too, but the time differs.
        assert_eq!(moved(scheme, "16142653301", "{}"), "stale", "{scheme}");
        assert_eq!(moved(scheme, "161426533", "01{}"), "stale", "{scheme}");
    }
    let twitch = verification("{twitch: env:A}");
    let mut request = sent_as(&twitch, &[], b"{}", "id-1", now());
    request
        .headers
        .insert("twitch-eventsub-message-id", "id-12".parse().unwrap());
    let rest = "021-02-25T15:02:10.000Z";
    request
        .headers
        .insert("twitch-eventsub-message-timestamp", rest.parse().unwrap());
    assert_eq!(judged(&twitch, &request), "malformed-timestamp");
    // The boundary between Mailgun's timestamp and token moves by one digit.
    let mailgun = doubtful("{mailgun: env:A}");
    let signature = plain("hex", "sha256", b"1614265330token");
    for (stamp, token, expected) in [("1614265330", "token", "held"), ("161426533", "0token", "stale")] {
        let body = format!(
            r#"{{"signature":{{"timestamp":"{stamp}","token":"{token}","signature":"{signature}"}}}}"#
        );
        assert_eq!(
            judged(&mailgun, &received(&[], body.as_bytes())),
            expected,
            "{stamp}"
        );
    }
    // In schemes with dots, an id with a dot could end elsewhere.
    for scheme in ["standard", "gitlab_signing", "svix"] {
        let verify = format!("{{{scheme}: MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}}");
        let verification = verification(&verify);
        let mut request = sent(&verification, b"{}");
        request.headers.insert("webhook-id", "msg.1".parse().unwrap());
        assert_eq!(judged(&verification, &request), "malformed-id", "{scheme}");
    }
}

#[test]
fn mistake_25_of_a_form_the_wrong_bytes_are_signed() {
    let form = "application/x-www-form-urlencoded";
    let body = b"payload=%7B%22a%22%3A1%7D";
    let (of_payload, of_bytes) = (
        plain("hex", "sha256", br#"{"a":1}"#),
        plain("hex", "sha256", body),
    );
    for scheme in ["gitea", "forgejo", "gogs"] {
        let header = format!("X-{scheme}-Signature");
        let verify = format!("{{{scheme}: env:A}}");
        for (signature, expected) in [(&of_payload, "held"), (&of_bytes, "bad-signature")] {
            let headers = [("Content-Type", form), (&header, signature)];
            assert_eq!(outcome(&verify, &headers, body), expected, "{scheme}");
        }
    }
    for (signature, expected) in [(&of_payload, "bad-signature"), (&of_bytes, "held")] {
        let signature = format!("sha256={signature}");
        let headers = [("Content-Type", form), ("X-Hub-Signature-256", &signature)];
        assert_eq!(outcome("{github: env:A}", &headers, body), expected);
    }
}

#[test]
fn mistake_27_the_url_is_what_the_request_says_it_is() {
    for scheme in ["square", "trello", "hubspot", "twilio"] {
        let verification = doubtful(&working(scheme));
        let mut request = sent(&verification, b"");
        for (name, value) in [
            ("host", "evil.example"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-proto", "http"),
            ("forwarded", "host=evil.example;proto=http"),
        ] {
            request.headers.insert(name, value.parse().unwrap());
        }
        assert_eq!(judged(&verification, &request), "held", "{scheme}");
        for (path, query) in [
            ("/in/", ""),
            ("/In", ""),
            ("/%69n", ""),
            ("/in", "a=1"),
            ("//in", ""),
        ] {
            let mut request = request.clone();
            path.clone_into(&mut request.path);
            query.clone_into(&mut request.query);
            assert_eq!(
                judged(&verification, &request),
                "bad-signature",
                "{scheme} {path} {query}"
            );
        }
        // The same parameters in another order make another URL.
        let mut one = request.clone();
        "a=1&b=2".clone_into(&mut one.query);
        let (other, _) = compiled(&working(scheme), Some("https://other.example"));
        assert_eq!(judged(&other.unwrap(), &request), "bad-signature", "{scheme}");
        assert!(
            compiled(&working(scheme), None)
                .1
                .iter()
                .any(|diagnostic| diagnostic.code == "missing-public-url")
        );
    }
}

#[test]
fn mistake_24_a_request_is_divided_elsewhere_where_its_body_holds_a_second_timestamp() {
    let body = br#"{"text":"x","created_at":"2021-02-25T15:02:10.5Z","evil":1}"#;
    for verify in [
        "{twitch: env:A}".to_owned(),
        "{hmac: {secret: env:A, content: '{id}{timestamp}.{body}', id: {header: X-Id}, timestamp: {unit: rfc3339}}}"
            .to_owned(),
    ] {
        let verification = doubtful(&verify);
        let genuine = sent_as(&verification, &[], body, "msg_1", now());
        let proof = verification.prove(&genuine).unwrap();
        assert_eq!(judged(&verification, &genuine), "held");
        let names = ["twitch-eventsub-message-", "x-"];
        let family = names.iter().find(|name| genuine.headers.contains_key(format!("{name}id"))).unwrap();
        let (id, stamp) = (format!("{family}id"), format!("{family}timestamp"));
        let text = std::str::from_utf8(body).unwrap();
        let at = text.find("2021").unwrap();
        let before = |name: &str| genuine.headers[name].to_str().unwrap().to_owned();
        let dot = if verify.contains("}.{") { "." } else { "" };
        let mut divided = genuine.clone();
        let long = format!("{}{}{dot}{}", before(&id), before(&stamp), &text.split_at(at).0);
        divided.headers.insert(id.parse::<http::HeaderName>().unwrap(), long.parse().unwrap());
        let second = "2021-02-25T15:02:10.5Z".parse().unwrap();
        divided.headers.insert(stamp.parse::<http::HeaderName>().unwrap(), second);
        divided.body = text.split_at(at + 22).1.as_bytes().to_vec().into();
        assert_eq!(judged(&verification, &divided), "malformed-id", "{verify}");
        // Even if such an id were accepted, the signature would be a dedup key as well.
        assert_eq!(proof.dedup_keys.len(), 2, "{verify}");
    }
    let dotted = doubtful("{standard: MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}");
    assert_eq!(dotted.prove(&sent(&dotted, body)).unwrap().dedup_keys.len(), 1);
}
