//! Retry policy of a rule: attempts, waits and jitter.
//!
//! The decision to retry is left to the caller.

use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::base::diagnostic::Diagnostics;
use crate::base::units::HumanDuration;
use crate::base::yaml::Node;

/// Maximum attempts that a rule may ask for.
pub const MAX_ATTEMPTS: u32 = 100;

/// Number of attempts, and the waits between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts at one action, the first one included: 1 to `MAX_ATTEMPTS`.
    pub attempts: u32,
    /// Waits after the first failed attempt, the second, and so on. The last one is repeated. Never
    /// empty.
    pub backoff: Vec<Duration>,
    /// True if each wait varies by a fifth, so that many deliveries do not come back at once.
    pub jitter: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RetryFields {
    attempts: Option<u32>,
    backoff: Option<IgnoredAny>,
}

impl Retry {
    /// Reads a rule's `retry`. Without `backoff`, the waits are those of commands. Without
    /// `attempts`, there are as many as waits.
    pub fn compile(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<Self> {
        let before = diagnostics.errors();
        if !node.is_mapping() {
            let diagnostic = node.error("wrong-value", "`retry` is a mapping");
            diagnostics.push(diagnostic.hint("write `retry: {attempts: 3, backoff: [10s, 60s, 5m]}`"));
            return None;
        }
        let fields: RetryFields = node.read(diagnostics)?;
        let backoff = match fields.backoff.and_then(|_| node.get("backoff")) {
            Some(node) => read_backoff(node, diagnostics),
            None => Self::for_commands().backoff,
        };
        if let (Some(attempts), Some(node)) = (fields.attempts, node.get("attempts"))
            && !(1..=MAX_ATTEMPTS).contains(&attempts)
        {
            let message = format!("`attempts` is {attempts}; it may be 1 to {MAX_ATTEMPTS}");
            diagnostics.push(node.error("wrong-value", message));
        }
        let waits = u32::try_from(backoff.len()).unwrap_or(MAX_ATTEMPTS);
        (diagnostics.errors() == before).then(|| Self {
            attempts: fields.attempts.unwrap_or(waits),
            backoff,
            jitter: false,
        })
    }

    /// Returns the default of `run`, `shell` and `append`.
    pub fn for_commands() -> Self {
        Self {
            attempts: 3,
            backoff: [10, 60, 300].map(Duration::from_secs).to_vec(),
            jitter: false,
        }
    }

    /// Returns the default of `forward`.
    pub fn for_requests() -> Self {
        Self {
            attempts: 8,
            backoff: [5, 30, 120, 600, 1800, 7200, 18_000, 36_000]
                .map(Duration::from_secs)
                .to_vec(),
            jitter: true,
        }
    }
}

/// Reads one wait, or a list of waits.
fn read_backoff(node: Node<'_>, diagnostics: &mut Diagnostics) -> Vec<Duration> {
    let limit = usize::try_from(MAX_ATTEMPTS).unwrap_or(usize::MAX);
    let items = node.one_or_many();
    if items.is_empty() || items.len() > limit {
        let message = format!("`backoff` has {} waits; it may have 1 to {limit}", items.len());
        diagnostics.push(node.error("wrong-value", message));
    }
    items
        .into_iter()
        .filter_map(|item| item.read::<HumanDuration>(diagnostics))
        .map(|HumanDuration(wait)| wait)
        .collect()
}
