//! Settings of a signature as the rules file writes them, apart from its keys.

use std::time::Duration;

use http::HeaderName;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::kind::Kind;
use super::public_key::{Padding, PublicAlgorithm, RsaHash};
use crate::base::diagnostic::Diagnostics;
use crate::base::units::HumanDuration;
use crate::verify::parts::mac::{Encoding, HashAlgorithm, KeyEncoding};
use crate::verify::parts::places;
use crate::verify::parts::settings::{Settings, shape};
use crate::verify::parts::source::{Location, TimestampSource};

/// Default header of a signature.
const HEADER: HeaderName = HeaderName::from_static("x-signature");
/// Default replay window if there is a timestamp. Most senders use this value.
const WINDOW: Duration = Duration::from_mins(5);

/// Declares the settings of a family of signatures: its own, and those that every signature has.
/// `values` says which of its own settings need no position, by their names in [`Values`].
macro_rules! signature_shape {
    ($(#[$about:meta])* $name:ident { $($own:tt)* } values { $($value:ident: $key:ident,)* }) => {
        shape! {
            $(#[$about])*
            $name {
                $($own)*
                /// Prefix removed from the key, if present, before decoding. Of a list, the first
                /// that fits.
                strip_prefix: IgnoredAny,
                /// Header with the signature. A list if the sender has several families of headers.
                header: IgnoredAny,
                /// Query parameter with the signature, instead of a header.
                query: IgnoredAny,
                /// `JSONPath` of the signature in the body, instead of a header.
                json: IgnoredAny,
                /// Encoding of the signature.
                encoding: Encoding,
                /// Required prefix of the signature.
                prefix: String,
                /// Separator that splits the header into items. Any item may match.
                separator: String,
                /// Signed content.
                content: String,
                /// Signed content if there is a timestamp.
                content_with_timestamp: String,
                /// Location of the timestamp.
                timestamp: IgnoredAny,
                /// Location of the id that identifies an event.
                id: IgnoredAny,
                /// Default replay window: the sender's tolerance for its timestamp.
                replay_window: HumanDuration,
            }
        }

        impl From<$name> for Values {
            fn from(shape: $name) -> Self {
                Self {
                    $($value: shape.$key,)*
                    encoding: shape.encoding,
                    prefix: shape.prefix,
                    separator: shape.separator,
                    content: shape.content,
                    content_with_timestamp: shape.content_with_timestamp,
                    replay_window: shape.replay_window,
                    ..Self::default()
                }
            }
        }
    };
}

signature_shape! {
    /// Settings of `hmac`.
    SignatureShape {
        /// Source of the secret. May be a list during rotation.
        secret: IgnoredAny,
        /// Encoding of the secret.
        secret_encoding: KeyEncoding,
        /// Hash function.
        algorithm: HashAlgorithm,
        /// Field of a form whose decoded value is signed instead of the raw bytes. It must be the
        /// only field.
        form_field: String,
    }
    values { key_encoding: secret_encoding, algorithm: algorithm, form_field: form_field, }
}

signature_shape! {
    /// Settings of `ed25519` and `ecdsa_p256`.
    PublicShape {
        /// Source of the public key. May be a list during rotation.
        public_key: IgnoredAny,
        /// Source of the private key, for signing. The public key is then derived from it.
        private_key: IgnoredAny,
        /// Encoding of the keys. PEM is detected.
        key_encoding: KeyEncoding,
    }
    values { key_encoding: key_encoding, }
}

signature_shape! {
    /// Settings of `rsa_sha256`, `rsa_sha512` and `rsa_sha1`.
    RsaShape {
        /// Source of the public key. May be a list during rotation.
        public_key: IgnoredAny,
        /// Source of the private key, for signing. The public key is then derived from it.
        private_key: IgnoredAny,
        /// Encoding of the keys. PEM is detected.
        key_encoding: KeyEncoding,
        /// Padding of the signature.
        padding: Padding,
        /// Field of a form whose decoded value is signed instead of the raw bytes. It must be the
        /// only field.
        form_field: String,
    }
    values { key_encoding: key_encoding, padding: padding, form_field: form_field, }
}

/// Settings of one layer that need no position.
#[derive(Default)]
struct Values {
    key_encoding: Option<KeyEncoding>,
    algorithm: Option<HashAlgorithm>,
    padding: Option<Padding>,
    encoding: Option<Encoding>,
    prefix: Option<String>,
    separator: Option<String>,
    content: Option<String>,
    content_with_timestamp: Option<String>,
    replay_window: Option<HumanDuration>,
    form_field: Option<String>,
}

/// Settings of a signature, apart from its keys.
pub struct SignatureSettings {
    pub kind: Kind,
    pub key_encoding: KeyEncoding,
    /// Prefixes removed from a key, if present, before decoding.
    pub strip_prefixes: Vec<String>,
    pub algorithm: HashAlgorithm,
    /// Location of the signature. `None` if it is invalid.
    pub place: Option<Location>,
    pub encoding: Encoding,
    pub prefix: String,
    pub separator: Option<char>,
    /// Signed content as a template.
    pub content: String,
    pub timestamp: Option<TimestampSource>,
    pub ids: Vec<Location>,
    pub form_field: Option<String>,
    pub window: Duration,
}

impl SignatureSettings {
    /// Reads the settings. `None` if a layer cannot be read.
    pub fn read(kind: Kind, settings: &Settings<'_>, diagnostics: &mut Diagnostics) -> Option<Self> {
        let layers = match kind {
            Kind::Hmac => values::<SignatureShape>(settings, diagnostics)?,
            Kind::Public(PublicAlgorithm::Rsa(..)) => values::<RsaShape>(settings, diagnostics)?,
            Kind::Public(_) => values::<PublicShape>(settings, diagnostics)?,
        };
        let padding = layers.iter().find_map(|layer| layer.padding);
        let kind = padded(kind, padding.unwrap_or_default(), settings, diagnostics);
        let timestamp = places::timestamp(settings, diagnostics);
        let place = if places::names_place(settings) {
            places::proof_place(settings, "the signature", diagnostics)
        } else {
            Some(Location::Headers(vec![HEADER]))
        };
        let nearest = |text: fn(&Values) -> Option<&String>| layers.iter().find_map(text).cloned();
        let content = layers.iter().find_map(|layer| {
            let stamped = layer.content_with_timestamp.as_ref();
            stamped.filter(|_| timestamp.is_some()).or(layer.content.as_ref())
        });
        let separator = nearest(|layer| layer.separator.as_ref()).unwrap_or_default();
        let form_field = nearest(|layer| layer.form_field.as_ref());
        let encoding = layers.iter().find_map(|layer| layer.encoding);
        let key_encoding = layers.iter().find_map(|layer| layer.key_encoding);
        let algorithm = layers.iter().find_map(|layer| layer.algorithm);
        let window = layers.iter().find_map(|layer| layer.replay_window.as_ref());
        Some(Self {
            kind,
            key_encoding: key_encoding.unwrap_or_else(|| kind.key_encoding()),
            strip_prefixes: settings.texts("strip_prefix", diagnostics),
            algorithm: algorithm.unwrap_or(HashAlgorithm::Sha256),
            place,
            encoding: encoding.unwrap_or_else(|| kind.encoding()),
            prefix: nearest(|layer| layer.prefix.as_ref()).unwrap_or_default(),
            separator: character(settings, &separator, diagnostics),
            content: content.cloned().unwrap_or_else(|| "{body}".to_owned()),
            timestamp,
            ids: places::ids(settings, diagnostics),
            form_field: form_field.filter(|field| !field.is_empty()),
            window: window.map_or(WINDOW, |window| window.0),
        })
    }

    /// Returns true if any text is a valid secret.
    pub fn takes_any_secret(&self) -> bool {
        self.key_encoding == KeyEncoding::Utf8 && self.strip_prefixes.iter().all(String::is_empty)
    }
}

/// Adds the padding to an RSA signature.
fn padded(kind: Kind, padding: Padding, settings: &Settings<'_>, diagnostics: &mut Diagnostics) -> Kind {
    let Kind::Public(PublicAlgorithm::Rsa(hash, _)) = kind else {
        return kind;
    };
    if (hash, padding) == (RsaHash::Sha1, Padding::Pss) {
        let message = "`padding: pss` needs SHA-256 or SHA-512";
        let diagnostic = settings.at("padding").error("wrong-value", message);
        diagnostics.push(diagnostic.hint("use `rsa_sha256` or `rsa_sha512`"));
    }
    Kind::Public(PublicAlgorithm::Rsa(hash, padding))
}

/// Reads the values of all layers, the nearest first.
fn values<T: DeserializeOwned + Into<Values>>(
    settings: &Settings<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<Values>> {
    let shapes: Vec<T> = settings.read(diagnostics)?;
    Some(shapes.into_iter().map(Into::into).collect())
}

/// Reads a separator of one character.
fn character(settings: &Settings<'_>, text: &str, diagnostics: &mut Diagnostics) -> Option<char> {
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (None, _) => None,
        (Some(letter), None) if letter == ' ' || letter.is_ascii_punctuation() => Some(letter),
        _ => {
            let message =
                format!("`{text}` is no separator: it is one character such as `,`, `;` or a space");
            diagnostics.push(settings.at("separator").error("wrong-value", message));
            None
        }
    }
}
