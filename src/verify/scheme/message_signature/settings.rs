//! Compiler from YAML to a [`MessageSignature`]. Reports all errors, each at its own line.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::algorithm::SignatureAlgorithm;
use super::component::DERIVED;
use super::required::Required;
use super::{MessageKey, MessageSignature};
use crate::base::diagnostic::Diagnostics;
use crate::base::secret::Secret;
use crate::base::units::HumanDuration;
use crate::base::yaml::{Node, unknown};
use crate::verify::context::SchemeContext;
use crate::verify::parts::keys::ConfiguredKey;
use crate::verify::parts::mac::KeyEncoding;
use crate::verify::parts::secrets;
use crate::verify::parts::settings::{Settings, shape};
use crate::verify::scheme::jwt::keys::{self, JwtKey};

/// Default tolerance for `created`, in both directions.
const WINDOW: Duration = Duration::from_mins(5);
/// Maximum keys. Each with the same `keyid` costs one verification per signature.
const MAX_KEYS: usize = 16;
/// Minimum length of a shared secret without a warning, in bytes: that of the hash.
const LEAST: usize = 32;
/// Default components that a signature must cover.
const COMPONENTS: [&str; 5] = ["@method", "@authority", "@path", "@query", "content-digest"];
/// Maximum components that can be required.
const MAX_REQUIRED: usize = 32;

shape! {
    /// Settings of `http_message_signatures`.
    MessageSignatureShape {
        /// Keys, if there are several.
        keys: IgnoredAny,
        /// `keyid` of the only key.
        keyid: IgnoredAny,
        /// Algorithm of the only key.
        algorithm: IgnoredAny,
        /// Source of the shared secret. May be a list during rotation.
        secret: IgnoredAny,
        /// Encoding of the secret.
        secret_encoding: IgnoredAny,
        /// Source of the public key in PEM. May be a list during rotation.
        public_key: IgnoredAny,
        /// Components that a signature must cover.
        components: IgnoredAny,
        /// Label of the signature that counts.
        label: String,
        /// Required tag.
        tag: String,
        /// `created`, or `none` if the sender does not state it.
        timestamp: String,
        /// Default replay window: the tolerance for `created`.
        replay_window: HumanDuration,
    }
}

/// Shape of one of `keys:`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read from the node: the position is needed")]
struct KeyShape {
    keyid: Option<IgnoredAny>,
    algorithm: Option<IgnoredAny>,
    secret: Option<IgnoredAny>,
    secret_encoding: Option<IgnoredAny>,
    public_key: Option<IgnoredAny>,
}

/// Keys that describe a key, in `keys` or beside the other settings.
const KEY_SETTINGS: [&str; 5] = ["keyid", "algorithm", "secret", "secret_encoding", "public_key"];

/// Compiles the settings of `http_message_signatures`. Reports all errors.
pub fn compile(
    settings: &Settings<'_>,
    context: &SchemeContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<MessageSignature> {
    let place = settings.place();
    if let Some(short) = settings.short() {
        let diagnostic = short.error(
            "wrong-value",
            "`http_message_signatures` needs an algorithm and a key",
        );
        diagnostics.push(
            diagnostic.hint(
                "`http_message_signatures: {algorithm: ed25519, public_key: file:/etc/hookyard/key.pem}`",
            ),
        );
        return None;
    }
    let shapes = settings.read::<MessageSignatureShape>(diagnostics)?;
    let nearest = |text: fn(&MessageSignatureShape) -> Option<&String>| shapes.iter().find_map(text).cloned();
    let required = required(settings, context, diagnostics);
    let mut keys = Vec::new();
    match settings.given("keys") {
        Some(list) => {
            if let Some(beside) = KEY_SETTINGS.iter().find_map(|key| settings.given(key)) {
                let message = "a key stands in `keys`, or beside the other settings, not in both";
                diagnostics.push(beside.error("ambiguous-place", message));
            }
            let items = list.items();
            if items.is_empty() || items.len() > MAX_KEYS {
                let message = format!("`keys` is a list of 1 to {MAX_KEYS} keys");
                diagnostics.push(list.error("wrong-value", message));
            }
            for item in items {
                if item.read::<KeyShape>(diagnostics).is_some() {
                    let layers = Settings::of("keys", item);
                    keys.extend(read_keys(&layers, item, context, diagnostics));
                }
            }
            let unnamed = |held: &ConfiguredKey<MessageKey>| held.key.keyid.is_none();
            if keys.len() > 1 && keys.iter().any(unnamed) {
                let diagnostic = list.error("missing-key", "of several keys, each has a `keyid`");
                diagnostics.push(diagnostic.hint("`keyid` is what the sender writes in `Signature-Input`"));
            }
        }
        None => keys.extend(read_keys(settings, place, context, diagnostics)),
    }
    let timestamp = nearest(|shape| shape.timestamp.as_ref());
    let needs_created = match timestamp.as_deref() {
        None | Some("created") => true,
        Some("none") => false,
        Some(_) => {
            let message = "`timestamp` is `created`, or `none`";
            diagnostics.push(settings.at("timestamp").error("wrong-value", message));
            true
        }
    };
    let window = shapes.iter().find_map(|shape| shape.replay_window.as_ref());
    (!keys.is_empty()).then_some(MessageSignature {
        keys,
        required: required?,
        label: nearest(|shape| shape.label.as_ref()),
        tag: nearest(|shape| shape.tag.as_ref()),
        needs_created,
        window: window.map_or(WINDOW, |window| window.0),
        public_url: context
            .public_url
            .unwrap_or_default()
            .trim_end_matches('/')
            .to_owned(),
    })
}

/// Reads a key, or the several that replace each other, under one `keyid`.
fn read_keys(
    settings: &Settings<'_>,
    place: Node<'_>,
    context: &SchemeContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<ConfiguredKey<MessageKey>> {
    let keyid = settings.given("keyid").and_then(|node| {
        let keyid = node
            .as_str()
            .filter(|keyid| !keyid.is_empty() && keyid.is_ascii());
        if keyid.is_none() {
            diagnostics.push(node.error("wrong-value", "`keyid` is text of printable ASCII"));
        }
        keyid.map(str::to_owned)
    });
    let Some(node) = settings.given("algorithm") else {
        let names = SignatureAlgorithm::ALL.map(SignatureAlgorithm::name).join(", ");
        let diagnostic = place.error("missing-key", "`algorithm` is missing");
        diagnostics.push(diagnostic.hint(format!("one of {names}")));
        return Vec::new();
    };
    let typed = node.as_str().unwrap_or_default();
    let Some(algorithm) = SignatureAlgorithm::named(typed) else {
        let names = SignatureAlgorithm::ALL.map(SignatureAlgorithm::name);
        diagnostics.push(unknown(node.origin(), "unknown-value", "algorithm", typed, names));
        return Vec::new();
    };
    let symmetric = algorithm == SignatureAlgorithm::HmacSha256;
    let (own, other) = if symmetric {
        ("secret", "public_key")
    } else {
        ("public_key", "secret")
    };
    if let Some(wrong) = settings.given(other) {
        let message = format!("`{typed}` takes `{own}`, not `{other}`");
        diagnostics.push(wrong.error("key-kind", message));
        return Vec::new();
    }
    let read = if symmetric {
        secrets::secrets(settings, own, LEAST, context.keyring, diagnostics)
    } else {
        secrets::public_keys(settings, own, context.keyring, diagnostics)
    };
    let encoding = encoding(settings, symmetric, diagnostics);
    let mut keys = Vec::with_capacity(read.len());
    for (item, held) in read {
        let prepared = if symmetric {
            shared(&held.key, encoding)
        } else {
            public(&held.key, algorithm)
        };
        match prepared {
            Ok(key) => keys.push(held.with(MessageKey {
                keyid: keyid.clone(),
                algorithm,
                key: Arc::new(key),
            })),
            Err(message) => diagnostics.push(item.error(if symmetric { "secret" } else { "key" }, message)),
        }
    }
    keys
}

fn encoding(settings: &Settings<'_>, symmetric: bool, diagnostics: &mut Diagnostics) -> KeyEncoding {
    let Some(node) = settings.given("secret_encoding") else {
        return KeyEncoding::Utf8;
    };
    if !symmetric {
        let message = "`secret_encoding` has no meaning for a public key, which is in PEM";
        diagnostics.push(node.error("key-kind", message));
    }
    node.read(diagnostics).unwrap_or(KeyEncoding::Utf8)
}

/// Prepares a shared secret. The error does not quote it.
fn shared(secret: &Secret, encoding: KeyEncoding) -> Result<JwtKey, String> {
    let bytes = encoding.decode(secret.expose());
    let bytes = bytes.map_err(|fault| format!("the secret is {fault}"))?;
    if bytes.is_empty() {
        return Err("nothing is left of the secret".to_owned());
    }
    let primitive = [SignatureAlgorithm::HmacSha256.primitive()];
    Ok(JwtKey::secret(&Secret::new(bytes), &primitive))
}

/// Prepares a public key in PEM. The error does not quote it.
fn public(text: &Secret, algorithm: SignatureAlgorithm) -> Result<JwtKey, String> {
    let read = keys::of_pem(text.expose(), &[algorithm.primitive()]);
    let mut keys = read.map_err(|(message, hint)| match message.split_once("it is no key") {
        Some(_) => format!("it is no key for `{}`", algorithm.name()),
        None => format!("{message}: {hint}"),
    })?;
    match (keys.pop(), keys.pop()) {
        (Some(key), None) => Ok(key),
        _ => Err("it holds several keys: list each by itself".to_owned()),
    }
}

/// Reads the components that a signature must cover.
fn required(
    settings: &Settings<'_>,
    context: &SchemeContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<Required>> {
    let mut required = Vec::new();
    match settings.given("components") {
        None => required.extend(COMPONENTS.iter().filter_map(|name| Required::named(name))),
        Some(node) => {
            let items = node.items();
            if !node.value().is_sequence() || items.len() > MAX_REQUIRED {
                let message = format!("`components` is a list of at most {MAX_REQUIRED} names");
                diagnostics.push(node.error("wrong-value", message));
                return None;
            }
            for item in items {
                let typed = item.as_str().unwrap_or_default();
                match Required::named(typed) {
                    Some(one) if required.contains(&one) => {
                        diagnostics.push(item.error("wrong-value", format!("`{typed}` stands in it twice")));
                    }
                    Some(one) => required.push(one),
                    None => {
                        diagnostics.push(unknown(
                            item.origin(),
                            "unknown-value",
                            "component",
                            typed,
                            DERIVED,
                        ));
                    }
                }
            }
        }
    }
    if context.public_url.is_none()
        && let Some(needs) = required.iter().find(|one| one.needs_public_url())
    {
        let message = format!("`{needs}` must be covered, and `server.public_url` is not set");
        diagnostics.push(settings.at("components").error("missing-public-url", message).hint(
            "the URL is never taken from the request: say which one the sender calls, or list other `components`",
        ));
    }
    if !required.contains(&Required::ContentDigest) {
        let message = "the body need not be covered: one genuine signature lets any body in";
        let diagnostic = settings.at("components").warning("unsigned-body", message);
        diagnostics.push(diagnostic.hint("add `content-digest`"));
    }
    Some(required)
}
