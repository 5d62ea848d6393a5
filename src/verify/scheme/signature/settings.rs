//! Compiler from YAML and a preset row to a [`Signature`].
//!
//! Each setting in the rules file overrides that of the row. [`CoverageCheck`] checks that the
//! settings are consistent.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::content::{Content, ContentError, Piece, TOKENS};
use super::coverage::CoverageCheck;
use super::key_settings::keys;
use super::mac::{Encoding, HashAlgorithm, KeyEncoding};
use super::{IdSource, Signature};
use crate::base::diagnostic::Diagnostics;
use crate::base::yaml::{Node, unknown};
use crate::verify::scheme::SchemeContext;
use crate::verify::scheme::presets::{KeyKind, PLAIN_ID, PLAIN_TIMESTAMP, SignatureRow};
use crate::verify::scheme::settings::{self, FieldSetting, row_names, row_place};
use crate::verify::scheme::source::{self, Location, TimestampSource, Unit, Unverified};

/// Settings of `hmac`, and of the presets of that kind.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "most are read from the node, item by item")]
struct SignatureShape {
    /// Source of the secret. May be a list during rotation.
    secret: Option<IgnoredAny>,
    /// Encoding of the secret.
    secret_encoding: Option<KeyEncoding>,
    /// Prefix removed from the secret, if present, before decoding.
    strip_prefix: Option<String>,
    /// Hash function.
    algorithm: Option<HashAlgorithm>,
    /// Header with the signature. A list if the sender has several families of headers.
    header: Option<IgnoredAny>,
    /// Query parameter with the signature, instead of a header.
    query: Option<IgnoredAny>,
    /// `JSONPath` of the signature in the body, instead of a header.
    json: Option<IgnoredAny>,
    /// Encoding of the signature.
    encoding: Option<Encoding>,
    /// Required prefix of the signature.
    prefix: Option<String>,
    /// Separator that splits the header into items. Any item may match.
    separator: Option<String>,
    /// Signed content.
    content: Option<String>,
    /// Location of the timestamp.
    timestamp: Option<IgnoredAny>,
    /// Location of the id.
    id: Option<IgnoredAny>,
    /// Field of a form whose decoded value is signed instead of the raw bytes. It must be the only
    /// field.
    form_field: Option<String>,
    /// Handshake to answer. Default: that of the sender.
    handshake: Option<IgnoredAny>,
    /// Token that the sender of a handshake must present.
    verify_token: Option<IgnoredAny>,
    /// File that stores the secret received in a handshake.
    learn: Option<IgnoredAny>,
}

/// Settings of `ed25519` and `ecdsa_p256`, and of the presets of these kinds.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "most are read from the node, item by item")]
struct PublicShape {
    /// Source of the public key. May be a list during rotation.
    public_key: Option<IgnoredAny>,
    /// Source of the private key, for signing. The public key is then derived from it.
    private_key: Option<IgnoredAny>,
    /// Encoding of the keys. PEM is detected.
    key_encoding: Option<KeyEncoding>,
    /// Prefix removed from the key, if present, before decoding.
    strip_prefix: Option<String>,
    /// Header with the signature. A list if the sender has several families of headers.
    header: Option<IgnoredAny>,
    /// Query parameter with the signature, instead of a header.
    query: Option<IgnoredAny>,
    /// `JSONPath` of the signature in the body, instead of a header.
    json: Option<IgnoredAny>,
    /// Encoding of the signature.
    encoding: Option<Encoding>,
    /// Required prefix of the signature.
    prefix: Option<String>,
    /// Separator that splits the header into items. Any item may match.
    separator: Option<String>,
    /// Signed content.
    content: Option<String>,
    /// Location of the timestamp.
    timestamp: Option<IgnoredAny>,
    /// Location of the id.
    id: Option<IgnoredAny>,
    /// Handshake to answer. Default: that of the sender.
    handshake: Option<IgnoredAny>,
    /// Token that the sender of a handshake must present.
    verify_token: Option<IgnoredAny>,
    /// File that stores the secret received in a handshake.
    learn: Option<IgnoredAny>,
}

/// Settings that both shapes share, and those that decode the keys.
pub(super) struct SignatureFields {
    /// Prefix removed from the key.
    pub strip_prefix: Option<String>,
    encoding: Option<Encoding>,
    prefix: Option<String>,
    separator: Option<String>,
    content: Option<String>,
    form_field: Option<String>,
    /// Hash function of an HMAC.
    pub algorithm: Option<HashAlgorithm>,
    /// Encoding of the key.
    pub key_encoding: Option<KeyEncoding>,
}

impl SignatureFields {
    /// Returns true if any text is a valid secret.
    fn takes_any_secret(&self, row: &SignatureRow) -> bool {
        let strip = self.strip_prefix.as_deref().unwrap_or(row.strip_prefix);
        self.key_encoding.unwrap_or(row.key_encoding) == KeyEncoding::Utf8 && strip.is_empty()
    }
}

/// Compiles the value of `hmac:`, `ed25519:` or `ecdsa_p256:`, or of a preset. Reports all errors.
pub fn compile(
    node: Node<'_>,
    row: &SignatureRow,
    scheme_context: &SchemeContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Signature> {
    let fields = fields(node, row, diagnostics)?;
    let keys = keys(node, row, &fields, scheme_context, diagnostics);
    let given = ["header", "query", "json"].map(|key| (key, node.given(key).is_some()));
    let signature = if given.iter().any(|(_, given)| *given) {
        settings::place(node, "the signature", &given, diagnostics)
    } else {
        row_place(&row.signature)
    };
    let separator = separator(
        node,
        fields.separator.as_deref().unwrap_or(row.separator),
        diagnostics,
    );
    let timestamp = timestamp(node, row, diagnostics);
    let ids = ids(node, row, diagnostics);
    let stamped = row
        .stamped_content
        .filter(|_| timestamp.is_some() && row.timestamp.is_none());
    let text = fields.content.as_deref().or(stamped).unwrap_or(row.content);
    let mut content = content(node, text, diagnostics)?;
    if let Some(TimestampSource { place, .. }) = &timestamp {
        rename(&mut content, place, &Piece::Timestamp);
    }
    if let Some(place) = ids.first() {
        rename(&mut content, place, &Piece::Id);
    }

    let signature = signature?;
    let judged = CoverageCheck {
        node,
        content: &content,
        signature: &signature,
        timestamp: timestamp.as_ref(),
        ids: &ids,
        has_items: separator.is_some(),
    };
    let places = [Some(&signature), timestamp.as_ref().map(|source| &source.place)];
    let places = places.into_iter().flatten().chain(&ids);
    let plan = source::plan(places.filter_map(|place| match place {
        Location::Json(path) => Some(path),
        _ => None,
    }));
    let (timestamp_signed, ids_signed) = judged.judge(scheme_context, diagnostics);
    let ids = ids.into_iter().zip(ids_signed);
    let ids = ids.map(|(place, signed)| IdSource { place, signed }).collect();
    let takes_any_secret = fields.takes_any_secret(row);
    let form_field = fields.form_field.as_deref().or(row.form_field);
    Some(Signature {
        keys: keys?,
        place: signature,
        encoding: fields.encoding.unwrap_or(row.encoding),
        prefix: fields.prefix.unwrap_or_else(|| row.prefix.to_owned()),
        separator,
        timestamp_signed,
        takes_any_secret,
        forbidden_in_id: content.forbidden_in_id().unwrap_or_default(),
        form_field: form_field.filter(|field| !field.is_empty()).map(str::to_owned),
        public_url: scheme_context
            .public_url
            .unwrap_or_default()
            .trim_end_matches('/')
            .to_owned(),
        window: row.window,
        unverified: Unverified::of(scheme_context),
        plan,
        content,
        timestamp,
        ids,
    })
}

/// Reads the settings in the shape of the row's kind.
fn fields(node: Node<'_>, row: &SignatureRow, diagnostics: &mut Diagnostics) -> Option<SignatureFields> {
    let is_mapping = node.is_mapping();
    Some(match row.kind {
        KeyKind::Hmac(_) => {
            let shape: SignatureShape = if is_mapping {
                node.read(diagnostics)?
            } else {
                SignatureShape::default()
            };
            SignatureFields {
                strip_prefix: shape.strip_prefix,
                encoding: shape.encoding,
                prefix: shape.prefix,
                separator: shape.separator,
                content: shape.content,
                form_field: shape.form_field,
                algorithm: shape.algorithm,
                key_encoding: shape.secret_encoding,
            }
        }
        KeyKind::Public(_) => {
            let shape: PublicShape = if is_mapping {
                node.read(diagnostics)?
            } else {
                PublicShape::default()
            };
            SignatureFields {
                strip_prefix: shape.strip_prefix,
                encoding: shape.encoding,
                prefix: shape.prefix,
                separator: shape.separator,
                content: shape.content,
                form_field: None,
                algorithm: None,
                key_encoding: shape.key_encoding,
            }
        }
    })
}

/// Node for a diagnostic about `key`: the setting, or the scheme if the setting comes from its row.
pub fn at<'d>(node: Node<'d>, key: &str) -> Node<'d> {
    node.get(key).unwrap_or(node)
}

fn separator(node: Node<'_>, text: &str, diagnostics: &mut Diagnostics) -> Option<char> {
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (None, _) => None,
        (Some(letter), None) if letter == ' ' || letter.is_ascii_punctuation() => Some(letter),
        _ => {
            let message =
                format!("`{text}` is no separator: it is one character such as `,`, `;` or a space");
            diagnostics.push(at(node, "separator").error("wrong-value", message));
            None
        }
    }
}

fn content(node: Node<'_>, text: &str, diagnostics: &mut Diagnostics) -> Option<Content> {
    let at = at(node, "content");
    match Content::parse(text) {
        Ok(content) => return Some(content),
        Err(ContentError::Unknown(name)) => {
            diagnostics.push(unknown(at.origin(), "unknown-token", "token", &name, TOKENS));
        }
        Err(ContentError::Other(message)) => diagnostics.push(at.error("content", message)),
    }
    None
}

fn timestamp(node: Node<'_>, row: &SignatureRow, diagnostics: &mut Diagnostics) -> Option<TimestampSource> {
    let default = row.timestamp.as_ref().and_then(|default| {
        Some(TimestampSource {
            place: row_place(&default.place)?,
            unit: default.unit,
        })
    });
    match settings::timestamp(node, diagnostics) {
        FieldSetting::Nothing => default,
        FieldSetting::None => None,
        FieldSetting::This(said) => {
            let default = default.unwrap_or_else(|| TimestampSource {
                place: Location::Headers(row_names(&[PLAIN_TIMESTAMP])),
                unit: Unit::S,
            });
            Some(TimestampSource {
                place: said.place.unwrap_or(default.place),
                unit: said.unit.unwrap_or(default.unit),
            })
        }
    }
}

fn ids(node: Node<'_>, row: &SignatureRow, diagnostics: &mut Diagnostics) -> Vec<Location> {
    let default = row.id.as_ref().and_then(row_place);
    match settings::ids(node, diagnostics) {
        FieldSetting::Nothing => default.into_iter().collect(),
        FieldSetting::None => Vec::new(),
        FieldSetting::This(places) => {
            let plain = || {
                default
                    .clone()
                    .unwrap_or_else(|| Location::Headers(row_names(&[PLAIN_ID])))
            };
            places
                .into_iter()
                .map(|place| place.unwrap_or_else(plain))
                .collect()
        }
    }
}

/// Treats the header of the timestamp or the id in the content as `piece`, so that it counts as
/// covered.
fn rename(content: &mut Content, place: &Location, piece: &Piece) {
    if let Location::Headers(names) = place
        && let [name] = names.as_slice()
    {
        content.name(name, piece);
    }
}
