//! A test file with its rules, ready to run.
//!
//! Everything that is wrong with the test file is found here, before a test runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::case::{TestCase, TestReader};
use super::read;
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
        let (rules, documents) = settings.rules(root, &mut diagnostics);
        let keyring = Keyring::pretended(settings.secrets.clone(), &settings.folder);
        let tests = {
            let usable = rules.as_ref().ok();
            let names = usable.map_or_else(|| written_names(&documents), rule_names);
            let signers = Signers::new(usable, &documents, &keyring);
            let mut reader = TestReader {
                now: settings.now,
                folder: &settings.folder,
                rules: usable,
                names: &names,
                signers: &signers,
                test_folder: path.parent().unwrap_or(Path::new(".")),
                diagnostics: &mut diagnostics,
            };
            // Without the names of the rules, nearly every line of a test would be an error.
            if usable.is_some() || !documents.is_empty() {
                reader.tests(root)
            } else {
                Vec::new()
            }
        };
        let rules = match rules {
            Ok(rules) => rules,
            Err(of_rules) => {
                return Err(NotLoaded {
                    of_tests: diagnostics.sorted(),
                    of_rules,
                });
            }
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

/// The names of the rules of files that cannot be used.
fn written_names(documents: &[Document]) -> Vec<&str> {
    let lists = documents
        .iter()
        .filter_map(|document| document.root().given("rules"));
    let rules = lists.flat_map(|list| list.items());
    rules.filter_map(|rule| rule.given("name")?.as_str()).collect()
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
        if root.value().is_sequence() {
            let diagnostic = root.error("wrong-value", "a test file is a mapping");
            diagnostics.push(diagnostic.hint("write `tests:` above the list"));
        } else if read::keys(root, &[KEYS.as_slice(), &ignored].concat(), diagnostics) {
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

    /// Loads the rules, with their texts. Secrets that are missing are reported at `secrets` of the
    /// test file.
    fn rules(
        &self,
        root: Node<'_>,
        diagnostics: &mut Diagnostics,
    ) -> (Result<RuleSet, Diagnostics>, Vec<Document>) {
        if self.rules_path.as_os_str().is_empty() {
            return (Err(Diagnostics::new()), Vec::new());
        }
        let text = match config::read(&self.rules_path) {
            Ok(text) => text,
            Err(found) => return (Err([found].into_iter().collect()), Vec::new()),
        };
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
        let mut outcome = outcome.map_err(errors);
        if let Ok(rules) = &mut outcome {
            for (name, origin) in &self.enable {
                if !rules.enable(name) {
                    let known = rule_names(rules);
                    diagnostics.push(unknown(origin.clone(), "unknown-rule", "rule", name, known));
                }
            }
        }
        (outcome, documents)
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
