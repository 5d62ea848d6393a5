//! Keys that verify tokens: shared secrets, public keys in PEM, and JWK sets (RFC 7517).
//!
//! A key is parsed once, at load, for each algorithm that can use it. An unusable key is therefore
//! reported at load. No error message quotes a key.

use std::fmt;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::PublicEncryptingKey;
use aws_lc_rs::signature::{ParsedPublicKey, RsaPublicKeyComponents};
use data_encoding::BASE64URL_NOPAD;
use rustls::pki_types::pem::{PemObject, SectionKind};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::algorithm::{JwtAlgorithm, Method, names};
use crate::base::secret::Secret;
use crate::verify::parts::mac::Mac;

/// Key, prepared for the algorithms that can use it.
pub struct JwtKey {
    /// `kid` of the key in its set. A key without one may have signed any token.
    kid: Option<String>,
    /// Algorithms that can use the key.
    uses: Vec<(JwtAlgorithm, Prepared)>,
}

/// Key in the form that one algorithm uses.
enum Prepared {
    Secret(Box<Mac>),
    PublicKey(ParsedPublicKey),
}

impl JwtKey {
    /// Prepares a shared secret.
    pub fn secret(secret: &Secret, algorithms: &[JwtAlgorithm]) -> Self {
        let prepared = |algorithm: &JwtAlgorithm| match algorithm.method() {
            Method::Secret(hash) => {
                let mac = Mac::keyed(hash, secret.expose())?;
                Some((*algorithm, Prepared::Secret(Box::new(mac))))
            }
            Method::PublicKey(_) => None,
        };
        Self {
            kid: None,
            uses: algorithms.iter().filter_map(prepared).collect(),
        }
    }

    /// Prepares a public key. `None` if no algorithm can use it.
    ///
    /// `bytes` are a `SubjectPublicKeyInfo`, the point of a curve, or the 32 bytes of Ed25519.
    fn public(kid: Option<String>, bytes: &[u8], algorithms: &[JwtAlgorithm]) -> Option<Self> {
        let prepared = |algorithm: &JwtAlgorithm| match algorithm.method() {
            Method::Secret(_) => None,
            Method::PublicKey(parameters) => {
                // `ParsedPublicKey` checks the size of an RSA key only when it verifies.
                if algorithm.key_type() == Some(("RSA", None)) {
                    PublicEncryptingKey::from_der(bytes).ok()?;
                }
                let key = ParsedPublicKey::new(parameters, bytes).ok()?;
                Some((*algorithm, Prepared::PublicKey(key)))
            }
        };
        let uses: Vec<(JwtAlgorithm, Prepared)> = algorithms.iter().filter_map(prepared).collect();
        (!uses.is_empty()).then_some(Self { kid, uses })
    }

    /// Id of the key in its set.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Returns true if a token that names the key `kid` may mean this key.
    pub fn answers_to(&self, kid: Option<&str>) -> bool {
        match (self.kid(), kid) {
            (Some(own), Some(kid)) => own == kid,
            _ => true,
        }
    }

    /// Returns true if the algorithm can use this key.
    pub fn serves(&self, algorithm: JwtAlgorithm) -> bool {
        self.prepared(algorithm).is_some()
    }

    /// Verifies a signature over `signed`.
    pub fn holds(&self, algorithm: JwtAlgorithm, signed: &[u8], signature: &[u8]) -> bool {
        match self.prepared(algorithm) {
            Some(Prepared::Secret(mac)) => {
                let mut mac = Mac::clone(mac);
                mac.update(signed);
                mac.finish().is(signature)
            }
            Some(Prepared::PublicKey(key)) => key.verify_sig(signed, signature).is_ok(),
            None => false,
        }
    }

    /// Signs `signed`. `None` for a public key, which cannot sign.
    pub fn sign(&self, algorithm: JwtAlgorithm, signed: &[u8]) -> Option<Vec<u8>> {
        let Prepared::Secret(mac) = self.prepared(algorithm)? else {
            return None;
        };
        let mut mac = Mac::clone(mac);
        mac.update(signed);
        Some(mac.finish().expose().to_vec())
    }

    fn prepared(&self, algorithm: JwtAlgorithm) -> Option<&Prepared> {
        let mut uses = self.uses.iter();
        uses.find(|(usable, _)| *usable == algorithm)
            .map(|(_, prepared)| prepared)
    }
}

impl fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[key]")
    }
}

/// Reads the public keys of a PEM text (RFC 7468): its `PUBLIC KEY` sections.
///
/// The error is a message and a hint.
pub fn of_pem(text: &[u8], algorithms: &[JwtAlgorithm]) -> Result<Vec<JwtKey>, (String, &'static str)> {
    const PUBLIC: &str = "a public key begins with `-----BEGIN PUBLIC KEY-----`";
    let mut keys = Vec::new();
    let mut other = None;
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
        let (kind, der) = section
            .ok()
            .ok_or_else(|| ("the PEM cannot be read".to_owned(), PUBLIC))?;
        if kind != SectionKind::PublicKey {
            other = other.or(Some(kind));
            continue;
        }
        let key = JwtKey::public(None, &der, algorithms);
        keys.push(key.ok_or_else(|| {
            let message = format!("it is no key that {} can use", names(algorithms));
            (
                message,
                "`ES256` takes P-256, `ES384` P-384, `EdDSA` Ed25519, the others RSA of 2048 to 8192 bits",
            )
        })?);
    }
    if !keys.is_empty() {
        return Ok(keys);
    }
    Err(match other {
        Some(SectionKind::Certificate) => (
            "it is a certificate, not a public key".to_owned(),
            "`openssl x509 -in cert.pem -noout -pubkey` writes the public key out of it",
        ),
        Some(SectionKind::PrivateKey | SectionKind::EcPrivateKey | SectionKind::RsaPrivateKey) => (
            "it is a private key, which only the sender needs".to_owned(),
            "`openssl pkey -in private.pem -pubout` writes the public key out of it",
        ),
        _ => ("it holds no public key in PEM".to_owned(), PUBLIC),
    })
}

/// Members of a JWK that are read (RFC 7517, section 4; RFC 7518, section 6; RFC 8037, section 2).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<IgnoredAny>,
}

/// Reads the keys of a JWK set, or of a single JWK, that the algorithms can use.
///
/// Keys for another purpose, kind or algorithm are skipped. A key that should be usable and is not
/// causes an error.
pub fn of_jwks(text: &[u8], algorithms: &[JwtAlgorithm]) -> Result<Vec<JwtKey>, String> {
    let set = serde_json::from_slice(text).unwrap_or(Value::Null);
    let members = match set.get("keys") {
        Some(Value::Array(members)) => members.as_slice(),
        None if set.get("kty").is_some() => std::slice::from_ref(&set),
        _ => return Err("it is no JWK set: JSON with a list `keys`".to_owned()),
    };
    let mut keys = Vec::new();
    for (index, member) in members.iter().enumerate() {
        let jwk = Jwk::deserialize(member).ok();
        let jwk = jwk.ok_or_else(|| format!("key {} of the set is no JWK", index + 1))?;
        let usable = jwk.usable(algorithms);
        if usable.is_empty() {
            continue;
        }
        let name = || match &jwk.kid {
            Some(kid) => format!("key {} of the set (`{}`)", index + 1, kid.escape_debug()),
            None => format!("key {} of the set", index + 1),
        };
        if jwk.d.is_some() {
            return Err(format!(
                "{} is a private key, which only the sender needs",
                name()
            ));
        }
        let key = jwk
            .bytes()
            .and_then(|bytes| JwtKey::public(jwk.kid.clone(), &bytes, &usable));
        keys.push(key.ok_or_else(|| format!("{} is no key that {} can use", name(), names(&usable)))?);
    }
    if keys.is_empty() {
        return Err(format!("it holds no key that {} can use", names(algorithms)));
    }
    Ok(keys)
}

impl Jwk {
    /// Algorithms that may use the key.
    fn usable(&self, algorithms: &[JwtAlgorithm]) -> Vec<JwtAlgorithm> {
        let for_signatures = self.usage.as_deref().is_none_or(|usage| usage == "sig")
            && self
                .key_ops
                .as_ref()
                .is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        let mut usable = algorithms.to_vec();
        usable.retain(|algorithm| {
            for_signatures
                && algorithm.key_type() == Some((&self.kty, self.crv.as_deref()))
                && self.alg.as_deref().is_none_or(|alg| alg == algorithm.name())
        });
        usable
    }

    /// Converts the key into a form that [`JwtKey::public`] reads.
    fn bytes(&self) -> Option<Vec<u8>> {
        let decoded = |text: &Option<String>| BASE64URL_NOPAD.decode(text.as_ref()?.as_bytes()).ok();
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => {
                let (n, e) = (decoded(&self.n)?, decoded(&self.e)?);
                // Some senders write a zero before a number whose highest bit is set, as ASN.1
                // does.
                let number = |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
                let components = RsaPublicKeyComponents::<Vec<u8>> {
                    n: number(&n),
                    e: number(&e),
                };
                components.as_der().ok().map(|der| der.as_ref().to_vec())
            }
            ("EC", Some(curve)) => {
                let length = if curve == "P-256" { 32 } else { 48 };
                let (x, y) = (decoded(&self.x)?, decoded(&self.y)?);
                // SEC 1, section 2.3.3: an uncompressed point.
                (x.len() == length && y.len() == length).then(|| [&[4], x.as_slice(), y.as_slice()].concat())
            }
            _ => decoded(&self.x).filter(|x| x.len() == 32),
        }
    }
}
