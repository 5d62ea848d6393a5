//! A copy of the rules file that a person edits and tries: the text with its secrets masked, and the
//! rules that an edited copy means.
//!
//! Nothing of this machine is read but the rules file and what it includes. A copy may include only
//! what the rules in force include: otherwise its diagnostics could show any file that the daemon
//! can read.

use std::collections::BTreeSet;
use std::path::Path;

use super::{include, masking, pretended_values, source};
use crate::base::diagnostic::{Diagnostic, Diagnostics, Origin, Severity, Source};
use crate::base::include::Include;
use crate::base::yaml::Document;
use crate::rules::RuleSet;

/// The rules file for a person who edits a copy of it.
#[derive(Debug)]
pub struct RulesCopy {
    /// The text with its secrets masked.
    pub text: String,
    /// [`RuleSet::sha256`] of the file. `None` if it does not load.
    pub sha256: Option<String>,
    secrets: BTreeSet<String>,
}

impl RulesCopy {
    /// Reads the file. The error is the reason why its text cannot be shown.
    pub fn read(path: &Path) -> Result<Self, String> {
        Self::of(path, source::read(path).map_err(|error| error.line())?)
    }

    fn of(path: &Path, text: String) -> Result<Self, String> {
        let (loaded, literals) = pretended_values::load(path, &text);
        let sha256 = loaded.outcome.ok().map(|rules| rules.sha256);
        let is_strict = sha256.is_none();
        let source = Source {
            path: path.to_owned(),
            text,
        };
        let main = Document::parse(source, &mut Diagnostics::new());
        let main =
            main.ok_or("the rules file is not YAML, so its secrets cannot be told from the rest of it")?;
        let (text, mut secrets) = masking::masked_file(&main, &literals, is_strict);
        for included in loaded.documents.iter().skip(1) {
            secrets.extend(masking::masked_file(included, &literals, is_strict).1);
        }
        Ok(Self {
            text,
            sha256,
            secrets,
        })
    }

    /// The text without the secrets of the file.
    pub fn without_secrets(&self, text: &str) -> String {
        masking::without(text, &self.secrets)
    }
}

/// Compiles an edited copy of the file at `path`, whose rules in force include `includes`. The error
/// is the text of the diagnostics, which point into the copy.
pub fn load_copy(path: &Path, text: &str, includes: &[Include]) -> Result<RuleSet, String> {
    let source = Source {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    let known = |named: &Include| includes.iter().any(|include| include.path() == named.path());
    if let Some(other) = include::named(path, source).iter().find(|named| !known(named)) {
        let message = format!(
            "the copy includes `{}`, which the rules in force do not include",
            other.path().display()
        );
        return Err(Diagnostic::unplaced("include", message).render(false));
    }
    let (loaded, _) = pretended_values::load(path, text);
    loaded.outcome.map_err(|diagnostics| {
        let errors = diagnostics.iter().filter(|one| one.severity == Severity::Error);
        let rendered: Vec<String> = errors.map(|one| rendered(one, path)).collect();
        rendered.join("\n\n")
    })
}

/// A diagnostic as text. Lines of other files are not shown, because they may have secrets.
fn rendered(diagnostic: &Diagnostic, path: &Path) -> String {
    let is_of_copy = |origin: &Origin| origin.path() == path;
    if diagnostic.origin.as_ref().is_none_or(is_of_copy) {
        pretended_values::masked_again(&diagnostic.render(false))
    } else {
        diagnostic.line()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# secret: forgotten-1
# verify: {github: forgotten-2}
admin: {password: "$pbkdf2-sha256$i=100000,l=32$MDEyMzQ1Njc4OWFiY2RlZg$hLne8TouGCTQgICXM2UlnguGPFJk6wzUwaafCbSR+18"}
rules:
  - name: a
    endpoint: /a
    verify: {github: shorthand-1}
    match: {header.X-Token: {equals: compared-1}}
    actions: [{forward: {url: "https://example.com/x", headers: {Authorization: "Bearer sent-1"}}}]
  - name: b
    endpoint: /b
    verify: {hmac: {header: X-Sig, secret: [{secret: "quoted-1", not_after: "2999-12-31"}, env:OTHER], secret_encoding: utf8}}
    actions: [{run: [/bin/true, shorthand-1]}]
  - name: c
    endpoint: /c
    verify: {discord: "5866666666666666666666666666666666666666666666666666666666666666"}
    actions: [{append: c.jsonl}]
  - name: d
    endpoint: /d
    verify: {standard: whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=}
    actions: [{append: d.jsonl}]
  - {name: n, endpoint: /n, verify: none, actions: [{append: n.jsonl}]}
"#;

    /// Everything that must not be shown.
    const SECRETS: [&str; 8] = [
        "forgotten-1",
        "forgotten-2",
        "pbkdf2",
        "shorthand-1",
        "compared-1",
        "sent-1",
        "quoted-1",
        "MDEyMzQ1",
    ];

    #[test]
    fn no_secret_is_in_the_text_and_the_text_loads_again() {
        let path = Path::new("rules.yaml");
        let copy = RulesCopy::of(path, TEXT.to_owned()).unwrap();
        assert!(
            copy.sha256.is_some(),
            "{}",
            load_copy(path, TEXT, &[]).unwrap_err()
        );
        for secret in SECRETS {
            assert!(!copy.text.contains(secret), "{secret}: {}", copy.text);
        }
        assert_eq!(copy.text.lines().count(), TEXT.lines().count());
        assert!(copy.text.contains("not_after: \"2999-12-31\""), "{}", copy.text);
        let rules = load_copy(path, &copy.text, &[]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(rules.names.len(), 5);
        assert_eq!(copy.without_secrets("it says shorthand-1"), "it says [redacted]");
    }

    #[test]
    fn no_secret_is_in_the_text_of_a_file_that_does_not_load() {
        let path = Path::new("rules.yaml");
        for (from, to) in [
            ("rules:\n", "nonsense: 1\nrules:\n"),
            ("name: a\n", "name: a\n    actons: []\n"),
            ("/b\n", "b\n"),
        ] {
            let copy = RulesCopy::of(path, TEXT.replace(from, to)).unwrap();
            assert!(copy.sha256.is_none(), "{to}");
            for secret in SECRETS {
                assert!(!copy.text.contains(secret), "{secret}: {}", copy.text);
            }
        }
        let failed = RulesCopy::of(path, "rules: [".to_owned()).unwrap_err();
        assert!(failed.contains("not YAML"), "{failed}");
    }

    #[test]
    fn diagnostics_point_into_the_copy_as_it_is_shown() {
        let copy = RulesCopy::of(Path::new("rules.yaml"), TEXT.to_owned()).unwrap();
        let text = copy.text.replace("secret_encoding", "secret_encodin");
        let failed = load_copy(Path::new("rules.yaml"), &text, &[]).unwrap_err();
        assert!(failed.contains("secret: [redacted]"), "{failed}");
        assert!(failed.contains("^^^^^^^^^^^^^^"), "{failed}");
        assert_eq!(failed.matches("error").count(), 1, "{failed}");
    }

    #[test]
    fn a_copy_includes_nothing_that_the_rules_do_not_include() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("other.yaml"), "of-the-other: [").unwrap();
        let path = folder.path().join("rules.yaml");
        for text in [
            "include: [other.yaml]\nrules: []\n",
            "include: ./other.yaml\n",
            "include: ['*.yaml']\n",
        ] {
            let failed = load_copy(&path, text, &[]).unwrap_err();
            assert!(failed.contains("do not include"), "{failed}");
            assert!(!failed.contains("of-the-other"), "{failed}");
        }
        let known = Include::new(folder.path().join("other.yaml")).unwrap();
        let failed = load_copy(&path, "include: [other.yaml]\nrules: []\n", &[known]).unwrap_err();
        assert!(!failed.contains("of-the-other"), "{failed}");
    }
}
