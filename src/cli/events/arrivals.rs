//! Selection of arrivals: by the store's columns, and by a condition, for which each request must
//! be read.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use ipnet::IpNet;

use super::select::{Selection, condition, status};
use crate::base::clock::{Clock, Timestamp};
use crate::base::diagnostic::Diagnostics;
use crate::base::escape;
use crate::cli::{fail, wrong};
use crate::event::ArrivalOutcome;
use crate::history::{
    DeliveryStatus, EventNames, FoundArrivals, Query, QueryError, SearchBounds, Since, search,
};
use crate::store::{ArrivalFilter, History, ListedArrival, StoreError};

/// Filters of arrivals. All of them must hold.
#[derive(Debug, Default, clap::Args)]
pub struct ArrivalSelection {
    /// Only arrivals with this outcome.
    #[arg(long, value_name = "OUTCOME", value_parser = outcome())]
    outcome: Option<ArrivalOutcome>,
    /// Only arrivals with a delivery in this state.
    #[arg(long, value_name = "STATE", value_parser = status())]
    state: Option<DeliveryStatus>,
    /// Only arrivals with a delivery to this rule.
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// Only arrivals on this endpoint, as written in the rules file.
    #[arg(long, value_name = "PATH")]
    endpoint: Option<String>,
    /// Only arrivals from this address.
    #[arg(long, value_name = "ADDRESS")]
    client: Option<std::net::IpAddr>,
    /// Only arrivals within this duration (`90s`, `1h`, `7d`), or since this time (default UTC):
    /// `2026-11-24`, `'2026-11-24 14:02'`, `2026-11-24T14:02:00+01:00`.
    #[arg(long, value_name = "WHEN", value_parser = Since::parse)]
    since: Option<Since>,
    /// Only arrivals before this time, written like `--since`.
    #[arg(long, value_name = "WHEN", value_parser = Since::parse)]
    until: Option<Since>,
    /// Only arrivals that meet a condition, written like `match` in the rules: `'{$.ref:
    /// refs/heads/main}'`. It is checked on the latest 10000 arrivals that pass the other filters.
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<String>,
    /// All filters in one line, in place of the other options: `'outcome:ignored since:2h
    /// $.ref:refs/heads/main'`.
    #[arg(long, value_name = "LINE", conflicts_with_all =
        ["outcome", "state", "rule", "endpoint", "client", "since", "until", "condition"])]
    query: Option<String>,
}

/// Parser of an outcome, which lists them all in the help text.
fn outcome() -> impl TypedValueParser<Value = ArrivalOutcome> {
    let names = ArrivalOutcome::ALL.map(|outcome| PossibleValue::new(outcome.name()).help(outcome.meaning()));
    PossibleValuesParser::new(names).try_map(|name| name.parse::<ArrivalOutcome>())
}

impl ArrivalSelection {
    /// Builds the search. `names` returns those of the rules file.
    pub fn search(&self, names: impl FnOnce() -> EventNames) -> Result<ArrivalSearch, SelectionError> {
        let now = Clock::system().now();
        if let Some(line) = &self.query {
            let query =
                Query::parse(line, now).map_err(|error| SelectionError::Query(line.clone(), error))?;
            let names = if query.event_name.is_some() {
                names()
            } else {
                EventNames::default()
            };
            return Ok(ArrivalSearch { query, names });
        }
        let at = |when: Option<Since>| when.map(|when| when.at(now));
        let filter = ArrivalFilter {
            outcome: self.outcome,
            endpoint: self.endpoint.clone(),
            rule: self.rule.clone(),
            state: self.state.map(DeliveryStatus::name),
            client: self.client.map(IpNet::from),
            since: at(self.since),
            until: at(self.until),
        };
        let condition = self.condition.as_deref().map(condition).transpose();
        let condition = condition.map_err(SelectionError::Condition)?;
        Ok(ArrivalSearch::new(Query::new(filter, condition)))
    }
}

/// The reason why a selection is invalid.
#[derive(Debug)]
pub enum SelectionError {
    Condition(Diagnostics),
    /// The line, and its error.
    Query(String, QueryError),
}

impl SelectionError {
    /// Prints the error. Returns the exit code.
    pub fn report(&self) -> u8 {
        match self {
            Self::Condition(diagnostics) => wrong(diagnostics),
            Self::Query(line, error) => {
                let marks = "^".repeat(error.length.max(1));
                let hint = error.hint.as_ref().map(|hint| format!("\nhint: {hint}"));
                fail(&format!(
                    "{}\n  {}\n  {}{marks}{}",
                    error.message,
                    escape::line(line),
                    " ".repeat(error.column.saturating_sub(1)),
                    hint.unwrap_or_default()
                ))
            }
        }
    }
}

/// A search for arrivals.
#[derive(Debug)]
pub struct ArrivalSearch {
    /// The filters.
    pub query: Query,
    names: EventNames,
}

impl ArrivalSearch {
    fn new(query: Query) -> Self {
        let names = EventNames::default();
        Self { query, names }
    }

    /// A search for ignored arrivals on the endpoint, since the time and with the condition of a
    /// selection of deliveries.
    pub fn ignored(selection: &Selection) -> Result<Self, Diagnostics> {
        let now = Clock::system().now();
        let filter = ArrivalFilter {
            outcome: Some(ArrivalOutcome::Ignored),
            endpoint: selection.endpoint.clone(),
            since: selection.since.map(|since| since.at(now)),
            ..ArrivalFilter::default()
        };
        let condition = selection.condition.as_deref().map(condition).transpose()?;
        Ok(Self::new(Query::new(filter, condition)))
    }

    /// Describes the filters, to follow `no arrival`: ` on the endpoint `/a`, received since …`.
    pub fn described(&self) -> String {
        let filter = &self.query.filter;
        let time = |word: &str, at: Option<Timestamp>| at.map(|at| format!("received {word} {at}"));
        let parts = [
            filter
                .outcome
                .map(|outcome| format!("with the outcome `{outcome}`")),
            filter.rule.as_ref().map(|rule| format!("for the rule `{rule}`")),
            filter
                .endpoint
                .as_ref()
                .map(|endpoint| format!("on the endpoint `{endpoint}`")),
            filter.client.as_ref().map(|client| format!("from {client}")),
            filter
                .state
                .map(|state| format!("with a delivery in the state `{state}`")),
            time("since", filter.since),
            time("before", filter.until),
            self.query
                .event_name
                .as_ref()
                .map(|event| format!("that its sender names `{event}`")),
            self.query
                .has_condition()
                .then(|| "that meets the condition".to_owned()),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() {
            String::new()
        } else {
            format!(" {}", parts.join(", "))
        }
    }

    /// Finds at most `limit` arrivals with their deliveries, newest first.
    pub fn newest(&self, history: &History, limit: usize) -> Result<FoundArrivals, StoreError> {
        let mut found = search(
            history,
            &self.names,
            &self.query,
            None,
            limit,
            SearchBounds::COMMAND,
        )?;
        history.add_deliveries(&mut found.arrivals)?;
        Ok(found)
    }

    /// True if an arrival meets the conditions.
    pub fn wants(&self, history: &History, arrival: &ListedArrival) -> Result<bool, StoreError> {
        self.query.wants(history, &self.names, arrival)
    }
}
