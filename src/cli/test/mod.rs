//! `hookyard test`: the tests of a rules file, as text, JSON or `JUnit` XML, and the exit code.
//!
//! `trial` runs the tests. `--accept` writes what was found into the test file.

mod json;
mod junit;
mod text;

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::{NO, UNKNOWN, YES, coloured, complain_styled, fail, say_styled};
use crate::base::diagnostic::Diagnostics;
use crate::base::escape;
use crate::base::private_file::write_private;
use crate::trial::{NotLoaded, Suite, SuiteResult, accept};

/// The usual test file.
const USUAL: &str = "rules.test.yaml";

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The test file.
    #[arg(default_value = USUAL)]
    tests: PathBuf,
    /// Run only the tests whose names contain this text.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Write what was found into the test file, in place of the expectations that do not hold.
    #[arg(long)]
    accept: bool,
    /// Also report rules without a test, and conditions that were never true or never false. Below 100
    /// percent the exit code is 1.
    #[arg(long, conflicts_with = "filter")]
    coverage: bool,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TestFormat,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum TestFormat {
    /// Text for people.
    #[default]
    Text,
    /// JSON for programs.
    Json,
    /// `JUnit` XML for CI servers.
    Junit,
}

/// Result of a run, as it is printed.
struct Report<'r> {
    path: &'r Path,
    suite: &'r Suite,
    result: &'r SuiteResult,
    /// Numbers of expectations that `--accept` has replaced, and left because of a comment. `None`
    /// without it.
    accepted: Option<(usize, usize)>,
    with_coverage: bool,
}

impl Report<'_> {
    fn failed(&self) -> usize {
        let tests = self.result.tests.iter();
        tests.filter(|test| !test.failures.is_empty()).count()
    }

    /// True if everything is covered, or coverage is not asked for.
    fn is_covered(&self) -> bool {
        !self.with_coverage || self.result.coverage.percent() == 100
    }
}

pub fn run(arguments: &Arguments) -> u8 {
    let path = &arguments.tests;
    let mut suite = match Suite::load(path) {
        Ok(suite) => suite,
        Err(not_loaded) => return unusable(path, &not_loaded, arguments.format),
    };
    let wanted = |name: &str| {
        let filter = arguments.filter.as_deref();
        filter.is_none_or(|filter| name.contains(filter))
    };
    if let Some(filter) = &arguments.filter
        && !suite.tests.iter().any(|test| wanted(&test.name))
    {
        return fail(&format!(
            "no test of `{}` has `{filter}` in its name",
            path.display()
        ));
    }
    let mut result = match suite.run(wanted) {
        Ok(result) => result,
        Err(error) => return fail(&format!("the tests cannot be run: {error}")),
    };
    let mut accepted = None;
    if arguments.accept {
        let failures = result.tests.iter().flat_map(|test| &test.failures);
        match accept(&suite, failures) {
            Ok(new) => {
                accepted = Some((new.replaced, new.commented));
                if let Some(new) = new.suite {
                    if let Err(error) = replace(path, &suite.text, &new.text) {
                        let path = path.display();
                        return fail(&format!("cannot write `{path}`, which stays as it is: {error}"));
                    }
                    suite = new;
                    result = match suite.run(wanted) {
                        Ok(result) => result,
                        Err(error) => return fail(&format!("the tests cannot be run: {error}")),
                    };
                }
            }
            Err(not_loaded) => return unusable(path, &not_loaded, arguments.format),
        }
    }
    let report = Report {
        path,
        suite: &suite,
        result: &result,
        accepted,
        with_coverage: arguments.coverage,
    };
    print(&report, arguments.format)
}

/// Replaces the text of a file, whole or not at all. A link stays a link, and the file keeps its owner
/// and its mode.
fn replace(path: &Path, old: &str, new: &str) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let metadata = fs::metadata(&path)?;
    if metadata.permissions().readonly() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    if fs::read_to_string(&path)? != old {
        return Err(io::Error::other("another program has changed it"));
    }
    write_private(&path, &[new.as_bytes()], |beside, file| {
        // Only root can give a file away. For all others it is theirs anyway, or the group differs.
        chown(beside, Some(metadata.uid()), Some(metadata.gid())).ok();
        fs::set_permissions(beside, metadata.permissions())?;
        fs::rename(beside, file)
    })
}

/// Prints the result. Returns the exit code.
fn print(report: &Report<'_>, format: TestFormat) -> u8 {
    let code = if report.failed() == 0 && report.is_covered() {
        YES
    } else {
        NO
    };
    let text = match format {
        TestFormat::Text => text::text(report),
        TestFormat::Json => escape::text(&json::json(report).to_string()).into_owned(),
        TestFormat::Junit => junit::junit(report),
    };
    if format != TestFormat::Text && !report.suite.warnings.is_empty() {
        complain_styled(&report.suite.warnings.render(coloured(&io::stderr())));
    }
    say_styled(&text, code)
}

/// Prints why no test can run. Returns the exit code.
fn unusable(path: &Path, not_loaded: &NotLoaded, format: TestFormat) -> u8 {
    let all = [&not_loaded.of_tests, &not_loaded.of_rules];
    if format == TestFormat::Json {
        let text = json::unusable(path, &all).to_string();
        return say_styled(&escape::text(&text), UNKNOWN);
    }
    let shown = all.into_iter().filter(|diagnostics| !diagnostics.is_empty());
    let shown: Vec<String> = shown.map(rendered).collect();
    complain_styled(&shown.join("\n\n"));
    if not_loaded
        .of_tests
        .iter()
        .any(|diagnostic| diagnostic.code == "missing")
    {
        complain_styled("hint: name the file: `hookyard test TESTS`");
    }
    UNKNOWN
}

fn rendered(diagnostics: &Diagnostics) -> String {
    diagnostics.render(coloured(&io::stderr()))
}
