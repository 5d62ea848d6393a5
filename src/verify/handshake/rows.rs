//! Rows of the handshake table, one per handshake.
//!
//! **To add a handshake, add a row.** The comment above a row names its source and the grade of
//! that source.
//!
//! Grades: *P* official documents or official source code; *S* secondary.

use http::{Method, StatusCode};

use super::row::{HandshakeAnswer, HandshakeForm, HandshakePreset, Is, Mark, TextLocation};
use crate::verify::scheme::signature::mac::Encoding;

/// All handshakes.
pub static HANDSHAKES: &[HandshakePreset] = &[
    // P: docs.slack.dev, events/url_verification: "verify the request's authenticity and then
    // respond in plaintext with the challenge attribute value".
    HandshakePreset {
        name: "slack",
        signed: true,
        verify_token: None,
        unauthorized: None,
        forms: &[HandshakeForm {
            method: Method::POST,
            mark: Mark::Json {
                at: "/type",
                is: Is::Text("url_verification"),
                without: None,
            },
            reply: HandshakeAnswer::Echo(TextLocation::Json("/challenge")),
        }],
    },
    // P: developers.facebook.com, "Create a webhook endpoint" (WhatsApp, Messenger, Instagram
    // alike). Not signed: the verify token authenticates the sender.
    HandshakePreset {
        name: "meta",
        signed: false,
        verify_token: Some("hub.verify_token"),
        unauthorized: None,
        forms: &[HandshakeForm {
            method: Method::GET,
            mark: Mark::QueryIs("hub.mode", "subscribe"),
            reply: HandshakeAnswer::Echo(TextLocation::Query("hub.challenge")),
        }],
    },
    // P: dev.twitch.tv, "Getting events using webhook callbacks", and twitch-cli,
    // subscription_verify.go: text/plain, any 2xx. The header that marks the handshake is not
    // signed, but the challenge is. Changing an event into a handshake therefore only yields a 400.
    HandshakePreset {
        name: "twitch",
        signed: true,
        verify_token: None,
        unauthorized: None,
        forms: &[HandshakeForm {
            method: Method::POST,
            mark: Mark::HeaderIs("twitch-eventsub-message-type", "webhook_callback_verification"),
            reply: HandshakeAnswer::Echo(TextLocation::Json("/challenge")),
        }],
    },
    // P: developers.zoom.us, "Validate your webhook endpoint". Repeated every 72 hours. A plain
    // token has no `:`, while the signed content of an event has one. The MAC of a token is
    // therefore never a valid signature of an event.
    HandshakePreset {
        name: "zoom",
        signed: true,
        verify_token: None,
        unauthorized: None,
        forms: &[HandshakeForm {
            method: Method::POST,
            mark: Mark::Json {
                at: "/event",
                is: Is::Text("endpoint.url_validation"),
                without: None,
            },
            reply: HandshakeAnswer::Mac {
                of: TextLocation::Json("/payload/plainToken"),
                repeated: Some("plainToken"),
                name: "encryptedToken",
                prefix: "",
                encoding: Encoding::Hex,
            },
        }],
    },
    // P: docs.discord.com, "Interactions overview" and "Webhook events". An interaction of type 1
    // is a PING. A webhook event of type 1 is an event and has an `event`; its PING is type 0.
    // Discord sends wrong signatures on purpose and requires 401. The scheme name in the answer is
    // hookyard's own, because RFC 9110 requires one with a 401.
    HandshakePreset {
        name: "discord",
        signed: true,
        verify_token: None,
        unauthorized: Some("Signature"),
        forms: &[
            HandshakeForm {
                method: Method::POST,
                mark: Mark::Json {
                    at: "/type",
                    is: Is::Number(1),
                    without: Some("/event"),
                },
                reply: HandshakeAnswer::Fixed(StatusCode::OK, Some("{\"type\":1}")),
            },
            HandshakeForm {
                method: Method::POST,
                mark: Mark::Json {
                    at: "/type",
                    is: Is::Number(0),
                    without: Some("/event"),
                },
                reply: HandshakeAnswer::Fixed(StatusCode::NO_CONTENT, None),
            },
        ],
    },
    // P: dropbox.com/developers/reference/webhooks: echo `challenge` as text/plain with nosniff.
    // Not signed.
    HandshakePreset {
        name: "dropbox",
        signed: false,
        verify_token: None,
        unauthorized: None,
        forms: &[HandshakeForm {
            method: Method::GET,
            mark: Mark::Query("challenge"),
            reply: HandshakeAnswer::Echo(TextLocation::Query("challenge")),
        }],
    },
    // P: learn.microsoft.com/graph, "Receive change notifications through webhooks": the token
    // URL-decoded, as text/plain, within 10 seconds. Not signed.
    HandshakePreset {
        name: "microsoft_graph",
        signed: false,
        verify_token: None,
        unauthorized: None,
        forms: &[HandshakeForm {
            method: Method::POST,
            mark: Mark::Query("validationToken"),
            reply: HandshakeAnswer::Echo(TextLocation::Query("validationToken")),
        }],
    },
    // P: developers.asana.com, "Establish a webhook": 200 or 204 "and a matching X-Hook-Secret
    // header". Every webhook has its own secret, and therefore needs its own endpoint and file.
    HandshakePreset {
        name: "asana",
        signed: false,
        verify_token: None,
        unauthorized: None,
        forms: &[HandshakeForm {
            method: Method::POST,
            mark: Mark::Header("x-hook-secret"),
            reply: HandshakeAnswer::Learn(TextLocation::Header("x-hook-secret")),
        }],
    },
    // P: developer.atlassian.com/cloud/trello, "Webhooks": HEAD must be answered 200, or the
    // webhook is not created.
    HandshakePreset {
        name: "trello",
        signed: false,
        verify_token: None,
        unauthorized: None,
        forms: &[HandshakeForm {
            method: Method::HEAD,
            mark: Mark::Method,
            reply: HandshakeAnswer::Fixed(StatusCode::OK, None),
        }],
    },
    // P: cloudevents/spec, http-webhook.md, section 4 (Azure Event Grid follows it). Without the
    // header it is a plain OPTIONS.
    HandshakePreset {
        name: "cloudevents",
        signed: false,
        verify_token: None,
        unauthorized: None,
        forms: &[HandshakeForm {
            method: Method::OPTIONS,
            mark: Mark::Header("webhook-request-origin"),
            reply: HandshakeAnswer::Allow("webhook-request-origin", "webhook-request-rate"),
        }],
    },
    // P: docs.x.com/x-api/webhooks/quickstart, "The CRC check": hourly, answered within 3 seconds.
    // Not signed, so any client may request the MAC of a token. `token.rs` explains why this does
    // not allow forged events.
    HandshakePreset {
        name: "x",
        signed: false,
        verify_token: None,
        unauthorized: None,
        forms: &[HandshakeForm {
            method: Method::GET,
            mark: Mark::Query("crc_token"),
            reply: HandshakeAnswer::Mac {
                of: TextLocation::Query("crc_token"),
                repeated: None,
                name: "response_token",
                prefix: "sha256=",
                encoding: Encoding::Base64,
            },
        }],
    },
    // P: developers.notion.com/reference/webhooks, "Verifying the subscription". The operator then
    // pastes the token into Notion's settings. S: the request may lack `X-Notion-Signature`, so
    // only the body identifies it.
    HandshakePreset {
        name: "notion",
        signed: false,
        verify_token: None,
        unauthorized: None,
        forms: &[HandshakeForm {
            method: Method::POST,
            mark: Mark::Json {
                at: "/verification_token",
                is: Is::AnyText,
                without: Some("/type"),
            },
            reply: HandshakeAnswer::Learn(TextLocation::Json("/verification_token")),
        }],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::scheme::presets::PRESETS;

    #[test]
    fn every_row_is_well_written_and_every_preset_names_one() {
        let lower = |name: &str| !name.bytes().any(|byte| byte.is_ascii_uppercase());
        for (index, row) in HANDSHAKES.iter().enumerate() {
            assert!(!row.forms.is_empty() && row.name != "none");
            assert!(
                HANDSHAKES[..index].iter().all(|other| other.name != row.name),
                "{}",
                row.name
            );
            for form in row.forms {
                // A header in upper case would panic at the first request.
                if let Mark::Header(name) | Mark::HeaderIs(name, _) = form.mark {
                    assert!(lower(name), "{name}");
                }
                match &form.reply {
                    HandshakeAnswer::Echo(TextLocation::Header(name))
                    | HandshakeAnswer::Learn(TextLocation::Header(name)) => {
                        assert!(lower(name));
                    }
                    HandshakeAnswer::Allow(origin, rate) => assert!(lower(origin) && lower(rate)),
                    HandshakeAnswer::Fixed(_, Some(json)) => {
                        serde_json::from_str::<serde_json::Value>(json).unwrap();
                    }
                    _ => {}
                }
                // The body of an unsigned handshake is parsed only if the handshake does nothing
                // but set a secret.
                assert!(row.signed || !form.reads_body() || row.learns(), "{}", row.name);
            }
        }
        for name in PRESETS.iter().filter_map(|preset| preset.handshake) {
            assert!(HANDSHAKES.iter().any(|row| row.name == name), "{name}");
        }
    }
}
