//! Expectations that do not hold, with what was found.

use super::expect::At;
use super::read::Place;
use super::text_test::TextTest;
use crate::base::diagnostic::Diagnostic;

/// An expectation that does not hold.
#[derive(Clone, Debug)]
pub struct Failure {
    pub place: Place,
    /// The thing that is not as expected, such as `rules`.
    pub what: String,
    pub expected: String,
    pub found: String,
    pub hint: Option<String>,
    /// YAML that states what was found, in place of the expectation.
    pub replacement: Option<String>,
}

/// All failures of a test.
#[derive(Debug, Default)]
pub(super) struct Failures(pub Vec<Failure>);

impl Failure {
    /// The failure as a diagnostic at the place of the expectation.
    pub fn diagnostic(&self) -> Diagnostic {
        let Self {
            what,
            expected,
            found,
            ..
        } = self;
        let message = if expected.is_empty() {
            format!("{what}: {found}")
        } else {
            format!("{what}: expected {expected}, found {found}")
        };
        let diagnostic = Diagnostic::error(self.place.origin.clone(), "test", message);
        match &self.hint {
            Some(hint) => diagnostic.hint(hint.clone()),
            None => diagnostic,
        }
    }
}

impl Failures {
    pub fn push(&mut self, failure: Failure) {
        self.0.push(failure);
    }

    /// Adds a failure that no other value can mend.
    pub fn add(&mut self, place: &Place, what: &str, expected: String, found: String) {
        self.push(Failure {
            place: place.clone(),
            what: what.to_owned(),
            expected,
            found,
            hint: None,
            replacement: None,
        });
    }

    /// Compares a scalar.
    pub fn scalar<T: PartialEq + ToString>(&mut self, what: &str, expected: Option<&At<T>>, found: &T) {
        let Some((expected, place)) = expected.filter(|(expected, _)| expected != found) else {
            return;
        };
        self.push(Failure {
            place: place.clone(),
            what: what.to_owned(),
            expected: format!("`{}`", expected.to_string()),
            found: format!("`{}`", found.to_string()),
            hint: None,
            replacement: Some(super::yaml::scalar(&found.to_string())),
        });
    }

    /// Compares a text.
    pub fn text(&mut self, what: &str, expected: Option<&TextTest>, found: Option<&[u8]>) {
        let Some(expected) = expected else { return };
        let Some(found) = found else {
            return self.add(&expected.place, what, "a value".to_owned(), "none".to_owned());
        };
        if let Err(miss) = expected.check(found) {
            let replacement = expected
                .is_text()
                .then(|| std::str::from_utf8(found).ok())
                .flatten();
            self.push(Failure {
                place: expected.place.clone(),
                what: what.to_owned(),
                expected: miss.expected,
                found: miss.found,
                hint: None,
                replacement: replacement.map(super::yaml::text),
            });
        }
    }
}
