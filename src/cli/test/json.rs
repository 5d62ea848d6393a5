//! Results of tests as JSON. `docs/guides/test-your-rules.md` names the fields.

use std::path::Path;

use serde_json::{Value, json};

use super::Report;
use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::trial::{Coverage, Failure, TestResult};

/// Formats the result.
pub(super) fn json(report: &Report<'_>) -> Value {
    let failed = report.failed();
    json!({
        "file": report.path.display().to_string(),
        "rules": report.suite.rules_path.display().to_string(),
        "passed": report.result.tests.len() - failed,
        "failed": failed,
        "accepted": report.accepted.map(|(replaced, _)| replaced),
        "tests": report.result.tests.iter().map(test).collect::<Vec<_>>(),
        "coverage": report.with_coverage.then(|| coverage(&report.result.coverage)),
        "diagnostics": report.suite.warnings.iter().map(Diagnostic::to_json).collect::<Vec<_>>(),
    })
}

fn test(test: &TestResult) -> Value {
    json!({
        "name": test.name,
        "line": test.line,
        "passed": test.failures.is_empty(),
        "seconds": test.duration.as_secs_f64(),
        "failures": test.failures.iter().map(failure).collect::<Vec<_>>(),
    })
}

fn failure(failure: &Failure) -> Value {
    let (line, column) = failure.place.origin.line_column();
    json!({
        "what": failure.what,
        "expected": failure.expected,
        "found": failure.found,
        "hint": failure.hint,
        "line": line,
        "column": column,
    })
}

fn coverage(coverage: &Coverage) -> Value {
    let [rules, conditions] = coverage.counts();
    let counts = |(covered, all): (usize, usize)| json!({"covered": covered, "all": all});
    json!({
        "percent": coverage.percent(),
        "rules": counts(rules),
        "conditions": counts(conditions),
        "gaps": coverage.gaps(),
    })
}

/// Formats the reasons why no test can run.
pub(super) fn unusable(path: &Path, all: &[&Diagnostics]) -> Value {
    let diagnostics = all.iter().flat_map(|diagnostics| diagnostics.iter());
    json!({
        "file": path.display().to_string(),
        "tests": null,
        "diagnostics": diagnostics.map(Diagnostic::to_json).collect::<Vec<_>>(),
    })
}
