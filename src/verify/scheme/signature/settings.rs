//! From YAML and a row of data to a compiled [`Signature`].
//!
//! What is written replaces what the row has, field by field. Whether the fields fit each other is left to
//! [`CoverageCheck`].

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

/// The fields of `hmac`, and of the presets of that kind.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "most are read from the node, item by item")]
struct SignatureShape {
    /// Where the secret is read from; several while one replaces the other.
    secret: Option<IgnoredAny>,
    /// How the secret is written down.
    secret_encoding: Option<KeyEncoding>,
    /// Taken off the secret, where it stands, before it is decoded.
    strip_prefix: Option<String>,
    /// The hash function.
    algorithm: Option<HashAlgorithm>,
    /// The header with the signature; several names where a sender has several families of headers.
    header: Option<IgnoredAny>,
    /// The name in the query under which the signature stands instead.
    query: Option<IgnoredAny>,
    /// The `JSONPath` at which the signature stands instead.
    json: Option<IgnoredAny>,
    /// How the signature is written.
    encoding: Option<Encoding>,
    /// What the signature must begin with.
    prefix: Option<String>,
    /// What splits the header into items, any of which may match.
    separator: Option<String>,
    /// What is signed.
    content: Option<String>,
    /// Where the timestamp stands.
    timestamp: Option<IgnoredAny>,
    /// Where the id stands.
    id: Option<IgnoredAny>,
    /// Of a form, the field whose decoded value is signed in place of the raw bytes; it must be the only one.
    form_field: Option<String>,
    /// The handshake that is answered; the sender's own by default.
    handshake: Option<IgnoredAny>,
    /// What the sender of a handshake must know.
    verify_token: Option<IgnoredAny>,
    /// The file in which the secret is kept that comes with a handshake.
    learn: Option<IgnoredAny>,
}

/// The fields of `ed25519` and `ecdsa_p256`, and of the presets of these kinds.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "most are read from the node, item by item")]
struct PublicShape {
    /// Where the public key is read from; several while one replaces the other.
    public_key: Option<IgnoredAny>,
    /// Where the private key is read from, for signing; the public one is then made from it.
    private_key: Option<IgnoredAny>,
    /// How the keys are written down; one in PEM is recognised.
    key_encoding: Option<KeyEncoding>,
    /// Taken off the key, where it stands, before it is decoded.
    strip_prefix: Option<String>,
    /// The header with the signature; several names where a sender has several families of headers.
    header: Option<IgnoredAny>,
    /// The name in the query under which the signature stands instead.
    query: Option<IgnoredAny>,
    /// The `JSONPath` at which the signature stands instead.
    json: Option<IgnoredAny>,
    /// How the signature is written.
    encoding: Option<Encoding>,
    /// What the signature must begin with.
    prefix: Option<String>,
    /// What splits the header into items, any of which may match.
    separator: Option<String>,
    /// What is signed.
    content: Option<String>,
    /// Where the timestamp stands.
    timestamp: Option<IgnoredAny>,
    /// Where the id stands.
    id: Option<IgnoredAny>,
    /// The handshake that is answered; the sender's own by default.
    handshake: Option<IgnoredAny>,
    /// What the sender of a handshake must know.
    verify_token: Option<IgnoredAny>,
    /// The file in which the secret is kept that comes with a handshake.
    learn: Option<IgnoredAny>,
}

/// What both shapes have, and what becomes of the keys.
pub(super) struct SignatureFields {
    /// Taken off the key, where it stands.
    pub strip_prefix: Option<String>,
    encoding: Option<Encoding>,
    prefix: Option<String>,
    separator: Option<String>,
    content: Option<String>,
    form_field: Option<String>,
    /// The hash function of an HMAC.
    pub algorithm: Option<HashAlgorithm>,
    /// How the key is written down.
    pub key_encoding: Option<KeyEncoding>,
}

impl SignatureFields {
    /// Whether any text can be the secret.
    fn takes_any_secret(&self, row: &SignatureRow) -> bool {
        let strip = self.strip_prefix.as_deref().unwrap_or(row.strip_prefix);
        self.key_encoding.unwrap_or(row.key_encoding) == KeyEncoding::Utf8 && strip.is_empty()
    }
}

/// Compiles the value of `hmac:` and its kin, or of a preset. Reports everything that is wrong with it.
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

/// Reads the fields as the row's kind has them.
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

/// The place of a finding about `key`: the field's, or the scheme's if the field comes from its row.
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

/// A content that names the timestamp's or the id's header covers the timestamp or the id.
fn rename(content: &mut Content, place: &Location, piece: &Piece) {
    if let Location::Headers(names) = place
        && let [name] = names.as_slice()
    {
        content.name(name, piece);
    }
}
