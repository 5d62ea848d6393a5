//! `hookyard check --secrets`: the secrets of a rules file, with their expiry and last match. Shows
//! their sources, never their values.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::table::aligned;
use super::{Format, UNKNOWN, complain, fail, say};
use crate::base::clock::{Clock, Timestamp};
use crate::config;
use crate::rules::RuleSet;
use crate::store::{Records, SecretUse};

/// One secret of one verification.
struct SecretRow {
    endpoint: String,
    scheme: Arc<str>,
    source: String,
    not_after: Option<Timestamp>,
    last_matched: Option<Timestamp>,
}

/// Prints the secrets of a rules file that loads. Returns `code`, or 2 if the store is missing or
/// cannot be read: the last matches are then unknown.
pub fn run(rules_path: &Path, rules: &RuleSet, format: Format, code: u8) -> u8 {
    let place = config::store_place(rules_path, &rules.store);
    let uses = match Records::at(&place).secrets() {
        Ok(uses) => uses,
        Err(error) => return fail(&format!("cannot read the store: {error}")),
    };
    let now = Clock::system().now();
    let known = uses.is_some();
    let rows = rows(rules, uses.as_deref().unwrap_or_default());
    let text = match format {
        Format::Json => json(&rows, known, now).to_string(),
        Format::Text => table(&rows, known, now),
    };
    let said = say(&text, code);
    if known {
        return said;
    }
    complain(&format!(
        "no store at `{place}`: when each secret last matched is unknown"
    ));
    UNKNOWN
}

/// Lists every secret, in the order of the rules file.
fn rows(rules: &RuleSet, noted: &[SecretUse]) -> Vec<SecretRow> {
    let mut rows = Vec::new();
    for endpoint in &rules.endpoints {
        for verification in &endpoint.verifications {
            for (source, not_after) in verification.secrets() {
                let matched = noted.iter().find(|used| {
                    used.endpoint == endpoint.path
                        && used.scheme == *verification.scheme()
                        && used.source == source
                });
                rows.push(SecretRow {
                    endpoint: endpoint.path.to_string(),
                    scheme: Arc::clone(verification.scheme()),
                    source: source.to_string(),
                    not_after,
                    last_matched: matched.map(|used| used.last_matched),
                });
            }
        }
    }
    rows
}

/// Formats the secrets as text. `known`: there is a store, so the last matches are known.
fn table(rows: &[SecretRow], known: bool, now: Timestamp) -> String {
    let column_names = ["endpoint", "scheme", "secret", "not after", "last matched"];
    let mut lines = vec![column_names.map(str::to_owned)];
    lines.extend(rows.iter().map(|row| {
        [
            row.endpoint.clone(),
            row.scheme.to_string(),
            row.source.clone(),
            match row.not_after {
                None => "-".to_owned(),
                Some(end) if end < now => format!("{end} (expired: it can be removed)"),
                Some(end) => format!("{end} (in {})", about(end.since(now))),
            },
            match row.last_matched {
                None if known => "never seen".to_owned(),
                None => "unknown".to_owned(),
                Some(at) => format!("{at} ({} ago)", about(now.since(at))),
            },
        ]
    }));
    aligned(&lines)
}

/// Formats a duration in its largest unit.
fn about(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (count, unit) = match seconds {
        0..120 => (seconds, "s"),
        120..7200 => (seconds / 60, "min"),
        7200..172_800 => (seconds / 3600, "h"),
        _ => (seconds / 86_400, "days"),
    };
    format!("{count} {unit}")
}

/// Formats the secrets as JSON.
fn json(rows: &[SecretRow], known: bool, now: Timestamp) -> serde_json::Value {
    let secrets = rows.iter().map(|row| {
        serde_json::json!({
            "endpoint": row.endpoint,
            "scheme": &*row.scheme,
            "secret": row.source,
            "not_after": row.not_after.map(|end| end.to_string()),
            "expired": row.not_after.is_some_and(|end| end < now),
            "last_matched": row.last_matched.map(|at| at.to_string()),
        })
    });
    serde_json::json!({"store_found": known, "secrets": secrets.collect::<Vec<_>>()})
}
