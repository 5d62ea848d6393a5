//! Shape of the rules file: its keys and their types.
//!
//! Plain serde types without meaning. Values that belong to another module (`verify`, `match`,
//! `actions`, `retry`) stay YAML here and are read by that module. Nested mappings and lists are
//! read from their own nodes. Every type has `deny_unknown_fields`, so a misspelt key is always an
//! error.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, Visitor};

use crate::base::units::{HumanDuration, Size};
use crate::payload::Decode;
use crate::rules::{Change, LogFormat, LogRotation, OnDuplicate};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "read from the node: it is another's, or its place is needed"
)]
pub struct RulesFile {
    pub include: Option<IgnoredAny>,
    pub defaults: Option<IgnoredAny>,
    pub server: Option<IgnoredAny>,
    pub store: Option<IgnoredAny>,
    pub node: Option<IgnoredAny>,
    pub deliveries: Option<IgnoredAny>,
    pub admin: Option<IgnoredAny>,
    pub log: Option<IgnoredAny>,
    pub reload: Option<IgnoredAny>,
    pub schemes: Option<IgnoredAny>,
    pub endpoints: Option<IgnoredAny>,
    pub rules: Option<IgnoredAny>,
}

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "read from the node: it is another's, or its place is needed"
)]
pub struct ServerShape {
    pub listen: Option<IgnoredAny>,
    pub public_url: Option<String>,
    pub trusted_proxies: Option<IgnoredAny>,
    pub proxy_protocol: Option<IgnoredAny>,
    pub max_body: Option<Size>,
    pub max_inflight: Option<Size>,
    pub request_timeout: Option<HumanDuration>,
    pub max_connections: Option<u32>,
    pub stop_grace: Option<HumanDuration>,
    pub tls: Option<IgnoredAny>,
}

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliveriesShape {
    pub limit: Option<u32>,
    pub per_rule: Option<u32>,
}

/// `reload:`.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReloadShape {
    pub refuse_if: Option<Vec<Change>>,
}

/// `store.keep:`.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepShape {
    pub done: Option<HumanDuration>,
    pub dead: Option<HumanDuration>,
    pub ignored: Option<u32>,
    pub refused: Option<u32>,
    pub ring_bytes: Option<Size>,
}

/// `keep:` of an endpoint.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointKeepShape {
    pub ignored: Option<u32>,
    pub refused: Option<u32>,
}

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "read from the node: it is another's, or its place is needed"
)]
pub struct LogShape {
    pub level: Option<String>,
    pub format: Option<LogFormat>,
    pub file: Option<IgnoredAny>,
}

/// `log.file:`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read from the node: its place is needed")]
pub struct LogFileShape {
    pub path: String,
    pub rotate: Option<IgnoredAny>,
    pub keep: Option<u16>,
}

/// `log.file.rotate:`, written as a mapping.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogRotateShape {
    pub every: Option<LogRotation>,
    pub size: Option<Size>,
}

/// An entry of `endpoints:`.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "read from the node: it is another's, or its place is needed"
)]
pub struct EndpointShape {
    pub methods: Option<IgnoredAny>,
    pub allow: Option<IgnoredAny>,
    pub rate_limit: Option<IgnoredAny>,
    pub verify: Option<IgnoredAny>,
    pub public_url: Option<String>,
    pub replay_window: Option<HumanDuration>,
    pub on_duplicate: Option<OnDuplicate>,
    pub max_body: Option<Size>,
    pub decode: Option<Decode>,
    pub unpack: Option<IgnoredAny>,
    pub decompress_unverified: Option<bool>,
    pub respond: Option<IgnoredAny>,
    pub keep: Option<IgnoredAny>,
    pub expect_every: Option<HumanDuration>,
    pub on_silence: Option<IgnoredAny>,
}

/// `respond:` of an endpoint or a rule.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "read from the node: it is another's, or its place is needed"
)]
pub struct RespondShape {
    pub status: Option<u16>,
    pub headers: Option<BTreeMap<String, String>>,
    pub body: Option<IgnoredAny>,
    pub wait: Option<WaitShape>,
    pub ignored: Option<IgnoredAny>,
    pub duplicate: Option<IgnoredAny>,
    pub failed: Option<IgnoredAny>,
    pub late: Option<IgnoredAny>,
    pub unreadable: Option<IgnoredAny>,
}

/// The answer for one outcome in `respond:`.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read from the node: its place is needed")]
pub struct AnswerShape {
    pub status: Option<u16>,
    pub headers: Option<BTreeMap<String, String>>,
    pub body: Option<IgnoredAny>,
}

/// An entry of `rules:`. No key is required by serde: missing keys are reported later, and the rest
/// of the rule is still checked.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "read from the node: it is another's, or its place is needed"
)]
pub struct RuleShape {
    pub name: Option<String>,
    pub endpoint: Option<String>,
    pub allow: Option<IgnoredAny>,
    pub verify: Option<IgnoredAny>,
    pub replay_window: Option<HumanDuration>,
    pub on_duplicate: Option<OnDuplicate>,
    #[serde(rename = "match")]
    pub conditions: Option<IgnoredAny>,
    pub actions: Option<IgnoredAny>,
    pub on_failure: Option<IgnoredAny>,
    pub retry: Option<IgnoredAny>,
    pub concurrency: Option<IgnoredAny>,
    pub for_each: Option<IgnoredAny>,
    pub unpack: Option<IgnoredAny>,
    pub debounce: Option<IgnoredAny>,
    pub respond: Option<IgnoredAny>,
    pub expect_every: Option<HumanDuration>,
    pub on_silence: Option<IgnoredAny>,
    pub enabled: Option<bool>,
    pub nodes: Option<IgnoredAny>,
    pub allow_warnings: Option<IgnoredAny>,
}

/// `defaults:`, for rules that do not state the key, and for their actions.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read from the node: its place is needed")]
pub struct DefaultsShape {
    pub replay_window: Option<HumanDuration>,
    pub on_duplicate: Option<OnDuplicate>,
    pub on_failure: Option<IgnoredAny>,
    pub retry: Option<IgnoredAny>,
    pub timeout: Option<HumanDuration>,
    pub concurrency: Option<IgnoredAny>,
}

/// `wait: true`, `wait: false`, or a maximum: `wait: 20s`.
pub enum WaitShape {
    Switch(bool),
    AtMost(HumanDuration),
}

impl<'de> Deserialize<'de> for WaitShape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = WaitShape;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`true`, `false` or how long, such as `20s`")
            }
            fn visit_bool<E: Error>(self, on: bool) -> Result<WaitShape, E> {
                Ok(WaitShape::Switch(on))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<WaitShape, E> {
                HumanDuration::parse(text)
                    .map(WaitShape::AtMost)
                    .map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Either)
    }
}
