//! Types and defaults of the preset table: known senders as data.
//!
//! A row holds the settings of a generic scheme. The same settings written in the rules file give
//! the same verification. A setting in a preset's mapping overrides the row. [`rows`] has the rows.
//! This file has their types and the defaults of the generic schemes.

mod rows;

use std::time::Duration;

pub use self::rows::PRESETS;
use super::jwt;
use super::signature::keys::Curve;
use super::signature::mac::{Encoding, HashAlgorithm, KeyEncoding};
use super::source::Unit;

/// Preset of one sender.
pub struct Preset {
    /// Name in the rules file.
    pub name: &'static str,
    /// Name of the product or service.
    pub sender: &'static str,
    pub scheme: SchemePreset,
    /// Location of the event name.
    pub event: Option<EventAt>,
    /// Other headers with signatures by the same secret. They are withheld like the verified one.
    pub siblings: &'static [&'static str],
    /// True if the sender signs identical content for several events.
    pub repeats: bool,
    /// Handshake of the sender: the name of a row in `verify/handshake/rows.rs`.
    pub handshake: Option<&'static str>,
    /// Documented body limit in bytes, if it exceeds our default.
    pub max_body: Option<u64>,
    /// Note for users: one sentence, or empty.
    pub note: &'static str,
}

/// Scheme of a preset.
pub enum SchemePreset {
    Signature(SignatureRow),
    Token(TokenRow),
    /// User and password.
    Basic,
    Bearer,
    /// Signed token.
    Jwt(JwtRow),
    /// Signature for each item of the body, as Adyen makes it.
    Adyen,
}

/// Location of a sender's event name.
#[derive(Clone, Copy)]
pub enum EventAt {
    Header(&'static str),
    /// `JSONPath` into the payload.
    Payload(&'static str),
    /// The first of these locations that has a value.
    Either(&'static [Self]),
}

/// Kind of key that signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Shared secret.
    Hmac(HashAlgorithm),
    /// Private key of this curve.
    Public(Curve),
}

/// Settings of `hmac`, `ed25519` and `ecdsa_p256`.
pub struct SignatureRow {
    /// Scheme, and the `algorithm` of `hmac`.
    pub kind: KeyKind,
    /// `secret_encoding` or `key_encoding`.
    pub key_encoding: KeyEncoding,
    /// `strip_prefix`: removed from the secret or the public key, if present, before decoding.
    pub strip_prefix: &'static str,
    /// Removed from a private key in the same way.
    pub private_prefix: &'static str,
    /// `header` (one name per family), `query` or `json`.
    pub signature: PlaceRow,
    pub encoding: Encoding,
    pub prefix: &'static str,
    pub separator: &'static str,
    pub content: &'static str,
    /// `content` if the rules file sets a `timestamp` that the row lacks.
    pub stamped_content: Option<&'static str>,
    pub timestamp: Option<TimestampRow>,
    pub id: Option<PlaceRow>,
    /// `form_field`: the only field of an `application/x-www-form-urlencoded` body. Its decoded
    /// value is signed instead of the raw bytes.
    pub form_field: Option<&'static str>,
    /// Replay window if there is a timestamp: the sender's own tolerance.
    pub window: Duration,
}

/// `timestamp` setting.
pub struct TimestampRow {
    pub place: PlaceRow,
    pub unit: Unit,
}

/// Location in a request.
pub enum PlaceRow {
    /// `header`: one name per family, or one for all.
    Header(&'static [&'static str]),
    /// `item`: the item with this prefix, next to the signature.
    Item(&'static str),
    Json(&'static str),
}

/// Settings of `token`.
pub struct TokenRow {
    /// `header`, `query` or `json`.
    pub place: PlaceRow,
    pub id: Option<PlaceRow>,
}

/// Settings of `jwt` for a sender that signs the body, but not the time of sending.
pub struct JwtRow {
    pub algorithms: &'static [jwt::JwtAlgorithm],
    /// `header`, which holds the token and nothing else.
    pub header: &'static str,
    pub issuer: &'static str,
    pub body_hash: &'static str,
}

/// Defaults of `hmac`: the hex HMAC-SHA256 of the body.
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

/// Defaults of `ed25519`.
pub const PLAIN_ED25519: SignatureRow = SignatureRow {
    kind: KeyKind::Public(Curve::Ed25519),
    key_encoding: KeyEncoding::Hex,
    ..PLAIN
};

/// Defaults of `ecdsa_p256`.
pub const PLAIN_P256: SignatureRow = SignatureRow {
    kind: KeyKind::Public(Curve::P256),
    key_encoding: KeyEncoding::Base64,
    encoding: Encoding::Base64,
    ..PLAIN
};

/// Default header of `timestamp`.
pub const PLAIN_TIMESTAMP: &str = "X-Timestamp";
/// Default header of `id`.
pub const PLAIN_ID: &str = "X-Id";

impl Preset {
    pub fn named(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }
}
