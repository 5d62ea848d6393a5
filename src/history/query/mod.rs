//! Searches for arrivals, also in one line: `outcome:ignored rule:deploy since:2h
//! $.ref:refs/heads/main`.
//!
//! All terms must hold. Those of [`FILTERS`] are answered by the store's columns. Selectors of
//! `match` compare as `match` does, and each request must be read for them.

mod error;
mod lexer;
mod since;
mod suggest;
#[cfg(test)]
mod tests;

use std::fmt::Display;

pub use self::error::QueryError;
use self::lexer::{Term, Value, is_selector, terms};
pub use self::since::Since;
pub use self::suggest::{KnownNames, Suggestion, suggestions};
use crate::base::clock::Timestamp;
use crate::base::diagnostic::{Diagnostics, Source, did_you_mean};
use crate::base::network;
use crate::base::yaml::Document;
use crate::event::ArrivalOutcome;
use crate::history::stored::stored;
use crate::history::{DeliveryStatus, EventNames};
use crate::matching::{Condition, Matcher};
use crate::store::{ArrivalFilter, History, ListedArrival, StoreError};

/// Maximum bytes of a query line.
const LINE: usize = 4096;
/// Maximum selectors of a query line.
const SELECTORS: usize = 16;

/// Names of the filters, each with its meaning.
pub const FILTERS: [(&str, &str); 8] = [
    ("outcome", "what became of the arrival"),
    ("rule", "a delivery was made to this rule"),
    ("endpoint", "the endpoint, as the rules file writes it"),
    ("state", "a delivery is in this state"),
    ("client", "the client's address, or its network"),
    ("event", "the sender's name of the event"),
    ("since", "received within this duration, or since this time"),
    ("until", "received before this time"),
];

/// A search for arrivals.
#[derive(Debug, Default)]
pub struct Query {
    /// The filter that the store applies.
    pub filter: ArrivalFilter,
    /// The sender's name of the event.
    pub event_name: Option<String>,
    /// Conditions, of which all must hold.
    condition: Option<Matcher>,
    /// Number of the conditions.
    conditions: usize,
}

impl Query {
    /// A search by columns, and by a condition if one is given.
    pub fn new(filter: ArrivalFilter, condition: Option<Condition>) -> Self {
        Self {
            filter,
            event_name: None,
            conditions: usize::from(condition.is_some()),
            condition: condition.map(|condition| Matcher::new(vec![condition])),
        }
    }

    /// Parses a query line. `now` is the end of durations.
    pub fn parse(line: &str, now: Timestamp) -> Result<Self, QueryError> {
        if line.len() > LINE {
            return Err(QueryError::new(
                line,
                0..line.len(),
                format!("the line is longer than {LINE} bytes"),
            ));
        }
        let mut query = Self::default();
        let mut conditions = Vec::new();
        for term in terms(line)? {
            if is_selector(term.name) {
                if conditions.len() >= SELECTORS {
                    return Err(QueryError::new(
                        line,
                        term.name_at,
                        format!("there are more than {SELECTORS} selectors"),
                    ));
                }
                conditions.push(condition(line, &term)?);
            } else {
                query.set(line, &term, now)?;
            }
        }
        query.conditions = conditions.len();
        query.condition = (!conditions.is_empty()).then(|| Matcher::new(conditions));
        Ok(query)
    }

    /// True if every arrival is wanted.
    pub fn is_empty(&self) -> bool {
        let ArrivalFilter {
            outcome,
            endpoint,
            rule,
            state,
            client,
            since,
            until,
        } = &self.filter;
        outcome.is_none()
            && endpoint.is_none()
            && rule.is_none()
            && state.is_none()
            && client.is_none()
            && since.is_none()
            && until.is_none()
            && !self.reads_requests()
    }

    /// True if each request must be read.
    pub fn reads_requests(&self) -> bool {
        self.condition.is_some() || self.event_name.is_some()
    }

    /// True if the search has a condition.
    pub fn has_condition(&self) -> bool {
        self.condition.is_some()
    }

    /// True if an arrival that the store has found meets the conditions.
    pub fn wants(
        &self,
        history: &History,
        names: &EventNames,
        arrival: &ListedArrival,
    ) -> Result<bool, StoreError> {
        if let Some(wanted) = &self.event_name
            && names.of_listed(history, arrival)?.as_ref() != Some(wanted)
        {
            return Ok(false);
        }
        let Some(condition) = &self.condition else {
            return Ok(true);
        };
        let event = stored(history, arrival.id)?.and_then(|stored| stored.event().ok());
        Ok(event.is_some_and(|event| condition.matching(&event, &|_| true).len() == self.conditions))
    }

    /// Sets a filter of the store.
    fn set(&mut self, line: &str, term: &Term<'_>, now: Timestamp) -> Result<(), QueryError> {
        let text = term.value.text();
        let wrong = |message: &dyn Display| QueryError::new(line, term.value_at.clone(), message.to_string());
        let when = || {
            Since::parse(text)
                .map(|when| when.at(now))
                .map_err(|error| wrong(&error))
        };
        let filter = &mut self.filter;
        let is_repeated = match term.name {
            "outcome" => {
                let outcome = text.parse::<ArrivalOutcome>();
                let outcome = outcome
                    .map_err(|_cause| unknown(line, term, &ArrivalOutcome::ALL.map(ArrivalOutcome::name)))?;
                filter.outcome.replace(outcome).is_some()
            }
            "state" => {
                let status = text.parse::<DeliveryStatus>();
                let status = status
                    .map_err(|_cause| unknown(line, term, &DeliveryStatus::ALL.map(DeliveryStatus::name)))?;
                filter.state.replace(status.name()).is_some()
            }
            "rule" => filter.rule.replace(text.to_owned()).is_some(),
            "endpoint" => filter.endpoint.replace(text.to_owned()).is_some(),
            "event" => self.event_name.replace(text.to_owned()).is_some(),
            "client" => {
                let network = network::parse(text).ok_or_else(|| {
                    wrong(&format!("`{text}` is no address and no network"))
                        .hint("write `192.0.2.7` or `192.0.2.0/24`")
                })?;
                filter.client.replace(network).is_some()
            }
            "since" => filter.since.replace(when()?).is_some(),
            "until" => filter.until.replace(when()?).is_some(),
            name => return Err(unknown_name(line, term, name)),
        };
        if is_repeated {
            let message = format!("`{}` is stated twice", term.name);
            return Err(QueryError::new(line, term.name_at.clone(), message));
        }
        Ok(())
    }
}

fn unknown(line: &str, term: &Term<'_>, known: &[&'static str]) -> QueryError {
    let text = term.value.text();
    let message = format!("unknown {} `{text}`", term.name);
    let list = known.join(", ");
    let near = did_you_mean(text, known.iter().copied());
    let hint = near.map_or_else(
        || format!("known are {list}"),
        |near| format!("did you mean `{near}`? known are {list}"),
    );
    QueryError::new(line, term.value_at.clone(), message).hint(hint)
}

fn unknown_name(line: &str, term: &Term<'_>, name: &str) -> QueryError {
    let known = FILTERS.map(|(name, _)| name);
    let list = known.join(", ");
    let selectors = name.strip_prefix("headers.").map(|rest| format!("header.{rest}"));
    let near = selectors.as_deref().or_else(|| did_you_mean(name, known));
    let hint = near.map_or_else(
        || format!("known are {list}, and selectors of `match` such as `$.ref` and `header.NAME`"),
        |near| format!("did you mean `{near}`?"),
    );
    QueryError::new(line, term.name_at.clone(), format!("unknown filter `{name}`")).hint(hint)
}

/// Compiles a selector with its value, as `match` would.
fn condition(line: &str, term: &Term<'_>) -> Result<Condition, QueryError> {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let value = match &term.value {
        Value::Quoted(text) => quoted(text),
        Value::Plain(text) if is_json_scalar(text) => (*text).to_owned(),
        Value::Plain(text) => quoted(text),
        Value::Flow(text) => (*text).to_owned(),
    };
    let text = format!("{}: {value}", quoted(term.name));
    compile(text, "filter").map_err(|diagnostics| {
        let Some(first) = diagnostics.iter().next() else {
            return QueryError::new(line, term.name_at.clone(), "the selector is not understood");
        };
        // The selector is one word, and the value is what follows it.
        let in_selector = first
            .origin
            .as_ref()
            .is_none_or(|origin| origin.line_column().1 <= quoted(term.name).chars().count());
        let range = if in_selector {
            &term.name_at
        } else {
            &term.value_at
        };
        let error = QueryError::new(line, range.clone(), first.message.clone());
        match &first.hint {
            Some(hint) => error.hint(hint.clone()),
            None => error,
        }
    })
}

/// True for a number, `true`, `false` and `null`.
fn is_json_scalar(text: &str) -> bool {
    let is_text = |value: &serde_json::Value| value.is_string() || value.is_array() || value.is_object();
    serde_json::from_str::<serde_json::Value>(text).is_ok_and(|value| !is_text(&value))
}

/// Compiles a condition, written like `match` in the rules. `origin` names it in errors.
pub fn compile(text: String, origin: &str) -> Result<Condition, Diagnostics> {
    let mut diagnostics = Diagnostics::new();
    let source = Source {
        path: origin.into(),
        text,
    };
    Document::parse(source, &mut diagnostics)
        .and_then(|document| Condition::compile(document.root(), None, &mut diagnostics))
        .ok_or(diagnostics)
}
