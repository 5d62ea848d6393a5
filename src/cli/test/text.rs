//! Results of tests as text: each failure with its place in the test file, as `check` shows it.

use super::Report;
use crate::base::count::counted;
use crate::base::escape;
use crate::cli::coloured;
use crate::trial::Coverage;

/// Formats the result.
pub(super) fn text(report: &Report<'_>) -> String {
    let colour = coloured(&std::io::stdout());
    let mut parts = Vec::new();
    if !report.suite.warnings.is_empty() {
        parts.push(report.suite.warnings.render(colour));
    }
    for test in &report.result.tests {
        for failure in &test.failures {
            let mut diagnostic = failure.diagnostic();
            diagnostic.message = format!("{}: {}", test.name, diagnostic.message);
            parts.push(diagnostic.render(colour));
        }
    }
    if report.with_coverage {
        let gaps = report.result.coverage.gaps();
        parts.extend((!gaps.is_empty()).then(|| {
            let gaps: Vec<String> = gaps
                .iter()
                .map(|gap| format!("not covered: {}", escape::line(gap)))
                .collect();
            gaps.join("\n")
        }));
    }
    parts.push(conclusion(report));
    parts.join("\n\n")
}

/// Formats the last lines.
fn conclusion(report: &Report<'_>) -> String {
    let path = report.path.display().to_string();
    let path = escape::line(&path);
    let failed = report.failed();
    let passed = report.result.tests.len() - failed;
    let mut lines = Vec::new();
    if let Some((replaced, commented)) = report.accepted {
        lines.push(format!("{path}: {} replaced", counted(replaced, "expectation")));
        lines.extend((commented > 0).then(|| {
            let number = counted(commented, "expectation");
            format!("{path}: {number} not replaced, because a comment within would be lost")
        }));
    }
    let failures = match failed {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    lines.push(format!("{path}: {} passed{failures}", counted(passed, "test")));
    if report.with_coverage {
        lines.push(coverage(&report.result.coverage));
    }
    lines.join("\n")
}

fn coverage(coverage: &Coverage) -> String {
    let [rules, conditions] = coverage.counts();
    let disabled = coverage.rules.iter().filter(|rule| !rule.is_enabled).count();
    let disabled = match disabled {
        0 => String::new(),
        number => format!("; {} not counted, because disabled", counted(number, "rule")),
    };
    format!(
        "coverage: {} %: {} of {}, {} of {}{disabled}",
        coverage.percent(),
        rules.0,
        counted(rules.1, "rule"),
        conditions.0,
        counted(conditions.1, "condition")
    )
}
