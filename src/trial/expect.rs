//! Expectations of a test, as the test file states them.

use std::path::{Path, PathBuf};

use super::read::{self, Place};
use super::text_test::TextTest;
use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::yaml::{Node, unknown};
use crate::event::ArrivalOutcome;
use crate::verify::REASONS;

/// Keys of `expect` beside the names of rules.
const KEYS: [&str; 6] = ["answer", "outcome", "refused", "rules", "not", "on_failure"];
/// States that a delivery can have at the end of a test.
const STATES: [&str; 3] = ["done", "dead", "superseded"];
/// Maximum number of attempts that a test can expect.
const MAX_ATTEMPTS: u64 = 1000;

/// A value with its place.
pub type At<T> = (T, Place);

/// Expectation of a test about one request.
#[derive(Debug)]
pub struct Expect {
    pub place: Place,
    pub answer: Option<ExpectedAnswer>,
    pub outcome: Option<At<String>>,
    pub refused: Option<At<String>>,
    pub rules: Option<At<Vec<String>>>,
    /// Rules that do not match, each with the reason.
    pub not: Vec<(String, At<String>)>,
    pub on_failure: Option<At<Vec<ExpectedAction>>>,
    pub of_rules: Vec<(String, ExpectedRule)>,
}

#[derive(Debug)]
pub struct ExpectedAnswer {
    pub status: Option<At<u64>>,
    pub outcome: Option<At<String>>,
    pub headers: Vec<(String, TextTest)>,
    pub body: Option<TextTest>,
}

/// Expectation of a test about the deliveries of a rule.
#[derive(Debug)]
pub struct ExpectedRule {
    pub place: Place,
    pub state: Option<At<String>>,
    pub reason: Option<TextTest>,
    pub group: Option<TextTest>,
    pub attempts: Option<At<u64>>,
    pub actions: Option<At<Vec<ExpectedAction>>>,
    pub on_failure: Option<At<Vec<ExpectedAction>>>,
    pub elements: Option<At<Vec<Self>>>,
}

/// Expectation of a test about a rendered action.
#[derive(Debug)]
pub struct ExpectedAction {
    pub place: Place,
    pub kind: ExpectedKind,
}

#[derive(Debug)]
pub enum ExpectedKind {
    Command {
        /// The words of `run`, or the script of `shell`.
        words: At<Vec<TextTest>>,
        is_script: bool,
        env: Vec<(String, TextTest)>,
        stdin: Option<TextTest>,
        cwd: Option<At<PathBuf>>,
    },
    Forward {
        url: Option<TextTest>,
        method: Option<At<String>>,
        headers: Vec<(String, TextTest)>,
        body: Option<TextTest>,
    },
    Append {
        file: At<PathBuf>,
        line: Option<TextTest>,
    },
}

/// Reader of expectations, with the names that they may use.
pub(super) struct ExpectReader<'r> {
    /// Names of all rules.
    pub rules: &'r [&'r str],
    /// Folder of the rules file, at which relative paths of actions start.
    pub folder: &'r Path,
    pub diagnostics: &'r mut Diagnostics,
}

impl ExpectReader<'_> {
    /// Reads `expect`.
    pub(super) fn expect(&mut self, node: Node<'_>) -> Option<Expect> {
        if !read::keys_or(node, &KEYS, self.rules, self.diagnostics) {
            return None;
        }
        let outcomes = ArrivalOutcome::ALL.map(ArrivalOutcome::name);
        let mut of_rules = Vec::new();
        for (name, node) in node.entries() {
            if self.rules.contains(&name) && !KEYS.contains(&name) {
                of_rules.extend(self.rule(node).map(|rule| (name.to_owned(), rule)));
            }
        }
        let expect = Expect {
            place: Place::of(node),
            answer: node.given("answer").and_then(|node| self.answer(node)),
            outcome: self.word(node.given("outcome"), "outcome", &outcomes),
            refused: self.word(node.given("refused"), "reason", &REASONS),
            rules: node
                .given("rules")
                .map(|node| self.rule_list(node, &mut of_rules)),
            not: self.not(node.given("not")),
            on_failure: self.actions(node.given("on_failure")),
            of_rules,
        };
        self.some(node, "write at least `rules: [NAME]` or `answer: {status: 200}`");
        Some(expect)
    }

    /// Reports a mapping without entries, which would hold whatever is found.
    fn some(&mut self, node: Node<'_>, hint: &str) {
        if node.is_mapping() && node.entries().is_empty() {
            let diagnostic = node.error("no-expectation", "this expects nothing");
            self.diagnostics.push(diagnostic.hint(hint));
        }
    }

    fn word(&mut self, node: Option<Node<'_>>, noun: &str, known: &[&str]) -> Option<At<String>> {
        let node = node?;
        let word = read::word(node, noun, known, self.diagnostics)?;
        Some((word, Place::of(node)))
    }

    /// Reads `rules`: a list of names, or a mapping of names to expectations.
    fn rule_list(&mut self, node: Node<'_>, of_rules: &mut Vec<(String, ExpectedRule)>) -> At<Vec<String>> {
        let place = Place::of(node);
        if node.is_mapping() {
            let mut names = Vec::new();
            for (name, node) in node.entries() {
                self.check_rule(name, node);
                names.push(name.to_owned());
                if !node.value().is_null() {
                    of_rules.extend(self.rule(node).map(|rule| (name.to_owned(), rule)));
                }
            }
            return (names, place);
        }
        let mut names = Vec::new();
        for item in read::list(node, self.diagnostics) {
            if let Some(name) = read::text(item, self.diagnostics) {
                if !self.rules.contains(&name.as_str()) {
                    let known = self.rules.iter().copied();
                    self.diagnostics
                        .push(unknown(item.origin(), "unknown-rule", "rule", &name, known));
                }
                names.push(name);
            }
        }
        (names, place)
    }

    fn check_rule(&mut self, name: &str, node: Node<'_>) {
        if !self.rules.contains(&name) {
            let known = self.rules.iter().copied();
            let origin = node.key_origin();
            self.diagnostics
                .push(unknown(origin, "unknown-rule", "rule", name, known));
        }
    }

    fn not(&mut self, node: Option<Node<'_>>) -> Vec<(String, At<String>)> {
        let Some(node) = node.filter(|node| read::is_mapping(*node, self.diagnostics)) else {
            return Vec::new();
        };
        self.some(node, "write `not: {NAME: CONDITION}`");
        let mut not = Vec::new();
        for (name, node) in node.entries() {
            self.check_rule(name, node);
            let reason = read::text(node, self.diagnostics);
            not.extend(reason.map(|reason| (name.to_owned(), (reason, Place::of(node)))));
        }
        not
    }

    fn text_test(&mut self, node: Option<Node<'_>>) -> Option<TextTest> {
        TextTest::read(node?, self.diagnostics)
    }

    fn text_tests(&mut self, node: Option<Node<'_>>) -> Vec<(String, TextTest)> {
        let Some(node) = node.filter(|node| read::is_mapping(*node, self.diagnostics)) else {
            return Vec::new();
        };
        let entries = node.entries().into_iter();
        let test =
            |(name, node): (&str, Node<'_>)| Some((name.to_owned(), TextTest::read(node, self.diagnostics)?));
        entries.filter_map(test).collect()
    }

    fn text(&mut self, node: Option<Node<'_>>) -> Option<At<String>> {
        let node = node?;
        Some((read::text(node, self.diagnostics)?, Place::of(node)))
    }

    fn number(&mut self, node: Option<Node<'_>>, range: std::ops::Range<u64>) -> Option<At<u64>> {
        let node = node?;
        Some((read::integer(node, range, self.diagnostics)?, Place::of(node)))
    }

    fn path(&mut self, node: Option<Node<'_>>) -> Option<At<PathBuf>> {
        let (text, place) = self.text(node)?;
        Some((relative(self.folder, &located(self.folder, &text)), place))
    }

    fn answer(&mut self, node: Node<'_>) -> Option<ExpectedAnswer> {
        if !read::keys(node, &["status", "outcome", "headers", "body"], self.diagnostics) {
            return None;
        }
        self.some(node, "write `answer: {status: 200}`");
        Some(ExpectedAnswer {
            status: self.number(node.given("status"), 100..600),
            outcome: self.text(node.given("outcome")),
            headers: self.text_tests(node.given("headers")),
            body: self.text_test(node.given("body")),
        })
    }

    fn rule(&mut self, node: Node<'_>) -> Option<ExpectedRule> {
        const KEYS: [&str; 7] = [
            "state",
            "reason",
            "group",
            "attempts",
            "actions",
            "on_failure",
            "elements",
        ];
        if !read::keys(node, &KEYS, self.diagnostics) {
            return None;
        }
        let elements = node.given("elements").map(|node| {
            let items = read::list(node, self.diagnostics).into_iter();
            let elements = items.filter_map(|item| self.rule(item)).collect();
            (elements, Place::of(node))
        });
        Some(ExpectedRule {
            place: Place::of(node),
            state: self.word(node.given("state"), "state", &STATES),
            reason: self.text_test(node.given("reason")),
            group: self.text_test(node.given("group")),
            attempts: self.number(node.given("attempts"), 0..MAX_ATTEMPTS + 1),
            actions: self.actions(node.given("actions")),
            on_failure: self.actions(node.given("on_failure")),
            elements,
        })
    }

    fn actions(&mut self, node: Option<Node<'_>>) -> Option<At<Vec<ExpectedAction>>> {
        let node = node?;
        let items = read::list(node, self.diagnostics).into_iter();
        let actions = items.filter_map(|item| self.action(item)).collect();
        Some((actions, Place::of(node)))
    }

    fn action(&mut self, node: Node<'_>) -> Option<ExpectedAction> {
        const KINDS: [&str; 4] = ["run", "shell", "forward", "append"];
        let mut kinds = KINDS
            .into_iter()
            .filter_map(|kind| Some((kind, node.given(kind)?)));
        let (Some((kind, of_kind)), None) = (kinds.next(), kinds.next()) else {
            if read::is_mapping(node, self.diagnostics) {
                let message = "an action has one of `run`, `shell`, `forward`, `append`";
                self.diagnostics.push(node.error("wrong-action", message));
            }
            return None;
        };
        let beside: &[&str] = match kind {
            "run" | "shell" => &["env", "stdin", "cwd"],
            "append" => &["line"],
            _ => &[],
        };
        read::keys(node, &[&[kind], beside].concat(), self.diagnostics);
        let kind = match kind {
            "run" | "shell" => {
                let is_script = kind == "shell";
                let words = if is_script {
                    self.text_test(Some(of_kind)).into_iter().collect()
                } else {
                    let items = read::list(of_kind, self.diagnostics).into_iter();
                    items.filter_map(|item| self.text_test(Some(item))).collect()
                };
                ExpectedKind::Command {
                    words: (words, Place::of(of_kind)),
                    is_script,
                    env: self.text_tests(node.given("env")),
                    stdin: self.text_test(node.given("stdin")),
                    cwd: self.path(node.given("cwd")),
                }
            }
            "forward" => self.forward(of_kind),
            _ => ExpectedKind::Append {
                file: self.path(Some(of_kind))?,
                line: self.text_test(node.given("line")),
            },
        };
        let place = Place::of(node);
        Some(ExpectedAction { place, kind })
    }

    fn forward(&mut self, node: Node<'_>) -> ExpectedKind {
        if !node.is_mapping() {
            return ExpectedKind::Forward {
                url: self.text_test(Some(node)),
                method: None,
                headers: Vec::new(),
                body: None,
            };
        }
        read::keys(node, &["url", "method", "headers", "body"], self.diagnostics);
        for (name, header) in node
            .given("headers")
            .map(|headers| headers.entries())
            .unwrap_or_default()
        {
            if name.parse::<http::HeaderName>().is_err() {
                let message = format!("`{name}` is not the name of a header");
                let diagnostic = Diagnostic::error(header.key_origin(), "wrong-value", message);
                self.diagnostics.push(diagnostic);
            }
        }
        ExpectedKind::Forward {
            url: self.text_test(node.given("url")),
            method: self.text(node.given("method")),
            headers: self.text_tests(node.given("headers")),
            body: self.text_test(node.given("body")),
        }
    }
}

/// A path as it can be written in the rules file.
pub(super) fn relative(folder: &Path, path: &Path) -> PathBuf {
    let plain: PathBuf = path.components().collect();
    match plain.strip_prefix(folder) {
        Ok(inside) if inside.as_os_str().is_empty() => PathBuf::from("."),
        Ok(inside) => inside.to_owned(),
        Err(_) => plain,
    }
}

/// A path of an action. Relative paths start at the folder of the rules file.
pub(super) fn located(folder: &Path, path: &str) -> PathBuf {
    let path = folder.join(path);
    std::path::absolute(&path).unwrap_or(path)
}
