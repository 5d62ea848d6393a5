//! Senders for `hookyard init`: the scheme, the secret, and the steps at the sender.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use data_encoding::{BASE64, HEXLOWER};

use crate::base::diagnostic::did_you_mean;
use crate::verify;

/// Scripts of the operator.
pub const OWN: &str = "own";
/// No verification.
pub const NONE: &str = "none";
/// Names that are no preset.
const BESIDE: [&str; 2] = [OWN, NONE];
/// Key for tests: that of RFC 8032, section 7.1, test 1.
const ED25519: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
/// The same in base64, as Standard Webhooks writes it.
const ED25519_STANDARD: &str = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
/// Key for tests, made by OpenSSL: its private part is nowhere.
const P256: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEp2TbNzVLUHB8ToON0suFoxfcAbXrTXY5+WmNlueQ0/L7aoHADgQ+03yiPlS0VEFlKHBeMUes05qDmmFxQnbrLA==";
/// Key for tests, as above.
const RSA: &str = "\
    MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAlgcr8+/PQkhfqI7wqZBV0vnloAIot4HSYdtuzplP1F82aA\
    iBIlS0qIPzNVGkNCYIr3Zrf9Vyzv0L4h1cDgDtYzq/vpVWq3R0Jv4VV+iXTvdurTvR2+c36VLRefE9RheSw6TWpx5f\
    20MMvtk0T/rSztHfGpJ0A1iHjLhplJATiVrRlopa666lGUWTaLYk/PiRdimfpAqLPdLQxmDhfOJz7QX13IDCR/5jVX\
    lT6BnNiA4g1202DikziFLcQLPI3TOelM01e2J7yt69rqSNJAUbzA6s5W5Up1UnIYHmR9LRpZLVKyajrKKlT9K9OPjS\
    2j5YQodYKKFVPDIiyEUU6pDNGwIDAQAB";

/// Origin of the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The operator.
    Yours,
    /// The sender, who shows it.
    Theirs,
    /// The sender, whose public key it is.
    Key,
    /// The sender's handshake.
    Learned,
    /// There is none.
    None,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    secret: Origin,
    #[serde(default)]
    repeats: bool,
    json: Option<String>,
    setup: String,
}

#[expect(
    clippy::expect_used,
    reason = "the table is part of the program, and a test reads it"
)]
static TABLE: LazyLock<BTreeMap<String, Entry>> =
    LazyLock::new(|| serde_yaml::from_str(include_str!("senders.yaml")).expect("a table of senders"));

/// A sender for which rules are written.
pub struct Sender {
    pub name: String,
    /// Name for people.
    pub shown: String,
    pub origin: Origin,
    /// Steps at the sender, with `{url}` and `{secret}`.
    pub setup: &'static str,
    /// Settings that the built-in scheme gives.
    given: BTreeMap<String, serde_json::Value>,
    family: &'static str,
    /// True if the sender names its events.
    pub has_event: bool,
    /// True if nothing in a request tells two events apart.
    pub repeats: bool,
    /// Body for the test.
    pub json: &'static str,
}

impl Sender {
    /// Finds a sender. The error says which are known.
    pub fn named(name: &str) -> Result<Self, String> {
        let entry = TABLE.get(name).ok_or_else(|| {
            let known = TABLE.keys().map(String::as_str);
            let meant = did_you_mean(name, known).map(|near| format!("did you mean `{near}`? "));
            format!(
                "unknown sender `{name}` ({}`hookyard schemes` lists all; `own` stands for your own scripts)",
                meant.unwrap_or_default()
            )
        })?;
        let scheme = verify::catalogue().into_iter().find(|scheme| scheme.name == name);
        let scheme = scheme.filter(|_| !BESIDE.contains(&name));
        let (family, given) = scheme
            .as_ref()
            .and_then(|scheme| verify::preset_settings(scheme.name))
            .unwrap_or_default();
        Ok(Self {
            name: name.to_owned(),
            shown: scheme.as_ref().map_or(name, |scheme| scheme.sender).to_owned(),
            origin: entry.secret,
            setup: &entry.setup,
            repeats: entry.repeats,
            json: entry.json.as_deref().unwrap_or("{some: {field: value}}"),
            has_event: scheme.is_some_and(|scheme| !scheme.event.is_empty()),
            given: given.into_iter().collect(),
            family,
        })
    }

    /// Name of the variable with the secret.
    pub fn variable(&self) -> String {
        let kind = match (self.origin, self.family) {
            (Origin::Key, _) => "PUBLIC_KEY",
            (_, "basic") => "PASSWORD",
            _ => "SECRET",
        };
        format!("{}_{kind}", self.name.to_uppercase())
    }

    /// Source of the secret in the rules.
    pub fn source(&self) -> String {
        match self.origin {
            Origin::Learned => format!("file:{}.secret", self.name),
            _ => format!("env:{}", self.variable()),
        }
    }

    /// Value of `verify`, in one or several lines with this indent.
    pub fn verify(&self) -> String {
        let (name, variable) = (&self.name, self.variable());
        match (name.as_str(), self.origin) {
            (NONE, _) => NONE.to_owned(),
            (OWN, _) => format!(
                "\n      hmac:\n        secret: env:{variable}\n        content: \"{{timestamp}}.{{body}}\"\n        \
                 timestamp: {{header: X-Timestamp, unit: s}}"
            ),
            (_, Origin::Learned) => format!("{{{name}: {{learn: {name}.secret}}}}"),
            _ if self.family == "basic" => {
                format!("{{{name}: {{user: hookyard, password: \"env:{variable}\"}}}}")
            }
            _ => format!("{{{name}: \"env:{variable}\"}}"),
        }
    }

    /// True if the sender signs the URL that it calls.
    pub fn signs_url(&self) -> bool {
        let content = self.text("content");
        content == "twilio" || content.contains("url}")
    }

    /// True if a test can sign as the sender, with the secret that the rules have.
    pub fn can_sign(&self) -> bool {
        matches!(self.origin, Origin::Yours | Origin::Theirs | Origin::Learned)
    }

    /// Secret for tests, in the form that the scheme wants.
    pub fn test_secret(&self) -> String {
        match self.family {
            "ed25519" if self.text("key_encoding") == "base64" => ED25519_STANDARD.to_owned(),
            "ed25519" => ED25519.to_owned(),
            "ecdsa_p256" => P256.to_owned(),
            "rsa_sha1" | "rsa_sha256" | "rsa_sha512" => RSA.to_owned(),
            _ => self.secret_of(b"a-secret-for-tests-and-no-others"),
        }
    }

    /// Writes 32 bytes as a secret of the scheme.
    pub fn secret_of(&self, bytes: &[u8; 32]) -> String {
        let encoding = match (self.text("secret_encoding"), self.family) {
            ("", "adyen") => "hex",
            (encoding, _) => encoding,
        };
        match encoding {
            "base64" => {
                let prefix = match self.given.get("strip_prefix") {
                    Some(serde_json::Value::String(prefix)) => prefix.as_str(),
                    _ => "",
                };
                format!("{prefix}{}", BASE64.encode(bytes))
            }
            _ => HEXLOWER.encode(bytes),
        }
    }

    fn text(&self, key: &str) -> &str {
        self.given
            .get(key)
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_has_an_entry_and_no_other_name_has() {
        let families = ["hmac", "ed25519", "token"];
        let presets = verify::schemes().filter(|name| verify::definition(name).is_some());
        let mut names: Vec<&str> = presets.chain(BESIDE).collect();
        names.sort_unstable();
        assert!(families.iter().all(|family| !names.contains(family)));
        assert_eq!(TABLE.keys().collect::<Vec<_>>(), names);
    }
}
