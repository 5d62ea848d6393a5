//! Coverage of the rules by their tests: rules that no test runs, and conditions that were never true
//! or never false.

use super::found::Found;
use crate::matching::TestAnswers;
use crate::rules::RuleSet;

/// Coverage of all rules.
#[derive(Clone, Debug)]
pub struct Coverage {
    pub rules: Vec<RuleCoverage>,
}

/// Coverage of one rule.
#[derive(Clone, Debug)]
pub struct RuleCoverage {
    pub rule: String,
    /// False for a rule with `enabled: false`, which needs no test.
    pub is_enabled: bool,
    /// True if the rule had a delivery in some test.
    pub has_run: bool,
    /// The conditions, each with its answers in all tests.
    pub conditions: Vec<(String, TestAnswers)>,
}

impl Coverage {
    pub(super) fn of(rules: &RuleSet) -> Self {
        let all = rules.endpoints.iter().flat_map(|endpoint| {
            let rules = endpoint.rules.iter().enumerate();
            rules.map(|(index, rule)| RuleCoverage {
                rule: rule.name.to_string(),
                is_enabled: rule.enabled,
                has_run: false,
                conditions: endpoint
                    .matcher
                    .tests(index)
                    .into_iter()
                    .map(|written| {
                        // No request with another method reaches the rule.
                        let is_certain = endpoint.methods.len() == 1 && written.starts_with("method: ");
                        let missed = is_certain;
                        (written, TestAnswers { held: false, missed })
                    })
                    .collect(),
            })
        });
        Self { rules: all.collect() }
    }

    /// Adds what a request has shown. Conditions count if the rule trusts the request.
    pub(super) fn add(&mut self, rules: &RuleSet, found: &Found<'_>) {
        for name in found.rules() {
            self.rule(name).into_iter().for_each(|rule| rule.has_run = true);
        }
        let (Some(endpoint), Some(seen)) = (found.endpoint, &found.seen) else {
            return;
        };
        let Some((endpoint, _)) = rules.endpoint(&crate::base::url_path::normalized(&endpoint.path)) else {
            return;
        };
        for index in &seen.trusting {
            let Some(rule) = endpoint.rules.get(*index) else {
                continue;
            };
            let answers = endpoint.matcher.test_answers(&seen.event, *index);
            if let Some(covered) = self.rule(&rule.name) {
                for ((_, all), one) in covered.conditions.iter_mut().zip(answers) {
                    all.merge(one);
                }
            }
        }
    }

    fn rule(&mut self, name: &str) -> Option<&mut RuleCoverage> {
        self.rules.iter_mut().find(|rule| rule.rule == name)
    }

    /// Numbers of what is covered and of all: rules that run, and conditions with both answers.
    pub fn counts(&self) -> [(usize, usize); 2] {
        let enabled = || self.rules.iter().filter(|rule| rule.is_enabled);
        let conditions = || enabled().flat_map(|rule| &rule.conditions);
        let both = |answers: &TestAnswers| answers.held && answers.missed;
        [
            (enabled().filter(|rule| rule.has_run).count(), enabled().count()),
            (
                conditions().filter(|(_, answers)| both(answers)).count(),
                conditions().count(),
            ),
        ]
    }

    /// Percentage, rounded down, so that 100 is everything.
    pub fn percent(&self) -> usize {
        let [rules, conditions] = self.counts();
        let (covered, all) = (rules.0 + conditions.0, rules.1 + conditions.1);
        (covered * 100).checked_div(all).unwrap_or(100)
    }

    /// Lists rules and conditions that are not covered, one line each.
    pub fn gaps(&self) -> Vec<String> {
        let mut gaps = Vec::new();
        for rule in self.rules.iter().filter(|rule| rule.is_enabled) {
            let name = &rule.rule;
            if !rule.has_run {
                gaps.push(format!("{name}: no test runs it"));
            }
            for (written, answers) in &rule.conditions {
                let never = match (answers.held, answers.missed) {
                    (true, true) => continue,
                    (false, false) => "never asked",
                    (false, true) => "never true",
                    (true, false) => "never false",
                };
                gaps.push(format!("{name}: {never}: {written}"));
            }
        }
        gaps
    }
}
