//! Selection of deliveries: by rule, endpoint, state and time through the store's index, and by a
//! condition, for which each event must be read.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::base::clock::Clock;
use crate::base::diagnostic::Diagnostics;
use crate::history::{DeliverySearch, DeliveryStatus, Since, compile};
use crate::matching::Condition;
use crate::store::DeliveryFilter;

/// Filters of deliveries. All of them must hold.
#[derive(Debug, Default, clap::Args)]
pub struct Selection {
    /// Only deliveries to this rule.
    #[arg(long, value_name = "NAME")]
    pub rule: Option<String>,
    /// Only deliveries of this endpoint, as written in the rules file.
    #[arg(long, value_name = "PATH")]
    pub endpoint: Option<String>,
    /// Only events received within this duration (`90s`, `1h`, `7d`), or since this time (default
    /// UTC): `2026-11-24`, `'2026-11-24 14:02'`, `2026-11-24T14:02:00+01:00`.
    #[arg(long, value_name = "WHEN", value_parser = Since::parse)]
    pub since: Option<Since>,
    /// Only events that meet a condition, written like `match` in the rules: `'{$.ref:
    /// refs/heads/main}'`. It is checked on the latest 10000 deliveries that pass the other
    /// filters.
    #[arg(long = "where", value_name = "CONDITION")]
    pub condition: Option<String>,
}

impl Selection {
    /// Builds the search for deliveries in `state`. Fails if the condition is invalid.
    pub fn search(&self, state: Option<&'static str>) -> Result<DeliverySearch, Diagnostics> {
        let since = self.since.map(|since| since.at(Clock::system().now()));
        let condition = self.condition.as_deref().map(condition).transpose()?;
        let filter = DeliveryFilter {
            rule: self.rule.clone(),
            endpoint: self.endpoint.clone(),
            state,
            since,
        };
        Ok(DeliverySearch::new(filter, condition))
    }
}

/// Compiles a condition.
pub fn condition(text: &str) -> Result<Condition, Diagnostics> {
    compile(text.to_owned(), "--where")
}

/// Parser of a state of deliveries, which lists them all in the help text.
pub fn status() -> impl TypedValueParser<Value = DeliveryStatus> {
    let names = DeliveryStatus::ALL.map(|status| PossibleValue::new(status.name()).help(status.meaning()));
    PossibleValuesParser::new(names).try_map(|name| name.parse::<DeliveryStatus>())
}
