//! Tests of a test file, each with its requests and what it expects.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::expect::{Expect, ExpectReader};
use super::outcomes::Outcomes;
use super::read;
use super::request::{RequestReader, StatedRequest};
use super::signer::Signers;
use crate::base::clock::Timestamp;
use crate::base::diagnostic::{Diagnostic, Diagnostics, Origin};
use crate::base::yaml::Node;
use crate::rules::RuleSet;

/// Maximum number of tests in a file.
pub const MAX_TESTS: usize = 10_000;
/// Maximum number of requests in a test.
pub const MAX_STEPS: usize = 100;

/// One test.
#[derive(Debug)]
pub struct TestCase {
    pub name: String,
    pub origin: Origin,
    pub(super) now: Timestamp,
    pub(super) outcomes: Outcomes,
    pub(super) steps: Vec<Step>,
}

/// One request of a test.
#[derive(Debug)]
pub(super) struct Step {
    pub after: Duration,
    pub request: StatedRequest,
    pub outcomes: Outcomes,
    pub expect: Expect,
}

/// Reader of the tests of a file.
pub(super) struct TestReader<'r> {
    /// Time of a test that states none.
    pub now: Timestamp,
    /// Folder of the rules file.
    pub folder: &'r Path,
    /// `None` if the rules cannot be used.
    pub rules: Option<&'r RuleSet>,
    pub names: &'r [&'r str],
    pub signers: &'r Signers<'r>,
    pub test_folder: &'r Path,
    pub diagnostics: &'r mut Diagnostics,
}

impl TestReader<'_> {
    pub(super) fn tests(&mut self, root: Node<'_>) -> Vec<TestCase> {
        let Some(node) = root.given("tests") else {
            return Vec::new();
        };
        let items = read::list(node, self.diagnostics);
        if items.len() > MAX_TESTS {
            let message = format!("{} tests; at most {MAX_TESTS} are run", items.len());
            self.diagnostics.push(node.error("too-many", message));
            return Vec::new();
        }
        let mut names = BTreeSet::new();
        let mut tests = Vec::with_capacity(items.len());
        for item in items {
            let Some(test) = self.test(item) else { continue };
            if !names.insert(test.name.clone()) {
                let message = format!("a second test named `{}`", test.name);
                self.diagnostics
                    .push(Diagnostic::error(test.origin.clone(), "duplicate-test", message));
            }
            tests.push(test);
        }
        tests
    }

    fn test(&mut self, node: Node<'_>) -> Option<TestCase> {
        const KEYS: [&str; 6] = ["name", "now", "request", "steps", "outcomes", "expect"];
        if !read::keys(node, &KEYS, self.diagnostics) {
            return None;
        }
        self.diagnostics.extend(node.missing("name"));
        let name = node
            .given("name")
            .and_then(|node| Some((read::text(node, self.diagnostics)?, node.origin())));
        let now = node
            .given("now")
            .and_then(|node| read::instant(node, self.diagnostics));
        let outcomes = Outcomes::read(node.given("outcomes"), self.names, self.diagnostics);
        let steps = match (node.get("request"), node.given("steps")) {
            (None, Some(steps)) => {
                if let Some(expect) = node.get("expect") {
                    let message = "with `steps`, each step has its own `expect`";
                    self.diagnostics
                        .push(Diagnostic::error(expect.key_origin(), "wrong-value", message));
                }
                self.steps(steps)
            }
            (Some(_), Some(steps)) => {
                let message = "a test has `request` or `steps`, not both";
                self.diagnostics
                    .push(Diagnostic::error(steps.key_origin(), "wrong-value", message));
                Vec::new()
            }
            (_, None) => self
                .step(node, Duration::ZERO, Outcomes::default())
                .into_iter()
                .collect(),
        };
        let (name, origin) = name?;
        Some(TestCase {
            name,
            origin,
            now: now.unwrap_or(self.now),
            outcomes,
            steps,
        })
    }

    fn steps(&mut self, node: Node<'_>) -> Vec<Step> {
        let items = read::list(node, self.diagnostics);
        if items.is_empty() || items.len() > MAX_STEPS {
            let message = format!("a test has 1 to {MAX_STEPS} steps, and this one {}", items.len());
            self.diagnostics.push(node.error("wrong-value", message));
        }
        let mut steps = Vec::new();
        for item in items {
            if !read::keys(
                item,
                &["after", "request", "outcomes", "expect"],
                self.diagnostics,
            ) {
                continue;
            }
            let after = item
                .given("after")
                .and_then(|node| read::duration(node, self.diagnostics));
            let outcomes = Outcomes::read(item.given("outcomes"), self.names, self.diagnostics);
            steps.extend(self.step(item, after.unwrap_or_default(), outcomes));
        }
        steps
    }

    /// Reads `request` and `expect` of a mapping.
    fn step(&mut self, node: Node<'_>, after: Duration, outcomes: Outcomes) -> Option<Step> {
        self.diagnostics.extend(node.missing("request"));
        self.diagnostics.extend(node.missing("expect"));
        let mut requests = RequestReader {
            rules: self.rules,
            signers: self.signers,
            folder: self.test_folder,
            diagnostics: self.diagnostics,
        };
        let request = node.given("request").and_then(|node| requests.request(node));
        let mut expects = ExpectReader {
            rules: self.names,
            folder: self.folder,
            diagnostics: self.diagnostics,
        };
        let expect = node.given("expect").and_then(|node| expects.expect(node));
        Some(Step {
            after,
            request: request?,
            outcomes,
            expect: expect?,
        })
    }
}
