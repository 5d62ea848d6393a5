//! Secrets in the text of a rules file, and the text without them.
//!
//! Masked are the secrets that are written out, values whose key suggests a credential, and
//! credentials in URLs. A secret inside a command cannot be told from the rest of it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::base::yaml::{Document, Node};
use crate::matching::suggests_credential;

/// Replaces a masked value.
pub const MASK: &str = "[redacted]";
/// Minimum length in bytes of a secret that is masked wherever it stands, also in a comment.
const LONG_SECRET: usize = 8;
/// Keys below which secrets may stand without a key of their own.
const OF_SECRETS: [&str; 4] = ["verify", "schemes", "sign", "admin"];

/// Ranges in a text that are masked: beginnings with their ends.
pub type Masks = BTreeMap<usize, usize>;

/// Finds what is masked. `literals` are the secrets that are written out.
pub fn masks(document: &Document, literals: &BTreeSet<String>) -> Masks {
    find(document, literals, false)
}

fn find(document: &Document, literals: &BTreeSet<String>, is_strict: bool) -> Masks {
    let mut masks = Masks::new();
    let masking = Masking {
        literals,
        text: document.text(),
        is_strict,
    };
    masking.walk(document.root(), Place::Plain, &mut masks);
    masks
}

/// The place of a value, as far as it decides what is masked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Plain,
    /// Below `match`.
    Conditions,
    /// Below a key that suggests a credential, in conditions.
    QuietConditions,
    /// The value of a key that suggests a credential, or of `secret`.
    Quiet,
}

struct Masking<'m> {
    literals: &'m BTreeSet<String>,
    text: &'m str,
    /// True if everything below [`OF_SECRETS`] is masked.
    is_strict: bool,
}

impl Masking<'_> {
    /// Collects the ranges to be masked.
    fn walk(&self, node: Node<'_>, place: Place, masks: &mut BTreeMap<usize, usize>) {
        for (key, child) in node.entries() {
            let is_quiet = suggests_credential(key);
            let below = match place {
                // Settings of a secret, and no secrets.
                _ if key == "not_after" || key.ends_with("_encoding") => Place::Plain,
                _ if self.is_strict && OF_SECRETS.contains(&key) => Place::Quiet,
                Place::QuietConditions => Place::QuietConditions,
                Place::Conditions if is_quiet => Place::QuietConditions,
                Place::Conditions => Place::Conditions,
                Place::Plain | Place::Quiet if key == "match" => Place::Conditions,
                Place::Plain | Place::Quiet if key.starts_with("secret") => Place::Quiet,
                Place::Plain | Place::Quiet if is_quiet && !child.is_mapping() => Place::Quiet,
                Place::Quiet => Place::Quiet,
                Place::Plain => Place::Plain,
            };
            self.walk(child, below, masks);
        }
        for item in node.items() {
            self.walk(item, place, masks);
        }
        if node.is_mapping() || !node.items().is_empty() {
            return;
        }
        let range = node.range();
        let written = self.text.get(range.clone()).unwrap_or_default().trim_end();
        let value = node.as_str().unwrap_or(written);
        let is_quiet = matches!(place, Place::Quiet | Place::QuietConditions) && !is_named(value);
        if written.is_empty() {
            return;
        }
        let masked = if is_quiet || self.literals.contains(value) {
            0..written.len()
        } else if let Some(credentials) = credentials_in(written) {
            credentials
        } else {
            return;
        };
        masks.insert(range.start + masked.start, range.start + masked.end);
    }
}

/// True if a text names a source or a template rather than a secret.
fn is_named(text: &str) -> bool {
    let sources = ["env:", "file:", "credential:"];
    sources.iter().any(|source| text.starts_with(source))
        || text.contains("{{")
        || text == "none"
        || text.parse::<bool>().is_ok()
}

/// The user and the password in a URL.
fn credentials_in(text: &str) -> Option<Range<usize>> {
    let start = text.find("://")? + "://".len();
    let rest = text.get(start..)?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let end = authority.rfind('@')?;
    Some(start..start + end)
}

/// A part of a text, masked.
pub fn masked(text: &str, range: Range<usize>, masks: &Masks, literals: &BTreeSet<String>) -> String {
    let mut shown = String::new();
    let (mut at, end) = (range.start, range.end);
    for (from, to) in masks.range(range) {
        if *from < at {
            continue;
        }
        shown.push_str(text.get(at..*from).unwrap_or_default());
        shown.push_str(MASK);
        at = *to;
    }
    shown.push_str(text.get(at.min(end)..end).unwrap_or_default());
    without(&shown, literals)
}

/// The text without these secrets. Short ones are left where they are: they may be any word.
pub fn without(text: &str, secrets: &BTreeSet<String>) -> String {
    let mut shown = text.to_owned();
    for secret in secrets.iter().filter(|secret| secret.len() >= LONG_SECRET) {
        if shown.contains(secret.as_str()) {
            shown = shown.replace(secret.as_str(), MASK);
        }
    }
    shown
}

/// The whole text of a file, and the values that are masked in it. `is_strict`: the file does not
/// load, so `literals` may lack some secrets.
pub fn masked_file(
    document: &Document,
    literals: &BTreeSet<String>,
    is_strict: bool,
) -> (String, BTreeSet<String>) {
    let text = document.text();
    let masks = find(document, literals, is_strict);
    let ranges = masks.iter().filter_map(|(from, to)| text.get(*from..*to));
    let quotes = |letter: char| letter == '"' || letter == '\'';
    let values = ranges.map(|written| written.trim_matches(quotes).to_owned());
    let secrets: BTreeSet<String> = values.chain(literals.iter().cloned()).collect();
    let masked = masked(text, 0..text.len(), &masks, &secrets);
    (comments_masked(&masked), secrets)
}

/// Masks values in comments: a setting with a secret may have been commented out.
fn comments_masked(text: &str) -> String {
    let lines = text.split_inclusive('\n').map(|line| {
        let Some(at) = comment(line) else {
            return line.to_owned();
        };
        let words = line.get(at..).unwrap_or_default().match_indices(':');
        let secret = words.map(|(colon, _)| at + colon).find(|colon| {
            let before = line.get(at..*colon).unwrap_or_default();
            let word = before
                .rsplit([' ', '{', ',', '#', '"', '\''])
                .next()
                .unwrap_or_default();
            let value = line.get(colon + 1..).unwrap_or_default().trim();
            let is_secret = word == "verify" || word.starts_with("secret") || suggests_credential(word);
            is_secret && !value.is_empty() && !is_named(value.trim_matches(['{', '[', '"', '\'']))
        });
        let Some(colon) = secret else {
            return line.to_owned();
        };
        let end = if line.ends_with('\n') { "\n" } else { "" };
        format!("{}: {MASK}{end}", line.get(..colon).unwrap_or_default())
    });
    lines.collect()
}

/// Place of the comment in a line.
fn comment(line: &str) -> Option<usize> {
    let is_whole = line.trim_start().starts_with('#');
    if is_whole { line.find('#') } else { line.find(" #") }
}
