//! Schemes of `verify` for the signatures and secrets of a trigger rule.

use super::go_template::{Named, named};
use super::hooks::{Argument, Check, Text};
use super::names::PayloadName;
use super::yaml::{Map, Yaml};
use crate::reference::hooks_file::{MatchType, Source};

/// Senders by the header of their signature and its algorithm.
const SENDERS: [(&str, &str, &str); 6] = [
    ("x-hub-signature-256", "sha256", "github"),
    ("x-hub-signature", "sha1", "github_sha1"),
    ("x-hub-signature", "sha256", "bitbucket"),
    ("x-gitea-signature", "sha256", "gitea"),
    ("x-forgejo-signature", "sha256", "forgejo"),
    ("x-gogs-signature", "sha256", "gogs"),
];
/// Parts of a name that mark its value as a secret.
const SECRET_NAMES: [&str; 8] = [
    "token",
    "secret",
    "passw",
    "apikey",
    "api_key",
    "api-key",
    "authorization",
    "signature",
];
/// Names that are a secret as a whole.
const SECRET_WORDS: [&str; 4] = ["key", "auth", "pass", "pwd"];

/// A secret as rules write it: the text, or the name of its source.
pub(super) struct Secret(String);

impl Secret {
    /// Reads a secret. The error says why it is none.
    pub(super) fn of(text: &Text<'_>) -> Result<Self, &'static str> {
        match named(&text.text) {
            Named::Whole(source) => Ok(Self(source)),
            Named::Part => Err("a secret that is only in part a template is not translated"),
            Named::Nothing if text.text.is_empty() => Err("an empty secret proves nothing"),
            Named::Nothing => {
                let is_source = ["env:", "file:", "credential:"]
                    .iter()
                    .any(|kind| text.text.starts_with(kind));
                if is_source {
                    Err("hookyard would read this secret as the name of another: change it")
                } else {
                    Ok(Self(text.text.clone()))
                }
            }
        }
    }

    fn yaml(&self) -> Yaml {
        Yaml::text(&self.0)
    }
}

fn scheme(name: &str, settings: Map) -> Map {
    Map::new().with(name, settings.into())
}

/// The schemes of a signature, any of which may verify it. The error says why there is none.
pub(super) fn signature(check: &Check<'_>, secret: &Secret) -> Result<Vec<Map>, &'static str> {
    let settings = || Map::new().with("secret", secret.yaml());
    if check.kind == MatchType::Scalr {
        let settings = settings()
            .with("algorithm", Yaml::text("sha1"))
            .with("header", Yaml::text("X-Signature"))
            .with("content", Yaml::text("{body}{header:Date}"));
        return Ok(vec![scheme("hmac", settings)]);
    }
    let (Some(parameter), Some(algorithm)) = (&check.parameter, check.kind.algorithm()) else {
        return Err("a signature needs a `parameter`");
    };
    let name = parameter.name.as_str();
    let sender = SENDERS.iter().find(|(header, known, _)| {
        parameter.source == Source::Header && name.eq_ignore_ascii_case(header) && *known == algorithm
    });
    if let Some((_, _, sender)) = sender {
        return Ok(vec![scheme(sender, settings())]);
    }
    let place = match parameter.source {
        Source::Header => "header",
        Source::Url | Source::Query => "query",
        _ => return Err("a signature is read from a header or the query only"),
    };
    let mut settings = settings();
    if algorithm != "sha256" {
        settings.add_text("algorithm", algorithm);
    }
    settings.add_text(place, name);
    let prefixed = settings
        .clone()
        .with("prefix", Yaml::text(format!("{algorithm}=")))
        .with("separator", Yaml::text(","));
    Ok(vec![scheme("hmac", prefixed), scheme("hmac", settings)])
}

/// True if the name of a value says that it is a secret.
pub(super) fn is_secret_name(parameter: &Argument<'_>) -> bool {
    let lower = parameter.name.to_ascii_lowercase();
    let last = lower.rsplit('.').next().unwrap_or_default();
    SECRET_NAMES.iter().any(|part| lower.contains(part)) || SECRET_WORDS.contains(&last)
}

/// The scheme of a value that is a secret by its name.
pub(super) fn token(parameter: &Argument<'_>, secret: &Secret) -> Option<Map> {
    if !is_secret_name(parameter) {
        return None;
    }
    let name = parameter.name.as_str();
    let lower = name.to_ascii_lowercase();
    let settings = Map::new().with("secret", secret.yaml());
    if parameter.source == Source::Header && lower == "x-gitlab-token" {
        return Some(scheme("gitlab", settings));
    }
    if parameter.source == Source::Header && lower == "authorization" {
        if let Some(bearer) = secret.0.strip_prefix("Bearer ") {
            return Some(scheme("bearer", Map::new().with("secret", Yaml::text(bearer))));
        }
        if let Some((user, password)) = secret.0.strip_prefix("Basic ").and_then(credentials) {
            let settings = Map::new()
                .with("user", Yaml::text(user))
                .with("password", Yaml::text(password));
            return Some(scheme("basic", settings));
        }
    }
    let (place, name) = match parameter.source {
        Source::Header => ("header", name.to_owned()),
        Source::Url | Source::Query => ("query", name.to_owned()),
        Source::Payload => ("json", PayloadName::of(name).json_path()),
        _ => return None,
    };
    let settings = Map::new()
        .with(place, Yaml::text(name))
        .with("secret", secret.yaml());
    Some(scheme("token", settings))
}

/// User and password of `Authorization: Basic`.
fn credentials(encoded: &str) -> Option<(String, String)> {
    let decoded = data_encoding::BASE64.decode(encoded.trim().as_bytes()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}
