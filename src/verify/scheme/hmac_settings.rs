//! From YAML and a row of data to a compiled [`Hmac`].
//!
//! What is written replaces what the row has, field by field. Whether the fields fit each other is left to
//! [`Judged`].

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Surroundings;
use super::content::{Content, Fault, Piece, TOKENS};
use super::hmac::Hmac;
use super::hmac_coverage::Judged;
use super::mac::{Algorithm, Encoding, Mac, SecretEncoding};
use super::presets::{HmacRow, PLAIN_ID, PLAIN_TIMESTAMP, PlaceRow};
use super::settings::{self, Said, header_names, row_names};
use super::source::{Place, TimestampSource, Unit};
use crate::diagnostic::Findings;
use crate::secret::Secret;
use crate::verify::handshake;
use crate::yaml::{Node, unknown};

/// The fields of `hmac`, and of the presets of that kind.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "secret, header, timestamp, id and what concerns handshakes are read from the node, item by item"
)]
struct Shape {
    /// Where the secret is read from; several while one replaces the other.
    secret: Option<IgnoredAny>,
    /// How the secret is written down.
    secret_encoding: Option<SecretEncoding>,
    /// Taken off the secret, where it stands, before it is decoded.
    strip_prefix: Option<String>,
    /// The hash function.
    algorithm: Option<Algorithm>,
    /// The header with the signature; several names where a sender has several families of headers.
    header: Option<IgnoredAny>,
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

/// Compiles the value of `hmac:`, or of a preset of that kind. Reports everything that is wrong with it.
pub fn compile(
    node: Node<'_>,
    row: &HmacRow,
    surroundings: &Surroundings<'_>,
    findings: &mut Findings,
) -> Option<Hmac> {
    let shape: Shape = if node.is_mapping() {
        node.read(findings)?
    } else {
        Shape::default()
    };
    let algorithm = shape.algorithm.unwrap_or(row.algorithm);
    let decoding = shape.secret_encoding.unwrap_or(row.secret_encoding);
    let strip = shape.strip_prefix.as_deref().unwrap_or(row.strip_prefix);
    let learnt = handshake::learnt(node, surroundings.keyring);
    let to_be_learnt = learnt.is_some();
    let secrets = match learnt {
        Some(learnt) => learnt.into_iter().map(|secret| (node, secret)).collect(),
        None => settings::secrets(node, "secret", surroundings.keyring, findings),
    };
    let mut keys = Vec::with_capacity(secrets.len());
    for (place, secret) in secrets {
        match key(&secret, strip, decoding).map(|key| Mac::keyed(algorithm, key.expose())) {
            Ok(mac) => keys.extend(mac),
            Err(message) => findings.push(place.error("secret", message)),
        }
    }

    let headers = match given(node, "header") {
        Some(header) => header_names(header, findings),
        None => Some(row_names(row.header)),
    };
    let separator = separator(
        node,
        shape.separator.as_deref().unwrap_or(row.separator),
        findings,
    );
    let timestamp = timestamp(node, row, findings);
    let id = id(node, row, findings);
    let mut content = content(node, shape.content.as_deref().unwrap_or(row.content), findings)?;
    if let Some(TimestampSource { place, .. }) = &timestamp {
        rename(&mut content, place, &Piece::Timestamp);
    }
    if let Some(place) = &id {
        rename(&mut content, place, &Piece::Id);
    }

    let headers = headers?;
    let judged = Judged {
        node,
        content: &content,
        headers: &headers,
        timestamp: timestamp.as_ref(),
        id: id.as_ref(),
        has_items: separator.is_some(),
    };
    let (timestamp_signed, id_signed) = judged.judge(surroundings, findings);
    let form_field = shape.form_field.as_deref().or(row.form_field);
    (to_be_learnt || !keys.is_empty()).then(|| Hmac {
        keys,
        algorithm,
        encoding: shape.encoding.unwrap_or(row.encoding),
        prefix: shape.prefix.unwrap_or_else(|| row.prefix.to_owned()),
        separator,
        timestamp_signed,
        id_signed,
        forbidden_in_id: content.forbidden_in_id().unwrap_or_default(),
        form_field: form_field.filter(|field| !field.is_empty()).map(str::to_owned),
        public_url: surroundings
            .public_url
            .unwrap_or_default()
            .trim_end_matches('/')
            .to_owned(),
        window: row.window,
        headers,
        content,
        timestamp,
        id,
    })
}

/// The key that a secret's text stands for; the error does not repeat it.
fn key(secret: &Secret, strip: &str, decoding: SecretEncoding) -> Result<Secret, String> {
    let text = secret.expose();
    let stripped = text.strip_prefix(strip.as_bytes()).unwrap_or(text);
    let key = Secret::new(decoding.decode(stripped)?);
    if stripped.iter().all(u8::is_ascii_whitespace) || key.expose().is_empty() {
        return Err(format!("nothing is left of the secret without `{strip}`"));
    }
    Ok(key)
}

/// The field `key`, if it says something.
fn given<'d>(node: Node<'d>, key: &str) -> Option<Node<'d>> {
    node.get(key).filter(|field| !field.value().is_null())
}

/// The place of a finding about `key`: the field's, or the scheme's if the field comes from its row.
pub fn at<'d>(node: Node<'d>, key: &str) -> Node<'d> {
    node.get(key).unwrap_or(node)
}

fn separator(node: Node<'_>, text: &str, findings: &mut Findings) -> Option<char> {
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (None, _) => None,
        (Some(letter), None) if letter == ' ' || letter.is_ascii_punctuation() => Some(letter),
        _ => {
            let message =
                format!("`{text}` is no separator: it is one character such as `,`, `;` or a space");
            findings.push(at(node, "separator").error("wrong-value", message));
            None
        }
    }
}

fn content(node: Node<'_>, text: &str, findings: &mut Findings) -> Option<Content> {
    let at = at(node, "content");
    match Content::parse(text) {
        Ok(content) => return Some(content),
        Err(Fault::Unknown(name)) => {
            findings.push(unknown(at.origin(), "unknown-token", "token", &name, TOKENS));
        }
        Err(Fault::Other(message)) => findings.push(at.error("content", message)),
    }
    None
}

fn timestamp(node: Node<'_>, row: &HmacRow, findings: &mut Findings) -> Option<TimestampSource> {
    let default = row.timestamp.as_ref().map(|default| TimestampSource {
        place: place(&default.place),
        unit: default.unit,
    });
    match settings::timestamp(node, findings) {
        Said::Nothing => default,
        Said::None => None,
        Said::This(said) => {
            let default = default.unwrap_or_else(|| TimestampSource {
                place: Place::Headers(row_names(&[PLAIN_TIMESTAMP])),
                unit: Unit::S,
            });
            Some(TimestampSource {
                place: said.place.unwrap_or(default.place),
                unit: said.unit.unwrap_or(default.unit),
            })
        }
    }
}

fn id(node: Node<'_>, row: &HmacRow, findings: &mut Findings) -> Option<Place> {
    let default = row.id.as_ref().map(|default| place(&default.place));
    match settings::id(node, findings) {
        Said::Nothing => default,
        Said::None => None,
        Said::This(said) => said
            .or(default)
            .or_else(|| Some(Place::Headers(row_names(&[PLAIN_ID])))),
    }
}

fn place(row: &PlaceRow) -> Place {
    match row {
        PlaceRow::Header(names) => Place::Headers(row_names(names)),
        PlaceRow::Item(prefix) => Place::Item((*prefix).to_owned()),
    }
}

/// A content that names the timestamp's or the id's header covers the timestamp or the id.
fn rename(content: &mut Content, place: &Place, piece: &Piece) {
    if let Place::Headers(names) = place
        && let [name] = names.as_slice()
    {
        content.name(name, piece);
    }
}
