//! The mistakes that verifiers have made, each tried on every sender to which it applies.
//!
//! Those of a whole daemon (bounds, replays, handshakes, logs) are tried in `tests/it`.

use data_encoding::{BASE64, HEXLOWER};
use http::{HeaderName, HeaderValue};

use super::{
    NOW, PUBLIC_URL, SUITABLE, compiled, doubtful, header, now, outcome, prove, received, sent, sent_as,
    verification, working,
};
use crate::clock::Timestamp;
use crate::verify::scheme::presets::{PRESETS, PlaceRow, Row, SignatureRow};
use crate::verify::scheme::signature::mac::Encoding;
use crate::verify::{Received, Verification};

/// A sender whose signature stands in a header.
struct Sender {
    name: &'static str,
    row: &'static SignatureRow,
    header: HeaderName,
    verification: Verification,
}

impl Sender {
    /// A genuine request of now.
    fn request(&self) -> Received {
        sent(&self.verification, SUITABLE)
    }

    /// What becomes of a request whose signature header is this instead.
    fn outcome_with(&self, value: &[u8]) -> &'static str {
        let mut request = self.request();
        request
            .headers
            .insert(&self.header, HeaderValue::from_bytes(value).unwrap());
        judged(&self.verification, &request)
    }

    /// The signature alone, without what stands before it.
    fn signature(&self) -> (String, String) {
        let request = self.request();
        let whole = header(&request, self.header.as_str()).to_owned();
        let at = whole.rfind(self.row.prefix).unwrap() + self.row.prefix.len();
        if self.row.prefix.is_empty() {
            return (String::new(), whole);
        }
        let (before, signature) = whole.split_at(at);
        (before.to_owned(), signature.to_owned())
    }

    /// The header of its timestamp.
    fn timestamp_header(&self) -> Option<HeaderName> {
        match &self.row.timestamp.as_ref()?.place {
            PlaceRow::Header(names) => names.first()?.parse().ok(),
            _ => None,
        }
    }
}

fn judged(verification: &Verification, request: &Received) -> &'static str {
    match verification.prove(request) {
        Ok(proof) => match proof.freshness(verification.default_window(), request.at) {
            Ok(()) => "held",
            Err(refusal) => refusal.reason(),
        },
        Err(refusal) => refusal.reason(),
    }
}

/// All of them.
fn senders() -> impl Iterator<Item = Sender> {
    PRESETS.iter().filter_map(|preset| {
        let Row::Signature(row) = &preset.scheme else {
            return None;
        };
        let PlaceRow::Header(names) = &row.signature else {
            return None;
        };
        Some(Sender {
            name: preset.name,
            row,
            header: names.first()?.parse().ok()?,
            verification: doubtful(&working(preset.name)),
        })
    })
}

/// A signature of a text by the secret `secret-a`, made by the plain scheme.
fn plain(encoding: &str, algorithm: &str, content: &[u8]) -> String {
    let verify = format!("{{hmac: {{secret: env:A, encoding: {encoding}, algorithm: {algorithm}}}}}");
    header(&sent(&verification(&verify), content), "x-signature").to_owned()
}

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
fn mistake_02_and_03_of_several_signatures_one_is_looked_at_alone() {
    let mut lists = 0;
    for sender in senders().filter(|sender| !sender.row.separator.is_empty()) {
        lists += 1;
        let (before, signature) = sender.signature();
        let (prefix, separator) = (sender.row.prefix, sender.row.separator);
        let wrong = match sender.row.encoding {
            Encoding::Hex => "0".repeat(signature.len()),
            Encoding::Base64 => BASE64.encode(&vec![0; BASE64.decode(signature.as_bytes()).unwrap().len()]),
        };
        for (items, expected) in [
            (vec![&signature, &wrong], "held"),
            (vec![&wrong, &signature], "held"),
            (vec![&wrong, &wrong], "bad-signature"),
            (vec![&signature; 14], "held"),
            (vec![&wrong; 17], "malformed-signature"),
        ] {
            let joined: Vec<String> = items.iter().map(|item| format!("{prefix}{item}")).collect();
            // What stands before the first signature: a timestamp, in some lists.
            let head = before.strip_suffix(prefix).unwrap();
            let value = format!("{head}{}", joined.join(separator));
            assert_eq!(sender.outcome_with(value.as_bytes()), expected, "{}", sender.name);
        }
    }
    assert!(lists >= 8, "{lists}");
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
    // One header, and two algorithms: which it is is the rule's to say.
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
    // Twilio's request names an algorithm; nobody listens.
    let twilio = doubtful("{twilio: env:A}");
    let mut request = sent(&doubtful("{twilio_sha256: env:A}"), b"");
    let settings = "key=x,algorithm=HMAC_SHA256";
    request
        .headers
        .insert("x-twilio-webhooks-signature-settings", settings.parse().unwrap());
    assert_eq!(judged(&twilio, &request), "malformed-signature");
    // Grafana joins by a colon.
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
fn mistake_06_and_11_the_past_alone_is_checked_or_nothing_is() {
    let mut stamped = 0;
    for sender in senders().filter(|sender| sender.row.timestamp.is_some()) {
        stamped += 1;
        let window = i64::try_from(sender.verification.default_window().as_secs()).unwrap();
        let year = 366 * 24 * 3600;
        for (distance, expected) in [
            (0, "held"),
            (-window, "held"),
            (window, "held"),
            (-window - 1, "stale"),
            (window + 1, "stale"),
            (year, "stale"),
            (1 - NOW, "stale"),
        ] {
            let at = Timestamp::from_seconds(NOW + distance);
            let request = sent_as(&sender.verification, &[], SUITABLE, "msg_1", at);
            assert_eq!(
                judged(&sender.verification, &request),
                expected,
                "{} {distance}",
                sender.name
            );
        }
    }
    assert!(stamped >= 14, "{stamped}");
}

#[test]
fn mistake_07_milliseconds_are_read_as_seconds_and_the_other_way() {
    for (scheme, unit) in [
        ("stripe", "ms"),
        ("slack", "ms"),
        ("paddle", "ms"),
        ("hubspot", "s"),
        ("linear", "s"),
    ] {
        let right = doubtful(&format!("{{{scheme}: env:A}}"));
        let other = doubtful(&format!(
            "{{{scheme}: {{secret: env:A, timestamp: {{unit: {unit}}}}}}}"
        ));
        let outcome = judged(&right, &sent(&other, SUITABLE));
        // Thirteen digits are no seconds at all; ten are milliseconds of 1970.
        let expected = if unit == "ms" {
            "malformed-timestamp"
        } else {
            "stale"
        };
        assert_eq!(outcome, expected, "{scheme}");
    }
}

#[test]
fn mistake_08_numbers_are_read_leniently() {
    for sender in senders() {
        let Some(name) = sender.timestamp_header() else {
            continue;
        };
        for text in [
            "",
            " ",
            "0",
            "-1",
            "+1614265330",
            "01614265330",
            "1614265330.0",
            "1_614_265_330",
            "1614265330abc",
            "1e9",
            "0x60377b32",
            "NOW.9",
            "٣٤٥",
            "1000000000000000000000000000000",
            "9223372036854775808",
            "abc",
            "1614265330,1",
        ] {
            let mut request = sender.request();
            request
                .headers
                .insert(&name, HeaderValue::from_bytes(text.as_bytes()).unwrap());
            let outcome = judged(&sender.verification, &request);
            assert_eq!(outcome, "malformed-timestamp", "{} {text:?}", sender.name);
        }
    }
}

#[test]
fn mistake_09_the_timestamp_is_written_anew_before_it_is_signed() {
    for stamp in [
        "2021-02-25T15:02:10Z",
        "2021-02-25T15:02:10.000Z",
        "2021-02-25T15:02:10.123456789Z",
        "2021-02-25T15:02:10+00:00",
        "2021-02-25T16:02:10+01:00",
    ] {
        let zendesk = plain("base64", "sha256", format!("{stamp}{{}}").as_bytes());
        let headers = [
            ("X-Zendesk-Webhook-Signature", zendesk.as_str()),
            ("X-Zendesk-Webhook-Signature-Timestamp", stamp),
        ];
        assert_eq!(outcome("{zendesk: env:A}", &headers, b"{}"), "held", "{stamp}");
        let twitch = format!(
            "sha256={}",
            plain("hex", "sha256", format!("id{stamp}{{}}").as_bytes())
        );
        let headers = [
            ("Twitch-Eventsub-Message-Signature", twitch.as_str()),
            ("Twitch-Eventsub-Message-Timestamp", stamp),
            ("Twitch-Eventsub-Message-Id", "id"),
        ];
        assert_eq!(outcome("{twitch: env:A}", &headers, b"{}"), "held", "{stamp}");
    }
}

#[test]
fn mistake_10_a_timestamp_that_nobody_signed_counts_as_protection() {
    for (scheme, name) in [
        ("sentry", "Sentry-Hook-Timestamp"),
        ("shopify", "X-Shopify-Triggered-At"),
        ("square", "square-initial-delivery-timestamp"),
    ] {
        let verify = format!("{{{scheme}: {{secret: env:A, timestamp: {{header: {name}}}}}}}");
        let (verification, findings) = compiled(&verify, Some(PUBLIC_URL));
        assert_eq!(findings[0].code, "unsigned-timestamp", "{scheme}");
        let verification = verification.unwrap();
        let proof = verification.prove(&sent(&verification, SUITABLE)).unwrap();
        let window = std::time::Duration::from_mins(5);
        assert_eq!(
            proof.memory(window),
            std::time::Duration::from_hours(24),
            "{scheme}"
        );
        assert_eq!(proof.nonces.len(), 1);
    }
}

#[test]
fn mistake_12_a_missing_timestamp_downgrades_to_the_body_alone() {
    for sender in senders() {
        let Some(name) = sender.timestamp_header() else {
            continue;
        };
        let mut request = sender.request();
        request.headers.remove(&name);
        assert_eq!(
            judged(&sender.verification, &request),
            "missing-timestamp",
            "{}",
            sender.name
        );
    }
    for (scheme, header, value) in [
        (
            "stripe",
            "Stripe-Signature",
            format!("v1={}", plain("hex", "sha256", b"{}")),
        ),
        (
            "paddle",
            "Paddle-Signature",
            format!("h1={}", plain("hex", "sha256", b"{}")),
        ),
        (
            "calendly",
            "Calendly-Webhook-Signature",
            format!("v1={}", plain("hex", "sha256", b"{}")),
        ),
    ] {
        let outcome = outcome(&format!("{{{scheme}: env:A}}"), &[(header, &value)], b"{}");
        assert_eq!(outcome, "missing-timestamp", "{scheme}");
    }
    let grafana = "{grafana: {secret: env:A, timestamp: {header: X-G}}}";
    let signature = plain("hex", "sha256", b"{}");
    let outcome = outcome(grafana, &[("X-Grafana-Alerting-Signature", &signature)], b"{}");
    assert_eq!(outcome, "missing-timestamp");
}

#[test]
fn mistake_13_a_signature_that_begins_well_is_half_right() {
    // That the comparison takes the same time is `subtle`'s promise; that it is of the whole is ours.
    for sender in senders() {
        let (before, signature) = sender.signature();
        for at in [signature.len() / 2, signature.len() - 6] {
            let mut altered = signature.clone().into_bytes();
            altered[at] = if altered[at] == b'0' { b'1' } else { b'0' };
            let outcome = sender.outcome_with(&[before.as_bytes(), &altered].concat());
            assert_eq!(outcome, "bad-signature", "{} {at}", sender.name);
        }
    }
}

#[test]
fn mistake_14_and_15_a_malformed_or_empty_value_is_a_crash_or_a_match() {
    let long = "0".repeat(65_536);
    for sender in senders() {
        let prefix = sender.row.prefix;
        for value in [
            "",
            " ",
            prefix,
            "=",
            ",",
            ";",
            "v1,",
            "v1",
            "sha256=",
            "t=,v1=",
            "0",
            "é",
            "\u{fffd}",
            "0x",
            "sha256=é",
            "v1=abc",
            "====",
            "AAAA",
            &long,
        ] {
            for value in [value.to_owned(), format!("{prefix}{value}")] {
                let outcome = sender.outcome_with(value.as_bytes());
                assert!(
                    ["malformed-signature", "missing-timestamp"].contains(&outcome)
                        // A signature in DER has no one length.
                        || (sender.name == "sendgrid" && outcome == "bad-signature"),
                    "{} {value:.40} {outcome}",
                    sender.name
                );
            }
        }
        assert_eq!(
            sender.outcome_with(b"\xff\xfe"),
            "malformed-signature",
            "{}",
            sender.name
        );
        let mut request = sender.request();
        request.headers.remove(&sender.header);
        assert_eq!(
            judged(&sender.verification, &request),
            "missing-header",
            "{}",
            sender.name
        );
    }
}

#[test]
fn mistake_16_and_17_an_empty_secret_is_one_and_a_newline_is_kept() {
    for preset in PRESETS {
        for secret in ["''", "'  '", "env:EMPTY", "env:UNSET", "file:unreadable"] {
            let key = match working(preset.name) {
                text if text.contains("private_key") => "public_key",
                text if text.contains("password") => "password",
                _ => "secret",
            };
            let user = if key == "password" { "user: ci, " } else { "" };
            let verify = format!("{{{}: {{{user}{key}: {secret}}}}}", preset.name);
            let (compiled, findings) = compiled(&verify, Some("https://h"));
            assert!(compiled.is_none(), "{verify}");
            assert!(
                findings
                    .iter()
                    .any(|finding| finding.code == "secret" || finding.code == "key"),
                "{verify} {findings:?}"
            );
        }
    }
    for verify in [
        "{standard: whsec_}",
        "{standard_v1a: whpk_}",
        "{airtable: '===='}",
        "{adyen_platform: ''}",
    ] {
        assert!(compiled(verify, None).0.is_none(), "{verify}");
    }
}

#[test]
fn mistake_18_the_key_is_taken_in_the_wrong_form() {
    // 24 bytes, of which the base64 may or may not be padded.
    let (text, key) = (
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwAQ==",
        "31f290f6bf06298aab4f08d43c3f082cf648a362da2da4b001",
    );
    assert_eq!(HEXLOWER.encode(&BASE64.decode(text.as_bytes()).unwrap()), key);
    let by = |scheme: &str, secret: &str| doubtful(&format!("{{{scheme}: '{secret}'}}"));
    let holds = |made: &str, checked: &str, scheme: &str| {
        judged(&by(scheme, checked), &sent(&by(scheme, made), b"{}"))
    };
    for same in [
        text.to_owned(),
        text.trim_end_matches('=').to_owned(),
        format!("whsec_{text}"),
    ] {
        assert_eq!(
            holds(&format!("whsec_{text}"), &same, "standard"),
            "held",
            "{same}"
        );
    }
    assert_eq!(holds(text, text.trim_end_matches('='), "airtable"), "held");
    // Stripe's `whsec_` is part of the key.
    assert_eq!(holds(&format!("whsec_{text}"), text, "stripe"), "bad-signature");
    assert_eq!(holds(key, &key.to_uppercase(), "adyen_platform"), "held");
    for (scheme, wrong) in [
        ("standard", "not base64!"),
        ("airtable", "é"),
        ("adyen_platform", text),
        ("adyen_payments", text),
    ] {
        assert!(
            compiled(&format!("{{{scheme}: '{wrong}'}}"), None).0.is_none(),
            "{scheme}"
        );
    }
}

#[test]
fn mistake_19_to_21_prefix_and_encoding_are_read_leniently() {
    for sender in senders() {
        let (before, signature) = sender.signature();
        let prefix = sender.row.prefix;
        let head = before.strip_suffix(prefix).unwrap();
        let list = !sender.row.separator.is_empty();
        let mut wrong = vec![
            format!("{before}{signature}!!!!"),
            format!("{before}{signature}0"),
            format!("{before}{}", &signature[1..]),
        ];
        if !prefix.is_empty() {
            wrong.push(format!("{head}{signature}"));
            wrong.push(format!("{head}{}{signature}", prefix.to_uppercase()));
            wrong.push(format!("{head}{prefix}{prefix}{signature}"));
            if !list {
                wrong.push(format!(" {head}{prefix}{signature}"));
                wrong.push(format!("{head}{prefix}{signature} "));
            }
        }
        match sender.row.encoding {
            Encoding::Hex => {
                let upper = format!("{before}{}", signature.to_uppercase());
                assert_eq!(sender.outcome_with(upper.as_bytes()), "held", "{}", sender.name);
                wrong.push(format!("{before}0x{signature}"));
            }
            Encoding::Base64 => {
                wrong.push(format!("{before}{}", signature.replace('=', "")));
                wrong.push(format!("{before}{}\u{2028}", signature));
                if signature.contains(['+', '/']) {
                    wrong.push(format!(
                        "{before}{}",
                        signature.replace('+', "-").replace('/', "_")
                    ));
                }
            }
        }
        for value in wrong
            .iter()
            .filter(|value| **value != format!("{before}{signature}"))
        {
            let outcome = sender.outcome_with(value.as_bytes());
            assert_ne!(outcome, "held", "{} {value}", sender.name);
        }
    }
}

#[test]
fn mistake_22_a_header_that_comes_twice_is_believed_once() {
    for sender in senders().filter(|sender| sender.row.separator.is_empty()) {
        let request = sender.request();
        let right = request.headers[&sender.header].clone();
        let wrong = HeaderValue::from_static("x");
        for lines in [[&right, &wrong], [&wrong, &right], [&right, &right]] {
            let mut request = request.clone();
            request.headers.remove(&sender.header);
            for line in lines {
                request.headers.append(&sender.header, line.clone());
            }
            assert_eq!(
                judged(&sender.verification, &request),
                "repeated-header",
                "{}",
                sender.name
            );
        }
        if let Some(name) = sender.timestamp_header() {
            let mut request = request.clone();
            let stamp = request.headers[&name].clone();
            request.headers.append(&name, stamp);
            assert_eq!(
                judged(&sender.verification, &request),
                "repeated-header",
                "{}",
                sender.name
            );
        }
    }
}

#[test]
fn mistake_24_a_byte_is_moved_over_a_boundary_that_nothing_marks() {
    let moved = |scheme: &str, stamp: &str, body: &str| {
        // `1614265330` and `1{}`, signed as one text.
        let verification = doubtful(&working(scheme));
        let mut request = sent(&verification, b"1{}");
        let header = PRESETS
            .iter()
            .find_map(|preset| match &preset.scheme {
                Row::Signature(row) if preset.name == scheme => match &row.timestamp.as_ref()?.place {
                    PlaceRow::Header(names) => Some(names[0]),
                    _ => None,
                },
                _ => None,
            })
            .unwrap();
        request.headers.insert(header, stamp.parse().unwrap());
        request.body = body.as_bytes().to_vec().into();
        judged(&verification, &request)
    };
    for scheme in ["discord", "sendgrid"] {
        assert_eq!(moved(scheme, "1614265330", "1{}"), "held", "{scheme}");
        // The signature holds over these; the moment is another one.
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
    // Mailgun's token takes the timestamp's last digit.
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
    // In dotted schemes an id with a dot could end elsewhere.
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
        // The same parameters in another order are another URL.
        let mut one = request.clone();
        "a=1&b=2".clone_into(&mut one.query);
        let (other, _) = compiled(&working(scheme), Some("https://other.example"));
        assert_eq!(judged(&other.unwrap(), &request), "bad-signature", "{scheme}");
        assert!(
            compiled(&working(scheme), None)
                .1
                .iter()
                .any(|finding| finding.code == "missing-public-url")
        );
    }
}

#[test]
fn what_is_refused_says_why_and_repeats_neither_secret_nor_signature() {
    for sender in senders() {
        let (_, signature) = sender.signature();
        let mut request = sender.request();
        request.body = b"{}".to_vec().into();
        let Err(refusal) = sender.verification.prove(&request) else {
            panic!("{}", sender.name)
        };
        let said = format!("{refusal} {refusal:?} {:?}", sender.verification);
        assert!(
            !said.contains(&signature) && !said.contains("00010203"),
            "{}: {said}",
            sender.name
        );
    }
    let refusal = prove(
        "{github: env:A}",
        &[("X-Hub-Signature-256", "sha256=hunter2")],
        b"",
    )
    .unwrap_err();
    assert!(!refusal.to_string().contains("hunter2"));
}
