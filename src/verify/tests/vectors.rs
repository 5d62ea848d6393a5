//! Published signatures of the senders.

use super::{NOW, header, outcome, prove, received, sent_as, verification};
use crate::base::clock::Timestamp;
use crate::event::DedupKey;

const SLACK_BODY: &[u8] = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";

#[test]
fn github() {
    let body = b"Hello, World!";
    for (scheme, name, signature) in [
        (
            "github",
            "X-Hub-Signature-256",
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        ),
        (
            "github_sha1",
            "X-Hub-Signature",
            "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59",
        ),
        // The same header name carries SHA-1 at one sender and SHA-256 at another.
        (
            "bitbucket",
            "X-Hub-Signature",
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        ),
    ] {
        let verify = format!("{{{scheme}: \"It's a Secret to Everybody\"}}");
        assert_eq!(outcome(&verify, &[(name, signature)], body), "held");
        assert_eq!(
            outcome(&verify, &[(name, signature)], b"Hello, World"),
            "bad-signature"
        );
        let request = sent_as(
            &verification(&verify),
            &[],
            body,
            "",
            Timestamp::from_seconds(NOW),
        );
        assert_eq!(header(&request, name), signature);
    }
}

#[test]
fn standard_webhooks() {
    let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    let body = br#"{"test": 2432232314}"#;
    for scheme in ["standard", "svix"] {
        for family in ["webhook", "svix"] {
            let name = |what: &str| format!("{family}-{what}");
            let verify = format!("{{{scheme}: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}}");
            let headers = [
                (name("id"), id),
                (name("timestamp"), "1614265330"),
                (name("signature"), signature),
            ];
            let headers: Vec<(&str, &str)> = headers
                .iter()
                .map(|(name, value)| (name.as_str(), *value))
                .collect();
            let proof = prove(&verify, &headers, body).unwrap();
            assert_eq!(proof.dedup_keys, [DedupKey::id(id.as_bytes())]);
            let sent = proof.timestamp.unwrap();
            assert!(sent.signed && sent.at == Timestamp::from_seconds(NOW));
            let request = sent_as(&verification(&verify), &[], body, id, sent.at);
            assert_eq!(header(&request, "webhook-signature"), signature);
        }
    }
}

#[test]
fn slack() {
    let signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    let verify = "{slack: 8f742231b10e8888abcd99yyyzzz85a5}";
    let headers = [
        ("X-Slack-Request-Timestamp", "1531420618"),
        ("X-Slack-Signature", signature),
    ];
    assert_eq!(outcome(verify, &headers, SLACK_BODY), "held");
    let at = Timestamp::from_seconds(1_531_420_618);
    let request = sent_as(&verification(verify), &[], SLACK_BODY, "", at);
    assert_eq!(header(&request, "X-Slack-Signature"), signature);
}

#[test]
fn square_written_out_by_hand() {
    let verify = r#"{hmac: {secret: asdf1234, header: x-square-hmacsha256-signature, encoding: base64, content: "{url}{body}"}}"#;
    let (verification, _) = super::compiled(verify, Some("https://example.com"));
    let signature = "2kRE5qRU2tR+tBGlDwMEw2avJ7QM4ikPYD/PJ3bd9Og=";
    let mut request = received(
        &[("x-square-hmacsha256-signature", signature)],
        br#"{"hello":"world"}"#,
    );
    request.path = "/webhook".to_owned();
    let verification = verification.unwrap();
    verification.prove(&request).unwrap();
    // The URL is the configured one. The host in the request is ignored.
    request.headers.insert("host", "evil.example".parse().unwrap());
    request
        .headers
        .insert("x-forwarded-host", "evil.example".parse().unwrap());
    verification.prove(&request).unwrap();
    request.query = "a=1".to_owned();
    assert_eq!(
        verification.prove(&request).unwrap_err().reason(),
        "bad-signature"
    );
    (request.query, request.path) = (String::new(), "/webhook/".to_owned());
    assert_eq!(
        verification.prove(&request).unwrap_err().reason(),
        "bad-signature"
    );
}

/// Parameters of Twilio's own test.
const TWILIO_FORM: &[u8] =
    b"CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212";

fn twilio(public_url: &str, query: &str, content_type: &str, body: &[u8], signature: &str) -> &'static str {
    let (verification, _) = super::compiled("{twilio: '12345'}", Some(public_url));
    let headers = [("X-Twilio-Signature", signature), ("Content-Type", content_type)];
    let mut request = received(&headers, body);
    "/myapp.php".clone_into(&mut request.path);
    query.clone_into(&mut request.query);
    let proof = verification.unwrap().prove(&request);
    proof.map_or_else(|refusal| refusal.reason(), |_| "held")
}

#[test]
fn twilio_of_a_form_with_and_without_its_port() {
    let form = "application/x-www-form-urlencoded; charset=utf-8";
    let query = "foo=1&bar=2";
    let (plain, with_443) = ("RSOYDt4T1cUTdK1PDd93/VVr8B8=", "kvajT1Ptam85bY51eRf/AJRuM3w=");
    let (with_80, with_1234) = ("0ZXoZLH/DfblKGATFgpif+LLRf4=", "Zmvh+3yNM1Phv2jhDCwEM3q5ebU=");
    for (url, signature, outcome) in [
        ("https://mycompany.com", plain, "held"),
        ("https://mycompany.com", with_443, "held"),
        ("https://mycompany.com:443", plain, "held"),
        ("https://mycompany.com:443", with_443, "held"),
        ("http://mycompany.com", with_80, "held"),
        ("http://mycompany.com:1234", with_1234, "held"),
        ("https://mycompany.com", with_1234, "bad-signature"),
        ("https://mycompany.com", with_80, "bad-signature"),
        ("https://other.com", plain, "bad-signature"),
    ] {
        assert_eq!(
            twilio(url, query, form, TWILIO_FORM, signature),
            outcome,
            "{url} {signature}"
        );
    }
    let url = "https://mycompany.com";
    // Order and repetition of fields do not count. Every name and value does.
    let mut fields: Vec<&[u8]> = TWILIO_FORM.split(|byte| *byte == b'&').collect();
    fields.reverse();
    fields.push(b"Digits=1234");
    assert_eq!(twilio(url, query, form, &fields.join(&b'&'), plain), "held");
    for altered in [
        [TWILIO_FORM, b"&x=1"].concat(),
        [TWILIO_FORM, b"&Digits=12345"].concat(),
        TWILIO_FORM[..TWILIO_FORM.len() - 1].to_vec(),
        Vec::new(),
    ] {
        assert_eq!(twilio(url, query, form, &altered, plain), "bad-signature");
    }
    assert_eq!(
        twilio(url, "bar=2&foo=1", form, TWILIO_FORM, plain),
        "bad-signature"
    );
    // A signature over a form is not valid for another content type.
    assert_eq!(
        twilio(url, query, "application/json", TWILIO_FORM, plain),
        "bad-signature"
    );
}

#[test]
fn twilio_of_json_by_its_digest_in_the_url() {
    let url = "https://mycompany.com";
    let digest = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";
    let query = format!("foo=1&bar=2&bodySHA256={digest}");
    let signature = "a9nBmqA0ju/hNViExpshrM61xv4=";
    let body: &[u8] = br#"{"property": "value", "boolean": true}"#;
    let json = "application/json";
    assert_eq!(twilio(url, &query, json, body, signature), "held");
    assert_eq!(twilio(url, &query, json, b"{}", signature), "bad-signature");
    // Neither an empty body nor a form without fields matches the digest in the URL.
    let form = "application/x-www-form-urlencoded";
    for (content_type, other) in [
        (json, b"".as_slice()),
        (form, b""),
        (form, b"&&&"),
        (form, b"="),
        (form, body),
    ] {
        let outcome = twilio(url, &query, content_type, other, signature);
        assert_eq!(outcome, "bad-signature", "{content_type} {other:?}");
    }
    // A URL without a digest permits no body.
    let plain = sent_as(
        &verification("{twilio: '12345'}"),
        &[("Content-Type", "application/json")],
        b"",
        "",
        Timestamp::from_seconds(NOW),
    );
    let mut request = plain.clone();
    let verification = verification("{twilio: '12345'}");
    assert!(verification.prove(&request).is_ok());
    request.body = body.to_vec().into();
    assert_eq!(
        verification.prove(&request).unwrap_err().reason(),
        "missing-signature"
    );
}

#[test]
fn square() {
    let (verification, _) = super::compiled("{square: asdf1234}", Some("https://example.com"));
    let signature = "2kRE5qRU2tR+tBGlDwMEw2avJ7QM4ikPYD/PJ3bd9Og=";
    let mut request = received(
        &[("x-square-hmacsha256-signature", signature)],
        br#"{"hello":"world"}"#,
    );
    "/webhook".clone_into(&mut request.path);
    let verification = verification.unwrap();
    assert!(verification.prove(&request).is_ok());
    "/webhook/".clone_into(&mut request.path);
    assert_eq!(
        verification.prove(&request).unwrap_err().reason(),
        "bad-signature"
    );
}

#[test]
fn twilio_of_too_many_fields_is_not_sorted() {
    let form = "application/x-www-form-urlencoded";
    let body = "a=1&".repeat(200_000);
    let outcome = twilio(
        "https://h",
        "",
        form,
        body.as_bytes(),
        &format!("{}=", "A".repeat(27)),
    );
    assert_eq!(outcome, "unreadable-body");
}
