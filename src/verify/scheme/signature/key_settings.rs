//! Keys of a signature, read from its settings: shared secrets, or public keys and an optional
//! private key.
//!
//! A key is text, hex, base64 or PEM (RFC 7468). No error message quotes it.

use data_encoding::BASE64;
use rustls::pki_types::pem::{PemObject, SectionKind};

use super::keys::Keys;
use super::kind::Kind;
use super::public_key::PublicAlgorithm;
use super::settings::SignatureSettings;
use super::signer::Signer;
use crate::base::diagnostic::Diagnostics;
use crate::base::secret::{Secret, source_of};
use crate::base::weak_secret::SHORT;
use crate::verify::context::SchemeContext;
use crate::verify::parts::keys::ConfiguredKey;
use crate::verify::parts::mac::{KeyEncoding, Mac};
use crate::verify::parts::secrets;
use crate::verify::parts::settings::Settings;

/// Reads the keys. `None` if there is no valid key.
pub(super) fn keys(
    settings: &Settings<'_>,
    read: &SignatureSettings,
    context: &SchemeContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Keys> {
    match read.kind {
        Kind::Hmac => shared(settings, read, context, diagnostics),
        Kind::Public(algorithm) => public(algorithm, settings, read, context, diagnostics),
    }
}

/// Reads shared secrets.
fn shared(
    settings: &Settings<'_>,
    read: &SignatureSettings,
    context: &SchemeContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Keys> {
    let learnt = secrets::learnt(settings, context.keyring);
    let to_be_learnt = learnt.is_some();
    let place = settings.place();
    let secrets = match learnt {
        Some(learnt) => learnt.into_iter().map(|secret| (place, secret)).collect(),
        None => secrets::secrets(settings, "secret", SHORT, context.keyring, diagnostics),
    };
    let mut keys = Vec::new();
    for (place, held) in secrets {
        match key(&held.key, &read.strip_prefixes, read.key_encoding, "secret")
            .map(|key| Mac::keyed(read.algorithm, key.expose()))
        {
            Ok(mac) => keys.extend(mac.map(|mac| held.with(mac))),
            Err(message) => diagnostics.push(place.error("secret", message)),
        }
    }
    (to_be_learnt || !keys.is_empty()).then_some(Keys::Shared(read.algorithm, keys))
}

/// Reads public keys, and a private key if there is one.
fn public(
    algorithm: PublicAlgorithm,
    settings: &Settings<'_>,
    read: &SignatureSettings,
    context: &SchemeContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Keys> {
    let (strips, decoding) = (&read.strip_prefixes, read.key_encoding);
    let private = settings.given("private_key");
    let signer = private.and_then(|place| {
        let secret = context.keyring.read(place, diagnostics)?;
        let bytes = key_or_pem(&secret, strips, decoding, "PRIVATE KEY");
        let signer = bytes.and_then(|bytes| Signer::new(algorithm, bytes.expose()).map_err(str::to_owned));
        signer
            .map_err(|message| diagnostics.push(place.error("key", message)))
            .ok()
    });
    if let (Some(place), None) = (private, settings.given("public_key")) {
        let source = place.as_str().and_then(source_of).unwrap_or("private_key");
        let held = ConfiguredKey {
            key: signer.as_ref()?.public_key()?,
            source: source.into(),
            not_after: None,
        };
        return Some(Keys::Public(algorithm, vec![held], signer));
    }
    let mut keys = Vec::new();
    for (place, held) in secrets::public_keys(settings, "public_key", context.keyring, diagnostics) {
        let bytes = key_or_pem(&held.key, strips, decoding, "PUBLIC KEY");
        let key = bytes.and_then(|bytes| algorithm.public_key(bytes.expose()));
        match key {
            Ok(key) => keys.push(held.with(key)),
            Err(message) => diagnostics.push(place.error("key", message)),
        }
    }
    (!keys.is_empty()).then_some(Keys::Public(algorithm, keys, signer))
}

/// Decodes the text of a key. The error does not quote it.
fn key(secret: &Secret, strips: &[String], decoding: KeyEncoding, what: &str) -> Result<Secret, String> {
    let text = secret.expose();
    let strip = strips
        .iter()
        .find(|strip| !strip.is_empty() && text.starts_with(strip.as_bytes()))
        .map_or("", String::as_str);
    let stripped = text.strip_prefix(strip.as_bytes()).unwrap_or(text);
    // The rest can be base64 of its own, in which `_` is a letter.
    if !strip.is_empty() && stripped.starts_with(strip.as_bytes()) {
        return Err(format!("the {what} begins with `{strip}` twice: leave one out"));
    }
    let key = decoding.decode(stripped);
    let key = Secret::new(key.map_err(|fault| format!("the {what} is {fault}"))?);
    if stripped.iter().all(u8::is_ascii_whitespace) || key.expose().is_empty() {
        return Err(format!("nothing is left of the {what} without `{strip}`"));
    }
    Ok(key)
}

/// Decodes a key like [`key()`], or from PEM (RFC 7468).
fn key_or_pem(
    secret: &Secret,
    strips: &[String],
    decoding: KeyEncoding,
    label: &str,
) -> Result<Secret, String> {
    let text = secret.expose();
    if !text.trim_ascii_start().starts_with(b"-----BEGIN ") {
        return match decoding {
            KeyEncoding::Utf8 => Err("a key is written in hex, in base64 or in PEM".to_owned()),
            decoding => key(secret, strips, decoding, &label.to_ascii_lowercase()),
        };
    }
    let is_private = |kind: SectionKind| {
        matches!(
            kind,
            SectionKind::PrivateKey | SectionKind::EcPrivateKey | SectionKind::RsaPrivateKey
        )
    };
    match <(SectionKind, Vec<u8>)>::from_pem_slice(text) {
        Ok((SectionKind::PublicKey, der)) if label == "PUBLIC KEY" => Ok(Secret::new(der)),
        Ok((kind, der)) if is_private(kind) && label == "PRIVATE KEY" => Ok(Secret::new(der)),
        // Not a kind of its own in the PEM reader.
        Err(_) if label == "PUBLIC KEY" => match pkcs1(text) {
            Some(der) => Ok(Secret::new(der)),
            None => Err(format!("the PEM holds no `{label}`")),
        },
        Ok((kind, _)) if is_private(kind) => Err(format!(
            "the PEM holds a private key, which only the sender needs, and no `{label}`"
        )),
        Ok((SectionKind::Certificate, _)) => Err(format!(
            "the PEM holds a certificate, and no `{label}`: `openssl x509 -noout -pubkey` writes it out"
        )),
        _ => Err(format!("the PEM holds no `{label}`")),
    }
}

/// Decodes an `RSA PUBLIC KEY` (PKCS #1). `None` if the text is none.
fn pkcs1(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let inner = text.strip_prefix("-----BEGIN RSA PUBLIC KEY-----")?;
    let inner = inner.strip_suffix("-----END RSA PUBLIC KEY-----")?;
    let digits: String = inner.split_ascii_whitespace().collect();
    BASE64.decode(digits.as_bytes()).ok()
}
