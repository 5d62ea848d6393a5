//! Deliveries that wait for rules with `enabled: false`: a warning of `hookyard check`, if the store
//! of the rules can be read.

use std::path::Path;

use crate::base::count::counted;
use crate::base::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::config;
use crate::rules::{Rule, RuleSet};
use crate::store::{DeliveryFilter, Records};

/// Code of the warning, which a rule can allow.
const CODE: &str = "disabled-waiting";
/// Maximum disabled rules that are looked up in the store.
const MAX_RULES: usize = 100;
/// Maximum waiting deliveries of a rule that are counted.
const MAX_COUNTED: usize = 1000;

/// Warns of disabled rules with waiting deliveries. Adds nothing without a store that this user can
/// read: `check` also runs where no daemon does.
pub(super) fn check(path: &Path, rules: &RuleSet, diagnostics: &mut Diagnostics) {
    let all = rules.endpoints.iter().flat_map(|endpoint| &endpoint.rules);
    let disabled = all.filter(|rule| !rule.enabled && !rule.allows_warning(CODE));
    let disabled: Vec<&Rule> = disabled.take(MAX_RULES).collect();
    let store = config::store_place(path, &rules.store);
    if disabled.is_empty() || !store.file().is_some_and(Path::is_file) {
        return;
    }
    let Ok(history) = Records::at(&store).history() else {
        return;
    };
    for rule in disabled {
        let filter = DeliveryFilter {
            rule: Some(rule.name.to_string()),
            state: Some("waiting"),
            ..DeliveryFilter::default()
        };
        let waiting = history.before(&filter, i64::MAX, MAX_COUNTED);
        let count = waiting.map_or(0, |waiting| waiting.len());
        if count > 0 {
            diagnostics.push(warning(rule, count));
        }
    }
}

fn warning(rule: &Rule, count: usize) -> Diagnostic {
    let name = &rule.name;
    let more = if count == MAX_COUNTED { " or more" } else { "" };
    let wait = if count == 1 { "waits" } else { "wait" };
    let message = format!(
        "the rule `{name}` has `enabled: false`, and {}{more} of it {wait} in the store and will run",
        counted(count, "delivery")
    );
    Diagnostic {
        severity: Severity::Warning,
        hint: Some(format!(
            "see `hookyard events list --rule {name} --state waiting`; `hookyard events drop` gives deliveries up"
        )),
        ..Diagnostic::unplaced(CODE, message)
    }
}
