//! Values that stand for secrets which are not read: for a copy of the rules file that is tried.
//!
//! A scheme may want text, Base64, or a public key. The kind is found by trying: a diagnostic at a
//! secret takes the next value.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use super::masking::MASK;
use super::pretended::{PretendedRules, load_with_literals};
use crate::base::diagnostic::{Diagnostic, Diagnostics, Origin, Severity};
use crate::base::secret::Secret;

/// Values in the order in which they are tried: 32 bytes in Base64, which are an Ed25519 key, too,
/// the same in hex, an RSA key and a key on P-256. Nothing is signed with any of them.
const VALUES: [&str; 4] = [
    "WGZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmY=",
    "5866666666666666666666666666666666666666666666666666666666666666",
    "-----BEGIN PUBLIC KEY-----\n\
     MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAyQemJJel+oTT2jgPeNZm\n\
     MyJMCxEsFbwBZ5MRJEUKR2KLF6q35HvObYsDWLGS5XvkVDEI1LWeXXaHNauVZgQ5\n\
     9ev5bFSG68aR6xyvpmP8wcW8liT9wy7by7JB6gM7VsFAz/ZbIauRyvoh9DtuTtBP\n\
     y+USBLHVBQRD/JjnKqUgnpbi2itQ9oOaG71WfFu5SkW3YFa0Qk9qwCHv1hX/K0G7\n\
     TtdqRA5yY3ld/kSgkoomw3T7M4QscCF9ekoJmrMy5K/aWUIkAJbOvOLjrPQawycZ\n\
     8hnSAQ473qlkWflfHhwfvrUFU/xhBG9saku0wx+PVvuQsB7FE3zUUn9P3Go9yCW4\n\
     zQIDAQAB\n\
     -----END PUBLIC KEY-----\n",
    "-----BEGIN PUBLIC KEY-----\n\
     MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEDj9/ehvHh6jzlNw6o9GGADg5K4tC\n\
     XaT5r6jjLP67o6YiPTy4I/2ceRRENGbTLDMkH2NQhYJMUeUsYlCMPvlBRA==\n\
     -----END PUBLIC KEY-----\n",
];
/// Index of the value that is tried first for a file with a key.
const RSA: usize = 2;
/// Endings of such files.
const KEY_FILES: [&str; 4] = [".pem", ".pub", ".crt", ".key"];
/// Maximum compilations of one text.
const ROUNDS: usize = 6;
/// Texts that stand for [`MASK`] at first: both have its length, so that places stay right.
const STANDINS: [&str; 2] = ["'redacted'", "_redacted_"];

/// Compiles a text with a pretended value for each secret that it names, and for each [`MASK`] in
/// it. Also returns the secrets that are written out.
pub fn load(path: &Path, text: &str) -> (PretendedRules, BTreeSet<String>) {
    let mut values = Values {
        masks: vec![0; text.matches(MASK).count()],
        sources: BTreeMap::new(),
    };
    let mut round = 1;
    loop {
        let (written, ranges) = values.written(text);
        let loaded = load_with_literals(path, written, values.secrets());
        let is_better = round < ROUNDS && values.improve(path, &loaded.0, &ranges);
        if !is_better {
            return if loaded.0.outcome.is_ok() {
                loaded
            } else {
                values.with_places(path, text).unwrap_or(loaded)
            };
        }
        round += 1;
    }
}

/// Text of a diagnostic, with [`MASK`] in place of what stood for it.
pub fn masked_again(rendered: &str) -> String {
    let values = VALUES.iter().map(|value| value.trim_end());
    let all = STANDINS.into_iter().chain(values);
    all.fold(rendered.to_owned(), |text, value| text.replace(value, MASK))
}

/// Indices of the values in use.
struct Values {
    /// Of each mask, in the order of the text.
    masks: Vec<usize>,
    /// Of each source.
    sources: BTreeMap<String, usize>,
}

impl Values {
    fn secrets(&self) -> BTreeMap<String, Secret> {
        let secrets = self.sources.iter().map(|(source, index)| {
            let value = VALUES.get(*index).copied().unwrap_or_default();
            (source.clone(), Secret::new(value.as_bytes().to_vec()))
        });
        secrets.collect()
    }

    /// The text with its values in place of the masks, and where those stand.
    fn written(&self, text: &str) -> (String, Vec<Range<usize>>) {
        let (mut written, mut ranges, mut at) = (String::new(), Vec::new(), 0);
        for ((start, _), index) in text.match_indices(MASK).zip(&self.masks) {
            written.push_str(text.get(at..start).unwrap_or_default());
            at = start + MASK.len();
            let is_bare = written.ends_with(['"', '\'', '/'])
                || text.get(at..).is_some_and(|rest| rest.starts_with('@'));
            let from = written.len();
            match (index, is_bare) {
                (0, false) => written.push_str(STANDINS[0]),
                (0, true) => written.push_str(STANDINS[1]),
                (index, _) => {
                    let value = VALUES
                        .get(index - 1)
                        .copied()
                        .unwrap_or_default()
                        .replace('\n', "\\n");
                    let quote = if is_bare { "" } else { "\"" };
                    written.extend([quote, &value, quote]);
                }
            }
            ranges.push(from..written.len());
        }
        written.push_str(text.get(at..).unwrap_or_default());
        (written, ranges)
    }

    /// Adds the missing sources, and takes the next value where the last one was wrong. False if
    /// there is nothing to change.
    fn improve(&mut self, path: &Path, loaded: &PretendedRules, masks: &[Range<usize>]) -> bool {
        let mut is_changed = false;
        for source in &loaded.missing {
            let is_key = KEY_FILES.iter().any(|ending| source.ends_with(ending));
            let first = if is_key { RSA } else { 0 };
            is_changed |= self.sources.insert(source.clone(), first).is_none();
        }
        let Err(diagnostics) = &loaded.outcome else {
            return false;
        };
        if is_changed {
            return true;
        }
        for error in diagnostics.iter().filter(|one| one.severity == Severity::Error) {
            if let Some(mask) = mask_of(error, path, masks).and_then(|index| self.masks.get_mut(index)) {
                *mask = (*mask + 1) % (VALUES.len() + 1);
                is_changed = true;
            }
            let text = error.origin.as_ref().map(Origin::text).unwrap_or_default();
            let source = text.trim_matches(['"', '\'']);
            if let Some(index) = self.sources.get_mut(source) {
                *index = (*index + 1) % VALUES.len();
                is_changed = true;
            }
        }
        is_changed
    }

    /// Compiles a text that does not load once more, so that the places of its diagnostics are those
    /// in `text`. What is wrong about a mask is no fault of the text. `None` if nothing else is.
    fn with_places(&mut self, path: &Path, text: &str) -> Option<(PretendedRules, BTreeSet<String>)> {
        if self.masks.iter().all(|index| *index == 0) {
            return None;
        }
        self.masks.fill(0);
        let (written, ranges) = self.written(text);
        let (mut loaded, literals) = load_with_literals(path, written, self.secrets());
        let diagnostics = loaded.outcome.err()?;
        let others = diagnostics
            .iter()
            .filter(|one| mask_of(one, path, &ranges).is_none());
        loaded.outcome = Err(others.cloned().collect());
        loaded
            .outcome
            .as_ref()
            .is_err_and(Diagnostics::has_errors)
            .then_some((loaded, literals))
    }
}

/// Index of the mask at which a diagnostic is.
fn mask_of(diagnostic: &Diagnostic, path: &Path, masks: &[Range<usize>]) -> Option<usize> {
    let origin = diagnostic
        .origin
        .as_ref()
        .filter(|origin| origin.path() == path)?;
    let range = origin.range();
    masks
        .iter()
        .position(|mask| mask.start <= range.start && range.start < mask.end)
}
