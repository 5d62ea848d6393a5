//! Rows of the preset table, one per sender.
//!
//! **To add a sender, add a row.** The comment above a row names its source and the grade of that
//! source.
//!
//! Grades: *P* official documents or official source code; *E* an excerpt of the official page; *S*
//! secondary.

use std::time::Duration;

use super::super::jwt;
use super::super::signature::mac::{Encoding, HashAlgorithm, KeyEncoding};
use super::super::source::Unit;
use super::{
    EventAt, JwtRow, KeyKind, PLAIN, PLAIN_ED25519, PLAIN_P256, PlaceRow, Preset, SchemePreset, SignatureRow,
    TimestampRow, TokenRow,
};
use EventAt::{Either, Header, Payload};

/// Defaults for all senders.
const SENDER: Preset = Preset {
    name: "",
    sender: "",
    scheme: SchemePreset::Bearer,
    event: None,
    siblings: &[],
    repeats: false,
    handshake: None,
    max_body: None,
    note: "",
};

/// Maximum body of GitHub and GitLab: 25 MiB.
///
/// GitHub: "payloads are capped at 25 MB" (P: docs.github.com, "Webhook events and payloads").
/// GitLab: merge request 38687, `Gitlab::Json::LimitedEncoder` (P).
const MB_25: Option<u64> = Some(25 << 20);

/// `sha256=`, followed by the hex HMAC-SHA256 of the body.
const SHA256_HEX: SignatureRow = SignatureRow {
    prefix: "sha256=",
    ..PLAIN
};

/// Base64 HMAC-SHA256.
const BASE64: SignatureRow = SignatureRow {
    encoding: Encoding::Base64,
    ..PLAIN
};

/// HMAC-SHA1, for senders that support nothing better.
const SHA1: SignatureRow = SignatureRow {
    kind: KeyKind::Hmac(HashAlgorithm::Sha1),
    ..PLAIN
};

/// Scheme of Slack, also used by Zoom.
const V0: SignatureRow = SignatureRow {
    prefix: "v0=",
    content: "v0:{timestamp}:{body}",
    ..PLAIN
};

/// Gitea and its forks. For a form, the decoded `payload` is signed.
const GITEA: SignatureRow = SignatureRow {
    form_field: Some("payload"),
    ..PLAIN
};

/// Standard Webhooks, and Svix v1, from which it derives.
const STANDARD: SignatureRow = SignatureRow {
    key_encoding: KeyEncoding::Base64,
    strip_prefix: "whsec_",
    signature: PlaceRow::Header(&["webhook-signature", "svix-signature"]),
    prefix: "v1,",
    separator: " ",
    content: "{id}.{timestamp}.{body}",
    timestamp: Some(seconds(PlaceRow::Header(&[
        "webhook-timestamp",
        "svix-timestamp",
    ]))),
    id: Some(PlaceRow::Header(&["webhook-id", "svix-id"])),
    ..BASE64
};

/// Twilio: the URL and the fields of a form, or a digest of the body in the URL.
const TWILIO: SignatureRow = SignatureRow {
    signature: PlaceRow::Header(&["X-Twilio-Signature"]),
    content: "twilio",
    ..BASE64
};

/// Timestamp in Unix seconds.
const fn seconds(place: PlaceRow) -> TimestampRow {
    TimestampRow { place, unit: Unit::S }
}

/// All presets.
pub static PRESETS: &[Preset] = &[
    // P: docs.github.com, "Validating webhook deliveries". `X-GitHub-Delivery` is not signed, so it
    // is not used as an id.
    Preset {
        name: "github",
        sender: "GitHub",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["X-Hub-Signature-256"]),
            ..SHA256_HEX
        }),
        event: Some(Header("X-GitHub-Event")),
        siblings: &["X-Hub-Signature"],
        max_body: MB_25,
        ..SENDER
    },
    // P: the same page. Legacy signature, for GitHub Enterprise Servers that send no other.
    Preset {
        name: "github_sha1",
        sender: "GitHub Enterprise, legacy",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["X-Hub-Signature"]),
            prefix: "sha1=",
            ..SHA1
        }),
        event: Some(Header("X-GitHub-Event")),
        siblings: &["X-Hub-Signature-256"],
        max_body: MB_25,
        ..SENDER
    },
    // P: gitlabhq, app/services/web_hook_service.rb. Secret token. `Idempotency-Key` is the same
    // for all attempts of a delivery.
    Preset {
        name: "gitlab",
        sender: "GitLab, secret token",
        scheme: SchemePreset::Token(TokenRow {
            place: PlaceRow::Header(&["X-Gitlab-Token"]),
            id: Some(PlaceRow::Header(&["Idempotency-Key"])),
        }),
        event: Some(Header("X-Gitlab-Event")),
        siblings: &["webhook-signature"],
        max_body: MB_25,
        note: "from version 19 prefer `gitlab_signing`",
        ..SENDER
    },
    // P/E: GitLab merge request 230944; docs.gitlab.com, "Signing tokens". Every delivery has the
    // other headers of Standard Webhooks. The signature is present only if a signing token is set.
    // The token is ignored here.
    Preset {
        name: "gitlab_signing",
        sender: "GitLab 19+, signing token",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["webhook-signature"]),
            timestamp: Some(seconds(PlaceRow::Header(&["webhook-timestamp"]))),
            id: Some(PlaceRow::Header(&["webhook-id"])),
            ..STANDARD
        }),
        event: Some(Header("X-Gitlab-Event")),
        siblings: &["X-Gitlab-Token"],
        max_body: MB_25,
        ..SENDER
    },
    // P: go-gitea, services/webhook/deliver.go. For a form, the decoded `payload` is signed.
    Preset {
        name: "gitea",
        sender: "Gitea",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["X-Gitea-Signature"]),
            ..GITEA
        }),
        event: Some(Header("X-Gitea-Event")),
        siblings: &["X-Gogs-Signature", "X-Hub-Signature", "X-Hub-Signature-256"],
        ..SENDER
    },
    // P/E: forgejo.org/docs and Forgejo's source. Forgejo sends Gitea's headers in addition to its
    // own.
    Preset {
        name: "forgejo",
        sender: "Forgejo",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["X-Forgejo-Signature"]),
            ..GITEA
        }),
        event: Some(Header("X-Forgejo-Event")),
        siblings: &[
            "X-Gitea-Signature",
            "X-Gogs-Signature",
            "X-Hub-Signature",
            "X-Hub-Signature-256",
        ],
        ..SENDER
    },
    // P: gogs, internal/database/webhook.go.
    Preset {
        name: "gogs",
        sender: "Gogs",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["X-Gogs-Signature"]),
            ..GITEA
        }),
        event: Some(Header("X-Gogs-Event")),
        ..SENDER
    },
    // E: bitbucket.org/blog, "Enhanced webhook security". SHA-256, in the header that other senders
    // use for SHA-1.
    Preset {
        name: "bitbucket",
        sender: "Bitbucket Cloud",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["X-Hub-Signature"]),
            ..SHA256_HEX
        }),
        event: Some(Header("X-Event-Key")),
        ..SENDER
    },
    // S: Atlassian's event payload page, as quoted by @coderabbitai/bitbucket.
    Preset {
        name: "bitbucket_server",
        sender: "Bitbucket Server, Data Center",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["X-Hub-Signature"]),
            ..SHA256_HEX
        }),
        event: Some(Header("X-Event-Key")),
        ..SENDER
    },
    // P: learn.microsoft.com, azure-devops-docs, service-hooks/services/webhooks.md.
    Preset {
        name: "azure_devops",
        sender: "Azure DevOps",
        scheme: SchemePreset::Basic,
        event: Some(Payload("$.eventType")),
        note: "user and password of the service hook: `{user: …, password: …}`",
        ..SENDER
    },
    // P: stripe-python, _webhook.py, and stripe-node, Webhooks.js. The secret is the whole
    // `whsec_…` text. During rotation of a secret, `v1=` repeats. A retry has a new timestamp and
    // the same `id`.
    Preset {
        name: "stripe",
        sender: "Stripe",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["Stripe-Signature"]),
            prefix: "v1=",
            separator: ",",
            content: "{timestamp}.{body}",
            timestamp: Some(seconds(PlaceRow::Item("t="))),
            id: Some(PlaceRow::Json("$.id")),
            ..PLAIN
        }),
        event: Some(Payload("$.type")),
        ..SENDER
    },
    // P: slack_sdk, signature/__init__.py. Event name and `event_id` (S) are those of the Events
    // API. Commands and interactions have neither.
    Preset {
        name: "slack",
        sender: "Slack",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["X-Slack-Signature"]),
            timestamp: Some(seconds(PlaceRow::Header(&["X-Slack-Request-Timestamp"]))),
            id: Some(PlaceRow::Json("$.event_id")),
            ..V0
        }),
        event: Some(Payload("$.event.type")),
        handshake: Some("slack"),
        ..SENDER
    },
    // P: @shopify/shopify-api. Two families of headers, "webhooks" and "events". Times and ids are
    // not signed.
    Preset {
        name: "shopify",
        sender: "Shopify",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["X-Shopify-Hmac-Sha256", "shopify-hmac-sha256"]),
            ..BASE64
        }),
        event: Some(Either(&[Header("X-Shopify-Topic"), Header("shopify-topic")])),
        ..SENDER
    },
    // P: twilio-python, request_validator.py. SHA-1. The request cannot change the algorithm.
    Preset {
        name: "twilio",
        sender: "Twilio",
        scheme: SchemePreset::Signature(SignatureRow {
            kind: KeyKind::Hmac(HashAlgorithm::Sha1),
            ..TWILIO
        }),
        note: "signs the URL: set `server.public_url`",
        ..SENDER
    },
    // P: the same. For accounts whose requests say `algorithm=HMAC_SHA256`.
    Preset {
        name: "twilio_sha256",
        sender: "Twilio, with a key of its own",
        scheme: SchemePreset::Signature(TWILIO),
        note: "signs the URL: set `server.public_url`",
        ..SENDER
    },
    // P: sendgrid-python, eventwebhook; @sendgrid/eventwebhook. The key is the base64 of a DER
    // SPKI.
    Preset {
        name: "sendgrid",
        sender: "Twilio SendGrid",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["X-Twilio-Email-Event-Webhook-Signature"]),
            content: "{timestamp}{body}",
            timestamp: Some(seconds(PlaceRow::Header(&[
                "X-Twilio-Email-Event-Webhook-Timestamp",
            ]))),
            ..PLAIN_P256
        }),
        event: Some(Payload("$[0].event")),
        ..SENDER
    },
    // P: mailgun (PyPI), security.py. The tolerance is 900 seconds in both directions. Only
    // timestamp and token are signed.
    Preset {
        name: "mailgun",
        sender: "Mailgun",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Json("$.signature.signature"),
            content: "{timestamp}{id}",
            timestamp: Some(seconds(PlaceRow::Json("$.signature.timestamp"))),
            id: Some(PlaceRow::Json("$.signature.token")),
            window: Duration::from_mins(15),
            ..PLAIN
        }),
        event: Some(Payload("$['event-data'].event")),
        note: "does not sign the rest of the body",
        ..SENDER
    },
    // P: discord-api-docs, "Security and authorization". Discord probes with bad signatures and
    // requires 401. Interactions have an `id`.
    Preset {
        name: "discord",
        sender: "Discord",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["X-Signature-Ed25519"]),
            content: "{timestamp}{body}",
            timestamp: Some(seconds(PlaceRow::Header(&["X-Signature-Timestamp"]))),
            id: Some(PlaceRow::Json("$.id")),
            ..PLAIN_ED25519
        }),
        event: Some(Payload("$.event.type")),
        handshake: Some("discord"),
        ..SENDER
    },
    // P: the specification and its libraries, github.com/standard-webhooks.
    Preset {
        name: "standard",
        sender: "Standard Webhooks v1",
        scheme: SchemePreset::Signature(STANDARD),
        event: Some(Payload("$.type")),
        ..SENDER
    },
    // P: docs.svix.com. The same scheme under the name that Svix users know.
    Preset {
        name: "svix",
        sender: "Svix (Clerk, Resend, OpenAI …)",
        scheme: SchemePreset::Signature(STANDARD),
        event: Some(Payload("$.type")),
        ..SENDER
    },
    // P: the specification; svix-server, worker.rs.
    Preset {
        name: "standard_v1a",
        sender: "Standard Webhooks v1a",
        scheme: SchemePreset::Signature(SignatureRow {
            kind: PLAIN_ED25519.kind,
            strip_prefix: "whpk_",
            private_prefix: "whsk_",
            prefix: "v1a,",
            ..STANDARD
        }),
        event: Some(Payload("$.type")),
        ..SENDER
    },
    // P: @linear/sdk, webhooks. The header `linear-timestamp` is not signed; the one in the body
    // is.
    Preset {
        name: "linear",
        sender: "Linear",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["Linear-Signature"]),
            timestamp: Some(TimestampRow {
                place: PlaceRow::Json("$.webhookTimestamp"),
                unit: Unit::Ms,
            }),
            window: Duration::from_mins(1),
            ..PLAIN
        }),
        event: Some(Payload("$.type")),
        ..SENDER
    },
    // P: sentry, app_platform_event.py. `Sentry-Hook-Timestamp` is not signed.
    Preset {
        name: "sentry",
        sender: "Sentry",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["Sentry-Hook-Signature"]),
            ..PLAIN
        }),
        event: Some(Header("Sentry-Hook-Resource")),
        ..SENDER
    },
    // P: twitch-cli, forward_event.go; dev.twitch.tv, "Handling webhook events". The tolerance of
    // ten minutes is from its documents (S).
    Preset {
        name: "twitch",
        sender: "Twitch EventSub",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["Twitch-Eventsub-Message-Signature"]),
            content: "{id}{timestamp}{body}",
            timestamp: Some(TimestampRow {
                place: PlaceRow::Header(&["Twitch-Eventsub-Message-Timestamp"]),
                unit: Unit::Rfc3339,
            }),
            id: Some(PlaceRow::Header(&["Twitch-Eventsub-Message-Id"])),
            window: Duration::from_mins(10),
            ..SHA256_HEX
        }),
        event: Some(Header("Twitch-Eventsub-Subscription-Type")),
        handshake: Some("twitch"),
        ..SENDER
    },
    // P/E: @zoom/rivet; developers.zoom.us, "Using webhooks". Zoom documents no tolerance.
    Preset {
        name: "zoom",
        sender: "Zoom",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["x-zm-signature"]),
            timestamp: Some(seconds(PlaceRow::Header(&["x-zm-request-timestamp"]))),
            ..V0
        }),
        event: Some(Payload("$.event")),
        handshake: Some("zoom"),
        ..SENDER
    },
    // E/S: developers.facebook.com, "Getting started with webhooks".
    Preset {
        name: "meta",
        sender: "Meta (Messenger, WhatsApp, Instagram)",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["X-Hub-Signature-256"]),
            ..SHA256_HEX
        }),
        event: Some(Payload("$.object")),
        siblings: &["X-Hub-Signature"],
        note: "set `verify_token` to pass its handshake",
        handshake: Some("meta"),
        ..SENDER
    },
    // S: dropbox.com/developers, "Webhooks", and published examples. The body only names the
    // accounts that have changed.
    Preset {
        name: "dropbox",
        sender: "Dropbox",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["X-Dropbox-Signature"]),
            ..PLAIN
        }),
        repeats: true,
        handshake: Some("dropbox"),
        ..SENDER
    },
    // P: PagerDuty/developer-docs, 04-Signatures.md.
    Preset {
        name: "pagerduty",
        sender: "PagerDuty v3",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["X-PagerDuty-Signature"]),
            prefix: "v1=",
            separator: ",",
            ..PLAIN
        }),
        event: Some(Payload("$.event.event_type")),
        ..SENDER
    },
    // P: harbor, webhook_job.go; goharbor.io. The policy's auth header is sent exactly as
    // configured in Harbor.
    Preset {
        name: "harbor",
        sender: "Harbor",
        scheme: SchemePreset::Token(TokenRow {
            place: PlaceRow::Header(&["Authorization"]),
            id: None,
        }),
        event: Some(Payload("$.type")),
        ..SENDER
    },
    // E: developer.atlassian.com/cloud/jira/platform/webhooks. Webhooks of Connect and OAuth apps
    // are not signed this way.
    Preset {
        name: "jira",
        sender: "Jira Cloud, admin webhooks",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["X-Hub-Signature"]),
            ..SHA256_HEX
        }),
        event: Some(Payload("$.webhookEvent")),
        ..SENDER
    },
    // P: circleci-docs, webhooks.adoc.
    Preset {
        name: "circleci",
        sender: "CircleCI",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["circleci-signature"]),
            prefix: "v1=",
            separator: ",",
            ..PLAIN
        }),
        event: Some(Payload("$.type")),
        ..SENDER
    },
    // E/S: vercel.com/docs, "Securing webhooks". SHA-1, without a prefix.
    Preset {
        name: "vercel",
        sender: "Vercel",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["x-vercel-signature"]),
            ..SHA1
        }),
        event: Some(Payload("$.type")),
        ..SENDER
    },
    // E/S: docs.netlify.com, "Payload signature". The token's only claims are `iss` and `sha256`.
    Preset {
        name: "netlify",
        sender: "Netlify",
        scheme: SchemePreset::Jwt(JwtRow {
            algorithms: &[jwt::JwtAlgorithm::Hs256],
            header: "X-Webhook-Signature",
            issuer: "netlify",
            body_hash: "sha256",
        }),
        event: Some(Header("X-Netlify-Event")),
        ..SENDER
    },
    // P: grafana/alerting, http/hmac.go. The timestamp header is configured both in Grafana and
    // here.
    Preset {
        name: "grafana",
        sender: "Grafana alerting 12+",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["X-Grafana-Alerting-Signature"]),
            stamped_content: Some("{timestamp}:{body}"),
            ..PLAIN
        }),
        event: Some(Payload("$.status")),
        // An alert that continues is sent again unchanged.
        repeats: true,
        note: "if Grafana is given a timestamp header, add `timestamp: {header: NAME}`",
        ..SENDER
    },
    // P: alertmanager, docs/configuration.md, `http_config`.
    Preset {
        name: "alertmanager",
        sender: "Prometheus Alertmanager",
        scheme: SchemePreset::Bearer,
        event: Some(Payload("$.status")),
        ..SENDER
    },
    // E/S: docs.sonarsource.com, "Webhooks".
    Preset {
        name: "sonarqube",
        sender: "SonarQube, SonarCloud",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["X-Sonar-Webhook-HMAC-SHA256"]),
            ..PLAIN
        }),
        event: Some(Payload("$.status")),
        ..SENDER
    },
    // P: @paddle/paddle-node-sdk, paddle-python-sdk. The secret is the whole `pdl_ntfset_…` text.
    // The SDKs allow five seconds. All attempts of a notification have one `notification_id`. A
    // manual replay has another.
    Preset {
        name: "paddle",
        sender: "Paddle Billing",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["Paddle-Signature"]),
            prefix: "h1=",
            separator: ";",
            content: "{timestamp}:{body}",
            timestamp: Some(seconds(PlaceRow::Item("ts="))),
            id: Some(PlaceRow::Json("$.notification_id")),
            window: Duration::from_secs(5),
            ..PLAIN
        }),
        event: Some(Payload("$.event_type")),
        ..SENDER
    },
    // P: square, WebhooksHelper; its vector.
    Preset {
        name: "square",
        sender: "Square",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["x-square-hmacsha256-signature"]),
            content: "{url}{body}",
            ..BASE64
        }),
        event: Some(Payload("$.type")),
        note: "signs the URL: set `server.public_url`",
        ..SENDER
    },
    // P: @adyen/api-library, hmacValidator.
    Preset {
        name: "adyen_payments",
        sender: "Adyen payments",
        scheme: SchemePreset::Adyen,
        event: Some(Payload(
            "$.notificationItems[0].NotificationRequestItem.eventCode",
        )),
        note: "signs eight fields of each item, not the rest of the body",
        ..SENDER
    },
    // P: the same source. The header's name is S.
    Preset {
        name: "adyen_platform",
        sender: "Adyen for Platforms, banking",
        scheme: SchemePreset::Signature(SignatureRow {
            key_encoding: KeyEncoding::Hex,
            signature: PlaceRow::Header(&["HmacSignature"]),
            ..BASE64
        }),
        event: Some(Payload("$.type")),
        ..SENDER
    },
    // P: @line/bot-sdk.
    Preset {
        name: "line",
        sender: "LINE",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["X-Line-Signature"]),
            ..BASE64
        }),
        event: Some(Payload("$.events[0].type")),
        ..SENDER
    },
    // E: core.telegram.org/bots/api#setwebhook.
    Preset {
        name: "telegram",
        sender: "Telegram bots",
        scheme: SchemePreset::Token(TokenRow {
            place: PlaceRow::Header(&["X-Telegram-Bot-Api-Secret-Token"]),
            id: Some(PlaceRow::Json("$.update_id")),
        }),
        ..SENDER
    },
    // S: hookdeck, which links the official page.
    Preset {
        name: "intercom",
        sender: "Intercom",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["X-Hub-Signature"]),
            prefix: "sha1=",
            ..SHA1
        }),
        event: Some(Payload("$.topic")),
        ..SENDER
    },
    // P/E: @hubspot/api-client; developers.hubspot.com, "Validating requests", which lists the
    // escapes to decode.
    Preset {
        name: "hubspot",
        sender: "HubSpot, signature v3",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["X-HubSpot-Signature-v3"]),
            content: "{method}{decoded_url}{body}{timestamp}",
            timestamp: Some(TimestampRow {
                place: PlaceRow::Header(&["X-HubSpot-Request-Timestamp"]),
                unit: Unit::Ms,
            }),
            ..BASE64
        }),
        event: Some(Payload("$[0].subscriptionType")),
        siblings: &["X-HubSpot-Signature"],
        note: "signs the URL: set `server.public_url`",
        ..SENDER
    },
    // E: developer.zendesk.com, "Verifying webhook authenticity". The format of the timestamp is S.
    Preset {
        name: "zendesk",
        sender: "Zendesk",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["X-Zendesk-Webhook-Signature"]),
            content: "{timestamp}{body}",
            timestamp: Some(TimestampRow {
                place: PlaceRow::Header(&["X-Zendesk-Webhook-Signature-Timestamp"]),
                unit: Unit::Rfc3339,
            }),
            ..BASE64
        }),
        event: Some(Payload("$.type")),
        ..SENDER
    },
    // E/S: typeform.com/developers, "Secure your webhooks".
    Preset {
        name: "typeform",
        sender: "Typeform",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["Typeform-Signature"]),
            prefix: "sha256=",
            ..BASE64
        }),
        event: Some(Payload("$.event_type")),
        ..SENDER
    },
    // E: developer.calendly.com, "Webhook signatures". The tolerance of three minutes is from its
    // sample (S).
    Preset {
        name: "calendly",
        sender: "Calendly",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["Calendly-Webhook-Signature"]),
            prefix: "v1=",
            separator: ",",
            content: "{timestamp}.{body}",
            timestamp: Some(seconds(PlaceRow::Item("t="))),
            window: Duration::from_mins(3),
            ..PLAIN
        }),
        event: Some(Payload("$.event")),
        ..SENDER
    },
    // E: developers.asana.com, "Webhooks". The secret is received in the handshake.
    Preset {
        name: "asana",
        sender: "Asana",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["X-Hook-Signature"]),
            ..PLAIN
        }),
        event: Some(Payload("$.events[0].action")),
        note: "`learn: FILE` keeps the secret that its handshake brings",
        handshake: Some("asana"),
        ..SENDER
    },
    // E: developer.atlassian.com/cloud/trello, "Webhooks".
    Preset {
        name: "trello",
        sender: "Trello",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["X-Trello-Webhook"]),
            encoding: Encoding::Base64,
            content: "{body}{url}",
            ..SHA1
        }),
        event: Some(Payload("$.action.type")),
        note: "signs the URL: set `server.public_url`",
        handshake: Some("trello"),
        ..SENDER
    },
    // P: pyairtable, models/webhook.py. The secret is `macSecretBase64`.
    Preset {
        name: "airtable",
        sender: "Airtable",
        scheme: SchemePreset::Signature(SignatureRow {
            key_encoding: KeyEncoding::Base64,
            signature: PlaceRow::Header(&["X-Airtable-Content-MAC"]),
            prefix: "hmac-sha256=",
            ..PLAIN
        }),
        ..SENDER
    },
    // P: @notionhq/client, webhooks.js. The secret is the `verification_token` of the first POST. A
    // retry has another `attempt_number` in its body, and the same `id`.
    Preset {
        name: "notion",
        sender: "Notion",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["X-Notion-Signature"]),
            id: Some(PlaceRow::Json("$.id")),
            ..SHA256_HEX
        }),
        event: Some(Payload("$.type")),
        note: "`learn: FILE` keeps the secret that its handshake brings",
        handshake: Some("notion"),
        ..SENDER
    },
    // P: microsoft-graph-docs, "Receive change notifications through webhooks". `clientState` is
    // the secret.
    Preset {
        name: "microsoft_graph",
        sender: "Microsoft Graph",
        scheme: SchemePreset::Token(TokenRow {
            place: PlaceRow::Json("$.value[0].clientState"),
            id: None,
        }),
        event: Some(Payload("$.value[0].changeType")),
        handshake: Some("microsoft_graph"),
        ..SENDER
    },
    // P: cloudevents/spec, http-webhook.md. The event name is in a header in binary mode, and in
    // the body in structured mode.
    Preset {
        name: "cloudevents",
        sender: "CloudEvents webhooks",
        scheme: SchemePreset::Bearer,
        event: Some(Either(&[Header("ce-type"), Payload("$.type")])),
        note: "for `?access_token=` write `token: {query: access_token, handshake: cloudevents}`",
        handshake: Some("cloudevents"),
        ..SENDER
    },
    // E: learn.microsoft.com, "Create an outgoing webhook". The security token is base64.
    Preset {
        name: "teams",
        sender: "Microsoft Teams, outgoing webhooks",
        scheme: SchemePreset::Signature(SignatureRow {
            key_encoding: KeyEncoding::Base64,
            signature: PlaceRow::Header(&["Authorization"]),
            prefix: "HMAC ",
            ..BASE64
        }),
        event: Some(Payload("$.type")),
        ..SENDER
    },
    // E/S: developer.x.com, "Securing webhooks". The same secret answers the handshake.
    Preset {
        name: "x",
        sender: "X (Twitter)",
        scheme: SchemePreset::Signature(SignatureRow {
            signature: PlaceRow::Header(&["x-twitter-webhooks-signature"]),
            prefix: "sha256=",
            ..BASE64
        }),
        handshake: Some("x"),
        ..SENDER
    },
];
