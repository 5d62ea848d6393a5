//! Documents for tests: the frame of a key with changes, and what `check` finds in it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_yaml::{Mapping as YamlMapping, Value};
use tempfile::TempDir;

use super::{Key, Mapping, mappings};
use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::config;
use crate::rules::RuleSet;

/// A folder with the files that the examples name.
pub fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let certified = rcgen::generate_simple_self_signed(["hooks.example.org".to_owned()]).unwrap();
    let (cert, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    let pair = |algorithm| rcgen::KeyPair::generate_for(algorithm).unwrap();
    let (ed25519, p256) = (pair(&rcgen::PKCS_ED25519), pair(&rcgen::PKCS_ECDSA_P256_SHA256));
    let rsa = pair(&rcgen::PKCS_RSA_SHA256);
    for (name, text) in [
        ("fullchain.pem", cert.clone()),
        ("clients.pem", cert.clone()),
        ("internal-ca.pem", cert.clone()),
        ("client.pem", cert),
        ("privkey.pem", key.clone()),
        ("client.key", key),
        ("ed25519.pem", ed25519.public_key_pem()),
        ("ed25519.key", ed25519.serialize_pem()),
        ("p256.pem", p256.public_key_pem()),
        ("rsa.pem", rsa.public_key_pem()),
        ("rsa.key", rsa.serialize_pem()),
        // RFC 7517, appendix A.1.
        (
            "jwks.json",
            r#"{"keys": [{"kty": "EC", "crv": "P-256", "kid": "1",
                "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
                "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#
                .to_owned(),
        ),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    folder
}

/// The variables that the examples name.
pub fn environment() -> Vec<(OsString, OsString)> {
    let secrets = ["SECRET", "OLD_SECRET", "GITHUB_SECRET", "CI_PASSWORD"];
    let named = secrets.map(|name| {
        (
            name,
            "a-secret-of-the-examples-with-many-letters-and-digits-0123456789",
        )
    });
    let others = [
        (
            "HEX_KEY",
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        ),
        ("EAB_KEY", "AAECAwQFBgcICQoLDA0ODw"),
        ("STANDARD_SECRET", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"),
        ("PATH", "/usr/bin:/bin"),
    ];
    let all = named.into_iter().chain(others);
    all.map(|(name, value)| (name.into(), value.into())).collect()
}

pub fn load(folder: &Path, document: &Value) -> Result<RuleSet, Diagnostics> {
    let text = serde_yaml::to_string(document).unwrap();
    config::load_text(&folder.join("rules.yaml"), text, environment()).map(|loaded| loaded.rules)
}

/// Diagnostics of a document, errors and warnings.
pub fn found(folder: &Path, document: &Value) -> Vec<Diagnostic> {
    let text = serde_yaml::to_string(document).unwrap();
    let diagnostics = match config::load_text(&folder.join("rules.yaml"), text, environment()) {
        Ok(loaded) => loaded.warnings,
        Err(diagnostics) => diagnostics,
    };
    diagnostics.iter().cloned().collect()
}

/// The value at a position.
pub fn at<'v>(document: &'v mut Value, steps: &[Value]) -> &'v mut Value {
    steps.iter().fold(document, |value, step| match step {
        Value::Number(number) => &mut value[usize::try_from(number.as_u64().unwrap()).unwrap()],
        step => &mut value[step.as_str().unwrap()],
    })
}

/// The frame of a key with `changes` in the mapping that has the key.
pub fn document(mapping: &Mapping, key: Option<&Key>, changes: &[(&str, Value)]) -> Value {
    let frame = key.and_then(|key| key.frame.as_ref()).unwrap_or(&mapping.frame);
    let with = key.map(|key| key.with.clone()).unwrap_or_default();
    document_in(frame, mapping, with, changes)
}

/// A frame with the keys `with` and then `changes` in the mapping.
pub fn document_in(frame: &Value, mapping: &Mapping, with: YamlMapping, changes: &[(&str, Value)]) -> Value {
    let mut document = frame.clone();
    let Value::Mapping(entries) = at(&mut document, &mapping.at) else {
        panic!("{}: the frame has no mapping at {:?}", mapping.id, mapping.at);
    };
    let changes = changes
        .iter()
        .map(|(name, value)| (Value::from(*name), value.clone()));
    for (name, value) in with.into_iter().chain(changes) {
        if value.is_null() {
            entries.shift_remove(&name);
        } else {
            entries.insert(name, value);
        }
    }
    document
}

/// All usable keys with their mapping and path.
pub fn keys() -> impl Iterator<Item = (&'static Mapping, &'static str, &'static Key)> {
    mappings().iter().flat_map(|mapping| {
        mapping
            .keys
            .iter()
            .map(move |(name, key)| (mapping, name.as_str(), key))
    })
}

pub fn usable() -> impl Iterator<Item = (&'static Mapping, &'static str, &'static Key)> {
    keys().filter(|(_, _, key)| !key.unusable)
}
