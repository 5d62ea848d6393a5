//! Algorithms and keys of a `jwt`, read from its settings.
//!
//! The algorithms determine the setting that holds the keys. HMAC algorithms use `secret`. All
//! others use `public_key` or `jwks`. The two kinds cannot be mixed.

use super::algorithm::{JwtAlgorithm, Method, names};
use super::keys::{self, JwtKey};
use super::settings::JwtCompiler;
use crate::base::diagnostic::Diagnostics;
use crate::base::weak_secret::SHORT;
use crate::base::yaml::unknown;
use crate::verify::parts::keys::ConfiguredKey;
use crate::verify::parts::secrets;

/// Maximum keys of a verification. A token without `kid` is tried with each.
const MAX_KEYS: usize = 16;

impl JwtCompiler<'_> {
    /// Reads the algorithms. Empty if the setting is invalid.
    pub fn algorithms(&self, diagnostics: &mut Diagnostics) -> Vec<JwtAlgorithm> {
        let Some(node) = self.settings.given("algorithms") else {
            let missing = self.settings.missing("algorithms");
            diagnostics.extend(missing.map(|diagnostic| diagnostic.hint("`algorithms: [ES256]`")));
            return Vec::new();
        };
        let items = node.one_or_many();
        if items.is_empty() {
            diagnostics.push(node.error("algorithm", "no algorithm is let in"));
        }
        let mut algorithms = Vec::new();
        for item in &items {
            let Some(name) = item.as_str() else {
                diagnostics
                    .push(item.error("wrong-value", "wrong type: an algorithm is text, such as `ES256`"));
                continue;
            };
            match JwtAlgorithm::named(name) {
                Some(algorithm) if algorithms.contains(&algorithm) => {
                    diagnostics.push(item.error("algorithm", format!("`{name}` stands in it twice")));
                }
                Some(algorithm) => algorithms.push(algorithm),
                None if name.eq_ignore_ascii_case("none") => {
                    let message = "`none` is no signature: any client could write such a token";
                    diagnostics.push(item.error("unknown-algorithm", message));
                }
                None => {
                    let known = JwtAlgorithm::ALL.into_iter().map(JwtAlgorithm::name);
                    diagnostics.push(unknown(
                        item.origin(),
                        "unknown-algorithm",
                        "algorithm",
                        name,
                        known,
                    ));
                }
            }
        }
        let secret = algorithms.iter().find(|algorithm| algorithm.takes_secret());
        let public = algorithms.iter().find(|algorithm| !algorithm.takes_secret());
        if let (Some(secret), Some(public)) = (secret, public) {
            // Otherwise a public key, which anyone may have, would be taken for the secret of an
            // HMAC.
            let message = format!(
                "`{}` takes a shared secret and `{}` a public key: a verification takes one or the other",
                secret.name(),
                public.name()
            );
            diagnostics.push(node.error("mixed-algorithms", message));
            return Vec::new();
        }
        algorithms
    }

    /// Reads the keys from the setting that fits the algorithms.
    pub fn keys(
        &self,
        algorithms: &[JwtAlgorithm],
        diagnostics: &mut Diagnostics,
    ) -> Vec<ConfiguredKey<JwtKey>> {
        const FIELDS: [&str; 3] = ["secret", "public_key", "jwks"];
        let given: Vec<&str> = FIELDS
            .into_iter()
            .filter(|field| self.settings.given(field).is_some())
            .collect();
        if given.len() > 1 {
            let message = "the keys stand in one place: `secret`, `public_key` or `jwks`";
            diagnostics.push(self.settings.place().error("ambiguous-place", message));
        }
        // If no algorithm is known, the keys are read anyway, so that their errors are reported.
        let takes_secret = match algorithms.first() {
            Some(algorithm) => algorithm.takes_secret(),
            None => given.first() == Some(&"secret") || self.settings.short().is_some(),
        };
        let mut assumed = JwtAlgorithm::ALL.to_vec();
        assumed.retain(|algorithm| algorithm.takes_secret() == takes_secret);
        let usable = if algorithms.is_empty() {
            &assumed
        } else {
            algorithms
        };
        if takes_secret {
            if let [field @ ("public_key" | "jwks")] = given.as_slice() {
                let message = format!("{} takes a shared secret: `secret`, not `{field}`", names(usable));
                diagnostics.push(self.settings.at(field).error("key-kind", message));
                return Vec::new();
            }
            return self.secrets(usable, diagnostics);
        }
        match given.first() {
            None => {
                if let (Some(diagnostic), Some(_)) =
                    (self.settings.missing("jwks"), self.settings.missing("public_key"))
                {
                    diagnostics
                        .push(diagnostic.hint(
                            "`jwks: file:/etc/hookyard/jwks.json`, or `public_key: file:/path` in PEM",
                        ));
                }
                Vec::new()
            }
            Some(&"secret") => {
                let message = format!(
                    "{} takes a public key: `public_key` or `jwks`, not `secret`",
                    names(usable)
                );
                diagnostics.push(self.settings.at("secret").error("key-kind", message));
                Vec::new()
            }
            Some(field) => self.public_keys(field, usable, diagnostics),
        }
    }

    /// Reads the shared secrets.
    fn secrets(
        &self,
        algorithms: &[JwtAlgorithm],
        diagnostics: &mut Diagnostics,
    ) -> Vec<ConfiguredKey<JwtKey>> {
        // A key has at least as many bytes as the digest (RFC 7518 §3.2).
        let least = algorithms.iter().map(|algorithm| match algorithm.method() {
            Method::Secret(mac) => mac.length(),
            Method::PublicKey(_) => SHORT,
        });
        let least = least.max().unwrap_or(SHORT);
        let secrets = secrets::secrets(self.settings, "secret", least, self.keyring, diagnostics);
        let mut keys = Vec::with_capacity(secrets.len());
        for (place, held) in secrets {
            let secret = &held.key;
            // If a public key were the secret, anyone who has read it could sign.
            if secret.expose().trim_ascii_start().starts_with(b"-----BEGIN") {
                let message = "the secret is a key in PEM, which is none to sign an HMAC with";
                diagnostics.push(
                    place
                        .error("key-kind", message)
                        .hint("a public key stands under `public_key`, beside an algorithm such as `RS256`"),
                );
            }
            keys.push(held.with(JwtKey::secret(secret, algorithms)));
        }
        keys
    }

    /// Reads the public keys under `public_key` or `jwks`. They are not secret, so world-readable
    /// files cause no warning.
    fn public_keys(
        &self,
        field: &str,
        algorithms: &[JwtAlgorithm],
        diagnostics: &mut Diagnostics,
    ) -> Vec<ConfiguredKey<JwtKey>> {
        let holder = self.settings.at(field);
        let mut all = Vec::new();
        for (item, held) in secrets::public_keys(self.settings, field, self.keyring, diagnostics) {
            let text = held.key.expose();
            let read = if field == "jwks" {
                keys::of_jwks(text, algorithms).map_err(|message| (message, None))
            } else {
                keys::of_pem(text, algorithms).map_err(|(message, hint)| (message, Some(hint)))
            };
            match read {
                Ok(keys) => all.extend(keys.into_iter().map(|key| held.with(key))),
                Err((message, hint)) => {
                    let diagnostic = item.error("key", message);
                    diagnostics.push(match hint {
                        Some(hint) => diagnostic.hint(hint),
                        None => diagnostic,
                    });
                }
            }
        }
        if all.len() > MAX_KEYS {
            let message = format!("{} keys: from 1 to {MAX_KEYS} are taken", all.len());
            diagnostics.push(holder.error("key", message));
        }
        all
    }
}
