//! Secrets and public keys of a scheme, read from YAML item by item, so that each error points at
//! its own line.

use std::sync::Arc;

use http::HeaderValue;

use super::keys::ConfiguredKey;
use super::settings::Settings;
use crate::base::clock::{Clock, Timestamp};
use crate::base::diagnostic::Diagnostics;
use crate::base::secret::{Keyring, Secret, source_of};
use crate::base::weak_secret::SHORT;
use crate::base::yaml::{Node, unknown};

/// Maximum secrets of a scheme. Each costs one MAC per request.
const MAX_SECRETS: usize = 16;

/// Reads the secrets under `key`, or the secret in place of the mapping. Each is returned with its
/// node.
///
/// A secret of fewer than `least` bytes causes a warning.
pub fn secrets<'d>(
    settings: &Settings<'d>,
    key: &str,
    least: usize,
    keyring: &Keyring,
    diagnostics: &mut Diagnostics,
) -> Vec<(Node<'d>, ConfiguredKey<Secret>)> {
    let Some(holder) = holder(settings, key, diagnostics) else {
        return Vec::new();
    };
    secrets_in(holder, key, least, keyring, diagnostics)
}

/// Reads one secret or a list of them in `holder`, like [`secrets`].
pub fn secrets_in<'d>(
    holder: Node<'d>,
    key: &str,
    least: usize,
    keyring: &Keyring,
    diagnostics: &mut Diagnostics,
) -> Vec<(Node<'d>, ConfiguredKey<Secret>)> {
    read_held(holder, key, "secret", diagnostics, |item, diagnostics| {
        keyring.read_shared(item, least, diagnostics)
    })
}

/// Reads secrets that are sent as they are. If `in_header` is true, each must be a valid header
/// value.
pub fn sent_secrets(
    settings: &Settings<'_>,
    key: &str,
    in_header: bool,
    keyring: &Keyring,
    diagnostics: &mut Diagnostics,
) -> Vec<ConfiguredKey<Secret>> {
    let mut all = Vec::new();
    for (place, held) in secrets(settings, key, SHORT, keyring, diagnostics) {
        let text = held.key.expose();
        // HTTP strips whitespace from both ends of a value (RFC 9110 §5.5).
        if in_header && (text.trim_ascii().len() < text.len() || HeaderValue::from_bytes(text).is_err()) {
            let message = "a header cannot hold this secret: it begins or ends with a blank or a line break, or has a control character";
            diagnostics.push(place.error("secret", message));
        }
        all.push(held);
    }
    all
}

/// Reads public keys like [`secrets`], but without warnings about inline or world-readable values.
pub fn public_keys<'d>(
    settings: &Settings<'d>,
    key: &str,
    keyring: &Keyring,
    diagnostics: &mut Diagnostics,
) -> Vec<(Node<'d>, ConfiguredKey<Secret>)> {
    let Some(holder) = holder(settings, key, diagnostics) else {
        return Vec::new();
    };
    read_held(holder, key, "key", diagnostics, |item, diagnostics| {
        let Some(text) = item.as_str() else {
            let message = "wrong type: a key is text, `file:/path` or the key itself";
            diagnostics.push(item.error("wrong-value", message));
            return None;
        };
        let read = keyring.at(item).resolve(text);
        read.map(|(key, _)| key)
            .map_err(|message| diagnostics.push(item.error("key", message)))
            .ok()
    })
}

/// Returns the secrets of a scheme with `learn` instead of `secret`. Empty until one is stored.
///
/// `None` if there is no `learn`. Errors of the file are reported with the handshake.
pub fn learnt(settings: &Settings<'_>, keyring: &Keyring) -> Option<Vec<ConfiguredKey<Secret>>> {
    let learn = settings.given("learn")?;
    if settings.given("secret").is_some() {
        return None;
    }
    let stored = learn
        .as_str()
        .and_then(|file| keyring.at(learn).learnt(file).ok());
    let held = stored.and_then(|(_, stored, _)| stored).map(|key| ConfiguredKey {
        key,
        source: "learn".into(),
        not_after: None,
    });
    Some(held.into_iter().collect())
}

/// Finds the node that holds the secrets. Reports that there is none.
fn holder<'d>(settings: &Settings<'d>, key: &str, diagnostics: &mut Diagnostics) -> Option<Node<'d>> {
    let holder = settings.short().or_else(|| settings.given(key));
    if holder.is_none() {
        let diagnostic = settings
            .place()
            .error("missing-key", format!("`{key}` is missing"));
        diagnostics.push(diagnostic.hint(format!("`{key}: env:NAME`, `file:/path` or `credential:NAME`")));
    }
    holder
}

fn read_held<'d>(
    holder: Node<'d>,
    key: &str,
    what: &'static str,
    diagnostics: &mut Diagnostics,
    read: impl Fn(Node<'d>, &mut Diagnostics) -> Option<Secret>,
) -> Vec<(Node<'d>, ConfiguredKey<Secret>)> {
    let items = holder.one_or_many();
    if items.is_empty() || items.len() > MAX_SECRETS {
        let message = format!("{} {what}s: from 1 to {MAX_SECRETS} are taken", items.len());
        diagnostics.push(holder.error(what, message));
        return Vec::new();
    }
    let mut all = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let (text, not_after) = if item.is_mapping() {
            dated(item, key, diagnostics)
        } else {
            (Some(item), None)
        };
        let Some(text) = text else { continue };
        if let Some(secret) = read(text, diagnostics) {
            let source = text.as_str().and_then(source_of);
            let source = source.map_or_else(
                || format!("no. {} in the rules file", index + 1).into(),
                Arc::from,
            );
            let held = ConfiguredKey {
                key: secret,
                source,
                not_after,
            };
            all.push((text, held));
        }
    }
    all
}

/// Reads a secret with the end of its validity: `{secret: env:OLD, not_after: 2026-12-31}`.
fn dated<'d>(
    item: Node<'d>,
    key: &str,
    diagnostics: &mut Diagnostics,
) -> (Option<Node<'d>>, Option<Timestamp>) {
    let known = [key, "not_after"];
    for (name, node) in item.entries() {
        if !known.contains(&name) {
            diagnostics.push(unknown(node.key_origin(), "unknown-key", "key", name, known));
        }
    }
    let text = item.given(key);
    if text.is_none() {
        diagnostics.push(item.error("missing-key", format!("`{key}` is missing")));
    }
    let not_after = item.given("not_after").and_then(|node| {
        let end = node.as_str().and_then(end_of);
        if end.is_none() {
            let message =
                "`not_after` is a date or an RFC 3339 instant: `2026-12-31`, `2026-12-31T12:00:00Z`";
            diagnostics.push(node.error("wrong-value", message));
        }
        if end.is_some_and(|end| end < Clock::system().now()) {
            let diagnostic = node.warning("expired", "the secret has expired: requests with it are refused");
            diagnostics.push(diagnostic.hint("remove it, or write a later `not_after`"));
        }
        end
    });
    (text, not_after)
}

/// Parses an instant, or a date as its last millisecond in UTC.
fn end_of(text: &str) -> Option<Timestamp> {
    let date = text.len() == 10 && !text.contains('T');
    if date {
        return Timestamp::parse_rfc3339(&format!("{text}T23:59:59.999Z"));
    }
    Timestamp::parse_rfc3339(text)
}
