//! Tests of signed tokens, genuine and forged. Keys are generated on demand.

mod claims;
mod forged;
mod genuine;
mod keys;
mod proofs;
mod settings;
mod unusable;

use std::sync::LazyLock;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
    RsaEncoding, RsaKeyPair,
};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use serde_json::{Value, json};

use super::{NOW, compiled, doubtful, received};
use crate::verify::{Proof, Refusal};

const BODY: &[u8] = br#"{"id":"a-1","n":1}"#;

/// Shared, because an RSA key is slow to generate.
static RSA: LazyLock<RsaKeyPair> = LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());

struct Sender {
    algorithm: &'static str,
    key: Private,
}

/// Signing key of a sender.
enum Private {
    Secret(Box<hmac::Key>),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(&'static RsaKeyPair, &'static dyn RsaEncoding),
}

/// Sender with this algorithm. Each has its own key, except that all RSA senders share one. HMACs
/// use `secret-a`.
fn sender(algorithm: &'static str) -> Sender {
    let secret = |hash| Private::Secret(Box::new(hmac::Key::new(hash, b"secret-a")));
    let key = match algorithm {
        "HS256" => secret(hmac::HMAC_SHA256),
        "HS384" => secret(hmac::HMAC_SHA384),
        "HS512" => secret(hmac::HMAC_SHA512),
        "ES256" => Private::Ecdsa(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()),
        "ES384" => Private::Ecdsa(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap()),
        "EdDSA" => Private::Ed25519(Ed25519KeyPair::generate().unwrap()),
        "RS256" => Private::Rsa(&RSA, &RSA_PKCS1_SHA256),
        "RS384" => Private::Rsa(&RSA, &RSA_PKCS1_SHA384),
        "RS512" => Private::Rsa(&RSA, &RSA_PKCS1_SHA512),
        "PS256" => Private::Rsa(&RSA, &RSA_PSS_SHA256),
        "PS384" => Private::Rsa(&RSA, &RSA_PSS_SHA384),
        "PS512" => Private::Rsa(&RSA, &RSA_PSS_SHA512),
        other => panic!("{other}"),
    };
    Sender { algorithm, key }
}

impl Sender {
    /// Token with these claims, and a header with only the algorithm.
    fn token(&self, claims: &Value) -> String {
        self.written(&json!({"alg": self.algorithm}).to_string(), &claims.to_string())
    }

    /// Token with a `kid`.
    fn named(&self, kid: &str, claims: &Value) -> String {
        let header = json!({"alg": self.algorithm, "kid": kid});
        self.written(&header.to_string(), &claims.to_string())
    }

    /// Token with this header and payload, which may be invalid.
    fn written(&self, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", encode(header.as_bytes()), encode(payload.as_bytes()));
        let signature = self.sign(signed.as_bytes());
        format!("{signed}.{}", encode(&signature))
    }

    fn sign(&self, signed: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Private::Secret(key) => hmac::sign(key, signed).as_ref().to_vec(),
            Private::Ecdsa(pair) => pair.sign(&random, signed).unwrap().as_ref().to_vec(),
            Private::Ed25519(pair) => pair.sign(signed).as_ref().to_vec(),
            Private::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, signed, &mut signature).unwrap();
                signature
            }
        }
    }

    /// Public key in PEM.
    fn pem(&self) -> String {
        let der = match &self.key {
            Private::Secret(_) => panic!("a secret has no public key"),
            Private::Ecdsa(pair) => pair.public_key().as_der(),
            Private::Ed25519(pair) => pair.public_key().as_der(),
            Private::Rsa(pair, _) => pair.public_key().as_der(),
        };
        pem("PUBLIC KEY", der.unwrap().as_ref())
    }

    /// Public key as a JWK.
    fn jwk(&self, kid: &str) -> Value {
        match &self.key {
            Private::Secret(_) => panic!("a secret has no public key"),
            Private::Ecdsa(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = point[1..].split_at((point.len() - 1) / 2);
                let curve = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({"kty": "EC", "crv": curve, "kid": kid, "x": encode(x), "y": encode(y)})
            }
            Private::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": encode(pair.public_key().as_ref())})
            }
            // An `RSAPublicKey` of 2048 bits: the modulus is at a fixed offset, after a zero byte.
            Private::Rsa(pair, _) => {
                let modulus = &pair.public_key().as_ref()[9..265];
                json!({"kty": "RSA", "kid": kid, "n": encode(modulus), "e": "AQAB", "use": "sig"})
            }
        }
    }

    /// Settings that accept this sender's bare tokens in `X-Token`, followed by `fields`.
    fn settings(&self, fields: &str) -> String {
        let key = match &self.key {
            Private::Secret(_) => "secret: env:A".to_owned(),
            _ => format!("public_key: {}", quoted(&self.pem())),
        };
        format!(
            "{{jwt: {{algorithms: {}, {key}, header: X-Token, {fields}}}}}",
            self.algorithm
        )
    }
}

fn encode(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

/// Text, quoted for YAML.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// JWK set, quoted for YAML.
fn set(keys: &[Value]) -> String {
    quoted(&json!({"keys": keys}).to_string())
}

/// Proof of a bare token in `X-Token`.
fn prove(settings: &str, token: &str) -> Result<Proof, Refusal> {
    doubtful(settings).prove(&received(&[("X-Token", token)], BODY))
}

/// Reason for which a bare token in `X-Token` is refused, or `held`.
fn outcome(settings: &str, token: &str) -> &'static str {
    prove(settings, token).map_or_else(|refusal| refusal.reason(), |_| "held")
}
