//! Deliveries that the operator replays or drops through the daemon.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admin::operation::Operation;
use crate::admin::summary::{Summarized, Summary};
use crate::base::count::counted;

/// Maximum size of a request, in bytes.
pub const MAX_CHANGE: usize = 8 << 10;
/// Maximum deliveries that one request changes.
pub const MAX_CHANGED: usize = 10_000;
/// Deliveries that the answer describes.
pub const DESCRIBED: usize = 10;

/// The operation that changes deliveries.
pub type Changer = Operation<ChangeRequest, ChangeAnswer>;

/// A request to replay or drop deliveries.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ChangeRequest {
    pub change: DeliveryChange,
    pub of: ChangedDeliveries,
    /// True if nothing is changed, and the answer says what would be.
    #[serde(default)]
    pub dry_run: bool,
    /// Number of deliveries that the operator expects. With another number nothing is changed.
    #[serde(default)]
    pub count: Option<u64>,
}

/// The change of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryChange {
    /// Deliver it again, from its first action.
    Replay,
    /// Give up a waiting delivery, delete an ended one.
    Drop,
}

/// The deliveries that are changed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChangedDeliveries {
    /// One delivery, by its id.
    Delivery(String),
    /// All deliveries of an event that have ended, by its id. Those to `on_failure` are left out.
    Event(String),
    /// Dead letters of a rule with the same reason.
    Group {
        rule: String,
        /// The stable part of the reason, as the problems show it. `None`: whatever the reason.
        reason: Option<String>,
    },
}

/// Dead letters of a rule with the same reason, as the body of a request names them.
#[derive(Debug, JsonSchema)]
#[expect(dead_code, reason = "describes the body for the API's documentation")]
pub struct DeadGroupName {
    pub rule: String,
    /// The stable part of the reason, as the problems show it. Null: whatever the reason.
    pub reason: Option<String>,
    /// Number of deliveries that the caller expects. With another number nothing is changed.
    pub count: Option<u64>,
}

/// The answer to a request to change deliveries.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct ChangeAnswer {
    /// The reason why nothing was changed.
    pub failed: Option<String>,
    pub dry_run: bool,
    /// `replayed` or `dropped`.
    pub changed: &'static str,
    /// Number of deliveries that were changed, or would be.
    pub deliveries: u64,
    /// Number of all deliveries that are meant. At most [`MAX_CHANGED`] are changed at once.
    pub meant: u64,
    /// The first deliveries: rule, state and reason.
    pub first: Vec<String>,
}

impl Summarized for ChangeAnswer {
    fn summary(&self) -> Summary {
        if let Some(why) = &self.failed {
            return Summary::refused(why);
        }
        let would = if self.dry_run { "would be " } else { "" };
        let number = usize::try_from(self.deliveries).unwrap_or(usize::MAX);
        let mut lines = vec![format!("{} {would}{}", counted(number, "delivery"), self.changed)];
        lines.extend(self.first.iter().map(|one| format!("  {one}")));
        if number > self.first.len() && !self.first.is_empty() {
            lines.push(format!("  and {} more", number - self.first.len()));
        }
        if self.meant > self.deliveries {
            let left = self.meant - self.deliveries;
            lines.push(format!(
                "{left} more are left: at most {MAX_CHANGED} are changed at once"
            ));
        }
        Summary {
            possible: number > 0,
            count: Some(self.meant),
            ..Summary::of(lines)
        }
    }
}
