//! `rate_limit:` of an endpoint: maximum request rates, in total and per client.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::base::diagnostic::Diagnostics;
use crate::base::units::Rate;
use crate::base::yaml::Node;
use crate::rules::{Pace, RateLimits};

/// Maximum of `burst`, in requests.
const MAX_BURST: u32 = 1_000_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RateLimitFields {
    #[serde(rename = "rate")]
    _rate: IgnoredAny,
    burst: Option<u32>,
    per: Option<Per>,
}

/// Requests that are counted together.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Per {
    /// All requests.
    #[default]
    Endpoint,
    /// The requests of one address, or of one IPv6 /64.
    Client,
}

/// Compiles `rate_limit`: one limit, or a list with at most one of each kind.
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
