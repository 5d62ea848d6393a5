//! The senders that are known by name, as data.
//!
//! A row holds the fields of the generic schemes `hmac`, `token` and `jwt`; whoever writes the same fields by hand gets the
//! same verification, and a field written in a preset's mapping replaces the row's. **To add a sender, add a
//! row**: its source, and how good that source is, stand in the comment above it.
//!
//! Grades: *P* official documents or official source code; *E* an excerpt of the official page; *S* secondary.

use std::time::Duration;

use super::jwt;
use super::mac::{Algorithm, Encoding, SecretEncoding};
use super::source::Unit;

/// One sender.
pub struct Preset {
    /// Its name in the rules file.
    pub name: &'static str,
    /// How it proves itself.
    pub scheme: Row,
    /// Where its event name stands.
    pub event: Option<EventAt>,
    /// More headers in which it sends signatures by the same secret; they are withheld like the one that is verified.
    pub siblings: &'static [&'static str],
}

/// How a sender proves itself.
pub enum Row {
    /// By an HMAC.
    Hmac(HmacRow),
    /// By a token in a header.
    Token(TokenRow),
    /// By a signed token.
    Jwt(JwtRow),
}

/// Where a sender's event name stands.
pub enum EventAt {
    /// In this header.
    Header(&'static str),
    /// At this `JSONPath` of the payload.
    Payload(&'static str),
}

/// The fields of `hmac`.
pub struct HmacRow {
    /// `secret_encoding`.
    pub secret_encoding: SecretEncoding,
    /// `strip_prefix`: taken off the secret, where it stands, before it is decoded.
    pub strip_prefix: &'static str,
    /// `algorithm`.
    pub algorithm: Algorithm,
    /// `header`: one name a family.
    pub header: &'static [&'static str],
    /// `encoding`.
    pub encoding: Encoding,
    /// `prefix`.
    pub prefix: &'static str,
    /// `separator`.
    pub separator: &'static str,
    /// `content`.
    pub content: &'static str,
    /// `timestamp`.
    pub timestamp: Option<TimestampRow>,
    /// `id`.
    pub id: Option<IdRow>,
    /// `form_field`: of a body of type `application/x-www-form-urlencoded`, which must be this one field, the
    /// decoded value is signed in place of the raw bytes.
    pub form_field: Option<&'static str>,
    /// The replay window where a timestamp is set: the sender's own tolerance.
    pub window: Duration,
}

/// The field `timestamp`.
pub struct TimestampRow {
    /// Where.
    pub place: PlaceRow,
    /// `unit`.
    pub unit: Unit,
}

/// The field `id`.
pub struct IdRow {
    /// Where.
    pub place: PlaceRow,
}

/// Where a timestamp or an id stands.
pub enum PlaceRow {
    /// `header`: one name a family, or one for all.
    Header(&'static [&'static str]),
    /// `item`: the item of the signature header that starts so.
    Item(&'static str),
}

/// The fields of `token`.
pub struct TokenRow {
    /// `header`.
    pub header: &'static str,
}

/// The fields of `jwt`. A row's sender signs the body, and not when it was sent.
pub struct JwtRow {
    /// `algorithms`.
    pub algorithms: &'static [jwt::Algorithm],
    /// `header`, which holds the token and nothing else.
    pub header: &'static str,
    /// `issuer`.
    pub issuer: &'static str,
    /// `body_hash`.
    pub body_hash: &'static str,
}

/// The defaults of `hmac`: the plain scheme of the tutorials.
pub const PLAIN: HmacRow = HmacRow {
    secret_encoding: SecretEncoding::Utf8,
    strip_prefix: "",
    algorithm: Algorithm::Sha256,
    header: &["X-Signature"],
    encoding: Encoding::Hex,
    prefix: "",
    separator: "",
    content: "{body}",
    timestamp: None,
    id: None,
    form_field: None,
    window: Duration::from_mins(5),
};

/// Where `timestamp` stands if it does not say.
pub const PLAIN_TIMESTAMP: &str = "X-Timestamp";
/// Where `id` stands if it does not say.
pub const PLAIN_ID: &str = "X-Id";

/// Standard Webhooks, and Svix v1, which it grew out of.
const STANDARD: HmacRow = HmacRow {
    secret_encoding: SecretEncoding::Base64,
    strip_prefix: "whsec_",
    header: &["webhook-signature", "svix-signature"],
    encoding: Encoding::Base64,
    prefix: "v1,",
    separator: " ",
    content: "{id}.{timestamp}.{body}",
    timestamp: Some(TimestampRow {
        place: PlaceRow::Header(&["webhook-timestamp", "svix-timestamp"]),
        unit: Unit::S,
    }),
    id: Some(IdRow {
        place: PlaceRow::Header(&["webhook-id", "svix-id"]),
    }),
    ..PLAIN
};

/// All of them.
pub static PRESETS: &[Preset] = &[
    // P: docs.github.com, "Validating webhook deliveries". `X-GitHub-Delivery` is not signed, so it is no id.
    Preset {
        name: "github",
        scheme: Row::Hmac(HmacRow {
            header: &["X-Hub-Signature-256"],
            prefix: "sha256=",
            ..PLAIN
        }),
        event: Some(EventAt::Header("X-GitHub-Event")),
        siblings: &["X-Hub-Signature"],
    },
    // P: the same page; the legacy signature, for GitHub Enterprise Servers that send no other.
    Preset {
        name: "github_sha1",
        scheme: Row::Hmac(HmacRow {
            algorithm: Algorithm::Sha1,
            header: &["X-Hub-Signature"],
            prefix: "sha1=",
            ..PLAIN
        }),
        event: Some(EventAt::Header("X-GitHub-Event")),
        siblings: &["X-Hub-Signature-256"],
    },
    // P: gitlabhq, app/services/web_hook_service.rb. The secret token; for a signing token write `standard`.
    Preset {
        name: "gitlab",
        scheme: Row::Token(TokenRow {
            header: "X-Gitlab-Token",
        }),
        event: Some(EventAt::Header("X-Gitlab-Event")),
        siblings: &["webhook-signature"],
    },
    // P: go-gitea, services/webhook/deliver.go. Of a form it signs the decoded `payload`.
    Preset {
        name: "gitea",
        scheme: Row::Hmac(HmacRow {
            header: &["X-Gitea-Signature"],
            form_field: Some("payload"),
            ..PLAIN
        }),
        event: Some(EventAt::Header("X-Gitea-Event")),
        siblings: &["X-Gogs-Signature", "X-Hub-Signature", "X-Hub-Signature-256"],
    },
    // P/E: forgejo.org/docs and Forgejo's source; Gitea's headers are sent beside its own.
    Preset {
        name: "forgejo",
        scheme: Row::Hmac(HmacRow {
            header: &["X-Forgejo-Signature"],
            form_field: Some("payload"),
            ..PLAIN
        }),
        event: Some(EventAt::Header("X-Forgejo-Event")),
        siblings: &[
            "X-Gitea-Signature",
            "X-Gogs-Signature",
            "X-Hub-Signature",
            "X-Hub-Signature-256",
        ],
    },
    // P: gogs, internal/database/webhook.go.
    Preset {
        name: "gogs",
        scheme: Row::Hmac(HmacRow {
            header: &["X-Gogs-Signature"],
            form_field: Some("payload"),
            ..PLAIN
        }),
        event: Some(EventAt::Header("X-Gogs-Event")),
        siblings: &[],
    },
    // P: slack_sdk, signature/__init__.py. The event name is that of the Events API; commands and interactions have none.
    Preset {
        name: "slack",
        scheme: Row::Hmac(HmacRow {
            header: &["X-Slack-Signature"],
            prefix: "v0=",
            content: "v0:{timestamp}:{body}",
            timestamp: Some(TimestampRow {
                place: PlaceRow::Header(&["X-Slack-Request-Timestamp"]),
                unit: Unit::S,
            }),
            ..PLAIN
        }),
        event: Some(EventAt::Payload("$.event.type")),
        siblings: &[],
    },
    // P: stripe-python, _webhook.py, and stripe-node, Webhooks.js. The secret is the whole `whsec_…` text. While a secret is
    // rolled, `v1=` repeats. A retry has a new timestamp; `id: {json: $.id}` recognises it as the same event.
    Preset {
        name: "stripe",
        scheme: Row::Hmac(HmacRow {
            header: &["Stripe-Signature"],
            prefix: "v1=",
            separator: ",",
            content: "{timestamp}.{body}",
            timestamp: Some(TimestampRow {
                place: PlaceRow::Item("t="),
                unit: Unit::S,
            }),
            ..PLAIN
        }),
        event: Some(EventAt::Payload("$.type")),
        siblings: &[],
    },
    // P: @shopify/shopify-api. `X-Shopify-Triggered-At` and the ids are not signed.
    Preset {
        name: "shopify",
        scheme: Row::Hmac(HmacRow {
            header: &["X-Shopify-Hmac-Sha256"],
            encoding: Encoding::Base64,
            ..PLAIN
        }),
        event: Some(EventAt::Header("X-Shopify-Topic")),
        siblings: &[],
    },
    // P: the specification and its libraries, github.com/standard-webhooks.
    Preset {
        name: "standard",
        scheme: Row::Hmac(STANDARD),
        event: Some(EventAt::Payload("$.type")),
        siblings: &[],
    },
    // P: docs.svix.com; the same scheme under the name that its users know.
    Preset {
        name: "svix",
        scheme: Row::Hmac(STANDARD),
        event: Some(EventAt::Payload("$.type")),
        siblings: &[],
    },
    // E: bitbucket.org/blog, "Enhanced webhook security". SHA-256, in the header that holds SHA-1 elsewhere.
    Preset {
        name: "bitbucket",
        scheme: Row::Hmac(HmacRow {
            header: &["X-Hub-Signature"],
            prefix: "sha256=",
            ..PLAIN
        }),
        event: Some(EventAt::Header("X-Event-Key")),
        siblings: &[],
    },
    // E/S: docs.netlify.com, "Payload signature". The token's claims are `iss` and `sha256`, no more.
    Preset {
        name: "netlify",
        scheme: Row::Jwt(JwtRow {
            algorithms: &[jwt::Algorithm::Hs256],
            header: "X-Webhook-Signature",
            issuer: "netlify",
            body_hash: "sha256",
        }),
        event: Some(EventAt::Header("X-Netlify-Event")),
        siblings: &[],
    },
];
