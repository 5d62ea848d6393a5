//! View of all rules with their state.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admin::page::sources::{Sources, ViewError};
use crate::status::{PauseStatus, RuleStatus};

/// All rules, and paused targets.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
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
    /// Rules that are silent, themselves or by their endpoint.
    silent: Vec<String>,
}

pub async fn read(sources: &Sources) -> Result<RulesView, ViewError> {
    let rules = sources.status.rules().await.map_err(ViewError::Failed)?;
    let list = RuleList {
        rules,
        targets: sources.status.paused_targets(),
    };
    let expectations = sources.status.expectations();
    let is_silent = |rule: &&RuleStatus| {
        let mut silent = expectations.iter().filter(|one| one.silent);
        silent.any(|one| match &one.rule {
            Some(name) => *name == rule.name,
            None => Some(&one.endpoint) == rule.endpoint.as_ref(),
        })
    };
    let silent = list.rules.iter().filter(is_silent).map(|rule| rule.name.clone());
    Ok(RulesView {
        silent: silent.collect(),
        list,
    })
}
