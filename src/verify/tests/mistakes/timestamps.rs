//! Mistakes about the time of sending.

use http::HeaderValue;

use super::{judged, plain, senders};
use crate::base::clock::Timestamp;
use crate::verify::tests::{NOW, PUBLIC_URL, SUITABLE, compiled, doubtful, outcome, sent, sent_as};

#[test]
fn mistake_06_and_11_the_past_alone_is_checked_or_nothing_is() {
    let mut stamped = 0;
    for sender in senders().filter(|sender| sender.is_stamped) {
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
        // Thirteen digits are not seconds. Ten digits as milliseconds are in 1970.
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
        let Some(name) = &sender.timestamp_header else {
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
                .insert(name, HeaderValue::from_bytes(text.as_bytes()).unwrap());
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
        let (verification, diagnostics) = compiled(&verify, Some(PUBLIC_URL));
        assert_eq!(diagnostics[0].code, "unsigned-timestamp", "{scheme}");
        let verification = verification.unwrap();
        let proof = verification.prove(&sent(&verification, SUITABLE)).unwrap();
        let window = std::time::Duration::from_mins(5);
        assert_eq!(
            proof.memory(window),
            std::time::Duration::from_hours(24),
            "{scheme}"
        );
        assert_eq!(proof.dedup_keys.len(), 1);
    }
}

#[test]
fn mistake_12_a_missing_timestamp_downgrades_to_the_body_alone() {
    for sender in senders() {
        let Some(name) = &sender.timestamp_header else {
            continue;
        };
        let mut request = sender.request();
        request.headers.remove(name);
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
