//! View of one rule: its state, its text, and what the operator can do with it.

use serde::Serialize;

use crate::admin::page::sources::{Params, Sources, ViewError, Visitor};
use crate::base::diagnostic::did_you_mean;
use crate::status::{ExpectationStatus, RuleStatus};

/// A rule, and how the page shows it.
#[derive(Debug, Serialize)]
pub struct RuleView {
    #[serde(flatten)]
    pub rule: RuleStatus,
    may_act: bool,
    /// Arrivals that its endpoint and it expect.
    expectations: Vec<ExpectationStatus>,
    /// Names of the parameters in the path of its endpoint.
    parameters: Vec<String>,
}

pub async fn read(sources: &Sources, params: &Params, visitor: Visitor) -> Result<RuleView, ViewError> {
    let name = &params.path;
    let rule = sources.status.rule(name).await.map_err(ViewError::Failed)?;
    let rule = rule.ok_or_else(|| {
        let rules = sources.live.current();
        let near = did_you_mean(name, rules.names.keys().map(|known| &**known));
        let near = near.map_or_else(String::new, |near| format!(" (did you mean `{near}`?)"));
        ViewError::Missing(format!("the rules in force have no rule `{name}`{near}"))
    })?;
    let mut expectations = sources.status.expectations();
    expectations.retain(|one| match &one.rule {
        Some(expecting) => expecting == name,
        None => Some(&one.endpoint) == rule.endpoint.as_ref(),
    });
    Ok(RuleView {
        expectations,
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
