//! A test file with its rules, ready to run.
//!
//! Everything that is wrong with the test file is found here, before a test runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::expect::{Expect, ExpectReader};
use super::outcomes::Outcomes;
use super::read;
use super::request::{RequestReader, StatedRequest};
use super::signer::Signers;
use crate::base::clock::Timestamp;
use crate::base::diagnostic::{Diagnostic, Diagnostics, Origin, Severity, Source};
use crate::base::live::Live;
use crate::base::secret::{Keyring, Secret, source_of};
use crate::base::yaml::{Document, Node, unknown};
use crate::config::{self, PretendedRules};
use crate::rules::RuleSet;

/// Time of a test that states none: 2026-01-01T12:00:00Z.
const DEFAULT_NOW: Timestamp = Timestamp::from_millis(1_767_268_800_000);
/// Maximum number of tests in a file.
pub const MAX_TESTS: usize = 10_000;
/// Maximum number of requests in a test.
pub const MAX_STEPS: usize = 100;
/// Keys of the test file.
const KEYS: [&str; 5] = ["rules", "secrets", "now", "enable", "tests"];

/// A test file with its rules.
#[derive(Debug)]
pub struct Suite {
    pub path: PathBuf,
    pub rules_path: PathBuf,
    /// The text of the test file.
    pub text: String,
    pub(super) rules: Arc<Live<RuleSet>>,
    /// Folder of the rules file.
    pub(super) folder: PathBuf,
    pub tests: Vec<TestCase>,
    /// Contains no errors.
    pub warnings: Diagnostics,
}

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

/// The reasons why a test file cannot be run: those of the test file, and those of the rules.
#[derive(Debug, Default)]
pub struct NotLoaded {
    pub of_tests: Diagnostics,
    pub of_rules: Diagnostics,
}

impl Suite {
    /// Reads a test file and its rules.
    pub fn load(path: &Path) -> Result<Self, NotLoaded> {
        let text = config::read(path).map_err(|diagnostic| NotLoaded {
            of_tests: [diagnostic].into_iter().collect(),
            ..NotLoaded::default()
        })?;
        Self::read(path, text)
    }

    pub(super) fn read(path: &Path, text: String) -> Result<Self, NotLoaded> {
        let mut diagnostics = Diagnostics::new();
        let source = Source {
            path: path.to_owned(),
            text: text.clone(),
        };
        let Some(document) = Document::parse(source, &mut diagnostics) else {
            return Err(NotLoaded {
                of_tests: diagnostics,
                ..NotLoaded::default()
            });
        };
        let root = document.root();
        let settings = FileSettings::read(path, root, &mut diagnostics);
        let loaded = settings.rules(root, &mut diagnostics);
        let (rules, documents) = match loaded {
            Ok(loaded) => loaded,
            Err(of_rules) => {
                return Err(NotLoaded {
                    of_tests: diagnostics.sorted(),
                    of_rules,
                });
            }
        };
        let keyring = Keyring::pretended(settings.secrets.clone(), &settings.folder);
        let tests = {
            let names: Vec<&str> = rule_names(&rules);
            let signers = Signers::new(&rules, &documents, &keyring);
            let mut reader = TestReader {
                settings: &settings,
                rules: &rules,
                names: &names,
                signers: &signers,
                test_folder: path.parent().unwrap_or(Path::new(".")),
                diagnostics: &mut diagnostics,
            };
            reader.tests(root)
        };
        if diagnostics.has_errors() {
            return Err(NotLoaded {
                of_tests: diagnostics.sorted(),
                ..NotLoaded::default()
            });
        }
        Ok(Self {
            path: path.to_owned(),
            rules_path: settings.rules_path,
            text,
            rules: Arc::new(Live::new(rules)),
            folder: settings.folder,
            tests,
            warnings: diagnostics.sorted(),
        })
    }

    /// The rules.
    pub fn rules(&self) -> Arc<RuleSet> {
        self.rules.current()
    }
}

fn rule_names(rules: &RuleSet) -> Vec<&str> {
    let endpoints = rules.endpoints.iter();
    let all = endpoints.flat_map(|endpoint| &endpoint.rules);
    all.map(|rule| &*rule.name).collect()
}

/// The settings of a test file.
struct FileSettings {
    rules_path: PathBuf,
    /// Folder of the rules file.
    folder: PathBuf,
    secrets: BTreeMap<String, Secret>,
    now: Timestamp,
    enable: Vec<(String, Origin)>,
}

impl FileSettings {
    fn read(path: &Path, root: Node<'_>, diagnostics: &mut Diagnostics) -> Self {
        let own: Vec<&str> = root.entries().into_iter().map(|(key, _)| key).collect();
        let ignored: Vec<&str> = own.into_iter().filter(|key| key.starts_with("x-")).collect();
        if read::keys(root, &[KEYS.as_slice(), &ignored].concat(), diagnostics) {
            diagnostics.extend(root.missing("tests"));
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        let named = root.given("rules").and_then(|node| read::text(node, diagnostics));
        let rules_path = match named {
            Some(named) => folder.join(named),
            None => usual_rules(path).unwrap_or_else(|| {
                let message = "the name of the file does not say which rules it tests";
                diagnostics.push(root.error("rules", message).hint("write `rules: rules.yaml`"));
                PathBuf::new()
            }),
        };
        let folder = rules_path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let now = root
            .given("now")
            .and_then(|node| read::instant(node, diagnostics));
        let enable = root
            .given("enable")
            .map(|node| node.one_or_many())
            .unwrap_or_default();
        let enable = enable
            .into_iter()
            .filter_map(|node| Some((read::text(node, diagnostics)?, node.origin())));
        Self {
            enable: enable.collect(),
            secrets: secrets(root, diagnostics),
            now: now.unwrap_or(DEFAULT_NOW),
            folder: folder.components().collect(),
            rules_path,
        }
    }

    /// Loads the rules. Secrets that are missing are reported at `secrets` of the test file.
    fn rules(
        &self,
        root: Node<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Result<(RuleSet, Vec<Document>), Diagnostics> {
        if self.rules_path.as_os_str().is_empty() {
            return Err(Diagnostics::new());
        }
        let text = config::read(&self.rules_path).map_err(|found| {
            let found: Diagnostics = [found].into_iter().collect();
            found
        })?;
        let PretendedRules {
            outcome,
            missing,
            unused,
            documents,
        } = config::load_pretended(&self.rules_path, text, self.secrets.clone());
        let place = root.get("secrets");
        for name in missing {
            let message = format!("the rules need the secret `{name}`, and `secrets` does not give it");
            let diagnostic = place.unwrap_or(root).error("secret", message);
            diagnostics.push(diagnostic.hint(format!(
                "write `secrets: {{{name}: any-text}}`: nothing real is read"
            )));
        }
        for name in unused {
            if let Some(node) = place.and_then(|place| place.get(&name)) {
                let message = format!("the rules do not need the secret `{name}`");
                diagnostics.push(Diagnostic::warning(node.key_origin(), "unused-secret", message));
            }
        }
        // Warnings are left to `check`.
        let errors = |found: Diagnostics| -> Diagnostics {
            let errors = found.iter().filter(|one| one.severity == Severity::Error);
            errors.cloned().collect()
        };
        let mut rules = outcome.map_err(errors)?;
        for (name, origin) in &self.enable {
            if !rules.enable(name) {
                let known = rule_names(&rules);
                diagnostics.push(unknown(origin.clone(), "unknown-rule", "rule", name, known));
            }
        }
        Ok((rules, documents))
    }
}

/// The rules file that belongs to a test file by its name.
fn usual_rules(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let (stem, extension) = name.rsplit_once('.')?;
    let stem = stem.strip_suffix(".test")?;
    Some(path.with_file_name(format!("{stem}.{extension}")))
}

fn secrets(root: Node<'_>, diagnostics: &mut Diagnostics) -> BTreeMap<String, Secret> {
    let Some(node) = root
        .given("secrets")
        .filter(|node| read::is_mapping(*node, diagnostics))
    else {
        return BTreeMap::new();
    };
    let mut secrets = BTreeMap::new();
    for (name, value) in node.entries() {
        if source_of(name).is_none() {
            let message = format!("`{name}` is not the source of a secret");
            let diagnostic = Diagnostic::error(value.key_origin(), "secret", message);
            diagnostics.push(
                diagnostic
                    .hint("write it as the rules file does: `env:NAME`, `file:PATH`, `credential:NAME`"),
            );
        }
        if let Some(text) = read::text(value, diagnostics) {
            secrets.insert(name.to_owned(), Secret::new(text.into_bytes()));
        }
    }
    secrets
}

/// What tests are read with.
struct TestReader<'r> {
    settings: &'r FileSettings,
    rules: &'r RuleSet,
    names: &'r [&'r str],
    signers: &'r Signers<'r>,
    test_folder: &'r Path,
    diagnostics: &'r mut Diagnostics,
}

impl TestReader<'_> {
    fn tests(&mut self, root: Node<'_>) -> Vec<TestCase> {
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
            now: now.unwrap_or(self.settings.now),
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
            folder: &self.settings.folder,
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
