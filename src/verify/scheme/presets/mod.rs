//! The senders that are known by name, as data.
//!
//! A row holds the fields of the generic schemes; whoever writes the same fields by hand gets the same verification, and
//! a field written in a preset's mapping replaces the row's. The rows stand in [`rows`]; this is what they are made
//! of, and what the generic schemes have where nothing is written.

mod rows;

use std::time::Duration;

pub use self::rows::PRESETS;
use super::jwt;
use super::signature::keys::Curve;
use super::signature::mac::{Encoding, HashAlgorithm, KeyEncoding};
use super::source::Unit;

/// One sender.
pub struct Preset {
    /// Its name in the rules file.
    pub name: &'static str,
    /// Its name in the world.
    pub sender: &'static str,
    /// How it proves itself.
    pub scheme: SchemePreset,
    /// Where its event name stands.
    pub event: Option<EventAt>,
    /// More headers in which it sends signatures by the same secret; they are withheld like the one that is verified.
    pub siblings: &'static [&'static str],
    /// Whether it signs the very same content for several events.
    pub repeats: bool,
    /// Its handshake: a row of `verify/handshake/rows.rs`.
    pub handshake: Option<&'static str>,
    /// The largest body that it sends, in bytes, where its documents name one that is over our default.
    pub max_body: Option<u64>,
    /// What its user should know, in one sentence or none.
    pub note: &'static str,
}

/// How a sender proves itself.
pub enum SchemePreset {
    /// By a signature.
    Signature(SignatureRow),
    /// By a token.
    Token(TokenRow),
    /// By user and password.
    Basic,
    /// By a bearer token.
    Bearer,
    /// By a signed token.
    Jwt(JwtRow),
    /// By a signature for each item of the body, as Adyen does it.
    Adyen,
}

/// Where a sender's event name stands.
#[derive(Clone, Copy)]
pub enum EventAt {
    /// In this header.
    Header(&'static str),
    /// At this `JSONPath` of the payload.
    Payload(&'static str),
    /// At the first of these places where there is anything.
    Either(&'static [Self]),
}

/// What signatures are made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// A shared secret.
    Hmac(HashAlgorithm),
    /// A private key of this curve.
    Public(Curve),
}

/// The fields of `hmac`, `ed25519` and `ecdsa_p256`.
pub struct SignatureRow {
    /// The scheme, and for `hmac` the `algorithm`.
    pub kind: KeyKind,
    /// `secret_encoding`, or `key_encoding`.
    pub key_encoding: KeyEncoding,
    /// `strip_prefix`: taken off the secret or the public key, where it stands, before it is decoded.
    pub strip_prefix: &'static str,
    /// Taken off a private key likewise.
    pub private_prefix: &'static str,
    /// `header`, one name a family; or `query` or `json`.
    pub signature: PlaceRow,
    /// `encoding`.
    pub encoding: Encoding,
    /// `prefix`.
    pub prefix: &'static str,
    /// `separator`.
    pub separator: &'static str,
    /// `content`.
    pub content: &'static str,
    /// `content` where the rules file sets a `timestamp` that the row has not.
    pub stamped_content: Option<&'static str>,
    /// `timestamp`.
    pub timestamp: Option<TimestampRow>,
    /// `id`.
    pub id: Option<PlaceRow>,
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

/// Where something stands in a request.
pub enum PlaceRow {
    /// `header`: one name a family, or one for all.
    Header(&'static [&'static str]),
    /// `item`: the item beside the signature that starts so.
    Item(&'static str),
    /// `json`.
    Json(&'static str),
}

/// The fields of `token`.
pub struct TokenRow {
    /// `header`, `query` or `json`.
    pub place: PlaceRow,
    /// `id`.
    pub id: Option<PlaceRow>,
}

/// The fields of `jwt`. A row's sender signs the body, and not when it was sent.
pub struct JwtRow {
    /// `algorithms`.
    pub algorithms: &'static [jwt::JwtAlgorithm],
    /// `header`, which holds the token and nothing else.
    pub header: &'static str,
    /// `issuer`.
    pub issuer: &'static str,
    /// `body_hash`.
    pub body_hash: &'static str,
}

/// The defaults of `hmac`: the plain scheme of the tutorials.
pub const PLAIN: SignatureRow = SignatureRow {
    kind: KeyKind::Hmac(HashAlgorithm::Sha256),
    key_encoding: KeyEncoding::Utf8,
    strip_prefix: "",
    private_prefix: "",
    signature: PlaceRow::Header(&["X-Signature"]),
    encoding: Encoding::Hex,
    prefix: "",
    separator: "",
    content: "{body}",
    stamped_content: None,
    timestamp: None,
    id: None,
    form_field: None,
    window: Duration::from_mins(5),
};

/// The defaults of `ed25519`.
pub const PLAIN_ED25519: SignatureRow = SignatureRow {
    kind: KeyKind::Public(Curve::Ed25519),
    key_encoding: KeyEncoding::Hex,
    ..PLAIN
};

/// The defaults of `ecdsa_p256`.
pub const PLAIN_P256: SignatureRow = SignatureRow {
    kind: KeyKind::Public(Curve::P256),
    key_encoding: KeyEncoding::Base64,
    encoding: Encoding::Base64,
    ..PLAIN
};

/// Where `timestamp` stands if it does not say.
pub const PLAIN_TIMESTAMP: &str = "X-Timestamp";
/// Where `id` stands if it does not say.
pub const PLAIN_ID: &str = "X-Id";

impl Preset {
    /// The one of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }
}
