//! View of all rules with their state.

use schemars::JsonSchema;
use serde::Serialize;

use crate::admin::page::{Sources, ViewError, Visitor};
use crate::status::{PauseStatus, RuleStatus};

/// All rules, and paused targets.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RuleList {
    /// The rules in force in the order of the file, then those that are gone but paused or waited
    /// for.
    pub rules: Vec<RuleStatus>,
    /// Paused targets of forwards.
    pub targets: Vec<PauseStatus>,
}

/// The rules, and how the page shows them.
#[derive(Debug, Serialize)]
pub struct RulesView {
    #[serde(flatten)]
    pub list: RuleList,
    may_act: bool,
}

pub async fn read(sources: &Sources, visitor: Visitor) -> Result<RulesView, ViewError> {
    let rules = sources.status.rules().await.map_err(ViewError::Failed)?;
    let list = RuleList {
        rules,
        targets: sources.status.paused_targets(),
    };
    let may_act = visitor.may_act;
    Ok(RulesView { list, may_act })
}
