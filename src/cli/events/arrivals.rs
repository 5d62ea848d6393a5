//! Selection of arrivals: by the store's columns, and by a condition, for which each request must
//! be read.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::select::{Found, PAGE, Selection, Since, condition, event, search, status};
use crate::base::clock::{Clock, Timestamp};
use crate::base::diagnostic::Diagnostics;
use crate::event::ArrivalOutcome;
use crate::history::{DeliveryStatus, decoded};
use crate::matching::Matcher;
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
}

/// Parser of an outcome, which lists them all in the help text.
fn outcome() -> impl TypedValueParser<Value = ArrivalOutcome> {
    let names = ArrivalOutcome::ALL.map(|outcome| PossibleValue::new(outcome.name()).help(outcome.meaning()));
    PossibleValuesParser::new(names).try_map(|name| name.parse::<ArrivalOutcome>())
}

impl ArrivalSelection {
    /// Builds the search. Fails if the condition is invalid.
    pub fn search(&self) -> Result<ArrivalSearch, Diagnostics> {
        let now = Clock::system().now();
        let at = |when: Option<Since>| when.map(|when| when.at(now));
        Ok(ArrivalSearch {
            filter: ArrivalFilter {
                outcome: self.outcome,
                endpoint: self.endpoint.clone(),
                rule: self.rule.clone(),
                state: self.state.map(DeliveryStatus::name),
                client: self.client.map(|client| client.to_string()),
                since: at(self.since),
                until: at(self.until),
            },
            condition: self.condition.as_deref().map(condition).transpose()?,
        })
    }
}

/// A search for arrivals.
#[derive(Debug)]
pub struct ArrivalSearch {
    /// The filter that the store applies.
    pub filter: ArrivalFilter,
    condition: Option<Matcher>,
}

impl ArrivalSearch {
    /// A search for ignored arrivals on the endpoint, since the time and with the condition of a
    /// selection of deliveries.
    pub fn ignored(selection: &Selection) -> Result<Self, Diagnostics> {
        let now = Clock::system().now();
        Ok(Self {
            filter: ArrivalFilter {
                outcome: Some(ArrivalOutcome::Ignored),
                endpoint: selection.endpoint.clone(),
                since: selection.since.map(|since| since.at(now)),
                ..ArrivalFilter::default()
            },
            condition: selection.condition.as_deref().map(condition).transpose()?,
        })
    }

    /// Describes the filters, to follow `no arrival`: ` on the endpoint `/a`, received since …`.
    pub fn described(&self) -> String {
        let filter = &self.filter;
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
            self.condition
                .as_ref()
                .map(|_| "that meets the condition".to_owned()),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() {
            String::new()
        } else {
            format!(" {}", parts.join(", "))
        }
    }

    /// Finds at most `limit` arrivals, newest first.
    pub fn newest(&self, history: &History, limit: usize) -> Result<Found<ListedArrival>, StoreError> {
        if self.condition.is_none() {
            let entries = history.arrivals_before(&self.filter, None, limit)?;
            return Ok(Found { entries, cut: false });
        }
        let page = |before| history.arrivals_before(&self.filter, before, PAGE);
        search(
            limit,
            page,
            |arrival| arrival.id,
            |arrival| self.wants(history, arrival),
        )
    }

    /// True if an arrival meets the condition.
    pub fn wants(&self, history: &History, arrival: &ListedArrival) -> Result<bool, StoreError> {
        let Some(condition) = &self.condition else {
            return Ok(true);
        };
        let event = match history.event(arrival.id)? {
            Some(stored) => event(&stored).ok(),
            None => history
                .arrival(arrival.id)?
                .filter(|record| record.check_whole().is_ok())
                .and_then(|record| decoded(&record.received, &record.decode).ok()),
        };
        Ok(event.is_some_and(|event| !condition.matching(&event, &|_| true).is_empty()))
    }
}
