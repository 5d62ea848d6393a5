//! Errors of a query line, with their place.

use std::fmt;
use std::ops::Range;

use schemars::JsonSchema;
use serde::Serialize;

use super::FILTERS;
use crate::base::diagnostic::did_you_mean;
use crate::base::network;
use crate::event::ArrivalOutcome;
use crate::history::DeliveryStatus;

/// The reason why a query line is not understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct QueryError {
    pub message: String,
    /// Advice. Null if there is none.
    pub hint: Option<String>,
    /// Column of the first wrong character, from 1.
    pub column: usize,
    /// Number of wrong characters.
    pub length: usize,
}

impl QueryError {
    /// `range` are the wrong bytes of `line`.
    pub(super) fn new(line: &str, range: Range<usize>, message: impl Into<String>) -> Self {
        let characters = |range: Range<usize>| line.get(range).unwrap_or_default().chars().count();
        Self {
            message: message.into(),
            hint: None,
            column: characters(0..range.start) + 1,
            length: characters(range),
        }
    }

    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The error of a term without a name. Guesses the filter that was meant.
    pub(super) fn without_name(line: &str, range: Range<usize>) -> Self {
        let word = line.get(range.clone()).unwrap_or_default();
        let meant = match word {
            _ if word.parse::<ArrivalOutcome>().is_ok() => Some("outcome"),
            _ if word.parse::<DeliveryStatus>().is_ok() => Some("state"),
            _ if word.starts_with('/') => Some("endpoint"),
            _ if network::parse(word).is_some() => Some("client"),
            _ => None,
        };
        let hint = match meant {
            Some(name) => format!("write `{name}:{word}`"),
            None if word.starts_with('$') && word.contains(':') => {
                "a bracket or a quote of the path is not closed".to_owned()
            }
            None if word.starts_with('$') => format!("write `{word}:VALUE`"),
            None => match did_you_mean(word, FILTERS.map(|(name, _)| name)) {
                Some(name) => format!("write `{name}:VALUE`"),
                None => "a filter is NAME:VALUE, such as `rule:deploy`; a value with blanks is in quotes"
                    .to_owned(),
            },
        };
        Self::new(line, range, format!("`{word}` is no filter")).hint(hint)
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for QueryError {}
