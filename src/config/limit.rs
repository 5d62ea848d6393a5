//! `rate_limit:` of an endpoint: how often it may be called, by all together or by each client.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::base::diagnostic::Diagnostics;
use crate::base::units::Rate;
use crate::base::yaml::Node;
use crate::rules::{Pace, RateLimits};

/// The most requests that may come at once.
const MAX_BURST: u32 = 1_000_000;

/// The mapping under `rate_limit`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RateLimitFields {
    #[serde(rename = "rate")]
    _rate: IgnoredAny,
    burst: Option<u32>,
    per: Option<Per>,
}

/// Whose requests are counted together.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Per {
    /// Everybody's.
    #[default]
    Endpoint,
    /// Those of one address, or of one IPv6 /64.
    Client,
}

/// Reads the value of `rate_limit`: a limit, or one of either kind.
pub fn compile(node: Node<'_>, diagnostics: &mut Diagnostics) -> RateLimits {
    let mut limits = RateLimits::default();
    for item in node.one_or_many() {
        let Some((per, pace)) = one(item, diagnostics) else {
            continue;
        };
        let (slot, whose) = match per {
            Per::Endpoint => (&mut limits.total, "endpoint"),
            Per::Client => (&mut limits.per_client, "client"),
        };
        if slot.replace(pace).is_some() {
            diagnostics.push(item.error("rate-limit", format!("a second limit per {whose}")));
        }
    }
    limits
}

/// One limit.
fn one(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<(Per, Pace)> {
    let (rate, fields) = if node.is_mapping() {
        let fields: RateLimitFields = node.read(diagnostics)?;
        (node.get("rate")?, Some(fields))
    } else {
        (node, None)
    };
    let rate = Rate::compile(rate, "rate_limit", diagnostics)?;
    let given = fields.as_ref().and_then(|fields| fields.burst);
    if given.is_some_and(|burst| !(1..=MAX_BURST).contains(&burst)) {
        let message = format!("`burst` may be 1 to {MAX_BURST} requests");
        diagnostics.push(node.get("burst").unwrap_or(node).error("rate-limit", message));
    }
    let pace = Pace {
        interval: rate.interval(),
        burst: given.unwrap_or(rate.count),
    };
    Some((fields.and_then(|fields| fields.per).unwrap_or_default(), pace))
}
