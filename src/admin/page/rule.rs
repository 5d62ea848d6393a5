//! View of one rule: its state, its text, and what the operator can do with it.

use serde::Serialize;

use crate::admin::page::{Params, Sources, ViewError, Visitor};
use crate::status::RuleStatus;

/// A rule, and how the page shows it.
#[derive(Debug, Serialize)]
pub struct RuleView {
    #[serde(flatten)]
    pub rule: RuleStatus,
    may_act: bool,
    /// Names of the parameters in the path of its endpoint.
    parameters: Vec<String>,
}

pub async fn read(sources: &Sources, params: &Params, visitor: Visitor) -> Result<RuleView, ViewError> {
    let name = &params.path;
    let rule = sources.status.rule(name).await.map_err(ViewError::Failed)?;
    let rule = rule.ok_or_else(|| ViewError::Missing(format!("there is no rule `{name}`")))?;
    Ok(RuleView {
        parameters: parameters(rule.endpoint.as_deref().unwrap_or_default()),
        rule,
        may_act: visitor.may_act,
    })
}

/// The parameters of a path: `/deploy/{site}` has `site`.
fn parameters(path: &str) -> Vec<String> {
    let segments = path.split('/').filter_map(|segment| {
        let name = segment.strip_prefix('{')?.strip_suffix('}')?;
        Some(name.trim_start_matches('*').to_owned())
    });
    segments.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_stand_in_braces() {
        assert_eq!(parameters("/a/{site}/{*rest}"), ["site", "rest"]);
        assert!(parameters("/a").is_empty());
    }
}
