//! Results of tests as `JUnit` XML, as GitLab, GitHub actions and Jenkins read it.

use std::time::Duration;

use super::Report;
use crate::trial::{Failure, TestResult};

/// Formats the result: one suite, with a case for each test and one for the coverage.
pub(super) fn junit(report: &Report<'_>) -> String {
    let tests = &report.result.tests;
    let path = escaped(&report.path.display().to_string());
    let uncovered = usize::from(!report.is_covered());
    let number = tests.len() + usize::from(report.with_coverage);
    let failures = report.failed() + uncovered;
    let time = seconds(tests.iter().map(|test| test.duration).sum());
    let counts = format!("tests=\"{number}\" failures=\"{failures}\" errors=\"0\"");
    let mut lines = vec![
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>".to_owned(),
        format!("<testsuites name=\"hookyard test\" {counts} time=\"{time}\">"),
        format!("  <testsuite name=\"{path}\" {counts} skipped=\"0\" time=\"{time}\">"),
    ];
    lines.extend(tests.iter().map(|test| case(test, &path)));
    if report.with_coverage {
        let coverage = &report.result.coverage;
        let message = format!("{} % covered", coverage.percent());
        let failure = (uncovered > 0).then(|| failure(&message, &coverage.gaps().join("\n")));
        lines.push(format!(
            "    <testcase classname=\"{path}\" name=\"coverage\" time=\"0\">{}</testcase>",
            failure.unwrap_or_default()
        ));
    }
    lines.extend(["  </testsuite>".to_owned(), "</testsuites>".to_owned()]);
    lines.join("\n")
}

fn case(test: &TestResult, path: &str) -> String {
    let (name, line, time) = (escaped(&test.name), test.line, seconds(test.duration));
    let begin = format!(
        "    <testcase classname=\"{path}\" name=\"{name}\" file=\"{path}\" line=\"{line}\" time=\"{time}\""
    );
    if test.failures.is_empty() {
        return format!("{begin}/>");
    }
    let diagnostics: Vec<_> = test.failures.iter().map(Failure::diagnostic).collect();
    let message = diagnostics
        .first()
        .map(|first| first.message.clone())
        .unwrap_or_default();
    let shown: Vec<String> = diagnostics.iter().map(|one| one.render(false)).collect();
    format!("{begin}>{}</testcase>", failure(&message, &shown.join("\n\n")))
}

fn failure(message: &str, text: &str) -> String {
    format!(
        "<failure message=\"{}\" type=\"expectation\">{}</failure>",
        escaped(message),
        escaped(text)
    )
}

fn seconds(duration: Duration) -> String {
    format!("{:.6}", duration.as_secs_f64())
}

/// Escapes a text for XML. Characters that XML does not allow are replaced.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            '\t' => escaped.push_str("&#9;"),
            letter if letter.is_control() || ['\u{fffe}', '\u{ffff}'].contains(&letter) => {
                escaped.push('\u{fffd}');
            }
            letter => escaped.push(letter),
        }
    }
    escaped
}
