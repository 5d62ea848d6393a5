//! Explanations of why a rule did or did not match. Long values are shortened, secret ones
//! redacted.

use std::fmt;
use std::io;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::answer::Ternary;
use super::facts::SelectedValues;
use super::reading::Reading;
use super::selected::{Selected, SelectedValue};
use super::selector::Selector;
use super::term::Term;

/// Maximum length of a shown value, in characters.
const SHOWN: usize = 200;
/// Replaces a value that may be a credential.
const REDACTED: &str = "[redacted]";

/// The reason why a rule did or did not match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Explanation {
    pub matched: bool,
    /// The first condition, in the order of the file, that was not true.
    pub failed: Option<Miss>,
    /// Number of the rule's conditions that held.
    pub held: usize,
}

/// A condition that was not true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Miss {
    /// The selector as written in the rules file; for a group, `any` or `not`.
    pub selector: String,
    /// The expected value, as JSON.
    pub expected: String,
    /// The actual value, as JSON, shortened; `nothing` if the selector selected nothing.
    pub found: String,
    /// True if the condition was undecidable: nothing was selected, or a value of the wrong type.
    pub unknown: bool,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.failed {
            None => f.write_str("every condition holds"),
            Some(miss) => miss.fmt(f),
        }
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: expected {}, found {}",
            self.selector, self.expected, self.found
        )
    }
}

impl Explanation {
    /// Explains the terms of one rule.
    pub(super) fn of(terms: &[Term], facts: &SelectedValues<'_, '_>) -> Self {
        let mut held = 0;
        let mut failed = None;
        for term in terms {
            match term.answer(facts) {
                Ternary::True => held += 1,
                answer if failed.is_none() => failed = Some(miss(term, answer, facts)),
                _ => {}
            }
        }
        Self {
            matched: failed.is_none(),
            failed,
            held,
        }
    }
}

fn miss(term: &Term, answer: Ternary, facts: &SelectedValues<'_, '_>) -> Miss {
    let (selector, written) = match term {
        Term::Test(test) => {
            let selector = facts
                .selector(test.slot)
                .map(|selector| selector.written.as_str());
            (selector.unwrap_or_default(), test.written.as_str())
        }
        Term::Any(group) => ("any", group.written.as_str()),
        Term::Not(group) => ("not", group.written.as_str()),
        Term::All(_) => ("all", ""),
    };
    let mut quiet = false;
    term.each_test(&mut |test| {
        quiet |= facts.selector(test.slot).is_some_and(Selector::is_quiet);
    });
    Miss {
        selector: selector.to_owned(),
        expected: if quiet { REDACTED } else { written }.to_owned(),
        found: found(term, facts),
        unknown: answer == Ternary::Unknown,
    }
}

/// The values that a test found. For a group, the values of each test with its selector.
fn found(term: &Term, facts: &SelectedValues<'_, '_>) -> String {
    let mut text = ShownText::default();
    let named = !matches!(term, Term::Test(_));
    term.each_test(&mut |test| {
        if text.is_full() {
            return;
        }
        let Some(selector) = facts.selector(test.slot) else {
            return;
        };
        if named {
            let separator = if text.bytes.is_empty() { "" } else { "; " };
            text.push(&format!("{separator}{}: ", selector.written));
        }
        if facts.fault(test.slot).is_some() {
            text.push("a payload that cannot be read");
            return;
        }
        match facts.found(test.slot) {
            selected if selector.is_quiet() && !selected.values().is_empty() => text.push(REDACTED),
            selected => show(selected, test.reading(), &mut text),
        }
    });
    text.finish()
}

/// Writes the values. Those that `as` cannot read are marked.
fn show(selected: &Selected<'_>, reading: Option<Reading>, text: &mut ShownText) {
    if selected.values().is_empty() {
        text.push("nothing");
    }
    for (place, value) in selected.values().iter().enumerate() {
        if text.is_full() {
            break;
        }
        if place > 0 {
            text.push(", ");
        }
        match value {
            SelectedValue::Text(value) => text.json(value),
            SelectedValue::Json(value, integers) => text.json(&integers.exactly(value)),
            SelectedValue::Opaque => text.push("bytes that are not UTF-8"),
        }
        if let Some(reading) = reading.filter(|reading| reading.read(value).is_none()) {
            text.push(&format!(" (not a {})", reading.name()));
        }
    }
}

/// A value as JSON, shortened.
pub(super) fn shortened(value: &Value) -> String {
    let mut text = ShownText::default();
    text.json(value);
    text.finish()
}

/// A text buffer that stops at its limit, so that a large value is never serialized whole.
#[derive(Default)]
struct ShownText {
    bytes: Vec<u8>,
}

impl ShownText {
    /// Maximum length in bytes: a character has at most four.
    const BYTES: usize = 4 * (SHOWN + 1);

    fn is_full(&self) -> bool {
        self.bytes.len() >= Self::BYTES
    }

    fn push(&mut self, text: &str) {
        let remaining = Self::BYTES.saturating_sub(self.bytes.len());
        self.bytes.extend(text.bytes().take(remaining));
    }

    fn json<T: Serialize + ?Sized>(&mut self, value: &T) {
        // Fails when the buffer is full, which ends serialization early.
        serde_json::to_writer(self, value).ok();
    }

    fn finish(self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let mut shown: String = text.chars().take(SHOWN).collect();
        if text.chars().count() > SHOWN {
            shown.pop();
            shown.push('…');
        }
        shown
    }
}

impl io::Write for ShownText {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let remaining = Self::BYTES.saturating_sub(self.bytes.len()).min(bytes.len());
        self.bytes.extend(bytes.iter().take(remaining));
        // Writing 0 bytes is an error to the serializer, which then stops.
        Ok(remaining)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_shown_shortened() {
        assert_eq!(shortened(&json!({"a": [1, "é"]})), r#"{"a":[1,"é"]}"#);
        for long in [
            json!("é".repeat(100_000)),
            json!(vec![1; 100_000]),
            json!("\u{1F600}".repeat(5000)),
        ] {
            let shown = shortened(&long);
            assert_eq!(shown.chars().count(), SHOWN);
            assert!(shown.ends_with('…'), "{shown}");
            assert!(!shown.contains('\u{FFFD}'), "{shown}");
        }
    }
}
